//! Configuration and compilation.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use engine::{Engine, Key, Tool};
use formats::digest::hex;
use formats::units::Bytes;
use model::board::UBoot;
use sha2::{Digest, Sha256};

use super::source::{UBootSource, is_for_configuring};
use crate::kbuild::Subject;
use crate::kbuild::configure::{Configuration, Configured};
use crate::kbuild::make;
use crate::kbuild::source::unpack;
use crate::kbuild::steps::{Estimate, Steps};

/// Raised when this code configures or builds differently.
const REVISION: u32 = 1;

/// The program with its device tree behind it: what a boot loader starts, or BL31 as BL33.
const BINARY: &str = "u-boot.bin";

/// What to build.
#[derive(Debug, Clone, Copy)]
pub struct UBootBuild<'a> {
    /// What the board asks for.
    pub board: &'a UBoot,
    /// The source.
    pub source: &'a UBootSource,
    /// Prefix of the cross compiler's programs, such as `aarch64-linux-gnu-`.
    pub cross_compile: &'a str,
}

/// A built U-Boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// `u-boot.bin`, in a folder of the cache.
    pub binary: PathBuf,
    /// How long it is.
    pub size: Bytes,
    /// SHA-256 of it, hexadecimal.
    pub sha256: String,
    /// What made it: equal for equal bytes.
    pub key: Key,
}

/// Configures U-Boot and compares every line of the board's fragment with the result. Compiles nothing but U-Boot's own
/// configuration program. An unchanged configuration comes from the cache.
///
/// Fails, with all lines at once, where a requested value did not survive.
pub fn configure(engine: &Engine, wanted: &UBootBuild) -> Result<Configured> {
    let lines: Vec<_> = wanted.board.requests.iter().map(ToString::to_string).collect();
    let key = Key::builder("u-boot-config", REVISION)
        .text("source", &wanted.source.sha256)
        .text("defconfig", &wanted.board.defconfig)
        .text("fragment", &lines.join("\n"))
        .text("cross-compile", wanted.cross_compile)
        .text("toolchain", &make::toolchain(wanted.cross_compile)?)
        .finish();
    wanted.with_configuration(|configuration| {
        configuration.configure(engine, "u-boot-config", key, |tree| {
            let task = engine.progress.steps("u-boot", 0);
            task.message("reading the source");
            unpack(&wanted.source.tarball, tree, is_for_configuring)
        })
    })
}

/// Builds U-Boot, or finds it built. The configuration is compared with the board's fragment before anything is compiled.
pub fn build(engine: &Engine, wanted: &UBootBuild) -> Result<Output> {
    let configured = configure(engine, wanted)?;
    // The configuration's key holds source and compiler.
    let key = Key::builder("u-boot", REVISION)
        .key("configuration", &configured.key)
        .text("config", &configured.config)
        .finish();
    let entry = engine.cache.obtain("u-boot", &key, |part| {
        // The build changes folders: relative paths would lead elsewhere.
        let work = fs::canonicalize(part)
            .with_context(|| format!("cannot find {}", part.display()))?
            .join("work");
        let result = wanted.compile(engine, &configured, &work, part);
        // The objects are of no use to anyone; an error of the work matters more than one of removing them.
        let removed = fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()));
        result.and(removed)
    })?;
    let bytes = entry.read(BINARY)?;
    Ok(Output {
        size: Bytes(bytes.len() as u64),
        sha256: hex(&Sha256::digest(&bytes)),
        binary: entry.folder().join(BINARY),
        key,
    })
}

impl UBootBuild<'_> {
    /// Calls `work` with the configuration that the board describes.
    fn with_configuration<T>(&self, work: impl FnOnce(&Configuration) -> Result<T>) -> Result<T> {
        let requests: Vec<_> = self.board.requests.iter().collect();
        work(&Configuration {
            subject: Subject {
                name: self.name(),
                asked_in: self.board.fragment.display().to_string(),
                advice: "ask for what is unmet as well, or drop the line",
            },
            base: &self.board.defconfig,
            requests: &requests,
            make: &|tree| Ok(self.make(tree, self.source.released()?)),
        })
    }

    /// What errors call it.
    fn name(&self) -> String {
        format!("U-Boot {}", self.source.version)
    }

    /// `make` in `tree`. The banner bears the time `released`, in seconds since 1970; the version has no addition, in
    /// whatever repository the cache may lie.
    fn make(&self, tree: &Path, released: u64) -> Tool {
        make::make(tree, self.cross_compile)
            .env("SOURCE_DATE_EPOCH", released.to_string())
            .arg("LOCALVERSION=")
    }

    /// All of the work, in `work`; results go to `part`.
    fn compile(&self, engine: &Engine, configured: &Configured, work: &Path, part: &Path) -> Result<()> {
        let mut log = engine.log("u-boot")?;
        let estimate = Estimate::load(engine, "u-boot");
        let task = estimate.task(engine);
        task.message("unpacking the source");
        let released = self.source.released()?;
        let tree = work.join("u-boot");
        unpack(&self.source.tarball, &tree, |_| true)?;
        self.with_configuration(|configuration| configuration.install(configured, &tree, &mut log))?;
        let mut steps = Steps::of(&task);
        self.make(&tree, released)
            .arg(format!("-j{}", engine.jobs.max(1)))
            .arg(BINARY)
            .run(&mut log, |line| steps.line(line))
            .with_context(|| format!("cannot compile {}", self.name()))?;
        estimate.save(engine, steps)?;
        self.check_release(&tree)?;
        for (from, to) in [(BINARY, BINARY), (".config", "config")] {
            let from = tree.join(from);
            fs::copy(&from, part.join(to)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        task.done(format!("{} is built", self.name()));
        Ok(())
    }

    /// The release that U-Boot gave itself; one with an addition would not be the same everywhere.
    fn check_release(&self, tree: &Path) -> Result<()> {
        let path = tree.join("include/config/uboot.release");
        let found = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (found, version) = (found.trim(), &self.source.version);
        ensure!(
            found == version,
            "U-Boot calls itself {found} instead of {version}: leave CONFIG_LOCALVERSION empty in {}",
            self.board.fragment.display()
        );
        Ok(())
    }
}
