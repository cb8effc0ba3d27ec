//! A copy of a stock part, which takes its place in a project.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use files::private;
use model::files::{Files, PartKind};
use model::names::{quoted, suggest};

use crate::place::{Draft, is_taken};

/// What a part can be named as.
const FORMS: &str = "board/NAME, layout/NAME, overlay/NAME, kernel/NAME (a fragment) or kernel (kernel.toml)";

/// Copies the stock part called `part` (`overlay/guard`) into the project. Returns where it is now, below the project's folder.
pub fn eject(files: &Files, part: &str) -> Result<PathBuf> {
    let (kind, name) = parse(part)?;
    let stock = files.stock_part(kind, name);
    if stock.is_empty() {
        bail!(
            "there is no stock {} {}: {}",
            kind.text(),
            quoted(name),
            suggest(name, files.stock_names(kind))
        );
    }
    let place = kind.path(name);
    let target = files.root().join(&place);
    ensure!(
        !is_taken(&target),
        "{} is there already, and is used in place of the stock one: nothing was changed; move it away to have the stock \
         one again",
        target.display()
    );
    let folder = target.parent().unwrap_or(files.root());
    private::make_folders(folder, private::OPEN_FOLDER)?;
    let draft = Draft::new(folder)?;
    for file in stock {
        draft.write(file.path, file.bytes, file.is_executable)?;
    }
    draft.publish(&place, &target)?;
    Ok(place)
}

/// The kind and the name of a part. A name is only ever compared with those of stock parts.
fn parse(part: &str) -> Result<(PartKind, &str)> {
    let kind = |kind| match kind {
        "board" => Some(PartKind::Board),
        "layout" => Some(PartKind::Layout),
        "overlay" => Some(PartKind::Overlay),
        "kernel" => Some(PartKind::Fragment),
        _ => None,
    };
    if part == "kernel" {
        return Ok((PartKind::Kernel, "kernel"));
    }
    let parsed = part
        .split_once('/')
        .and_then(|(first, name)| Some((kind(first)?, name)));
    parsed.with_context(|| format!("{} names no part: {FORMS}", quoted(part)))
}
