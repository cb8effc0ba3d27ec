//! The compilation: image, device trees of boards, modules.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use model::kernel::Kernel;

use super::configure::{Configured, configure, install_config};
use super::make::make;
use super::source::{Identity, KernelSource};
use super::{modules, patch};
use crate::engine::{Engine, Key};

/// Raised when this code builds differently.
const REVISION: u32 = 1;

/// The program that lists modules' dependencies; Debian keeps it where a user's `PATH` does not look.
pub(super) const DEPMOD: &str = "/sbin/depmod";

/// Where the kernel keeps the device trees of its architecture.
const DEVICE_TREES: &str = "arch/arm64/boot/dts";

/// A device tree to compile with the kernel.
#[derive(Debug, Clone)]
pub struct DeviceTreeSource {
    /// The source file. It may include the kernel's own device trees by name.
    pub source: PathBuf,
    /// Its name below `dtbs/`: `amlogic/meson-gxbb-odroidc2.dtb`. The folder is the one that its includes are in.
    pub install: String,
}

/// A built kernel: a folder of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The folder.
    pub folder: PathBuf,
    /// What `uname -r` prints: `6.12.107-portadc`.
    pub release: String,
}

impl Output {
    /// The kernel, uncompressed.
    pub fn image(&self) -> PathBuf {
        self.folder.join("Image")
    }

    /// The folder of compiled device trees.
    pub fn device_trees(&self) -> PathBuf {
        self.folder.join("dtbs")
    }

    /// Modules, stripped, and the lists that find them, below `usr/lib/modules/<release>`: a tarball in which
    /// everything belongs to root and bears the time of the kernel's release.
    pub fn modules(&self) -> PathBuf {
        self.folder.join("modules.tar")
    }
}

/// The key of a kernel with these device trees.
pub(super) fn key_of(configured: &Configured, kernel: &Kernel, trees: &[DeviceTreeSource]) -> Result<Key> {
    // The configuration's key holds source, patches and compiler.
    let builder = Key::builder("kernel", REVISION)
        .key("configuration", &configured.key)
        .text("config", &configured.config)
        .text("local-version", &kernel.local_version);
    let builder = trees.iter().try_fold(builder, |builder, tree| {
        builder
            .text("install", &tree.install)
            .file("device tree", &tree.source)
    })?;
    Ok(builder.finish())
}

/// Builds `source`, or finds it built. The configuration is compared with the fragments before anything is compiled.
pub fn build(
    engine: &Engine,
    kernel: &Kernel,
    source: &KernelSource,
    trees: &[DeviceTreeSource],
) -> Result<Output> {
    for tree in trees {
        check_install(&tree.install)?;
    }
    let configured = configure(engine, kernel, source)?;
    let key = key_of(&configured, kernel, trees)?;
    let folder = engine.cache.obtain("kernel", &key, |part| {
        // The kernel's build changes folders: relative paths would lead elsewhere.
        let work = fs::canonicalize(part)
            .with_context(|| format!("cannot find {}", part.display()))?
            .join("work");
        let result = compile(engine, kernel, source, &configured, trees, &work, part);
        // The objects are of no use to anyone; an error of the work matters more than one of removing them.
        let removed = fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()));
        result.and(removed)
    })?;
    let path = folder.join("release");
    let release = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Output {
        folder,
        release: release.trim().to_owned(),
    })
}

/// A name below `dtbs/` is a folder of the kernel's and a file of ours.
fn check_install(install: &str) -> Result<()> {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let is_named_well = install
        .split_once('/')
        .is_some_and(|(vendor, file)| plain(vendor) && plain(file) && file.ends_with(".dtb"));
    ensure!(
        is_named_well,
        "`{install}` is no name of a device tree such as `amlogic/meson-gxbb-odroidc2.dtb`"
    );
    Ok(())
}

/// All of the work, in `work`; results go to `part`.
fn compile(
    engine: &Engine,
    kernel: &Kernel,
    source: &KernelSource,
    configured: &Configured,
    trees: &[DeviceTreeSource],
    work: &Path,
    part: &Path,
) -> Result<()> {
    let mut log = engine.log("kernel")?;
    let estimate = Estimate::load(engine);
    let task = engine.progress.steps("kernel", estimate.steps);
    task.message("unpacking the source");
    let identity = source.identity()?;
    let tree = work.join("linux");
    source.unpack(&tree, |_| true)?;
    patch::apply(
        &kernel.patches_for(source.version.series),
        source,
        &tree,
        &mut log,
    )?;
    install_config(kernel, source, configured, &tree, &mut log)?;

    let targets = put_device_trees(trees, &tree)?;
    let mut steps = 0;
    make(kernel, &tree, &identity)
        .arg(format!("-j{}", engine.jobs.max(1)))
        .args(["Image", "modules"])
        .args(targets.iter().map(|target| format!("{target}.dtb")))
        .run(&mut log, |line| {
            if let Some(file) = step(line) {
                steps += 1;
                task.position(steps);
                task.message(file.to_owned());
            }
        })
        .with_context(|| format!("cannot compile linux {}", source.version))?;
    estimate.save(engine, steps)?;

    task.message("packing the modules");
    let release = release(kernel, &identity, &tree)?;
    let installed = work.join("modules");
    make(kernel, &tree, &identity)
        .arg("modules_install")
        .arg(format!("INSTALL_MOD_PATH={}", installed.display()))
        .args(["INSTALL_MOD_STRIP=1", &format!("DEPMOD={DEPMOD}")])
        .run(&mut log, |_| ())
        .with_context(|| format!("cannot install the modules of linux {}", source.version))?;
    modules::pack(
        &installed.join("lib/modules").join(&release),
        &release,
        identity.released,
        &part.join("modules.tar"),
    )?;

    for (tree_source, target) in trees.iter().zip(&targets) {
        let from = tree.join(DEVICE_TREES).join(format!("{target}.dtb"));
        copy(&from, &part.join("dtbs").join(&tree_source.install))?;
    }
    copy(&tree.join("arch/arm64/boot/Image"), &part.join("Image"))?;
    copy(&tree.join("System.map"), &part.join("System.map"))?;
    copy(&tree.join(".config"), &part.join("config"))?;
    fs::write(part.join("release"), format!("{release}\n")).context("cannot write the kernel's release")?;
    task.done(format!("linux {release} is built"));
    Ok(())
}

/// Puts the boards' device trees beside the kernel's own, where their includes are found. Returns the target of each,
/// without its ending: a name that none of the kernel's has.
fn put_device_trees(trees: &[DeviceTreeSource], tree: &Path) -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for (index, device_tree) in trees.iter().enumerate() {
        let vendor = device_tree.install.split('/').next().unwrap_or_default();
        let folder = tree.join(DEVICE_TREES).join(vendor);
        if !folder.is_dir() {
            let install = &device_tree.install;
            bail!("the kernel has no folder `{vendor}` of device trees, as `{install}` asks for");
        }
        let target = format!("{vendor}/portadc-{index}");
        copy(
            &device_tree.source,
            &tree.join(DEVICE_TREES).join(format!("{target}.dts")),
        )?;
        targets.push(target);
    }
    Ok(targets)
}

/// The release that the kernel gave itself; another than its parts make is an error, as modules would not be found.
fn release(kernel: &Kernel, identity: &Identity, tree: &Path) -> Result<String> {
    let path = tree.join("include/config/kernel.release");
    let found = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let found = found.trim();
    let Identity {
        version,
        extra_version,
        ..
    } = identity;
    let expected = format!(
        "{}.{}{extra_version}{}",
        version.series, version.patch, kernel.local_version
    );
    ensure!(
        found == expected,
        "the kernel calls itself {found} instead of {expected}"
    );
    Ok(expected)
}

/// Copies a file; the target's folder is made.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// The file that a line of make's output says is being made: `  CC [M]  net/ipv4/tunnel4.o`.
fn step(line: &str) -> Option<&str> {
    let mut words = line.strip_prefix("  ")?.split_whitespace();
    let command = words.next()?;
    let is_command = command
        .chars()
        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let file = words.find(|word| *word != "[M]")?;
    is_command.then_some(file)
}

/// How many steps a build has: as many as the last one had. Progress only; nothing that is made depends on it.
struct Estimate {
    path: PathBuf,
    steps: u64,
}

impl Estimate {
    /// What the last build noted; 0 where there was none.
    fn load(engine: &Engine) -> Self {
        let path = engine.cache.root().join("kernel-steps");
        let steps = fs::read_to_string(&path)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        Self { path, steps }
    }

    /// Notes how many it were.
    fn save(&self, engine: &Engine, steps: u64) -> Result<()> {
        engine
            .progress
            .detail(format!("kernel: {steps} steps, {} were expected", self.steps));
        fs::write(&self.path, format!("{steps}\n"))
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_from_other_lines() {
        for (line, file) in [
            ("  CC      kernel/fork.o", Some("kernel/fork.o")),
            ("  CC [M]  net/ipv4/tunnel4.o", Some("net/ipv4/tunnel4.o")),
            ("  LD      vmlinux", Some("vmlinux")),
            ("make[2]: Entering directory", None),
            ("  note: in expansion of macro", None),
            ("  CC", None),
        ] {
            assert_eq!(step(line), file, "{line}");
        }
    }

    #[test]
    fn names_of_device_trees_stay_below_their_folder() {
        assert!(check_install("amlogic/meson-gxbb-odroidc2.dtb").is_ok());
        for bad in [
            "a.dtb",
            "../a.dtb",
            "a/../b.dtb",
            "a/b/c.dtb",
            "/a.dtb",
            "a/b.dts",
            "a/b c.dtb",
            ".a/b.dtb",
        ] {
            assert!(check_install(bad).is_err(), "{bad}");
        }
    }
}
