//! Whether this machine runs arm64 programs.

use std::fs;
use std::path::Path;

use super::Preflight;

/// Where the kernel lists the programs that run foreign binaries.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// Asks for a machine that runs arm64 programs, natively or by an emulator.
pub fn check_arm64(preflight: &mut Preflight) {
    if let Some(problem) = arm64_problem(std::env::consts::ARCH, Path::new(BINFMT)) {
        preflight.problem(problem);
    }
}

/// Why the kernel of a machine of this architecture would not run arm64 programs, with what to do; `None` if it would. One of
/// arm64 needs no emulator, so what `folder` says of one is not looked at.
fn arm64_problem(architecture: &str, folder: &Path) -> Option<String> {
    if architecture == "aarch64" {
        return None;
    }
    if !folder.join("register").exists() {
        return Some(format!(
            "the kernel's binfmt_misc is not mounted, so it cannot run arm64 programs: \
             mount -t binfmt_misc binfmt_misc {}",
            folder.display()
        ));
    }
    let status = folder.join("status");
    if fs::read_to_string(&status).is_ok_and(|text| text.trim() == "disabled") {
        return Some(format!(
            "the kernel's binfmt_misc is switched off, so it cannot run arm64 programs: as root, echo 1 >{}",
            status.display()
        ));
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let has_arm64 = entries.into_iter().any(|entry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let has = |line: &str| text.lines().any(|other| other == line);
        // An ELF file of 64 bits, little-endian, for machine 183; F opens the interpreter outside of the new root.
        let is_arm64 = text.lines().any(|line| {
            line.strip_prefix("magic ")
                .is_some_and(|magic| magic.starts_with("7f454c460201") && magic.contains("0200b700"))
        });
        let is_fixed = text.lines().any(|line| {
            line.strip_prefix("flags:")
                .is_some_and(|flags| flags.contains('F'))
        });
        has("enabled") && is_arm64 && is_fixed
    });
    (!has_arm64).then(|| {
        "the kernel does not know how to run arm64 programs (no enabled entry with flag F in \
         /proc/sys/fs/binfmt_misc): as root, apt-get install qemu-user-static, then \
         /usr/lib/systemd/systemd-binfmt or update-binfmts --enable qemu-aarch64"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_cannot_run_arm64_programs_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let problem = || arm64_problem("x86_64", folder.path());
        assert!(problem().unwrap().contains("mount -t binfmt_misc"));
        fs::write(folder.path().join("register"), "").unwrap();
        assert!(problem().unwrap().contains("apt-get install qemu-user-static"));
        let entry = |state: &str, flags: &str| {
            let text = format!(
                "{state}\ninterpreter /usr/bin/qemu-aarch64\nflags: {flags}\noffset 0\n\
                 magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
            );
            fs::write(folder.path().join("qemu-aarch64"), text).unwrap();
        };
        for (state, flags) in [("disabled", "OCF"), ("enabled", "OC")] {
            entry(state, flags);
            assert!(problem().is_some(), "{state} {flags}");
        }
        entry("enabled", "POF");
        assert_eq!(problem(), None);
        fs::write(folder.path().join("status"), "disabled\n").unwrap();
        assert!(problem().unwrap().contains("as root, echo 1 >"));
        assert_eq!(arm64_problem("aarch64", folder.path()), None);
    }
}
