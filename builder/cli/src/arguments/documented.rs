//! The commands that the READMEs and docs show are commands of this program, with options that it has.

use std::fs;
use std::path::Path;

use clap::Parser;

use super::Arguments;

/// The command of a line of a code block, without the shell's part of it.
fn command(line: &str) -> Option<Vec<&str>> {
    let line = line.strip_prefix("    ")?.trim_start();
    let line = line.strip_prefix("$ ").unwrap_or(line);
    let line = line.strip_prefix("sudo ").unwrap_or(line);
    let line = line.split(" #").next()?.split(" > ").next()?;
    // A line of text may begin with the program's name as well.
    let words: Vec<&str> = line.split_whitespace().collect();
    (words.first() == Some(&"portadc") && words.len() > 1).then_some(words)
}

#[test]
fn every_command_in_the_documents_is_understood() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut documents = vec![root.join("README.md")];
    documents.extend(
        fs::read_dir(root.join("docs"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md")),
    );
    for overlay in fs::read_dir(root.join("overlays")).unwrap() {
        documents.push(overlay.unwrap().path().join("README.md"));
    }
    let mut commands = 0;
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for words in text.lines().filter_map(command) {
            commands += 1;
            if let Err(error) = Arguments::try_parse_from(&words) {
                panic!("{}: {}\n{error}", document.display(), words.join(" "));
            }
        }
    }
    assert!(commands > 60, "only {commands} commands were found");
}
