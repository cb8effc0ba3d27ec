//! What can stop packages from being installed.

use formats::layer::{BuildError, PackError, Refusal, shown};
use formats::tree::StackError;
use thiserror::Error;

use crate::binary::ImageError;
use crate::contents::ContentsError;
use crate::{Cpv, SyntaxError};

/// Why packages were not installed.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The system that packages go into cannot take any.
    #[error("the system that packages are to go into is refused")]
    Base(#[source] Fault),
    /// A package cannot be installed.
    #[error("{package} cannot be installed")]
    Package {
        /// Which: category, name and version.
        package: String,
        /// Why not.
        #[source]
        fault: Fault,
    },
    /// The files that follow from all packages cannot be written.
    #[error("what follows from all packages cannot be written")]
    Finish(#[source] Fault),
    /// Compressing or writing failed.
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// What is wrong.
#[derive(Debug, Error)]
pub enum Fault {
    /// The entries of the base do not stand together.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The image cannot be read, or has an entry that no package may have.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// An entry of the image is not accepted.
    #[error("entry {} is refused: {reason}", shown(name))]
    Entry {
        /// The name as the image gives it.
        name: Vec<u8>,
        /// Why.
        reason: Refusal,
    },
    /// A path that the database cannot hold.
    #[error("{} has {what}, which CONTENTS cannot hold", shown(path))]
    Unrecordable {
        /// The path.
        path: Vec<u8>,
        /// What it has.
        what: &'static str,
    },
    /// A path of the package manager's own records.
    #[error(
        "{} belongs to the package manager's own records, which no package brings",
        shown(path)
    )]
    Records {
        /// The path.
        path: Vec<u8>,
    },
    /// A file of another package.
    #[error("{} is a file of {owner}, too", shown(path))]
    Collision {
        /// The path on the system.
        path: Vec<u8>,
        /// The other package.
        owner: String,
    },
    /// Two entries of one package come to the same place.
    #[error("{} is in the package twice, once by way of a symbolic link", shown(path))]
    Twice {
        /// The path on the system.
        path: Vec<u8>,
    },
    /// Something that is not a directory where there is one.
    #[error("{} is a directory on the system and {what} in the package", shown(path))]
    OverDirectory {
        /// The path on the system.
        path: Vec<u8>,
        /// What the package has.
        what: &'static str,
    },
    /// A directory where there is something else.
    #[error("{} is a directory in the package and {what} on the system", shown(path))]
    NotDirectory {
        /// The path on the system.
        path: Vec<u8>,
        /// What the system has.
        what: &'static str,
    },
    /// A path through what is not a directory.
    #[error("{} passes through {}, {what}", shown(path), shown(ancestor))]
    Through {
        /// The path.
        path: Vec<u8>,
        /// What is above it.
        ancestor: Vec<u8>,
        /// What that is.
        what: &'static str,
    },
    /// Another name of a file that filters leave out.
    #[error(
        "{} is another name of {}, which a filter leaves out: leave out both or none",
        shown(path),
        shown(target)
    )]
    LinkLeftOut {
        /// The other name.
        path: Vec<u8>,
        /// The file.
        target: Vec<u8>,
    },
    /// What the package says about itself is not usable.
    #[error("its metadata file {file} {what}")]
    Metadata {
        /// Which file.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// A folder of the records that is no package's.
    #[error("{} is no folder of an installed package", shown(path))]
    Name {
        /// The folder.
        path: Vec<u8>,
        /// What is wrong with its name.
        source: SyntaxError,
    },
    /// Another package of the same name and slot was installed before.
    #[error("{other} was installed before it into the same slot")]
    SameSlot {
        /// That package.
        other: String,
    },
    /// A file of the system cannot be read.
    #[error("cannot read {}", shown(path))]
    Read {
        /// Which.
        path: Vec<u8>,
        /// Why not.
        source: std::io::Error,
    },
    /// A file that has to be in memory is too large.
    #[error(
        "{} has {size} bytes, above the limit of {limit} for what is read into memory",
        shown(path)
    )]
    Large {
        /// Which.
        path: Vec<u8>,
        /// Bytes in it.
        size: u64,
        /// Most bytes allowed.
        limit: u64,
    },
    /// `CONTENTS` of an installed package cannot be read.
    #[error("CONTENTS of {package} cannot be read")]
    Contents {
        /// The package.
        package: String,
        /// Why not.
        source: ContentsError,
    },
    /// A file of the system is not what it should be.
    #[error("{}, line {line}: {what}", shown(path))]
    Line {
        /// Which file.
        path: Vec<u8>,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A protected file has more updates beside it than their names can count.
    #[error(
        "{} has 10000 updates beside it, as many as there are names for: `dispatch-conf` merges them",
        shown(path)
    )]
    Updates {
        /// The file.
        path: Vec<u8>,
    },
    /// The filters would leave out the package manager's records.
    #[error(
        "the filters leave out {}: only the choice to drop the package manager takes its records away",
        shown(path)
    )]
    FilteredRecords {
        /// The folder of records.
        path: Vec<u8>,
    },
    /// The counter of installed packages cannot go on.
    #[error("{} is no counter that another package can follow: {value:?}", shown(path))]
    Counter {
        /// Where it is.
        path: Vec<u8>,
        /// What is there.
        value: String,
    },
    /// No number is left for a user or group.
    #[error("no number from 101 to 999 is left for {what} {name}")]
    NoNumber {
        /// User or group.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// An entry cannot be part of a layer.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Fault {
    /// The error of the package that it stops.
    pub(super) fn of(self, package: &Cpv) -> InstallError {
        match self {
            Self::Build(BuildError::Pack(error)) => error.into(),
            fault => InstallError::Package {
                package: package.to_string(),
                fault,
            },
        }
    }
}
