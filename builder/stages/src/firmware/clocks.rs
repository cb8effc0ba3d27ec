//! Linux scales the processor's clock by asking BL301 for it, if the device tree says so. A BL301 that does not offer these
//! clocks would be asked all the same.

use anyhow::{Result, bail};
use formats::digest::hex;
use model::board::Board;

/// The node that lets Linux set clocks.
const NODE: &str = "&scpi_clocks";

/// Refuses a BL301 that is not known to offer what the board's device tree enables.
pub fn check(board: &Board, bl301: &[u8; 32]) -> Result<()> {
    let Some(tree) = &board.device_tree else {
        return Ok(());
    };
    if tree.scpi_firmware.contains(bl301) {
        return Ok(());
    }
    if !enables_clocks(&tree.source.text) {
        return Ok(());
    }
    bail!(
        "{} enables scpi_clocks, but this bl301.bin (sha256 {}) is not known to offer them: cpufreq would set clocks that \
         the firmware does not have. Take scpi_clocks out of {0}, or, if you know that it offers them, add the sha256 to \
         scpi-firmware in {}",
        tree.source.path.display(),
        hex(bl301),
        tree.source.path.with_file_name("board.toml").display()
    )
}

/// Whether the source of a device tree enables [`NODE`].
fn enables_clocks(text: &str) -> bool {
    let text = without_comments(text);
    let mut is_enabled = false;
    // What is written last holds.
    for (at, _) in text.match_indices(NODE) {
        let rest = text[at + NODE.len()..].trim_start();
        let Some(body) = rest.strip_prefix('{') else {
            continue;
        };
        let body = body.split('}').next().unwrap_or_default();
        for property in body.split(';') {
            if let Some((name, value)) = property.split_once('=')
                && name.trim() == "status"
            {
                is_enabled = matches!(value.trim(), "\"okay\"" | "\"ok\"");
            }
        }
    }
    is_enabled
}

/// The source without what is between `/*` and `*/`, or behind `//`. Strings of properties that matter here have neither.
fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("/*").into_iter().chain(rest.find("//")).min() {
        kept.push_str(&rest[..at]);
        kept.push(' ');
        let end = if rest[at..].starts_with("/*") {
            rest[at + 2..].find("*/").map(|end| at + 2 + end + 2)
        } else {
            rest[at..].find('\n').map(|end| at + end)
        };
        rest = end.map_or("", |end| &rest[end..]);
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_node_where_it_counts() {
        for (text, expected) in [
            ("&scpi_clocks {\n\tstatus = \"okay\";\n};\n", true),
            ("&scpi_clocks{status=\"ok\";};", true),
            ("&scpi_clocks { /* on */ status = /* yes */ \"okay\"; };", true),
            ("&scpi_clocks { status = \"disabled\"; };", false),
            (
                "&scpi_clocks { status = \"okay\"; };\n&scpi_clocks { status = \"disabled\"; };",
                false,
            ),
            ("// &scpi_clocks { status = \"okay\"; };\n", false),
            ("/* &scpi_clocks {\n status = \"okay\"; };\n*/", false),
            ("/* &scpi_clocks { status = \"okay\"; };", false),
            ("&eth_phy0 { status = \"okay\"; };", false),
            ("&scpi_clocks_other { status = \"okay\"; };", false),
            ("clocks = <&scpi_clocks 0>;\nx { status = \"okay\"; };", false),
            ("// off\n&scpi_clocks {\n // really\n status = \"okay\"; };", true),
            ("", false),
        ] {
            assert_eq!(enables_clocks(text), expected, "{text}");
        }
    }
}
