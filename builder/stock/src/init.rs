//! A new project.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use files::private;
use model::schema::schemas;

use crate::choices::Choices;
use crate::place::{Draft, is_taken};
use crate::{STOCK, fleet};

/// What of a project nobody but its owner writes. Where one of them is, a new project would be mixed with an old one.
const OWN: [&str; 5] = ["boards", "identity", "kernel", "out", "sources.lock"];

/// What a new project writes, in the order in which it gets its place: with the last one the folder is a project.
const WRITTEN: [&str; 5] = [".gitignore", "schemas", "overlays", "sources.toml", "images"];

const IGNORED: &str = "# Keys of nodes and operators: keep a copy of it elsewhere.\n/identity/\n/out/\n";

const OVERLAYS: &str = "# Overlays of this project\n\n\
    An overlay is a folder of files, templates, packages and units that is laid over the base system; a role in `images/fleet.toml`\n\
    lists which. Those that come with portadc are used from there: `portadc list` shows them, and `portadc eject overlay/NAME`\n\
    copies one to here. A folder in here takes the place of the one of its name that comes with portadc, as a whole.\n";

/// Whether `folder` can become a project: it is not there, or has nothing that a project has.
pub fn check_folder(folder: &Path) -> Result<()> {
    if !is_taken(folder) {
        return Ok(());
    }
    ensure!(folder.is_dir(), "{} is no folder", folder.display());
    let there: Vec<&str> = WRITTEN
        .into_iter()
        .chain(OWN)
        .filter(|name| is_taken(&folder.join(name)))
        .collect();
    ensure!(
        there.is_empty(),
        "{} has {} already: nothing was changed; name a folder that has none of a project's files",
        folder.display(),
        there.join(", ")
    );
    Ok(())
}

/// Makes the project that `choices` describe in `folder`, which `check` has found nothing wrong with before it gets its place.
pub fn init(folder: &Path, choices: &Choices, check: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    choices.check()?;
    check_folder(folder)?;
    let is_new = !folder.is_dir();
    // Beside a new folder, and in one that is there, so that giving it its place is one rename.
    let around = match is_new {
        true => std::path::absolute(folder)
            .ok()
            .and_then(|folder| folder.parent().map(PathBuf::from))
            .with_context(|| format!("{} is no place for a folder", folder.display()))?,
        false => folder.to_owned(),
    };
    private::make_folders(&around, private::OPEN_FOLDER)?;
    let draft = Draft::new(&around)?;
    write(&draft, choices)?;
    check(&draft.path(PROJECT))?;
    if is_new {
        return draft.publish(PROJECT, folder);
    }
    for (index, name) in WRITTEN.into_iter().enumerate() {
        if let Err(error) = draft.publish(Path::new(PROJECT).join(name), &folder.join(name)) {
            for name in &WRITTEN[..index] {
                // Back into the draft, which is removed.
                fs::rename(folder.join(name), draft.path(Path::new(PROJECT).join(name))).ok();
            }
            return Err(error);
        }
    }
    Ok(())
}

/// The project's folder in a draft.
const PROJECT: &str = "project";

fn write(draft: &Draft, choices: &Choices) -> Result<()> {
    let project = Path::new(PROJECT);
    let sources = STOCK.iter().find(|file| file.path == "sources.toml");
    let sources = sources.context("the program came without sources.toml")?;
    let fleet = fleet::text(choices);
    let files = [
        ("images/fleet.toml", fleet.as_bytes()),
        ("sources.toml", sources.bytes),
        (".gitignore", IGNORED.as_bytes()),
        ("overlays/README.md", OVERLAYS.as_bytes()),
    ];
    for (name, bytes) in files {
        draft.write(project.join(name), bytes, false)?;
    }
    for (kind, schema) in schemas() {
        let text = format!("{schema:#}\n");
        draft.write(
            project.join(format!("schemas/{kind}.json")),
            text.as_bytes(),
            false,
        )?;
    }
    Ok(())
}
