//! `portadc u-boot`

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use engine::{Engine, Preflight};
use fetch::{Lock, Mirrors};
use files::emit::{Readers, check_output, write_file};
use model::finding::Findings;
use model::project::Project;
use serde_json::json;
use stages::uboot::{BUILD_SPACE, UBootBuild, UBootSource, build, configure, programs};

use super::network;
use crate::arguments::{Common, UBootArguments, UBootCommand, UBootOptions};
use crate::output::{print, print_json};
use crate::workplace;

/// Builds a board's U-Boot, or only configures it.
pub fn run(common: &Common, arguments: &UBootArguments) -> Result<()> {
    let options = match &arguments.command {
        Some(UBootCommand::Config(options)) => options,
        None => &arguments.what,
    };
    if let Some(output) = &arguments.output {
        // Before the minutes that a build takes.
        let source: Vec<_> = options.source.iter().map(PathBuf::as_path).collect();
        check_output(output, &source)?;
    }
    let project = workplace::project(common)?;
    let (board, u_boot) = project.u_boot(options.board.as_deref()).map_err(Findings::from)?;
    let engine = workplace::engine(common, &project.root)?;
    let cross_compile = &project.kernel.cross_compile;
    let mut preflight = Preflight::default();
    preflight.programs(programs(cross_compile));
    if arguments.command.is_none() {
        preflight.space(engine.cache.root(), BUILD_SPACE, "U-Boot's build")?;
    }
    preflight.finish()?;
    let source = match &options.source {
        Some(tarball) => UBootSource::open(tarball)?,
        None => locked_source(&project, &engine, options)?,
    };
    let wanted = UBootBuild {
        board: u_boot,
        source: &source,
        cross_compile,
    };
    match &arguments.command {
        Some(UBootCommand::Config(_)) => config(common, &engine, &wanted),
        None => binary(common, &engine, &wanted, &board.name, arguments.output.as_deref()),
    }
}

/// Configures and says how many symbols there are.
fn config(common: &Common, engine: &Engine, wanted: &UBootBuild) -> Result<()> {
    let configured = configure(engine, wanted)?;
    let version = &wanted.source.version;
    if common.json {
        return print_json(&json!({
            "version": version,
            "built-in": configured.built_in,
            "absent": configured.absent,
        }));
    }
    for line in &configured.absent {
        engine.progress.detail(format!("not in this version: {line}"));
    }
    print(&format!(
        "U-Boot {version}: every requested symbol survived; {} built in\n",
        configured.built_in
    ))
}

/// Builds and says what came of it, and where it is.
fn binary(
    common: &Common,
    engine: &Engine,
    wanted: &UBootBuild,
    board: &str,
    output: Option<&Path>,
) -> Result<()> {
    let built = build(engine, wanted)?;
    let path = match output {
        None => built.binary.as_path(),
        Some(output) => {
            let binary = &built.binary;
            let bytes = fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
            write_file(output, &bytes, Readers::Anybody)?;
            output
        }
    };
    let (version, size, sha256) = (&wanted.source.version, built.size, &built.sha256);
    if common.json {
        return print_json(&json!({
            "board": board,
            "version": version,
            "file": path,
            "size": size,
            "sha256": sha256,
        }));
    }
    print(&format!(
        "{}\nU-Boot {version} for {board}: {} bytes, sha256 {sha256}\n",
        path.display(),
        size.0
    ))
}

/// The locked source of a set, from the cache or a mirror.
fn locked_source(project: &Project, engine: &Engine, options: &UBootOptions) -> Result<UBootSource> {
    let set = workplace::source_set(&project.sources, &options.sources)?;
    let locked = Lock::load(&project.root)?;
    let mirrors = Mirrors::of(&set.u_boot, options.sources.mirror.as_deref())?;
    UBootSource::fetch(
        engine,
        &locked.find(set)?.u_boot,
        &mirrors,
        &network(&options.sources),
    )
}
