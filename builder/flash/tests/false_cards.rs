//! Cards that claim more than they hold: none of them counts as written.

#![allow(missing_docs, clippy::unwrap_used)]

#[allow(dead_code, reason = "only its image and its loop device are needed")]
mod bench;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use bench::{Bench, Loop, MIB};
use flash::FlashError;
use flash::verify::VerifyError;
use testkit::oracle;

/// A card of 16 MiB that claims to have 256, as a file of a file system of its own.
struct FalseCard {
    process: Child,
    mount: PathBuf,
}

impl FalseCard {
    fn new(folder: &Path, how: &str) -> Self {
        let program = folder.join("false_card");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/false_card.c");
        let flags = oracle::run("pkg-config", "pkg-config", ["--cflags", "--libs", "fuse3"]);
        let files = [
            "-O2".as_ref(),
            "-o".as_ref(),
            program.as_os_str(),
            source.as_os_str(),
        ];
        let flags = flags.split_whitespace().map(AsRef::as_ref);
        oracle::run("gcc", "gcc", files.into_iter().chain(flags));
        let mount = folder.join("mounted");
        fs::create_dir(&mount).unwrap();
        let size = |mib: u64| (mib * MIB).to_string();
        let process = Command::new(program)
            .args([size(256), size(16), how.to_owned()])
            .arg(&mount)
            .spawn()
            .unwrap();
        let began = Instant::now();
        while !mount.join("card").exists() {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "the file system does not come"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { process, mount }
    }
}

impl Drop for FalseCard {
    fn drop(&mut self) {
        oracle::output("mount", "umount", ["--lazy".as_ref(), self.mount.as_os_str()]);
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn a_card_that_claims_too_much_is_found_out() {
    for how in ["wrap", "drop"] {
        let bench = Bench::new();
        let card = FalseCard::new(bench.folder.path(), how);
        let device = Loop::new(&card.mount.join("card"), &[]);
        let error = bench.flash_to(device.path()).unwrap_err();
        assert!(
            matches!(error, FlashError::Verify(VerifyError::Capacity { .. })),
            "{how}: {error}"
        );
        assert!(
            error.to_string().contains("claims to hold 268435456 bytes"),
            "{error}"
        );
        drop(device);
    }
}

#[test]
fn what_was_behind_the_image_stays() {
    let bench = Bench::new();
    let device = Loop::new(&bench.card, &[]);
    bench.flash_to(device.path()).unwrap();
    drop(device);
    let card = fs::read(&bench.card).unwrap();
    for range in [12 * MIB..64 * MIB, 66 * MIB..79 * MIB] {
        let behind = &card[range.start as usize..range.end as usize];
        assert!(behind.iter().all(|byte| *byte == 0xee), "{range:?}");
    }
}
