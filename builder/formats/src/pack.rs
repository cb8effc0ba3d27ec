//! A pack: the images of a fleet in one folder, as bases and what each node's image has other than its base.
//!
//! ```text
//! index.json             what is in the folder: an [`Index`]
//! BASE.img.zst           the card of no node, a frame for each of its segments
//! BASE.img.bmap          its block map
//! NODE.delta             what the node's card has other than the base's: the node's keys are in it
//! NODE.delta.age         the same, encrypted, in a pack that has recipients
//! NODE.manifest.json     the manifest of the node's image
//! ```
//!
//! Everything hangs on the index: it has the SHA-256 of the files of each base and of each node's manifest, which has
//! that of the block map of the node's image. A delta has its own, too. Of one that is encrypted the index has the SHA-256 of
//! what was encrypted: anybody can encrypt something to a recipient.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Version of this format. Readers refuse others.
pub const FORMAT: u32 = 1;

/// Version of a pack whose deltas are encrypted, which programs that know of none refuse.
pub const ENCRYPTED_FORMAT: u32 = 2;

/// The name of the index's file.
pub const INDEX: &str = "index.json";

/// What is in a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// [`FORMAT`] or, with recipients, [`ENCRYPTED_FORMAT`].
    pub format: u32,
    /// The fleet that the nodes belong to.
    pub fleet: String,
    /// Who can decrypt the deltas, sorted: public keys of age, `age1...`. Without any the deltas are plain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// The bases, sorted by name.
    pub bases: Vec<PackedBase>,
    /// The nodes, in the order of the fleet.
    pub nodes: Vec<Node>,
}

/// What images have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackedBase {
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
    /// Identifies everything that the image was made of.
    pub inputs: String,
    /// Bytes that the root file system uses.
    pub root_used: u64,
    /// SHA-256 in hexadecimal of the delta that was encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta_sha256: Option<String>,
}

/// Why an index cannot be used.
#[derive(Debug, Error)]
pub enum IndexError {
    /// It is not an index.
    #[error("it is no index of a pack")]
    Json(#[from] serde_json::Error),
    /// It is of another version.
    #[error("it has format {found}, this program reads {FORMAT} and {ENCRYPTED_FORMAT}")]
    Format {
        /// The version it has.
        found: u32,
    },
    /// It says of its deltas both that they are encrypted and that they are not.
    #[error("format {FORMAT} is of plain deltas, {ENCRYPTED_FORMAT} of encrypted ones, and it has both")]
    Encryption,
    /// What is a digest or a public key could write to a terminal.
    #[error("{word:?} is no digest and no public key of age")]
    Word {
        /// What it is.
        word: String,
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
        if ![FORMAT, ENCRYPTED_FORMAT].contains(&found) {
            return Err(IndexError::Format { found });
        }
        let index: Self = serde_json::from_slice(json)?;
        let is_encrypted = found == ENCRYPTED_FORMAT;
        let mut digests = index.nodes.iter().map(|node| node.delta_sha256.is_some());
        if index.recipients.is_empty() == is_encrypted || digests.any(|has| has != is_encrypted) {
            return Err(IndexError::Encryption);
        }
        if let Some(word) = index
            .words()
            .find(|word| !word.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        {
            return Err(IndexError::Word { word: word.clone() });
        }
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

    /// Its digests and public keys.
    fn words(&self) -> impl Iterator<Item = &String> {
        let of_bases = self
            .bases
            .iter()
            .flat_map(|base| [&base.sha256, &base.map_sha256]);
        let of_nodes = self.nodes.iter();
        let of_nodes =
            of_nodes.flat_map(|node| std::iter::once(&node.manifest_sha256).chain(&node.delta_sha256));
        of_bases.chain(of_nodes).chain(&self.recipients)
    }

    /// Whether its deltas are encrypted.
    pub fn is_encrypted(&self) -> bool {
        !self.recipients.is_empty()
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
