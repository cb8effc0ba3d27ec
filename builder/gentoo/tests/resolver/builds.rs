//! Which of several builds of a version is taken: emerge, which knows the profile, would not take another.

use gentoo::Package;
use gentoo::resolve::{Init, PassedOver, Why};

use crate::emerge;
use crate::world::{World, packages};

/// What a stage3 of systemd has: `systemd` and `ssl` are set by its profile, the rest is as `IUSE` has it.
const STAGE3: &str = "CPV: sys-apps/systemd-1\nIUSE: +kmod gtk policykit\nUSE: kmod\n\n\
                      CPV: sys-apps/dbus-1\nIUSE: systemd X elogind\nUSE: systemd\n\n\
                      CPV: sys-apps/shell-1\nIUSE: +nls ssl systemd qt6\nUSE: nls ssl systemd\n\n\
                      CPV: lib/ssl-1\nIUSE: ssl systemd\nUSE: ssl systemd\n\n\
                      CPV: lib/special-1\nIUSE: ssl doc\nUSE: ssl doc";

/// A profile of the binhost: its flags, and the packages that its desktop needs.
const PROFILES: [(&str, &str); 3] = [
    ("nls ssl elogind", ""),
    ("systemd nls ssl X gtk policykit", "gui/gtk"),
    ("systemd nls ssl X qt6 policykit", "gui/qt"),
];

/// The packages that are built by every profile: name, what it knows, what it needs beside what its flags do.
const BUILT: [(&str, &str, &str); 5] = [
    ("net/server-2", "systemd ssl X gtk", "lib/special lib/plain"),
    ("net/client-3", "+nls ssl elogind systemd qt6", "lib/ssl"),
    ("lib/plain-1", "", "gtk? ( gui/gtk )"),
    ("lib/special-2", "ssl doc", ""),
    ("lib/desktop-4", "X gtk policykit systemd", ""),
];

/// The builds of all profiles and of the node's own, each version in another order of time.
fn offered(order: usize, own: &str) -> String {
    let mut stanzas = String::new();
    let profiles = PROFILES.iter().copied().chain([(own, "")]);
    for (profile, (flags, desktop)) in profiles.enumerate() {
        for (number, (cpv, iuse, needs)) in BUILT.iter().enumerate() {
            let known = |flag: &&str| {
                iuse.split(' ')
                    .any(|known| known.trim_start_matches('+') == *flag)
            };
            let mut enabled: Vec<&str> = flags.split(' ').filter(known).collect();
            // The profile that the stage3 is of has a line for this one.
            if cpv.starts_with("lib/special") && profile == PROFILES.len() {
                enabled.push("doc");
            }
            let build = profile + 1;
            let time = 100 + (profile * 7 + number * 3 + order * 5) % 11;
            // What a flag pulls in shows in the dependencies; a package without flags is built with what is there.
            let desktop = if enabled.contains(&"gtk") || enabled.contains(&"qt6") || iuse.is_empty() {
                desktop
            } else {
                ""
            };
            stanzas += &format!(
                "CPV: {cpv}\nBUILD_ID: {build}\nBUILD_TIME: {time}\nIUSE: {iuse}\nUSE: {}\nRDEPEND: {needs} {desktop}\n\n",
                enabled.join(" ")
            );
        }
    }
    stanzas + "CPV: gui/gtk-1\n\nCPV: gui/qt-1\nRDEPEND: gui/gtk"
}

/// What is installed after what was resolved.
fn after(world: &World<'_>) -> Vec<Package> {
    let mut installed = packages(world.installed);
    let chosen = world.resolution(|resolution| {
        let chosen = resolution.chosen.iter().map(|chosen| chosen.package.clone());
        chosen.collect::<Vec<_>>()
    });
    let chosen = chosen.unwrap_or_else(|error| panic!("{error}"));
    installed.retain(|old| {
        !chosen
            .iter()
            .any(|new| new.cpv.name == old.cpv.name && new.slot == old.slot)
    });
    installed.extend(chosen);
    installed
}

#[test]
fn emerge_wants_no_other_build_whatever_was_built_last() {
    let own = "systemd nls ssl";
    for order in 0..3 {
        let offered = offered(order, own);
        let world = World {
            installed: STAGE3,
            offered: &offered,
            wanted: "net/server net/client lib/desktop >=lib/special-2",
            init: Some(Init::Systemd),
            profile: "systemd nls ssl",
            ..World::default()
        };
        let after = after(&world);
        let built = |name: &str| {
            let package = after.iter().find(|package| package.cpv.name.as_str() == name);
            package.map(|package| (package.use_flags.as_str(), package.rdepend.as_str()))
        };
        assert_eq!(
            built("net/server"),
            Some(("systemd ssl", "lib/special lib/plain"))
        );
        assert_eq!(built("net/client"), Some(("systemd nls ssl", "lib/ssl")));
        assert_eq!(built("lib/special"), Some(("ssl doc", "")));
        assert_eq!(built("lib/desktop"), Some(("systemd", "")));
        // This one knows no flag: one is taken that was built where no desktop is.
        assert_eq!(built("lib/plain"), Some(("", "gtk? ( gui/gtk )")));
        assert_eq!((built("gui/gtk"), built("gui/qt")), (None, None));
        // The line of package.use is the profile's, which only emerge knows.
        let known = World {
            package_use: "lib/special doc",
            ..world
        };
        let changes = emerge::update(&known, &after).unwrap_or_else(|said| panic!("{said}"));
        assert_eq!(changes, [] as [&str; 0], "order {order}");
    }
}

#[test]
fn a_build_of_another_init_is_the_last() {
    // Without a build of the node's own profile the nearest one is taken; the newest is OpenRC's.
    let offered = "CPV: app/a-1\nBUILD_ID: 1\nBUILD_TIME: 9\nIUSE: systemd ssl\nUSE: ssl\n\n\
                   CPV: app/a-1\nBUILD_ID: 2\nBUILD_TIME: 8\nIUSE: systemd ssl X gtk\nUSE: systemd ssl X gtk\n\n\
                   CPV: app/a-1\nBUILD_ID: 3\nBUILD_TIME: 7\nIUSE: systemd ssl X gtk\nUSE: systemd ssl X\n\n\
                   CPV: app/a-1\nBUILD_ID: 4\nBUILD_TIME: 6\nIUSE: systemd ssl X gtk\nUSE: systemd ssl X\nRDEPEND: lib/x";
    let world = World {
        installed: STAGE3,
        offered: &format!("{offered}\n\nCPV: lib/x-1"),
        wanted: "app/a",
        init: Some(Init::Systemd),
        ..World::default()
    };
    assert_eq!(world.resolved().unwrap(), ["app/a-1-3"]);
    let told = world.resolution(|resolution| {
        let told =
            |over: &PassedOver<'_>| format!("{}: {}", over.package.build_id.unwrap_or_default(), over.why);
        resolution.chosen[0]
            .passed_over
            .iter()
            .map(told)
            .collect::<Vec<_>>()
    });
    assert_eq!(
        told.unwrap(),
        [
            "4: brings 1 packages, not 0",
            "2: 2 USE flags other than the node's (X gtk), not 1",
            "1: built with -systemd against the node's init",
        ]
    );
    // There is no other: better than none.
    let only = World {
        offered: "CPV: app/a-1\nIUSE: systemd\nUSE: ",
        ..world
    };
    assert_eq!(only.resolved().unwrap(), ["app/a-1-1"]);
}

#[test]
fn what_is_needed_comes_before_what_is_preferred() {
    let world = World {
        installed: STAGE3,
        offered: "CPV: app/a-1\nRDEPEND: lib/x[gtk]\n\nCPV: lib/x-1\nBUILD_ID: 1\nIUSE: gtk ssl\nUSE: ssl\n\n\
                  CPV: lib/x-1\nBUILD_ID: 2\nIUSE: gtk ssl\nUSE: ssl gtk",
        wanted: "app/a",
        ..World::default()
    };
    assert_eq!(world.resolved().unwrap(), ["lib/x-1-2", "app/a-1-1"]);
    let over = world.resolution(|resolution| {
        resolution.chosen[0]
            .passed_over
            .iter()
            .map(|over| over.why.clone())
            .collect::<Vec<_>>()
    });
    assert_eq!(over.unwrap(), [Why::Unfit]);
}

#[test]
fn whoever_asks_decides_over_the_stage3() {
    let world = World {
        installed: STAGE3,
        offered: "CPV: app/a-1\nBUILD_ID: 1\nIUSE: ssl man\nUSE: ssl man\n\nCPV: app/a-1\nBUILD_ID: 2\nIUSE: ssl man\nUSE: man\n\n\
                  CPV: app/a-1\nBUILD_ID: 3\nIUSE: ssl man\nUSE: ssl",
        wanted: "app/a",
        profile: "ssl systemd nls",
        package_use: "app/a man -ssl",
        ..World::default()
    };
    assert_eq!(world.resolved().unwrap(), ["app/a-1-2"]);
    assert_eq!(emerge::decision(&world).unwrap(), ["app/a-1-2"]);
    let stage3 = World {
        package_use: "",
        ..world
    };
    assert_eq!(stage3.resolved().unwrap(), ["app/a-1-3"]);
    assert_eq!(emerge::decision(&stage3).unwrap(), ["app/a-1-3"]);
}

/// Every build of every package brings others: to count all of them to the end would take longer than anybody waits.
#[test]
fn an_index_that_is_made_to_waste_time_does_not() {
    let mut offered = String::new();
    for number in 0..400 {
        for build in 1..40 {
            let needs: String = (1..12)
                .map(|step| format!("lib/p{} ", (number * 13 + step * build * 7) % 400))
                .collect();
            offered += &format!("CPV: lib/p{number}-1\nBUILD_ID: {build}\nRDEPEND: {needs}\n\n");
        }
    }
    let world = World {
        offered: &offered,
        wanted: "lib/p0",
        ..World::default()
    };
    let started = std::time::Instant::now();
    assert!(world.resolved().is_ok());
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
