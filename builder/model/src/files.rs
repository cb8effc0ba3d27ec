//! Where the files of a project are: in its folder, and, of parts that it has none of its own of, among those that come with the
//! program.
//!
//! A path that starts with `stock:` names a file of the program, any other one a file below the project's root. So a path
//! says where a part came from wherever it is shown, and nothing else depends on it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::finding::{Finding, Findings, SourceFile};

/// How the path of a file starts that comes with the program.
const STOCK: &str = "stock:";

/// A file that comes with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockFile {
    /// Where a project would have it: `overlays/guard/overlay.toml`.
    pub path: &'static str,
    /// Whether it is executable on a node, and in a project where somebody copies it to.
    pub is_executable: bool,
    /// Its bytes.
    pub bytes: &'static [u8],
}

/// What of a project may come with the program. A part of the project takes the place of the whole stock part of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartKind {
    /// `boards/NAME/`
    Board,
    /// `images/layouts/NAME.toml`
    Layout,
    /// `overlays/NAME/`
    Overlay,
    /// `kernel/fragments/NAME.config`
    Fragment,
    /// `kernel/kernel.toml`, which has no name of its own.
    Kernel,
}

/// Whose a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartOrigin {
    /// It came with the program.
    Stock,
    /// The project's, and the program has none of this name.
    Own,
    /// The project's, in place of that of the program.
    InPlaceOfStock,
}

/// The files of a project.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
    /// In the order of their paths.
    stock: &'static [StockFile],
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Folder,
    File {
        /// Its length in bytes.
        length: u64,
        /// Whether its owner may execute it: the one bit that git keeps.
        is_executable: bool,
    },
    Link,
    Other,
}

impl PartKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Board,
        Self::Layout,
        Self::Overlay,
        Self::Fragment,
        Self::Kernel,
    ];

    /// The folder that parts of the kind lie in, and how the name of one ends.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Board => ("boards", ""),
            Self::Layout => ("images/layouts", ".toml"),
            Self::Overlay => ("overlays", ""),
            Self::Fragment => ("kernel/fragments", ".config"),
            Self::Kernel => ("kernel", ".toml"),
        }
    }

    /// As people and programs call it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Board => "board",
            Self::Layout => "layout",
            Self::Overlay => "overlay",
            Self::Fragment => "kernel fragment",
            Self::Kernel => "kernel",
        }
    }

    /// How a person names the part called `name`: `overlay/guard`.
    pub fn reference(self, name: &str) -> String {
        match self {
            Self::Fragment => format!("kernel/{name}"),
            Self::Kernel => "kernel".to_owned(),
            Self::Board | Self::Layout | Self::Overlay => format!("{}/{name}", self.text()),
        }
    }

    /// Whether a part is a folder, not a file.
    fn is_folder(self) -> bool {
        matches!(self, Self::Board | Self::Overlay)
    }

    /// Where the part called `name` lies in a project.
    pub fn path(self, name: &str) -> PathBuf {
        let (folder, ending) = self.place();
        Path::new(folder).join(format!("{name}{ending}"))
    }

    /// The file that says what the part at `path` is.
    pub(crate) fn main_file(self, path: PathBuf) -> PathBuf {
        match self {
            Self::Board => path.join("board.toml"),
            Self::Overlay => path.join("overlay.toml"),
            Self::Layout | Self::Fragment | Self::Kernel => path,
        }
    }

    /// The name of the part that `entry` of the kind's folder is.
    fn name_of(self, entry: &str) -> Option<&str> {
        let (_, ending) = self.place();
        match self {
            Self::Kernel => (entry == "kernel.toml").then_some("kernel"),
            _ => entry.strip_suffix(ending).filter(|name| !name.is_empty()),
        }
    }
}

impl Files {
    /// The files below `root` alone.
    pub fn of(root: &Path) -> Self {
        Self::with_stock(root, &[])
    }

    /// The files below `root`, and `stock`, in the order of their paths, for parts that are not there.
    pub fn with_stock(root: &Path, stock: &'static [StockFile]) -> Self {
        debug_assert!(stock.is_sorted_by_key(|file| file.path));
        Self {
            root: root.to_owned(),
            stock,
        }
    }

    /// The project's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of a part: the project's where it has one, else the stock one; where there is neither, the one that it would have.
    pub fn part(&self, kind: PartKind, name: &str) -> PathBuf {
        let path = kind.path(name);
        if self.has_own(kind, &path) {
            path
        } else {
            self.stock_or(path)
        }
    }

    /// The same of a file that a part names.
    pub(crate) fn placed(&self, path: PathBuf) -> PathBuf {
        if is_taken(&self.root.join(&path)) {
            path
        } else {
            self.stock_or(path)
        }
    }

    /// Whether the project has the part at `path`. A file in the place of a folder is none.
    fn has_own(&self, kind: PartKind, path: &Path) -> bool {
        let path = self.root.join(path);
        if kind.is_folder() {
            path.is_dir()
        } else {
            is_taken(&path)
        }
    }

    /// The stock file or folder at `path`; where there is none, `path` itself, which is then told of.
    fn stock_or(&self, path: PathBuf) -> PathBuf {
        match path.to_str() {
            Some(text) if self.stock_kind(text).is_some() => PathBuf::from(format!("{STOCK}{text}")),
            _ => path,
        }
    }

    /// Whose the part is that `part` gave for `name`; `None` where there is none.
    pub fn origin(&self, kind: PartKind, name: &str) -> Option<PartOrigin> {
        let path = kind.path(name);
        let has_stock = path.to_str().is_some_and(|path| self.stock_kind(path).is_some());
        match (self.has_own(kind, &path), has_stock) {
            (true, true) => Some(PartOrigin::InPlaceOfStock),
            (true, false) => Some(PartOrigin::Own),
            (false, true) => Some(PartOrigin::Stock),
            (false, false) => None,
        }
    }

    /// The files of the stock part called `name`; none where there is no such part.
    pub fn stock_part(&self, kind: PartKind, name: &str) -> Vec<&'static StockFile> {
        if !self.stock_names(kind).contains(name) {
            return Vec::new();
        }
        let path = kind.path(name);
        let is_of = |file: &&StockFile| match kind.is_folder() {
            true => below(file.path, &path.to_string_lossy()).is_some(),
            false => Path::new(file.path) == path,
        };
        self.stock.iter().filter(is_of).collect()
    }

    /// The names of the stock parts of a kind.
    pub fn stock_names(&self, kind: PartKind) -> BTreeSet<&'static str> {
        let (folder, _) = kind.place();
        let entries = self.stock.iter().filter_map(|file| below(file.path, folder));
        entries
            .filter_map(|entry| match (entry.split_once('/'), kind.is_folder()) {
                (Some((name, _)), true) => Some(name),
                (None, false) => kind.name_of(entry),
                _ => None,
            })
            .collect()
    }

    /// The parts of a kind by name, each with its path. What in a folder of the project is no part is left alone.
    pub fn parts(&self, kind: PartKind, findings: &mut Findings) -> BTreeMap<String, PathBuf> {
        let (folder, _) = kind.place();
        let stock = self.stock_names(kind).into_iter().map(str::to_owned);
        let mut parts: BTreeMap<_, _> = stock
            .map(|name| {
                let path = kind.path(&name);
                (name, PathBuf::from(format!("{STOCK}{}", path.display())))
            })
            .collect();
        for (entry, path) in self.own_entries(Path::new(folder), findings) {
            if let Some(name) = kind.name_of(&entry).filter(|_| self.has_own(kind, &path)) {
                parts.insert(name.to_owned(), path);
            }
        }
        parts
    }

    /// The entries of a folder of the project, by name, without hidden ones. Where stock parts stand in for it, it may be missing.
    fn own_entries(&self, folder: &Path, findings: &mut Findings) -> Vec<(String, PathBuf)> {
        let names = match self.names(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.stock.is_empty() => Ok(Vec::new()),
            names => names,
        };
        let names = names.map_err(|error| {
            Finding::new(format!("cannot read folder `{}`: {error}", folder.display())).hint(
                "a project has `boards/`, `kernel/`, `overlays/`, `images/` and `sources.toml`; is this its root?",
            )
        });
        let mut entries = Vec::new();
        for name in findings.keep(names).unwrap_or_default() {
            match name.into_string() {
                Ok(name) if name.starts_with('.') => {}
                Ok(name) => entries.push((name.clone(), folder.join(name))),
                Err(name) => findings.push(
                    Finding::new(format!(
                        "the name {name:?} in `{}` is not UTF-8",
                        folder.display()
                    ))
                    .hint("rename or remove it"),
                ),
            }
        }
        entries.sort();
        entries
    }

    /// The text of `path`. A file that cannot be read is a finding that says why.
    pub fn load(&self, path: &Path) -> Result<Arc<SourceFile>, Finding> {
        match stock_path(path) {
            None => SourceFile::load(&self.root, path),
            Some(text) => match self.stock_kind(text) {
                Some(FileKind::File { .. }) => SourceFile::decode(path, self.stock_bytes(text).to_vec()),
                Some(_) => Err(Finding::new(format!(
                    "`{}` is a folder, not a file",
                    path.display()
                ))),
                None => Err(Finding::new(format!("`{}` does not exist", path.display()))),
            },
        }
    }

    /// The bytes of `path`.
    pub(crate) fn read(&self, path: &Path) -> io::Result<Cow<'static, [u8]>> {
        match stock_path(path) {
            None => fs::read(self.root.join(path)).map(Cow::Owned),
            Some(text) => match self.stock_kind(text) {
                Some(FileKind::File { .. }) => Ok(Cow::Borrowed(self.stock_bytes(text))),
                _ => Err(io::ErrorKind::NotFound.into()),
            },
        }
    }

    /// What `path` leads to; a link is not followed.
    pub(crate) fn kind(&self, path: &Path) -> io::Result<FileKind> {
        if let Some(text) = stock_path(path) {
            return self.stock_kind(text).ok_or(io::ErrorKind::NotFound.into());
        }
        let metadata = fs::symlink_metadata(self.root.join(path))?;
        Ok(match metadata.file_type() {
            kind if kind.is_dir() => FileKind::Folder,
            kind if kind.is_symlink() => FileKind::Link,
            kind if kind.is_file() => FileKind::File {
                length: metadata.len(),
                is_executable: metadata.permissions().mode() & 0o100 != 0,
            },
            _ => FileKind::Other,
        })
    }

    /// The names in a folder, in no order.
    pub(crate) fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let Some(text) = stock_path(folder) else {
            return fs::read_dir(self.root.join(folder))?
                .map(|entry| Ok(entry?.file_name()))
                .collect();
        };
        let entries = self.stock.iter().filter_map(|file| below(file.path, text));
        let names: BTreeSet<&str> = entries.filter_map(|entry| entry.split('/').next()).collect();
        Ok(names.into_iter().map(OsString::from).collect())
    }

    fn stock_kind(&self, path: &str) -> Option<FileKind> {
        match self.stock.binary_search_by_key(&path, |file| file.path) {
            Ok(at) => Some(FileKind::File {
                length: self.stock[at].bytes.len() as u64,
                is_executable: self.stock[at].is_executable,
            }),
            Err(_) => {
                let is_folder = self.stock.iter().any(|file| below(file.path, path).is_some());
                is_folder.then_some(FileKind::Folder)
            }
        }
    }

    fn stock_bytes(&self, path: &str) -> &'static [u8] {
        let found = self.stock.binary_search_by_key(&path, |file| file.path);
        found.map_or(&[], |at| self.stock[at].bytes)
    }
}

impl PartOrigin {
    /// As people and programs read it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Own => "own",
            Self::InPlaceOfStock => "own, in place of stock",
        }
    }
}

/// Whether anything is at `path`; a link that leads nowhere is, and is told of when it is read.
fn is_taken(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The path of a file of the program; `None` for one of the project.
fn stock_path(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix(STOCK)
}

/// What of `path` is behind the folder `folder` and its `/`.
fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    path.strip_prefix(folder)?.strip_prefix('/')
}
