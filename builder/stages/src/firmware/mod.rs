//! A board's boot area: blobs that only the vendor can make, and U-Boot, signed and put where the boot ROM reads them.
//!
//! | module | owns |
//! |---|---|
//! | `blobs` | where each file comes from, under whose terms |
//! | `clocks` | no device tree lets Linux set clocks that the firmware does not offer |
//! | `known` | blobs that are known by name |
//! | `pack` | a boot area from files that the user names |
//! | `raw` | a file that is put on the card as it is |
//! | `report` | what boot loaders an image of any origin has |

mod blobs;
mod clocks;
mod known;
mod pack;
mod raw;
mod report;

pub use known::Known;
pub use pack::{Ids, Medium, PackFiles, Packed, PackedPart, pack, parse_id, parse_nonce};
pub use report::{FirmwareReport, PackagingReport, PartReport, firmware_report};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use engine::{Engine, Key};
use fetch::Network;
use formats::digest::hex;
use formats::fip::{self, FirstStage, Loader};
use formats::manifest::Input;
use formats::sparse::SparseImage;
use formats::units::{Bytes, Lba};
use model::board::{Board, BootContent, BootSigner};
use model::project::Project;
use sha2::{Digest as _, Sha256};

use self::blobs::{Blobs, Search};

/// Goes up with every change of what a boot area of the same files holds.
const REVISION: u32 = 1;

/// How the name of a part of the boot area starts among the inputs of a manifest.
pub(crate) const INPUT: &str = "firmware ";

/// Where the files of boot areas come from.
pub struct FirmwareRequest<'a> {
    /// The project.
    pub project: &'a Project,
    /// A folder that has them, by the names in `board.toml`.
    pub blob_dir: Option<&'a Path>,
    /// Compiles the `u-boot.bin` of a board that has one, to stand for the file of BL33. Asked only where it is needed.
    pub u_boot: &'a dyn Fn(&Board) -> Result<Option<PathBuf>>,
    /// The mirror that the user named.
    pub mirror: Option<&'a str>,
    /// How the network is used.
    pub network: &'a Network,
}

/// What there is for a board.
#[derive(Debug, Clone)]
pub enum BoardFirmware {
    /// Its boot area.
    Ready(Firmware),
    /// Nothing: why, and what to do.
    Absent(String),
}

/// What there is for each board that needs a boot area, by board.
#[derive(Debug, Clone, Default)]
pub struct BoardsFirmware(BTreeMap<String, BoardFirmware>);

/// A boot area.
#[derive(Debug, Clone)]
pub struct Firmware {
    /// Its bytes, from sector 0 on. What belongs to the partition table is a hole.
    pub image: SparseImage,
    /// Identifies it.
    pub key: Key,
    /// What it is made of.
    pub described: Vec<Input>,
    /// What the user should know of it.
    pub warnings: Vec<String>,
}

impl BoardsFirmware {
    /// What there is for `boards`.
    pub fn find<'b>(
        engine: &Engine,
        request: &FirmwareRequest<'_>,
        boards: impl IntoIterator<Item = &'b Board>,
    ) -> Result<Self> {
        let mut found = BTreeMap::new();
        for board in boards {
            if !found.contains_key(&board.name)
                && let Some(firmware) = firmware(engine, request, board)?
            {
                found.insert(board.name.clone(), firmware);
            }
        }
        Ok(Self(found))
    }

    /// The boot area of a board, if there is one.
    pub fn of(&self, board: &str) -> Option<&Firmware> {
        match self.0.get(board)? {
            BoardFirmware::Ready(firmware) => Some(firmware),
            BoardFirmware::Absent(_) => None,
        }
    }

    /// What the user should know about images with these boot areas, or without.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = self.0.iter().flat_map(|(board, firmware)| match firmware {
            BoardFirmware::Ready(firmware) => firmware.warnings.clone(),
            BoardFirmware::Absent(why) => vec![format!(
                "the images for {board} hold no firmware, so they start in QEMU only: {why}"
            )],
        });
        warnings.collect()
    }
}

/// The boot area of `board`; `None` where the board needs none on the card.
pub fn firmware(
    engine: &Engine,
    request: &FirmwareRequest<'_>,
    board: &Board,
) -> Result<Option<BoardFirmware>> {
    if board.boot_area.is_empty() {
        return Ok(None);
    }
    if board.boot_contents().next().is_none() {
        return Ok(Some(BoardFirmware::Absent(format!(
            "board.toml of {} does not say which files lie in the boot area",
            board.name
        ))));
    }
    let found = match blobs::find(engine, request, board)? {
        Search::Found(found) => found,
        Search::Refused(why) => return Ok(Some(BoardFirmware::Absent(why))),
    };
    let made = make(board, found).with_context(|| format!("cannot make the boot area of {}", board.name))?;
    Ok(Some(BoardFirmware::Ready(made)))
}

fn make(board: &Board, found: Blobs) -> Result<Firmware> {
    let mut key = Key::builder("firmware", REVISION);
    let mut described = Vec::new();
    let mut describe = |loader: &str, bytes: &[u8]| {
        let digest = Sha256::digest(bytes);
        described.push(Input {
            name: format!("{INPUT}{loader}"),
            version: (loader == Loader::Bl33.name())
                .then(|| fip::u_boot_version(bytes))
                .flatten(),
            sha256: hex(&digest),
        });
        digest
    };
    let (mut first, mut package) = (None, None);
    let mut raw_files = SparseImage::empty(Bytes(0));
    for region in &board.boot_area {
        match &region.content {
            None => {}
            Some(BootContent::Bl1(file)) => {
                let bl1 = file_of(&found, "bl1", file)?;
                key = key.bytes("bl1", &describe("bl1", bl1));
                first = Some(FirstStage::vendor_signed(bl1)?);
            }
            Some(BootContent::Fip {
                signer: BootSigner::Gxbb,
                entries,
            }) => {
                let mut signed = Vec::with_capacity(entries.len());
                for (loader, file) in entries {
                    let payload = file_of(&found, loader.name(), file)?;
                    let digest = describe(loader.name(), payload);
                    if *loader == Loader::Bl301 {
                        clocks::check(board, &digest.into())?;
                    }
                    key = key.bytes(loader.name(), &digest);
                    signed.push((*loader, payload, fip::derived_id(payload)));
                }
                let end = Lba(region.first.0.saturating_add(region.sectors));
                package = Some((fip::package(&signed)?, end, &region.name));
            }
            Some(BootContent::Raw(raw)) => {
                let bytes = file_of(&found, &region.name, &raw.file)?;
                key = key.bytes(&region.name, &describe(&raw.file, bytes));
                raw::put(&mut raw_files, board, region, raw, bytes)?;
            }
        }
    }
    let mut image = match (first, package) {
        (Some(first), Some((package, end, region))) => fip::boot_area(
            &first,
            &package,
            end,
            &format!("what is behind region \"{region}\""),
        )?,
        (None, None) => SparseImage::empty(Bytes(0)),
        // `board.toml` was checked to have both or none.
        _ => bail!("boards/{}/board.toml names no first stage or no FIP", board.name),
    };
    image.size = image.size.max(raw_files.size);
    image.place(0, raw_files);
    image.sort()?;
    Ok(Firmware {
        image,
        key: key.finish(),
        described,
        warnings: found.warnings,
    })
}

/// The file of a boot loader, which is not empty.
fn file_of<'f>(found: &'f Blobs, loader: &str, name: &str) -> Result<&'f [u8]> {
    let bytes = found
        .files
        .get(name)
        .ok_or_else(|| anyhow!("{name} was not found"))?;
    if bytes.is_empty() {
        bail!("{loader} is empty: {name} has no bytes");
    }
    Ok(bytes)
}
