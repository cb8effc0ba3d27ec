//! The rules of a board.

use std::sync::Arc;

use formats::gpt::FIRST_USABLE;
use formats::units::Lba;

use super::boot::{check_chain, content};
use super::device_tree::{check_path, device_tree};
use super::firmware::{load_map, u_boot};
use super::toml::{BoardToml, BootRegionToml, PartitionTableToml};
use super::{Board, BootRegion, PartitionTable};
use crate::check::Check;
use crate::finding::{Findings, SourceFile};
use crate::names::quoted;
use crate::size::parse_size;
use crate::written::At;

/// Last sector of the primary GPT.
const GPT_LAST: u64 = FIRST_USABLE - 1;

/// Sectors in 1 GiB: no firmware is larger, a number beyond is a slip.
const MOST_SECTORS: u64 = 1 << 21;

/// Holds `written` against every rule. The board that comes back is true only if nothing was found.
pub fn check_board(
    name: &str,
    file: &Arc<SourceFile>,
    written: &BoardToml,
    findings: &mut Findings,
) -> Board {
    let check = &mut Check { file, findings };
    check_consoles(check, &written.description, &written.consoles);
    if let Some(fragment) = &written.kernel_fragment {
        check_path(
            check,
            fragment,
            ".config",
            "a file in the board's folder: \"kernel.config\"",
        );
    }
    Board {
        name: name.to_owned(),
        description: written.description.value.clone(),
        memory: written
            .memory
            .as_ref()
            .and_then(|memory| match parse_size(memory) {
                Ok(size) => Some(size),
                Err((fault, hint)) => {
                    check.found(&memory.span, fault).hint(hint);
                    None
                }
            }),
        consoles: written
            .consoles
            .iter()
            .map(|console| console.value.clone())
            .collect(),
        device_tree: written.device_tree.as_ref().map(|tree| device_tree(check, tree)),
        u_boot: written.u_boot.as_ref().map(|written| u_boot(check, written)),
        load: written.load.as_ref().map(|load| load_map(check, load)),
        partition_table: match written.partition_table.value {
            PartitionTableToml::Mbr => PartitionTable::Mbr,
            PartitionTableToml::Gpt => PartitionTable::Gpt,
        },
        boot_area: boot_area(check, written),
    }
}

/// Consoles: at least one, each as the kernel's `console=` takes it.
fn check_consoles(check: &mut Check<'_>, description: &At<String>, consoles: &[At<String>]) {
    if consoles.is_empty() {
        check
            .found(&description.span, "the board has no console")
            .hint("without one nothing shows why a kernel does not start: consoles = [\"ttyAML0,115200n8\"]");
    }
    for console in consoles {
        if !is_console(console) {
            check
                .found(&console.span, format!("{} is no kernel console", quoted(console)))
                .hint("a device and its line settings: \"ttyAML0,115200n8\"");
        }
    }
    check.distinct(consoles, "console");
}

/// `ttyAML0` or `ttyAML0,115200n8`: device, speed, parity, bits, flow control (kernel documentation, serial-console).
fn is_console(text: &str) -> bool {
    let (device, settings) = text
        .split_once(',')
        .map_or((text, None), |(device, settings)| (device, Some(settings)));
    let device_holds = device.starts_with(|c: char| c.is_ascii_alphabetic())
        && device.chars().all(|c| c.is_ascii_alphanumeric());
    let settings_hold = settings.is_none_or(|settings| {
        let line = settings.trim_start_matches(|c: char| c.is_ascii_digit());
        let parity = line.trim_start_matches(['n', 'o', 'e']);
        let bits = parity.trim_start_matches(['5', '6', '7', '8']);
        line.len() < settings.len()
            && line.len() - parity.len() <= 1
            && parity.len() - bits.len() <= 1
            && (bits.is_empty() || bits == "r")
            && (line.len() > parity.len() || line.is_empty())
    });
    device_holds && settings_hold
}

/// The boot area in order of sectors: regions that do not overlap each other or the partition table.
fn boot_area(check: &mut Check<'_>, written: &BoardToml) -> Vec<BootRegion> {
    check.distinct(written.boot_area.iter().map(|region| &region.name), "boot region");
    let mut regions: Vec<&BootRegionToml> = Vec::new();
    for region in &written.boot_area {
        check.name(&region.name, "boot region");
        let (first, last) = (region.first.value, region.last.value);
        if region.reason.trim().is_empty() {
            check
                .found(
                    &region.reason.span,
                    format!("region {} gives no reason", quoted(&region.name)),
                )
                .hint("errors quote it to whoever wants to put something else there");
        }
        if first == 0 {
            check
                .found(
                    &region.first.span,
                    format!("region {} covers sector 0", quoted(&region.name)),
                )
                .hint("sector 0 holds the partition table; a boot loader shares it by its first 440 bytes");
        }
        if last < first {
            check
                .found(
                    &region.last.span,
                    format!("region {} ends before it starts", quoted(&region.name)),
                )
                .related(&region.first.span, format!("it starts at sector {first}"))
                .hint("`last` is the last sector of the region, not their number");
            continue;
        }
        if last >= MOST_SECTORS {
            check
                .found(
                    &region.last.span,
                    format!("sector {last} is beyond the first GiB of the card"),
                )
                .hint("boot regions are counted in sectors of 512 bytes, not in bytes");
            continue;
        }
        if written.partition_table.value == PartitionTableToml::Gpt && first <= GPT_LAST {
            check
                .found(
                    &written.partition_table.span,
                    format!(
                        "GPT needs sectors 1 to {GPT_LAST}, which belong to {}: {}",
                        quoted(&region.name),
                        region.reason.value
                    ),
                )
                .related(
                    &region.first.span,
                    format!("{} starts at sector {first}", quoted(&region.name)),
                )
                .hint("use partition-table = \"mbr\": it fits into sector 0");
        }
        regions.push(region);
    }
    regions.sort_by_key(|region| region.first.value);
    let mut furthest: Option<&BootRegionToml> = None;
    for after in &regions {
        if let Some(before) = furthest.filter(|before| before.last.value >= after.first.value) {
            check
                .found(
                    &after.first.span,
                    format!(
                        "boot region {} overlaps {}",
                        quoted(&after.name),
                        quoted(&before.name)
                    ),
                )
                .related(&before.last.span, format!("{} ends here", quoted(&before.name)))
                .hint(format!("the first free sector is {}", before.last.value + 1));
        }
        if furthest.is_none_or(|furthest| furthest.last.value < after.last.value) {
            furthest = Some(after);
        }
    }
    check_chain(check, written);
    regions
        .into_iter()
        .map(|region| BootRegion {
            name: region.name.value.clone(),
            first: Lba(region.first.value),
            sectors: region.last.value - region.first.value + 1,
            reason: region.reason.value.clone(),
            content: content(check, region),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::is_console;

    #[test]
    fn knows_consoles() {
        for good in [
            "ttyAML0,115200n8",
            "ttyAMA0,115200",
            "tty0",
            "ttyS0,9600n8r",
            "hvc0",
            "ttyS0,115200n",
        ] {
            assert!(is_console(good), "{good}");
        }
        for bad in [
            "",
            "0tty",
            "ttyS0,",
            "ttyS0,n8",
            "ttyS0,9600x",
            "ttyS0 quiet",
            "tty/0",
            "ttyS0,9600n9",
            "ttyS0,96008nn",
        ] {
            assert!(!is_console(bad), "{bad}");
        }
    }
}
