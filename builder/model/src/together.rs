//! What the overlays of a role ask for together with each other and the fleet: where two of them say one thing differently, and
//! what means nothing where they lie.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, Findings, Place};
use crate::fleet::{Fleet, Role};
use crate::layout::{CONTAINER_IMAGE, CheckedLayout, Layout, SUBVOLUME};
use crate::names::quoted;
use crate::overlay::{Overlay, When};
use crate::users::User;
use crate::written::{Origin, Placed};

/// Bytes of the arguments of a role and its overlays. The rest of the line, which U-Boot takes less than 1024 bytes of, is for root
/// and consoles.
const MOST_ARGUMENTS: usize = 512;

/// Something that is said of a name.
struct Said<'s, T> {
    name: String,
    value: T,
    place: &'s Place,
    /// The bases that it is said of.
    when: When,
}

/// The overlays of one role, or of its container image.
struct Together<'o> {
    overlays: Vec<&'o Overlay>,
    findings: &'o mut Findings,
}

/// Tells nodes what overlays of their roles bring, where each was written.
pub(crate) fn tell_brought(fleet: &mut Fleet, overlays: &BTreeMap<String, Option<Overlay>>) {
    let argument = |argument: &Placed<String>| Origin {
        name: "kernel-argument".to_owned(),
        value: argument.value.clone(),
        place: argument.place.clone(),
        note: None,
    };
    for node in &mut fleet.nodes {
        let names = fleet
            .roles
            .get(&node.role)
            .into_iter()
            .flat_map(|role| &role.overlays);
        for overlay in names.filter_map(|name| overlays.get(name)?.as_ref()) {
            node.origins.extend(overlay.users.iter().map(User::origin));
            let settings = overlay.sysctls.iter();
            node.origins.extend(settings.map(|sysctl| Origin {
                name: "sysctl".to_owned(),
                value: format!("{} = {}", sysctl.key.value, sysctl.value),
                place: sysctl.key.place.clone(),
                note: None,
            }));
            node.origins
                .extend(overlay.subvolumes.iter().map(|subvolume| Origin {
                    name: SUBVOLUME.to_owned(),
                    value: format!("{} at {}", subvolume.value.name, subvolume.value.mount),
                    place: subvolume.place.clone(),
                    note: None,
                }));
            node.origins.extend(overlay.kernel_arguments.iter().map(argument));
        }
        let of_role = fleet.roles.get(&node.role).into_iter();
        node.origins
            .extend(of_role.flat_map(|role| &role.kernel_arguments).map(argument));
    }
}

/// Holds the overlays of each role against each other and against the fleet, and those of its container image.
pub(crate) fn check_together(
    fleet: &Fleet,
    overlays: &BTreeMap<String, Option<Overlay>>,
    layouts: &BTreeMap<String, CheckedLayout>,
    findings: &mut Findings,
) {
    let mut found = Findings::default();
    let known = |name: &String| overlays.get(name)?.as_ref();
    for role in fleet.roles.values() {
        let mut on_nodes = Together {
            overlays: role.overlays.iter().filter_map(known).collect(),
            findings: &mut found,
        };
        on_nodes.users(&fleet.users);
        on_nodes.sysctls();
        on_nodes.arguments(role);
        let nodes = fleet.nodes.iter().filter(|node| node.role == role.name);
        let names: BTreeSet<&String> = nodes.map(|node| &node.layout).collect();
        for name in names {
            if let Some(checked) = layouts.get(name) {
                on_nodes.subvolumes(&checked.layout, &checked.origins);
            }
        }
        let image = role.container_image.iter().map(|name| &name.value);
        let mut in_containers = Together {
            overlays: image.filter_map(known).collect(),
            findings: &mut found,
        };
        in_containers.users(&[]);
        in_containers.sysctls();
        in_containers.passwords(role);
        in_containers.meaningless(role);
    }
    // Roles that share overlays share their faults.
    for finding in found.0 {
        if !findings.0.contains(&finding) {
            findings.push(finding);
        }
    }
}

impl Together<'_> {
    /// Users of one name that differ, and two of one number.
    fn users(&mut self, of_fleet: &[User]) {
        let of_fleet = of_fleet.iter().map(|user| (user, When::default()));
        let brought = self
            .overlays
            .iter()
            .flat_map(|overlay| overlay.users.iter().map(|user| (user, overlay.when)));
        let all: Vec<_> = of_fleet.chain(brought).collect();
        let by_name = all.iter().map(|(user, when)| Said {
            name: user.name.clone(),
            value: user.content(),
            place: &user.place,
            when: *when,
        });
        let by_number = all.iter().map(|(user, when)| Said {
            name: user.uid.to_string(),
            value: &user.name,
            place: &user.place,
            when: *when,
        });
        let mut clashes = told_differently(by_name, |name| {
            Finding::new(format!("two users are called {} and differ", quoted(name)))
                .hint("a node has one user of a name: say the same of it in both places, or rename one")
        });
        clashes.extend(told_differently(by_number, |uid| {
            Finding::new(format!("two users have the uid {uid}")).hint("give one of them another `uid`")
        }));
        self.findings.0.extend(clashes);
    }

    /// Settings of the kernel that differ.
    fn sysctls(&mut self) {
        let said = self.overlays.iter().flat_map(|overlay| {
            overlay.sysctls.iter().map(|sysctl| Said {
                name: sysctl.path.clone(),
                value: &sysctl.value,
                place: &sysctl.key.place,
                when: overlay.when,
            })
        });
        let clashes = told_differently(said, |path| {
            Finding::new(format!(
                "two overlays set /proc/sys/{path}, each to something else"
            ))
            .hint("leave it out of one of them, or take one of them out of the role")
        });
        self.findings.0.extend(clashes);
    }

    /// More arguments than a command line has room for.
    fn arguments(&mut self, role: &Role) {
        let of_overlays = self.overlays.iter().flat_map(|overlay| &overlay.kernel_arguments);
        let mut length = 0;
        for argument in of_overlays.chain(&role.kernel_arguments) {
            length += argument.value.len() + 1;
            if length > MOST_ARGUMENTS {
                let message = format!(
                    "with this, the kernel arguments of role {} have {length} bytes, the limit is {MOST_ARGUMENTS}",
                    quoted(&role.name)
                );
                self.findings.push(
                    Finding::new(message)
                        .at(argument.place.clone())
                        .hint("leave some of them out"),
                );
                return;
            }
        }
    }

    /// Subvolumes of one name, or one place, that differ; `origins` are those of the layout.
    fn subvolumes(&mut self, layout: &Layout, origins: &[Origin]) {
        let image = layout.root().and_then(|root| root.container_image.as_ref());
        let of_layout = layout.root().into_iter().flat_map(|root| &root.subvolumes);
        let of_layout = of_layout.filter_map(|subvolume| {
            let shown = format!("{} at {}", subvolume.name, subvolume.mount);
            let origin = origins
                .iter()
                .find(|origin| origin.name == SUBVOLUME && origin.value == shown)?;
            Some((subvolume, &origin.place, When::default()))
        });
        let brought = self.overlays.iter().flat_map(|overlay| {
            let subvolumes = overlay.subvolumes.iter();
            subvolumes.map(|subvolume| (&subvolume.value, &subvolume.place, overlay.when))
        });
        let all: Vec<_> = of_layout.chain(brought).collect();
        let image = image.and_then(|name| {
            let origin = origins.iter().find(|origin| origin.name == CONTAINER_IMAGE)?;
            Some(Said {
                name: name.clone(),
                value: None,
                place: &origin.place,
                when: When::default(),
            })
        });
        let by_name = all.iter().map(|(subvolume, place, when)| Said {
            name: subvolume.name.clone(),
            value: Some((&subvolume.mount, subvolume.data)),
            place,
            when: *when,
        });
        let by_mount = all.iter().map(|(subvolume, place, when)| Said {
            name: subvolume.mount.clone(),
            value: &subvolume.name,
            place,
            when: *when,
        });
        let mut clashes = told_differently(image.into_iter().chain(by_name), |name| {
            Finding::new(format!("two subvolumes are called {} and differ", quoted(name)))
                .hint("a node has one subvolume of a name: say the same in both places, or rename one")
        });
        clashes.extend(told_differently(by_mount, |mount| {
            Finding::new(format!("two subvolumes are to be mounted at {}", quoted(mount)))
                .hint("leave one of them out, or mount it elsewhere")
        }));
        self.findings.0.extend(clashes);
    }

    /// Tells of what is skipped in a container.
    fn meaningless(&mut self, role: &Role) {
        for overlay in &self.overlays {
            let arguments = overlay.kernel_arguments.first();
            let requests = overlay.kernel_requests.first();
            let subvolumes = overlay.subvolumes.first();
            let meaningless = [
                (
                    "kernel-arguments",
                    arguments.map(|argument| &argument.place),
                    "a container has the kernel of its node",
                ),
                (
                    "kernel-fragments",
                    requests.map(|request| &request.place),
                    "a container has the kernel of its node",
                ),
                (
                    "subvolumes",
                    subvolumes.map(|subvolume| &subvolume.place),
                    "the root of a container is one subvolume",
                ),
            ];
            for (key, place, why) in meaningless {
                let Some(place) = place else { continue };
                let message = format!(
                    "`{key}` of overlay {} is skipped in the containers of role {}: {why}",
                    quoted(&overlay.name),
                    quoted(&role.name)
                );
                self.findings.push(
                    Finding::warning(message)
                        .at(place.clone())
                        .hint("give it an overlay of its own, which `container-image` does not name"),
                );
            }
        }
    }

    /// What is in the image is in all containers, and in packs in plain.
    fn passwords(&mut self, role: &Role) {
        let users = self.overlays.iter().flat_map(|overlay| &overlay.users);
        for user in users.filter(|user| user.password_hash.is_some()) {
            let message = format!(
                "{} has a password, and the containers of role {} would all have it",
                quoted(&user.name),
                quoted(&role.name)
            );
            self.findings.push(
                Finding::new(message)
                    .at(user.place.clone())
                    .hint("leave out `password-hash`, or take the overlay out of `container-image`"),
            );
        }
    }
}

/// A finding as `tell` makes it of a name for each thing that was said of it otherwise before, of a base that both are for.
fn told_differently<'s, T: PartialEq>(
    said: impl IntoIterator<Item = Said<'s, T>>,
    tell: impl Fn(&str) -> Finding,
) -> Vec<Finding> {
    let mut before: BTreeMap<String, Vec<Said<'s, T>>> = BTreeMap::new();
    let mut findings = Vec::new();
    for said in said {
        let others = before.entry(said.name.clone()).or_default();
        // What one file says differently was found where it was read.
        let differs = |other: &&Said<'s, T>| {
            other.place.file.path != said.place.file.path
                && other.when.meets(said.when)
                && other.value != said.value
        };
        if let Some(other) = others.iter().find(differs) {
            let finding = tell(&said.name).at(said.place.clone());
            findings.push(finding.related(other.place.clone(), "the other one"));
        }
        others.push(said);
    }
    findings
}
