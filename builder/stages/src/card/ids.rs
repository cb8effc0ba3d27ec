//! The identifiers of a card. They follow from the names of fleet and node alone, so everything that mentions one (the
//! node's fstab, the kernel's command line, the manifest) can be made before the card is.

use formats::ids::{id32, uuid};
use formats::mbr;
use model::board::PartitionTable;
use uuid::Uuid;

/// The identifiers of one node's card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardIds {
    fleet: String,
    node: String,
    /// Signature of an MBR.
    pub disk_signature: u32,
    /// GUID of a GPT's disk.
    pub disk_guid: Uuid,
    /// Volume id of the boot partition.
    pub fat_volume_id: u32,
    /// UUID of the root file system.
    pub root_uuid: Uuid,
}

impl CardIds {
    /// The identifiers of `node` of `fleet`.
    pub fn derive(fleet: &str, node: &str) -> Self {
        let names = [fleet, node];
        Self {
            fleet: fleet.to_owned(),
            node: node.to_owned(),
            disk_signature: id32("disk signature", &names),
            disk_guid: uuid("disk guid", &names),
            fat_volume_id: id32("fat volume id", &names),
            root_uuid: uuid("root file system", &names),
        }
    }

    /// GUID of the partition `label` in a GPT.
    pub fn partition_guid(&self, label: &str) -> Uuid {
        uuid("partition guid", &[&self.fleet, &self.node, label])
    }

    /// `PARTUUID` of a partition as the Linux kernel spells it. `number` counts from 1.
    pub fn part_uuid(&self, table: PartitionTable, number: usize, label: &str) -> String {
        match table {
            PartitionTable::Mbr => mbr::part_uuid(self.disk_signature, number),
            PartitionTable::Gpt => self.partition_guid(label).to_string(),
        }
    }

    /// The FAT volume id as `blkid` shows it: `1234-ABCD`.
    pub fn fat_uuid(&self) -> String {
        format!(
            "{:04X}-{:04X}",
            self.fat_volume_id >> 16,
            self.fat_volume_id & 0xffff
        )
    }
}
