//! Reads Kconfig files line by line, following `source`.

use std::fs;
use std::iter::Peekable;
use std::path::Path;
use std::vec;

use anyhow::{Context, Result, bail};

use super::expression::Expression;
use super::{Definition, Kconfig, Kind, Selector};

/// What `$(SRCARCH)` stands for.
const ARCHITECTURE: &str = "arm64";

/// Files that source one another deeper than this do so in a circle.
const MAX_DEPTH: usize = 32;

/// Width of a tab in the indentation of help texts.
const TAB: usize = 8;

/// Reads the `Kconfig` at the root of `tree`.
pub(super) fn read(tree: &Path) -> Result<Kconfig> {
    let mut reader = Reader {
        tree,
        kconfig: Kconfig::default(),
        blocks: Vec::new(),
        entry: Entry::None,
        choices: 0,
    };
    reader.file("Kconfig", 0)?;
    reader.finish_entry();
    Ok(reader.kconfig)
}

/// A line with its number.
struct Line {
    number: usize,
    text: String,
}

/// What is around the entries being read.
#[derive(Debug, Default)]
struct Block {
    /// Must hold for everything inside.
    depends: Vec<Expression>,
    /// Must hold for prompts inside (`visible if`).
    visible: Vec<Expression>,
    /// The number of a choice.
    choice: Option<usize>,
}

/// What the attributes being read belong to.
enum Entry {
    /// Nothing that matters here (a comment, the main menu).
    None,
    /// The innermost block: a menu or a choice.
    Block,
    /// A `config` with its name and what it selects.
    Config(String, Definition, Vec<(String, Option<Expression>)>),
}

struct Reader<'a> {
    tree: &'a Path,
    kconfig: Kconfig,
    blocks: Vec<Block>,
    entry: Entry,
    choices: usize,
}

impl Reader<'_> {
    /// Reads one file, whose path is relative to the tree.
    fn file(&mut self, path: &str, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            bail!("{path} is sourced more than {MAX_DEPTH} levels deep");
        }
        let text =
            fs::read(self.tree.join(path)).with_context(|| format!("cannot read {path} of the source"))?;
        let mut lines = logical_lines(&String::from_utf8_lossy(&text))
            .into_iter()
            .peekable();
        while let Some(line) = lines.next() {
            let (word, rest) = first_word(&line.text);
            match word {
                "help" | "---help---" => skip_help(&mut lines),
                "source" => {
                    self.finish_entry();
                    let sourced = sourced_path(rest)
                        .with_context(|| format!("{path}:{}: cannot tell what is sourced", line.number))?;
                    self.file(&sourced, depth + 1)?;
                }
                _ => self.line(word, rest, path, line.number),
            }
        }
        Ok(())
    }

    /// One line that is neither a source nor a help text.
    fn line(&mut self, word: &str, rest: &str, path: &str, number: usize) {
        match word {
            "config" | "menuconfig" => {
                self.finish_entry();
                let definition = Definition {
                    place: format!("{path}:{number}"),
                    ..Definition::default()
                };
                self.entry = Entry::Config(rest.to_owned(), definition, Vec::new());
            }
            "menu" => self.open(Block::default()),
            "choice" => {
                self.choices += 1;
                self.open(Block {
                    choice: Some(self.choices),
                    ..Block::default()
                });
            }
            "if" => {
                self.open(Block {
                    depends: Expression::parse(rest).into_iter().collect(),
                    ..Block::default()
                });
                self.entry = Entry::None;
            }
            "endmenu" | "endchoice" | "endif" => {
                self.finish_entry();
                self.blocks.pop();
            }
            "comment" | "mainmenu" => self.finish_entry(),
            _ => self.attribute(word, rest),
        }
    }

    /// Starts a block; the attributes that follow are its own.
    fn open(&mut self, block: Block) {
        self.finish_entry();
        self.blocks.push(block);
        self.entry = Entry::Block;
    }

    /// An attribute of the current entry. What does not bear on whether a symbol can be set is skipped.
    fn attribute(&mut self, word: &str, rest: &str) {
        match &mut self.entry {
            Entry::None => {}
            Entry::Block => {
                let Some(block) = self.blocks.last_mut() else {
                    return;
                };
                match word {
                    "depends" => block.depends.extend(condition(rest, "on")),
                    "visible" => block.visible.extend(condition(rest, "if")),
                    _ => {}
                }
            }
            Entry::Config(_, definition, selects) => match word {
                "depends" => definition.depends.extend(condition(rest, "on")),
                "bool" | "tristate" | "string" | "int" | "hex" => {
                    definition.kind = Some(match word {
                        "bool" => Kind::Bool,
                        "tristate" => Kind::Tristate,
                        _ => Kind::Other,
                    });
                    prompt(definition, rest);
                }
                "def_bool" => definition.kind = Some(Kind::Bool),
                "def_tristate" => definition.kind = Some(Kind::Tristate),
                "prompt" => prompt(definition, rest),
                "select" => {
                    let (symbol, rest) = first_word(rest);
                    selects.push((symbol.to_owned(), condition(rest, "if")));
                }
                _ => {}
            },
        }
    }

    /// Keeps the current entry, now that all its attributes are known.
    fn finish_entry(&mut self) {
        let Entry::Config(name, mut definition, selects) = std::mem::replace(&mut self.entry, Entry::None)
        else {
            return;
        };
        for block in &self.blocks {
            definition.depends.extend(block.depends.iter().cloned());
            if let Some(conditions) = &mut definition.prompt {
                conditions.extend(block.visible.iter().cloned());
            }
        }
        definition.choice = self.blocks.iter().rev().find_map(|block| block.choice);
        for (symbol, condition) in selects {
            let selector = Selector {
                by: name.clone(),
                condition,
            };
            self.kconfig
                .symbols
                .entry(symbol)
                .or_default()
                .selectors
                .push(selector);
        }
        self.kconfig
            .symbols
            .entry(name)
            .or_default()
            .definitions
            .push(definition);
    }
}

/// Notes the prompt that `rest` starts with, if it does: `"Text" if CONDITION`.
fn prompt(definition: &mut Definition, rest: &str) {
    let Some(quote @ ('"' | '\'')) = rest.chars().next() else {
        return;
    };
    let mut escaped = false;
    let end = rest[1..].find(|character| {
        let closes = character == quote && !escaped;
        escaped = character == '\\' && !escaped;
        closes
    });
    let behind = end.map_or("", |end| &rest[end + 2..]);
    definition
        .prompt
        .get_or_insert_default()
        .extend(condition(behind, "if"));
}

/// The expression behind `keyword`, which `rest` starts with.
fn condition(rest: &str, keyword: &str) -> Option<Expression> {
    Expression::parse(rest.trim_start().strip_prefix(keyword)?)
}

/// The file that `source` names: `"arch/$(SRCARCH)/Kconfig"`.
fn sourced_path(rest: &str) -> Result<String> {
    let path = rest
        .trim()
        .trim_matches(['"', '\''])
        .replace("$(SRCARCH)", ARCHITECTURE)
        .replace("$(srctree)/", "");
    let path = path.replace("$SRCARCH", ARCHITECTURE);
    if path.contains('$') || path.starts_with('/') || path.split('/').any(|part| part == "..") {
        bail!("`{rest}` is no path below the source's root");
    }
    Ok(path)
}

/// The first word of `text` and what follows it.
fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// Lines with continuations joined. Comments stay in place where they are inside a help text: they are cut by
/// [`without_comment`] only from lines that could be statements, which help texts never are read as.
fn logical_lines(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut open: Option<Line> = None;
    for (index, text) in text.lines().enumerate() {
        let (text, continues) = match text.strip_suffix('\\') {
            Some(text) => (text, true),
            None => (text, false),
        };
        let line = match open.take() {
            Some(mut line) => {
                line.text.push_str(text);
                line
            }
            None => Line {
                number: index + 1,
                text: text.to_owned(),
            },
        };
        if continues {
            open = Some(line);
        } else {
            lines.push(Line {
                text: without_comment(&line.text).to_owned(),
                ..line
            });
        }
    }
    lines.extend(open);
    lines
}

/// `line` up to a `#` that is in no quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (index, character) in line.char_indices() {
        match (character, quote) {
            ('"' | '\'', None) => quote = Some(character),
            (_, Some(open)) if character == open => quote = None,
            ('#', None) => return &line[..index],
            _ => {}
        }
    }
    line
}

/// Skips a help text: all lines indented at least as far as its first.
fn skip_help(lines: &mut Peekable<vec::IntoIter<Line>>) {
    let mut first = None;
    while let Some(line) = lines.peek() {
        if !line.text.trim().is_empty() {
            let indentation = indentation(&line.text);
            if indentation == 0 || indentation < *first.get_or_insert(indentation) {
                return;
            }
        }
        lines.next();
    }
}

/// Columns of blanks that `line` starts with.
fn indentation(line: &str) -> usize {
    let mut column = 0;
    for byte in line.bytes() {
        match byte {
            b'\t' => column = (column / TAB + 1) * TAB,
            b' ' => column += 1,
            _ => break,
        }
    }
    column
}
