//! Cards that claim more than they hold, die, go mute or shrink: none of them counts as written, and what is told is what the card
//! has.

#![allow(missing_docs, clippy::unwrap_used)]

#[allow(dead_code, reason = "only its image and its loop device are needed")]
mod bench;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use bench::{Bench, Loop, MIB};
use flash::direct::Fate;
use flash::verify::VerifyError;
use flash::write::WriteError;
use flash::{FlashError, Probe, Report, Request, Step};
use formats::units::Bytes;
use testkit::oracle;

/// A bad card as a file of a file system of its own.
struct FalseCard {
    process: Child,
    mount: PathBuf,
}

impl FalseCard {
    /// One that claims to have `claimed` MiB; `how` says what it does with its true size.
    fn new(folder: &Path, claimed: u64, real: u64, how: &str) -> Self {
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
            .args([size(claimed), size(real), how.to_owned()])
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

    fn file(&self) -> PathBuf {
        self.mount.join("card")
    }
}

/// Flashes with `told` listening.
fn flash(
    bench: &Bench,
    target: &Path,
    told: &mut dyn FnMut(Step, Bytes, Bytes),
) -> Result<Report, FlashError> {
    let request = Request::new("red-07", &bench.image, target);
    flash::flash(&request, told)
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
        let card = FalseCard::new(bench.folder.path(), 256, 16, how);
        let device = Loop::new(&card.file(), &[]);
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
fn what_a_false_card_holds_at_most_is_told() {
    for how in ["wrap", "drop"] {
        let bench = Bench::new();
        let card = FalseCard::new(bench.folder.path(), 256, 20, how);
        let device = Loop::new(&card.file(), &[]);
        let request = Request {
            probe: Probe::Full,
            ..Request::new("red-07", &bench.image, device.path())
        };
        let error = flash::flash(&request, &mut |_, _, _| {}).unwrap_err();
        match error {
            FlashError::Verify(VerifyError::Capacity {
                claimed, most: told, ..
            }) => {
                assert_eq!((claimed, told), (Bytes(256 * MIB), Bytes(20 * MIB)), "{how}");
            }
            error => panic!("{how}: {error}"),
        }
    }
}

#[test]
fn what_is_told_is_on_the_card() {
    let bench = Bench::new();
    let card = FalseCard::new(bench.folder.path(), 80, 80, "wrap");
    let device = Loop::new(&card.file(), &[]);
    let mut steps = Vec::new();
    flash(&bench, device.path(), &mut |step, done, _| {
        steps.push((step, done));
        if step == Step::Write {
            // The file is the card itself: nothing of the loop device's cache is in it.
            let bytes = fs::read(card.file()).unwrap();
            let mapped = [MIB..MIB + 8192, 3 * MIB..8 * MIB, 12 * MIB - 4096..12 * MIB];
            let places = mapped
                .into_iter()
                .flatten()
                .step_by(4096)
                .take((done.0 / 4096) as usize);
            for place in places {
                let block = place as usize..place as usize + 4096;
                assert!(bytes[block.clone()] == bench.bytes[block], "{place} of {done}");
            }
        }
    })
    .unwrap();
    assert!(steps.iter().filter(|(step, _)| *step == Step::Write).count() > 3);
}

#[test]
fn a_card_that_dies_is_told_with_the_place() {
    let bench = Bench::new();
    let card = FalseCard::new(bench.folder.path(), 80, 6, "die");
    let device = Loop::new(&card.file(), &[]);
    let mut last = None;
    let error = flash(&bench, device.path(), &mut |step, done, _| {
        last = Some((step, done))
    })
    .unwrap_err();
    // What was there before takes 3 MiB of zeros and 8 KiB, the image 1 MiB and 8 KiB before this chunk.
    assert!(
        matches!(
            error,
            FlashError::Write(WriteError::Write {
                start: 0x40_0000,
                end: 0x80_0000,
                fate: Fate::Failing,
                ..
            })
        ),
        "{error:?}"
    );
    assert_eq!(last, Some((Step::Write, Bytes(MIB + 8192))));
    let said = error.to_string();
    assert!(
        said.starts_with("cannot write bytes 4194304..8388608 of /dev/loop")
            && said
                .ends_with("the card fails or was pulled out; flash it anew, and if that fails, another one"),
        "{said}"
    );
}

#[test]
fn a_card_that_takes_all_and_gives_nothing_back_is_told_with_the_place() {
    let bench = Bench::new();
    let card = FalseCard::new(bench.folder.path(), 80, 5, "mute");
    let device = Loop::new(&card.file(), &[]);
    let error = flash(&bench, device.path(), &mut |_, _, _| {}).unwrap_err();
    match error {
        FlashError::Verify(VerifyError::Read { start, end, fate, .. }) => {
            assert!(start < end && end > 5 * MIB && end <= 80 * MIB, "{start}..{end}");
            assert_eq!(fate, Fate::Failing);
        }
        error => panic!("{error}"),
    }
}

#[test]
fn a_card_that_shrinks_is_told_with_the_place() {
    let bench = Bench::new();
    let device = Loop::new(&bench.card, &[]);
    let mut shrunk = false;
    let error = flash(&bench, device.path(), &mut |_, _, _| {
        if !shrunk {
            let card = fs::File::options().write(true).open(&bench.card).unwrap();
            card.set_len(6 * MIB).unwrap();
            oracle::run("mount", "losetup", ["-c".as_ref(), device.path().as_os_str()]);
            shrunk = true;
        }
    })
    .unwrap_err();
    assert!(
        matches!(
            error,
            FlashError::Write(WriteError::Write {
                start: 0x40_0000,
                fate: Fate::Smaller,
                ..
            })
        ),
        "{error:?}"
    );
    drop(device);
    assert!(bench.card_is_dead());
}
