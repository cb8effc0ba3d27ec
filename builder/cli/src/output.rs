//! What is printed: errors once and with their causes, findings with their lines, tables.

use std::io::{ErrorKind, IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;

use anyhow::Result;
use engine::is_verification_failure;
use model::finding::{Findings, Renderer};

/// The exit code of a command that failed.
pub const FAILED: u8 = 1;
/// The exit code of `diff` where the images are not the same.
pub const DIFFERENT: u8 = 1;
/// The exit code of `audit` where something is open.
pub const OPEN: u8 = 1;
/// The exit code of `diff` and `audit` where they cannot tell, as of cmp(1) and diff(1).
pub const TROUBLE: u8 = 2;
/// The exit code of wrong usage.
pub const USAGE: u8 = 2;
/// The exit code where something was not as it must be.
pub const VERIFICATION_FAILED: u8 = 3;
/// The exit code where a device must not be written to.
pub const DEVICE_REFUSED: u8 = 4;

/// An error with an exit code of its own.
#[derive(Debug)]
pub struct Coded {
    /// The exit code.
    pub code: u8,
    /// What to say.
    pub message: String,
}

impl std::fmt::Display for Coded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Coded {}

/// Prints `text` on standard output. A reader that went away is not an error.
pub fn print(text: &str) -> Result<()> {
    match stdout()
        .write_all(text.as_bytes())
        .and_then(|()| stdout().flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output"))
        }
        _ => Ok(()),
    }
}

/// Prints a JSON value on standard output.
pub fn print_json(value: &serde_json::Value) -> Result<()> {
    print(&format!("{value:#}\n"))
}

/// Prints a line on standard error. Whoever read it may have gone away; there is nobody left to tell.
pub fn say(line: &str) {
    writeln!(stderr(), "{line}").ok();
}

/// Tells what the user should know.
pub fn warn(warning: &str) {
    say(&format!("warning: {warning}"));
}

/// Prints findings with their lines, on standard error.
pub fn tell(findings: &Findings) {
    say(&format!("{}\n", findings.render(&renderer())));
}

/// Prints an error and returns its exit code: its own, or `failed`.
pub fn report(error: &anyhow::Error, json: bool, failed: u8) -> ExitCode {
    if let Some(findings) = error.downcast_ref::<Findings>() {
        if json {
            // The findings decide how this ends, even where nobody reads them.
            print_json(&findings.to_json()).ok();
        } else {
            tell(findings);
            say(&counted(findings.0.len(), "finding"));
        }
        return failed.into();
    }
    say(&format!("error: {error:#}"));
    match error.downcast_ref::<Coded>() {
        Some(coded) => coded.code,
        None if is_verification_failure(error) => VERIFICATION_FAILED,
        None => failed,
    }
    .into()
}

/// Colours on a terminal, unless the user does not want any (`NO_COLOR`).
fn renderer() -> Renderer {
    let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if colours {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
}

/// `1 finding`, `2 findings`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Rows in aligned columns; the first row is the heading. Columns of numbers are named by `right` and aligned right.
pub fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| {
                if right.contains(&column) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let row = |cells: [&str; 2]| cells.map(String::from).to_vec();
        assert_eq!(
            table(&[row(["node", "size"]), row(["red-07", "1"])], &[1]),
            "node    size\nred-07     1\n"
        );
    }
}
