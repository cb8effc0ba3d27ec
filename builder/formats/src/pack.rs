//! A pack: the images of a fleet in one folder, as bases and what each node's image has other than its base.
//!
//! ```text
//! index.json             what is in the folder: an [`Index`]
//! BASE.img.zst           the card of no node, a frame for each of its segments
//! BASE.img.bmap          its block map
//! NODE.delta             what the node's card has other than the base's
//! NODE.manifest.json     the manifest of the node's image
//! ```
//!
//! Everything hangs on the index: it has the SHA-256 of the files of each base and of each node's manifest, which has
//! that of the block map of the node's image. A delta has its own, too.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Version of this format. Readers refuse others.
pub const FORMAT: u32 = 1;

/// The name of the index's file.
pub const INDEX: &str = "index.json";

/// What is in a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// [`FORMAT`].
    pub format: u32,
    /// The fleet that the nodes belong to.
    pub fleet: String,
    /// The bases, sorted by name.
    pub bases: Vec<Base>,
    /// The nodes, in the order of the fleet.
    pub nodes: Vec<Node>,
}

/// What images have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// How its files are called: `<name>.img.zst`, `<name>.img.bmap`.
    pub name: String,
    /// SHA-256 in hexadecimal of its compressed card.
    pub sha256: String,
    /// SHA-256 in hexadecimal of its block map.
    pub map_sha256: String,
}

/// A node's image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The node, and how its files are called: `<name>.delta`, `<name>.manifest.json`.
    pub name: String,
    /// The name of the base that its delta changes.
    pub base: String,
    /// SHA-256 in hexadecimal of its manifest.
    pub manifest_sha256: String,
    /// Stands for everything that the image was made of.
    pub inputs: String,
    /// Bytes that the root file system uses.
    pub root_used: u64,
}

/// Why an index cannot be used.
#[derive(Debug, Error)]
pub enum IndexError {
    /// It is no index.
    #[error("it is no index of a pack")]
    Json(#[from] serde_json::Error),
    /// It is of another version.
    #[error("it has format {found}, this program reads {FORMAT}")]
    Format {
        /// The version it has.
        found: u32,
    },
    /// A name could be that of a file elsewhere.
    #[error(
        "{name:?} is no name of a base or a node: such a name has letters, digits, `.`, `_` and `-` only and starts with \
         a letter or a digit"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A name is there twice.
    #[error("{name} is there twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// A node's base is not there.
    #[error("node {node} has the base {base}, which is not there")]
    Base {
        /// The node.
        node: String,
        /// The base.
        base: String,
    },
}

impl Index {
    /// The index that `json` is. Its names are safe as names of files.
    pub fn from_json(json: &[u8]) -> Result<Self, IndexError> {
        /// What every version has.
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let Version { format: found } = serde_json::from_slice(json)?;
        if found != FORMAT {
            return Err(IndexError::Format { found });
        }
        let index: Self = serde_json::from_slice(json)?;
        let bases = names(index.bases.iter().map(|base| &base.name))?;
        names(index.nodes.iter().map(|node| &node.name))?;
        match index.nodes.iter().find(|node| !bases.contains(&node.base[..])) {
            None => Ok(index),
            Some(node) => Err(IndexError::Base {
                node: node.name.clone(),
                base: node.base.clone(),
            }),
        }
    }

    /// The index as a file.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        Ok(json)
    }
}

/// The names, each of which is safe and there once.
fn names<'a>(names: impl Iterator<Item = &'a String>) -> Result<BTreeSet<&'a str>, IndexError> {
    let mut seen = BTreeSet::new();
    for name in names {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_plain) {
            return Err(IndexError::Name { name: name.clone() });
        }
        if !seen.insert(name.as_str()) {
            return Err(IndexError::Twice { name: name.clone() });
        }
    }
    Ok(seen)
}
