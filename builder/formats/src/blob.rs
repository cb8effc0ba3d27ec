//! Bytes that stay where they are until an image is written: in memory, or in an open file.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt as _};
use std::sync::Arc;

/// Bytes by offset. Cloning shares them.
#[derive(Debug, Clone)]
pub enum Blob {
    /// All of the bytes. Not `Arc<[u8]>`, which a `Vec` becomes only by copying: metadata of a volume has many MiB.
    Memory(Arc<Vec<u8>>),
    /// An open file, read by position only, so that threads can share it.
    File(Arc<File>),
}

impl Blob {
    /// Bytes in the blob.
    pub fn length(&self) -> io::Result<u64> {
        match self {
            Self::Memory(bytes) => Ok(bytes.len() as u64),
            Self::File(file) => {
                let metadata = file.metadata()?;
                // A disk tells its size only by where it ends. Nothing reads from where this leaves the file.
                match metadata.file_type().is_block_device() {
                    true => (&**file).seek(SeekFrom::End(0)),
                    false => Ok(metadata.len()),
                }
            }
        }
    }

    /// A number that clones of a blob share and no other blob has at the same time.
    pub fn address(&self) -> usize {
        match self {
            Self::Memory(bytes) => Arc::as_ptr(bytes).addr(),
            Self::File(file) => Arc::as_ptr(file).addr(),
        }
    }

    /// Fills `buffer` from `offset`; a blob that ends before is an error.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => {
                let range = usize::try_from(offset)
                    .ok()
                    .and_then(|start| bytes.get(start..start.checked_add(buffer.len())?));
                let bytes = range.ok_or(io::ErrorKind::UnexpectedEof)?;
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            Self::File(file) => file.read_exact_at(buffer, offset),
        }
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Memory(Arc::new(bytes))
    }
}

impl From<File> for Blob {
    fn from(file: File) -> Self {
        Self::File(Arc::new(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_a_blob_where_they_are() {
        let bytes = vec![7; 100];
        let place = bytes.as_ptr();
        let blob = Blob::from(bytes);
        let Blob::Memory(kept) = &blob else {
            panic!("they were in memory")
        };
        assert_eq!(kept.as_ptr(), place);
        assert_eq!(blob.address(), blob.clone().address());
        assert_ne!(blob.address(), Blob::from(kept.to_vec()).address());
        // Even where there is nothing to point to.
        assert_ne!(Blob::from(Vec::new()).address(), blob.address());
    }
}
