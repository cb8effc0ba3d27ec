//! A Gentoo base: a stage3, and for each role the binary packages that it needs, installed over it as a second layer. Nothing of
//! either is unpacked or run.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use engine::tarball::{BLOB, INDEX, is_made, layer_key, load_layer, packing, verify_blob};
use engine::{Engine, Entry, Key, Preflight};
use fetch::Stage3Files;
use formats::layer::Layer;
use formats::manifest::{FileTotal, Installed};
use formats::units::{Bytes, Time};
use gentoo::install::{Installer, Options, PackageInput, Report, Size};
use gentoo::installed::in_layer;
use gentoo::{Atom, Filters, Package, PackageManager};
use model::sources::{Distribution, LeaveOut, PackagePlace, Platform, Stage3};

use super::base::{Base, BaseLayers, PackageSet};
use super::merge::{from_list, to_list, without_each};
use super::portage::{self, Wishes};

/// Goes up with every change of what the layer of the same packages holds.
const REVISION: u32 = 4;

/// The stage's name in the cache.
const STAGE: &str = "gentoo-packages";

/// What is in a folder of the cache beside the layer over the stage3: what of the stage3 goes, and what installing came to.
const REMOVED: &str = "removed";
const REPORT: &str = "report.json";

/// Where the overlay `first-start` finds what is left to do: an empty file for each thing.
const FIRST_START: &str = "var/lib/portadc/first-start";

/// A stage3 with packages over it.
#[derive(Debug)]
pub struct GentooBase<'a> {
    /// The stage3 and the packages; asked for only as far as layers have to be made of them.
    pub files: Stage3Files<'a>,
    /// What is left out of both, and what starts services.
    pub source: &'a Stage3,
    /// The time of what no package gives one.
    pub time: Time,
}

impl Base for GentooBase<'_> {
    fn layers(&self, engine: &Engine, zstd: u8, sets: &[&PackageSet]) -> Result<Vec<BaseLayers>> {
        let stage3 = self.files.tarball().layer(engine, zstd)?;
        let with = |set: &&PackageSet| {
            let key = self.key(&stage3.key, set);
            let entry = engine.cache.obtain(STAGE, &key, |part| {
                // Packages are merged into what its files say.
                verify_blob(&stage3.entry)?;
                self.install(engine, &stage3.layer, set, zstd, part)
            })?;
            let installed = load(&entry)?;
            for line in unhandled(&installed.report) {
                engine.progress.detail(line);
            }
            let mut layers = without_each(vec![stage3.layer.clone()], &installed.removed);
            layers.push(installed.layer);
            Ok(BaseLayers {
                layers,
                entries: vec![stage3.entry.clone(), entry],
                key,
                packages: installed
                    .report
                    .packages
                    .iter()
                    .map(|package| package.package.clone())
                    .collect(),
                installed: Some(described(installed.report)),
            })
        };
        sets.iter().map(with).collect()
    }

    fn platform(&self) -> Platform {
        Platform {
            distribution: Distribution::Gentoo,
            init: self.source.init,
        }
    }
}

impl GentooBase<'_> {
    /// Asks for what this machine needs for layers that are still to be made.
    pub fn requirements(
        &self,
        engine: &Engine,
        zstd: u8,
        sets: &BTreeSet<PackageSet>,
        preflight: &mut Preflight,
    ) {
        let stage3 = layer_key(&self.files.tarball().key(), zstd);
        if self.lacks(engine, &stage3, sets) {
            self.files.requirements(preflight);
        }
    }

    /// Fetches what of the files is not there and is needed for layers that are still to be made, so that whoever lacks it
    /// hears of that before other work is done. What is there is verified where it is used.
    pub fn prepare(&self, engine: &Engine, zstd: u8, sets: &BTreeSet<PackageSet>) -> Result<()> {
        let stage3 = layer_key(&self.files.tarball().key(), zstd);
        if !is_made(engine, &stage3) {
            self.files.tarball().bring()?;
        }
        if self.lacks(engine, &stage3, sets) {
            self.files.bring_packages()?;
        }
        Ok(())
    }

    /// Whether the layer of one of `sets` is still to be made.
    fn lacks(&self, engine: &Engine, stage3: &Key, sets: &BTreeSet<PackageSet>) -> bool {
        let is_missing = |set| engine.cache.find(STAGE, &self.key(stage3, set)).is_none();
        sets.iter().any(is_missing)
    }

    /// The key of the layer of those packages that `world` needs.
    fn key(&self, stage3: &Key, world: &PackageSet) -> Key {
        let mut key = Key::builder(STAGE, REVISION)
            .key("stage3", stage3)
            .text("time", &self.time.seconds.to_string());
        let locked = self.files.locked();
        for package in &locked.packages {
            key = key
                .text("package", &package.cpv)
                .text("sha256", &package.sha256.to_string());
        }
        for pattern in &self.source.mask {
            key = key.text("mask", pattern);
        }
        for atom in world {
            key = key.text("world", atom);
        }
        let leave_out = &self.source.leave_out;
        for pattern in &leave_out.paths {
            key = key.text("leave out", pattern);
        }
        for source in &self.source.packages {
            let place = match &source.place {
                PackagePlace::Mirrors(mirrors) => mirrors.join(" "),
                PackagePlace::Folder(_) => "a folder".to_owned(),
                PackagePlace::Compile(_) => "compiled".to_owned(),
            };
            let locked = locked.sources.get(&source.name);
            key = key
                .text("package source", &source.name)
                .text("place", &place)
                .text("signed", if source.signer.is_some() { "yes" } else { "no" })
                .text(
                    "keys",
                    locked
                        .and_then(|locked| locked.keys.as_deref())
                        .unwrap_or_default(),
                );
        }
        let Wishes { keywords, use_flags } = self.wishes();
        for (name, lines) in [("keywords", keywords), ("use", use_flags)] {
            for line in lines {
                key = key.text(name, line);
            }
        }
        key.text("init", &format!("{:?}", self.source.init))
            .text("package manager", &format!("{:?}", leave_out.package_manager))
            .finish()
    }

    /// What was asked for beyond what is stable and default.
    fn wishes(&self) -> Wishes<'_> {
        match self.source.compiled() {
            Some((_, compile)) => Wishes {
                keywords: &compile.keywords,
                use_flags: &compile.use_flags,
            },
            None => Wishes::default(),
        }
    }

    /// Installs the packages that `world` needs over `stage3`; what comes of it goes into the folder `part`.
    fn install(
        &self,
        engine: &Engine,
        stage3: &Layer,
        world: &PackageSet,
        zstd: u8,
        part: &Path,
    ) -> Result<()> {
        let blob = File::create(part.join(BLOB)).context("cannot make the blob of a layer")?;
        let options = Options {
            filters: filters(&self.source.leave_out)?,
            ..Options::new(packing(engine, zstd)?, self.time)
        };
        let locked = self.files.locked();
        let stage3_name = &locked.tarball.file;
        self.files.bring_packages()?;
        let base =
            in_layer(stage3).with_context(|| format!("cannot read what {stage3_name} has installed"))?;
        let mut files = Vec::with_capacity(locked.packages.len());
        let mut known = Vec::with_capacity(locked.packages.len());
        for package in &locked.packages {
            let opened = self.files.open(package)?;
            let value = |key: &str| str::from_utf8(opened.metadata().get(key)?).ok();
            known.push(Package::from_values(&package.cpv, value)?);
            files.push(opened);
        }
        let needed = self.files.needed(world, &base, &known)?;
        let task = engine.progress.bytes(STAGE, locked.packages_size().0);
        let mut installer = Installer::new(stage3, BufWriter::new(blob), options)
            .with_context(|| format!("cannot install packages over {stage3_name}"))?;
        for ((package, opened), known) in locked.packages.iter().zip(&files).zip(&known) {
            task.message(package.cpv.clone());
            if let Some(requested) = needed.get(&package.cpv) {
                let mut image = opened.image()?;
                let prefix = image.prefix();
                installer.add(PackageInput {
                    cpv: &known.cpv,
                    metadata: opened.metadata(),
                    image: &mut image,
                    prefix,
                    bin_md5: opened.md5(),
                    requested: *requested,
                })?;
            }
            task.advance(package.size.0);
        }
        known.retain(|package| needed.contains_key(&package.cpv.to_string()));
        for atom in world {
            let atom: Atom = atom
                .parse()
                .with_context(|| format!("`{atom}` is no atom of a package"))?;
            installer.want(&atom.name);
        }
        if self.source.leave_out.package_manager == PackageManager::Keep {
            portage::tell(&mut installer, self.source, locked, self.wishes(), &base, &known)?;
        }
        for pending in installer.pending()? {
            installer.write(&format!("{FIRST_START}/{}", pending.name()), 0o644, Vec::new())?;
        }
        let mut installed = installer.finish()?;
        installed
            .blob
            .flush()
            .context("cannot write the blob of a layer")?;
        let report =
            serde_json::to_vec(&installed.report).context("cannot write what was installed as JSON")?;
        for (name, bytes) in [
            (INDEX, installed.index.to_bytes()),
            (REMOVED, to_list(&installed.removed)),
            (REPORT, report),
        ] {
            fs::write(part.join(name), bytes)
                .with_context(|| format!("cannot write the {name} of a layer"))?;
        }
        task.done(format!(
            "{} packages over {stage3_name}: {} files with {}",
            needed.len(),
            installed.report.after.files,
            Bytes(installed.report.after.bytes)
        ));
        Ok(())
    }
}

/// What a folder of the cache holds.
struct Loaded {
    layer: Layer,
    removed: Vec<Vec<u8>>,
    report: Report,
}

fn load(entry: &Entry) -> Result<Loaded> {
    Ok(Loaded {
        layer: load_layer(entry)?,
        removed: from_list(&entry.read(REMOVED)?),
        report: serde_json::from_slice(&entry.read(REPORT)?)
            .map_err(|error| entry.damaged(format!("{REPORT}: {error}")))?,
    })
}

fn filters(leave_out: &LeaveOut) -> Result<Filters> {
    Filters::new(&leave_out.paths, leave_out.package_manager)
        .context("sources.toml does not say what is left out")
}

/// What packages would do when they are installed, and nobody did.
fn unhandled(report: &Report) -> impl Iterator<Item = String> {
    report
        .packages
        .iter()
        .filter(|package| !package.unhandled.is_empty())
        .map(|package| {
            format!(
                "{} was installed without what it would run: {}",
                package.package,
                package.unhandled.join(", ")
            )
        })
}

/// What a manifest says of it.
fn described(report: Report) -> Installed {
    let total = |size: Size| FileTotal {
        files: size.files,
        bytes: Bytes(size.bytes),
    };
    Installed {
        protected: report.protected.into_iter().map(|file| file.path).collect(),
        before: total(report.before),
        after: total(report.after),
        unhandled_phases: report
            .packages
            .into_iter()
            .filter(|package| !package.unhandled.is_empty())
            .map(|package| (package.package, package.unhandled))
            .collect(),
    }
}
