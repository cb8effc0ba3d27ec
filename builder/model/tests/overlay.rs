//! Overlays: what a good one is read as, and which finding each slip gets.

#![allow(clippy::unwrap_used)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use model::files::Files;
use model::overlay::{Account, Overlay, Source, TargetPath, parse_target_path};
use model::sources::{Distribution, Init, Platform};

/// A project with the overlay `test` of these files, relative to its folder.
fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join("overlays/test").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn findings(files: &[(&str, &str)]) -> String {
    findings_in(project(files).path())
}

fn findings_in(root: &Path) -> String {
    match Overlay::load(&Files::of(root), "test") {
        Ok(overlay) => panic!("accepted: {overlay:?}"),
        Err(findings) => findings.to_string(),
    }
}

fn target(path: &str) -> TargetPath {
    parse_target_path(path).unwrap()
}

#[test]
fn what_is_executable_stays_so_unless_the_overlay_says_otherwise() {
    let root = project(&[
        (
            "overlay.toml",
            "description = \"a test\"\n[paths]\n\"/usr/bin/closed\" = { mode = \"0600\" }\n",
        ),
        ("files/usr/bin/run", "#!/bin/sh\n"),
        ("files/usr/bin/closed", "#!/bin/sh\n"),
        ("files/etc/motd", "hello"),
        ("templates/usr/bin/made.hbs", "#!/bin/sh\n"),
    ]);
    let folder = root.path().join("overlays/test");
    for name in [
        "files/usr/bin/run",
        "files/usr/bin/closed",
        "templates/usr/bin/made.hbs",
    ] {
        fs::set_permissions(folder.join(name), Permissions::from_mode(0o700)).unwrap();
    }
    let modes = |root: &Path| {
        let overlay = Overlay::load(&Files::of(root), "test").unwrap();
        ["/etc/motd", "/usr/bin/closed", "/usr/bin/made", "/usr/bin/run"]
            .map(|path| overlay.entries[&target(path)].mode)
    };
    assert_eq!(modes(root.path()), [0o644, 0o600, 0o755, 0o755]);
    let text = "description = \"a test\"\n[defaults]\nmode = \"0640\"\n";
    fs::write(folder.join("overlay.toml"), text).unwrap();
    assert_eq!(modes(root.path()), [0o640; 4]);
}

#[test]
fn what_hardly_belongs_on_a_node_is_told_of() {
    let root = project(&[
        (
            "overlay.toml",
            "description = \"a test\"\n[units]\nenable = [\"grow-rot.service\", \"other.service\"]\n",
        ),
        ("files/etc/motd.orig", "x"),
        ("files/etc/motd.rej", "x"),
        ("files/etc/.DS_Store", "x"),
        ("files/etc/hosts.hbs", "x"),
        ("files/usr/lib/systemd/system/grow-root.service", "x"),
    ]);
    let overlay = Overlay::load(&Files::of(root.path()), "test").unwrap();
    assert!(!overlay.entries.contains_key(&target("/etc/.DS_Store")));
    assert!(overlay.entries.contains_key(&target("/etc/motd.orig")));
    insta::assert_snapshot!(overlay.warnings);
}

#[test]
fn what_an_editor_has_open_is_no_part_of_an_overlay() {
    let root = project(&[
        ("overlay.toml", "description = \"a test\""),
        (".overlay.toml.swp", "x"),
        ("files/etc/motd", "hello"),
        ("files/etc/motd~", "x"),
        ("files/etc/.motd.swp", "x"),
        ("files/etc/#motd#", "x"),
        ("files/etc/.hidden", "part of it"),
        ("templates/etc/issue.hbs", "hello"),
        ("templates/etc/issue.hbs~", "x"),
    ]);
    // What Emacs locks a file with leads nowhere.
    symlink(
        "somebody@somewhere",
        root.path().join("overlays/test/files/etc/.#motd"),
    )
    .unwrap();
    let overlay = Overlay::load(&Files::of(root.path()), "test").unwrap();
    let targets: Vec<_> = overlay.entries.keys().map(TargetPath::to_string).collect();
    assert_eq!(targets, ["/etc/.hidden", "/etc/issue", "/etc/motd"]);
}

#[test]
fn files_templates_links_and_directories_get_owner_and_mode() {
    let root = project(&[
        (
            "overlay.toml",
            r#"
                description = "a test"
                directories = ["/srv/data"]
                remove = ["/etc/motd"]
                [defaults]
                mode = "0640"
                [packages]
                debian = ["zsh", "btrfs-progs"]
                gentoo = ["sys-fs/btrfs-progs"]
                [units]
                enable = ["ssh.service", "serial-getty@ttyS0.service"]
                mask = ["apt-daily.timer"]
                disable = ["getty@tty1.service"]
                [when]
                init = "openrc"
                [runlevels]
                default = ["sshd"]
                [units.debian]
                disable = ["dpkg-db-backup.timer"]
                [links]
                "/etc/localtime" = "/usr/share/zoneinfo/UTC"
                [paths]
                "/etc/ssh/key" = { mode = "0600" }
                "/etc/**" = { owner = "root:adm" }
                "/etc/ssh/*" = { mode = "0444" }
                "/srv/data" = { mode = "1777", owner = "33:33" }
            "#,
        ),
        ("files/etc/motd.d/hello", "hello\n"),
        ("templates/etc/ssh/key.hbs", "{{key}}"),
        ("README.md", "notes"),
    ]);
    let overlay =
        Overlay::load(&Files::of(root.path()), "test").unwrap_or_else(|findings| panic!("{findings}"));
    let shown: Vec<_> = overlay
        .entries
        .iter()
        .map(|(path, entry)| {
            let what = match &entry.source {
                Source::Verbatim(bytes) => format!("file of {} bytes", bytes.len()),
                Source::Template(file) => format!("template {}", file.path.display()),
                Source::Directory => "directory".to_owned(),
                Source::Link(target) => format!("link to {target}"),
            };
            let group = match &entry.owner.group {
                Account::Id(id) => id.to_string(),
                Account::Name(name) => name.clone(),
            };
            format!("{path} {:04o} {group} {what}", entry.mode)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "/etc/localtime 0777 adm link to /usr/share/zoneinfo/UTC",
            "/etc/motd.d/hello 0640 adm file of 6 bytes",
            "/etc/ssh/key 0600 adm template overlays/test/templates/etc/ssh/key.hbs",
            "/srv/data 1777 33 directory",
        ]
    );
    assert_eq!(overlay.removals[0].value, target("/etc/motd"));
    assert_eq!(overlay.units.enable[1].value, "serial-getty@ttyS0.service");
    assert_eq!(overlay.units.enable[1].place.line_column().0, 11);
    assert_eq!(overlay.runlevels["default"][0].value, "sshd");
    let openrc = Platform {
        distribution: Distribution::Gentoo,
        init: Init::OpenRc,
    };
    assert!(overlay.applies_to(openrc));
    assert!(!overlay.applies_to(Platform::DEBIAN));
    let disabled = |distribution| -> Vec<_> {
        let units = overlay.units_on(distribution);
        units
            .flat_map(|units| &units.disable)
            .map(|unit| unit.value.clone())
            .collect()
    };
    assert_eq!(
        disabled(Distribution::Debian),
        ["getty@tty1.service", "dpkg-db-backup.timer"]
    );
    assert_eq!(disabled(Distribution::Gentoo), ["getty@tty1.service"]);
    assert_eq!(
        overlay.packages.debian.keys().collect::<Vec<_>>(),
        ["btrfs-progs", "zsh"]
    );
}

/// Each slip in `overlay.toml` with words of the finding it must get. The file `/etc/foo` is there.
const SLIPS: &[(&str, &str)] = &[
    ("colour = 1", "unknown key `colour`"),
    ("[units]\nenabel = []", "did you mean `enable`?"),
    ("[units.debain]", "did you mean `debian`?"),
    (
        "[units]\nenable = [\"a.service\"]\n[units.gentoo]\nmask = [\"a.service\"]",
        "unit `a.service` is given twice",
    ),
    ("[units.gentoo]\nmask = [\"sshd\"]", "`sshd` cannot name a unit"),
    (
        "[runlevels]\ndefault = [\"a/b\"]",
        "`a/b` cannot name a runlevel or a service",
    ),
    ("[runlevels]\nboot = [\"a\", \"a\"]", "service `a` is given twice"),
    ("[when]\ninit = \"runit\"", "`when.init` cannot be `runit`"),
    ("[paths]\n\"/etc/foo\" = { mode = 600 }", "must be a string"),
    (
        "[paths]\n\"/etc/foo\" = { mode = \"0800\" }",
        "the mode `0800` is not octal permissions",
    ),
    (
        "[paths]\n\"/etc/foo\" = { mode = \"rw-\" }",
        "the mode `rw-` is not octal permissions",
    ),
    (
        "[paths]\n\"/etc/foo\" = { mode = \"+600\" }",
        "the mode `+600` is not octal permissions",
    ),
    (
        "[paths]\n\"/etc/foo\" = { owner = \"root\" }",
        "the owner `root` is not `user:group`",
    ),
    (
        "[paths]\n\"/etc/foo\" = { owner = \"0:4294967295\" }",
        "is not `user:group`",
    ),
    (
        "[paths]\n\"/etc/foo\" = {}",
        "declares neither an owner nor a mode",
    ),
    (
        "[paths]\n\"/etc/fooo\" = { mode = \"0600\" }",
        "did you mean `/etc/foo`?",
    ),
    (
        "[paths]\n\"/etc/*.d/*\" = { mode = \"0600\" }",
        "nothing of this overlay is `/etc/*.d/*`",
    ),
    (
        "directories = [\"/etc/../../root\"]",
        "the path `/etc/../../root` has the component `..`",
    ),
    (
        "directories = [\"srv\"]",
        "the path `srv` does not start with `/`",
    ),
    ("remove = [\"/\"]", "the path `/` is the root itself"),
    (
        "[links]\n\"/etc/foo\" = \"bar\"",
        "`/etc/foo` comes from overlays/test/files/etc/foo and from overlays/test/overlay.toml:3",
    ),
    (
        "[links]\n\"/etc/bar\" = \"\"",
        "the target of a link has 1 to 4095 bytes",
    ),
    ("[links]\n\"/etc/foo/bar\" = \"x\"", "lies in `/etc/foo`"),
    (
        "[units]\nenable = [\"ssh\"]",
        "`ssh` cannot name a unit: it has no suffix",
    ),
    (
        "[units]\nenable = [\"ssh.servcie\"]",
        "it ends in `.servcie`, which is no kind of unit",
    ),
    ("[units]\nenable = [\"a b.service\"]", "it has the character ` `"),
    (
        "[units]\nenable = [\"@x.service\"]",
        "it has no name before its suffix",
    ),
    ("[units]\nenable = [\"../x.service\"]", "it has the character `/`"),
    (
        "[units]\nenable = [\"a.service\"]\nmask = [\"a.service\"]",
        "unit `a.service` is given twice",
    ),
    (
        "[packages]\ndebian = [\"sys-fs/btrfs-progs\"]",
        "cannot name a package",
    ),
    (
        "[packages]\ndebian = [\"--allow\"]",
        "`--allow` cannot name a package",
    ),
    ("[packages]\ngentoo = [\"btrfs-progs\"]", "category and name"),
    (
        "[sysctls]\nsomaxconn = 1",
        "`somaxconn` names no setting of the kernel",
    ),
    (
        "[sysctls]\n\"net.core.somaxconn\" = true",
        "must be an integer or a string",
    ),
    (
        "[sysctls]\n\"net.core.somaxconn\" = \"1\\nkernel.panic = 0\"",
        "has no value of one line",
    ),
    (
        "[sysctls]\n\"net.core.a\" = 1\n\"net/core/a\" = 1",
        "the setting `net/core/a` is given twice",
    ),
    (
        "kernel-arguments = [\"quiet splash\"]",
        "`quiet splash` is no argument of a kernel",
    ),
    ("kernel-arguments = [\"a='b'\"]", "is no argument of a kernel"),
    (
        "kernel-arguments = [\"root=/dev/sda1\"]",
        "portadc itself says `root` to every kernel",
    ),
    (
        "kernel-arguments = [\"console=ttyS0\"]",
        "`consoles` are the board's",
    ),
    ("kernel-arguments = [\"--\"]", "is for init"),
    (
        "kernel-arguments = [\"quiet\", \"quiet\"]",
        "argument `quiet` is given twice",
    ),
    (
        "subvolumes = [{ name = \"@db\", mount = \"/\" }]",
        "the root of a node is its layout's",
    ),
    (
        "subvolumes = [{ name = \"@db\", mount = \"/usr/db\" }]",
        "`/usr/db` cannot be a subvolume of its own",
    ),
    (
        "subvolumes = [{ name = \"a/b\", mount = \"/srv\" }]",
        "`a/b` cannot name a subvolume",
    ),
    (
        "subvolumes = [{ name = \"@a\", mount = \"/srv\" }, { name = \"@b\", mount = \"/srv\" }]",
        "mount point `/srv` is given twice",
    ),
    (
        "kernel-fragments = [\"../x.config\"]",
        "`../x.config` names no fragment",
    ),
    (
        "kernel-fragments = [\"x.config\"]",
        "`overlays/test/kernel/x.config` does not exist",
    ),
    ("[users.Web]", "user name `Web` does not start with a lower-case"),
    ("[users.web]\nuid = 12", "uid 12 is not within 1000 to 59999"),
    ("[users.web]\ngroup = [\"adm\"]", "did you mean `groups`?"),
    (
        "[users.a]\nuid = 1500\n[users.b]\nuid = 1500",
        "have the same uid, 1500",
    ),
];

#[test]
fn every_slip_gets_its_finding_with_file_and_line() {
    for (slip, expected) in SLIPS {
        let text = format!("description = \"a test\"\n{slip}\n");
        let found = findings(&[("overlay.toml", &text), ("files/etc/foo", "")]);
        assert!(found.contains(expected), "{slip}:\n{found}");
        assert!(found.contains("overlays/test/overlay.toml:"), "{slip}:\n{found}");
    }
}

#[test]
fn settings_of_the_kernel_are_a_file_of_the_overlay() {
    let toml = "description = \"a test\"\n[sysctls]\n\"net.ipv4.ip_forward\" = 1\n\"net.core.somaxconn\" = 1024\n\
        \"net.ipv4.tcp_rmem\" = \"4096 16384 65536\"\n";
    let root = project(&[("overlay.toml", toml)]);
    let overlay = Overlay::load(&Files::of(root.path()), "test").unwrap();
    let entry = &overlay.entries[&target("/etc/sysctl.d/60-test.conf")];
    let Source::Verbatim(bytes) = &entry.source else {
        panic!("{entry:?}")
    };
    // In the order in which they were written.
    assert_eq!(
        str::from_utf8(bytes).unwrap(),
        "net.ipv4.ip_forward = 1\nnet.core.somaxconn = 1024\nnet.ipv4.tcp_rmem = 4096 16384 65536\n"
    );
    assert_eq!(entry.mode, 0o644);
    let found = findings(&[("overlay.toml", toml), ("files/etc/sysctl.d/60-test.conf", "")]);
    assert!(
        found.contains("comes from overlays/test/overlay.toml:3 and from")
            || found.contains("and from overlays/test/overlay.toml:3"),
        "{found}"
    );
}

#[test]
fn a_fragment_that_nothing_names_and_lines_that_are_none_are_told_of() {
    let found = findings(&[
        (
            "overlay.toml",
            "description = \"a test\"\nkernel-fragments = [\"a.config\"]\n",
        ),
        ("kernel/a.config", "CONFIG_USB_SERIAL=y\nUSB=y\n"),
        ("kernel/b.config", "CONFIG_USB=y\n"),
    ]);
    assert!(
        found.contains("`overlays/test/kernel/b.config` has no effect: nothing names it")
            && found.contains("overlays/test/kernel/a.config:2:1"),
        "{found}"
    );
}

#[test]
fn all_slips_are_found_at_once() {
    let found = findings(&[
        (
            "overlay.toml",
            "description = \"\"\nremove = [\"x\"]\n[units]\nenable = [\"y\"]\n",
        ),
        ("templates/etc/foo", "no template"),
        ("fiels/etc/foo", ""),
    ]);
    for expected in [
        "the overlay has no description",
        "the path `x` does not start",
        "`y` cannot name a unit",
        "`overlays/test/templates/etc/foo` is not a template",
        "`overlays/test/fiels` has no meaning in an overlay",
        "did you mean `files`?",
    ] {
        assert!(found.contains(expected), "{expected}:\n{found}");
    }
}

#[test]
fn what_is_no_plain_file_is_refused() {
    let root = project(&[
        ("overlay.toml", "description = \"a test\"\n"),
        ("files/etc/foo", ""),
    ]);
    let etc = root.path().join("overlays/test/files/etc");
    symlink("/etc/shadow", etc.join("shadow")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(etc.join("socket")).unwrap();
    let found = findings_in(root.path());
    assert!(
        found.contains("`overlays/test/files/etc/shadow` is a symbolic link")
            && found.contains("[links] \"/etc/shadow\" = \"target\""),
        "{found}"
    );
    assert!(
        found.contains("`overlays/test/files/etc/socket` is neither a file nor a folder"),
        "{found}"
    );
}

#[test]
fn a_path_comes_from_one_place_and_names_stay_within_the_folder() {
    let found = findings(&[
        ("overlay.toml", "description = \"a test\"\n"),
        ("files/etc/foo", ""),
        ("templates/etc/foo.hbs", ""),
    ]);
    assert!(
        found.contains(
            "`/etc/foo` comes from overlays/test/files/etc/foo and from overlays/test/templates/etc/foo.hbs"
        ),
        "{found}"
    );
    let root = tempfile::tempdir().unwrap();
    for name in ["../test", "", "a/b", "Test"] {
        assert!(Overlay::load(&Files::of(root.path()), name).is_err(), "{name}");
    }
    let missing = Overlay::load(&Files::of(root.path()), "test")
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("`overlays/test/overlay.toml` does not exist"),
        "{missing}"
    );
}
