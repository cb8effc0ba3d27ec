//! The stage as a whole, on a miniature U-Boot with its own Kconfig and Makefile that the real `make` runs.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Result;
use bzip2::write::BzEncoder;
use engine::{Cache, Engine, Progress, Verbosity};
use insta::assert_snapshot;
use model::board::UBoot;
use model::finding::{Findings, SourceFile};
use model::kernel::fragment;
use tempfile::TempDir;

use super::*;

/// As U-Boot's: the targets that the stage calls, and what they leave behind.
const MAKEFILE: &str = r#"
VERSION = 2025
PATCHLEVEL = 01
SUBLEVEL =
EXTRAVERSION =

%_defconfig:
	@cp configs/$@ .config

olddefconfig:
	@awk -f scripts/complete.awk Kconfig .config > .config.new
	@mv .config.new .config

u-boot.bin: common/main.c
	@mkdir -p include/config
	@echo '2025.01$(LOCALVERSION)'"$$(sed -n 's/^CONFIG_LOCALVERSION="\(.*\)"$$/\1/p' .config)" > include/config/uboot.release
	@echo '  CC      common/main.c'
	@if grep -q BROKEN common/main.c; then echo 'common/main.c:1:1: error: BROKEN' >&2; exit 1; fi
	@{ date -u -d @$$SOURCE_DATE_EPOCH '+U-Boot 2025.01 (%b %d %Y - %T)'; \
	   echo '$(CROSS_COMPILE) $(ARCH) '"$$USER $$TZ"; cat common/main.c .config; } > u-boot.bin
	@echo '  COPY    u-boot.bin'

.PHONY: olddefconfig
"#;

const KCONFIG: &str = "\
config AUTOBOOT_KEYED\n\tbool \"Stop only by a string\"\n\
config AUTOBOOT_STOP_STR\n\tstring \"The string\"\n\tdepends on AUTOBOOT_KEYED\n\
config LOCALVERSION\n\tstring \"Behind the version\"\n\
config CMD_NET\n\tbool \"Network\"\n";

/// Keeps, of each symbol that Kconfig defines, the last value, if what it depends on is on.
const COMPLETE: &str = r#"
FILENAME == "Kconfig" && $1 == "config" { name = $2; order[++count] = name }
FILENAME == "Kconfig" && $1 == "depends" { needs[name] = $3 }
FILENAME == ".config" && match($0, /^CONFIG_[A-Z_]+=/) {
    value[substr($0, 8, RLENGTH - 8)] = substr($0, RLENGTH + 1)
}
FILENAME == ".config" && $3 == "is" { delete value[substr($2, 8)] }
END {
    for (i = 1; i <= count; i++) {
        name = order[i]
        if (name in value && (!(name in needs) || needs[name] in value)) print "CONFIG_" name "=" value[name]
    }
}
"#;

const FRAGMENT: &str =
    "CONFIG_AUTOBOOT_KEYED=y\nCONFIG_AUTOBOOT_STOP_STR=\"stop\\n\"\n# CONFIG_CMD_NET is not set\n";

/// A board, a miniature U-Boot, and an engine of its own.
struct Bench {
    folder: TempDir,
    engine: Engine,
    source: UBootSource,
    board: UBoot,
}

impl Bench {
    /// With this fragment.
    fn new(fragment: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (name, text) in [
            ("Makefile", MAKEFILE),
            ("Kconfig", KCONFIG),
            ("configs/board_defconfig", "CONFIG_CMD_NET=y\n"),
            ("configs/other_defconfig", ""),
            ("scripts/complete.awk", COMPLETE),
            ("common/main.c", "int main;\n"),
        ] {
            let path = root.join("u-boot").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self {
            engine: Engine {
                cache: Cache::open(&root.join("cache")).unwrap(),
                logs: root.join("logs"),
                progress: Progress::new(Verbosity::Quiet),
                jobs: 2,
            },
            source: pack_source(root),
            board: board(fragment),
            folder,
        }
    }

    fn wanted(&self) -> UBootBuild<'_> {
        UBootBuild {
            board: &self.board,
            source: &self.source,
            cross_compile: "aarch64-linux-gnu-",
        }
    }

    fn build(&self) -> Result<Output> {
        build(&self.engine, &self.wanted())
    }

    /// Writes a file of the source, which is then packed again.
    fn write(&mut self, name: &str, text: &str) {
        fs::write(self.folder.path().join("u-boot").join(name), text).unwrap();
        self.source = pack_source(self.folder.path());
    }

    /// The log of a stage.
    fn log(&self, stage: &str) -> String {
        fs::read_to_string(self.engine.logs.join(format!("{stage}.log"))).unwrap_or_default()
    }

    /// The error without what differs between two runs.
    fn readable(&self, error: &anyhow::Error) -> String {
        format!("{error:#}").replace(&self.folder.path().display().to_string(), "<root>")
    }
}

/// A board that asks for `fragment`.
fn board(fragment: &str) -> UBoot {
    let file = SourceFile {
        path: "boards/x/u-boot.config".into(),
        text: fragment.into(),
    };
    let mut findings = Findings::default();
    let requests = fragment::parse(&file.into(), &mut findings);
    assert!(findings.0.is_empty(), "{findings}");
    UBoot {
        defconfig: "board_defconfig".into(),
        fragment: "boards/x/u-boot.config".into(),
        requests,
    }
}

/// The tarball of `root/u-boot`.
fn pack_source(root: &Path) -> UBootSource {
    let path = root.join("u-boot.tar.bz2");
    let encoder = BzEncoder::new(File::create(&path).unwrap(), Default::default());
    let mut archive = tar::Builder::new(encoder);
    archive.mode(tar::HeaderMode::Deterministic);
    archive
        .append_dir_all("u-boot-2025.01", root.join("u-boot"))
        .unwrap();
    archive.into_inner().unwrap().finish().unwrap();
    UBootSource::open(&path).unwrap()
}

#[test]
fn two_builds_in_two_folders_give_the_same_bytes() {
    let (first, second) = (Bench::new(FRAGMENT), Bench::new(FRAGMENT));
    let (first, second) = (first.build().unwrap(), second.build().unwrap());
    let (bytes, others) = (
        fs::read(&first.binary).unwrap(),
        fs::read(&second.binary).unwrap(),
    );
    assert_ne!(first.binary, second.binary);
    assert_eq!((first.key, &bytes), (second.key, &others));
    assert_eq!((first.size.0, first.sha256.len()), (bytes.len() as u64, 64));
    // The time is that of the source, the escape in the text is as it was written, nothing of the caller is in it.
    assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"
    U-Boot 2025.01 (Jul 24 2006 - 01:21:28)
    aarch64-linux-gnu-   UTC
    int main;
    CONFIG_AUTOBOOT_KEYED=y
    CONFIG_AUTOBOOT_STOP_STR="stop\n"
    "#);
}

#[test]
fn what_did_not_survive_stops_the_build_before_it_compiles() {
    let bench = Bench::new("CONFIG_AUTOBOOT_STOP_STR=\"stop\"\nCONFIG_CMD_NETT=y\n");
    let error = bench.build().unwrap_err();
    assert_snapshot!(bench.readable(&error), @r#"
    2 lines of boards/x/u-boot.config do not survive the configuration of U-Boot 2025.01; nothing was compiled:
      boards/x/u-boot.config:1: CONFIG_AUTOBOOT_STOP_STR: wanted "stop", got n
          depends on AUTOBOOT_KEYED (Kconfig:3)
          unmet: AUTOBOOT_KEYED=n
      boards/x/u-boot.config:2: CONFIG_CMD_NETT: wanted y, got n
          U-Boot 2025.01 has no symbol of this name; is CONFIG_CMD_NET meant?
    ask for what is unmet as well, or drop the line
    "#);
    assert!(bench.log("u-boot-config").contains("olddefconfig"));
    assert_eq!(bench.log("u-boot"), "", "the compilation must not have begun");
}

#[test]
fn a_configuration_counts_symbols_and_names_the_absent() {
    let bench = Bench::new(&format!("{FRAGMENT}# CONFIG_OLD is not set\n"));
    let configured = configure(&bench.engine, &bench.wanted()).unwrap();
    assert_eq!(configured.built_in, 1);
    assert_eq!(configured.absent, ["CONFIG_OLD at boards/x/u-boot.config:4"]);
}

#[test]
fn a_failed_compilation_shows_its_last_lines_and_leaves_nothing() {
    let mut bench = Bench::new(FRAGMENT);
    bench.write("common/main.c", "BROKEN\n");
    let error = bench.build().unwrap_err();
    let text = bench.readable(&error);
    assert!(
        text.starts_with("cannot compile U-Boot 2025.01: make failed (exit status: 2); it printed last:"),
        "{text}"
    );
    assert!(text.contains("    common/main.c:1:1: error: BROKEN\n"), "{text}");
    assert!(text.ends_with("the whole log: <root>/logs/u-boot.log"), "{text}");
    assert!(!bench.engine.cache.has_any("u-boot"));
    bench.write("common/main.c", "int main;\n");
    bench.build().unwrap();
}

#[test]
fn what_can_change_the_output_changes_the_key_and_nothing_else_does() {
    let mut bench = Bench::new(FRAGMENT);
    let mut keys = vec![bench.build().unwrap().key];
    bench.board = board(&format!("# Why.\n\n{FRAGMENT}"));
    assert_eq!(bench.build().unwrap().key, keys[0], "a comment");
    bench.board = board("CONFIG_AUTOBOOT_KEYED=y\n");
    keys.push(bench.build().unwrap().key);
    bench.board.defconfig = "other_defconfig".into();
    keys.push(bench.build().unwrap().key);
    bench.write("common/main.c", "int other;\n");
    keys.push(bench.build().unwrap().key);
    let different: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(different.len(), keys.len());
}

#[test]
fn a_release_with_an_addition_is_refused() {
    let bench = Bench::new("CONFIG_LOCALVERSION=\"-mine\"\n");
    let error = bench.readable(&bench.build().unwrap_err());
    assert_eq!(
        error,
        "U-Boot calls itself 2025.01-mine instead of 2025.01: leave CONFIG_LOCALVERSION empty in boards/x/u-boot.config"
    );
}

#[test]
fn a_board_that_u_boot_does_not_know_is_told() {
    let mut bench = Bench::new(FRAGMENT);
    bench.board.defconfig = "gone_defconfig".into();
    let error = bench.readable(&bench.build().unwrap_err());
    assert!(
        error.starts_with("cannot make the base of the configuration of U-Boot 2025.01: make failed"),
        "{error}"
    );
    assert!(error.contains("configs/gone_defconfig"), "{error}");
}
