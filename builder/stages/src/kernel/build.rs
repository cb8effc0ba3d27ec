//! The compilation: image, device trees of boards, modules.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use engine::{Engine, Entry, Key};
use model::kernel::Kernel;
use sha2::{Digest, Sha256};

use super::configure::{configure, install};
use super::device_tree::{self, DeviceTreeSource};
use super::make::make;
use super::source::{Identity, KernelSource};
use super::{modules, patch};
use crate::kbuild::configure::Configured;
use crate::kbuild::steps::{Estimate, Steps};

/// Raised when this code builds differently.
const REVISION: u32 = 1;

/// Modules, stripped, and the lists that find them, below `usr/lib/modules/<release>`: a tarball in which everything
/// belongs to root and bears the time of the kernel's release.
pub const MODULES: &str = "modules.tar";

/// What else is in a kernel's folder of the cache, beside `System.map` and `config`, which are for people.
const IMAGE: &str = "Image";
const RELEASE: &str = "release";
/// Before the name of each device tree.
const TREES: &str = "dtbs/";

/// The program that lists modules' dependencies; Debian keeps it where a user's `PATH` does not look.
pub(super) const DEPMOD: &str = "/sbin/depmod";

/// A built kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where it is in the cache.
    pub entry: Entry,
    /// What `uname -r` prints: `6.12.107-portadc`.
    pub release: String,
}

impl Output {
    /// The kernel, uncompressed. It is as it was made once [`verify_image`](Self::verify_image) has said so.
    pub fn image(&self) -> Result<PathBuf> {
        self.entry.present(IMAGE)
    }

    /// Refuses a kernel that is not as it was made: for whoever is about to write it somewhere, as reading it takes longer
    /// than finding that nothing is to be done.
    pub fn verify_image(&self) -> Result<()> {
        self.entry.verified(IMAGE).map(drop)
    }

    /// The compiled device trees, verified, by the names under which boards install them.
    pub fn device_trees(&self) -> Result<Vec<(String, PathBuf)>> {
        let names = self.entry.names()?;
        let trees = names
            .iter()
            .filter_map(|name| Some((name, name.strip_prefix(TREES)?)));
        trees
            .map(|(name, install)| Ok((install.to_owned(), self.entry.verified(name)?)))
            .collect()
    }
}

/// The key of a kernel with these device trees.
pub(super) fn key_of(configured: &Configured, kernel: &Kernel, trees: &[DeviceTreeSource]) -> Key {
    // The configuration's key holds source, patches and compiler.
    let builder = Key::builder("kernel", REVISION)
        .key("configuration", &configured.key)
        .text("config", &configured.config)
        .text("local-version", &kernel.local_version);
    let builder = trees.iter().fold(builder, |builder, tree| {
        let source = Sha256::digest(&tree.source.text);
        builder
            .text("install", &tree.install)
            .bytes("device tree", &source)
    });
    builder.finish()
}

/// Builds `source`, or finds it built. The configuration is compared with the fragments before anything is compiled, and
/// each of the device trees with what its board expects before the kernel is.
pub fn build(
    engine: &Engine,
    kernel: &Kernel,
    source: &KernelSource,
    trees: &[DeviceTreeSource],
) -> Result<Output> {
    for tree in trees {
        tree.check_install()?;
    }
    let configured = configure(engine, kernel, source)?;
    let key = key_of(&configured, kernel, trees);
    let entry = engine.cache.obtain("kernel", &key, |part| {
        // The kernel's build changes folders: relative paths would lead elsewhere.
        let work = fs::canonicalize(part)
            .with_context(|| format!("cannot find {}", part.display()))?
            .join("work");
        let result = compile(engine, kernel, source, &configured, trees, &work, part);
        // The objects are of no use to anyone; an error of the work matters more than one of removing them.
        let removed = fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()));
        result.and(removed)
    })?;
    let output = Output {
        release: entry.text(RELEASE)?.trim().to_owned(),
        entry,
    };
    // What a board expects is in no key: it changes nothing that is made.
    for tree in trees {
        let compiled = output.entry.verified(&format!("{TREES}{}", tree.install))?;
        tree.check(&compiled)?;
        tree.check_image(&output.image()?)?;
    }
    Ok(output)
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
    let estimate = Estimate::load(engine, "kernel");
    let task = estimate.task(engine);
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
    install(kernel, source, configured, &tree, &mut log)?;

    let targets = device_tree::put_sources(trees, &tree)?;
    let mut steps = Steps::of(&task);
    let mut build = |targets: &[String]| {
        make(kernel, &tree, &identity)
            .arg(format!("-j{}", engine.jobs.max(1)))
            .args(targets)
            .run(&mut log, |line| steps.line(line))
    };
    // They take a moment, the kernel many minutes: what is wrong with them is told first.
    let files: Vec<_> = targets.iter().map(|target| format!("{target}.dtb")).collect();
    if !files.is_empty() {
        build(&files)
            .with_context(|| format!("cannot compile the device trees with linux {}", source.version))?;
    }
    for (tree_source, target) in trees.iter().zip(&targets) {
        tree_source.check(&device_tree::compiled(&tree, target))?;
    }
    build(&["Image".into(), "modules".into()])
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
        &part.join(MODULES),
    )?;

    for (tree_source, target) in trees.iter().zip(&targets) {
        let to = part.join(TREES).join(&tree_source.install);
        copy(&device_tree::compiled(&tree, target), &to)?;
    }
    copy(&tree.join("arch/arm64/boot/Image"), &part.join(IMAGE))?;
    copy(&tree.join("System.map"), &part.join("System.map"))?;
    copy(&tree.join(".config"), &part.join("config"))?;
    fs::write(part.join(RELEASE), format!("{release}\n")).context("cannot write the kernel's release")?;
    task.done(format!("linux {release} is built"));
    Ok(())
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
