//! The 512-byte header of a member: POSIX.1-1988 (`ustar`), GNU and the older one without magic (`v7`).

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::Fault;

/// Bytes in a block; headers and data are padded to it.
pub(super) const BLOCK: usize = 512;

/// Header of a member, 512 bytes. POSIX.1-2017, `pax`, "ustar Interchange Format". Numbers are octal text or, as GNU
/// writes them when that is too short, big-endian two's complement behind a set first bit.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned, Clone)]
#[repr(C)]
pub(super) struct Header {
    /// Path, ended by NUL if shorter.
    pub name: [u8; 100],
    /// Permissions; writers also put the type's bits here.
    pub mode: [u8; 8],
    pub uid: [u8; 8],
    pub gid: [u8; 8],
    /// Bytes of data that follow the header.
    pub size: [u8; 12],
    /// Seconds since 1970.
    pub mtime: [u8; 12],
    /// Sum of all bytes of the header, with this field as spaces.
    pub checksum: [u8; 8],
    /// What the member is.
    pub typeflag: u8,
    /// Target of a link.
    pub linkname: [u8; 100],
    /// `ustar\0` and `00`, or `ustar  \0`.
    pub magic: [u8; 8],
    pub uname: [u8; 32],
    pub gname: [u8; 32],
    pub devmajor: [u8; 8],
    pub devminor: [u8; 8],
    /// What goes before `name` and a slash; GNU keeps times and the map of a sparse file here.
    pub prefix: [u8; 155],
    pub padding: [u8; 12],
}
const _: () = assert!(size_of::<Header>() == BLOCK);

/// The part of a GNU header that overlays `prefix` and `padding`, 167 bytes from byte 345.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct GnuTail {
    pub atime: [u8; 12],
    pub ctime: [u8; 12],
    pub offset: [u8; 12],
    pub longnames: [u8; 4],
    pub unused: u8,
    /// The first regions of a sparse file.
    pub sparse: [SparseSlot; 4],
    /// 1 when a block with more regions follows.
    pub is_extended: u8,
    /// Bytes in the file, holes included.
    pub real_size: [u8; 12],
    pub padding: [u8; 17],
}
const _: () = assert!(size_of::<GnuTail>() == 167);

/// A block with more regions of a sparse file.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SparseBlock {
    pub sparse: [SparseSlot; 21],
    pub is_extended: u8,
    pub padding: [u8; 7],
}
const _: () = assert!(size_of::<SparseBlock>() == BLOCK);

/// A region of a sparse file, 24 bytes; empty text where there is none.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SparseSlot {
    pub offset: [u8; 12],
    pub length: [u8; 12],
}

/// Which fields of a header mean what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// With `prefix`.
    Ustar,
    /// With the fields of [`GnuTail`].
    Gnu,
    /// Neither.
    V7,
}

impl Header {
    /// The header in a block whose checksum is right. Old writers summed signed bytes; both sums are accepted, as
    /// every tar does.
    pub(super) fn parse(block: &[u8; BLOCK]) -> Option<Self> {
        let header = Self::read_from_bytes(block).ok()?;
        let sum = number(&header.checksum)?;
        let (mut unsigned, mut signed) = (0, 0);
        for (position, byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&position) {
                b' '
            } else {
                *byte
            };
            unsigned += i128::from(byte);
            signed += i128::from(byte.cast_signed());
        }
        (sum == unsigned || sum == signed).then_some(header)
    }

    pub(super) fn dialect(&self) -> Dialect {
        match &self.magic {
            b"ustar\x0000" => Dialect::Ustar,
            b"ustar  \0" => Dialect::Gnu,
            // POSIX asks for version `00`; some writers leave it empty.
            [b'u', b's', b't', b'a', b'r', 0, ..] => Dialect::Ustar,
            _ => Dialect::V7,
        }
    }

    /// The path that the header itself holds.
    pub(super) fn path(&self) -> Vec<u8> {
        let (name, prefix) = (text(&self.name), text(&self.prefix));
        if self.dialect() == Dialect::Ustar && !prefix.is_empty() {
            [prefix, name].join(&b'/')
        } else {
            name.to_vec()
        }
    }

    /// Name of the owner; the oldest form has none.
    pub(super) fn user(&self) -> &[u8] {
        if self.dialect() == Dialect::V7 {
            &[]
        } else {
            text(&self.uname)
        }
    }

    /// Name of the group; the oldest form has none.
    pub(super) fn group(&self) -> &[u8] {
        if self.dialect() == Dialect::V7 {
            &[]
        } else {
            text(&self.gname)
        }
    }

    pub(super) fn gnu_tail(&self) -> GnuTail {
        let mut bytes = [0; size_of::<GnuTail>()];
        bytes[..155].copy_from_slice(&self.prefix);
        bytes[155..].copy_from_slice(&self.padding);
        zerocopy::transmute!(bytes)
    }
}

/// The bytes of a field up to its NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

/// A numeric field; empty is 0, `None` is not a number. At most 12 bytes.
fn number(field: &[u8]) -> Option<i128> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // The first bit marks the form, the second is the sign.
        let start = i128::from(((first & 0x7f) << 1).cast_signed() >> 1);
        return Some(
            rest.iter()
                .fold(start, |value, byte| value << 8 | i128::from(*byte)),
        );
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field
        .iter()
        .position(|byte| !is_blank(byte))
        .unwrap_or(field.len());
    let digits = field[start..]
        .iter()
        .take_while(|byte| (b'0'..=b'7').contains(byte))
        .count();
    let (digits, rest) = field[start..].split_at(digits);
    if !rest.iter().all(is_blank) {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0, |value, digit| value << 3 | i128::from(digit - b'0')),
    )
}

/// A numeric field as the integer it has to fit.
pub(super) fn integer<T: TryFrom<i128>>(field: &[u8], name: &'static str) -> Result<T, Fault> {
    let number = number(field).ok_or(Fault::Number { field: name })?;
    T::try_from(number).map_err(|_| Fault::Range { field: name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"77777777777\0"), Some(0o77777777777));
        assert_eq!(number(&[0; 12]), Some(0));
        assert_eq!(number(b"\x80\0\0\0\x01\0\0\0"), Some(1 << 24));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xfe"), Some(-2));
        assert_eq!(number(b"12x4567\0"), None);
        assert_eq!(number(b"-1\0\0\0\0\0\0"), None);
        assert_eq!(number(b"1 7\0\0\0\0\0"), None);
    }
}
