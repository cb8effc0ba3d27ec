//! Debian's control files (deb822): stanzas of fields, as `Packages`, `Sources` and dpkg's status are made of.

use std::io::{BufRead, Read};

use anyhow::{Context, Result, bail};

/// Larger than any stanza by far: the kernel's in `Sources` has 200 KB.
const STANZA_LIMIT: usize = 8 << 20;

/// One stanza: its fields in their order. What a value has on further lines follows after a line break.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stanza {
    fields: Vec<(String, String)>,
}

impl Stanza {
    /// The value of a field, whose name is compared without case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// The same, where it has to be there.
    pub fn need(&self, name: &str) -> Result<&str> {
        self.get(name)
            .with_context(|| format!("a stanza has no field {name}"))
    }
}

/// Hands each stanza of `reader` to `each`. Lines that are no UTF-8, or belong to no field, are errors.
pub fn each_stanza(mut reader: impl BufRead, mut each: impl FnMut(&Stanza) -> Result<()>) -> Result<()> {
    let (mut stanza, mut size, mut line) = (Stanza::default(), 0, String::new());
    loop {
        line.clear();
        // A line without an end is no reason to read all of it.
        let count = reader
            .by_ref()
            .take(STANZA_LIMIT as u64 + 1)
            .read_line(&mut line)?;
        size += count;
        if size > STANZA_LIMIT {
            bail!("a stanza has more than {STANZA_LIMIT} bytes");
        }
        let text = line.trim_end_matches(['\n', '\r']);
        if text.trim().is_empty() {
            if !stanza.fields.is_empty() {
                each(&stanza)?;
            }
            (stanza, size) = (Stanza::default(), 0);
            if count == 0 {
                return Ok(());
            }
        } else if text.starts_with([' ', '\t']) {
            let Some((_, value)) = stanza.fields.last_mut() else {
                bail!("a stanza starts with a line that belongs to no field");
            };
            value.push('\n');
            value.push_str(text.trim());
        } else if let Some((name, value)) = text.split_once(':') {
            stanza.fields.push((name.to_owned(), value.trim().to_owned()));
        } else if !text.starts_with('#') {
            bail!("a line of a stanza is no field");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanzas(text: &[u8]) -> Result<Vec<Stanza>> {
        let mut found = Vec::new();
        each_stanza(text, |stanza| {
            found.push(stanza.clone());
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn fields_are_read() {
        let found = stanzas(b"\n\nPackage: a\nDescription: x\n more\n .\n\nPACKAGE: b\nEmpty:\n").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].get("package"), Some("a"));
        assert_eq!(found[0].get("Description"), Some("x\nmore\n."));
        assert_eq!(found[1].get("Empty"), Some(""));
        assert!(found[1].need("Version").is_err());
    }

    #[test]
    fn what_is_none_is_refused() {
        assert!(stanzas(b" leads\n").is_err());
        assert!(stanzas(b"Package: a\nnonsense\n").is_err());
        assert!(stanzas(b"Package: \xff\n").is_err());
        let mut endless = b"Package: ".to_vec();
        endless.resize(STANZA_LIMIT + 20, b'x');
        assert!(stanzas(&endless).unwrap_err().to_string().contains("more than"));
        let many = "A: b\n".repeat(STANZA_LIMIT / 5 + 1);
        assert!(stanzas(many.as_bytes()).is_err());
    }
}
