//! The configuration: base, fragments, the kernel's defaults, and the comparison with what was asked for.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use model::kernel::fragment::{Request, Value};
use model::kernel::{Kernel, Patch};

use super::compare::{ConfigError, compare};
use super::dotconfig::DotConfig;
use super::make::{make, toolchain};
use super::patch;
use super::source::{KernelSource, is_for_configuring};
use crate::engine::{Engine, Key, Log};

/// Raised when this code configures differently.
const REVISION: u32 = 1;

/// A kernel's configuration in which everything asked for was granted.
#[derive(Debug)]
pub struct Configured {
    /// The text of `.config`.
    pub config: String,
    /// How many symbols are built in.
    pub built_in: usize,
    /// How many are modules.
    pub modules: usize,
    /// Lines that switch off a symbol which this series does not have (`CONFIG_X at kernel/fragments/a.config:7`):
    /// granted, but worth a look, as a misspelt name looks the same.
    pub absent: Vec<String>,
    /// What made it.
    pub(super) key: Key,
}

/// Configures `source` and compares every line of the fragments with the result. Compiles nothing but the kernel's
/// own configuration program. An unchanged configuration comes from the cache.
///
/// Fails, with all lines at once, where a requested value did not survive.
pub fn configure(engine: &Engine, kernel: &Kernel, source: &KernelSource) -> Result<Configured> {
    check_folder(engine.cache.root())?;
    let requests = kernel.requests_for(source.version.series);
    let patches = kernel.patches_for(source.version.series);
    let lines: Vec<_> = requests.iter().map(ToString::to_string).collect();
    let key = keyed(Key::builder("kernel-config", REVISION), source, &patches)
        .text("base", kernel.base.target())
        .text("fragments", &lines.join("\n"))
        .text("cross-compile", &kernel.cross_compile)
        .text("toolchain", &toolchain(kernel)?)
        .finish();
    let folder = engine.cache.obtain("kernel-config", &key, |part| {
        // The kernel's build changes folders: relative paths would lead elsewhere.
        let tree = fs::canonicalize(part)
            .with_context(|| format!("cannot find {}", part.display()))?
            .join("tree");
        unpack_for_configuring(engine, source, &patches, &tree)?;
        let mut log = engine.log("kernel-config")?;
        let absent = configure_tree(kernel, source, &requests, &tree, &mut log)?;
        fs::rename(tree.join(".config"), part.join("config")).context("the kernel has no .config")?;
        fs::write(part.join("absent"), absent).context("cannot write the list of absent symbols")?;
        fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))
    })?;
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let config = read("config")?;
    let values = DotConfig::parse(&config);
    Ok(Configured {
        built_in: values.count(&Value::Yes),
        modules: values.count(&Value::Module),
        absent: read("absent")?.lines().map(str::to_owned).collect(),
        config,
        key,
    })
}

/// The kernel's build breaks in a folder whose path has blanks or colons: said here, before anything is unpacked.
fn check_folder(cache: &Path) -> Result<()> {
    let path = cache.to_string_lossy();
    ensure!(
        !path.contains(|character: char| character.is_whitespace() || character == ':'),
        "a kernel cannot be built in {path}: its path has a blank or a colon; choose another cache with XDG_CACHE_HOME"
    );
    Ok(())
}

/// `builder` with the source and the patches that are applied to it.
fn keyed(
    builder: crate::engine::KeyBuilder,
    source: &KernelSource,
    patches: &[&Patch],
) -> crate::engine::KeyBuilder {
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
    let folder = engine.cache.obtain("kernel-kconfig", &key, |part| {
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
    let path = folder.join("tree.tar");
    let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    tar::Archive::new(file)
        .unpack(tree)
        .with_context(|| format!("cannot unpack {}", path.display()))?;
    let mut log = engine.log("kernel-patches")?;
    patch::apply(patches, source, tree, &mut log)
}

/// Configures the kernel in `tree`. Returns the lines of [`Configured::absent`].
fn configure_tree(
    kernel: &Kernel,
    source: &KernelSource,
    requests: &[&Request],
    tree: &Path,
    log: &mut Log,
) -> Result<String> {
    let identity = source.identity()?;
    let path = tree.join(".config");
    make(kernel, tree, &identity)
        .arg(kernel.base.target())
        .run(log, |_| ())
        .with_context(|| {
            format!(
                "cannot make the base of the configuration of linux {}",
                source.version
            )
        })?;
    let mut config = read_config(&path)?;
    // Of two lines for one symbol the kernel takes the last.
    for request in requests {
        config.push_str(&format!("{request}\n"));
    }
    fs::write(&path, config).with_context(|| format!("cannot write {}", path.display()))?;
    make(kernel, tree, &identity)
        .arg("olddefconfig")
        .run(log, |_| ())
        .with_context(|| format!("cannot complete the configuration of linux {}", source.version))?;
    let series = source.version.series;
    let comparison = compare(requests, &DotConfig::parse(&read_config(&path)?), tree, series)?;
    if !comparison.mismatches.is_empty() {
        return Err(ConfigError {
            series,
            mismatches: comparison.mismatches,
        }
        .into());
    }
    let absent = comparison
        .absent
        .iter()
        .map(|request| format!("CONFIG_{} at {}\n", request.symbol, request.place));
    Ok(absent.collect())
}

/// Puts the configuration into a whole, patched source in `tree` and completes it there: it must not change, as the
/// part that was configured holds everything that configuring depends on.
pub(super) fn install_config(
    kernel: &Kernel,
    source: &KernelSource,
    configured: &Configured,
    tree: &Path,
    log: &mut Log,
) -> Result<()> {
    let path = tree.join(".config");
    fs::write(&path, &configured.config).with_context(|| format!("cannot write {}", path.display()))?;
    make(kernel, tree, &source.identity()?)
        .arg("olddefconfig")
        .run(log, |_| ())?;
    let changed = read_config(&path)?;
    let differing = changed
        .lines()
        .zip(configured.config.lines())
        .find(|(whole, part)| whole != part);
    let (whole, part) = differing.unwrap_or_default();
    ensure!(
        changed == configured.config,
        "the whole source of linux {} configures to `{whole}` where its Kconfig files alone give `{part}`",
        source.version
    );
    Ok(())
}

fn read_config(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
