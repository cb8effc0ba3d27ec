//! The log of a stage: what its programs printed, kept in a file, its last lines at hand for an error.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use files::private;

/// Lines that an error quotes.
const TAIL: usize = 12;

/// A log file being written.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: BufWriter<File>,
    tail: VecDeque<String>,
}

impl Log {
    /// An empty log at `path`; its folder is made where it is missing.
    pub fn create(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            private::make_folders(folder, private::FOLDER)?;
        }
        let file =
            private::create(path).with_context(|| format!("cannot make the log {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
            tail: VecDeque::new(),
        })
    }

    /// Adds a line.
    pub fn line(&mut self, line: &str) -> Result<()> {
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
        writeln!(self.file, "{line}")
            .and_then(|()| self.file.flush())
            .with_context(|| format!("cannot write the log {}", self.path.display()))
    }

    /// The last lines, and where the rest is: the end of an error message.
    pub fn tail(&self) -> String {
        let mut text: String = self.tail.iter().map(|line| format!("\n    {line}")).collect();
        text.push_str(&format!("\n  the whole log: {}", self.path.display()));
        text
    }
}
