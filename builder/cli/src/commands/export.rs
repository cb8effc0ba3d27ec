//! `portadc export`

use anyhow::Result;
use serde_json::json;
use stages::delta_base::ImageFormat;
use stages::pack::{ExportRequest, Pack, export};

use super::identities;
use crate::arguments::{Common, ExportArguments, ExportFormat};
use crate::output::{print, print_json};
use crate::workplace;

/// Makes images of a pack.
pub fn run(common: &Common, arguments: &ExportArguments) -> Result<()> {
    let folder = match &arguments.pack {
        Some(folder) => folder.clone(),
        None => workplace::output_folder(common, &workplace::project_folder(common)?).join("pack"),
    };
    let pack = Pack::open(&folder)?.unlocked(identities(&arguments.decryption)?)?;
    let nodes = if arguments.all {
        pack.index.nodes.iter().collect()
    } else {
        let nodes = arguments.nodes.iter().map(|name| pack.node(name));
        nodes.collect::<Result<_>>()?
    };
    let exported = export(&ExportRequest {
        pack: &pack,
        nodes,
        format: match arguments.format {
            ExportFormat::Img => ImageFormat::Plain,
            ExportFormat::Zst => ImageFormat::Compressed,
        },
        folder: &arguments.output,
        progress: &workplace::progress(common),
        jobs: workplace::jobs(common),
    })?;
    if common.json {
        let images: Vec<_> = exported
            .iter()
            .map(|image| json!({ "node": image.node, "image": image.path }))
            .collect();
        return print_json(&json!({ "images": images }));
    }
    if !common.quiet {
        let lines = exported.iter().map(|image| format!("{}\n", image.path.display()));
        print(&lines.collect::<String>())?;
    }
    Ok(())
}
