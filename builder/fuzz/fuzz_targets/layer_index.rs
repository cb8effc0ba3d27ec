//! The index of a layer. What is accepted can be stacked, read and laid out as a volume, or is refused by an error there.
#![no_main]

use formats::btrfs::{Profile, VolumeSize, VolumeSpec, lay_out};
use formats::ids;
use formats::layer::{Body, Index};
use formats::tree::{Share, Tree};
use formats::units::{Bytes, Time};
use libfuzzer_sys::fuzz_target;

/// Largest blob that is made for an index.
const MOST: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Ok(index) = Index::from_bytes(&fuzz::seal::sealed(bytes)) else {
        return;
    };
    let again = Index::from_bytes(&index.to_bytes());
    assert_eq!(again.ok().as_ref(), Some(&index));
    if index.blob_length > MOST {
        return;
    }
    let blob = vec![0; index.blob_length as usize];
    let Ok(layer) = index.with_blob(blob.into()) else {
        return;
    };
    let _ = layer.verify();
    for entry in &layer.entries {
        if let Body::File(content) = &entry.body {
            let _ = content.read(&layer.blob, MOST);
        }
    }
    let time = Time::from_seconds(0);
    let Ok(tree) = Tree::stack(&[(&layer, Share::Role)], time) else {
        return;
    };
    let spec = VolumeSpec {
        label: "fuzz".to_owned(),
        fsid: ids::uuid("fuzz", &[]),
        metadata_uuid: None,
        time,
        size: VolumeSize::Minimal { free: Bytes(0) },
        metadata: Profile::Single,
        subvolumes: Vec::new(),
    };
    let _ = lay_out(&spec, &tree);
});
