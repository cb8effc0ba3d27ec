//! Extents of a layer written straight to where the volume made of that layer alone has them, so that its data is
//! written once.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Profile;
use super::chunks::{DataArea, Device};
use crate::layer::{Body, Data, Entry};

/// Bytes that are collected before they are written.
const BUFFER: usize = 1 << 20;

/// What a packer of a layer writes its extents to: the file that becomes the volume.
///
/// Each call of [`Write::write`] has to be a whole extent, as those of [`crate::layer::LayerBuilder`] are.
#[derive(Debug)]
pub struct DataSink {
    file: Arc<File>,
    area: DataArea,
    runs: Vec<Run>,
    /// What is not written yet: the end of the last run.
    buffer: Vec<u8>,
}

/// Bytes of the layer's blob without a gap in the volume.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Where they start in the blob.
    blob_offset: u64,
    /// Where they start in the volume.
    address: u64,
    length: u64,
}

impl Run {
    fn end(&self) -> u64 {
        self.address + self.length
    }
}

/// Where the extents of a blob are.
#[derive(Debug)]
pub struct Placed {
    runs: Vec<Run>,
}

impl DataSink {
    /// Extents go to `file`, which is empty, as a volume with this profile of metadata has them.
    pub fn new(file: Arc<File>, metadata: Profile) -> Self {
        let mut device = Device::new();
        device.system(metadata);
        Self {
            file,
            area: DataArea::new(device),
            runs: Vec::new(),
            buffer: Vec::with_capacity(BUFFER),
        }
    }

    /// Writes what is left.
    pub fn finish(mut self) -> io::Result<Placed> {
        self.flush()?;
        Ok(Placed { runs: self.runs })
    }
}

impl Write for DataSink {
    fn write(&mut self, extent: &[u8]) -> io::Result<usize> {
        let length = extent.len() as u64;
        let address = self.area.place(length);
        let blob_offset = self.runs.last().map_or(0, |last| last.blob_offset + last.length);
        if self.buffer.len() + extent.len() > BUFFER
            || self.runs.last().is_none_or(|last| last.end() != address)
        {
            self.flush()?;
        }
        match self.runs.last_mut() {
            Some(last) if last.end() == address => last.length += length,
            _ => self.runs.push(Run {
                blob_offset,
                address,
                length,
            }),
        }
        self.buffer.extend_from_slice(extent);
        Ok(extent.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(last) = self.runs.last() {
            let address = last.end() - self.buffer.len() as u64;
            self.file.write_all_at(&self.buffer, address)?;
        }
        self.buffer.clear();
        Ok(())
    }
}

impl Placed {
    /// Has the extents of `entries` start where they are in the volume instead of in the blob.
    pub fn relocate(&self, entries: &mut [Entry]) {
        for entry in entries {
            let Body::File(content) = &mut entry.body else {
                continue;
            };
            let Data::Extents(extents) = &mut content.data else {
                continue;
            };
            for extent in extents {
                let behind = self
                    .runs
                    .partition_point(|run| run.blob_offset <= extent.blob_offset);
                // The first run starts with the blob.
                if let Some(run) = behind.checked_sub(1).and_then(|at| self.runs.get(at)) {
                    extent.blob_offset += run.address - run.blob_offset;
                }
            }
        }
    }
}
