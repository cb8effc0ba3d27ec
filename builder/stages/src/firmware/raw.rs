//! A file that its vendor's tool made whole: it is put on the card as it is, around the partition table.

use anyhow::{Result, bail, ensure};
use formats::mbr::SIGNATURE_OFFSET;
use formats::sparse::SparseImage;
use formats::units::{Bytes, Lba, SECTOR};
use model::board::{Board, BootRegion, RawFile};

/// How far into a file its mark is looked for, to say what may be wrong.
const NEAR: usize = 1 << 16;

/// Puts `bytes`, which are the file of `raw`, into `image`, whose first byte is that of the card.
pub fn put(
    image: &mut SparseImage,
    board: &Board,
    region: &BootRegion,
    raw: &RawFile,
    bytes: &[u8],
) -> Result<()> {
    check(board, region, raw, bytes)?;
    // `board.toml` was checked: the file starts in the region or before it.
    let before = (region.first.0.saturating_sub(raw.first_sector.0) * SECTOR) as usize;
    let Some(sectors) = bytes.get(before..).filter(|sectors| !sectors.is_empty()) else {
        bail!(
            "{} has {} bytes, and its first {before} are for sectors before region \"{}\": nothing of it would be put there",
            raw.file,
            bytes.len(),
            region.name
        );
    };
    let start = region.first.to_bytes().0;
    image.size = image.size.max(Bytes(start + sectors.len() as u64));
    if raw.first_sector == Lba(0) {
        // It is longer than sector 0, which is before every region.
        image.put(0, bytes[..SIGNATURE_OFFSET as usize].to_vec());
    }
    image.put(start, sectors.to_vec());
    Ok(())
}

/// Whether the file can be what the board needs. Only its vendor's tool knows what is in it.
fn check(board: &Board, region: &BootRegion, raw: &RawFile, bytes: &[u8]) -> Result<()> {
    let RawFile { file, at_least, .. } = raw;
    let size = bytes.len() as u64;
    let place = format!("region \"{}\" of boards/{}/board.toml", region.name, board.name);
    ensure!(
        size >= at_least.0,
        "{file} has {size} bytes, {place} asks for {} at least ({at_least}): it was cut off, or is another file; get it anew",
        at_least.0
    );
    let end = region.first.0.saturating_add(region.sectors);
    let room = end.saturating_sub(raw.first_sector.0) * SECTOR;
    ensure!(
        size <= room,
        "{file} has {size} bytes and would reach beyond sector {}, where {place} ends: at most {room} bytes fit ({}); take a \
         smaller build of it, or let region and first partition end and start later",
        end - 1,
        Bytes(room)
    );
    let Some((at, magic)) = &raw.magic else {
        return Ok(());
    };
    let mark = magic.as_bytes();
    let has_mark = usize::try_from(*at)
        .ok()
        .and_then(|at| bytes.get(at..))
        .is_some_and(|behind| behind.starts_with(mark));
    if has_mark {
        return Ok(());
    }
    // `board.toml` was checked: the mark is not empty.
    let near = &bytes[..bytes.len().min(NEAR)];
    let elsewhere = near.windows(mark.len()).position(|window| window == mark);
    bail!(
        "{file} has no \"{magic}\" at byte {at:#x}, as {place} asks for: {}",
        match elsewhere {
            Some(found) => format!(
                "it has it at byte {found:#x}, so it starts with another sector of the card; `first-sector` says with which"
            ),
            None => "it is no boot loader for a card of this board, or not yet signed".to_owned(),
        }
    )
}
