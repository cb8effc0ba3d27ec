//! What all images have in common: the kernel and the base, made side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use debian::dpkg::{self, InstalledDeb};
use engine::tarball::Tarball;
use engine::{Engine, Key, Preflight, beside, failure, is_verification_failure};
use fetch::{
    Gathering, LOCK, LockedArchive, LockedBase, LockedFile, LockedPackage, LockedSet, Mirrors, Network,
    Sha256Sum, Stage3Files, check_base, obtain,
};
use formats::blob::Blob;
use formats::fat::FatFile;
use formats::manifest::Input;
use formats::units::Time;
use model::finding::{Finding, Findings};
use model::names::quoted;
use model::project::Project;
use model::sources::{BaseSource, Platform, SourceSet};

use super::{BuildRequest, epoch};
use crate::kernel::{DeviceTreeSource, KernelSource, MODULES, Output, build};
use crate::rootfs::{AptSource, Base, DebianBase, DebianRoot, GentooBase, PackageSet, debian_requirements};

/// The kernel and the base.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The kernel. Its `Image` is not verified yet, all else is.
    pub kernel: Output,
    /// The files of the boot partition but its configuration: `Image`, `dtbs/...`.
    pub boot_files: Vec<FatFile>,
    /// The base root file system, with what the roles ask for over it.
    pub base: Box<dyn Base + 'a>,
    /// The kernel's modules.
    pub modules: Tarball,
    /// Identifies `boot_files`.
    pub kernel_key: Key,
    /// What the manifest says of all of these.
    pub described: Vec<Input>,
    /// What it says of packages that are locked for all roles, by category, name and version: a card has some of them.
    pub packages: BTreeMap<String, Input>,
}

impl<'a> Inputs<'a> {
    /// Makes kernel and base at the same time, or finds them made.
    pub fn make(
        engine: &'a Engine,
        request: &'a BuildRequest,
        locked: &LockedSet,
        time: Time,
    ) -> Result<Self> {
        let (kernel, base): (_, Box<dyn Base + 'a>) = match (&request.set.base, &locked.base) {
            (BaseSource::Archive { .. }, LockedBase::Archive(archive)) => {
                let (kernel, base) = kernel_and_debian(engine, request, locked, archive, time)?;
                (kernel, Box::new(base))
            }
            (BaseSource::Stage3(source), LockedBase::Stage3(base)) => {
                let (root, network) = (&request.project.root, &request.network);
                let files = Stage3Files::new(engine, root, source, base.clone(), request.mirror, network);
                let base = GentooBase { files, source, time };
                // Said before, not after, a kernel is compiled.
                let sets = package_sets(request);
                for zstd in levels(request) {
                    base.prepare(engine, zstd, &sets)?;
                }
                (make_kernel(engine, request, locked)?, Box::new(base))
            }
            _ => bail!("{LOCK} has another kind of base than sources.toml: run `portadc update`"),
        };
        let folder = kernel
            .entry
            .folder()
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let kernel_key = Key::builder("boot files", 1).text("kernel", &folder).finish();
        Ok(Self {
            boot_files: boot_files(&kernel)?,
            base,
            modules: Tarball::cached(
                kernel.entry.clone(),
                MODULES,
                Key::builder("modules", 1).key("kernel", &kernel_key).finish(),
            ),
            described: describe(locked, &kernel, &folder),
            packages: describe_packages(&locked.base),
            kernel_key,
            kernel,
        })
    }
}

/// The zstd levels at which the cards of a build store the base.
pub(super) fn levels(request: &BuildRequest) -> BTreeSet<u8> {
    let layouts = request
        .nodes
        .iter()
        .map(|node| &request.project.layouts[&node.layout]);
    layouts.filter_map(|layout| Some(layout.root()?.zstd)).collect()
}

/// What the roles of a build, and their container images, ask of the base.
pub(super) fn package_sets(request: &BuildRequest) -> BTreeSet<PackageSet> {
    let nodes = request.nodes.iter().copied();
    request.project.package_sets(nodes, request.set.base.platform())
}

/// The kernel, and beside it the base that mmdebstrap makes.
fn kernel_and_debian(
    engine: &Engine,
    request: &BuildRequest,
    locked: &LockedSet,
    archive: &LockedArchive,
    time: Time,
) -> Result<(Output, DebianRoot)> {
    let BuildRequest { project, set, .. } = request;
    let source = AptSource::of(archive);
    let base = debian_base(project, set, &source, time);
    let sets = package_sets(request);
    if let Some(root) = base.find(engine, &sets)? {
        return Ok((make_kernel(engine, request, locked)?, root));
    }
    // Said before, not after, a kernel is compiled.
    let mirrors = base_mirrors(request.set, archive, request.mirror, &request.network)?;
    check_packages(engine, request, archive, &project.packages(set.base.platform()))?;
    beside(
        || make_kernel(engine, request, locked),
        || base.make(engine, &mirrors, &sets),
    )
    .map_err(as_one)
}

/// The base of a fleet, from `source`.
fn debian_base<'a>(
    project: &'a Project,
    set: &SourceSet,
    source: &'a AptSource,
    time: Time,
) -> DebianBase<'a> {
    let locale = project.fleet.system.generated_locale();
    DebianBase {
        source,
        shared: shared_packages(project, set.base.platform()),
        locale: locale.map(|locale| locale.value.as_str()),
        time,
    }
}

/// The packages that every role of the fleet, and every container image, asks for: whichever nodes are built, the base is one.
fn shared_packages(project: &Project, platform: Platform) -> PackageSet {
    let sets = project.package_sets(&project.fleet.nodes, platform);
    let in_both = |one: PackageSet, other: PackageSet| &one & &other;
    sets.into_iter().reduce(in_both).unwrap_or_default()
}

/// Finds packages that overlays ask for and the archive does not have.
fn check_packages(
    engine: &Engine,
    request: &BuildRequest,
    archive: &LockedArchive,
    packages: &BTreeSet<String>,
) -> Result<()> {
    let project = request.project;
    let gathering = Gathering {
        engine,
        root: &project.root,
        mirror: request.mirror,
        network: &request.network,
    };
    let unknown = gathering.unknown_packages(&request.set.base, archive, packages)?;
    let mut findings = Findings::default();
    for (name, meant) in &unknown {
        let asked = project
            .overlays
            .values()
            .filter_map(|overlay| overlay.packages.debian.get(name));
        for place in asked {
            let finding = Finding::new(format!("`{}` has no package {}", archive.suite, quoted(name)));
            findings.push(finding.at(place.clone()).hint(match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!(
                    "`apt-cache search` of a machine with `{}` knows its names",
                    archive.suite
                ),
            }));
        }
    }
    Ok(findings.or_value(())?)
}

/// Errors as one: whoever reads it should not have to build again to hear of the other. It still is one of verification if
/// either was.
fn as_one(mut errors: Vec<anyhow::Error>) -> anyhow::Error {
    if errors.len() == 1 {
        return errors.remove(0);
    }
    let unverified = errors.iter().any(is_verification_failure);
    let texts: Vec<_> = errors.iter().map(|error| format!("{error:#}")).collect();
    failure(texts.join("\nand also: "), unverified)
}

/// The locked source of a kernel, from the cache or a mirror once it is asked for.
pub fn kernel_source<'a>(
    engine: &'a Engine,
    locked: &'a LockedFile,
    mirrors: &'a Mirrors,
    network: &'a Network,
) -> Result<KernelSource<'a>> {
    Ok(KernelSource {
        tarball: Box::new(|| obtain(engine, locked, mirrors, network)),
        sha256: locked.sha256.to_string(),
        version: locked
            .version
            .parse()
            .with_context(|| format!("sources.lock has the kernel version {:?}", locked.version))?,
    })
}

fn make_kernel(engine: &Engine, request: &BuildRequest, locked: &LockedSet) -> Result<Output> {
    let BuildRequest { project, set, .. } = request;
    let mirrors = Mirrors::of(&set.kernel, request.mirror)?;
    let source = kernel_source(engine, &locked.kernel, &mirrors, &request.network)?;
    build(engine, &project.kernel, &source, &device_trees(project))
}

/// The device trees of all boards that the fleet uses: one kernel serves them all.
fn device_trees(project: &Project) -> Vec<DeviceTreeSource> {
    let used = |name: &str| project.fleet.nodes.iter().any(|node| node.board == name);
    project
        .boards
        .values()
        .filter(|board| used(&board.name))
        .filter_map(DeviceTreeSource::of)
        .collect()
}

/// For each suite a mirror that has its locked state: what the base is made from. Without the network only a folder is one.
fn base_mirrors(
    set: &SourceSet,
    archive: &LockedArchive,
    mirror: Option<&str>,
    network: &Network,
) -> Result<Vec<String>> {
    let mirrors = Mirrors::of_base(&set.base, mirror)?;
    if mirrors.route_in(network.mode)?.mirrors.is_empty() {
        bail!(
            "the base is not in the cache, and making it needs a mirror: build once without --offline, or name a folder with \
             --mirror (`portadc vendor` makes one)"
        );
    }
    check_base(archive, &mirrors, network)
}

/// The packages of a locked Debian set's base, of all roles of the fleet, as dpkg has them, sorted. The base is found, or made now.
pub fn debian_packages(
    engine: &Engine,
    project: &Project,
    set: &SourceSet,
    locked: &LockedSet,
    archive: &LockedArchive,
    mirror: Option<&str>,
    network: &Network,
) -> Result<Vec<InstalledDeb>> {
    let source = AptSource::of(archive);
    let base = debian_base(project, set, &source, Time::from_seconds(epoch(locked.epoch())?));
    let sets = project.package_sets(&project.fleet.nodes, set.base.platform());
    let root = match base.find(engine, &sets)? {
        Some(root) => root,
        None => {
            let mirrors = base_mirrors(set, archive, mirror, network)?;
            let mut preflight = Preflight::default();
            debian_requirements(&mut preflight);
            preflight.finish()?;
            base.make(engine, &mirrors, &sets)
                .context("the packages of the base are known when it is made")?
        }
    };
    let mut packages = BTreeSet::new();
    for tarball in root.tarballs() {
        packages.extend(dpkg::installed(&tarball.verified()?)?);
    }
    Ok(packages.into_iter().collect())
}

/// `Image` and the device trees, by the names that U-Boot asks for.
fn boot_files(kernel: &Output) -> Result<Vec<FatFile>> {
    let mut files = vec![boot_file("Image", &kernel.image()?)?];
    for (install, path) in kernel.device_trees()? {
        files.push(boot_file(&format!("dtbs/{install}"), &path)?);
    }
    Ok(files)
}

fn boot_file(name: &str, path: &Path) -> Result<FatFile> {
    let file = fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let length = file
        .metadata()
        .with_context(|| format!("cannot look at {}", path.display()))?
        .len();
    Ok(FatFile {
        path: name.to_owned(),
        length,
        blob: Blob::from(file),
        blob_offset: 0,
    })
}

/// What the manifest says of sources, kernel and base.
fn describe(locked: &LockedSet, kernel: &Output, kernel_key: &str) -> Vec<Input> {
    let source = |name: &str, file: &LockedFile| Input {
        name: name.to_owned(),
        version: Some(file.version.clone()),
        sha256: file.sha256.to_string(),
    };
    let mut base: Vec<_> = match &locked.base {
        LockedBase::Stage3(base) => vec![source("base", &base.tarball)],
        LockedBase::Archive(archive) => {
            let input = |(suite, sha256): (&str, Sha256Sum)| Input {
                name: format!("debian {suite}"),
                // A point release is one of the main suite.
                version: archive.version.clone().filter(|_| suite == archive.suite),
                sha256: sha256.to_string(),
            };
            archive.suites().map(input).collect()
        }
    };
    let built = Input {
        name: KERNEL.to_owned(),
        version: Some(kernel.release.clone()),
        sha256: kernel_key.to_owned(),
    };
    base.extend([source("kernel source", &locked.kernel), built]);
    base
}

/// What a manifest says of each package that is locked for a stage3, by category, name and version.
fn describe_packages(base: &LockedBase) -> BTreeMap<String, Input> {
    let LockedBase::Stage3(base) = base else {
        return BTreeMap::new();
    };
    let input = |package: &LockedPackage| Input {
        name: format!("package {}", package.name()),
        version: Some(package.version()),
        sha256: package.sha256.to_string(),
    };
    let packages = base.packages.iter();
    packages
        .map(|package| (package.cpv.clone(), input(package)))
        .collect()
}

/// The name under which a manifest lists the compiled kernel; its version is what `uname -r` prints.
pub const KERNEL: &str = "kernel";

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use engine::VerificationFailed;

    use super::*;

    #[test]
    fn of_two_errors_none_gets_lost() {
        let changed =
            || anyhow::Error::from(VerificationFailed("its hash is another".into())).context("the kernel");
        let full = || anyhow!("the disk is full");
        let error = as_one(vec![changed(), full()]);
        assert_eq!(
            error.to_string(),
            "the kernel: its hash is another\nand also: the disk is full"
        );
        assert!(is_verification_failure(&error));
        assert!(is_verification_failure(&as_one(vec![full(), changed()])));
        assert!(!is_verification_failure(&as_one(vec![full(), full()])));
        let one = as_one(vec![changed()]);
        assert!(is_verification_failure(&one) && !one.to_string().contains("and also"));
    }
}
