//! The rules that every kind of file shares, and how a rule says what it found.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::finding::{Finding, Findings, Place, Severity, SourceFile};
use crate::names::{name_fault, quoted};
use crate::written::At;

/// One file under examination.
pub(crate) struct Check<'a> {
    /// The file.
    pub file: &'a Arc<SourceFile>,
    /// Where findings go.
    pub findings: &'a mut Findings,
}

/// A finding that was just made, for whoever has more to say about it.
pub(crate) struct Found<'a> {
    file: &'a Arc<SourceFile>,
    finding: &'a mut Finding,
}

impl Check<'_> {
    /// A place in this file.
    pub fn place(&self, span: &Range<usize>) -> Place {
        self.file.place(span.clone())
    }

    /// Keeps a finding at `span`.
    pub fn found(&mut self, span: &Range<usize>, message: impl Into<String>) -> Found<'_> {
        let place = self.place(span);
        let findings = &mut self.findings.0;
        findings.push(Finding::new(message).at(place));
        let last = findings.len() - 1;
        Found {
            file: self.file,
            finding: &mut findings[last],
        }
    }

    /// Keeps a warning at `span`.
    pub fn warned(&mut self, span: &Range<usize>, message: impl Into<String>) -> Found<'_> {
        let found = self.found(span, message);
        found.finding.severity = Severity::Warning;
        found
    }

    /// The bytes of the file behind `part` of a string's value; the whole string where it was written with escapes.
    pub fn part(&self, written: &At<String>, part: Range<usize>) -> Range<usize> {
        let inner = written.span.start + 1..written.span.end.saturating_sub(1);
        match self.file.text.get(inner.clone()) {
            Some(text) if *text == **written && part.end <= text.len() => {
                inner.start + part.start..inner.start + part.end
            }
            _ => written.span.clone(),
        }
    }

    /// Holds a name that the user chose against the rules of names.
    pub fn name(&mut self, name: &At<String>, what: &str) {
        if let Some(fault) = name_fault(name) {
            self.found(&name.span, format!("{what} name {} {fault}", quoted(name)))
                .hint("names are lower-case letters, digits and inner hyphens, 63 at most");
        }
    }

    /// Finds every value that repeats an earlier one of the same list.
    pub fn distinct<'v>(&mut self, values: impl IntoIterator<Item = &'v At<String>>, what: &str) {
        let mut seen: BTreeSet<(&str, usize)> = BTreeSet::new();
        let mut places: Vec<&At<String>> = Vec::new();
        for value in values {
            let earlier = seen.range((value.as_str(), 0)..).next();
            match earlier.filter(|(text, _)| *text == value.as_str()) {
                Some((_, index)) => {
                    let first = places[*index].span.clone();
                    self.found(&value.span, format!("{what} {} is given twice", quoted(value)))
                        .related(&first, "first here")
                        .hint("remove one of the two");
                }
                None => {
                    seen.insert((value.as_str(), places.len()));
                    places.push(value);
                }
            }
        }
    }
}

impl Found<'_> {
    /// What to do about it.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        self.finding.hint = Some(hint.into());
        self
    }

    /// Another place of the same file that explains it.
    pub fn related(self, span: &Range<usize>, label: impl Into<String>) -> Self {
        let place = self.file.place(span.clone());
        self.finding.related.push((place, label.into()));
        self
    }
}
