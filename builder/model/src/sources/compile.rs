//! What no source of packages has and is compiled: from which ebuilds, and how.

use std::sync::Arc;

use toml::Spanned;

use super::Signer;
use super::check::Check;
use super::written::{CompileToml, RepositoryToml};
use crate::names::is_gentoo_atom;

/// Where ebuilds and what they are compiled from come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Folders that hold `gentoo-YYYYMMDD.tar.xz`; each ends in `/`.
    pub mirrors: Vec<String>,
    /// Who signs snapshots.
    pub signer: Arc<Signer>,
    /// The day of the snapshot that is meant, eight digits; `None`: the newest.
    pub snapshot: Option<String>,
    /// Folders that hold what ebuilds are compiled from, by the hash of their names as Gentoo's mirrors have them, or flat; each
    /// ends in `/`.
    pub distfiles: Vec<String>,
}

/// How packages are compiled. Which they are follows from what the overlays name and no other source has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compile {
    /// Lines of `package.accept_keywords`, one space between words.
    pub keywords: Vec<String>,
    /// Lines of `package.use`, one space between words.
    pub use_flags: Vec<String>,
}

impl Check<'_> {
    pub(super) fn repository(&mut self, written: RepositoryToml) -> Option<Repository> {
        let mirrors = self.mirrors(written.mirrors);
        let signer = self.signed_by(&written.signer);
        let distfiles = self.mirrors(written.distfiles);
        let mut sound = true;
        if let Some(day) = &written.snapshot
            && !is_day(day.get_ref())
        {
            sound = false;
            self.found(
                day.span(),
                format!("`{}` is no day of a snapshot", day.get_ref()),
                "year, month and day in eight digits, as in gentoo-20260131.tar.xz; without it the newest is taken",
            );
        }
        sound.then_some(())?;
        Some(Repository {
            mirrors: mirrors?,
            signer: signer?,
            snapshot: written.snapshot.map(Spanned::into_inner),
            distfiles: distfiles?,
        })
    }

    pub(super) fn compile(&mut self, written: CompileToml) -> Compile {
        let keywords = self.lines(
            written.keywords,
            is_keyword,
            "a keyword",
            "an atom and what is accepted for it: `app-containers/lxc ~arm64`, or `**` for what has no keywords at all",
        );
        let use_flags = self.lines(
            written.use_flags,
            is_flag,
            "a USE flag",
            "an atom and flags, those that are not wanted with `-` in front: `app-containers/lxc -man`",
        );
        Compile { keywords, use_flags }
    }

    /// Lines of an atom and words that `is_word` accepts.
    fn lines(
        &mut self,
        written: Vec<Spanned<String>>,
        is_word: fn(&str) -> bool,
        what: &str,
        hint: &str,
    ) -> Vec<String> {
        let mut lines = Vec::with_capacity(written.len());
        for line in written {
            let words: Vec<&str> = line.get_ref().split_ascii_whitespace().collect();
            let fault = match words.as_slice() {
                [] | [_] => Some(format!(
                    "`{}` is not an atom and {what}",
                    line.get_ref().escape_debug()
                )),
                [atom, ..] if !is_gentoo_atom(atom) => Some(format!("`{atom}` is no atom of a package")),
                [_, words @ ..] => words
                    .iter()
                    .find(|word| !is_word(word))
                    .map(|word| format!("`{word}` is not {what}")),
            };
            match fault {
                Some(fault) => self.found(line.span(), fault, hint),
                None => lines.push(words.join(" ")),
            }
        }
        lines
    }
}

/// `20260131`.
fn is_day(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>| text.get(range).and_then(|part| part.parse::<u32>().ok());
    text.len() == 8
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && number(0..4).is_some_and(|year| year >= 2000)
        && number(4..6).is_some_and(|month| (1..=12).contains(&month))
        && number(6..8).is_some_and(|day| (1..=31).contains(&day))
}

/// `arm64`, `~arm64`, `-*`, `*`, `~*`, `**`.
fn is_keyword(word: &str) -> bool {
    let bare = word.strip_prefix(['~', '-']).unwrap_or(word);
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    matches!(bare, "*")
        || word == "**"
        || (bare.starts_with(|c: char| c.is_ascii_lowercase()) && bare.bytes().all(plain))
}

/// `man`, `-man`, `python_targets_python3_13`.
fn is_flag(word: &str) -> bool {
    let bare = word.strip_prefix('-').unwrap_or(word);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+_@-".contains(&byte);
    bare == "*" || (bare.starts_with(|c: char| c.is_ascii_alphanumeric()) && bare.bytes().all(plain))
}
