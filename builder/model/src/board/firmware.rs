//! The rules of what starts a board: U-Boot, and the memory that it reads files into.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::device_tree::check_path;
use super::toml::{LoadToml, UBootToml, WindowToml};
use super::{LoadMap, UBoot, Window};
use crate::check::Check;
use crate::files::Files;
use crate::finding::{Finding, Findings, SourceFile};
use crate::kernel::fragment::{self, Request};
use crate::kernel::version::VersionRange;
use crate::names::quoted;

/// How U-Boot's targets end that set up a board.
const DEFCONFIG: &str = "_defconfig";

/// Holds `[u-boot]` against every rule but those of its fragment, which [`load_fragment`] reads.
pub(super) fn u_boot(check: &mut Check<'_>, written: &UBootToml) -> UBoot {
    let defconfig = &written.defconfig;
    // It becomes an argument of make.
    let plain = defconfig.strip_suffix(DEFCONFIG).is_some_and(|name| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    });
    if !plain || defconfig.starts_with('-') {
        check
            .found(
                &defconfig.span,
                format!("{} is no configuration of a board", quoted(defconfig)),
            )
            .hint("the name of a file in U-Boot's `configs/`: \"odroid-c2_defconfig\"");
    }
    check_path(
        check,
        &written.fragment,
        ".config",
        "a file in the board's folder: \"u-boot.config\"",
    );
    UBoot {
        defconfig: defconfig.value.clone(),
        fragment: check.file.path.with_file_name(&written.fragment.value),
        requests: Vec::new(),
    }
}

/// What the fragment of `written`, which is in `file`, asks for. Nothing in it is for some versions only: a board has
/// one U-Boot.
pub(crate) fn load_fragment(
    files: &Files,
    file: &Arc<SourceFile>,
    written: &UBootToml,
    u_boot: &UBoot,
    findings: &mut Findings,
) -> Vec<Request> {
    let loaded = files.load(&u_boot.fragment);
    let place = || file.place(written.fragment.span.clone());
    let Some(fragment) = findings.keep(loaded.map_err(|finding| finding.at(place()))) else {
        return Vec::new();
    };
    let requests = fragment::parse(&fragment, findings);
    for request in &requests {
        if request.range != VersionRange::default() {
            findings.push(
                Finding::new("a line of U-Boot's cannot be for some versions only")
                    .at(request.place.clone())
                    .hint("ranges are those of kernel series; a board has one U-Boot: drop the range"),
            );
        }
    }
    fragment::check_contradictions(&requests, findings);
    let mut seen = BTreeSet::new();
    requests
        .into_iter()
        .filter(|request| seen.insert(request.symbol.clone()))
        .collect()
}

/// Holds `[load]` against every rule: windows that hold something and do not overlap.
pub(super) fn load_map(check: &mut Check<'_>, written: &LoadToml) -> LoadMap {
    let (tree, kernel) = (&written.device_tree, &written.kernel);
    let device_tree_holds = check_window(check, tree, "device tree");
    let kernel_holds = check_window(check, kernel, "kernel");
    if device_tree_holds
        && kernel_holds
        && tree.at.value < kernel.below.value
        && kernel.at.value < tree.below.value
    {
        check
            .found(
                &kernel.at.span,
                "the kernel and the device tree are read into the same memory",
            )
            .related(&tree.at.span, "the device tree starts here")
            .hint("each window ends where the next thing begins: `below` is the first byte behind it");
    }
    LoadMap {
        device_tree: window(tree),
        kernel: window(kernel),
    }
}

/// Whether `window` holds anything; if not, that is found.
fn check_window(check: &mut Check<'_>, window: &WindowToml, what: &str) -> bool {
    let holds = window.at.value < window.below.value;
    if !holds {
        check
            .found(
                &window.below.span,
                format!("the {what} is read into memory that ends before it starts"),
            )
            .related(&window.at.span, format!("it starts at {:#010x}", window.at.value))
            .hint("`below` is the first byte behind the window, not its size");
    }
    holds
}

fn window(written: &WindowToml) -> Window {
    Window {
        at: written.at.value,
        // One that ends too early was found; none is negative.
        below: written.below.value.max(written.at.value),
    }
}
