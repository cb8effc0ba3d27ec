//! Where subvolumes are mounted, as a tree of path components.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{VolumeError, printable};
use super::{SubvolumeContent, SubvolumeSpec};

/// A directory on the way to mount paths.
#[derive(Debug, Default)]
pub(super) struct Mounts<'a> {
    /// The subvolume to be mounted here, by position in the specs.
    pub subvolume: Option<usize>,
    /// Directories below, on the way to further ones.
    pub below: BTreeMap<&'a [u8], Mounts<'a>>,
    /// Name of a subvolume that is mounted here or below.
    pub needed_by: &'a str,
}

impl<'a> Mounts<'a> {
    /// The mount paths of `specs` from the root of the tree on. Checks the specs against each other on the way.
    pub fn new(specs: &'a [SubvolumeSpec]) -> Result<Self, VolumeError> {
        let mut root = Self::default();
        let mut uuids = BTreeSet::new();
        for (position, spec) in specs.iter().enumerate() {
            if !uuids.insert(spec.uuid) {
                return Err(VolumeError::DuplicateUuid { uuid: spec.uuid });
            }
            if let Some(earlier) = specs[..position]
                .iter()
                .find(|earlier| earlier.default && spec.default)
            {
                let (first, second) = (earlier.name.clone(), spec.name.clone());
                return Err(VolumeError::TwoDefaults { first, second });
            }
            if let SubvolumeContent::Mount(path) = &spec.content {
                root.add(position, &spec.name, path)?;
            }
        }
        Ok(root)
    }

    /// Adds a mount path.
    fn add(&mut self, position: usize, name: &'a str, path: &'a [u8]) -> Result<(), VolumeError> {
        let mut place = self;
        for component in path
            .split(|&byte| byte == b'/')
            .filter(|component| !component.is_empty())
        {
            if component == b"." || component == b".." {
                return Err(VolumeError::MountPath {
                    path: printable(path),
                    subvolume: name.to_owned(),
                    reason: "has a component . or ..",
                });
            }
            place = place.below.entry(component).or_default();
            place.needed_by = name;
        }
        match place.subvolume.replace(position) {
            None => Ok(()),
            Some(_) => Err(VolumeError::DuplicateMount {
                path: printable(path),
            }),
        }
    }
}
