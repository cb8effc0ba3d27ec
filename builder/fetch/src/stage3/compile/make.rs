//! Packages, compiled in a workshop, and the index that makes a source of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use engine::Key;
use gentoo::emerge::Step;
use gentoo::repository::mirror_paths;
use sha1::{Digest as _, Sha1};

use super::super::{LockedCompile, LockedDistfile, LockedPackage, LockedPackageSource, Stage3Tarball};
use super::unsigned::open;
use super::workshop::{Workshop, files_below};
use super::{bring_tools, repository};
use crate::digest::{Sha256Sum, Sum};
use crate::download::{Store, Wanted, fetch};

/// What emerge is always told: the same whether it is asked or does it.
pub(super) const OPTIONS: &[&str] = &[
    "--ignore-default-opts",
    "--oneshot",
    "--usepkg",
    "--with-bdeps=y",
    "--autounmask=n",
    "--color=n",
    "--nospinner",
];

/// Keys of metadata that an index has beside what [`stanza`] says of the file.
const KEYS: [&str; 20] = [
    "BDEPEND",
    "BUILD_ID",
    "BUILD_TIME",
    "CHOST",
    "DEFINED_PHASES",
    "DEPEND",
    "DESCRIPTION",
    "EAPI",
    "IDEPEND",
    "IUSE",
    "KEYWORDS",
    "LICENSE",
    "PDEPEND",
    "PROPERTIES",
    "PROVIDES",
    "RDEPEND",
    "REQUIRES",
    "RESTRICT",
    "SLOT",
    "USE",
];

/// What a phase of an ebuild that fails begins to say.
const ERROR: &str = " * ERROR: ";

/// Lines before it that are told.
const LINES: usize = 8;

/// What to do where no mirror has a distfile.
const GONE: &str = "mirrors keep what the newest ebuilds name: `portadc update` takes the newest snapshot";

/// Compiles the packages of `locked` into the new folder `packages`.
pub(super) fn make(
    stage3: &Stage3Tarball,
    locked: &LockedCompile,
    sources: &BTreeMap<String, LockedPackageSource>,
    workshop: &mut Workshop,
    key: &Key,
    packages: &Path,
) -> Result<()> {
    let Stage3Tarball { errand, source, .. } = *stage3;
    let tools = bring_tools(errand, source, sources, &locked.tools)?;
    let files = locked
        .distfiles
        .iter()
        .map(|file| Ok((file.file.clone(), distfile(stage3, file)?)))
        .collect::<Result<Vec<_>>>()?;
    workshop.add_distfiles(&files)?;
    workshop.begin_packages(Some(key))?;
    let fetched = workshop.add_packages(&tools)?;
    let atoms: Vec<&str> = locked.atoms.iter().map(String::as_str).collect();
    let program = [
        &["emerge", "--buildpkg", "--jobs=1", "--quiet-build=n"],
        OPTIONS,
        &["--"],
        &atoms,
    ]
    .concat();
    let progress = &errand.engine.progress;
    let task = progress.steps("compile", 0);
    let (mut at, mut failed) = (String::new(), None);
    let (mut recent, mut last): (VecDeque<String>, Option<String>) = (VecDeque::new(), None);
    let ran = workshop.run(&program, |line| {
        // Behind it emerge says much that is none of the ebuild's.
        if last.is_none() && line.starts_with(ERROR) {
            let lines = recent.iter().map(String::as_str).chain([line]);
            last = Some(lines.map(|line| format!("\n    {line}")).collect());
        }
        if recent.len() == LINES {
            recent.pop_front();
        }
        recent.push_back(line.to_owned());
        match Step::of(line) {
            Some(Step::Package {
                cpv,
                number,
                of,
                compiled,
            }) => {
                at = format!("{number} of {of}: {cpv}");
                let how = if compiled { "" } else { " (binary package)" };
                progress.say(format!("compile: {at}{how}"));
                task.message(at.clone());
            }
            Some(Step::Phase(phase)) => {
                progress.detail(format!("compile: {at}: {phase}"));
                task.message(format!("{at}: {phase}"));
            }
            Some(Step::Failed(cpv)) => failed = Some(cpv),
            None => {}
        }
    });
    ran.with_context(|| {
        let what = failed.map_or("what no source has".into(), |cpv| cpv.to_string());
        let last = last
            .map(|last| format!("; it printed last:{last}\n  emerge"))
            .unwrap_or_default();
        format!("cannot compile {what} (what is done so far is gone on with){last}")
    })?;
    let count = collect(&workshop.packages(), &fetched, packages)?;
    if count == 0 {
        bail!("emerge made no package of {}", atoms.join(", "));
    }
    task.done(format!("{count} packages"));
    Ok(())
}

/// Where Gentoo's mirrors have a distfile, below the folder of distfiles.
pub(super) fn place_of_distfile(name: &str) -> String {
    let [by_hash, _flat] = mirror_paths(name);
    by_hash
}

/// A distfile, from the cache or fetched, of the right size and sums.
pub(super) fn distfile(stage3: &Stage3Tarball, file: &LockedDistfile) -> Result<PathBuf> {
    let errand = stage3.errand;
    let sums = [Sum::parse_sha512(&file.sha512), Sum::parse_blake2b(&file.blake2b)];
    let wanted = Wanted {
        name: file.file.clone(),
        paths: mirror_paths(&file.file).into(),
        size: file.size,
        sums: sums.into_iter().flatten().collect(),
        store: Store::Sources,
        if_gone: GONE,
    };
    let mirrors = errand.upstream(&repository(stage3.source)?.distfiles)?;
    fetch(errand.engine, &wanted, &mirrors, errand.network)
}

/// Takes the sound packages below `from`, but for those that were fetched, into the new folder `to`, and writes their index.
fn collect(from: &Path, fetched: &BTreeSet<Sha256Sum>, to: &Path) -> Result<usize> {
    let mut stanzas = BTreeMap::new();
    for path in files_below(from)? {
        if path.extension().is_none_or(|extension| extension != "tar") {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if fetched.contains(&Sha256Sum::of(&bytes)) {
            continue;
        }
        let package = open(&path)?;
        let (name, stanza) = stanza(package.metadata(), &bytes)
            .with_context(|| format!("the package {} is refused", path.display()))?;
        let place = to.join(&name);
        let folder = place.parent().context("a package has no folder")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(&place, &bytes).with_context(|| format!("cannot write {}", place.display()))?;
        if stanzas.insert(name, stanza).is_some() {
            bail!("two packages are called as {} is", path.display());
        }
    }
    let mut index = format!("PACKAGES: {}\nVERSION: 0\n\n", stanzas.len());
    index.extend(stanzas.values().map(String::as_str));
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let path = to.join("Packages");
    fs::write(&path, index).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(stanzas.len())
}

/// Whether a file is the locked package.
pub(super) fn is_same(path: &Path, locked: &LockedPackage) -> bool {
    File::open(path)
        .and_then(Sha256Sum::of_reader)
        .is_ok_and(|sum| sum == locked.sha256)
}

/// Where a package is kept below its source, and what its index says of it.
fn stanza(metadata: &BTreeMap<String, Vec<u8>>, bytes: &[u8]) -> Result<(String, String)> {
    let value = |key: &str| -> Result<String> {
        let value = metadata.get(key).map(Vec::as_slice).unwrap_or_default();
        let text = std::str::from_utf8(value).with_context(|| format!("its {key} is no text"))?;
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let (category, pf) = (value("CATEGORY")?, value("PF")?);
    let cpv: gentoo::Cpv = format!("{category}/{pf}").parse()?;
    let package = cpv.name.package();
    let build = match value("BUILD_ID")?.as_str() {
        "" => String::new(),
        build => format!("-{}", build.parse::<u32>().context("its BUILD_ID is no number")?),
    };
    let path = format!("{category}/{package}/{pf}{build}.gpkg.tar");
    let mut text = String::new();
    writeln!(text, "CPV: {cpv}")?;
    for key in KEYS {
        let value = value(key)?;
        if !value.is_empty() {
            writeln!(text, "{key}: {value}")?;
        }
    }
    let repository = value("repository")?;
    if !repository.is_empty() {
        writeln!(text, "REPO: {repository}")?;
    }
    writeln!(text, "PATH: {path}")?;
    writeln!(text, "SHA1: {:x}", Sha1::digest(bytes))?;
    writeln!(text, "SIZE: {}\n", bytes.len())?;
    Ok((path, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), value.as_bytes().to_vec());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn an_index_has_what_a_package_says_of_itself() {
        let metadata = metadata(&[
            ("CATEGORY", "app-a\n"),
            ("PF", "foo-1-r2\n"),
            ("BUILD_ID", "3\n"),
            ("SLOT", "0/1\n"),
            ("RDEPEND", "a/b\n  c/d\n"),
            ("repository", "gentoo\n"),
        ]);
        let (path, text) = stanza(&metadata, b"abc").unwrap();
        assert_eq!(path, "app-a/foo/foo-1-r2-3.gpkg.tar");
        let index = gentoo::index::Packages::parse(format!("VERSION: 0\n\n{text}").as_bytes()).unwrap();
        let package = &index.packages[0];
        assert_eq!(package.cpv.to_string(), "app-a/foo-1-r2");
        assert_eq!((package.build_id, package.size), (Some(3), Some(3)));
        assert_eq!(
            (package.rdepend.as_str(), package.subslot.as_str()),
            ("a/b c/d", "1")
        );
        assert_eq!(
            package.sha1.as_deref(),
            Some("a9993e364706816aba3e25717850c26c9cd0d89d")
        );
        assert_eq!(package.path.as_deref(), Some(path.as_str()));
    }

    #[test]
    fn a_package_that_lies_about_its_name_is_refused() {
        for pairs in [
            [("CATEGORY", "../.."), ("PF", "foo-1")],
            [("CATEGORY", "app"), ("PF", "../../x-1")],
            [("CATEGORY", "app"), ("PF", "foo")],
        ] {
            assert!(stanza(&metadata(&pairs), b"").is_err(), "{pairs:?}");
        }
        let build = metadata(&[("CATEGORY", "app"), ("PF", "foo-1"), ("BUILD_ID", "../1")]);
        assert!(stanza(&build, b"").is_err());
    }
}
