//! The modules of a crate, and which of its own modules each one names, read from its source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree};

/// A module, named from the root of its crate: `["install", "merge"]`; the root itself is empty.
pub type Name = Vec<String>;

/// A path as it is written.
type Written = Vec<String>;

/// What a path begins with that is written with `::` in front: the next one is a crate, whatever modules there are.
const OUTSIDE: &str = "::";

/// What is written in a module but for its tests.
#[derive(Default)]
struct Module {
    children: BTreeSet<String>,
    /// What `use` brings into it, by the names that it has there.
    brought: BTreeMap<String, Written>,
    /// What `use ...::*` brings all of.
    globs: Vec<Written>,
    /// Every path in it, `use` included.
    paths: BTreeSet<Written>,
}

/// All modules of a crate.
pub struct Source {
    modules: BTreeMap<Name, Module>,
}

impl Source {
    /// Reads a crate from its root, `lib.rs` or `main.rs`.
    pub fn read(root: &Path) -> Self {
        let mut source = Self {
            modules: BTreeMap::new(),
        };
        let folder = root.parent().expect("a file lies in a folder");
        source.read_file(root, folder, Name::new());
        source
    }

    fn read_file(&mut self, file: &Path, folder: &Path, name: Name) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.read_items(&parsed.items, folder, name);
    }

    fn read_items(&mut self, items: &[Item], folder: &Path, name: Name) {
        let mut module = Module::default();
        let mut reader = Reader {
            module: &mut module,
            inner: Vec::new(),
        };
        for item in items {
            reader.visit_item(item);
        }
        let inner = reader.inner;
        self.modules.insert(name.clone(), module);
        for child in inner {
            let ident = child.ident.to_string();
            let below = folder.join(&ident);
            let mut path = name.clone();
            path.push(ident);
            match &child.content {
                Some((_, items)) => self.read_items(items, &below, path),
                None => self.read_file(&file_of(&below), &below, path),
            }
        }
    }

    /// The names of all modules.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.modules.keys()
    }

    /// Every path that starts with the name of another crate, in the module `name`.
    pub fn foreign(&self, name: &Name) -> BTreeSet<Written> {
        let module = &self.modules[name];
        let paths = module.paths.iter();
        let whole = paths.map(|path| match module.brought.get(&path[0]) {
            Some(brought) if !module.children.contains(&path[0]) => [brought.as_slice(), &path[1..]].concat(),
            _ => path.clone(),
        });
        let foreign = whole.filter(|path| !module.is_own(path));
        foreign
            .map(|path| path.into_iter().filter(|part| part != OUTSIDE).collect())
            .collect()
    }

    /// The modules of the crate, other than itself, in which what the module `name` names is defined, each with one of the
    /// paths by which it is named.
    pub fn named_by(&self, name: &Name) -> BTreeMap<Name, &Written> {
        let paths = self.modules[name].paths.iter();
        let mut found: BTreeMap<Name, &Written> = paths
            .filter_map(|path| Some((self.defining(name, path, &mut BTreeSet::new())?, path)))
            .collect();
        found.remove(name);
        found
    }

    /// The module that defines what `path` means in `from`; `None` where it is of another crate.
    ///
    /// `seen` has what is being looked for: of modules that bring each other's names none defines them.
    fn defining(&self, from: &Name, path: &[String], seen: &mut BTreeSet<(Name, Written)>) -> Option<Name> {
        if !seen.insert((from.clone(), path.to_vec())) {
            return None;
        }
        let module = self.modules.get(from)?;
        let Some((first, rest)) = path.split_first() else {
            return Some(from.clone());
        };
        match first.as_str() {
            "crate" => return self.defining(&Name::new(), rest, seen),
            "self" => return self.defining(from, rest, seen),
            "super" => return self.defining(&from[..from.len().checked_sub(1)?].to_vec(), rest, seen),
            _ => {}
        }
        if module.children.contains(first) {
            let child = [from.as_slice(), std::slice::from_ref(first)].concat();
            return self.defining(&child, rest, seen);
        }
        if let Some(brought) = module.brought.get(first) {
            let whole = [brought.as_slice(), rest].concat();
            // What is brought from another crate is nobody's here.
            let own = module.is_own(brought);
            return own.then(|| self.defining(from, &whole, seen)).flatten();
        }
        let globs = module.globs.iter().filter(|glob| module.is_own(glob));
        let from_globs = globs.into_iter().find_map(|glob| {
            let whole = [glob.as_slice(), path].concat();
            self.defining(from, &whole, seen)
        });
        // A name of one's own, of another crate, or of the prelude: the walk ended in this module.
        from_globs.or_else(|| Some(from.clone()))
    }
}

impl Module {
    /// Whether a path in it is one of the same crate, as far as its beginning tells.
    fn is_own(&self, path: &[String]) -> bool {
        matches!(path[0].as_str(), "crate" | "self" | "super") || self.children.contains(&path[0])
    }
}

fn file_of(module: &Path) -> PathBuf {
    match module.with_extension("rs") {
        file if file.is_file() => file,
        _ => module.join("mod.rs"),
    }
}

/// Gathers what a module names.
struct Reader<'a> {
    module: &'a mut Module,
    inner: Vec<ItemMod>,
}

impl Reader<'_> {
    fn bring(&mut self, tree: &UseTree, before: &Written) {
        let with = |ident: &syn::Ident| {
            let mut path = before.clone();
            // `use a::{self}` is `use a`.
            if ident != "self" || path.is_empty() {
                path.push(ident.to_string());
            }
            path
        };
        match tree {
            UseTree::Path(part) => self.bring(&part.tree, &with(&part.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.bring(item, before)),
            UseTree::Glob(_) => {
                self.module.globs.push(before.clone());
                self.module.paths.insert(before.clone());
            }
            UseTree::Name(name) => {
                let path = with(&name.ident);
                let known = path.last().expect("a name was just added").clone();
                self.bring_as(known, path);
            }
            UseTree::Rename(rename) => self.bring_as(rename.rename.to_string(), with(&rename.ident)),
        }
    }

    fn bring_as(&mut self, known: String, path: Written) {
        self.module.paths.insert(path.clone());
        self.module.brought.insert(known, path);
    }

    /// Paths in the arguments of a macro, which are no syntax yet.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut joined) = (Written::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if joined != 2 {
                        self.note(std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    joined = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => joined += 1,
                TokenTree::Group(group) => {
                    self.note(std::mem::take(&mut path));
                    self.read_tokens(group.stream());
                }
                _ => self.note(std::mem::take(&mut path)),
            }
        }
        self.note(path);
    }

    fn note(&mut self, path: Written) {
        if !path.is_empty() {
            self.module.paths.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            self.module.children.insert(item.ident.to_string());
            self.inner.push(item.clone());
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_test(&item.attrs) {
            let before = match item.leading_colon {
                Some(_) => vec![OUTSIDE.to_owned()],
                None => Written::new(),
            };
            self.bring(&item.tree, &before);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter();
        let outside = path.leading_colon.map(|_| OUTSIDE.to_owned());
        self.note(
            outside
                .into_iter()
                .chain(segments.map(|segment| segment.ident.to_string()))
                .collect(),
        );
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.read_tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }
}

/// Whether what has these attributes is there for tests only.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|condition| condition.is_ident("test"))
    })
}
