//! Binary packages, read to their ends.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use formats::layer::archive::Kind;
use formats::layer::{MAX_PATH, check_path};
use formats::units::Bytes;
use gentoo::binary::{BinaryPackage, Expected, Limits, Signatures};

/// Small ones, so that many inputs are read in a second.
const LIMITS: Limits = Limits {
    members: 64,
    manifest: Bytes::mib(1),
    metadata: Bytes::mib(1),
    metadata_files: 100,
    metadata_file: Bytes::kib(256),
    image: Bytes::mib(8),
    entries: 1000,
    file: Bytes::mib(4),
};

/// Takes every signature for a good one.
struct Gullible;

impl Signatures for Gullible {
    fn text(&self, manifest: &[u8]) -> Result<Vec<u8>, String> {
        let text = manifest.split(|byte| *byte == b'\n').skip(1);
        Ok(text.collect::<Vec<_>>().join(&b'\n'))
    }

    fn required(&self) -> bool {
        false
    }
}

thread_local! {
    /// One file for all inputs.
    static FILE: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// Reads a package. What is accepted has what every package has, and no entry that leads out of it.
pub fn read(bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let package = BinaryPackage::open_within(file(bytes)?, &Expected::default(), &Gullible, LIMITS)?;
    assert!(package.metadata().contains_key("CATEGORY") && package.metadata().contains_key("PF"));
    assert!(package.metadata().keys().all(|name| !name.contains('/')));
    let mut entries = package.image()?.entries();
    let (mut all, mut linkable) = (BTreeSet::new(), BTreeSet::new());
    while let Some(entry) = entries.next_entry()? {
        assert_eq!(check_path(&entry.name, MAX_PATH), Ok(()));
        match entry.kind {
            Kind::Directory => {}
            Kind::Hardlink => assert!(linkable.contains(&entry.target)),
            Kind::File | Kind::Symlink | Kind::Fifo => assert!(!entry.name.is_empty()),
            kind => panic!("an image with {}", kind.what()),
        }
        for region in &entry.regions {
            assert!(region.offset + region.length <= entry.size && entry.size <= LIMITS.file.0);
            // The limit of a file is one that fits into memory.
            entries.read_data(&mut vec![0; region.length as usize])?;
        }
        if entry.kind != Kind::Directory {
            linkable.insert(entry.name.clone());
        }
        assert!(all.insert(entry.name));
    }
    // What its entries can be read of can be read as it is.
    io::copy(&mut package.image()?, &mut io::sink())?;
    Ok(())
}

fn file(bytes: &[u8]) -> io::Result<File> {
    FILE.with_borrow_mut(|slot| {
        let file = match slot {
            Some(file) => file,
            None => slot.insert(tempfile::tempfile()?),
        };
        file.set_len(0)?;
        file.write_all_at(bytes, 0)?;
        file.try_clone()
    })
}
