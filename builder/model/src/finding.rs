//! What is wrong with what the user wrote: where it stands, what to do, and all of it at once.

use std::fmt;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use annotate_snippets::Renderer;
use annotate_snippets::{AnnotationKind, Group, Level, Snippet};
use serde::Serialize;

/// Bytes of the largest file that is read; what is larger was not written by a person.
const LARGEST: u64 = 1 << 20;

/// A file of the project as it was read.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Path relative to the project's root, as messages show it; of a file that comes with the program behind `stock:`.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A place in a file: bytes of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Bytes of its text.
    pub span: Range<usize>,
}

/// What follows of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is built.
    Error,
    /// It is told of: what it leads to may be meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What follows of it.
    pub severity: Severity,
    /// What is wrong: lower case, one sentence, no full stop.
    pub message: String,
    /// Where; a file that is missing has no place, the message names it.
    pub place: Option<Place>,
    /// Another place that explains the first ("slot 7 is taken here"), with its label.
    pub related: Vec<(Place, String)>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Everything that is wrong, in the order it was found. As an error it prints each finding with its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

/// A finding as programs read it.
#[derive(Debug, Serialize)]
struct FindingJson<'a> {
    severity: Severity,
    message: &'a str,
    file: Option<&'a Path>,
    line: Option<usize>,
    column: Option<usize>,
    hint: Option<&'a str>,
}

impl SourceFile {
    /// Reads `path` below `root`. A file that cannot be read is a finding that says why.
    pub fn load(root: &Path, path: &Path) -> Result<Arc<Self>, Finding> {
        let shown = path.display();
        let unreadable = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => Finding::new(format!("`{shown}` does not exist")),
            _ => Finding::new(format!("cannot read `{shown}`: {error}")),
        };
        let whole = root.join(path);
        let metadata = std::fs::metadata(&whole).map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(Finding::new(format!("`{shown}` is a folder, not a file")));
        }
        // A pipe or a device would block or never end.
        if !metadata.is_file() {
            return Err(Finding::new(format!("`{shown}` is not a regular file")));
        }
        if metadata.len() > LARGEST {
            return Err(Finding::new(format!(
                "`{shown}` has {} bytes, a file of a project has at most {LARGEST}",
                metadata.len()
            )));
        }
        Self::decode(path, std::fs::read(&whole).map_err(unreadable)?)
    }

    /// What was read from `path`, as text.
    pub(crate) fn decode(path: &Path, bytes: Vec<u8>) -> Result<Arc<Self>, Finding> {
        let shown = path.display();
        match String::from_utf8(bytes) {
            Ok(text) => {
                let zero = text.find('\0');
                let file = Arc::new(Self {
                    path: path.to_owned(),
                    text,
                });
                match zero {
                    None => Ok(file),
                    Some(at) => Err(Finding::new(format!("`{shown}` is no text: it has a zero byte"))
                        .at(file.place(at..at + 1))
                        .hint(
                            "save it as UTF-8; a file of nothing but zeros is what a crash leaves of a file",
                        )),
                }
            }
            Err(error) => {
                // Up to the fault the bytes are the text's, so the place is right; there stands a replacement character.
                let start = error.utf8_error().valid_up_to();
                let byte = error.as_bytes()[start];
                let file = Arc::new(Self {
                    path: path.to_owned(),
                    text: String::from_utf8_lossy(error.as_bytes()).into_owned(),
                });
                let end = start + char::REPLACEMENT_CHARACTER.len_utf8();
                Err(Finding::new(format!("`{shown}` is not UTF-8: byte 0x{byte:02x}"))
                    .at(file.place(start..end))
                    .hint("save it as UTF-8, without a byte order mark"))
            }
        }
    }

    /// A place in this file.
    pub fn place(self: &Arc<Self>, span: Range<usize>) -> Place {
        Place {
            file: self.clone(),
            span,
        }
    }
}

impl Place {
    /// Line and column, both from 1; the column counts characters.
    pub fn line_column(&self) -> (usize, usize) {
        let mut start = self.span.start.min(self.file.text.len());
        while !self.file.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &self.file.text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.path.display(), self.line_column().0)
    }
}

impl Finding {
    /// Something wrong at no place yet.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            place: None,
            related: Vec::new(),
            hint: None,
        }
    }

    /// The same as a warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::new(message)
        }
    }

    /// The same at `place`.
    pub fn at(self, place: Place) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }

    /// The same with another place that explains it.
    pub fn related(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related.push((place, label.into()));
        self
    }

    /// The same with what to do.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// The finding with its lines, a caret under the place, and the hint.
    pub fn render(&self, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(&self.message));
        let places = self
            .place
            .iter()
            .map(|place| (place, AnnotationKind::Primary, None))
            .chain(
                self.related
                    .iter()
                    .map(|(place, label)| (place, AnnotationKind::Context, Some(label.as_str()))),
            );
        for (place, kind, label) in places {
            let mut annotation = kind.span(place.span.clone());
            if let Some(label) = label {
                annotation = annotation.label(label);
            }
            group = group.element(
                Snippet::source(&place.file.text)
                    .path(place.file.path.to_string_lossy())
                    .annotation(annotation),
            );
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint));
        }
        renderer.render(&[group])
    }
}

impl Findings {
    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// How many of them keep anything from being built.
    pub fn errors(&self) -> usize {
        let is_error = |finding: &&Finding| finding.severity == Severity::Error;
        self.0.iter().filter(is_error).count()
    }

    /// The warnings, if there are no errors; else all of them.
    pub fn into_warnings(self) -> Result<Self, Self> {
        if self.errors() > 0 { Err(self) } else { Ok(self) }
    }

    /// `value` if there are no errors, else all findings.
    pub fn or_value<T>(self, value: T) -> Result<T, Self> {
        self.into_warnings().map(|_| value)
    }

    /// The value, or `None` with the finding kept.
    pub fn keep<T>(&mut self, result: Result<T, Finding>) -> Option<T> {
        result.map_err(|finding| self.push(finding)).ok()
    }

    /// Puts them in order of file and place; what has no place comes first.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| {
            let key = |finding: &Finding| {
                let place = finding.place.as_ref()?;
                Some((place.file.path.clone(), place.span.start))
            };
            key(a).cmp(&key(b))
        });
    }

    /// The value, or `None` with all its findings kept.
    pub fn keep_all<T>(&mut self, result: Result<T, Self>) -> Option<T> {
        result.map_err(|findings| self.0.extend(findings.0)).ok()
    }

    /// All findings as text, with colours if `renderer` has them.
    pub fn render(&self, renderer: &Renderer) -> String {
        let rendered: Vec<_> = self.0.iter().map(|finding| finding.render(renderer)).collect();
        rendered.join("\n\n")
    }

    /// All findings as a JSON array of severity, message, file, line, column and hint.
    pub fn to_json(&self) -> serde_json::Value {
        let findings: Vec<_> = self
            .0
            .iter()
            .map(|finding| {
                let line_column = finding.place.as_ref().map(Place::line_column);
                FindingJson {
                    severity: finding.severity,
                    message: &finding.message,
                    file: finding.place.as_ref().map(|place| place.file.path.as_path()),
                    line: line_column.map(|(line, _)| line),
                    column: line_column.map(|(_, column)| column),
                    hint: finding.hint.as_deref(),
                }
            })
            .collect();
        serde_json::json!(findings)
    }
}

impl From<Finding> for Findings {
    fn from(finding: Finding) -> Self {
        Self(vec![finding])
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

impl std::error::Error for Findings {}
