//! Helpers of the tests of FAT and partition tables.

use std::fs;
use std::path::Path;

use formats::sparse::SparseImage;

/// Writes a list of pieces to a file, after checking that they do not overlap.
pub fn write(mut image: SparseImage, path: &Path) {
    image.sort().unwrap();
    if path.exists() {
        fs::remove_file(path).unwrap();
    }
    testkit::image::write(&image, path);
}
