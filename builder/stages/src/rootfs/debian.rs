//! A Debian base: an arm64 userland made by mmdebstrap from a mirror, kept in the cache as a tarball; and over it, for each role
//! that asks for more packages, what mmdebstrap makes of the base with them and the base has not.

mod difference;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use engine::tarball::{CachedLayer, Tarball, layer_of};
use engine::{Engine, Entry, Key, Preflight, Requirement, Tool, check_arm64, find_program};
use formats::units::{Bytes, Time};
use model::sources::Platform;
use rustix::process::geteuid;

use self::difference::difference;
use super::apt_folder::Stage;
use super::apt_source::{AptSource, check_word};
use super::base::{Base, BaseLayers, PackageSet};
use super::merge::without_each;

/// Goes up with every change of what the tarball holds.
const REVISION: u32 = 1;

/// The same for what packages add to it.
const ADDED_REVISION: u32 = 1;

/// The stages' names in the cache.
const STAGE: &str = "debian-base";
const ADDED_STAGE: &str = "debian-packages";

/// The names of the tarballs in their folders of the cache, and of the list of paths that go from the base, each followed by a NUL.
const TARBALL: &str = "base.tar";
const ADDED: &str = "added.tar";
const REMOVED: &str = "removed";

/// What is left out of every package: a node has no pager of its own. Licences stay, for images are given away.
const EXCLUDED: [&str; 5] = [
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/lintian/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
];
const INCLUDED: [&str; 2] = ["/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias"];

/// Takes away what belongs to one machine, or to the one that builds, or differs from run to run: host keys and ids,
/// names and addresses of the builder, its mirror, logs, backups of what the installation changed.
const CLEAN: &str = "cd \"$1\" && \
    rm -rf etc/ssh/ssh_host_*_key etc/ssh/ssh_host_*_key.pub etc/hostname etc/resolv.conf etc/apt/sources.list \
        etc/apt/sources.list.d/* var/lib/dbus/machine-id var/lib/systemd/random-seed var/cache/ldconfig/aux-cache \
        var/cache/debconf/*-old var/lib/dpkg/*-old etc/group- etc/gshadow- etc/passwd- etc/shadow- etc/subgid- \
        etc/subuid- var/log/apt && \
    : > etc/machine-id && \
    find var/log -type f -exec truncate --size=0 {} + && \
    find usr -name __pycache__ -prune -exec rm -rf {} +";

/// What a base is made from.
#[derive(Debug, Clone, Copy)]
pub struct DebianBase<'a> {
    /// Where its packages come from.
    pub source: &'a AptSource,
    /// Packages beside the essential ones and apt that each role asks for; what they depend on comes along, what they recommend
    /// does not.
    pub shared: &'a PackageSet,
    /// The latest time of a file: the build's, so that the tarball does not depend on the day.
    pub time: Time,
}

/// A base with what sets of packages add to it.
#[derive(Debug)]
pub struct DebianRoot {
    base: Tarball,
    /// By the set; `None` where that is the base's own.
    added: BTreeMap<PackageSet, Option<Added>>,
}

/// What a set of packages adds to the base.
#[derive(Debug)]
struct Added {
    tarball: Tarball,
    entry: Entry,
}

impl DebianRoot {
    /// The tarballs in which dpkg says what is installed: of the base, and of the base with each set.
    pub fn tarballs(&self) -> impl Iterator<Item = &Tarball> {
        let added = self.added.values().flatten();
        added.map(|added| &added.tarball).chain([&self.base])
    }
}

impl Base for DebianRoot {
    fn layers(&self, engine: &Engine, zstd: u8, sets: &[&PackageSet]) -> Result<Vec<BaseLayers>> {
        let CachedLayer { layer, key, entry } = layer_of(engine, &self.base, zstd)?;
        let base = BaseLayers {
            layers: vec![layer],
            entries: vec![entry],
            key,
            installed: None,
        };
        sets.iter()
            .map(|set| {
                let added = self.added.get(*set).context("the base was made for other roles")?;
                let Some(Added { tarball, entry }) = added else {
                    return Ok(base.clone());
                };
                let removed = entry.read(REMOVED)?;
                let removed: Vec<_> = paths(&removed).collect();
                let CachedLayer { layer, key, entry } = layer_of(engine, tarball, zstd)?;
                let key = Key::builder("debian-root", 1)
                    .key("base", &base.key)
                    .key("added", &key)
                    .bytes("removed", &removed.join(&0))
                    .finish();
                let mut layers = without_each(base.layers.clone(), &removed);
                layers.push(layer);
                Ok(BaseLayers {
                    layers,
                    entries: [base.entries.clone(), vec![entry]].concat(),
                    key,
                    installed: None,
                })
            })
            .collect()
    }

    fn platform(&self) -> Platform {
        Platform::DEBIAN
    }
}

/// Asks for what [`DebianBase::make`] needs from this machine.
pub fn debian_requirements(preflight: &mut Preflight) {
    let purpose = "makes the Debian base";
    preflight.programs([
        Requirement::new("mmdebstrap", "mmdebstrap", purpose),
        Requirement::new("apt-get", "apt", purpose),
        Requirement::new(
            "/usr/share/keyrings/debian-archive-keyring.gpg",
            "debian-archive-keyring",
            "says who signs Debian's packages",
        ),
    ]);
    if !geteuid().is_root() {
        preflight.programs([Requirement::new(
            "newuidmap",
            "uidmap",
            "lets mmdebstrap work without root",
        )]);
    }
    if std::env::consts::ARCH != "aarch64" {
        preflight.programs([Requirement::new(
            "arch-test",
            "arch-test",
            "tells mmdebstrap that arm64 programs run",
        )]);
    }
    check_arm64(preflight);
}

impl DebianBase<'_> {
    /// The base with what each of `sets` adds to it, if the cache has all of that.
    pub fn find(&self, engine: &Engine, sets: &BTreeSet<PackageSet>) -> Result<Option<DebianRoot>> {
        let key = self.key()?;
        let Some(entry) = engine.cache.find(STAGE, &key) else {
            return Ok(None);
        };
        let mut added = BTreeMap::new();
        for set in sets {
            let found = match set == self.shared {
                true => None,
                false => {
                    let key = self.added_key(&key, set)?;
                    let Some(entry) = engine.cache.find(ADDED_STAGE, &key) else {
                        return Ok(None);
                    };
                    Some(Added::of(entry, key))
                }
            };
            added.insert(set.clone(), found);
        }
        Ok(Some(DebianRoot {
            base: Tarball::cached(entry, TARBALL, key),
            added,
        }))
    }

    /// The same, made now where the cache does not have it: some minutes. `mirrors` has for each suite the mirror that it comes
    /// from: an URL, of a folder of this machine where it is `file:///...`.
    pub fn make(
        &self,
        engine: &Engine,
        mirrors: &[String],
        sets: &BTreeSet<PackageSet>,
    ) -> Result<DebianRoot> {
        let suites = &self.source.suites;
        ensure!(
            !suites.is_empty() && suites.len() == mirrors.len(),
            "a base of {} suites cannot be made from {} mirrors",
            suites.len(),
            mirrors.len()
        );
        let suite = &suites[0].name;
        let key = self.key()?;
        let entry = engine.cache.obtain(STAGE, &key, |part| {
            let tarball = part.join(TARBALL);
            let size = self
                .mmdebstrap(engine, mirrors, self.shared, None, &tarball)
                .with_context(|| format!("cannot make a Debian base of {suite}"))?;
            engine.progress.say(format!(
                "Debian {suite} for arm64, {} packages asked for, {size}",
                self.shared.len()
            ));
            Ok(())
        })?;
        let base = Tarball::cached(entry, TARBALL, key.clone());
        let mut added = BTreeMap::new();
        for set in sets {
            let made = match set == self.shared {
                true => None,
                false => Some(self.add(engine, mirrors, &base, &key, set)?),
            };
            added.insert(set.clone(), made);
        }
        Ok(DebianRoot { base, added })
    }

    /// What `set` adds to `base`.
    fn add(
        &self,
        engine: &Engine,
        mirrors: &[String],
        base: &Tarball,
        base_key: &Key,
        set: &PackageSet,
    ) -> Result<Added> {
        let key = self.added_key(base_key, set)?;
        let entry = engine.cache.obtain(ADDED_STAGE, &key, |part| {
            let names = || set.difference(self.shared).cloned().collect::<Vec<_>>().join(", ");
            let base = base.verified()?;
            let whole = part.join("whole.tar");
            self.mmdebstrap(engine, mirrors, set, Some(&base), &whole)
                .with_context(|| format!("cannot add {} to the Debian base", names()))?;
            let tarball = part.join(ADDED);
            let file = File::create(&tarball).with_context(|| format!("cannot make {}", tarball.display()))?;
            let removed = difference(&base, &whole, BufWriter::new(file))?;
            let removed: Vec<u8> = removed.into_iter().flat_map(|path| [path, vec![0]].concat()).collect();
            fs::write(part.join(REMOVED), removed).context("cannot write what goes from the base")?;
            fs::remove_file(&whole).with_context(|| format!("cannot remove {}", whole.display()))?;
            engine
                .progress
                .say(format!("over the Debian base {}: {}", names(), size_of(&tarball)?));
            Ok(())
        })?;
        Ok(Added::of(entry, key))
    }

    /// Has mmdebstrap make a root file system with `packages`, of nothing or of the tarball `base`. Returns the tarball's size.
    fn mmdebstrap(
        &self,
        engine: &Engine,
        mirrors: &[String],
        packages: &PackageSet,
        base: Option<&Path>,
        tarball: &Path,
    ) -> Result<Bytes> {
        let AptSource { suites, components } = self.source;
        let task = engine.progress.steps("rootfs", 0);
        let mut log = engine.log("rootfs")?;
        let mut staged = Vec::new();
        let mut lines = Vec::new();
        for (suite, mirror) in suites.iter().zip(mirrors) {
            let from = match mirror.strip_prefix("file://") {
                Some(folder) => {
                    let stage = Stage::new(Path::new(folder), suite, components)?;
                    let line = stage.source()?;
                    staged.push(stage);
                    line
                }
                None => {
                    check_word(mirror)?;
                    mirror.clone()
                }
            };
            lines.push(format!("deb {from} {} {}", suite.name, components.join(" ")));
        }
        let mut tool = Tool::new("mmdebstrap", "mmdebstrap")
            .env("SOURCE_DATE_EPOCH", self.time.seconds.max(0).to_string())
            .args(self.arguments(packages)?);
        if let Some(base) = base {
            tool = tool.arg(unpacking(base)?);
        }
        tool.arg(&suites[0].name)
            .arg(tarball)
            .args(&lines)
            .run(&mut log, |line| {
                if let Some(step) = line.strip_prefix("I: ") {
                    task.message(step.to_owned());
                }
            })?;
        size_of(tarball)
    }

    fn key(&self) -> Result<Key> {
        // Reading the script takes a hundredth of the time of asking it for its version.
        let script = find_program("mmdebstrap").context("`mmdebstrap` is missing (package mmdebstrap)")?;
        // The mirror is not part of it: any mirror of one release has the same packages.
        let mut key = Key::builder(STAGE, REVISION).file("mmdebstrap", &script)?;
        for suite in &self.source.suites {
            key = key
                .text("suite", &suite.name)
                .text("release", &suite.in_release_sha256);
        }
        // What every archive has says nothing.
        if self.source.components != ["main"] {
            key = key.text("components", &self.source.components.join(" "));
        }
        for argument in self.arguments(self.shared)? {
            key = key.text("argument", &argument);
        }
        Ok(key.text("time", &self.time.seconds.to_string()).finish())
    }

    /// The key of what `set` adds to the base that `base` identifies.
    fn added_key(&self, base: &Key, set: &PackageSet) -> Result<Key> {
        let mut key = Key::builder(ADDED_STAGE, ADDED_REVISION).key("base", base);
        for argument in self.arguments(set)? {
            key = key.text("argument", &argument);
        }
        Ok(key.finish())
    }

    /// Everything on mmdebstrap's command line that can change the tarball, but for what stands in the source and what it begins
    /// with.
    fn arguments(&self, packages: &PackageSet) -> Result<Vec<String>> {
        let mut releases = BTreeSet::new();
        for suite in &self.source.suites {
            let sha256 = suite.in_release_sha256.as_str();
            ensure!(
                sha256.len() == 64
                    && sha256
                        .bytes()
                        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
                "`{sha256}` is not the SHA-256 of a release"
            );
            check_word(&suite.name)?;
            releases.insert(sha256);
        }
        // As `sort -u | xargs` writes them.
        let releases = releases.into_iter().collect::<Vec<_>>().join(" ");
        for component in &self.source.components {
            check_word(component)?;
        }
        let mut arguments = vec![
            "--architectures=arm64".to_owned(),
            "--variant=apt".to_owned(),
            "--format=tar".to_owned(),
            "--skip=output/dev".to_owned(),
            "--aptopt=Acquire::Languages \"none\"".to_owned(),
            "--aptopt=APT::Install-Recommends \"false\"".to_owned(),
            // Reads the questions of all packages before any is installed, a minute under emulation. Nobody is asked.
            "--aptopt=#clear DPkg::Pre-Install-Pkgs".to_owned(),
        ];
        arguments.extend(EXCLUDED.map(|path| format!("--dpkgopt=path-exclude={path}")));
        arguments.extend(INCLUDED.map(|path| format!("--dpkgopt=path-include={path}")));
        if !packages.is_empty() {
            let packages: Vec<_> = packages.iter().map(String::as_str).collect();
            arguments.push(format!("--include={}", packages.join(",")));
        }
        arguments.push(format!(
            "--extract-hook=found=$(cd \"$1/var/lib/apt/lists\" && sha256sum -- *_InRelease | cut -c-64 | sort -u | xargs); \
             [ \"$found\" = \"{releases}\" ] || {{ echo \"the mirror has another release ($found) than sources.lock: run portadc \
             update\" >&2; exit 1; }}",
        ));
        arguments.push(format!("--customize-hook={CLEAN}"));
        Ok(arguments)
    }
}

impl Added {
    fn of(entry: Entry, key: Key) -> Self {
        Self {
            tarball: Tarball::cached(entry.clone(), ADDED, key),
            entry,
        }
    }
}

/// The paths of a list in which a NUL follows each.
fn paths(list: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let paths = list.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    paths.map(<[u8]>::to_vec)
}

/// Has mmdebstrap begin with a tarball. It reads that as who called, not as whom it becomes, who may not.
fn unpacking(base: &Path) -> Result<String> {
    let path = base.to_str().context("the cache has a name that is no text")?;
    // As Perl's `shellwords` takes it.
    let quoted = path.replace('\\', r"\\").replace('"', "\\\"");
    Ok(format!("--setup-hook=tar-in \"{quoted}\" /"))
}

fn size_of(tarball: &Path) -> Result<Bytes> {
    let metadata = fs::metadata(tarball).context("mmdebstrap wrote no tarball")?;
    Ok(Bytes(metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::AptSuite;

    const RELEASE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn source(suite: &str, sha256: &str) -> AptSource {
        AptSource {
            suites: vec![AptSuite {
                name: suite.to_owned(),
                in_release_sha256: sha256.to_owned(),
            }],
            components: vec!["main".to_owned()],
        }
    }

    fn arguments_of(source: &AptSource, packages: &[&str]) -> Result<Vec<String>> {
        let packages = packages.iter().map(|name| (*name).to_owned()).collect();
        let base = DebianBase {
            source,
            shared: &packages,
            time: Time::from_seconds(0),
        };
        base.arguments(&packages)
    }

    #[test]
    fn packages_come_sorted() {
        let trixie = source("trixie", RELEASE);
        let arguments = arguments_of(&trixie, &["udev", "dbus"]).unwrap();
        assert_eq!(arguments, arguments_of(&trixie, &["dbus", "udev"]).unwrap());
        assert!(
            arguments.contains(&"--include=dbus,udev".to_owned()),
            "{arguments:?}"
        );
        assert!(arguments.iter().any(|argument| argument.contains(RELEASE)));
        let without = arguments_of(&trixie, &[]).unwrap();
        assert!(!without.iter().any(|argument| argument.starts_with("--include")));
    }

    #[test]
    fn the_releases_of_all_suites_have_to_be_the_locked_ones() {
        let (first, second) = ("b".repeat(64), "a".repeat(64));
        let mut both = source("trixie", &first);
        both.suites.extend(source("trixie-security", &second).suites);
        let arguments = arguments_of(&both, &[]).unwrap();
        let expected = format!("[ \"$found\" = \"{second} {first}\" ]");
        assert!(arguments.iter().any(|argument| argument.contains(&expected)));
    }

    #[test]
    fn components_count() {
        let key_with = |components: &[&str]| {
            let source = AptSource {
                components: components.iter().map(|name| (*name).to_owned()).collect(),
                ..source("trixie", RELEASE)
            };
            let base = DebianBase {
                source: &source,
                shared: &BTreeSet::new(),
                time: Time::from_seconds(0),
            };
            base.key().unwrap()
        };
        let main = key_with(&["main"]);
        assert_ne!(main, key_with(&["main", "contrib"]));
        assert_ne!(main, key_with(&["contrib"]));
    }

    #[test]
    fn what_would_say_something_else_to_the_shell_or_to_apt_is_refused() {
        let error = arguments_of(&source("trixie", "$(reboot)"), &[]).unwrap_err();
        assert!(
            error.to_string().contains("is not the SHA-256 of a release"),
            "{error}"
        );
        for bad in ["", "a\nb", "trixie main [trusted=yes]", "trixie#"] {
            let error = arguments_of(&source(bad, RELEASE), &[]).unwrap_err();
            assert!(
                error.to_string().contains("cannot be part of a package source"),
                "{error}"
            );
        }
        let mut updated = source("trixie", RELEASE);
        updated
            .suites
            .extend(source("trixie-security [trusted=yes]", RELEASE).suites);
        assert!(arguments_of(&updated, &[]).is_err());
        let mut components = source("trixie", RELEASE);
        components.components.push("contrib non-free".to_owned());
        assert!(arguments_of(&components, &[]).is_err());
        for bad in ["http://m/debian trusted", "[trusted=yes]"] {
            assert!(check_word(bad).is_err(), "{bad}");
        }
        check_word("http://m.example:80/debian/").unwrap();
    }
}
