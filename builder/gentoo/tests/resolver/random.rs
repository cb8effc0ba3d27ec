//! Random worlds against every combination of their packages: what is resolved is sound, and what is refused cannot be.

use std::collections::BTreeMap;

use gentoo::depend::Need;
use gentoo::{Atom, Package};
use proptest::prelude::*;

use crate::world::{World, atoms, packages};

/// What each slot of each name holds.
type Slots<'a> = BTreeMap<(&'a str, &'a str), &'a Package>;

fn slot_of(package: &Package) -> (&str, &str) {
    (package.cpv.name.as_str(), &package.slot)
}

fn holds(slots: &Slots<'_>, need: &Need, owner: Option<&Package>) -> bool {
    match need {
        Need::Atom(atom) if atom.blocker.is_some() => {
            let others = slots
                .values()
                .filter(|package| owner.is_none_or(|owner| !std::ptr::eq(**package, owner)));
            !others.into_iter().any(|package| atom.matches(package))
        }
        Need::Atom(atom) => slots.values().any(|package| atom.matches(package)),
        Need::All(needs) => needs.iter().all(|need| holds(slots, need, owner)),
        Need::Any(needs) => needs.iter().any(|need| holds(slots, need, owner)),
    }
}

fn needs(package: &Package) -> Vec<Need> {
    let needs = package.needs().expect("sound dependencies");
    [needs.before, needs.after].concat()
}

/// Whether these packages may stand where those were installed.
fn is_solution(before: &Slots<'_>, slots: &Slots<'_>, wanted: &[Atom]) -> bool {
    let is_kept = |package: &Package| {
        before
            .get(&slot_of(package))
            .is_some_and(|old| std::ptr::eq(*old, package))
    };
    wanted
        .iter()
        .all(|atom| slots.values().any(|package| atom.matches(package)))
        && slots.values().all(|package| {
            needs(package).iter().all(|need| {
                let was_broken = is_kept(package) && !holds(before, need, Some(package));
                was_broken || holds(slots, need, Some(package))
            })
        })
}

/// Whether any combination of packages is a solution.
fn is_solvable<'a>(before: &Slots<'a>, offered: &'a [Package], wanted: &[Atom]) -> bool {
    let mut ways: BTreeMap<(&str, &str), Vec<Option<&Package>>> = BTreeMap::new();
    for package in before.values().copied().chain(offered) {
        let slot = slot_of(package);
        ways.entry(slot)
            .or_insert_with(|| vec![before.get(&slot).copied()])
            .push(Some(package));
    }
    let mut combinations = vec![Slots::new()];
    for (slot, ways) in ways {
        let mut longer = Vec::new();
        for slots in &combinations {
            for way in &ways {
                let mut slots = slots.clone();
                slots.extend(way.map(|package| (slot, package)));
                longer.push(slots);
            }
        }
        combinations = longer;
    }
    combinations
        .iter()
        .any(|slots| is_solution(before, slots, wanted))
}

fn any_atom() -> impl Strategy<Value = String> {
    let name = "lib/[abcd]";
    prop_oneof![
        4 => name,
        3 => "(>=|<|=|>)lib/[abcd]-[123]",
        2 => "lib/[abcd]:[01]",
        2 => "lib/[abcd]:0/[123]=",
    ]
}

fn any_needs() -> impl Strategy<Value = String> {
    let need = prop_oneof![
        6 => any_atom(),
        1 => any_atom().prop_map(|atom| format!("!{atom}")),
        2 => (any_atom(), any_atom()).prop_map(|(a, b)| format!("|| ( {a} {b} )")),
        1 => (any_atom(), any_atom(), any_atom()).prop_map(|(a, b, c)| format!("|| ( ( {a} {b} ) {c} !{a} )")),
    ];
    prop::collection::vec(need, 0..3).prop_map(|needs| needs.join(" "))
}

fn stanza(name: char, version: usize, slot: usize, needs: &str) -> String {
    format!("CPV: lib/{name}-{version}\nSLOT: {slot}/{version}\nRDEPEND: {needs}\n\n")
}

/// Some packages of version 1 that are installed, in slot 0, and those of a source: newer ones, or other builds.
fn any_world() -> impl Strategy<Value = (String, String, String)> {
    let installed = prop::collection::vec(prop::option::of(any_needs()), 4).prop_map(|installed| {
        let installed = "abcd".chars().zip(installed);
        let stanzas = installed.filter_map(|(name, needs)| Some(stanza(name, 1, 0, &needs?)));
        stanzas.collect::<String>()
    });
    let offer = ("[abcd]", 1..4_usize, 0..5_usize, any_needs());
    let offered = prop::collection::vec(offer, 0..9).prop_map(|offered| {
        let stanzas = offered.iter().map(|(name, version, slot, needs)| {
            let name = name.chars().next().unwrap_or('a');
            stanza(name, *version, slot / 4, needs)
        });
        stanzas.collect::<String>()
    });
    let wanted = prop::collection::vec(any_atom(), 1..4).prop_map(|wanted| wanted.join(" "));
    (installed, offered, wanted)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_resolved_is_sound_and_what_is_refused_cannot_be((installed, offered, wanted) in any_world()) {
        let world = World { installed: &installed, offered: &offered, wanted: &wanted, ..World::default() };
        let (before, offers, atoms) = (packages(&installed), packages(&offered), atoms(&wanted));
        let before: Slots<'_> = before.iter().map(|package| (slot_of(package), package)).collect();
        let chosen = world.resolution(|resolution| {
            resolution.chosen.iter().map(|chosen| chosen.package.clone()).collect::<Vec<_>>()
        });
        match chosen {
            Ok(chosen) => {
                let mut slots = before.clone();
                for package in &chosen {
                    slots.insert(slot_of(package), package);
                }
                prop_assert!(is_solution(&before, &slots, &atoms), "{:?}", slots.values().map(|one| one.cpv.to_string()).collect::<Vec<_>>());
            }
            Err(error) => prop_assert!(!is_solvable(&before, &offers, &atoms), "{}", error),
        }
    }
}
