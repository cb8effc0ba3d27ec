//! The kernel as the user describes it: `kernel/kernel.toml` and the fragments it names.
//!
//! | module | owns |
//! |---|---|
//! | [`version`] | versions, series, ranges of series |
//! | [`fragment`] | lines of a fragment: symbol, value, range |
//! | this one | `kernel.toml`, and what the fragments ask for together |

pub mod fragment;
pub mod version;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use crate::files::{Files, PartKind};
use crate::finding::{Finding, Findings, SourceFile};
use fragment::{Request, Value};
use version::{Series, VersionRange};

/// Where `kernel.toml`, fragments and patches are, relative to the project's root.
pub const FOLDER: &str = "kernel";

/// `kernel/kernel.toml` as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KernelToml {
    /// The make target that the fragments build on.
    pub base: BaseConfig,
    /// Prefix of the cross compiler's programs, such as `aarch64-linux-gnu-`.
    #[schemars(with = "String")]
    pub cross_compile: Spanned<String>,
    /// What follows the version in the release, such as `-portadc`.
    #[serde(default = "no_text")]
    #[schemars(with = "String")]
    pub local_version: Spanned<String>,
    /// Names of files in `kernel/fragments`, without `.config`.
    #[schemars(with = "Vec<String>")]
    pub fragments: Vec<Spanned<String>>,
    /// Patches, applied in this order.
    #[serde(default, rename = "patch")]
    pub patches: Vec<PatchToml>,
}

/// `[[patch]]` as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PatchToml {
    /// Name of a file in `kernel/patches`.
    #[schemars(with = "String")]
    pub file: Spanned<String>,
    /// The series it is for, such as `>=6.12 <6.18`; without it, every series.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub when: Option<Spanned<String>>,
}

/// The make target that a configuration starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BaseConfig {
    /// Everything off that can be off.
    Allnoconfig,
    /// What the architecture's maintainers switch on.
    Defconfig,
}

/// The kernel, checked.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// What the configuration starts from.
    pub base: BaseConfig,
    /// Prefix of the cross compiler's programs; letters, digits, `.`, `_` and `-`, ending in `-`.
    pub cross_compile: String,
    /// What follows the version in the release: empty, or `-` or `.` and letters, digits, `.`, `_`, `~`, `+`, `-`.
    pub local_version: String,
    /// The names of the fragments, in the order in which they are laid over it.
    pub fragments: Vec<String>,
    /// What all fragments, then overlays in use, ask for, in the order they were written, and behind them what the boards of the
    /// fleet need. No two contradict each other in any series, but a board may need what the others leave off.
    pub requests: Vec<Request>,
    /// Patches in the order they are applied.
    pub patches: Vec<Patch>,
}

/// A patch of the kernel's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Its file as it was read.
    pub file: Arc<SourceFile>,
    /// The series it is for.
    pub range: VersionRange,
}

impl BaseConfig {
    /// The name of the make target.
    pub fn target(self) -> &'static str {
        match self {
            Self::Allnoconfig => "allnoconfig",
            Self::Defconfig => "defconfig",
        }
    }
}

impl Kernel {
    /// Reads and checks `kernel.toml` and what it names. Everything that is wrong comes back at once.
    pub fn load(files: &Files) -> Result<Self, Findings> {
        let file = files.load(&files.part(PartKind::Kernel, "kernel"))?;
        let toml: KernelToml = file.parse()?;
        let mut findings = Findings::default();
        check_prefix(&file, &toml.cross_compile, &mut findings);
        check_local_version(&file, &toml.local_version, &mut findings);

        let mut requests = Vec::new();
        for (index, name) in toml.fragments.iter().enumerate() {
            if toml.fragments[..index]
                .iter()
                .any(|earlier| earlier.get_ref() == name.get_ref())
            {
                findings.push(
                    Finding::new(format!("the fragment `{}` is listed twice", name.get_ref()))
                        .at(file.place(name.span())),
                );
                continue;
            }
            let path = PartKind::Fragment.path(name.get_ref());
            if let Some(fragment) = load_named(files, path, &file, name, &mut findings) {
                requests.extend(fragment::parse(&fragment, &mut findings));
            }
        }
        fragment::check_contradictions(&requests, &mut findings);

        let mut patches = Vec::new();
        for patch in &toml.patches {
            let path = Path::new(FOLDER).join("patches").join(patch.file.get_ref());
            let range = match &patch.when {
                None => Ok(VersionRange::default()),
                Some(when) => when.get_ref().parse().map_err(|error: version::VersionError| {
                    Finding::new(error.to_string()).at(file.place(when.span()))
                }),
            };
            let range = findings.keep(range);
            let text = load_named(files, path, &file, &patch.file, &mut findings);
            if let (Some(range), Some(file)) = (range, text) {
                patches.push(Patch { file, range });
            }
        }

        findings.or_value(Self {
            base: toml.base,
            cross_compile: toml.cross_compile.into_inner(),
            local_version: toml.local_version.into_inner(),
            fragments: toml.fragments.into_iter().map(Spanned::into_inner).collect(),
            requests,
            patches,
        })
    }

    /// Adds what overlays ask for behind the fragments.
    pub(crate) fn add<'r>(
        &mut self,
        requests: impl IntoIterator<Item = &'r Request>,
        findings: &mut Findings,
    ) {
        let before = self.requests.len();
        self.requests.extend(requests.into_iter().cloned());
        if self.requests.len() > before {
            fragment::check_contradictions(&self.requests, findings);
        }
    }

    /// Adds what the boards of a fleet need, which switches nothing off. Contradictions are found.
    pub(crate) fn add_boards(&mut self, needed: Vec<Request>, findings: &mut Findings) {
        let on = self.requests.iter().filter(|request| request.value != Value::No);
        let on: Vec<Request> = on.chain(&needed).cloned().collect();
        fragment::check_contradictions(&on, findings);
        self.requests.extend(needed);
    }

    /// What the fragments and the boards ask for in `series`; each symbol once, in the order of first mention. What a board needs
    /// goes before that it is off.
    pub fn requests_for(&self, series: Series) -> Vec<&Request> {
        let mut places = BTreeMap::new();
        let mut asked: Vec<&Request> = Vec::new();
        for request in &self.requests {
            if !request.range.contains(series) {
                continue;
            }
            let place = *places.entry(request.symbol.as_str()).or_insert(asked.len());
            match asked.get_mut(place) {
                None => asked.push(request),
                Some(off) if off.value == Value::No => *off = request,
                Some(_) => {}
            }
        }
        asked
    }

    /// The patches for `series`, in order.
    pub fn patches_for(&self, series: Series) -> Vec<&Patch> {
        self.patches
            .iter()
            .filter(|patch| patch.range.contains(series))
            .collect()
    }
}

/// The file at `path` that `kernel.toml` calls `name`; a name that leaves the folder, or a file that cannot be read, is
/// a finding where it is named.
fn load_named(
    files: &Files,
    path: PathBuf,
    toml: &Arc<SourceFile>,
    name: &Spanned<String>,
    findings: &mut Findings,
) -> Option<Arc<SourceFile>> {
    let text = name.get_ref();
    let loaded = if text.is_empty() || text.contains('/') || text.starts_with('.') {
        Err(Finding::new(format!("`{text}` is no plain file name")))
    } else {
        files.load(&files.placed(path))
    };
    findings.keep(loaded.map_err(|finding| finding.at(toml.place(name.span()))))
}

/// The prefix becomes part of program names that make starts through a shell: nothing but a name may be in it.
fn check_prefix(file: &Arc<SourceFile>, prefix: &Spanned<String>, findings: &mut Findings) {
    let text = prefix.get_ref();
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !plain || !text.ends_with('-') {
        findings.push(
            Finding::new(format!("`{text}` is no prefix of a cross compiler"))
                .at(file.place(prefix.span()))
                .hint("for `aarch64-linux-gnu-gcc` write `aarch64-linux-gnu-`"),
        );
    }
}

/// The release is a folder's name (`/lib/modules/<release>`) and at most 64 bytes with the version before it.
fn check_local_version(file: &Arc<SourceFile>, version: &Spanned<String>, findings: &mut Findings) {
    let text = version.get_ref();
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._~+-".contains(c));
    let starts = text.is_empty() || text.starts_with(['-', '.']);
    if !plain || !starts || text.len() > 40 {
        findings.push(
            Finding::new(format!("`{text}` cannot follow the version of a kernel"))
                .at(file.place(version.span()))
                .hint("a `-` or `.`, then letters, digits, `.`, `_`, `~`, `+` or `-`, at most 40 characters in all"),
        );
    }
}

/// The text of a field that was not written.
fn no_text() -> Spanned<String> {
    Spanned::new(0..0, String::new())
}

#[cfg(test)]
mod tests;
