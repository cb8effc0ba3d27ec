//! What the tests stand on: the project of this repository in a folder of its own, with made-up blobs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use engine::{Cache, Engine, Progress, Verbosity};
use fetch::{Limits, Mode, Network};
use formats::fat::FatFile;
use formats::source::ReadAt;
use formats::sparse::SparseImage;
use formats::units::{Bytes, Time};
use model::project::Project;
use stages::card::{Card, CardRequest, assemble};
use stages::firmware::{BoardFirmware, Firmware, FirmwareRequest, firmware};
use tempfile::TempDir;
use testkit::fip as made_up;
use testkit::folder::copy;

pub struct Bench {
    pub folder: TempDir,
    pub engine: Engine,
    /// U-Boots that were compiled.
    pub u_boot: BTreeMap<String, PathBuf>,
    pub network: Network,
}

/// The device tree's node that asks for a known BL301.
pub const CLOCKS: &str = "&scpi_clocks {\n\tstatus = \"okay\";\n};\n";

impl Bench {
    /// The project of the tests, and a folder of made-up blobs.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(testkit::fleet::PROJECT);
        for part in ["boards", "kernel", "overlays", "images"] {
            copy(&root.join(part), &folder.path().join("project").join(part));
        }
        fs::copy(
            root.join("sources.toml"),
            folder.path().join("project/sources.toml"),
        )
        .unwrap();
        let bench = Self {
            engine: Engine {
                cache: Cache::open(&folder.path().join("cache")).unwrap(),
                logs: folder.path().join("logs"),
                progress: Progress::new(Verbosity::Quiet),
                jobs: 1,
            },
            folder,
            u_boot: BTreeMap::new(),
            network: Network {
                mode: Mode::Online,
                limits: Limits {
                    connect: Duration::from_millis(500),
                    stall: Duration::from_millis(300),
                    trickle: 64,
                    redirects: 3,
                    tries: 2,
                    pause: Duration::from_millis(1),
                },
            },
        };
        fs::create_dir(bench.blobs()).unwrap();
        for (name, bytes) in made_up::blobs(1) {
            fs::write(bench.blobs().join(name), bytes).unwrap();
        }
        bench
    }

    /// The same with a device tree that needs no known BL301.
    pub fn without_clocks() -> Self {
        let bench = Self::new();
        bench.edit("boards/odroid-c2/node.dts", CLOCKS, "");
        bench
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("project").join(path)
    }

    /// The folder of blobs.
    pub fn blobs(&self) -> PathBuf {
        self.folder.path().join("blobs")
    }

    /// Replaces `from`, which the file must have, by `to`.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(path)).unwrap();
        assert!(text.contains(from), "{path} has no {from:?}");
        fs::write(self.path(path), text.replacen(from, to, 1)).unwrap();
    }

    pub fn accept(&self) {
        self.edit(
            "sources.toml",
            "accept-licenses = []",
            "accept-licenses = [\"amlogic-gxbb\"]",
        );
    }

    pub fn project(&self) -> Project {
        Project::load(&self.path("")).unwrap_or_else(|findings| panic!("{findings}"))
    }

    /// What there is for `board`, with the folder of blobs or without.
    pub fn find(&self, board: &str, blob_dir: Option<&Path>) -> Result<BoardFirmware> {
        let project = self.project();
        let request = FirmwareRequest {
            project: &project,
            blob_dir,
            mirror: None,
            u_boot: &|board| Ok(self.u_boot.get(&board.name).cloned()),
            network: &self.network,
        };
        firmware(&self.engine, &request, &project.boards[board]).map(|found| found.expect("a boot area"))
    }

    /// The boot area of `board` from the folder of blobs.
    pub fn made(&self, board: &str) -> Firmware {
        match self.find(board, Some(&self.blobs())) {
            Ok(BoardFirmware::Ready(firmware)) => firmware,
            other => panic!("{other:?}"),
        }
    }

    /// A card for `board` with this boot area.
    pub fn card(&self, board: &str, firmware: Option<SparseImage>) -> Card {
        let project = self.project();
        let mut root = SparseImage::empty(Bytes::mib(1));
        root.put(0, made_up::noise(7, 1 << 20));
        assemble(CardRequest {
            fleet: "fleet",
            node: "node",
            board: &project.boards[board],
            layout: &project.layouts["card"],
            boot_files: vec![FatFile::from_bytes("Image", made_up::noise(8, 100_000))],
            kernel_arguments: &[],
            firmware,
            root,
            time: Time::from_seconds(1_700_000_000),
            size: None,
        })
        .unwrap()
    }

    /// Why there is none.
    pub fn refused(&self, board: &str) -> String {
        format!("{:#}", self.find(board, Some(&self.blobs())).unwrap_err())
    }
}

pub fn bytes(image: &SparseImage) -> Vec<u8> {
    let mut bytes = vec![0; image.size.0 as usize];
    image.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}
