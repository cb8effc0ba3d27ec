//! Worlds that emerge decides as we do.

use std::collections::BTreeSet;

use crate::emerge;
use crate::world::World;

/// Both install these packages, whatever the order.
fn both_install(world: &World<'_>, expected: &[&str]) {
    let expected: BTreeSet<&str> = expected.iter().copied().collect();
    let ours = world.resolved().unwrap_or_else(|error| panic!("we: {error}"));
    let theirs = emerge::decision(world).unwrap_or_else(|said| panic!("emerge: {said}"));
    let set = |packages: &'_ [String]| packages.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(
        set(&theirs),
        expected.iter().map(|one| (*one).to_owned()).collect(),
        "emerge"
    );
    assert_eq!(
        set(&ours),
        expected.into_iter().map(str::to_owned).collect(),
        "we"
    );
}

/// Both refuse.
fn both_refuse(world: &World<'_>) {
    let ours = world.resolved();
    let theirs = emerge::decision(world);
    assert!(theirs.is_err(), "emerge: {theirs:?}");
    assert!(ours.is_err(), "we: {ours:?}");
}

#[test]
fn of_alternatives_the_first_is_taken() {
    let world = World {
        offered: "CPV: app/a-1\nRDEPEND: || ( lib/x lib/y )\n\nCPV: lib/x-1\n\nCPV: lib/y-1",
        wanted: "app/a",
        ..World::default()
    };
    both_install(&world, &["app/a-1-1", "lib/x-1-1"]);
}

#[test]
fn of_alternatives_an_installed_one_is_taken() {
    let world = World {
        installed: "CPV: lib/y-1",
        offered: "CPV: app/a-1\nRDEPEND: || ( lib/x lib/y )\n\nCPV: lib/x-1\n\nCPV: lib/y-1",
        wanted: "app/a",
        ..World::default()
    };
    both_install(&world, &["app/a-1-1"]);
}

#[test]
fn of_alternatives_one_that_others_need_is_taken() {
    let world = World {
        offered: "CPV: app/a-1\nRDEPEND: || ( lib/x ( lib/y lib/z ) )\n\nCPV: app/b-1\nRDEPEND: lib/y lib/z\n\n\
                  CPV: lib/x-1\n\nCPV: lib/y-1\n\nCPV: lib/z-1",
        wanted: "app/a app/b",
        ..World::default()
    };
    both_install(&world, &["app/a-1-1", "app/b-1-1", "lib/y-1-1", "lib/z-1-1"]);
}

#[test]
fn of_alternatives_one_that_is_nowhere_is_not_taken() {
    let world = World {
        offered: "CPV: app/a-1\nRDEPEND: || ( lib/nowhere >=lib/x-2 lib/y )\n\nCPV: lib/x-1\n\nCPV: lib/y-1",
        wanted: "app/a",
        ..World::default()
    };
    both_install(&world, &["app/a-1-1", "lib/y-1-1"]);
}

#[test]
fn slots_stand_beside_each_other() {
    let world = World {
        installed: "CPV: lib/x-1.9\nSLOT: 1",
        offered: "CPV: app/a-1\nRDEPEND: lib/x:1 lib/x:2 lib/x:*\n\nCPV: lib/x-1.10\nSLOT: 1\n\nCPV: lib/x-2.1\nSLOT: 2\n\n\
                  CPV: lib/x-2.0\nSLOT: 2\n\nCPV: lib/x-3\nSLOT: 3",
        wanted: "app/a",
        ..World::default()
    };
    both_install(&world, &["app/a-1-1", "lib/x-2.1-1"]);
}

#[test]
fn one_package_for_each_slot() {
    let world = World {
        offered: "CPV: app/a-1\nRDEPEND: lib/x\n\nCPV: app/b-1\nRDEPEND: <lib/x-2\n\nCPV: lib/x-1\n\nCPV: lib/x-2",
        wanted: "app/a app/b",
        ..World::default()
    };
    both_install(&world, &["app/a-1-1", "app/b-1-1", "lib/x-1-1"]);
    let world = World {
        offered: "CPV: app/a-1\nRDEPEND: >=lib/x-2\n\nCPV: app/b-1\nRDEPEND: <lib/x-2\n\nCPV: lib/x-1\n\nCPV: lib/x-2",
        wanted: "app/a app/b",
        ..World::default()
    };
    both_refuse(&world);
}

#[test]
fn a_bound_subslot_rebuilds_what_is_installed() {
    let world = World {
        installed: "CPV: lib/x-1\nSLOT: 0/1\n\nCPV: app/old-1\nRDEPEND: lib/x:0/1=",
        offered: "CPV: lib/x-2\nSLOT: 0/2\n\nCPV: app/a-1\nRDEPEND: >=lib/x-2:0/2=\n\n\
                  CPV: app/old-1\nBUILD_ID: 2\nBUILD_TIME: 20\nRDEPEND: lib/x:0/2=",
        wanted: "app/a",
        ..World::default()
    };
    both_install(&world, &["app/a-1-1", "app/old-1-2", "lib/x-2-1"]);
}

#[test]
fn a_bound_subslot_that_nothing_can_rebuild_keeps_the_old_one() {
    let stanzas = "CPV: lib/x-1\nSLOT: 0/1\n\nCPV: app/old-1\nRDEPEND: lib/x:0/1=";
    let world = World {
        installed: stanzas,
        offered: "CPV: lib/x-2\nSLOT: 0/2\n\nCPV: app/a-2\nRDEPEND: >=lib/x-2:0/2=\n\nCPV: app/a-1\nRDEPEND: lib/x:0/1=",
        wanted: "app/a",
        ..World::default()
    };
    both_install(&world, &["app/a-1-1"]);
}

#[test]
fn use_dependencies_choose_the_build() {
    let world = World {
        offered: "CPV: app/a-1\nRDEPEND: lib/x[ssl,-gui]\n\nCPV: lib/x-1\nIUSE: +ssl gui\nUSE: gui ssl\nBUILD_TIME: 30\nBUILD_ID: 3\n\n\
                  CPV: lib/x-1\nIUSE: +ssl gui\nUSE: ssl\nBUILD_TIME: 10\nBUILD_ID: 1\n\n\
                  CPV: lib/x-1\nIUSE: +ssl gui\nBUILD_TIME: 20\nBUILD_ID: 2",
        wanted: "app/a",
        ..World::default()
    };
    both_install(&world, &["app/a-1-1", "lib/x-1-1"]);
}

#[test]
fn a_flag_that_is_not_there_has_its_default() {
    let world = World {
        offered: "CPV: app/a-1\nRDEPEND: lib/x[ssl(+)] lib/y[-gui(-)]\n\nCPV: lib/x-1\n\nCPV: lib/y-1",
        wanted: "app/a",
        ..World::default()
    };
    both_install(&world, &["app/a-1-1", "lib/x-1-1", "lib/y-1-1"]);
    for wrong in ["lib/x[ssl]", "lib/x[-ssl]", "lib/x[ssl(-)]", "lib/x[-ssl(+)]"] {
        let world = World {
            offered: &format!("CPV: app/a-1\nRDEPEND: {wrong}\n\nCPV: lib/x-1"),
            wanted: "app/a",
            ..World::default()
        };
        both_refuse(&world);
    }
}

#[test]
fn a_blocker_is_gone_when_what_it_blocks_is_replaced() {
    let world = World {
        installed: "CPV: lib/x-1",
        offered: "CPV: app/a-1\nRDEPEND: !<lib/x-2 >=lib/x-2\n\nCPV: lib/x-2",
        wanted: "app/a",
        ..World::default()
    };
    both_install(&world, &["app/a-1-1", "lib/x-2-1"]);
}

#[test]
fn a_blocker_between_two_that_are_wanted() {
    for blocker in ["!app/b", "!!app/b"] {
        let world = World {
            offered: &format!("CPV: app/a-1\nRDEPEND: {blocker}\n\nCPV: app/b-1"),
            wanted: "app/a app/b",
            ..World::default()
        };
        both_refuse(&world);
    }
    // Of its own name it blocks other versions only.
    let world = World {
        installed: "CPV: app/a-1",
        offered: "CPV: app/a-2\nRDEPEND: !<app/a-3",
        wanted: ">=app/a-2",
        ..World::default()
    };
    both_install(&world, &["app/a-2-1"]);
}

#[test]
fn of_several_builds_the_newest_is_taken() {
    let world = World {
        offered: "CPV: app/a-1\nBUILD_ID: 1\nBUILD_TIME: 300\n\nCPV: app/a-1\nBUILD_ID: 2\nBUILD_TIME: 100\n\n\
                  CPV: app/a-1\nBUILD_ID: 3\nBUILD_TIME: 200",
        wanted: "app/a",
        ..World::default()
    };
    both_install(&world, &["app/a-1-1"]);
}

#[test]
fn a_masked_package_is_not_taken() {
    let world = World {
        offered: "CPV: app/a-1\nRDEPEND: lib/x\n\nCPV: lib/x-1\n\nCPV: lib/x-2",
        wanted: "app/a",
        masked: ">=lib/x-2",
        ..World::default()
    };
    both_install(&world, &["app/a-1-1", "lib/x-1-1"]);
    both_refuse(&World {
        masked: "lib/x",
        ..world
    });
}

#[test]
fn a_cycle_is_no_obstacle() {
    let world = World {
        offered: "CPV: app/a-1\nRDEPEND: lib/x\n\nCPV: lib/x-1\nRDEPEND: lib/y\nPDEPEND: lib/z\n\nCPV: lib/y-1\nRDEPEND: lib/x\n\n\
                  CPV: lib/z-1\nRDEPEND: lib/x",
        wanted: "app/a",
        ..World::default()
    };
    both_install(&world, &["app/a-1-1", "lib/x-1-1", "lib/y-1-1", "lib/z-1-1"]);
}

#[test]
fn what_is_nowhere_is_refused() {
    for (offered, wanted) in [
        ("CPV: app/a-1\nRDEPEND: lib/nowhere", "app/a"),
        ("CPV: app/a-1", "app/nowhere"),
        ("CPV: app/a-1", ">app/a-1"),
    ] {
        both_refuse(&World {
            offered,
            wanted,
            ..World::default()
        });
    }
}

#[test]
fn the_highest_version_is_taken_however_it_is_written() {
    for (versions, highest) in [
        ("1.9 1.10 1.010 1.1", "1.10"),
        ("1_rc1 1_beta3 1_alpha 1_pre9", "1_rc1"),
        ("1 1_p1 1-r9 1_rc9", "1_p1"),
        ("1.2.5 1.2b 1.2.4b", "1.2.5"),
        ("2.0.20240101 2.0.9", "2.0.20240101"),
        ("1-r2 1-r10 1-r09", "1-r10"),
        ("1.02 1.1 1.001", "1.1"),
    ] {
        let offered: String = versions
            .split(' ')
            .map(|version| format!("CPV: app/a-{version}\n\n"))
            .collect();
        let world = World {
            offered: &offered,
            wanted: "app/a",
            ..World::default()
        };
        both_install(&world, &[&format!("app/a-{highest}-1")]);
    }
}

#[test]
fn operators_take_the_same_versions() {
    for (atom, expected) in [
        ("=app/a-1*", "1.2-r1"),
        ("=app/a-1.1*", "1.1-r3"),
        ("~app/a-1.1", "1.1-r3"),
        ("<app/a-1.1", "1.0"),
        ("<=app/a-1.1", "1.1"),
        ("<app/a-1.2", "1.1-r3"),
        ("=app/a-1.1-r0", "1.1"),
        ("=app/a-1.2-r1", "1.2-r1"),
    ] {
        let world = World {
            offered: "CPV: app/a-1.0\n\nCPV: app/a-1.1\n\nCPV: app/a-1.1-r3\n\nCPV: app/a-1.2-r1\n\nCPV: app/a-1.10_p1\nSLOT: 2\n\n\
                      CPV: app/a-10",
            wanted: atom,
            masked: "app/a:2",
            ..World::default()
        };
        both_install(&world, &[&format!("app/a-{expected}-1")]);
    }
}
