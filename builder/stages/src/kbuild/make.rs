//! The toolchain, and what keeps a build the same on another machine.

use std::path::Path;

use anyhow::Result;
use engine::{Requirement, Tool};

/// The Debian package of the compiler. Another prefix than Debian's has another, which is then found by `PATH` alone.
const COMPILER_PACKAGE: &str = "gcc-aarch64-linux-gnu";

/// Programs that configuring with the cross compiler `prefix` needs. What every Debian system has (sed, awk, grep, sh)
/// is not listed.
pub fn requirements(prefix: &str) -> Vec<Requirement> {
    let purpose = "configures the kernel and U-Boot";
    vec![
        Requirement::new("make", "make", "runs the builds of the kernel and of U-Boot"),
        Requirement::new(
            "gcc",
            "gcc",
            "compiles the build programs of the kernel and of U-Boot",
        ),
        Requirement::new("flex", "flex", purpose),
        Requirement::new("bison", "bison", purpose),
        Requirement::new(
            &format!("{prefix}gcc"),
            COMPILER_PACKAGE,
            "compiles the kernel and U-Boot",
        ),
        Requirement::new(
            &format!("{prefix}ld"),
            "binutils-aarch64-linux-gnu",
            "links the kernel and U-Boot",
        ),
    ]
}

/// What compiler, assembler and linker call themselves: part of the key, as they decide every byte.
pub fn toolchain(prefix: &str) -> Result<String> {
    let mut text = String::new();
    for program in ["gcc", "as", "ld"] {
        let tool = Tool::new(&format!("{prefix}{program}"), COMPILER_PACKAGE).arg("--version");
        let output = tool.output()?;
        text.push_str(output.lines().next().unwrap_or_default());
        text.push('\n');
    }
    Ok(text)
}

/// `make` in `tree`, with the cross compiler `prefix` and nothing of the caller's environment. The source is compiled
/// where it lies and refers to itself relatively; what is absolute nevertheless is mapped.
pub fn make(tree: &Path, prefix: &str) -> Tool {
    let map = format!("-ffile-prefix-map={}/=", tree.display());
    Tool::new("make", "make")
        .clean_environment()
        .folder(tree)
        .arg(format!("CROSS_COMPILE={prefix}"))
        .arg(format!("KCFLAGS={map}"))
        .arg(format!("KAFLAGS={map}"))
}
