//! The rules of what an overlay starts: units of systemd, services of OpenRC.

use std::collections::{BTreeMap, BTreeSet};

use super::check::Rules;
use super::written::UnitsToml;
use super::{OverlayEntry, Units};
use crate::names::{quoted, slip};
use crate::path::TargetPath;
use crate::sources::Distribution;
use crate::written::{At, Placed, Table};

/// Suffixes of the units that can be enabled, disabled or masked.
const UNIT_SUFFIXES: [&str; 9] = [
    "service",
    "socket",
    "target",
    "timer",
    "mount",
    "automount",
    "path",
    "swap",
    "slice",
];

/// Longest name of a unit, in bytes (systemd: `UNIT_NAME_MAX`).
const MAX_UNIT: usize = 255;

impl Rules<'_> {
    /// What happens on any base.
    pub(super) fn units(&mut self, written: &UnitsToml) -> Units {
        self.unit_lists([&written.enable, &written.disable, &written.mask])
    }

    /// What happens beside that on the base of one distribution.
    pub(super) fn own_units(&mut self, written: &UnitsToml) -> BTreeMap<Distribution, Units> {
        let common = [&written.enable, &written.disable, &written.mask];
        let of_each = [
            (Distribution::Debian, &written.debian),
            (Distribution::Gentoo, &written.gentoo),
        ];
        let mut units = BTreeMap::new();
        for (distribution, own) in of_each {
            let lists = [&own.enable, &own.disable, &own.mask];
            self.check
                .distinct(common.into_iter().chain(lists).flatten(), "unit");
            units.insert(distribution, self.unit_lists(lists));
        }
        units
    }

    /// Tells of units that are named, and of none of this overlay, where one of its own is named nowhere and has almost that name.
    pub(super) fn own_files(&mut self, written: &UnitsToml, entries: &BTreeMap<TargetPath, OverlayEntry>) {
        let (debian, gentoo) = (&written.debian, &written.gentoo);
        let lists = [
            &written.enable,
            &written.disable,
            &written.mask,
            &debian.enable,
            &debian.disable,
            &debian.mask,
            &gentoo.enable,
            &gentoo.disable,
            &gentoo.mask,
        ];
        let named: Vec<&At<String>> = lists.into_iter().flatten().collect();
        let brought = entries.keys().filter_map(|path| {
            let (folder, name) = path.relative().rsplit_once('/')?;
            folder.ends_with("systemd/system").then_some(name)
        });
        let brought: BTreeSet<&str> = brought.collect();
        let unnamed = |name: &&str| named.iter().all(|unit| unit.as_str() != *name);
        for unit in named.iter().filter(|unit| !brought.contains(unit.as_str())) {
            let Some((stem, suffix)) = unit.rsplit_once('.') else {
                continue;
            };
            let alike = brought.iter().copied().filter(unnamed);
            let stems = alike.filter_map(|name| name.strip_suffix(suffix)?.strip_suffix('.'));
            if let Some(near) = slip(stem, stems) {
                let message = format!("this overlay brings `{near}.{suffix}`, not {}", quoted(unit));
                self.check
                    .warned(&unit.span, message)
                    .hint(format!("did you mean `{near}.{suffix}`?"));
            }
        }
    }

    /// The services of each runlevel.
    pub(super) fn runlevels(
        &mut self,
        written: &Table<Vec<At<String>>>,
    ) -> BTreeMap<String, Vec<Placed<String>>> {
        let mut runlevels = BTreeMap::new();
        for (runlevel, services) in written {
            self.check.distinct(services, "service");
            for name in [runlevel].into_iter().chain(services) {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
                if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
                    let message = format!("{} cannot name a runlevel or a service of OpenRC", quoted(name));
                    self.check
                        .found(&name.span, message)
                        .hint("a service is a file of /etc/init.d: `sshd`, `net.eth0`; a runlevel `boot` or `default`");
                }
            }
            let services = services
                .iter()
                .map(|service| self.placed(service, service.value.clone()));
            runlevels.insert(runlevel.value.clone(), services.collect());
        }
        runlevels
    }

    fn unit_lists(&mut self, [enable, disable, mask]: [&Vec<At<String>>; 3]) -> Units {
        for unit in [enable, disable, mask].into_iter().flatten() {
            if let Some(fault) = unit_fault(unit) {
                self.check
                    .found(
                        &unit.span,
                        format!("{} cannot name a unit: it {fault}", quoted(unit)),
                    )
                    .hint("a unit is named with its suffix: `ssh.service`, `serial-getty@ttyS0.service`");
            }
        }
        let list = |units: &[At<String>]| {
            units
                .iter()
                .map(|unit| self.placed(unit, unit.value.clone()))
                .collect()
        };
        Units {
            enable: list(enable),
            disable: list(disable),
            mask: list(mask),
        }
    }
}

/// Why `name` cannot name a unit (systemd.unit(5)); `None` where it can.
fn unit_fault(name: &str) -> Option<String> {
    let Some((stem, suffix)) = name.rsplit_once('.') else {
        return Some("has no suffix".to_owned());
    };
    if !UNIT_SUFFIXES.contains(&suffix) {
        return Some(format!(
            "ends in `.{}`, which is no kind of unit",
            suffix.escape_debug()
        ));
    }
    if stem.is_empty() || stem.starts_with('@') {
        return Some("has no name before its suffix".to_owned());
    }
    if name.len() > MAX_UNIT {
        return Some(format!("is {} bytes long, the limit is {MAX_UNIT}", name.len()));
    }
    let bad = stem
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || ":-_.\\@".contains(*c)))?;
    Some(format!("has the character `{}`", bad.escape_debug()))
}
