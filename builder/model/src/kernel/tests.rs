use std::fs;

use insta::assert_snapshot;
use tempfile::TempDir;

use super::fragment::Value;
use super::*;

/// A project with this `kernel.toml` and these fragments.
fn project(toml: &str, fragments: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join(FOLDER);
    fs::create_dir_all(folder.join("fragments")).unwrap();
    fs::create_dir_all(folder.join("patches")).unwrap();
    fs::write(folder.join("kernel.toml"), toml).unwrap();
    for (name, text) in fragments {
        fs::write(folder.join("fragments").join(format!("{name}.config")), text).unwrap();
    }
    root
}

/// A `kernel.toml` with these fragments.
fn toml(fragments: &str) -> String {
    format!("base = \"allnoconfig\"\ncross-compile = \"aarch64-linux-gnu-\"\nfragments = [{fragments}]\n")
}

fn series(text: &str) -> Series {
    text.parse().unwrap()
}

#[test]
fn a_fragment_says_symbol_value_and_series() {
    let text = "\
# A comment.\n\
CONFIG_USB=y\n\
\n\
CONFIG_HUB=m  # <6.10\n\
CONFIG_DEV=y # >=6.10 <6.18\n\
# CONFIG_VT is not set\n\
# CONFIG_OLD is not set  # <6.2\n\
CONFIG_INPUT=n\n\
CONFIG_MIN=65536\n\
CONFIG_BASE=0xdead\n\
CONFIG_LSM=\"a # b \\\"c\\\" \\\\\"  # >=6.1\n\
CONFIG_NO_NEWLINE=-1";
    let root = project(&toml("\"a\""), &[("a", text)]);
    let kernel = Kernel::load(&Files::of(root.path())).unwrap();
    let lines: Vec<_> = kernel
        .requests
        .iter()
        .map(|request| format!("{}: {request} [{}]", request.place, request.range))
        .collect();
    assert_snapshot!(lines.join("\n"), @r#"
    kernel/fragments/a.config:2: CONFIG_USB=y [every series]
    kernel/fragments/a.config:4: CONFIG_HUB=m [<6.10]
    kernel/fragments/a.config:5: CONFIG_DEV=y [>=6.10 <6.18]
    kernel/fragments/a.config:6: # CONFIG_VT is not set [every series]
    kernel/fragments/a.config:7: # CONFIG_OLD is not set [<6.2]
    kernel/fragments/a.config:8: # CONFIG_INPUT is not set [every series]
    kernel/fragments/a.config:9: CONFIG_MIN=65536 [every series]
    kernel/fragments/a.config:10: CONFIG_BASE=0xdead [every series]
    kernel/fragments/a.config:11: CONFIG_LSM="a # b \"c\" \\" [>=6.1]
    kernel/fragments/a.config:12: CONFIG_NO_NEWLINE=-1 [every series]
    "#);
    assert_eq!(kernel.requests[8].value, Value::Text(r#"a # b \"c\" \\"#.into()));
    let symbols = |series| {
        kernel
            .requests_for(series)
            .iter()
            .map(|r| r.symbol.as_str())
            .collect::<Vec<_>>()
    };
    assert!(symbols(series("6.1")).contains(&"HUB") && !symbols(series("6.1")).contains(&"DEV"));
    assert!(symbols(series("6.12")).contains(&"DEV") && !symbols(series("6.12")).contains(&"HUB"));
}

#[test]
fn bad_lines_are_all_reported_with_their_place() {
    let text = "\
USB=y\n\
CONFIG_USB\n\
CONFIG_=y\n\
CONFIG_A B=y\n\
CONFIG_A=yes\n\
CONFIG_B=\n\
CONFIG_C=\"open\n\
CONFIG_D=y because it is good\n\
CONFIG_E=y  # since 6.10\n\
CONFIG_F=y# >=6.10\n\
CONFIG_G=y  # >=6.18 <6.12\n\
CONFIG_H=0x\n\
 CONFIG_I=y\n\
# CONFIG_J is not set at all\n";
    let root = project(&toml("\"a\""), &[("a", text)]);
    let findings = Kernel::load(&Files::of(root.path())).unwrap_err();
    let lines: Vec<_> = findings
        .0
        .iter()
        .map(|finding| format!("{}: {}", finding.place.as_ref().unwrap(), finding.message))
        .collect();
    assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_bad_line_is_shown_with_a_caret() {
    let root = project(
        &toml("\"a\""),
        &[("a", "# Hub.\nCONFIG_USB_HUB=y  # since 6.10\n")],
    );
    assert_snapshot!(Kernel::load(&Files::of(root.path())).unwrap_err());
}

#[test]
fn lines_that_contradict_each_other_are_refused_and_others_are_not() {
    let root = project(
        &toml("\"a\", \"b\""),
        &[
            ("a", "CONFIG_X=y\nCONFIG_Y=y  # <6.10\nCONFIG_Z=m\n"),
            ("b", "CONFIG_X=m  # >=6.18\nCONFIG_Y=m  # >=6.10\nCONFIG_Z=m\n"),
        ],
    );
    assert_snapshot!(Kernel::load(&Files::of(root.path())).unwrap_err());
}

#[test]
fn kernel_toml_is_checked_as_a_whole() {
    let text = "\
base = \"allnoconfig\"\n\
cross-compile = \"gcc; rm -rf\"\n\
local-version = \"portadc\"\n\
fragments = [\"a\", \"missing\", \"../a\", \"a\"]\n\
[[patch]]\n\
file = \"no.patch\"\n\
when = \"6.12\"\n";
    let root = project(text, &[("a", "CONFIG_X=y\n")]);
    assert_snapshot!(Kernel::load(&Files::of(root.path())).unwrap_err());
}

#[test]
fn an_unknown_key_is_refused() {
    let root = project("bases = \"allnoconfig\"\n", &[]);
    let findings = Kernel::load(&Files::of(root.path())).unwrap_err();
    assert!(
        findings.0[0].message.contains("unknown key `bases`"),
        "{findings}"
    );
}

#[test]
fn patches_are_chosen_by_series_in_order() {
    let patches = "[[patch]]\nfile = \"2.patch\"\n[[patch]]\nfile = \"1.patch\"\nwhen = \">=6.12\"\n";
    let root = project(&(toml("") + patches), &[]);
    for name in ["1.patch", "2.patch"] {
        fs::write(root.path().join(FOLDER).join("patches").join(name), "").unwrap();
    }
    let kernel = Kernel::load(&Files::of(root.path())).unwrap();
    let names = |series| {
        let patches = kernel.patches_for(series);
        patches
            .iter()
            .map(|patch| patch.file.path.display().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(series("6.12")),
        ["kernel/patches/2.patch", "kernel/patches/1.patch"]
    );
    assert_eq!(names(series("6.1")), ["kernel/patches/2.patch"]);
}

/// The project's own folder, four levels above this file.
#[test]
fn the_kernel_of_this_project_is_sound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let kernel = Kernel::load(&Files::of(&root)).unwrap_or_else(|findings| panic!("{findings}"));
    assert!(kernel.requests_for(series("6.12")).len() > 300);
}
