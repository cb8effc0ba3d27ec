//! Boards' device trees: compiled among the kernel's own, then read back. A kernel that calls a node or a property
//! otherwise would make what a board's source says about it vanish without a word.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use dtoolkit::fdt::Fdt;
use dtoolkit::{Node, Property};
use formats::units::Bytes;
use model::board::{Board, Expectation, LoadMap, PropertyState, Window};
use model::finding::SourceFile;

/// Where the kernel keeps the device trees of its architecture.
const FOLDER: &str = "arch/arm64/boot/dts";

/// A device tree to compile with the kernel.
#[derive(Debug, Clone)]
pub struct DeviceTreeSource {
    /// The source. It may include the kernel's own device trees by name.
    pub source: Arc<SourceFile>,
    /// Its name below `dtbs/`: `amlogic/meson-gxbb-odroidc2.dtb`. The folder is the one that its includes are in.
    pub install: String,
    /// What the compiled tree has to say.
    pub expect: Vec<Expectation>,
    /// Where the board's firmware reads tree and kernel to; `None` where that sets no limit.
    pub load: Option<LoadMap>,
}

impl DeviceTreeSource {
    /// The device tree of `board`, if it has one.
    pub fn of(board: &Board) -> Option<Self> {
        let tree = board.device_tree.as_ref()?;
        Some(Self {
            source: tree.source.clone(),
            install: tree.install.clone(),
            expect: tree.expect.clone(),
            load: board.load,
        })
    }

    /// A name below `dtbs/` is a folder of the kernel's and a file of ours.
    pub(super) fn check_install(&self) -> Result<()> {
        let install = &self.install;
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let is_named_well = install
            .split_once('/')
            .is_some_and(|(vendor, file)| plain(vendor) && plain(file) && file.ends_with(".dtb"));
        ensure!(
            is_named_well,
            "`{install}` is no name of a device tree such as `amlogic/meson-gxbb-odroidc2.dtb`"
        );
        Ok(())
    }

    /// Holds the compiled tree against what is expected of it; everything that is not so is told at once.
    pub(super) fn check(&self, compiled: &Path) -> Result<()> {
        let source = self.source.path.display();
        let bytes = fs::read(compiled).with_context(|| format!("cannot read {}", compiled.display()))?;
        if let Some(load) = &self.load {
            check_fits("the device tree", bytes.len() as u64, load.device_tree)
                .with_context(|| format!("{source} is compiled to too much"))?;
        }
        let tree =
            Fdt::new(&bytes).map_err(|error| anyhow!("{source} is compiled to no device tree: {error}"))?;
        let faults: String = self
            .expect
            .iter()
            .filter_map(|expected| fault(tree, expected))
            .map(|fault| format!("\n  {fault}"))
            .collect();
        if !faults.is_empty() {
            bail!(
                "{source} is not compiled to what its board expects:{faults}\n\
                 the kernel may call it otherwise: look for it in `{}` and adapt the source, or `expect` in board.toml",
                compiled.display()
            );
        }
        Ok(())
    }

    /// Whether the board's firmware can read the kernel `image`.
    pub(super) fn check_image(&self, image: &Path) -> Result<()> {
        let Some(load) = &self.load else { return Ok(()) };
        let length = fs::metadata(image)
            .with_context(|| format!("cannot look at {}", image.display()))?
            .len();
        check_fits("the kernel's Image", length, load.kernel)
            .with_context(|| format!("the board of {} cannot start the kernel", self.install))
    }
}

/// Puts the boards' device trees beside the kernel's own, where their includes are found. Returns the target of each,
/// without its ending: a name that none of the kernel's has.
pub(super) fn put_sources(sources: &[DeviceTreeSource], tree: &Path) -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let vendor = source.install.split('/').next().unwrap_or_default();
        if !tree.join(FOLDER).join(vendor).is_dir() {
            let install = &source.install;
            bail!("the kernel has no folder `{vendor}` of device trees, as `{install}` asks for");
        }
        let target = format!("{vendor}/portadc-{index}");
        let to = tree.join(FOLDER).join(format!("{target}.dts"));
        fs::write(&to, &source.source.text).with_context(|| format!("cannot write {}", to.display()))?;
        targets.push(target);
    }
    Ok(targets)
}

/// Where the build leaves what `target` is compiled to.
pub(super) fn compiled(tree: &Path, target: &str) -> PathBuf {
    tree.join(FOLDER).join(format!("{target}.dtb"))
}

/// Why `what`, of `length` bytes, is not read into `window`.
fn check_fits(what: &str, length: u64, window: Window) -> Result<()> {
    let room = window.size();
    ensure!(
        length <= room.0,
        "{what} has {length} bytes ({}), more than the {room} between {:#010x}, where the firmware reads it to, and \
         {:#010x}, which has to stay free",
        Bytes(length),
        window.at,
        window.below
    );
    Ok(())
}

/// In what `tree` is not what is `expected`.
fn fault(tree: Fdt, expected: &Expectation) -> Option<String> {
    let Expectation {
        node: path,
        property: name,
        state,
    } = expected;
    // Without its node a property is not absent: it may be elsewhere.
    let Some(node) = tree.find_node(path) else {
        return Some(format!("{path}: there is no such node"));
    };
    let property = node.property(name);
    match (state, property) {
        (PropertyState::Absent, None) | (PropertyState::Present, Some(_)) => None,
        (PropertyState::Absent, Some(_)) => Some(format!("{path}: {name} is there")),
        (_, None) => Some(format!("{path}: {name} is missing")),
        (PropertyState::Text(wanted), Some(property)) => {
            let value = property.value();
            let is_wanted = value.strip_suffix(b"\0") == Some(wanted.as_bytes());
            (!is_wanted).then(|| format!("{path}: {name} is {}, not \"{wanted}\"", shown(value)))
        }
    }
}

/// The value of a property as people read it: a text, or bytes.
fn shown(value: &[u8]) -> String {
    match value.strip_suffix(b"\0").map(str::from_utf8) {
        Some(Ok(text)) => format!("{text:?}"),
        _ => format!("{value:02x?}"),
    }
}

#[cfg(test)]
mod tests {
    use engine::Tool;

    use super::*;

    const SOURCE: &str = r#"/dts-v1/;
/ {
	compatible = "a", "b";
	scpi { clocks { status = "disabled"; }; };
	soc { mmc@72000 { reg = <0x72000 0x800>; bus-width = <4>; no-sd; }; };
};
"#;

    /// A source that expects `expect`, with a window of `room` bytes for the tree; and [`SOURCE`], compiled by dtc.
    fn compiled(
        folder: &Path,
        room: u64,
        expect: &[(&str, &str, PropertyState)],
    ) -> (DeviceTreeSource, PathBuf) {
        let (source, compiled) = (folder.join("node.dts"), folder.join("node.dtb"));
        fs::write(&source, SOURCE).unwrap();
        Tool::new("dtc", "device-tree-compiler")
            .args(["-q", "-I", "dts", "-O", "dtb", "-o"])
            .arg(&compiled)
            .arg(&source)
            .output()
            .unwrap();
        let expectation = |(node, property, state): &(&str, &str, PropertyState)| Expectation {
            node: node.to_string(),
            property: property.to_string(),
            state: state.clone(),
        };
        let window = |at, size| Window { at, below: at + size };
        let source = DeviceTreeSource {
            source: named("boards/x/node.dts"),
            install: "amlogic/x.dtb".into(),
            expect: expect.iter().map(expectation).collect(),
            load: Some(LoadMap {
                device_tree: window(0x0800_8000, room),
                kernel: window(0x0808_0000, 47 << 20 | 512 << 10),
            }),
        };
        (source, compiled)
    }

    fn named(path: &str) -> Arc<SourceFile> {
        Arc::new(SourceFile {
            path: path.into(),
            text: SOURCE.into(),
        })
    }

    fn text(text: &str) -> PropertyState {
        PropertyState::Text(text.into())
    }

    #[test]
    fn what_is_as_expected_passes() {
        let folder = tempfile::tempdir().unwrap();
        let (source, compiled) = compiled(
            folder.path(),
            480 << 10,
            &[
                ("/scpi/clocks", "status", text("disabled")),
                ("/soc/mmc@72000", "no-sd", PropertyState::Present),
                ("/soc/mmc@72000", "sd-uhs-sdr50", PropertyState::Absent),
                ("/", "compatible", text("a\0b")),
            ],
        );
        source.check(&compiled).unwrap();
    }

    #[test]
    fn everything_that_is_not_as_expected_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (source, compiled) = compiled(
            folder.path(),
            480 << 10,
            &[
                ("/scpi/clocks", "status", text("okay")),
                ("/scpi", "status", text("okay")),
                ("/scpi/clock", "status", PropertyState::Absent),
                ("/soc/mmc@72000", "no-sd", PropertyState::Absent),
                ("/soc/mmc@72000", "no-mmc", PropertyState::Present),
                ("/soc/mmc@72000", "bus-width", text("4")),
                ("/", "compatible", text("a")),
            ],
        );
        let error = source.check(&compiled).unwrap_err().to_string();
        let error = error.replace(&folder.path().display().to_string(), "<folder>");
        insta::assert_snapshot!(error, @r#"
        boards/x/node.dts is not compiled to what its board expects:
          /scpi/clocks: status is "disabled", not "okay"
          /scpi: status is missing
          /scpi/clock: there is no such node
          /soc/mmc@72000: no-sd is there
          /soc/mmc@72000: no-mmc is missing
          /soc/mmc@72000: bus-width is [00, 00, 00, 04], not "4"
          /: compatible is "a\0b", not "a"
        the kernel may call it otherwise: look for it in `<folder>/node.dtb` and adapt the source, or `expect` in board.toml
        "#);
    }

    #[test]
    fn a_tree_larger_than_its_room_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (mut source, compiled) = compiled(folder.path(), 0, &[]);
        let length = fs::metadata(&compiled).unwrap().len();
        let mut room = |size| {
            let window = &mut source.load.as_mut().unwrap().device_tree;
            window.below = window.at + size;
            source.check(&compiled).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(room(length), Ok(()));
        let error = room(length - 1).unwrap_err();
        let expected = format!(
            "boards/x/node.dts is compiled to too much: the device tree has {length} bytes ({length} bytes), more than \
             the {} bytes between 0x08008000, where the firmware reads it to, and {:#010x}, which has to stay free",
            length - 1,
            0x0800_8000 + length - 1
        );
        assert_eq!(error, expected);
    }

    #[test]
    fn a_kernel_larger_than_its_room_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (source, _) = compiled(folder.path(), 480 << 10, &[]);
        let image = folder.path().join("Image");
        let file = fs::File::create(&image).unwrap();
        file.set_len(49_807_360).unwrap();
        source.check_image(&image).unwrap();
        file.set_len(49_807_361).unwrap();
        let error = format!("{:#}", source.check_image(&image).unwrap_err());
        assert!(
            error.starts_with(
                "the board of amlogic/x.dtb cannot start the kernel: the kernel's Image has 49807361 bytes"
            ) && error.contains("more than the 47.5 MiB between 0x08080000"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_device_tree_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (source, compiled) = compiled(folder.path(), 480 << 10, &[]);
        let whole = fs::read(&compiled).unwrap();
        for length in [0, 4, 39, whole.len() / 2, whole.len() - 1] {
            fs::write(&compiled, &whole[..length]).unwrap();
            let error = source.check(&compiled).unwrap_err().to_string();
            assert!(
                error.starts_with("boards/x/node.dts is compiled to no device tree: "),
                "{error}"
            );
        }
    }

    #[test]
    fn names_of_device_trees_stay_below_their_folder() {
        let source = |install: &str| DeviceTreeSource {
            source: named(""),
            install: install.into(),
            expect: Vec::new(),
            load: None,
        };
        assert!(source("amlogic/meson-gxbb-odroidc2.dtb").check_install().is_ok());
        for bad in [
            "a.dtb",
            "../a.dtb",
            "a/../b.dtb",
            "a/b/c.dtb",
            "/a.dtb",
            "a/b.dts",
            "a/b c.dtb",
            ".a/b.dtb",
        ] {
            assert!(source(bad).check_install().is_err(), "{bad}");
        }
    }
}
