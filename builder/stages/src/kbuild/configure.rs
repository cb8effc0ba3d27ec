//! The configuration: a base, the lines that were asked for, Kconfig's defaults, and the comparison of what was asked
//! for with what came out.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use engine::{Engine, Key, Log, Tool};
use model::kernel::fragment::{Request, Value};

use super::Subject;
use super::compare::{ConfigError, compare};
use super::dotconfig::DotConfig;

/// A configuration in which everything asked for was granted.
#[derive(Debug)]
pub struct Configured {
    /// The text of `.config`.
    pub config: String,
    /// How many symbols are built in.
    pub built_in: usize,
    /// How many are modules.
    pub modules: usize,
    /// Lines that switch off a symbol which this version does not have (`CONFIG_X at kernel/fragments/a.config:7`):
    /// granted, but worth a look, as a misspelt name looks the same.
    pub absent: Vec<String>,
    /// What made it.
    pub key: Key,
}

/// What to configure, and how.
pub struct Configuration<'a> {
    /// What errors call it.
    pub subject: Subject,
    /// The make target that the requests build on: `allnoconfig`, `odroid-c2_defconfig`.
    pub base: &'a str,
    /// What is asked for; each symbol once.
    pub requests: &'a [&'a Request],
    /// `make` in a folder that holds the source, or the part of it that configuring needs.
    pub make: &'a dyn Fn(&Path) -> Result<Tool>,
}

impl Configuration<'_> {
    /// Configures what `unpack` puts into an empty folder and compares every request with the result. Compiles nothing
    /// but the source's own configuration program. Under the same `key` it comes from the cache, whose folder and log
    /// are called `stage`.
    ///
    /// Fails, with all lines at once, where a requested value did not survive.
    pub fn configure(
        &self,
        engine: &Engine,
        stage: &str,
        key: Key,
        unpack: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Configured> {
        self.check_folder(engine.cache.root())?;
        let entry = engine.cache.obtain(stage, &key, |part| {
            // The build changes folders: relative paths would lead elsewhere.
            let tree = fs::canonicalize(part)
                .with_context(|| format!("cannot find {}", part.display()))?
                .join("tree");
            unpack(&tree)?;
            let mut log = engine.log(stage)?;
            let absent = self.configure_tree(&tree, &mut log)?;
            fs::rename(tree.join(".config"), part.join("config"))
                .with_context(|| format!("{} has no .config", self.subject.name))?;
            fs::write(part.join("absent"), absent).context("cannot write the list of absent symbols")?;
            fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))
        })?;
        let config = entry.text("config")?;
        let values = DotConfig::parse(&config);
        Ok(Configured {
            built_in: values.count(&Value::Yes),
            modules: values.count(&Value::Module),
            absent: entry.text("absent")?.lines().map(str::to_owned).collect(),
            config,
            key,
        })
    }

    /// Puts `configured` into a whole source in `tree` and completes it there: it must not change, as the part that was
    /// configured holds everything that configuring depends on.
    pub fn install(&self, configured: &Configured, tree: &Path, log: &mut Log) -> Result<()> {
        let path = tree.join(".config");
        fs::write(&path, &configured.config).with_context(|| format!("cannot write {}", path.display()))?;
        (self.make)(tree)?.arg("olddefconfig").run(log, |_| ())?;
        let changed = read(&path)?;
        let differing = changed
            .lines()
            .zip(configured.config.lines())
            .find(|(whole, part)| whole != part);
        let (whole, part) = differing.unwrap_or_default();
        ensure!(
            changed == configured.config,
            "the whole source of {} configures to `{whole}` where its Kconfig files alone give `{part}`",
            self.subject.name
        );
        Ok(())
    }

    /// A build breaks in a folder whose path has blanks or colons: said here, before anything is unpacked.
    fn check_folder(&self, cache: &Path) -> Result<()> {
        let path = cache.to_string_lossy();
        ensure!(
            !path.contains(|character: char| character.is_whitespace() || character == ':'),
            "{} cannot be built in {path}: its path has a blank or a colon; choose another cache with XDG_CACHE_HOME",
            self.subject.name
        );
        Ok(())
    }

    /// Configures the source in `tree`. Returns the lines of [`Configured::absent`].
    fn configure_tree(&self, tree: &Path, log: &mut Log) -> Result<String> {
        let name = &self.subject.name;
        let path = tree.join(".config");
        (self.make)(tree)?
            .arg(self.base)
            .run(log, |_| ())
            .with_context(|| format!("cannot make the base of the configuration of {name}"))?;
        let mut config = read(&path)?;
        // Of two lines for one symbol Kconfig takes the last.
        for request in self.requests {
            config.push_str(&format!("{request}\n"));
        }
        fs::write(&path, config).with_context(|| format!("cannot write {}", path.display()))?;
        (self.make)(tree)?
            .arg("olddefconfig")
            .run(log, |_| ())
            .with_context(|| format!("cannot complete the configuration of {name}"))?;
        let comparison = compare(self.requests, &DotConfig::parse(&read(&path)?), tree, name)?;
        if !comparison.mismatches.is_empty() {
            return Err(ConfigError {
                subject: self.subject.clone(),
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
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
