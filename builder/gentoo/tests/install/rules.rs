//! What goes where.

use formats::layer::Body;
use gentoo::install::Options;
use gentoo::{Filters, PackageManager};

use super::*;

fn image() -> RawTar {
    RawTar::default().directory("image/")
}

#[test]
fn a_package_lies_over_the_system_and_in_its_records() {
    let package = Package::new(
        "app/new-1",
        image()
            .directory("image/bin/")
            .file("image/bin/new", "new")
            .hardlink("image/bin/again", "image/bin/new")
            .directory("image/usr/share/a b/")
            .symlink("image/usr/share/a b/link", "../old"),
    );
    let system = install(system(), &[package], options()).unwrap();
    assert_eq!(system.text("usr/bin/new").unwrap(), "new");
    assert_eq!(
        system.tree.lookup(b"usr/bin/again"),
        system.tree.lookup(b"usr/bin/new")
    );
    // Through the system's link, which stays one.
    assert!(matches!(system.inode("bin").unwrap().kind, InodeKind::Symlink(_)));
    assert_eq!(
        system.text("var/db/pkg/app/new-1/CONTENTS").unwrap(),
        "dir /bin\n\
         obj /bin/again 22af645d1859cb5ca6da0c484f1f37ea 1\n\
         obj /bin/new 22af645d1859cb5ca6da0c484f1f37ea 1\n\
         dir /usr/share/a b\n\
         sym /usr/share/a b/link -> ../old 1\n"
    );
    assert_eq!(system.text("var/db/pkg/app/new-1/COUNTER").unwrap(), "41");
    assert_eq!(
        system.text("var/db/pkg/app/new-1/BINPKGMD5").unwrap(),
        "abababababababababababababababab\n"
    );
    assert_eq!(system.text("var/cache/edb/counter").unwrap(), "41");
    assert_eq!(
        system.text("var/lib/portage/world").unwrap(),
        "app/new\napp/other\n"
    );
    assert!(system.removed.is_empty());
}

#[test]
fn directories_of_the_system_are_not_in_the_layer() {
    let tar = image()
        .directory("image/usr/")
        .directory("image/usr/bin/")
        .file("image/usr/bin/new", "");
    let system = install(system(), &[Package::new("app/new-1", tar)], options()).unwrap();
    let index = formats::layer::Index::from_bytes(&system.index).unwrap();
    let directories = index.entries.iter().filter(|entry| entry.body == Body::Directory);
    let paths: Vec<_> = directories
        .map(|entry| String::from_utf8_lossy(&entry.path))
        .collect();
    assert_eq!(paths, ["etc/environment.d", "var/db/pkg/app/new-1"]);
}

#[test]
fn an_older_version_goes_with_what_only_it_has() {
    let tar = image()
        .directory("image/usr/share/new/")
        .file("image/usr/share/new/file", "2")
        .file("image/etc/old.conf", "new")
        .file("image/etc/old.changed", "new");
    let package = Package::new("app/old-2", tar).with("SLOT", "0/2\n");
    let system = install(system(), &[package], options()).unwrap();
    assert_eq!(system.removed, ["usr/share/old", "var/db/pkg/app/old-1"]);
    // Unchanged by the user: replaced. Changed: the new one comes beside it.
    assert_eq!(system.text("etc/old.conf").unwrap(), "new");
    assert_eq!(system.text("etc/old.changed").unwrap(), "the user's");
    assert_eq!(system.text("etc/._cfg0000_old.changed").unwrap(), "new");
    assert_eq!(system.report.protected.len(), 1);
    assert_eq!(system.report.packages[0].replaced.as_deref(), Some("app/old-1"));
    let remembered = system.text("var/lib/portage/config").unwrap();
    assert_eq!(remembered, "/etc/old.changed 22af645d1859cb5ca6da0c484f1f37ea\n");
}

#[test]
fn a_file_that_the_user_refused_is_not_offered_again() {
    let tar = image().file("image/etc/old.changed", "new");
    let before = system().file(
        "./var/lib/portage/config",
        "/etc/old.changed 22af645d1859cb5ca6da0c484f1f37ea\n",
    );
    let system = install(before, &[Package::new("app/old-2", tar)], options()).unwrap();
    assert_eq!(system.text("etc/old.changed").unwrap(), "the user's");
    assert!(system.inode("etc/._cfg0000_old.changed").is_none());
}

#[test]
fn owners_are_the_systems() {
    let named = |name: &str| {
        let mut member = testkit::tars::RawMember::new(b'0', name).header();
        member[265..268].copy_from_slice(b"svc");
        member[297..300].copy_from_slice(b"svc");
        RawTar {
            bytes: testkit::tars::with_checksum(member).to_vec(),
        }
    };
    let system = install(
        system(),
        &[Package::new("app/new-1", named("image/x"))],
        options(),
    )
    .unwrap();
    let attributes = &system.inode("x").unwrap().attributes;
    assert_eq!((attributes.uid, attributes.gid), (42, 43));
}

#[test]
fn accounts_come_with_their_packages() {
    let group = Package::new(
        "acct-group/ntp-0",
        image().file("image/usr/lib/sysusers.d/acct-group-ntp.conf", "g ntp 123\n"),
    )
    .with("DEFINED_PHASES", "preinst install");
    let user = Package::new(
        "acct-user/ntp-0",
        image().directory("image/var/lib/ntp/").file(
            "image/usr/lib/sysusers.d/acct-user-ntp.conf",
            "u ntp 0:ntp \"Time\" /var/lib/ntp -\nm ntp svc\n",
        ),
    )
    .with(
        "environment.bz2",
        bzip2(
            b"declare -x ACCT_USER_NAME=\"ntp\"\ndeclare -- _ACCT_USER_HOME=\"/var/lib/ntp\"\n\
              declare -- _ACCT_USER_HOME_PERMS=\"0750\"\n",
        ),
    );
    let system = install(system(), &[group, user], options()).unwrap();
    let last = |path: &str| system.text(path).unwrap().lines().last().unwrap().to_owned();
    // Number 0 is root's: another one is taken, the highest that is free.
    assert_eq!(
        last("etc/passwd"),
        "ntp:x:999:123:Time:/var/lib/ntp:/sbin/nologin"
    );
    assert_eq!(last("etc/shadow"), "ntp:!:19675::::::");
    assert_eq!(
        system.text("etc/group").unwrap(),
        "root:x:0:\nsvc:x:43:ntp\nntp:x:123:\n"
    );
    let home = &system.inode("var/lib/ntp").unwrap().attributes;
    assert_eq!((home.uid, home.gid, home.mode), (999, 123, 0o750));
    assert!(
        system
            .report
            .packages
            .iter()
            .all(|package| package.unhandled.is_empty())
    );
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    testkit::tars::filter("bzip2", &["-c"], bytes)
}

#[test]
fn phases_that_nothing_does_are_reported() {
    let package = Package::new("app/new-1", image()).with("DEFINED_PHASES", "compile postinst");
    let system = install(system(), &[package], options()).unwrap();
    assert_eq!(system.report.packages[0].unhandled, ["postinst"]);
}

#[test]
fn phases_whose_work_is_left_for_the_first_start_are_not_reported() {
    let phases = [
        "app-misc/ca-certificates-2",
        "sys-libs/glibc-2",
        "sys-apps/systemd-2",
    ]
    .map(|cpv| {
        let package = Package::new(cpv, image()).with("DEFINED_PHASES", "postinst");
        let system = install(system(), &[package], options()).unwrap();
        system.report.packages[0].unhandled.clone()
    });
    // systemd's do more.
    assert_eq!(phases, [vec![], vec![], vec!["postinst".to_owned()]]);
}

#[test]
fn phases_of_firewalls_are_done() {
    let iptables = Package::new(
        "net-firewall/iptables-1.8.11",
        image()
            .file("image/bin/xtables-legacy-multi", "x")
            .file("image/bin/xtables-nft-multi", "x"),
    );
    let nftables = Package::new("net-firewall/nftables-1.1.1", image());
    let system = install(system(), &[iptables, nftables], options()).unwrap();
    for (link, target) in [
        ("iptables-save", "xtables-legacy-multi"),
        ("arptables", "xtables-nft-multi"),
    ] {
        let InodeKind::Symlink(to) = &system.inode(&format!("usr/bin/{link}")).unwrap().kind else {
            panic!("{link}")
        };
        assert_eq!(to, target.as_bytes());
    }
    let saved = system.inode("var/lib/nftables/rules-save").unwrap();
    assert_eq!(saved.attributes.mode, 0o600);
}

#[test]
fn the_environment_follows_env_d() {
    let package = Package::new(
        "app/new-1",
        image().file(
            "image/etc/env.d/50new",
            "LDPATH=\"/usr/lib/new\"\nEDITOR='vi'\nCONFIG_PROTECT=/usr/bin/other\n",
        ),
    );
    let second = Package::new("app/second-1", image().file("image/usr/bin/other", "second"));
    let system = install(system(), &[package, second], options()).unwrap();
    let text = |path| system.text(path).unwrap();
    assert!(text("etc/ld.so.conf").ends_with("\n/usr/lib/new\n"));
    assert!(
        text("etc/profile.env").ends_with("\nexport CONFIG_PROTECT='/usr/bin/other'\nexport EDITOR='vi'\n")
    );
    assert!(text("etc/csh.env").ends_with("\nsetenv EDITOR 'vi'\n"));
    assert!(text("etc/environment.d/10-gentoo-env.conf").ends_with("\nEDITOR=vi\n"));
    // Protected by what the first package brought.
    assert_eq!(text("usr/bin/other"), "other");
    assert_eq!(text("usr/bin/._cfg0000_other"), "second");
}

fn filtered(patterns: &[&str], package_manager: PackageManager) -> Options {
    Options {
        filters: Filters::new(patterns, package_manager).unwrap(),
        ..options()
    }
}

#[test]
fn filters_keep_the_records_true() {
    let package = Package::new(
        "app/new-1",
        image()
            .directory("image/usr/share/locale/")
            .directory("image/usr/share/locale/de/")
            .file("image/usr/share/locale/de/x.mo", "de")
            .directory("image/usr/share/locale/fr/")
            .file("image/usr/share/locale/fr/x.mo", "french"),
    );
    let patterns = ["/usr/share/old", "/usr/share/locale", "!/usr/share/locale/de"];
    let options = filtered(&patterns, PackageManager::Keep);
    let system = install(system(), &[package], options).unwrap();
    assert!(system.inode("usr/share/locale/de/x.mo").is_some());
    assert!(system.inode("usr/share/locale/fr").is_none());
    assert_eq!(system.removed, ["usr/share/old", "var/db/pkg/app/old-1/metadata"]);
    let contents = system.text("var/db/pkg/app/old-1/CONTENTS").unwrap();
    assert!(
        !contents.contains("/usr/share/old") && contents.contains("/etc/old.conf"),
        "{contents}"
    );
    let contents = system.text("var/db/pkg/app/new-1/CONTENTS").unwrap();
    assert!(
        !contents.contains("fr") && contents.contains("dir /usr/share/locale\n"),
        "{contents}"
    );
    let (before, after) = (system.report.before, system.report.after);
    // The link, the file of one byte behind it, the French file.
    assert_eq!(before.files - after.files, 3);
    assert_eq!(before.bytes - after.bytes, 1 + 6);
}

#[test]
fn the_package_manager_can_go() {
    let before = system()
        .directory("./var/db/pkg/sys-apps/portage-3/")
        .file("./var/db/pkg/sys-apps/portage-3/SLOT", "0")
        .file(
            "./var/db/pkg/sys-apps/portage-3/CONTENTS",
            "obj /usr/bin/emerge 00000000000000000000000000000000 1\n",
        )
        .file("./usr/bin/emerge", "x");
    let package = Package::new("app/new-1", image().file("image/usr/bin/new", "new"));
    let system = install(before, &[package], filtered(&[], PackageManager::Drop)).unwrap();
    for path in ["usr/bin/emerge", "var/db/pkg", "var/lib/portage", "var/cache/edb"] {
        assert!(system.inode(path).is_none(), "{path}");
    }
    assert_eq!(system.text("usr/bin/new").unwrap(), "new");
}

#[test]
fn the_same_packages_give_the_same_bytes() {
    let package = Package::new("app/new-1", image().file("image/usr/bin/new", [7; 300_000]));
    let index = || {
        install(system(), std::slice::from_ref(&package), options())
            .unwrap()
            .index
    };
    assert_eq!(index(), index());
}

/// What packages leave for the first start, by its names.
fn pending(base: RawTar, packages: &[Package]) -> Vec<&'static str> {
    let base = layer(base);
    let mut installer = Installer::new(&base, Vec::new(), options()).unwrap();
    for package in packages {
        let input = PackageInput {
            cpv: &package.cpv.parse().unwrap(),
            metadata: &package.metadata,
            image: &mut &package.image[..],
            prefix: "image/",
            bin_md5: [0; 16],
            requested: false,
        };
        installer.add(input).unwrap();
    }
    let pending = installer.pending().unwrap();
    pending.into_iter().map(gentoo::install::Pending::name).collect()
}

#[test]
fn what_takes_programs_of_the_node_is_left_for_its_first_start() {
    let plain = || Package::new("app/plain-1", image().file("image/usr/bin/plain", "x"));
    assert_eq!(pending(system(), &[plain()]), [] as [&str; 0]);
    let certificates = image().file("image/usr/share/ca-certificates/mozilla/a.crt", "x");
    let glibc = image().file("image/usr/share/i18n/locales/de_DE", "x");
    let systemd = image()
        .file("image/lib/udev/hwdb.d/20-a.hwdb", "x")
        .file("image/usr/lib/systemd/catalog/a.catalog", "x");
    let packages = [
        plain(),
        Package::new("app-misc/ca-certificates-2", certificates),
        Package::new("sys-libs/glibc-2", glibc),
        Package::new("sys-apps/systemd-2", systemd),
    ];
    let all = ["certificates", "locales", "hardware-database", "catalog"];
    assert_eq!(pending(system(), &packages), all);
}

#[test]
fn the_loaders_cache_follows_folders_that_it_alone_knows() {
    let with = |more: &str| {
        system()
            .directory("./usr/lib64/")
            .symlink("./lib64", "usr/lib64")
            .directory("./usr/lib/old/")
            .file(
                "./etc/env.d/00glibc",
                "LDPATH=/lib64:/usr/lib64:/usr/lib/old:/usr/lib/gone\n",
            )
            .file(
                "./etc/ld.so.conf",
                format!("/lib64\n/usr/lib64\n/usr/lib/old\n/usr/lib/gone\n{more}"),
            )
    };
    let stage3 = || with("");
    let library = |path: &str| Package::new("lib/a-1", image().file(path, "x"));
    // Where the loader looks anyway, by whichever name.
    for known in [
        "image/usr/lib64/liba.so.1",
        "image/lib64/liba.so",
        "image/usr/lib/python/a.so",
    ] {
        assert_eq!(pending(stage3(), &[library(known)]), [] as [&str; 0], "{known}");
    }
    assert_eq!(
        pending(stage3(), &[library("image/usr/lib/old/liba.so.1")]),
        ["library-cache"]
    );
    let brings = image()
        .file("image/usr/lib/new/liba.so.1", "x")
        .file("image/etc/env.d/50a", "LDPATH=/usr/lib/new\n");
    assert_eq!(
        pending(stage3(), &[Package::new("lib/a-1", brings)]),
        ["library-cache"]
    );
    let included = || {
        with("include ld.so.conf.d/*.conf\n")
            .file("./etc/env.d/01more", "LDPATH=\"include ld.so.conf.d/*.conf\"\n")
            .directory("./etc/ld.so.conf.d/")
            .file("./etc/ld.so.conf.d/gcc.conf", "# the compiler's\n/usr/lib/gcc\n")
            .file("./etc/ld.so.conf.d/other", "/usr/lib/python\n")
    };
    assert_eq!(
        pending(included(), &[library("image/usr/lib/python/a.so")]),
        [] as [&str; 0]
    );
    assert_eq!(
        pending(included(), &[library("image/usr/lib/gcc/liba.so.1")]),
        ["library-cache"]
    );
}

#[test]
fn files_of_whoever_builds_are_nobodys() {
    let base = layer(system());
    let mut installer = Installer::new(&base, Vec::new(), options()).unwrap();
    installer
        .write("etc/portage/package.use/own", 0o644, b"app/x y\n".to_vec())
        .unwrap();
    assert_eq!(
        installer.read("etc/portage/package.use/own").unwrap().unwrap(),
        b"app/x y\n"
    );
    assert_eq!(installer.names("etc/portage/package.use"), ["own"]);
    assert!(installer.names("etc/nowhere").is_empty());
    let error = installer.write("usr/file/own", 0o644, Vec::new()).unwrap_err();
    assert!(chain(&error).contains("usr/file"), "{}", chain(&error));
}

#[test]
fn a_program_is_found_by_either_name_of_its_folder() {
    let ping = |filecaps: &str| {
        Package::new(
            "net-misc/iputils-2",
            image()
                .directory("image/usr/bin/")
                .file("image/usr/bin/ping", "x"),
        )
        .with("INHERITED", "fcaps")
        .with("environment.bz2", bzip2(filecaps.as_bytes()))
    };
    for path in ["bin/ping", "usr/bin/ping", "/bin/ping"] {
        let given =
            format!("declare -a FILECAPS=([0]=\"-M\" [1]=\"u-s\" [2]=\"cap_net_raw+p\" [3]=\"{path}\")\n");
        let system = install(system(), &[ping(&given)], options()).unwrap();
        let attributes = &system.inode("usr/bin/ping").unwrap().attributes;
        assert!(
            attributes.xattrs.contains_key(&b"security.capability"[..]),
            "{path}"
        );
    }
    let given =
        "declare -a FILECAPS=([0]=\"-M\" [1]=\"u-s;reboot\" [2]=\"cap_net_raw+p\" [3]=\"bin/ping\")\n";
    let error = install(system(), &[ping(given)], options())
        .map(drop)
        .unwrap_err();
    assert!(
        chain(&error).contains("is no mode of a file"),
        "{}",
        chain(&error)
    );
}
