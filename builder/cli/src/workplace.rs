//! Where a command works: the project's folder, the output folder, the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use engine::{Cache, Engine, Progress, Verbosity, cache_folder};
use model::finding::Findings;
use model::names::suggest;
use model::project::Project;
use model::sources::{SourceSet, Sources};
use stages::build::ImageFiles;
use stages::pack::Pack;
use stages::rootfs::check_overlays;

use crate::arguments::{Common, SourceOptions};
use crate::output::{tell, warn};

/// The file that makes a folder a project.
const MARK: &str = "images/fleet.toml";

/// The project's folder: the one that was named, or the nearest upwards.
pub fn project_folder(common: &Common) -> Result<PathBuf> {
    if let Some(folder) = &common.project {
        return Ok(folder.clone());
    }
    let here = std::env::current_dir().context("cannot find the current folder")?;
    match here.ancestors().find(|folder| folder.join(MARK).is_file()) {
        Some(folder) => Ok(folder.to_owned()),
        None => bail!(
            "no {MARK} in {} or above it: go to a project, name one with -C, or make one with `portadc init DIR`",
            here.display()
        ),
    }
}

/// The project in that folder, and the stock parts that it uses.
pub fn project(common: &Common) -> Result<Project> {
    Ok(load_project(&project_folder(common)?)?)
}

/// The project of a folder, and the stock parts that it uses.
pub fn load_project(folder: &Path) -> Result<Project, Findings> {
    Project::load_from(stock::files(folder))
}

/// The project in that folder, with nothing left that can be found wrong before something is built of it.
pub fn checked_project(common: &Common) -> Result<Project> {
    let project = checked(project(common)?)?;
    if !common.quiet && !common.json && !project.warnings.0.is_empty() {
        tell(&project.warnings);
    }
    Ok(project)
}

/// The project, if nothing else can be found wrong with it before something is built of it.
pub fn checked(mut project: Project) -> Result<Project> {
    // Templates are rendered with what the fleet says, so they come after it.
    let mut findings = check_overlays(&project)?;
    let identity = project.root.join("identity");
    findings
        .0
        .extend(identity::findings(&identity, &project.fleet)?.0);
    findings.0.extend(std::mem::take(&mut project.warnings).0);
    findings.sort();
    project.warnings = findings.into_warnings()?;
    Ok(project)
}

/// The source set that was named, or else the one that sources.toml names.
pub fn source_set<'a>(sources: &'a Sources, named: &SourceOptions) -> Result<&'a SourceSet> {
    Ok(sources.set(named.sources.as_deref()).map_err(Findings::from)?)
}

/// The output folder.
pub fn output_folder(common: &Common, project: &Path) -> PathBuf {
    common.out.clone().unwrap_or_else(|| project.join("out"))
}

/// The file of an image: `image` itself where there is such a file, else the image of the node of this name.
pub fn image_file(common: &Common, image: &str) -> Result<PathBuf> {
    let path = Path::new(image);
    // Where nobody may look, opening tells why.
    if path.try_exists().unwrap_or(true) {
        return Ok(path.to_owned());
    }
    // No node's name has either.
    if image.contains(['/', '.']) {
        bail!("there is no file {image}");
    }
    let folder = project_folder(common).with_context(|| {
        format!("there is no file {image}, and no project that could have a node of this name")
    })?;
    let project = load_project(&folder)?;
    let Ok(node) = project.node(image) else {
        let names = project.fleet.nodes.iter().map(|node| node.name.as_str());
        bail!(
            "there is neither a file nor a node {image}: {}",
            suggest(image, names)
        );
    };
    Ok(node_image(common, &folder, &node.name)?.image)
}

/// The files of the image of a node. One that was changed since it was built is told of: whoever asks may be about to
/// find out how.
pub fn node_image(common: &Common, folder: &Path, node: &str) -> Result<ImageFiles> {
    let out = output_folder(common, folder);
    let images = out.join("images");
    if let Some(files) = ImageFiles::find(&images, node) {
        return Ok(files);
    }
    if let Some(files) = ImageFiles::unnoted(&images, node) {
        warn(&format!(
            "{} was changed since it was built, or not built there",
            files.image.display()
        ));
        return Ok(files);
    }
    let pack = out.join("pack");
    // A pack that cannot be read is nothing to make an image of.
    let is_packed = Pack::open(&pack).is_ok_and(|pack| pack.node(node).is_ok());
    let packed = match is_packed {
        true => format!(
            "; {} has it, too: `portadc export {node} -o DIR/images`, then name DIR with --out",
            pack.display()
        ),
        false => String::new(),
    };
    bail!(
        "there is no finished image of {node} in {}: run `portadc build {node}`{packed}",
        images.display()
    )
}

/// The engine that all stages work with.
pub fn engine(common: &Common, project: &Path) -> Result<Engine> {
    let cache = match &common.cache {
        Some(folder) => folder.clone(),
        None => cache_folder()?,
    };
    Ok(Engine {
        cache: Cache::open(&cache)?,
        logs: output_folder(common, project).join("logs"),
        progress: progress(common),
        jobs: jobs(common),
    })
}

/// Where a command shows what it does.
pub fn progress(common: &Common) -> Progress {
    Progress::new(verbosity(common))
}

/// How many jobs may run at once.
pub fn jobs(common: &Common) -> usize {
    match common.jobs {
        Some(jobs) => jobs.into(),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

fn verbosity(common: &Common) -> Verbosity {
    match (common.quiet, common.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    }
}
