//! The kernel's configuration: its base, its fragments, and the part of its source that they need.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use engine::{Engine, Key, KeyBuilder, Log};
use model::kernel::{Kernel, Patch};

use super::make::make;
use super::patch;
use super::source::{KernelSource, is_for_configuring};
use crate::kbuild::Subject;
use crate::kbuild::configure::{Configuration, Configured};
use crate::kbuild::make::toolchain;

/// Raised when this code configures differently.
const REVISION: u32 = 1;

/// Configures `source` and compares every line of the fragments with the result. Compiles nothing but the kernel's
/// own configuration program. An unchanged configuration comes from the cache.
///
/// Fails, with all lines at once, where a requested value did not survive.
pub fn configure(engine: &Engine, kernel: &Kernel, source: &KernelSource) -> Result<Configured> {
    let requests = kernel.requests_for(source.version.series);
    let patches = kernel.patches_for(source.version.series);
    let lines: Vec<_> = requests.iter().map(ToString::to_string).collect();
    let key = keyed(Key::builder("kernel-config", REVISION), source, &patches)
        .text("base", kernel.base.target())
        .text("fragments", &lines.join("\n"))
        .text("cross-compile", &kernel.cross_compile)
        .text("toolchain", &toolchain(&kernel.cross_compile)?)
        .finish();
    with_configuration(kernel, source, |configuration| {
        configuration.configure(engine, "kernel-config", key, |tree| {
            unpack_for_configuring(engine, source, &patches, tree)
        })
    })
}

/// Puts `configured` into the whole, patched source in `tree`.
pub(super) fn install(
    kernel: &Kernel,
    source: &KernelSource,
    configured: &Configured,
    tree: &Path,
    log: &mut Log,
) -> Result<()> {
    with_configuration(kernel, source, |configuration| {
        configuration.install(configured, tree, log)
    })
}

/// Calls `work` with the configuration that the fragments describe for `source`.
fn with_configuration<T>(
    kernel: &Kernel,
    source: &KernelSource,
    work: impl FnOnce(&Configuration) -> Result<T>,
) -> Result<T> {
    work(&Configuration {
        subject: Subject {
            name: format!("linux {}", source.version),
            asked_in: "the kernel's fragments".into(),
            advice: "ask for what is unmet as well, or give the line the range of series it is for, such as `# >=6.10`",
        },
        base: kernel.base.target(),
        requests: &kernel.requests_for(source.version.series),
        make: &|tree| Ok(make(kernel, tree, &source.identity()?)),
    })
}

/// `builder` with the source and the patches that are applied to it.
fn keyed(builder: KeyBuilder, source: &KernelSource, patches: &[&Patch]) -> KeyBuilder {
    let builder = builder.text("source", &source.sha256);
    patches
        .iter()
        .fold(builder, |builder, patch| builder.text("patch", &patch.file.text))
}

/// Puts the part of the source that configuring needs into `tree`, patched. That part is kept in one small file, as
/// finding it takes reading the whole tarball.
fn unpack_for_configuring(
    engine: &Engine,
    source: &KernelSource,
    patches: &[&Patch],
    tree: &Path,
) -> Result<()> {
    let patched = patch::files(patches);
    let key = patched
        .iter()
        .fold(
            Key::builder("kernel-kconfig", REVISION).text("source", &source.sha256),
            |builder, path| builder.text("patched", &path.to_string_lossy()),
        )
        .finish();
    let entry = engine.cache.obtain("kernel-kconfig", &key, |part| {
        let task = engine.progress.steps("kernel", 0);
        task.message("reading the source");
        let unpacked = part.join("tree");
        source.unpack(&unpacked, |path| {
            is_for_configuring(path) || patched.contains(path)
        })?;
        let file = File::create(part.join("tree.tar")).context("cannot make tree.tar")?;
        let mut archive = tar::Builder::new(file);
        archive.follow_symlinks(false);
        archive.mode(tar::HeaderMode::Deterministic);
        archive
            .append_dir_all("", &unpacked)
            .context("cannot write tree.tar")?;
        archive.finish().context("cannot write tree.tar")?;
        fs::remove_dir_all(&unpacked).with_context(|| format!("cannot remove {}", unpacked.display()))
    })?;
    let path = entry.verified("tree.tar")?;
    let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    tar::Archive::new(file)
        .unpack(tree)
        .with_context(|| format!("cannot unpack {}", path.display()))?;
    let mut log = engine.log("kernel-patches")?;
    patch::apply(patches, source, tree, &mut log)
}
