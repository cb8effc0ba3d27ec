//! A tarball, plain or compressed. What is accepted is a sound layer.
#![no_main]

use std::num::NonZeroUsize;

use formats::layer::{
    Compression, Devices, Index, Inline, Limits, MAX_PATH, Packing, TarOptions, ZstdLevel, from_tar,
};
use formats::tree::{Share, Tree};
use formats::units::{Bytes, Time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let options = TarOptions {
        packing: Packing {
            compression: Compression::Zstd(ZstdLevel::DEFAULT),
            inline: Inline::Smallest,
            jobs: NonZeroUsize::MIN,
        },
        devices: Devices::Allowed,
        limits: Limits {
            entries: 1000,
            file: Bytes::mib(4),
            total: Bytes::mib(16),
            metadata: Bytes::mib(4),
            path: MAX_PATH,
            xattr: 65536,
        },
    };
    let mut blob = Vec::new();
    let Ok(index) = from_tar(bytes, &mut blob, &options) else {
        return;
    };
    let again = Index::from_bytes(&index.to_bytes());
    assert_eq!(again.ok().as_ref(), Some(&index));
    let layer = index.with_blob(blob.into());
    assert!(layer.as_ref().is_ok_and(|layer| layer.verify().is_ok()));
    if let Ok(layer) = layer {
        let _ = Tree::stack(&[(&layer, Share::Role)], Time::from_seconds(0));
    }
});
