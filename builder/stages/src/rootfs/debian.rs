//! A Debian base: an arm64 userland made by mmdebstrap from a mirror, kept in the cache as a tarball.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use engine::sandbox::Users;
use engine::tarball::Tarball;
use engine::{Engine, Key, Preflight, Requirement, Tool, check_arm64, find_program};
use formats::units::Time;
use rustix::process::geteuid;

use super::apt_folder::Stage;
use super::apt_source::{AptSource, check_word};

/// Goes up with every change of what the tarball holds.
const REVISION: u32 = 1;

/// The stage's name in the cache.
const STAGE: &str = "debian-base";

/// The name of the tarball in its folder of the cache.
const TARBALL: &str = "base.tar";

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
    /// Packages beside the essential ones and apt; what they depend on comes along, what they recommend does not.
    pub packages: &'a BTreeSet<String>,
    /// The latest time of a file: the build's, so that the tarball does not depend on the day.
    pub time: Time,
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
        if let Err(error) = Users::of_this_process() {
            preflight.problem(format!("{purpose}: {error:#}"));
        }
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
    /// The base as a tarball, if the cache has it.
    pub fn find(&self, engine: &Engine) -> Result<Option<Tarball>> {
        let key = self.key()?;
        let entry = engine.cache.find(STAGE, &key);
        Ok(entry.map(|entry| Tarball::cached(entry, TARBALL, key)))
    }

    /// The base as a tarball, made now if the cache does not have it: some minutes. `mirrors` has for each suite the mirror
    /// that it comes from: an URL, of a folder of this machine where it is `file:///...`.
    pub fn make(&self, engine: &Engine, mirrors: &[String]) -> Result<Tarball> {
        let AptSource { suites, components } = self.source;
        ensure!(
            !suites.is_empty() && suites.len() == mirrors.len(),
            "a base of {} suites cannot be made from {} mirrors",
            suites.len(),
            mirrors.len()
        );
        let suite = &suites[0].name;
        let key = self.key()?;
        let entry = engine.cache.obtain(STAGE, &key, |part| {
            let task = engine.progress.steps("rootfs", 0);
            let mut log = engine.log("rootfs")?;
            let tarball = part.join(TARBALL);
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
            Tool::new("mmdebstrap", "mmdebstrap")
                .env("SOURCE_DATE_EPOCH", self.time.seconds.max(0).to_string())
                .args(self.arguments()?)
                .arg(suite)
                .arg(&tarball)
                .args(&lines)
                .run(&mut log, |line| {
                    if let Some(step) = line.strip_prefix("I: ") {
                        task.message(step.to_owned());
                    }
                })
                .with_context(|| format!("cannot make a Debian base of {suite}"))?;
            let size = fs::metadata(&tarball)
                .context("mmdebstrap wrote no tarball")?
                .len();
            task.done(format!(
                "Debian {suite} for arm64, {} packages asked for, {}",
                self.packages.len(),
                formats::units::Bytes(size)
            ));
            Ok(())
        })?;
        Ok(Tarball::cached(entry, TARBALL, key))
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
        for argument in self.arguments()? {
            key = key.text("argument", &argument);
        }
        Ok(key.text("time", &self.time.seconds.to_string()).finish())
    }

    /// Everything on mmdebstrap's command line that can change the tarball, but for what stands in the source.
    fn arguments(&self) -> Result<Vec<String>> {
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
        ];
        arguments.extend(EXCLUDED.map(|path| format!("--dpkgopt=path-exclude={path}")));
        arguments.extend(INCLUDED.map(|path| format!("--dpkgopt=path-include={path}")));
        if !self.packages.is_empty() {
            let packages: Vec<_> = self.packages.iter().map(String::as_str).collect();
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
            packages: &packages,
            time: Time::from_seconds(0),
        };
        base.arguments()
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
                packages: &BTreeSet::new(),
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
