//! The rules of a kernel's command line.

use crate::check::Check;
use crate::names::quoted;
use crate::written::{At, Placed};

/// Arguments that portadc gives every node itself, and `rw`, which would undo one of them.
const OWN_ARGUMENTS: [&str; 8] = [
    "console",
    "net.ifnames",
    "panic",
    "ro",
    "root",
    "rootfstype",
    "rootwait",
    "rw",
];

/// The arguments of a kernel's command line, of an overlay or of a role.
pub(crate) fn check_arguments(check: &mut Check<'_>, written: &[At<String>]) -> Vec<Placed<String>> {
    for argument in written {
        let name = argument.split('=').next().unwrap_or_default();
        // The kernel takes both for the same.
        let name = name.replace('-', "_");
        let is_word = argument
            .chars()
            .all(|c| c.is_ascii_graphic() && c != '"' && c != '\'');
        if argument.is_empty() || !is_word {
            check
                .found(&argument.span, format!("{} is no argument of a kernel", quoted(argument)))
                .hint("each is one word of printable ASCII, without spaces and quotes: \"quiet\", \"usbcore.autosuspend=-1\"");
        } else if argument.value == "--" {
            check
                .found(
                    &argument.span,
                    "what is behind `--` is for init, not for the kernel",
                )
                .hint("leave it out");
        } else if OWN_ARGUMENTS.contains(&name.as_str()) {
            check
                .found(&argument.span, format!("portadc itself says `{name}` to every kernel"))
                .hint("leave it out: the root is the layout's, `consoles` are the board's, and a node that panics restarts");
        }
    }
    check.distinct(written, "argument");
    written
        .iter()
        .map(|argument| Placed {
            value: argument.value.clone(),
            place: check.place(&argument.span),
        })
        .collect()
}
