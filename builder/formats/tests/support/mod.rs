//! Helpers of the tests here.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use formats::sparse::SparseImage;

/// Writes a list of pieces to a sparse file, after checking that they do not overlap.
pub fn write(mut image: SparseImage, path: &Path) {
    image.sort().unwrap();
    let file = File::create(path).unwrap();
    file.set_len(image.size.0).unwrap();
    for piece in &image.pieces {
        assert_ne!(piece.length, 0);
        let mut bytes = vec![0; piece.length as usize];
        piece.blob.read_exact_at(&mut bytes, piece.blob_offset).unwrap();
        file.write_all_at(&bytes, piece.offset).unwrap();
    }
}
