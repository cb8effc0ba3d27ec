//! An image as a file, written the plainest way: what the product writes is compared with this.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use formats::sparse::SparseImage;
use tempfile::TempDir;

/// Bytes that are copied at once.
const BUFFER: usize = 1 << 20;

/// A folder for images that are checked and thrown away: in memory where the system keeps files there, so that an oracle
/// waits for no disk.
///
/// # Panics
/// When no folder can be made.
pub fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder for images")
}

/// Writes `image` to the new file `path`. Zeros stay holes.
///
/// # Panics
/// When a piece cannot be read or written.
pub fn write(image: &SparseImage, path: &Path) {
    let file = File::create_new(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.set_len(image.size.0)
        .expect("the file takes the image's size");
    let mut buffer = vec![0; BUFFER];
    let zeros = vec![0; BUFFER];
    for piece in &image.pieces {
        let mut done = 0;
        while done < piece.length {
            let length = (piece.length - done).min(BUFFER as u64) as usize;
            let bytes = &mut buffer[..length];
            piece
                .blob
                .read_exact_at(bytes, piece.blob_offset + done)
                .expect("a blob has its pieces");
            if *bytes != zeros[..length] {
                file.write_all_at(bytes, piece.offset + done)
                    .expect("the image can be written");
            }
            done += length as u64;
        }
    }
}
