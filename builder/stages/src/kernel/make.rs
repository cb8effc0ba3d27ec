//! How the kernel's own build is called: which variables it gets, so that nothing of the machine, the user or the day
//! ends up in what it makes.

use std::path::Path;

use engine::Tool;
use formats::calendar::date_of;
use model::kernel::Kernel;

use super::source::Identity;
use crate::kbuild::make as kbuild;

/// The processor family, as the kernel calls it.
pub(super) const ARCHITECTURE: &str = "arm64";

/// Who built it, and where, as the kernel states in its banner.
const BUILDER: &str = "portadc";

/// A name that no program has. The configuration notes the versions of Rust's compiler and of pahole where they are
/// installed; neither is used.
const NO_PROGRAM: &str = "not-used-by-this-build";

/// `make` in `tree`. `identity` gives the time that the kernel bears.
pub(super) fn make(kernel: &Kernel, tree: &Path, identity: &Identity) -> Tool {
    kbuild::make(tree, &kernel.cross_compile)
        .arg(format!("ARCH={ARCHITECTURE}"))
        .arg(format!("LOCALVERSION={}", kernel.local_version))
        .arg(format!(
            "KBUILD_BUILD_TIMESTAMP={}",
            time_text(identity.released as i64)
        ))
        .arg(format!("KBUILD_BUILD_USER={BUILDER}"))
        .arg(format!("KBUILD_BUILD_HOST={BUILDER}"))
        .arg("KBUILD_BUILD_VERSION=1")
        .arg(format!("RUSTC={NO_PROGRAM}"))
        .arg(format!("PAHOLE={NO_PROGRAM}"))
}

/// `seconds` since 1970 as `2025-01-31 23:59:59 UTC`: understood by `date`, and what `uname -v` shows.
fn time_text(seconds: i64) -> String {
    let (year, month, day) = date_of(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `date` of coreutils is the oracle.
    #[test]
    fn times_are_written_as_date_writes_them() {
        for seconds in [
            0,
            951_782_399,
            951_782_400,
            1_735_689_599,
            1_735_689_600,
            4_107_542_399,
            4_107_542_400,
        ] {
            let date = Tool::new("date", "coreutils").args(["-u", "+%Y-%m-%d %H:%M:%S UTC", "-d"]);
            let expected = date.arg(format!("@{seconds}")).output().unwrap();
            assert_eq!(time_text(seconds), expected.trim());
        }
    }
}
