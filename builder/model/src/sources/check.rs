//! From `sources.toml` as written to what is true.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use super::blobs::licenses;
use super::written::{ArchiveToml, BaseToml, KernelToml, PackageToml, SetToml, SourcesToml, UBootToml};
use super::{Archive, BaseSource, Series, Signer, Source, SourceSet, Sources, normal_mirror};
use crate::finding::{Finding, Findings, SourceFile};

impl Sources {
    /// Checks a file that was read.
    pub fn check(file: &Arc<SourceFile>) -> Result<Self, Findings> {
        let written: SourcesToml = file.parse()?;
        let mut check = Check {
            file,
            findings: Findings::default(),
            signers: BTreeMap::new(),
        };
        let licenses = licenses(written.licenses);
        let accepted_licenses = check.accepted(&licenses, written.accept_licenses);
        let blobs = check.blobs(&licenses, written.blobs);
        for (name, signer) in written.signers {
            let name = name.into_inner();
            let signer = check.signer(&name, signer);
            check.signers.insert(name, Arc::new(signer));
        }
        let mut sets = BTreeMap::new();
        for (name, set) in written.sets {
            let name = name.into_inner();
            if let Some(set) = check.set(&name, set) {
                sets.insert(name, set);
            }
        }
        let Check {
            mut findings,
            signers,
            ..
        } = check;
        if findings.0.is_empty() && !sets.contains_key(written.default.get_ref()) {
            let names: Vec<&str> = sets.keys().map(String::as_str).collect();
            findings.push(
                unknown("source set", written.default.get_ref(), &names)
                    .at(file.place(written.default.span())),
            );
        }
        findings.or_value(Self {
            default: written.default.into_inner(),
            signers,
            sets,
            accepted_licenses,
            blobs,
        })
    }
}

/// A name that nothing has, with the nearest that something has.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> Finding {
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    Finding::new(format!("there is no {what} `{name}`")).hint(match nearest {
        Some((_, nearest)) => format!("did you mean `{nearest}`?"),
        None if known.is_empty() => format!("sources.toml declares no {what}"),
        None => format!("sources.toml has: {}", known.join(", ")),
    })
}

/// The check of one file.
pub(super) struct Check<'a> {
    pub(super) file: &'a Arc<SourceFile>,
    pub(super) findings: Findings,
    signers: BTreeMap<String, Arc<Signer>>,
}

impl Check<'_> {
    /// Keeps a finding at `span`.
    pub(super) fn found(&mut self, span: Range<usize>, message: String, hint: &str) {
        self.findings
            .push(Finding::new(message).at(self.file.place(span)).hint(hint));
    }

    fn set(&mut self, name: &str, written: SetToml) -> Option<SourceSet> {
        let archive = match written.archive {
            Some(archive) => self.archive(archive).map(Arc::new).map(Some),
            None => Some(None),
        };
        // Every part is checked before the set is given up: all findings at once.
        let (kernel_span, u_boot_span, base_span) =
            (written.kernel.span(), written.u_boot.span(), written.base.span());
        let kernel = match written.kernel.into_inner() {
            KernelToml::Archive(package) => self.package(&archive, package, kernel_span),
            KernelToml::KernelOrg(source) => {
                let series = self.series(&source.series);
                let mirrors = self.mirrors(source.mirrors);
                let signer = self.signed_by(&source.signer);
                (|| {
                    Some(Source::KernelOrg {
                        series: series?,
                        mirrors: mirrors?,
                        signer: signer?,
                    })
                })()
            }
        };
        let u_boot = match written.u_boot.into_inner() {
            UBootToml::Archive(package) => self.package(&archive, package, u_boot_span),
            UBootToml::Release(source) => {
                let version = self.series(&source.version);
                let mirrors = self.mirrors(source.mirrors);
                let signer = self.signed_by(&source.signer);
                (|| {
                    Some(Source::Release {
                        version: version?.0,
                        mirrors: mirrors?,
                        signer: signer?,
                    })
                })()
            }
        };
        let base = match written.base.into_inner() {
            BaseToml::Archive(source) => {
                let architecture = self.architecture(&source.architecture);
                let archive = self.need_archive(&archive, base_span);
                (|| {
                    Some(BaseSource::Archive {
                        archive: archive?,
                        architecture: architecture?,
                    })
                })()
            }
            BaseToml::Stage3(source) => self.stage3(*source).map(BaseSource::Stage3),
        };
        Some(SourceSet {
            name: name.to_owned(),
            description: written.description,
            kernel: kernel?,
            u_boot: u_boot?,
            base: base?,
        })
    }

    fn archive(&mut self, written: ArchiveToml) -> Option<Archive> {
        let suite = self.word(&written.suite, "suite");
        let security = written
            .security
            .as_ref()
            .map(|security| self.word(security, "suite"));
        if let Some(security) = &written.security
            && security.get_ref() == written.suite.get_ref()
        {
            self.found(
                security.span(),
                "the suite of security updates is the suite itself".into(),
                "Debian's is named after the code name: `trixie-security`",
            );
        }
        let components: Vec<_> = written
            .components
            .iter()
            .filter_map(|component| self.word(component, "component"))
            .collect();
        if written.components.is_empty() {
            self.found(
                written.suite.span(),
                "the archive has no components".into(),
                "most archives have `main`",
            );
        }
        let signer = self.signed_by(&written.signer);
        Some(Archive {
            suite: suite?,
            // Named but wrong is another thing than not named.
            security: match security {
                Some(security) => Some(security?),
                None => None,
            },
            components,
            signer: signer?,
        })
    }

    /// A source package of the set's archive.
    fn package(
        &mut self,
        archive: &Option<Option<Arc<Archive>>>,
        written: PackageToml,
        span: Range<usize>,
    ) -> Option<Source> {
        let package = self.word(&written.package, "source package");
        let series = self.series(&written.series);
        let archive = self.need_archive(archive, span);
        Some(Source::Archive {
            archive: archive?,
            package: package?,
            series: series?,
        })
    }

    /// The set's archive: outer `None` where it is written but wrong (found already), inner where there is none.
    fn need_archive(
        &mut self,
        archive: &Option<Option<Arc<Archive>>>,
        span: Range<usize>,
    ) -> Option<Arc<Archive>> {
        match archive {
            Some(Some(archive)) => Some(archive.clone()),
            Some(None) => {
                self.found(
                    span,
                    "this comes from an archive, but the set names none".into(),
                    "add `[sets.<name>.archive]` with suite, components and signer",
                );
                None
            }
            None => None,
        }
    }

    pub(super) fn signed_by(&mut self, name: &Spanned<String>) -> Option<Arc<Signer>> {
        if let Some(signer) = self.signers.get(name.get_ref()) {
            return Some(signer.clone());
        }
        let names: Vec<&str> = self.signers.keys().map(String::as_str).collect();
        let finding = unknown("signer", name.get_ref(), &names).at(self.file.place(name.span()));
        self.findings.push(finding);
        None
    }

    fn series(&mut self, written: &Spanned<String>) -> Option<Series> {
        let series = Series::parse(written.get_ref());
        if series.is_none() {
            self.found(
                written.span(),
                format!("`{}` is no version", written.get_ref()),
                "numbers with dots between them, such as 6.12",
            );
        }
        series
    }

    /// Debian's name of the one architecture that kernels and bases are made for.
    fn architecture(&mut self, written: &Spanned<String>) -> Option<String> {
        if written.get_ref() == "arm64" {
            return Some(written.get_ref().clone());
        }
        self.found(
            written.span(),
            format!("`{}` is no architecture that a node can have", written.get_ref()),
            "every node is arm64: write that",
        );
        None
    }

    /// A name that becomes part of a path or URL.
    pub(super) fn word(&mut self, written: &Spanned<String>, what: &str) -> Option<String> {
        let word = written.get_ref();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_+.".contains(c);
        if word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.chars().all(plain) {
            return Some(word.clone());
        }
        self.found(
            written.span(),
            format!("`{word}` is no name of a {what}"),
            "letters, digits and - _ + . only, a letter or digit first",
        );
        None
    }

    pub(super) fn mirrors(&mut self, written: Spanned<Vec<Spanned<String>>>) -> Option<Vec<String>> {
        if written.get_ref().is_empty() {
            self.found(
                written.span(),
                "there is no mirror to fetch this from".into(),
                "name at least one URL",
            );
        }
        let mut mirrors = Vec::new();
        for mirror in written.into_inner() {
            match normal_mirror(mirror.get_ref()) {
                Some(mirror) => mirrors.push(mirror),
                None => self.found(
                    mirror.span(),
                    format!("`{}` is no mirror", mirror.get_ref()),
                    "an http:// or https:// URL of a folder, without `?` and `#`",
                ),
            }
        }
        (!mirrors.is_empty()).then_some(mirrors)
    }
}
