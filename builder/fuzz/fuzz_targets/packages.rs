//! An index of packages, the first of which are installed, and the resolution of the last: a slot has one package.
#![no_main]

use std::collections::HashSet;

use gentoo::Atom;
use gentoo::index::Packages;
use gentoo::resolve::{Request, Source, resolve};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kept, rest)) = bytes.split_first() else {
        return;
    };
    let Ok(index) = Packages::parse(rest) else { return };
    let (installed, offered) = index
        .packages
        .split_at(index.packages.len().min(usize::from(*kept)));
    let last = offered.iter().rev().take(3);
    let atoms: Vec<Atom> = last
        .filter_map(|package| package.cpv.name.as_str().parse().ok())
        .collect();
    let request = Request {
        atoms: &atoms,
        masks: &[],
        chost: None,
        init: None,
        package_use: &[],
    };
    let source = Source {
        name: "offered",
        packages: offered,
    };
    let Ok(resolution) = resolve(installed, &[source], &request) else {
        return;
    };
    let mut slots = HashSet::new();
    for chosen in &resolution.chosen {
        assert!(slots.insert((&chosen.package.cpv.name, &chosen.package.slot)));
    }
    for atom in &atoms {
        let there = resolution
            .chosen
            .iter()
            .map(|chosen| chosen.package)
            .chain(resolution.kept.iter().copied());
        assert!(there.into_iter().any(|package| atom.matches(package)));
    }
});
