//! Sparse files: where their data is, in the four ways in which GNU tar writes that down.

use super::header::{BLOCK, Dialect, Header, SparseBlock, SparseSlot, integer};
use super::pax::{PaxSparse, decimal};
use super::{Archive, Failure, Fault};
use crate::layer::packer::Region;

/// Most regions of a sparse file.
const MAX_REGIONS: usize = 1 << 18;

impl Archive<'_> {
    /// Size and map of a sparse file in GNU's own format: in the header and in blocks behind it.
    pub(super) fn gnu_sparse(&mut self, header: &Header) -> Result<(u64, Vec<Region>), Failure> {
        if header.dialect() != Dialect::Gnu {
            return Err(Fault::SparseMap("the header is not GNU's").into());
        }
        let tail = header.gnu_tail();
        let mut regions = Vec::new();
        push_slots(&mut regions, &tail.sparse)?;
        let mut is_extended = tail.is_extended;
        while is_extended != 0 {
            let mut bytes = [0; BLOCK];
            self.read(&mut bytes)?;
            let block: SparseBlock = zerocopy::transmute!(bytes);
            push_slots(&mut regions, &block.sparse)?;
            is_extended = block.is_extended;
        }
        Ok((integer(&tail.real_size, "size")?, regions))
    }

    /// Size and map of a sparse file in PAX format: in records (0.0, 0.1) or at the start of the data (1.0).
    pub(super) fn pax_sparse(&mut self, sparse: PaxSparse) -> Result<(u64, Vec<Region>), Failure> {
        let real_size = sparse
            .real_size
            .ok_or(Fault::SparseMap("the size of the file is missing"))?;
        let numbers = match (sparse.major, sparse.minor, sparse.map) {
            (None | Some(0), _, Some(map)) => map,
            (Some(1), Some(0), None) => self.leading_map()?,
            _ => return Err(Fault::Unsupported("a sparse file of an unknown version").into()),
        };
        let (pairs, odd) = numbers.as_chunks::<2>();
        if !odd.is_empty() || pairs.len() > MAX_REGIONS {
            return Err(Fault::SparseMap("it has half a region, or too many").into());
        }
        let regions = pairs
            .iter()
            .map(|[offset, length]| Region {
                offset: *offset,
                length: *length,
            })
            .collect();
        Ok((real_size, regions))
    }

    /// The map at the start of the data: decimal lines, their number first, padded to a block.
    fn leading_map(&mut self) -> Result<Vec<u64>, Failure> {
        let mut numbers: Vec<u64> = Vec::new();
        let mut line = Vec::new();
        let mut wanted = None;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            let mut block = [0; BLOCK];
            if self.data < BLOCK as u64 {
                return Err(Fault::SparseMap("it is longer than the data").into());
            }
            self.read_data(&mut block)?;
            for byte in block {
                if wanted.is_some_and(|wanted| numbers.len() == wanted) {
                    break;
                }
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                let number: u64 = decimal(&line).ok_or(Fault::Number {
                    field: "map of a sparse file",
                })?;
                line.clear();
                match wanted {
                    None if number > MAX_REGIONS as u64 => {
                        return Err(Fault::SparseMap("it has too many regions").into());
                    }
                    None => wanted = Some(2 * number as usize),
                    Some(_) => numbers.push(number),
                }
            }
            if line.len() > 20 {
                return Err(Fault::Number {
                    field: "map of a sparse file",
                }
                .into());
            }
        }
        Ok(numbers)
    }
}

/// Adds the regions of a header or block; unused slots are empty.
fn push_slots(regions: &mut Vec<Region>, slots: &[SparseSlot]) -> Result<(), Fault> {
    for slot in slots
        .iter()
        .take_while(|slot| slot.offset[0] != 0 || slot.length[0] != 0)
    {
        regions.push(Region {
            offset: integer(&slot.offset, "map of a sparse file")?,
            length: integer(&slot.length, "map of a sparse file")?,
        });
    }
    if regions.len() > MAX_REGIONS {
        Err(Fault::SparseMap("it has too many regions"))
    } else {
        Ok(())
    }
}

/// Accepts regions in order, disjoint, within `size`, that have `data` bytes together.
pub(super) fn check_regions(size: u64, regions: &[Region], data: u64) -> Result<(), Fault> {
    let (mut covered, mut total) = (0, 0);
    for region in regions {
        let end = region.offset.checked_add(region.length);
        match end {
            Some(end) if region.offset >= covered && end <= size => covered = end,
            _ => {
                return Err(Fault::SparseMap(
                    "its regions overlap or lie behind the end of the file",
                ));
            }
        }
        total += region.length;
    }
    if total != data {
        return Err(Fault::SparseMap("its regions have not as many bytes as the data"));
    }
    Ok(())
}
