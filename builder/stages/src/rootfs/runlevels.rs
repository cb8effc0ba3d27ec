//! Services of OpenRC: the symbolic links that `rc-update add` makes, computed without running anything.

use std::collections::BTreeMap;

use formats::tree::{InodeKind, Tree};
use model::finding::{Finding, Findings};
use model::overlay::Overlay;

/// The links that start the services of `overlays`, path and target: `etc/runlevels/default/sshd` to `/etc/init.d/sshd`. A
/// service has to be a file of `/etc/init.d` in `tree`, or a link to one that is (`net.eth0` to `net.lo`).
pub(super) fn runlevel_links(
    overlays: &[&Overlay],
    tree: &Tree,
) -> Result<BTreeMap<String, String>, Findings> {
    let mut findings = Findings::default();
    let mut links = BTreeMap::new();
    for overlay in overlays {
        for (runlevel, services) in &overlay.runlevels {
            for service in services {
                let name = &service.value;
                if !is_service(tree, name) {
                    let message = format!(
                        "overlay {}: /etc/init.d has no service `{name}` that could start in runlevel {runlevel}",
                        overlay.name
                    );
                    findings.push(Finding::new(message).at(service.place.clone()).hint(
                        "bring it with a package or a file of the overlay; links such as net.eth0 go into [links]",
                    ));
                }
                links.insert(
                    format!("etc/runlevels/{runlevel}/{name}"),
                    format!("/etc/init.d/{name}"),
                );
            }
        }
    }
    findings.or_value(links)
}

fn is_service(tree: &Tree, name: &str) -> bool {
    let kind_of = |name: &[u8]| {
        let path = [b"etc/init.d/", name].concat();
        tree.lookup(&path).map(|id| &tree.inodes[id.0].kind)
    };
    match kind_of(name.as_bytes()) {
        Some(InodeKind::File(..)) => true,
        Some(InodeKind::Symlink(target)) => {
            let target = target.strip_prefix(b"/etc/init.d/").unwrap_or(target);
            matches!(kind_of(target), Some(InodeKind::File(..)))
        }
        _ => false,
    }
}
