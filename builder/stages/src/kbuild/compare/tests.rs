use std::fs;
use std::sync::Arc;

use insta::assert_snapshot;
use model::finding::{Findings, SourceFile};
use model::kernel::fragment;

use super::*;

/// A made-up kernel with one of each trap.
const KCONFIG: &str = r#"
mainmenu "Linux/$(ARCH) $(KERNELVERSION) Kernel Configuration"
source "scripts/Kconfig.include"

config MODULES
	bool "Loadable modules"
	modules

config EXPERT
	bool "For experts"
	help
	  config NOT_A_SYMBOL
	  is in a help text, and isn't one.

	    depends on NOTHING

menu "Networking"
	depends on NET

config BRIDGE
	tristate "Bridge"
	depends on \
		LLC || STP # one of both

if NETFILTER

config COMPAT
	tristate "Compatibility" if EXPERT
	depends on XTABLES && (MANGLE || MANGLE6)
	depends on BRIDGE

endif # NETFILTER

endmenu

config NET
	bool "Networking"
	select CRC

config CRC
	tristate

config FAST
	bool "Fast"
	depends on $(cc-option,-ffast (very))

choice
	prompt "Preemption"
	default NONE

config NONE
	bool "none"

config FULL
	bool "full"

endchoice

config NAME
	string "Name of it"

config COUNT
	int "How many"
	range 1 4

config TASK_XACCT
	bool "Extended accounting" if EXPERT
	default y
"#;

/// What came out.
const CONFIG: &str = "\
CONFIG_MODULES=y\n\
# CONFIG_EXPERT is not set\n\
CONFIG_NET=y\n\
CONFIG_NETFILTER=y\n\
CONFIG_XTABLES=m\n\
CONFIG_LLC=m\n\
CONFIG_BRIDGE=m\n\
CONFIG_CRC=y\n\
CONFIG_NONE=y\n\
CONFIG_NAME=\"x\"\n\
CONFIG_COUNT=4\n\
CONFIG_TASK_XACCT=y\n";

/// Compares a fragment with [`CONFIG`] on [`KCONFIG`].
fn compared(text: &str) -> Comparison {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir(tree.path().join("scripts")).unwrap();
    fs::write(tree.path().join("Kconfig"), KCONFIG).unwrap();
    fs::write(
        tree.path().join("scripts/Kconfig.include"),
        "cc-option = $(success,$(CC) $(1))\n",
    )
    .unwrap();
    let file = Arc::new(SourceFile {
        path: "kernel/fragments/a.config".into(),
        text: text.into(),
    });
    let mut findings = Findings::default();
    let requests = fragment::parse(&file, &mut findings);
    assert!(findings.0.is_empty(), "{findings}");
    let requests: Vec<_> = requests.iter().collect();
    compare(&requests, &DotConfig::parse(CONFIG), tree.path(), "linux 6.12").unwrap()
}

#[test]
fn every_kind_of_mismatch_is_explained() {
    let comparison = compared(
        "\
# What is granted is not mentioned.\n\
CONFIG_NET=y\n\
CONFIG_BRIDGE=y\n\
CONFIG_COMPAT=m\n\
CONFIG_CRC=m\n\
CONFIG_FAST=y\n\
CONFIG_FULL=y\n\
CONFIG_NAME=y\n\
CONFIG_COUNT=5\n\
CONFIG_EXPERT=m\n\
CONFIG_TASK_XACCT=n\n\
CONFIG_TASK_XACT=y\n\
CONFIG_USB_ONBOARD_HUB=y\n\
CONFIG_NOT_A_SYMBOL=y\n\
CONFIG_MODULES=\"yes\"\n",
    );
    let error = ConfigError {
        subject: Subject {
            name: "linux 6.12".into(),
            asked_in: "the kernel's fragments".into(),
            advice: "ask for more",
        },
        mismatches: comparison.mismatches,
    };
    assert_snapshot!(error);
}

#[test]
fn a_symbol_that_only_others_switch_on_is_explained() {
    let config = CONFIG.replace("CONFIG_CRC=y\n", "");
    let tree = tempfile::tempdir().unwrap();
    fs::write(
        tree.path().join("Kconfig"),
        KCONFIG.replace("source \"scripts/Kconfig.include\"", ""),
    )
    .unwrap();
    let file = Arc::new(SourceFile {
        path: "a.config".into(),
        text: "CONFIG_CRC=y\n".into(),
    });
    let requests = fragment::parse(&file, &mut Findings::default());
    let requests: Vec<_> = requests.iter().collect();
    let comparison = compare(&requests, &DotConfig::parse(&config), tree.path(), "linux 6.12").unwrap();
    assert_eq!(
        comparison.mismatches[0].reasons,
        ["it has no prompt: it is on when selected by NET"]
    );
}

#[test]
fn switching_off_what_does_not_exist_is_granted_and_noted() {
    let comparison = compared("CONFIG_NO_SUCH=n\n# CONFIG_FAST is not set\n# CONFIG_EXPERT is not set\n");
    assert!(comparison.mismatches.is_empty());
    let absent: Vec<_> = comparison
        .absent
        .iter()
        .map(|request| request.symbol.as_str())
        .collect();
    assert_eq!(absent, ["NO_SUCH"]);
}
