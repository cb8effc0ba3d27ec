//! PAX extended headers: `length key=value\n` records that override or add to a header. POSIX.1-2017, `pax`,
//! "pax Extended Header"; `SCHILY.xattr.*` as star, GNU tar and libarchive write it; `GNU.sparse.*` as GNU tar does.

use super::Fault;
use crate::layer::Xattrs;
use crate::layer::path::shown;
use crate::units::Time;

/// What extended headers say about a member.
#[derive(Debug, Clone, Default)]
pub(super) struct Pax {
    pub path: Option<Vec<u8>>,
    pub linkpath: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub user: Option<Vec<u8>>,
    pub group: Option<Vec<u8>>,
    pub mtime: Option<Time>,
    pub devmajor: Option<u32>,
    pub devminor: Option<u32>,
    pub xattrs: Xattrs,
    pub sparse: PaxSparse,
    /// Extended attributes in libarchive's own form, which comes beside SCHILY's.
    libarchive_xattrs: usize,
}

/// What `GNU.sparse.*` records say.
#[derive(Debug, Clone, Default)]
pub(super) struct PaxSparse {
    pub major: Option<u64>,
    pub minor: Option<u64>,
    /// The path; the header's own has `GNUSparseFile` in it.
    pub name: Option<Vec<u8>>,
    /// Bytes in the file, holes included.
    pub real_size: Option<u64>,
    /// Offsets and lengths of versions 0.0 and 0.1, one after another.
    pub map: Option<Vec<u64>>,
}

impl Pax {
    /// Applies the records of one extended header. In a global one only what can be true of all members is legal.
    pub(super) fn apply(&mut self, mut bytes: &[u8], scope: Scope) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes).ok_or(Fault::PaxRecord)?;
            self.record(key, value, scope)?;
            bytes = rest;
        }
        if self.libarchive_xattrs > self.xattrs.len() {
            return Err(Fault::Unsupported(
                "extended attributes as LIBARCHIVE.xattr without SCHILY.xattr",
            ));
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8], scope: Scope) -> Result<(), Fault> {
        match key {
            b"mtime" => self.mtime = given(value, "mtime", time)?,
            b"uid" => self.uid = given(value, "uid", decimal)?,
            b"gid" => self.gid = given(value, "gid", decimal)?,
            b"uname" => self.user = Some(value.to_vec()).filter(|value| !value.is_empty()),
            b"gname" => self.group = Some(value.to_vec()).filter(|value| !value.is_empty()),
            // Other times are not kept, and names are bytes in any charset.
            b"atime" | b"ctime" | b"comment" | b"charset" | b"hdrcharset" => {}
            _ if scope == Scope::Global => {
                if matches!(key, b"path" | b"linkpath" | b"size") || is_about_content(key) {
                    return Err(Fault::PaxGlobal { key: shown(key) });
                }
            }
            b"path" => self.path = Some(value.to_vec()).filter(|value| !value.is_empty()),
            b"linkpath" => self.linkpath = Some(value.to_vec()).filter(|value| !value.is_empty()),
            b"size" => self.size = given(value, "size", decimal)?,
            b"SCHILY.devmajor" => self.devmajor = given(value, "SCHILY.devmajor", decimal)?,
            b"SCHILY.devminor" => self.devminor = given(value, "SCHILY.devminor", decimal)?,
            // `tar --selinux` leaves out the NUL that belongs to the attribute's value.
            b"RHT.security.selinux" => {
                self.xattrs
                    .insert(b"security.selinux".to_vec(), [value, b"\0"].concat());
            }
            b"SCHILY.acl.access" | b"SCHILY.acl.default" => {
                return Err(Fault::Unsupported(
                    "an ACL as text (`tar --xattrs --xattrs-include='*'` keeps ACLs as they are stored)",
                ));
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.insert(name.to_vec(), value.to_vec());
                } else if key.starts_with(b"LIBARCHIVE.xattr.") {
                    self.libarchive_xattrs += 1;
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.record(key, value)?;
                }
                // POSIX: keys that are not known are ignored.
            }
        }
        Ok(())
    }
}

/// What an extended header is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The next member.
    Member,
    /// All members that follow.
    Global,
}

impl PaxSparse {
    /// Whether the member is a sparse file.
    pub(super) fn is_any(&self) -> bool {
        self.major.is_some() || self.real_size.is_some() || self.map.is_some()
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        match key {
            b"major" => self.major = given(value, "GNU.sparse.major", decimal)?,
            b"minor" => self.minor = given(value, "GNU.sparse.minor", decimal)?,
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.real_size = given(value, "GNU.sparse.realsize", decimal)?,
            b"map" => {
                let numbers = value
                    .split(|byte| *byte == b',')
                    .filter(|number| !number.is_empty());
                let numbers: Option<Vec<u64>> = numbers.map(decimal).collect();
                self.map = Some(numbers.ok_or(Fault::Number {
                    field: "GNU.sparse.map",
                })?);
            }
            b"offset" | b"numbytes" => {
                let number = decimal(value).ok_or(Fault::Number {
                    field: "GNU.sparse.offset",
                })?;
                let map = self.map.get_or_insert_default();
                // Offsets and lengths take turns.
                if map.len().is_multiple_of(2) != (key == b"offset") {
                    return Err(Fault::SparseMap("offsets and lengths do not take turns"));
                }
                map.push(number);
            }
            b"numblocks" => {}
            _ => return Err(Fault::Unsupported("a sparse file of an unknown kind")),
        }
        Ok(())
    }
}

/// Whether a record describes what only one member can have.
fn is_about_content(key: &[u8]) -> bool {
    [
        &b"SCHILY.xattr."[..],
        b"SCHILY.acl.",
        b"SCHILY.dev",
        b"LIBARCHIVE.xattr.",
        b"RHT.",
        b"GNU.sparse.",
    ]
    .iter()
    .any(|prefix| key.starts_with(prefix))
}

/// The first record of `bytes`: key, value and what follows it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = decimal(&bytes[..space])?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty()).then_some((key, value, rest))
}

/// A record's value; an empty one takes back what an earlier record said.
fn given<T>(
    value: &[u8],
    field: &'static str,
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Result<Option<T>, Fault> {
    if value.is_empty() {
        return Ok(None);
    }
    parse(value).map(Some).ok_or(Fault::Number { field })
}

/// Decimal digits, nothing else.
pub(super) fn decimal<T: TryFrom<u64>>(text: &[u8]) -> Option<T> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = str::from_utf8(text).ok()?.parse().ok()?;
    T::try_from(number).ok()
}

/// Seconds as `[-]digits[.digits]`; digits below a nanosecond are dropped towards the past.
fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let whole: i64 = decimal::<u64>(parts.next()?)?.try_into().ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut nanoseconds = (0..9).fold(0, |value, place| {
        value * 10 + u32::from(fraction.get(place).map_or(0, |digit| digit - b'0'))
    });
    if !negative {
        return Some(Time {
            seconds: whole,
            nanoseconds,
        });
    }
    // -1.25 is 0.75 s after -2. A remainder below a nanosecond makes the moment earlier still.
    if fraction.iter().skip(9).any(|digit| *digit != b'0') {
        nanoseconds += 1;
    }
    Some(match nanoseconds {
        0 => Time {
            seconds: -whole,
            nanoseconds: 0,
        },
        1_000_000_000 => Time {
            seconds: -whole - 1,
            nanoseconds: 0,
        },
        _ => Time {
            seconds: -whole - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions_and_signs() {
        let at = |seconds, nanoseconds| Some(Time { seconds, nanoseconds });
        assert_eq!(time(b"12"), at(12, 0));
        assert_eq!(time(b"12.5"), at(12, 500_000_000));
        assert_eq!(time(b"12.1234567899"), at(12, 123_456_789));
        assert_eq!(time(b"-1.25"), at(-2, 750_000_000));
        assert_eq!(time(b"-3"), at(-3, 0));
        assert_eq!(time(b"-0.0000000001"), at(-1, 999_999_999));
        assert_eq!(time(b"-0.9999999999"), at(-1, 0));
        assert_eq!(time(b"1."), at(1, 0));
        for wrong in [
            &b""[..],
            b"-",
            b".5",
            b"1.x",
            b"1e3",
            b"--1",
            b"99999999999999999999",
        ] {
            assert_eq!(time(wrong), None);
        }
    }

    #[test]
    fn records_have_to_be_whole() {
        assert_eq!(record(b"6 a=b\nrest"), Some((&b"a"[..], &b"b"[..], &b"rest"[..])));
        assert_eq!(record(b"9 a=b\n=c\n"), Some((&b"a"[..], &b"b\n=c"[..], &b""[..])));
        for wrong in [
            &b"7 a=b\n"[..],
            b"5 a=b\n",
            b"6 ab=\x00",
            b"a=b\n",
            b"3 \n",
            b"1 a=b\n",
            b" a=b\n",
            b"6 =bc\n",
        ] {
            assert_eq!(record(wrong), None, "{wrong:?}");
        }
    }
}
