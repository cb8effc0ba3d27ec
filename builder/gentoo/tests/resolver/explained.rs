//! What the resolver says when there is no solution, and what it does that has no counterpart in emerge's pretence.

use gentoo::resolve::{Init, Mask, Request, Source, resolve};

use crate::world::{World, atoms, packages};

#[test]
fn a_failure_tells_who_needs_what_and_what_there_is() {
    let chained = "CPV: app/top-1\nRDEPEND: app/bar\n\nCPV: app/bar-2\nRDEPEND: ";
    for (offered, installed, wanted, masked, expected) in [
        (
            &*format!("{chained}>=lib/foo-2:=\n\nCPV: lib/foo-1.2.3"),
            "",
            "app/bar",
            "",
            "app/bar-2 (official) needs >=lib/foo-2:=, available 1.2.3 (official)",
        ),
        (
            &format!("{chained}lib/foo"),
            "",
            "app/top",
            "",
            "app/top-1 (official) -> app/bar-2 (official) needs lib/foo; lib/foo is in no package source (looked in official): \
             add a binhost or a folder of packages with it",
        ),
        (
            "CPV: app/bar-2",
            "",
            "app/foo",
            "",
            "the request needs app/foo; app/foo is in no package source (looked in official): \
             add a binhost or a folder of packages with it",
        ),
        (
            &format!(
                "{chained}lib/foo:0/1=[ssl,-x]\n\nCPV: lib/foo-2\nSLOT: 0/2\n\nCPV: lib/foo-1\nSLOT: 0/1\nIUSE: x\nUSE: x"
            ),
            "",
            "app/bar",
            "",
            "app/bar-2 (official) needs lib/foo:0/1=[ssl,-x], available 2 (official; slot 0/2), \
             1 (official; without a flag ssl, built with x)",
        ),
        (
            &format!(
                "{chained}lib/foo\n\nCPV: lib/foo-2\n\nCPV: lib/foo-1\nEAPI: 99\n\nCPV: lib/foo-0\nCHOST: i686"
            ),
            "",
            "app/bar",
            ">lib/foo-1",
            "app/bar-2 (official) needs lib/foo, available 2 (official; masked by >lib/foo-1: you mask it), \
             1 (official; its EAPI is `99`; this program reads 0 to 9), 0 (official; built for i686)",
        ),
        (
            &format!("{chained}|| ( lib/foo ( lib/far >lib/near-1 ) )\n\nCPV: lib/near-1"),
            "",
            "app/bar",
            "",
            "app/bar-2 (official) needs || ( lib/foo ( lib/far >lib/near-1 ) ), available lib/near-1 (official); \
             lib/foo and lib/far are in no package source (looked in official): add a binhost or a folder of packages with it",
        ),
        (
            "CPV: app/a-1\nRDEPEND: >=lib/foo-2\n\nCPV: app/b-1\nRDEPEND: <lib/foo-2\n\nCPV: lib/foo-1\n\nCPV: lib/foo-2",
            "",
            "app/a app/b",
            "",
            "app/b-1 (official) needs <lib/foo-2, available 2 (official), 1 (official; lib/foo-2 (official) is chosen for slot 0)",
        ),
        (
            "CPV: app/a-1\nRDEPEND: !!app/b\n\nCPV: app/b-1",
            "",
            "app/a app/b",
            "",
            "the request needs app/b, available 1 (official; app/a-1 (official) blocks it with !!app/b)",
        ),
        (
            "CPV: app/a-1\nRDEPEND: !lib/old",
            "CPV: lib/old-1",
            "app/a",
            "",
            "app/a-1 (official) blocks lib/old-1 (installed) with !lib/old, and no package source has one to replace it",
        ),
        (
            "CPV: app/a-1\nRDEPEND: >lib/foo-1\n\nCPV: lib/foo-2\nSLOT: 0/2",
            "CPV: lib/foo-1\nSLOT: 0/1\n\nCPV: app/old-1\nRDEPEND: lib/foo:0/1=",
            "app/a",
            "",
            "app/a-1 (official) -> lib/foo-2 (official) breaks app/old-1 (installed), which needs lib/foo:0/1=, \
             and no package source has one to replace it",
        ),
        (
            "CPV: app/a-1\nRDEPEND: >lib/foo-1\n\nCPV: lib/foo-2\nSLOT: 0/2\n\nCPV: app/old-1\nRDEPEND: lib/foo:0/1=",
            "CPV: lib/foo-1\nSLOT: 0/1\n\nCPV: app/old-1\nRDEPEND: lib/foo:0/1=",
            "app/a",
            "",
            "app/a-1 (official) -> lib/foo-2 (official) -> app/old-1 (official) needs lib/foo:0/1=, \
             available 1 (installed; lib/foo-2 (official) is chosen for slot 0), 2 (official; slot 0/2)",
        ),
        (
            "CPV: app/a-1\nREQUIRES: arm_64: libfoo.so.2 libc.so.6",
            "CPV: lib/c-1\nPROVIDES: arm_64: libc.so.6 arm_32: libfoo.so.2",
            "app/a",
            "",
            "app/a-1 (official) is linked with libfoo.so.2 (arm_64), and no package source has a package that brings it",
        ),
    ] {
        let world = World {
            installed,
            offered,
            wanted,
            masked,
            ..World::default()
        };
        assert_eq!(world.resolved().unwrap_err(), expected, "{offered}");
    }
}

#[test]
fn a_request_is_for_packages() {
    let said = |wanted| {
        World {
            wanted,
            ..World::default()
        }
        .resolved()
        .unwrap_err()
    };
    assert!(said("!app/a").contains("is a blocker"));
    assert!(said("app/a[x?]").contains("a condition on the USE flags"));
    let world = World {
        installed: "CPV: app/a-1\nRDEPEND: ||",
        ..World::default()
    };
    assert_eq!(
        world.resolved().unwrap_err(),
        "the installed app/a-1 cannot be kept working: its RDEPEND cannot be read: `||` of the dependencies is not followed by `(`"
    );
}

#[test]
fn dependencies_come_first_and_the_rest_after() {
    let world = World {
        offered: "CPV: app/a-1\nRDEPEND: lib/x lib/y\nPDEPEND: app/plugin\n\nCPV: lib/x-1\nRDEPEND: lib/z\n\n\
                  CPV: lib/y-1\nRDEPEND: lib/z\n\nCPV: lib/z-1\n\nCPV: app/plugin-1\nRDEPEND: app/a",
        wanted: "app/plugin app/a",
        ..World::default()
    };
    let order = [
        "lib/z-1-1",
        "lib/x-1-1",
        "lib/y-1-1",
        "app/a-1-1",
        "app/plugin-1-1",
    ];
    assert_eq!(world.resolved().unwrap(), order);
    let asked_for = world.resolution(|resolution| {
        let requested = resolution.chosen.iter().filter(|chosen| chosen.requested);
        requested
            .map(|chosen| chosen.package.cpv.to_string())
            .collect::<Vec<_>>()
    });
    assert_eq!(asked_for.unwrap(), ["app/a-1", "app/plugin-1"]);
}

#[test]
fn what_is_installed_stays_if_it_will_do_and_is_replaced_in_its_slot() {
    let world = World {
        installed: "CPV: app/a-1\n\nCPV: lib/x-1\n\nCPV: lib/x-5\nSLOT: 5",
        offered: "CPV: app/a-2\n\nCPV: app/b-1\nRDEPEND: >=lib/x-2:0\n\nCPV: lib/x-2",
        wanted: "app/a app/b app/a",
        ..World::default()
    };
    let found = world.resolution(|resolution| {
        let kept: Vec<_> = resolution
            .kept
            .iter()
            .map(|package| package.cpv.to_string())
            .collect();
        let replaced: Vec<_> = resolution
            .chosen
            .iter()
            .map(|chosen| {
                (
                    chosen.package.cpv.to_string(),
                    chosen.replaces.map(|old| old.cpv.to_string()),
                )
            })
            .collect();
        (kept, replaced)
    });
    let (kept, replaced) = found.unwrap();
    assert_eq!(kept, ["app/a-1"]);
    let x = ("lib/x-2".to_owned(), Some("lib/x-1".to_owned()));
    assert_eq!(replaced, [x, ("app/b-1".to_owned(), None)]);
}

#[test]
fn a_library_that_is_missing_upgrades_what_brings_it() {
    let world = World {
        installed: "CPV: lib/foo-1\nPROVIDES: arm_64: libfoo.so.1\n\nCPV: app/old-1\nREQUIRES: arm_64: libfoo.so.1 libgone.so",
        offered: "CPV: app/a-1\nRDEPEND: lib/foo\nREQUIRES: arm_64: libfoo.so.2\n\nCPV: lib/foo-2\nPROVIDES: arm_64: libfoo.so.2\n\n\
                  CPV: app/old-1\nBUILD_ID: 7\nREQUIRES: arm_64: libfoo.so.2",
        wanted: "app/a",
        ..World::default()
    };
    let mut found = world.resolved().unwrap();
    found.sort();
    assert_eq!(found, ["app/a-1-1", "app/old-1-7", "lib/foo-2-1"]);
}

#[test]
fn a_blocked_installed_package_is_replaced() {
    let world = World {
        installed: "CPV: lib/x-1",
        offered: "CPV: app/a-1\nRDEPEND: !<lib/x-2\n\nCPV: lib/x-2",
        wanted: "app/a",
        ..World::default()
    };
    let mut found = world.resolved().unwrap();
    found.sort();
    assert_eq!(found, ["app/a-1-1", "lib/x-2-1"]);
}

#[test]
fn an_earlier_source_is_preferred_for_the_same_version_only() {
    let own = packages("CPV: app/a-1\nBUILD_TIME: 1\n\nCPV: app/b-1");
    let official = packages("CPV: app/a-1\nBUILD_TIME: 9\n\nCPV: app/b-2\nRDEPEND: app/c\n\nCPV: app/c-1");
    let sources = [("own", &own), ("official", &official)].map(|(name, packages)| Source { name, packages });
    let request = Request {
        atoms: &atoms("app/a app/b"),
        masks: &[],
        chost: None,
        init: None,
        package_use: &[],
    };
    let resolution = resolve(&[], &sources, &request).unwrap();
    let found: Vec<_> = resolution
        .chosen
        .iter()
        .map(|chosen| (chosen.package.cpv.to_string(), sources[chosen.source].name))
        .collect();
    let expected = [
        ("app/a-1", "own"),
        ("app/c-1", "official"),
        ("app/b-2", "official"),
    ];
    assert_eq!(found, expected.map(|(cpv, source)| (cpv.to_owned(), source)));
}

#[test]
fn what_starts_a_node_keeps_the_other_away() {
    let offered = packages(
        "CPV: app/a-1\nRDEPEND: || ( sys-apps/openrc sys-apps/systemd )\n\nCPV: sys-apps/openrc-1\n\nCPV: sys-apps/systemd-1",
    );
    for (init, expected) in [
        (Init::Systemd, "sys-apps/systemd-1"),
        (Init::OpenRc, "sys-apps/openrc-1"),
    ] {
        let masks: Vec<Mask> = init.masks().unwrap();
        let request = Request {
            atoms: &atoms("app/a"),
            masks: &masks,
            chost: None,
            init: None,
            package_use: &[],
        };
        let source = Source {
            name: "official",
            packages: &offered,
        };
        let resolution = resolve(&[], &[source], &request).unwrap();
        assert_eq!(resolution.chosen[0].package.cpv.to_string(), expected);
    }
}

/// Each of many packages needs another version of the last one: every pair of choices is tried before all are refused,
/// unless a dead end goes back to what is to blame for it.
#[test]
fn a_dead_end_goes_back_to_what_is_to_blame() {
    let mut offered = String::new();
    let mut wanted = String::new();
    for number in 0..60 {
        for version in 1..4 {
            offered += &format!("CPV: app/p{number}-{version}\nRDEPEND: lib/any\n\n");
        }
        wanted += &format!("app/p{number} ");
    }
    offered += "CPV: lib/any-1\n\nCPV: app/picky-1\nRDEPEND: <app/p0-2";
    wanted += "app/picky";
    let world = World {
        offered: &offered,
        wanted: &wanted,
        ..World::default()
    };
    let found = world.resolved().unwrap();
    assert_eq!(found.len(), 62);
    assert!(found.contains(&"app/p0-1-1".to_owned()) && found.contains(&"app/p59-3-1".to_owned()));
}

/// Nine packages want one of eight slots each for themselves: nothing but trying shows that it cannot be.
#[test]
fn a_search_that_leads_nowhere_ends() {
    let mut offered = String::new();
    let mut wanted = String::new();
    for pigeon in 0..9 {
        let holes: String = (0..8).map(|hole| format!("lib/h{hole}[p{pigeon}] ")).collect();
        offered += &format!("CPV: app/p{pigeon}-1\nRDEPEND: || ( {holes})\n\n");
        wanted += &format!("app/p{pigeon} ");
        for hole in 0..8 {
            offered +=
                &format!("CPV: lib/h{hole}-1\nBUILD_ID: {pigeon}\nIUSE: p{pigeon}\nUSE: p{pigeon}\n\n");
        }
    }
    let world = World {
        offered: &offered,
        wanted: &wanted,
        ..World::default()
    };
    let said = world.resolved().unwrap_err();
    assert!(
        said.starts_with("no solution after 50000 choices; the first obstacle: app/p"),
        "{said}"
    );
}
