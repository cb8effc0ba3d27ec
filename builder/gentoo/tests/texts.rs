//! Atoms, dependency strings and indexes as texts: what is read, what is refused, and that no text is too much.

use gentoo::depend::{self, Need, Reader};
use gentoo::index::{MAX_LINE, Packages};
use gentoo::{Atom, UseState};
use proptest::prelude::*;

fn needs(text: &str, flags: &[&str], empty_any_is_met: bool) -> String {
    let reader = Reader {
        enabled: &|flag| flags.contains(&flag),
        empty_any_is_met,
    };
    let needs = reader.needs(&depend::parse(text).expect("a sound string"));
    let needs: Vec<String> = needs.iter().map(Need::to_string).collect();
    needs.join(" ")
}

#[test]
fn an_atom_is_shown_as_it_was_written() {
    for text in [
        "a/b",
        "!a/b",
        "!!a/b",
        "<a/b-1",
        "<=a/b-1.2b_rc3_p-r4",
        "=a/b-1",
        "=a/b-1*",
        "~a/b-1",
        ">=a/b-1-r0",
        ">a/b-1",
        "a/b:0",
        "a/b:0/1.2",
        "a/b:*",
        "a/b:=",
        "a/b:0=",
        "a/b:0/1=",
        "a/b::gentoo",
        "=a/b-1*:0/1=::gentoo[x,-y,z?,!u?,v=,!w=,s(+),-t(-),r(-)?]",
        "dev-libs/a+b_c-d:5-compat",
    ] {
        let atom: Atom = text.parse().unwrap();
        assert_eq!(atom.to_string(), text);
    }
}

#[test]
fn what_is_no_atom_is_refused() {
    for text in [
        "",
        "!",
        "a",
        "a/b-1",
        "=a/b",
        "a/b*",
        ">a/b-1*",
        "=*/b-1",
        "!!!a/b",
        "==a/b-1",
        "a/b:",
        "a/b:/1",
        "a/b:0*",
        "a/b:0/*",
        "a/b:0/1/2",
        "a/b:-1",
        "a/b::",
        "a/b::-x",
        "a/b[]",
        "a/b[x",
        "a/b[x,]",
        "a/b[!x]",
        "a/b[-x?]",
        "a/b[x?(+)]",
        "a/b[!-x]",
        "a/b[_x]",
        "a/b[x]y",
        "a/b[x][y]",
        "a/b ",
        "=a/b-1.*",
        "=a/b-1-r*",
        "../b",
        "a/é",
    ] {
        assert!(text.parse::<Atom>().is_err(), "{text}");
    }
    let error = "a/b[x,!y]".parse::<Atom>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`!y` is no USE dependency: `!` goes with `?` or `=` behind the flag, `-` with neither"
    );
}

#[test]
fn conditions_are_evaluated_with_the_flags_of_the_package() {
    for (text, expected) in [
        (
            "a/b on? ( a/c ) off? ( a/d ) !on? ( a/e ) !off? ( a/f on? ( a/g ) )",
            "a/b a/c a/f a/g",
        ),
        ("a/b[on?,off?,!on?,!off?]", "a/b[on,-off]"),
        ("a/b[on=,off=,!on=,!off=]", "a/b[on,-off,-on,off]"),
        ("a/b[off(+)?] a/b[on(-)?]", "a/b a/b[on(-)]"),
        (
            "|| ( on? ( a/b a/c ) off? ( a/d ) a/e )",
            "|| ( ( a/b a/c ) a/e )",
        ),
        ("|| ( || ( a/b a/c ) ( a/d ) )", "|| ( || ( a/b a/c ) ( a/d ) )"),
        ("( off? ( a/b ) ) ( a/c )", "( a/c )"),
    ] {
        assert_eq!(needs(text, &["on"], true), expected, "{text}");
    }
    // Up to EAPI 6 an empty choice is no need.
    assert_eq!(needs("|| ( off? ( a/b ) )", &[], true), "");
    assert_eq!(needs("|| ( off? ( a/b ) )", &[], false), "|| ( )");
}

#[test]
fn what_is_no_dependency_string_is_refused() {
    for (text, expected) in [
        ("( a/b", "a `(` of the dependencies has no `)`"),
        ("a/b )", "a `)` of the dependencies has no `(`"),
        ("|| a/b", "`||` of the dependencies is not followed by `(`"),
        ("x? a/b", "`x?` of the dependencies is not followed by `(`"),
        (
            "^^ ( a/b )",
            "`^^` is no dependency: only `REQUIRED_USE` has such groups",
        ),
        ("!? ( a/b )", "`!?` is no condition: it is a USE flag and `?`"),
        (
            "x?( a/b )",
            "`x?(` is no name of a package: it is written CATEGORY/PACKAGE",
        ),
        (
            &"( ".repeat(10_000),
            "groups of the dependencies lie more than 32 deep in each other",
        ),
    ] {
        assert_eq!(depend::parse(text).unwrap_err().to_string(), expected);
    }
}

const HEADER: &str = "ARCH: arm64\nCHOST: aarch64-unknown-linux-gnu\nREPO: gentoo\nURI: http://example.org/a:b\nVERSION: 0\nPACKAGES: 1\n\n";

fn one(stanza: &str) -> Result<Packages, String> {
    Packages::parse(format!("{HEADER}{stanza}").as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn what_a_package_does_not_say_is_the_headers_or_the_default() {
    let index = one("CPV: app/bar-2-r1\n").unwrap();
    assert_eq!(index.header["URI"], "http://example.org/a:b");
    let package = &index.packages[0];
    assert_eq!(
        (&*package.slot, &*package.subslot, &*package.eapi),
        ("0", "0", "0")
    );
    assert_eq!(
        (&*package.chost, &*package.repository),
        ("aarch64-unknown-linux-gnu", "gentoo")
    );
    assert_eq!(package.path.as_deref(), Some("app/bar-2-r1.tbz2"));
    assert_eq!(
        (package.build_id, package.build_time, package.size),
        (None, None, None)
    );

    let index = one(
        "BUILD_ID: 3\nBUILD_TIME: 1758000000\nCHOST: x\nCPV: app/bar-2-r1\nDESC: a: b\nEAPI: 8\nIUSE: +ssl -gui test\nMD5: D41D8CD98F00B204E9800998ECF8427E\n\
         PATH: app/bar/bar-2-r1-3.gpkg.tar\nREPO: own\nSIZE: 20480\nSLOT: 1/1.2\nUSE: elibc_glibc ssl\nUNKNOWN: x\n\n",
    )
    .unwrap();
    let package = &index.packages[0];
    assert_eq!(
        (&*package.slot, &*package.subslot, &*package.repository),
        ("1", "1.2", "own")
    );
    assert_eq!(package.md5.as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e"));
    assert_eq!(
        (package.build_id, package.build_time, package.size),
        (Some(3), Some(1_758_000_000), Some(20480))
    );
    let flags = ["ssl", "gui", "test", "elibc_glibc", "elibc_musl", "other"].map(|flag| package.flag(flag));
    let (on, off) = (Some(UseState::Enabled), Some(UseState::Disabled));
    assert_eq!(flags, [on, off, off, on, off, None]);
}

#[test]
fn a_hostile_index_is_one_error_with_its_line() {
    for (stanza, expected) in [
        (
            "CPV app/bar-2\n",
            "line 8 of the index: `CPV app/bar-2` is not `KEY: VALUE`",
        ),
        (
            "CPV: app/bar-2\nSLOT: 0\nSLOT: 1\n",
            "line 10 of the index: `SLOT` is given twice",
        ),
        (
            "CPV: app/bar-2\nREPO: a\nrepository: b\n",
            "line 10 of the index: `repository` is given twice",
        ),
        (
            "SLOT: 0\n",
            "line 8 of the index: the package that starts here has no CPV",
        ),
        (
            "CPV:\n",
            "line 8 of the index: the package that starts here has no CPV",
        ),
        (
            "SLOT: 0\nCPV: ../../etc/passwd-1\n",
            "line 8 of the index: the package that starts here: `../../etc/passwd` is no name of a package: \
             a category has letters, digits and `_`, then also `+`, `.` and `-`",
        ),
        (
            "CPV: app/bar\n",
            "line 8 of the index: the package that starts here: `app/bar` is no package of a version: it is written CATEGORY/PACKAGE-VERSION",
        ),
        (
            "CPV: app/bar-2\nSLOT: 0/../1\n",
            "line 8 of the index: the package that starts here: SLOT is `0/../1`, which is not SLOT or SLOT/SUBSLOT",
        ),
        (
            "CPV: app/bar-2\nSIZE: -1\n",
            "line 8 of the index: the package that starts here: SIZE is `-1`, which is not a number that fits",
        ),
        (
            "CPV: app/bar-2\nBUILD_ID: 99999999999\n",
            "line 8 of the index: the package that starts here: BUILD_ID is `99999999999`, which is not a number that fits",
        ),
        (
            "CPV: app/bar-2\nSHA1: 12\n",
            "line 8 of the index: the package that starts here: SHA1 is `12`, which is not 40 hexadecimal digits",
        ),
        (
            "CPV: app/bar-2\n\nCPV: app/bar-3\n",
            "line 10 of the index: the index ends after 2 packages; its header says 1",
        ),
        (
            "",
            "line 1 of the index: the index ends after 0 packages; its header says 1",
        ),
    ] {
        assert_eq!(one(stanza).unwrap_err(), expected);
    }
    for path in [
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "./a",
        "a/",
        "a\\b",
        "a/\0",
    ] {
        let error = one(&format!("CPV: app/bar-2\nPATH: {path}\n")).unwrap_err();
        assert!(
            error.contains("PATH is") && error.contains("a path below the source"),
            "{error}"
        );
    }
    let keys: String = (0..300).map(|number| format!("K{number}: x\n")).collect();
    assert!(
        one(&keys)
            .unwrap_err()
            .contains("more than 256 keys without an empty line")
    );
    let long = format!("CPV: app/bar-2\nDESC: {}\n", "x".repeat(MAX_LINE));
    assert!(
        one(&long)
            .unwrap_err()
            .starts_with("line 9 of the index: it has 1048582 bytes")
    );
    let error = |bytes: &[u8]| Packages::parse(bytes).unwrap_err().to_string();
    assert_eq!(
        error(b"ARCH: arm64\n\nCPV: a/b-1\nDESC: \xff\n"),
        "line 4 of the index: it is not UTF-8"
    );
    assert_eq!(
        error(b"\n\nVERSION: 1\n"),
        "line 3 of the index: the index has version `1`; this program reads version 0"
    );
    assert!(error(b"\x1f\x8b\x08\0\0").contains("is not"));
    assert_eq!(Packages::parse(b"").unwrap(), Packages::default());
}

#[test]
fn dependencies_are_read_only_of_packages_that_play_a_part() {
    let index = one("CPV: app/bar-2\nRDEPEND: ( ( (\n").unwrap();
    let error = index.packages[0].needs().unwrap_err();
    assert_eq!(
        error.to_string(),
        "its RDEPEND cannot be read: a `(` of the dependencies has no `)`"
    );
}

proptest! {
    #[test]
    fn no_atom_panics(text in "[!<>=~]{0,3}[ab/é-]{1,5}(-[0-9._rp*-]{0,6})?(:[0-9/=*:g]{0,5})?(\\[[a,!?=()+-]{0,9}\\]?)?") {
        if let Ok(atom) = text.parse::<Atom>() {
            let again: Atom = atom.to_string().parse().expect("it was one");
            prop_assert_eq!(&again, &atom);
            prop_assert_eq!(again.to_string(), text);
        }
    }

    #[test]
    fn no_dependency_string_panics(words in prop::collection::vec("\\|\\||\\(|\\)|a\\?|!b\\?|a/b|>=a/c-1:=|[a-z?!(]{1,3}", 0..40)) {
        if let Ok(items) = depend::parse(&words.join(" ")) {
            let reader = Reader { enabled: &|flag| flag == "a", empty_any_is_met: false };
            let needs = reader.needs(&items);
            let text: Vec<String> = needs.iter().map(Need::to_string).collect();
            let again = reader.needs(&depend::parse(&text.join(" ")).expect("it was one"));
            prop_assert_eq!(again, needs);
        }
    }

    #[test]
    fn no_index_panics(lines in prop::collection::vec("(CPV|SLOT|PATH|SIZE|VERSION|PACKAGES|X)?:? ?[a-z0-9/.-]{0,8}|", 0..40)) {
        if let Ok(index) = Packages::parse(lines.join("\n").as_bytes()) {
            for package in index.packages {
                prop_assert!(package.path.is_some_and(|path| !path.starts_with('/') && !path.split('/').any(|part| part == "..")));
            }
        }
    }
}
