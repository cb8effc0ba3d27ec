//! Blobs that are known by name.

use formats::digest::parse_hex;
use formats::fip::FoundPart;
use model::sources::Sources;
use sha2::{Digest as _, Sha256};

/// A blob that can be told by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What it is: `odroid-c2 bl30.bin`.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// The blobs of the ODROID-C2, as many published images have them.
const ODROID_C2: [(&str, u64, &str); 4] = [
    (
        "bl1.bin.hardkernel",
        49_664,
        "15cf3aa6c6bd1f296de6f1e08de68c200f95f80197765a587743d6b4edf06435",
    ),
    (
        "bl30.bin",
        40_584,
        "82962cffd3cb7734e787126db92b1d90a55b8b6f5e9d239be7726841e36ccdaf",
    ),
    (
        "bl301.bin",
        6_228,
        "696a42490ff43e505ca101f5b9cea14267f5cb62ac4ab495157d39e55f268051",
    ),
    (
        "bl31.bin",
        69_840,
        "9e82511a5831a832ad4a4b3d1ddad3445973c570a8d8bee92081282b8c3ef060",
    ),
];

impl Known {
    /// The blobs that are known wherever there is no project.
    pub fn built_in() -> Vec<Self> {
        let known = |(file, size, sha256): &(&str, u64, &str)| {
            Some(Self {
                name: format!("odroid-c2 {file}"),
                size: *size,
                sha256: parse_hex(sha256)?,
            })
        };
        ODROID_C2.iter().filter_map(known).collect()
    }

    /// The blobs that a project's `sources.toml` pins.
    pub fn of(sources: &Sources) -> Vec<Self> {
        let blobs = sources.blobs.iter();
        let all = blobs.flat_map(|(board, set)| set.files.iter().map(move |file| (board, file)));
        all.map(|(board, (file, blob))| Self {
            name: format!("{board} {file}"),
            size: blob.size.0,
            sha256: blob.sha256,
        })
        .collect()
    }

    /// Whether a part was made of it: the zeros that may fill it up are left out.
    pub fn is(&self, part: &FoundPart) -> bool {
        digest_of(part, self.size) == Some(self.sha256)
    }
}

/// The SHA-256 of what the part was made of, if that had `size` bytes; `None` where it had more or fewer for sure.
fn digest_of(part: &FoundPart, size: u64) -> Option<[u8; 32]> {
    let lengths = part.lengths();
    let size = usize::try_from(size).ok().filter(|size| lengths.contains(size))?;
    Some(Sha256::digest(&part.content[..size]).into())
}

/// The size of what the part was made of, if its SHA-256 is `sha256`.
pub fn size_of(part: &FoundPart, sha256: &[u8; 32]) -> Option<u64> {
    let sizes = part.lengths().map(|length| length as u64);
    sizes
        .into_iter()
        .find(|size| digest_of(part, *size).as_ref() == Some(sha256))
}
