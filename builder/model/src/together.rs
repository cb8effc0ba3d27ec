//! What the overlays of a role ask for together with each other and the fleet: where two of them say one thing differently, and
//! what means nothing where they lie.

use std::collections::BTreeMap;

use crate::finding::{Finding, Findings, Place};
use crate::fleet::{Fleet, Role};
use crate::names::quoted;
use crate::overlay::{Overlay, When};
use crate::users::User;

/// Something that is said of a name.
struct Said<'s, T> {
    name: String,
    value: T,
    place: &'s Place,
    /// The bases that it is said of.
    when: When,
}

/// The overlays of one role, or of its template of containers.
struct Together<'o> {
    overlays: Vec<&'o Overlay>,
    findings: &'o mut Findings,
}

/// Tells nodes what overlays of their roles bring, where each was written.
pub(crate) fn tell_brought(fleet: &mut Fleet, overlays: &BTreeMap<String, Option<Overlay>>) {
    for node in &mut fleet.nodes {
        let names = fleet
            .roles
            .get(&node.role)
            .into_iter()
            .flat_map(|role| &role.overlays);
        for overlay in names.filter_map(|name| overlays.get(name)?.as_ref()) {
            node.origins.extend(overlay.users.iter().map(User::origin));
        }
    }
}

/// Holds the overlays of each role against each other and against the fleet, and those of its template.
pub(crate) fn check_together(
    fleet: &Fleet,
    overlays: &BTreeMap<String, Option<Overlay>>,
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
        let template = role.template.iter().map(|name| &name.value);
        let mut in_containers = Together {
            overlays: template.filter_map(known).collect(),
            findings: &mut found,
        };
        in_containers.users(&[]);
        in_containers.passwords(role);
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

    /// What is in a template is in all containers, and in packs in plain.
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
                    .hint("leave out `password-hash`, or take the overlay out of `template`"),
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
        let differs = |other: &&Said<'s, T>| other.when.meets(said.when) && other.value != said.value;
        if let Some(other) = others.iter().find(differs) {
            let finding = tell(&said.name).at(said.place.clone());
            findings.push(finding.related(other.place.clone(), "the other one"));
        }
        others.push(said);
    }
    findings
}
