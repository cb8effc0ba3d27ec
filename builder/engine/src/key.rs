//! Keys: the SHA-256 over everything that can change an output.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use formats::digest::hex;
use sha2::{Digest, Sha256};

/// The name of an output: equal for equal inputs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// Collects the inputs of a [`Key`]. Order and labels count.
#[derive(Debug, Clone)]
pub struct KeyBuilder(Sha256);

impl Key {
    /// A key for an output of `stage`. Raise `revision` when the code of the stage changes what it makes.
    pub fn builder(stage: &str, revision: u32) -> KeyBuilder {
        KeyBuilder(Sha256::new())
            .text("stage", stage)
            .text("revision", &revision.to_string())
    }

    /// 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl KeyBuilder {
    /// Adds bytes under a label. Lengths are hashed too, so that no two lists of inputs run together.
    pub fn bytes(mut self, label: &str, bytes: &[u8]) -> Self {
        for part in [label.as_bytes(), bytes] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds a text.
    pub fn text(self, label: &str, text: &str) -> Self {
        self.bytes(label, text.as_bytes())
    }

    /// Adds the output of an earlier stage.
    pub fn key(self, label: &str, key: &Key) -> Self {
        self.text(label, &key.0)
    }

    /// Adds the content of a file, not its path or time.
    pub fn file(self, label: &str, path: &Path) -> Result<Self> {
        let mut hash = Sha256::new();
        File::open(path)
            .and_then(|mut file| io::copy(&mut file, &mut hash))
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(self.bytes(label, &hash.finalize()))
    }

    /// The key.
    pub fn finish(self) -> Key {
        Key(hex(&self.0.finalize()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_lengths_count() {
        let key = |parts: &[(&str, &str)]| {
            parts
                .iter()
                .fold(Key::builder("s", 1), |builder, (label, text)| {
                    builder.text(label, text)
                })
                .finish()
        };
        assert_eq!(key(&[("a", "b")]), key(&[("a", "b")]));
        assert_ne!(key(&[("a", "bc")]), key(&[("ab", "c")]));
        assert_ne!(key(&[("a", "b"), ("c", "d")]), key(&[("c", "d"), ("a", "b")]));
    }
}
