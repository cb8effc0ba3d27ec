//! Compressed streams of the programs that define them.

use std::io::Read;

use formats::unpack::{Codec, unpack};
use testkit::tars::{filter, text};

fn unpacked(bytes: &[u8]) -> Result<(Codec, Vec<u8>), String> {
    let (format, mut stream) = unpack(bytes).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    stream
        .read_to_end(&mut content)
        .map_err(|error| error.to_string())?;
    Ok((format, content))
}

#[test]
fn streams_may_have_parts_and_nothing_behind_them() {
    let content = text(300_000);
    for (program, format) in [
        ("gzip", Codec::Gzip),
        ("bzip2", Codec::Bzip2),
        ("xz", Codec::Xz),
        ("zstd", Codec::Zstd),
    ] {
        let packed = filter(program, &["-c"], &content);
        assert_eq!(unpacked(&packed), Ok((format, content.clone())), "{program}");
        let twice = unpacked(&[&packed[..], &packed].concat());
        assert_eq!(twice, Ok((format, content.repeat(2))), "{program}");
        for garbage in [&b"garbage behind the end"[..], b"x"] {
            let error = unpacked(&[&packed[..], garbage].concat());
            assert!(error.is_err(), "{program} with {garbage:?} behind");
        }
        let error = unpacked(&packed[..packed.len() - 3]);
        assert!(error.is_err(), "{program}, cut short");
    }
    assert_eq!(unpacked(b"BZh"), Ok((Codec::Plain, b"BZh".to_vec())));
    assert_eq!(unpacked(b""), Err("it is empty".to_owned()));
}

#[test]
fn windows_have_a_limit() {
    let content = text(100_000);
    let largest = filter("zstd", &["-c", "--long=27"], &content);
    assert_eq!(unpacked(&largest), Ok((Codec::Zstd, content.clone())));
    let largest = filter("xz", &["-c", "-T1", "--lzma2=preset=0,dict=128MiB"], &content);
    assert_eq!(unpacked(&largest), Ok((Codec::Xz, content.clone())));
    for (program, argument) in [("zstd", "--long=28"), ("xz", "--lzma2=preset=0,dict=130MiB")] {
        let error = unpacked(&filter(program, &["-c", "-T1", argument], &content));
        let expected = "its window or dictionary is above the limit of 128 MiB".to_owned();
        assert_eq!(error, Err(expected), "{program}");
    }
}
