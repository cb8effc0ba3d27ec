//! What is refused, and with which words.

use testkit::tars::RawMember;

use super::*;

fn image() -> RawTar {
    RawTar::default()
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let own_link = image().symlink("image/a", "etc").file("image/a/passwd", "x");
    let device = image().member(&RawMember {
        device: (1, 3),
        ..RawMember::new(b'3', "image/null")
    });
    let cases: &[(RawTar, &str)] = &[
        (
            image().file("image/../x", ""),
            "entry `image/../x` is refused: the path contains `..`",
        ),
        (image().file("image//x", ""), "is refused: the path"),
        (image().file("/image/x", ""), "the path is absolute"),
        (
            image().file("other/x", ""),
            "`other/x` is refused: it does not lie in `image/`",
        ),
        (image().file("imagery", ""), "does not lie in"),
        (
            image().file("image/usr/bin/other", ""),
            "app/new-1 cannot be installed: `usr/bin/other` is a file of app/other-2, too",
        ),
        (
            image().file("image/bin/other", ""),
            "`usr/bin/other` is a file of app/other-2, too",
        ),
        (
            image().file("image/bin/x", "").file("image/usr/bin/x", ""),
            "`usr/bin/x` is in the package twice",
        ),
        (
            image().file("image/x", "").file("image/x", ""),
            "an earlier entry has the same path",
        ),
        (
            image().file("image/usr/bin", ""),
            "`usr/bin` is a directory on the system and a file in the package",
        ),
        (
            image().symlink("image/usr/bin", "bin"),
            "a directory on the system and a symbolic link in the package",
        ),
        (
            image().directory("image/usr/file"),
            "`usr/file` is a directory in the package and a file on the system",
        ),
        (
            image().file("image/usr/file/x", ""),
            "`usr/file` is a directory in the package and a file on the system",
        ),
        (
            image().file("image/nowhere/x", ""),
            "a symbolic link that leads to no directory",
        ),
        (own_link, "it passes through `a`, which is a symbolic link"),
        (
            image().file("image/x", "").file("image/x/y", ""),
            "it passes through `x`, which is a file",
        ),
        (
            image().hardlink("image/x", "image/y"),
            "it is a hard link to `image/y`, which is no earlier file",
        ),
        (
            image().hardlink("image/x", "etc/shadow"),
            "it is a hard link to `etc/shadow`",
        ),
        (
            image().hardlink("image/x", "image/../etc/shadow"),
            "which is no earlier file of the image",
        ),
        (device, "it is a character device, which packages do not have"),
        (
            image().symlink("image/x", "a\nb"),
            "`x` has a line break, which CONTENTS cannot hold",
        ),
        (image().file("image/a\nb", ""), "a line break"),
        (image().file(b"image/caf\xe9", ""), "a name that is no UTF-8"),
        (
            image().symlink("image/x", b"caf\xe9"),
            "a target that is no UTF-8",
        ),
        (
            image().file("image/var/db/pkg/app/x-1/SLOT", ""),
            "belongs to the package manager's own records",
        ),
        (
            image().file("image/var/cache/edb/counter", ""),
            "belongs to the package manager's own records",
        ),
        (
            image().file("image/etc/env.d/50x", "A=\"b"),
            "`etc/env.d/50x`, line 1: a quote is not closed",
        ),
    ];
    let mut wrong = Vec::new();
    for (tar, words) in cases {
        let package = Package::new("app/new-1", tar.clone());
        match install(system(), &[package], options()) {
            Ok(_) => wrong.push(format!("accepted; should say: {words}")),
            Err(error) if !chain(&error).contains(words) => {
                wrong.push(format!("{}; should say: {words}", chain(&error)));
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_link_that_climbs_out_ends_at_the_root() {
    let package = Package::new("app/new-1", image().file("image/outside/bin/new", "x"));
    let system = install(system(), &[package], options()).unwrap();
    assert_eq!(system.text("usr/bin/new").unwrap(), "x");
}

#[test]
fn images_that_are_cut_or_spliced_are_refused() {
    let whole = Package::new("app/new-1", image().file("image/x", [1; 2000]));
    let cut = |length: usize| Package {
        image: whole.image[..length].to_vec(),
        ..whole.clone()
    };
    let mut spliced = whole.clone();
    spliced.image.extend_from_slice(b"more");
    for package in [cut(100), cut(1500), cut(2560), spliced] {
        let error = chain(&install(system(), &[package], options()).err().unwrap());
        assert!(error.contains("the archive"), "{error}");
    }
}

#[test]
fn metadata_that_is_no_packages_is_refused() {
    let package = || Package::new("app/new-1", image());
    let mut without_slot = package();
    without_slot.metadata.remove("SLOT");
    let cases = [
        (without_slot, "its metadata file SLOT is missing or empty"),
        (package().with("SLOT", " \n"), "SLOT is missing or empty"),
        (package().with("PF", "new-2"), "PF says \"new-2\", not \"new-1\""),
        (
            package().with("CATEGORY", "lib"),
            "CATEGORY says \"lib\", not \"app\"",
        ),
        (package().with("../x", ""), "has no name of a file"),
        (package().with("..", ""), "has no name of a file"),
        (
            package().with("environment.bz2", "no bzip2"),
            "environment.bz2 cannot be unpacked",
        ),
    ];
    for (package, words) in cases {
        let error = chain(&install(system(), &[package], options()).err().unwrap());
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn packages_that_exclude_each_other_are_refused() {
    let package = |cpv, path: &str| Package::new(cpv, image().file(path, cpv));
    for (first, second, words) in [
        (
            "app/new-1",
            "app/new-2",
            "app/new-2 cannot be installed: app/new-1 was installed before it",
        ),
        ("app/new-1", "app/new-1", "app/new-1 was installed before it"),
        ("app/new-1", "lib/new-1", "`x` is a file of app/new-1, too"),
    ] {
        let packages = [package(first, "image/x"), package(second, "image/x")];
        let error = chain(&install(system(), &packages, options()).err().unwrap());
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn systems_whose_records_are_wrong_are_refused() {
    let folder = "./var/db/pkg/app/bad-1";
    let vdb = |file: &str, bytes: &[u8]| system().file(format!("{folder}/{file}"), bytes);
    let cases = [
        (
            vdb("CONTENTS", b"obj /x\n"),
            "CONTENTS of app/bad-1 cannot be read: line 1",
        ),
        (
            vdb("CONTENTS", b"dir /ok\ndir /a/../..\n"),
            "line 2 is not one of CONTENTS: its path contains `..`",
        ),
        (
            vdb("COUNTER", b"many"),
            "`var/db/pkg/app/bad-1/COUNTER` is no counter",
        ),
        (
            system().directory("./var/db/pkg/app/noversion/"),
            "`var/db/pkg/app/noversion` is no folder of an installed package",
        ),
    ];
    for (base, words) in cases {
        let error = chain(&install(base, &[], options()).err().unwrap());
        assert!(error.contains(words), "{error}");
    }
    // The rest is in place of what the system has otherwise.
    for (path, bytes, words) in [
        (
            "etc/passwd",
            "root:x:0\n",
            "`etc/passwd`, line 1: a name and 6 more fields",
        ),
        (
            "etc/passwd",
            "root:x:zero:0:root:/:/\n",
            "field 3 is no number: \"zero\"",
        ),
        ("etc/passwd", "\n:x:0:0:root:/:/\n", "line 2: a name"),
        (
            "etc/group",
            "root:x:0\n",
            "`etc/group`, line 1: a name and 3 more fields",
        ),
        ("etc/shadow", "root\n", "`etc/shadow`, line 1"),
        ("etc/gshadow", "root\n", "`etc/gshadow`, line 1"),
        ("etc/env.d/00basic", "PATH\n", "`etc/env.d/00basic`, line 1"),
        (
            "var/cache/edb/counter",
            "",
            "`var/cache/edb/counter` is no counter",
        ),
        (
            "var/cache/edb/counter",
            "12x",
            "is no counter that another package can follow: \"12x\"",
        ),
    ] {
        let base = RawTar::default().file(path, bytes);
        let error = chain(&install(base, &[], options()).err().unwrap());
        assert!(error.contains(words), "{error}");
        assert!(
            error.starts_with("the system that packages are to go into is refused"),
            "{error}"
        );
    }
}

#[test]
fn a_counter_at_its_end_is_refused() {
    let base = RawTar::default().file("var/cache/edb/counter", i64::MAX.to_string());
    let package = Package::new("app/new-1", image());
    let error = chain(&install(base, &[package], options()).err().unwrap());
    assert!(
        error.contains("is no counter that another package can follow"),
        "{error}"
    );
}

#[test]
fn accounts_that_cannot_be_are_refused() {
    for (line, words) in [
        ("u x 5:missing", "line 1: there is no group missing"),
        ("m root missing", "there is no group missing"),
        ("u x:y 5", "its name is none of an account"),
        ("u x 99999999999", "its number is none"),
    ] {
        let tar = image().file("image/usr/lib/sysusers.d/acct-user-x.conf", line);
        let error = install(system(), &[Package::new("acct-user/x-0", tar)], options());
        let error = chain(&error.err().unwrap());
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn other_names_of_what_is_left_out_are_refused() {
    let tar = image().file("image/x.a", "").hardlink("image/y", "image/x.a");
    let options = Options {
        filters: gentoo::Filters::new(&["*.a"], Default::default()).unwrap(),
        ..options()
    };
    let error = install(system(), &[Package::new("app/new-1", tar)], options);
    let error = chain(&error.err().unwrap());
    assert!(
        error.contains("`y` is another name of `x.a`, which a filter leaves out"),
        "{error}"
    );
}

#[test]
fn filters_cannot_take_the_records() {
    for pattern in ["/var", "/var/db/*", "pkg", "/var/lib/portage"] {
        let options = Options {
            filters: gentoo::Filters::new(&[pattern], Default::default()).unwrap(),
            ..options()
        };
        let error = chain(&install(system(), &[], options).err().unwrap());
        assert!(
            error.contains("only the choice to drop the package manager"),
            "{error}"
        );
    }
}
