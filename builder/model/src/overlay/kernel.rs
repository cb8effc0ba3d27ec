//! The rules of what an overlay asks of the kernel: settings of the running one (sysctl), and fragments of its configuration.

use std::collections::BTreeMap;
use std::path::Path;

use super::check::Rules;
use super::folder;
use super::written::SysctlToml;
use super::{EntryOrigin, Source, Sysctl};
use crate::finding::Finding;
use crate::kernel::fragment::{self, Request};
use crate::names::quoted;
use crate::path::{TargetPath, parse_target_path};
use crate::written::{At, Table};

impl Rules<'_> {
    /// The settings, in the order in which they are written: some of the kernel's change others.
    pub(super) fn sysctls(&mut self, written: &Table<SysctlToml>) -> Vec<Sysctl> {
        let mut sysctls: Vec<Sysctl> = Vec::new();
        let mut spans: BTreeMap<String, &At<String>> = BTreeMap::new();
        for (key, value) in written {
            let Some(path) = path_of(key) else {
                self.check
                    .found(&key.span, format!("{} names no setting of the kernel", quoted(key)))
                    .hint("as `sysctl -a` prints it, in quotes: \"net.core.somaxconn\"; `*` matches any interface");
                continue;
            };
            let value = match value {
                SysctlToml::Number(number) => number.to_string(),
                SysctlToml::Text(text) => text.clone(),
            };
            if value.trim().is_empty() || value.chars().any(char::is_control) {
                self.check
                    .found(&key.span, format!("{} has no value of one line", quoted(key)))
                    .hint("a number, or a text: 1024, \"4096 16384 65536\"");
            }
            if let Some(first) = spans.insert(path.clone(), key) {
                self.check
                    .found(&key.span, format!("the setting {} is given twice", quoted(key)))
                    .related(&first.span, "first here")
                    .hint("remove one of the two");
            }
            sysctls.push(Sysctl {
                key: self.placed(key, key.value.clone()),
                path,
                value,
            });
        }
        sysctls
    }

    /// What the fragments below `folder` ask for that are named. One that is there and not named is a slip.
    pub(super) fn fragments(&mut self, folder: &Path, written: &[At<String>]) -> Vec<Request> {
        let folder = folder.join("kernel");
        self.check.distinct(written, "fragment");
        let mut requests = Vec::new();
        for name in written {
            if name.contains('/') || name.starts_with('.') || !name.ends_with(".config") {
                self.check
                    .found(&name.span, format!("{} names no fragment", quoted(name)))
                    .hint("a file of the overlay's folder `kernel`: \"wifi.config\"");
                continue;
            }
            let place = self.check.place(&name.span);
            let file = self.files.load(&folder.join(&name.value));
            if let Some(file) = self
                .check
                .findings
                .keep(file.map_err(|finding| finding.at(place)))
            {
                requests.extend(fragment::parse(&file, self.check.findings));
            }
        }
        if self.files.kind(&folder).is_ok() {
            for there in folder::names(self.files, &folder, self.check.findings) {
                let there = there.to_string_lossy();
                if written.iter().all(|name| *name.value != *there) {
                    let path = folder.join(&*there);
                    let message = format!(
                        "{} has no effect: nothing names it",
                        quoted(&path.to_string_lossy())
                    );
                    let hint = format!("add \"{there}\" to `kernel-fragments` of overlay.toml");
                    self.check.findings.push(Finding::new(message).hint(hint));
                }
            }
        }
        requests
    }
}

impl Sysctl {
    /// The file that has `sysctls`, those of the overlay `name`; none where there are none.
    pub(super) fn file(name: &str, sysctls: &[Sysctl]) -> Option<(TargetPath, Source, EntryOrigin)> {
        let origin = EntryOrigin::Declared(sysctls.first()?.key.place.clone());
        let lines = sysctls
            .iter()
            .map(|sysctl| format!("{} = {}\n", sysctl.key.value, sysctl.value));
        let text: String = lines.collect();
        let path = parse_target_path(&format!("/etc/sysctl.d/60-{name}.conf")).ok()?;
        Some((path, Source::Verbatim(text.into_bytes().into()), origin))
    }
}

/// Where a setting is below /proc/sys. Where a dot comes first, dots stand for slashes and slashes for dots (sysctl.d(5)).
fn path_of(key: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-*:@".contains(c);
    let path: String = match key.find(['.', '/']).map(|at| &key[at..=at])? {
        "/" => key.to_owned(),
        _ => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
    };
    let is_name = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && part.chars().all(|c| plain(c) || c == '.')
    };
    // A minus in front would have a failure ignored.
    (!key.starts_with('-') && path.split('/').all(is_name)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn a_setting_is_a_path_below_proc_sys() {
        for (key, path) in [
            ("net.core.somaxconn", "net/core/somaxconn"),
            (
                "net/ipv4/conf/eth0.5/forwarding",
                "net/ipv4/conf/eth0.5/forwarding",
            ),
            (
                "net.ipv4.conf.eth0/5.forwarding",
                "net/ipv4/conf/eth0.5/forwarding",
            ),
            ("net.ipv4.conf.*.rp_filter", "net/ipv4/conf/*/rp_filter"),
        ] {
            assert_eq!(path_of(key).as_deref(), Some(path));
        }
        for bad in [
            "",
            "somaxconn",
            "net..core",
            ".net",
            "net.",
            "/etc/passwd",
            "net/../../etc",
            "-net.core",
            "net.a b",
            "net.a=b",
        ] {
            assert_eq!(path_of(bad), None, "{bad}");
        }
    }
}
