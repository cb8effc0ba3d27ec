//! One entry of an image by itself: whether the records can hold it, its bytes and their sum.

use formats::layer::archive::{Kind as MemberKind, Member, Region};
use md5::{Digest as _, Md5};

use super::accounts;
use super::database::VDB;
use super::environment;
use super::error::Fault;
use super::protect::MEMORY;
use super::root::{MAX_READ, split};
use crate::binary::ImageEntries;

/// Zeros that are summed at once.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// Accepts the path of an entry that the database can hold and that is not the package manager's own.
pub(super) fn check_path(member: &Member) -> Result<(), Fault> {
    let path = &member.name[..];
    check_text(path, path, "a name")?;
    if [VDB, b"var/lib/portage", b"var/cache/edb"].iter().any(|folder| {
        let below = path
            .strip_prefix(*folder)
            .filter(|rest| rest.first() == Some(&b'/'));
        below.is_some_and(|rest| member.kind != MemberKind::Directory && !rest.starts_with(b"/.keep"))
    }) {
        return Err(Fault::Records { path: path.to_vec() });
    }
    Ok(())
}

/// Accepts what a line of CONTENTS can hold: portage reads it as UTF-8.
pub(super) fn check_text(path: &[u8], text: &[u8], what: &'static str) -> Result<(), Fault> {
    let fault = if str::from_utf8(text).is_err() {
        match what {
            "a name" => "a name that is no UTF-8",
            _ => "a target that is no UTF-8",
        }
    } else if text.contains(&b'\n') || text.contains(&b'\r') {
        "a line break"
    } else {
        return Ok(());
    };
    Err(unrecordable(path, fault))
}

pub(super) fn unrecordable(path: &[u8], what: &'static str) -> Fault {
    Fault::Unrecordable {
        path: path.to_vec(),
        what,
    }
}

/// Whether a file is kept in memory, because what is installed later reads or changes it.
pub(super) fn is_text(path: &[u8]) -> bool {
    let (folder, name) = split(path);
    let is_one_of = |files: &[&str]| files.iter().any(|file| file.as_bytes() == path);
    folder == environment::FOLDER
        || folder == b"usr/lib/sysusers.d" && name.starts_with(b"acct-")
        || is_one_of(&accounts::FILES)
        || is_one_of(&environment::FILES)
        || path == MEMORY
}

/// All bytes of a file.
pub(super) fn read(entries: &mut ImageEntries<'_>, member: &Member, path: &[u8]) -> Result<Vec<u8>, Fault> {
    let large = || Fault::Large {
        path: path.to_vec(),
        size: member.size,
        limit: MAX_READ,
    };
    let size = usize::try_from(member.size).map_err(|_| large())?;
    if member.size > MAX_READ {
        return Err(large());
    }
    let mut bytes = vec![0; size];
    for region in &member.regions {
        // Regions lie within the size, which fits.
        let start = region.offset as usize;
        entries.read_data(&mut bytes[start..start + region.length as usize])?;
    }
    Ok(bytes)
}

pub(super) fn kind_name(kind: MemberKind) -> &'static str {
    match kind {
        MemberKind::Symlink => "a symbolic link",
        MemberKind::Fifo => "a named pipe",
        _ => "a file",
    }
}

/// The MD5 of a file whose data comes without its holes.
pub(super) struct Sum<'a> {
    md5: Md5,
    regions: &'a [Region],
    /// Bytes of the file that were summed.
    position: u64,
}

impl<'a> Sum<'a> {
    pub fn new(regions: &'a [Region]) -> Self {
        Self {
            md5: Md5::new(),
            regions,
            position: 0,
        }
    }

    /// Adds the next data, which lies within one region.
    pub fn add(&mut self, data: &[u8]) {
        while let [first, rest @ ..] = self.regions
            && self.position >= first.offset + first.length
        {
            self.regions = rest;
        }
        if let Some(first) = self.regions.first() {
            self.zeros(first.offset);
        }
        self.md5.update(data);
        self.position += data.len() as u64;
    }

    pub fn finish(mut self, size: u64) -> [u8; 16] {
        self.zeros(size);
        self.md5.finalize().into()
    }

    /// Adds zeros up to a position.
    fn zeros(&mut self, end: u64) {
        while self.position < end {
            let step = (end - self.position).min(ZEROS.len() as u64);
            self.md5.update(&ZEROS[..step as usize]);
            self.position += step;
        }
    }
}
