//! `portadc kernel`

use anyhow::{Result, bail};
use model::finding::Findings;
use model::project::Project;
use serde_json::json;
use stages::fetch::{Lock, Mirrors};
use stages::kernel::{KernelSource, configure, programs_to_configure};

use super::network;
use crate::arguments::{Common, KernelCommand, SourceOptions};
use crate::output::{print, print_json};
use crate::workplace;

/// Configures a kernel and says how many symbols it has.
pub fn run(common: &Common, command: &KernelCommand) -> Result<()> {
    let KernelCommand::Config {
        series,
        source,
        sources,
    } = command;
    let folder = workplace::project_folder(common)?;
    let project = Project::load(&folder)?;
    let engine = workplace::engine(common, &folder)?;
    let mut preflight = stages::engine::Preflight::default();
    preflight.programs(programs_to_configure(&project.kernel));
    preflight.finish()?;
    let source = match source {
        Some(tarball) => KernelSource::open(tarball)?,
        None => locked_source(&project, &engine, &sources.from)?,
    };
    let version = source.version;
    if let Some(series) = series
        && !version.to_string().starts_with(&format!("{series}."))
        && version.to_string() != *series
    {
        bail!(
            "the source is linux {version}, not of series {series}: name a tarball of that series with --source, or \
             set the series in sources.toml and run `portadc update`"
        );
    }
    let configured = configure(&engine, &project.kernel, &source)?;
    if common.json {
        return print_json(&json!({
            "version": version.to_string(),
            "built-in": configured.built_in,
            "modules": configured.modules,
            "absent": configured.absent,
        }));
    }
    for line in &configured.absent {
        engine.progress.detail(format!("not in this series: {line}"));
    }
    print(&format!(
        "linux {version}: every requested symbol survived; {} built in, {} modules\n",
        configured.built_in, configured.modules
    ))
}

/// The locked source of a set, from the cache or a mirror.
fn locked_source(
    project: &Project,
    engine: &stages::engine::Engine,
    options: &SourceOptions,
) -> Result<KernelSource> {
    let set = project
        .sources
        .set(options.sources.as_deref())
        .map_err(Findings::from)?;
    let lock = Lock::load(&project.root)?;
    let locked = &lock.find(set)?.kernel;
    let mirrors = Mirrors::of(&set.kernel, options.mirror.as_deref())?;
    stages::build::kernel_source(engine, locked, &mirrors, &network(options))
}
