//! The stage as a whole, on a miniature kernel with its own Kconfig and Makefile that the real `make` runs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use engine::{Cache, Engine, Progress, Verbosity, is_verification_failure};
use insta::assert_snapshot;
use liblzma::write::XzEncoder;
use model::board::{Expectation, LoadMap, PropertyState, Window};
use model::files::Files;
use model::finding::SourceFile;
use tempfile::TempDir;

use super::*;

/// As a kernel's: the targets that the stage calls, and what they leave behind.
const MAKEFILE: &str = r#"
VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 107
EXTRAVERSION =

RELEASE = $(VERSION).$(PATCHLEVEL).$(SUBLEVEL)$(EXTRAVERSION)$(LOCALVERSION)
MODULES = $(INSTALL_MOD_PATH)/lib/modules/$(RELEASE)

allnoconfig:
	@echo '# Base' > .config

olddefconfig:
	@awk -f scripts/complete.awk Kconfig .config > .config.new
	@mv .config.new .config

Image: kernel/fork.c
	@mkdir -p arch/arm64/boot include/config
	@echo $(RELEASE) > include/config/kernel.release
	@echo '  CC      kernel/fork.o'
	@if grep -q BROKEN kernel/fork.c; then echo 'kernel/fork.c:1:1: error: BROKEN' >&2; exit 1; fi
	@{ echo '$(ARCH) $(KBUILD_BUILD_USER)@$(KBUILD_BUILD_HOST) $(KBUILD_BUILD_TIMESTAMP)'; \
	   cat kernel/fork.c .config; } > arch/arm64/boot/Image
	@echo 'ffff T _text' > System.map
	@echo '  LD      vmlinux'

modules:
	@echo '  CC [M]  drivers/veth.o'

amlogic/%.dtb:
	@dtc -q -O dtb -o arch/arm64/boot/dts/amlogic/$*.dtb arch/arm64/boot/dts/amlogic/$*.dts

modules_install:
	@mkdir -p $(MODULES)/kernel/drivers
	@echo module > $(MODULES)/kernel/drivers/veth.ko
	@echo index > $(MODULES)/modules.dep.bin
	@ln -s $(CURDIR) $(MODULES)/build

.PHONY: allnoconfig olddefconfig Image modules modules_install
"#;

const KCONFIG: &str = "\
config NET\n\tbool \"Networking\"\n\
config VETH\n\ttristate \"Virtual Ethernet\"\n\tdepends on NET\n\
source \"drivers/Kconfig\"\n";

/// Keeps, of each symbol that Kconfig defines, the last value, if what it depends on is on.
const COMPLETE: &str = r#"
FILENAME == "Kconfig" && $1 == "config" { name = $2; known[name] = 1 }
FILENAME == "Kconfig" && $1 == "depends" { needs[name] = $3 }
FILENAME == ".config" && match($0, /^CONFIG_[A-Z_]+=/) {
    value[substr($0, 8, RLENGTH - 8)] = substr($0, RLENGTH + 1)
}
END {
    count = split("NET VETH", order, " ")
    for (i = 1; i <= count; i++) {
        name = order[i]
        if (name in value && (!(name in needs) || needs[name] in value)) print "CONFIG_" name "=" value[name]
    }
}
"#;

/// The source of its one device tree.
const TREE: &str = "boards/node.dts";

/// A project, a miniature kernel, and an engine of its own.
struct Bench {
    folder: TempDir,
    engine: Engine,
    source: KernelSource<'static>,
    trees: Vec<DeviceTreeSource>,
}

impl Bench {
    /// With this fragment.
    fn new(fragment: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (name, text) in [
            (
                "kernel/kernel.toml",
                "base = \"allnoconfig\"\ncross-compile = \"aarch64-linux-gnu-\"\nlocal-version = \"-test\"\n\
                 fragments = [\"a\"]\n",
            ),
            ("kernel/fragments/a.config", fragment),
            (TREE, "/dts-v1/;\n/ { model = \"x\"; };\n"),
            ("linux/Makefile", MAKEFILE),
            ("linux/Kconfig", KCONFIG),
            ("linux/drivers/Kconfig", "config DRIVERS\n\tbool\n"),
            ("linux/scripts/complete.awk", COMPLETE),
            ("linux/kernel/fork.c", "int fork;\n"),
            ("linux/arch/arm64/boot/dts/amlogic/stock.dts", ""),
        ] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let engine = Engine {
            cache: Cache::open(&root.join("cache")).unwrap(),
            logs: root.join("logs"),
            progress: Progress::new(Verbosity::Quiet),
            jobs: 2,
        };
        let trees = vec![DeviceTreeSource {
            source: SourceFile::load(root, Path::new(TREE)).unwrap(),
            install: "amlogic/meson-gxbb-odroidc2.dtb".into(),
            expect: Vec::new(),
            load: None,
        }];
        let source = pack_source(root);
        Self {
            folder,
            engine,
            source,
            trees,
        }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn kernel(&self) -> Kernel {
        Kernel::load(&Files::of(self.root())).unwrap()
    }

    fn build(&self) -> anyhow::Result<Output> {
        build(&self.engine, &self.kernel(), &self.source, &self.trees)
    }

    fn key(&self) -> engine::Key {
        let kernel = self.kernel();
        let configured = configure(&self.engine, &kernel, &self.source).unwrap();
        build::key_of(&configured, &kernel, &self.trees)
    }

    /// Writes a file of the project, or of the kernel and packs that again.
    fn write(&mut self, name: &str, text: &str) {
        fs::write(self.root().join(name), text).unwrap();
        if name == TREE {
            self.trees[0].source = SourceFile::load(self.root(), Path::new(TREE)).unwrap();
        }
        if name.starts_with("linux/") {
            self.source = pack_source(self.root());
        }
    }

    /// The log of a stage.
    fn log(&self, stage: &str) -> String {
        fs::read_to_string(self.engine.logs.join(format!("{stage}.log"))).unwrap_or_default()
    }

    /// The error without what differs between two runs.
    fn readable(&self, error: &anyhow::Error) -> String {
        format!("{error:#}").replace(&self.root().display().to_string(), "<root>")
    }
}

/// The tarball of `root/linux`.
fn pack_source(root: &Path) -> KernelSource<'static> {
    let path = root.join("linux.tar.xz");
    let mut archive = tar::Builder::new(XzEncoder::new(File::create(&path).unwrap(), 0));
    archive.mode(tar::HeaderMode::Deterministic);
    archive
        .append_dir_all("linux-6.12.107", root.join("linux"))
        .unwrap();
    archive.into_inner().unwrap().finish().unwrap();
    KernelSource::open(&path).unwrap()
}

/// All files below `folder` with their bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(current) = open.pop() {
        for entry in fs::read_dir(current).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                all.insert(
                    path.strip_prefix(folder).unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    all
}

const FRAGMENT: &str = "CONFIG_NET=y\nCONFIG_VETH=m\n";

#[test]
fn two_builds_in_two_folders_give_the_same_bytes() {
    let (first, second) = (Bench::new(FRAGMENT), Bench::new(FRAGMENT));
    let (first_output, second_output) = (first.build().unwrap(), second.build().unwrap());
    assert_eq!(first_output.release, "6.12.107-test");
    let found = files(first_output.entry.folder());
    let names: Vec<_> = found.keys().map(|path| path.display().to_string()).collect();
    let expected = [
        "Image",
        "SHA256SUMS",
        "System.map",
        "config",
        "dtbs/amlogic/meson-gxbb-odroidc2.dtb",
        "modules.tar",
        "release",
    ];
    assert_eq!(names, expected);
    assert_eq!(found, files(second_output.entry.folder()));
    assert_snapshot!(fs::read_to_string(first_output.image().unwrap()).unwrap(), @r"
    arm64 portadc@portadc 2006-07-24 01:21:28 UTC
    int fork;
    CONFIG_NET=y
    CONFIG_VETH=m
    ");
}

#[test]
fn what_did_not_survive_stops_the_build_before_it_compiles() {
    let bench = Bench::new("CONFIG_VETH=m\nCONFIG_NETT=y\n");
    let error = bench.build().unwrap_err();
    assert_snapshot!(bench.readable(&error));
    assert!(bench.log("kernel-config").contains("olddefconfig"));
    assert_eq!(bench.log("kernel"), "", "the compilation must not have begun");
}

#[test]
fn a_failed_compilation_shows_its_last_lines_and_leaves_nothing() {
    let mut bench = Bench::new(FRAGMENT);
    bench.write("linux/kernel/fork.c", "BROKEN\n");
    let error = bench.build().unwrap_err();
    let text = bench.readable(&error);
    assert!(
        text.starts_with("cannot compile linux 6.12.107: make failed (exit status: 2); it printed last:"),
        "{text}"
    );
    assert!(text.contains("    kernel/fork.c:1:1: error: BROKEN\n"), "{text}");
    assert!(text.ends_with("the whole log: <root>/logs/kernel.log"), "{text}");
    assert!(bench.engine.cache.find("kernel", &bench.key()).is_none());
    bench.write("linux/kernel/fork.c", "int fork;\n");
    bench.build().unwrap();
}

#[test]
fn what_can_change_the_output_changes_the_key_and_nothing_else_does() {
    let mut bench = Bench::new(FRAGMENT);
    let mut keys = vec![bench.key()];
    bench.write(
        "kernel/fragments/a.config",
        &format!("# Why.\n{FRAGMENT}CONFIG_OTHER=y  # >=6.18\n"),
    );
    assert_eq!(bench.key(), keys[0], "a comment, and a line for another series");
    bench.write("kernel/fragments/a.config", "CONFIG_NET=y\n");
    keys.push(bench.key());
    bench.write(TREE, "/dts-v1/;\n/ { model = \"y\"; };\n");
    keys.push(bench.key());
    let toml = fs::read_to_string(bench.root().join("kernel/kernel.toml")).unwrap();
    bench.write("kernel/kernel.toml", &toml.replace("-test", "-other"));
    keys.push(bench.key());
    bench.write("linux/kernel/fork.c", "int vfork;\n");
    keys.push(bench.key());
    bench.trees[0].install = "amlogic/other.dtb".into();
    keys.push(bench.key());
    let different: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(different.len(), keys.len());
}

#[test]
fn patches_reach_the_configuration_and_the_compilation() {
    let mut bench = Bench::new("CONFIG_NET=y\nCONFIG_VETH=y\n");
    let toml = fs::read_to_string(bench.root().join("kernel/kernel.toml")).unwrap();
    fs::create_dir_all(bench.root().join("kernel/patches")).unwrap();
    let patch = "\
--- a/kernel/fork.c\n+++ b/kernel/fork.c\n@@ -1 +1 @@\n-int fork;\n+int patched;\n\
--- a/Kconfig\n+++ b/Kconfig\n@@ -4,3 +4,3 @@\n \ttristate \"Virtual Ethernet\"\n\
-\tdepends on NET\n+\tdepends on DRIVERS\n source \"drivers/Kconfig\"\n";
    bench.write("kernel/patches/1.patch", patch);
    bench.write(
        "kernel/kernel.toml",
        &format!("{toml}\n[[patch]]\nfile = \"1.patch\"\nwhen = \">=6.12\"\n"),
    );
    let error = format!("{:#}", bench.build().unwrap_err());
    assert!(
        error.contains("unmet: DRIVERS=n"),
        "the patched Kconfig counts: {error}"
    );
    bench.write("kernel/fragments/a.config", "CONFIG_NET=y\n");
    let image = fs::read_to_string(bench.build().unwrap().image().unwrap()).unwrap();
    assert!(image.contains("int patched;"), "{image}");
}

#[test]
fn a_switch_that_does_not_exist_is_told() {
    let bench = Bench::new("CONFIG_NET=y\nCONFIG_OLD=n\n");
    let configured = configure(&bench.engine, &bench.kernel(), &bench.source).unwrap();
    assert_eq!((configured.built_in, configured.modules), (1, 0));
    assert_eq!(configured.absent, ["CONFIG_OLD at kernel/fragments/a.config:2"]);
}

#[test]
fn a_folder_of_device_trees_that_the_kernel_lacks_is_named() {
    let mut bench = Bench::new(FRAGMENT);
    bench.trees[0].install = "rockchip/other.dtb".into();
    let error = bench.build().unwrap_err().to_string();
    assert_eq!(
        error,
        "the kernel has no folder `rockchip` of device trees, as `rockchip/other.dtb` asks for"
    );
}

#[test]
fn a_device_tree_that_is_not_as_expected_stops_the_build_before_the_kernel_is_compiled() {
    let mut bench = Bench::new(FRAGMENT);
    let expect = |model: &str| {
        vec![Expectation {
            node: "/".into(),
            property: "model".into(),
            state: PropertyState::Text(model.into()),
        }]
    };
    bench.trees[0].expect = expect("y");
    let error = bench.build().unwrap_err().to_string();
    assert!(error.contains("\n  /: model is \"x\", not \"y\"\n"), "{error}");
    assert!(
        !bench.log("kernel").contains("vmlinux"),
        "the kernel must not have been compiled"
    );
    bench.trees[0].expect = expect("x");
    bench.build().unwrap();
    // The kernel comes from the cache; what is expected of it counts all the same.
    bench.trees[0].expect = expect("z");
    let error = bench.build().unwrap_err().to_string();
    assert!(error.contains("not \"z\""), "{error}");
}

#[test]
fn a_kernel_that_the_firmware_has_no_room_for_is_refused() {
    let mut bench = Bench::new(FRAGMENT);
    let length = fs::metadata(bench.build().unwrap().image().unwrap())
        .unwrap()
        .len();
    let window = |at, size| Window { at, below: at + size };
    for (size, fits) in [(length, true), (length - 1, false)] {
        bench.trees[0].load = Some(LoadMap {
            device_tree: window(0, 4096),
            kernel: window(4096, size),
        });
        assert_eq!(bench.build().is_ok(), fits);
    }
}

#[test]
fn a_built_kernel_that_is_damaged_in_the_cache_is_not_used() {
    let bench = Bench::new(FRAGMENT);
    let output = bench.build().unwrap();
    let kernel = output.entry.folder().to_owned();
    let configuration = bench.engine.cache.root().join("kernel-config");
    let configuration = configuration.join(
        configure(&bench.engine, &bench.kernel(), &bench.source)
            .unwrap()
            .key
            .as_str(),
    );
    let dtb = "dtbs/amlogic/meson-gxbb-odroidc2.dtb";
    let use_it = || {
        let output = bench.build()?;
        output.image()?;
        output.device_trees()?;
        output.verify_image()
    };
    for (stage, folder, name) in [
        ("kernel", &kernel, "Image"),
        ("kernel", &kernel, "release"),
        ("kernel", &kernel, dtb),
        ("kernel-config", &configuration, "config"),
        ("kernel-config", &configuration, "absent"),
    ] {
        let path = folder.join(name);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        // The list of absent symbols has no byte.
        flipped.splice(
            ..whole.len().min(1),
            [whole.first().map_or(b'x', |byte| byte ^ 1)],
        );
        let advice = format!(
            "the cached output of {stage} is damaged: remove {}: {name} ",
            folder.display()
        );
        fs::write(&path, flipped).unwrap();
        let error = use_it().unwrap_err();
        assert!(is_verification_failure(&error));
        assert!(
            format!("{error:#}").starts_with(&format!("{advice}has SHA-256 ")),
            "{error:#}"
        );
        fs::remove_file(&path).unwrap();
        let error = use_it().unwrap_err();
        assert_eq!(format!("{error:#}"), format!("{advice}is missing"));
        fs::write(&path, whole).unwrap();
        use_it().unwrap();
    }
    // Nothing was compiled again.
    assert_eq!(
        fs::read_dir(kernel.parent().unwrap()).unwrap().count(),
        2,
        "one kernel and its lock"
    );
}

#[test]
fn a_cache_whose_path_has_a_blank_is_refused_before_any_work() {
    let mut bench = Bench::new(FRAGMENT);
    let folder = bench.root().join("my cache");
    bench.engine.cache = Cache::open(&folder).unwrap();
    let error = bench.build().unwrap_err().to_string();
    assert!(
        error.contains("my cache: its path has a blank or a colon"),
        "{error}"
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}
