//! `extlinux/extlinux.conf`: what U-Boot starts. One file serves a board and QEMU, whose U-Boot has its own device tree
//! and passes `FDTDIR` over.

use anyhow::{Result, ensure};

/// How long the kernel waits for the root partition, in seconds: what is not there by then makes it panic, and so start again.
/// Kernels before 6.6 take no number; they know the first word alone, and wait for ever. The last word that is known counts.
const ROOTWAIT: &str = "rootwait rootwait=30";

/// The configuration for a root partition with this `PARTUUID`. `consoles` in order: the last one becomes
/// `/dev/console`. `arguments` are appended to the kernel's command line.
///
/// Which subvolume is mounted as root is the default subvolume's business; `rootflags` is not needed.
pub fn render(root_part_uuid: &str, consoles: &[String], arguments: &[String]) -> Result<String> {
    let consoles = consoles.iter().map(|console| format!("console={console}"));
    // Interfaces keep the name `eth0`, which the nodes' network configuration uses. A node that panics starts again.
    let fixed = ["net.ifnames=0".to_owned(), "panic=10".to_owned()];
    let words = consoles.chain(fixed).chain(arguments.iter().cloned());
    let mut append = format!("root=PARTUUID={root_part_uuid} rootfstype=btrfs {ROOTWAIT} ro");
    for word in words {
        ensure!(
            !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic()),
            "{word:?} cannot be a word of the kernel's command line: it must be printable ASCII without spaces"
        );
        append.push(' ');
        append.push_str(&word);
    }
    // U-Boot's CONFIG_SYS_CBSIZE and the kernel's COMMAND_LINE_SIZE (arm64: 2048) cut longer lines without a word.
    ensure!(
        append.len() < 1024,
        "the kernel's command line has {} bytes, U-Boot takes less than 1024",
        append.len()
    );
    // KASLRSEED: U-Boot draws randomness for the kernel's address layout where the hardware has some.
    Ok(format!(
        "DEFAULT linux\n\
         TIMEOUT 10\n\
         PROMPT 0\n\
         LABEL linux\n    \
             LINUX /Image\n    \
             FDTDIR /dtbs\n    \
             KASLRSEED\n    \
             APPEND {append}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text() {
        let consoles = ["ttyAMA0,115200".to_owned(), "ttyAML0,115200n8".to_owned()];
        insta::assert_snapshot!(render("8a3c01f2-02", &consoles, &["quiet".to_owned()]).unwrap(), @r"
        DEFAULT linux
        TIMEOUT 10
        PROMPT 0
        LABEL linux
            LINUX /Image
            FDTDIR /dtbs
            KASLRSEED
            APPEND root=PARTUUID=8a3c01f2-02 rootfstype=btrfs rootwait rootwait=30 ro console=ttyAMA0,115200 console=ttyAML0,115200n8 net.ifnames=0 panic=10 quiet
        ");
    }

    #[test]
    fn words_that_would_become_something_else_are_refused() {
        for word in ["", "a b", "a\nAPPEND init=/bin/sh", "ü", "\0"] {
            render("8a3c01f2-02", &[], &[word.to_owned()]).unwrap_err();
        }
        render("8a3c01f2-02", &[], &["x".repeat(1000)]).unwrap_err();
    }
}
