//! `portadc kernel`

use anyhow::{Result, bail};
use fetch::{Lock, LockedFile, Mirrors, Network, kernel_of_series};
use model::project::Project;
use model::sources::{Series, SourceSet};
use serde_json::json;
use stages::kernel::{KernelSource, configure, programs_to_configure};

use super::network;
use crate::arguments::{Common, KernelCommand, LockedSourceOptions};
use crate::output::{print, print_json};
use crate::workplace;

/// Configures a kernel and says how many symbols it has.
pub fn run(common: &Common, command: &KernelCommand) -> Result<()> {
    let KernelCommand::Config {
        series,
        source,
        sources,
    } = command;
    let project = workplace::project(common)?;
    let engine = workplace::engine(common, &project.root)?;
    let mut preflight = engine::Preflight::default();
    preflight.programs(programs_to_configure(&project.kernel));
    preflight.finish()?;
    let set = workplace::source_set(&project.sources, &sources.from)?;
    let network = network(&sources.from);
    let mirrors;
    let locked;
    let source = match source {
        Some(tarball) => KernelSource::open(tarball)?,
        None => {
            locked = locked_kernel(&project, &engine, series.as_ref(), set, sources, &network)?;
            mirrors = Mirrors::of(&set.kernel, sources.from.mirror.as_deref())?;
            stages::build::kernel_source(&engine, &locked, &mirrors, &network)?
        }
    };
    let version = source.version;
    if let Some(series) = series
        && !series.holds(&version.to_string())
    {
        bail!("the source is linux {version}, not of the series {series}");
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

/// The kernel of a set: the locked one, or the newest of the series that was asked for.
fn locked_kernel(
    project: &Project,
    engine: &engine::Engine,
    series: Option<&Series>,
    set: &SourceSet,
    options: &LockedSourceOptions,
    network: &Network,
) -> Result<LockedFile> {
    match series {
        Some(series) => {
            let mirror = options.from.mirror.as_deref();
            kernel_of_series(
                engine,
                &project.root,
                set,
                series,
                mirror,
                network,
                options.locked,
            )
        }
        None => Ok(Lock::load(&project.root)?.find(set)?.kernel.clone()),
    }
}
