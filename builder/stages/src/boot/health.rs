//! What a booted node must be, compared with what it is.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Result, bail};
use formats::units::Bytes;
use model::fleet::System;
use model::layout::Btrfs;
use model::overlay::Sysctl;
use model::sources::Init;
use model::users::User;
use serde::Serialize;

use super::ssh::{Answer, Ssh};

/// What the node must be.
#[derive(Debug)]
pub struct Expected<'a> {
    /// Host name.
    pub hostname: &'a str,
    /// What starts its services, and so what is asked how that went.
    pub init: Init,
    /// Content of `/etc/machine-id`.
    pub machine_id: &'a str,
    /// The port by which it is on its network: `eth0`.
    pub interface: &'a str,
    /// Address with prefix length on it: `172.16.1.7/16`.
    pub address: String,
    /// Whether a DHCP server gave it that. Then its full name is in no file, and only the name servers of its network may know it.
    pub dhcp: bool,
    /// `uname -r`.
    pub kernel_release: &'a str,
    /// The containers that start with it, in the order of their names.
    pub containers: Vec<&'a str>,
    /// The router that these have to reach; `None` where answers to them need a route at that router.
    pub gateway: Option<Ipv4Addr>,
    /// Its domain, time zone and locale, where somebody said so.
    pub system: &'a System,
    /// Users beside root.
    pub users: Vec<&'a User>,
    /// What its kernel's command line has for its role and overlays.
    pub kernel_arguments: Vec<String>,
    /// Settings of the kernel that its overlays make.
    pub sysctls: Vec<&'a Sysctl>,
    /// Whether its role has rules of who may open connections.
    pub rules: bool,
    /// The root file system: compression and subvolumes.
    pub root: &'a Btrfs,
    /// The card that the image was tried on: the root file system must have grown to its end.
    pub card: Bytes,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What.
    pub check: String,
    /// What it must be.
    pub expected: String,
    /// What it is.
    pub found: String,
    /// Whether that is right.
    pub passed: bool,
}

/// Asks systemd how the boot went. `is-system-running --wait` returns when it is over, whatever came of it; a boot that does
/// not end is told as `starting`.
const ASK_SYSTEMD: &str = r#"
state=$(timeout 300 systemctl is-system-running --wait 2>/dev/null)
test -n "$state" || state=$(systemctl is-system-running)
failed=$(systemctl --failed --plain --no-legend | awk '{ print $1 }' | paste -sd,)
"#;

/// Asks OpenRC. It names a runlevel from the moment it enters it, and has the folder `rc.starting` while services of it start;
/// a boot that does not end is told as `starting`. A service of a runlevel has to be started and its daemon to be there, also
/// if no runlevel but another service asked for it.
const ASK_OPENRC: &str = r#"
busy() { test "$(rc-status --runlevel)" != default || test -e /run/openrc/rc.starting; }
seconds=0
while busy && test $seconds -lt 300; do
    sleep 1
    seconds=$((seconds + 1))
done
if busy; then state=starting; else state=$(rc-status --runlevel); fi
failed=$({
    rc-status --nocolor --format ini sysinit boot default | awk -F ' = +' 'NF == 2 && $2 !~ /^started/ { print $1 }'
    rc-status --crashed
} | sort -u | paste -sd,)
"#;

/// Asks the node for everything at once; each line is `name=value`.
const QUESTIONS: &str = r#"
echo "state=$state"
echo "failed=$failed"
echo "hostname=$(cat /proc/sys/kernel/hostname)"
echo "machine-id=$(cat /etc/machine-id)"
echo "address=$(ip -4 -o address show dev "$interface" scope global | awk '{ print $4 }' | paste -sd,)"
echo "containers=$(lxc-ls --running -1 2>/dev/null | awk '{ print $1 }' | sort | paste -sd,)"
reach() { lxc-attach --name "$1" -- ping -c 3 -W 3 "$gateway" >/dev/null 2>&1; }
echo "reaching=$(test -n "$gateway" && lxc-ls --running -1 | awk '{ print $1 }' | sort | while read -r name; do
    ! reach "$name" < /dev/null || echo "$name"
done | paste -sd,)"
echo "rules=$(nft list tables 2>/dev/null | wc -l)"
echo "links=$(networkctl --no-legend list 2>/dev/null | awk '$5 != "configured" && $5 != "unmanaged" { print $2 }' | paste -sd,)"
echo "kernel=$(uname -r)"
echo "arguments=$(cat /proc/cmdline)"
findmnt -rn -t btrfs -o TARGET,OPTIONS | while read -r target options; do echo "mount $target=$options"; done
device=$(findmnt -no SOURCE --nofsroot /)
disk=/sys/class/block/$(basename "$device")
echo "device-end=$((($(cat "$disk/start") + $(cat "$disk/size")) * 512))"
echo "scheduler=$(sed 's/.*\[\(.*\)\].*/\1/' "$(readlink -f "$disk")/../queue/scheduler")"
echo "device-size=$(($(cat "$disk/size") * 512))"
echo "root-size=$(btrfs filesystem usage -b / | awk '$1 == "Device" && $2 == "size:" { print $3 }')"
echo "read-only=$(btrfs subvolume list -r / | sed 's/.* path //' | sort | paste -sd,)"
echo "watchdog=$(cat /sys/class/watchdog/watchdog0/state)"
echo "passwords=$(awk -F: '$2 !~ /^[!*]/ { print $1 }' /etc/shadow | paste -sd,)"
"#;

/// Asks for names, time and language. A locale that is generated on the node may take until after the start.
const ASK_SETTINGS: &str = r#"
seconds=0
while test -e /var/lib/portadc/first-start/locales && test $seconds -lt 600; do
    sleep 1
    seconds=$((seconds + 1))
done
echo "full-name=$(getent hosts "$(cat /proc/sys/kernel/hostname)" | awk '{ print $2 }' | sort -u | paste -sd,)"
echo "searched=$(sed -n 's/^search //p' /etc/resolv.conf)"
echo "time-zone=$(readlink /etc/localtime | sed 's/.*zoneinfo.//')$(test -s /etc/localtime || echo ', which is not there')"
. /etc/locale.conf
echo "locale=$LANG$(test -z "$(LC_ALL=$LANG locale 2>&1 > /dev/null)" || echo ', which is not there')"
"#;

/// Asks for a user: number, groups, home and shell, keys that it can read itself, who owns home and keys, and what sudo lets it do.
const ASK_USER: &str = r#"
user() {
    owners=$(stat -c %U:%a "/home/$1" "/home/$1/.ssh" "/home/$1/.ssh/authorized_keys" 2>/dev/null | paste -sd,)
    keys=$(runuser -u "$1" -- cat "/home/$1/.ssh/authorized_keys" 2>/dev/null | wc -l)
    may=$(sudo -l -U "$1" 2>/dev/null | sed -n 's/^ *(ALL : ALL) //p')
    groups=$(id -Gn "$1" | tr ' ' '\n' | sort | paste -sd,)
    echo "user $1=$(id -u "$1") $groups $(getent passwd "$1" | cut -d: -f6-7) $keys $owners $may"
}
"#;

/// Asks for a setting of the kernel.
const ASK_SYSCTL: &str = r#"
setting() { echo "sysctl $1=$(tr '\t' ' ' < "/proc/sys/$1")"; }
"#;

/// Space at the end of a card that no partition covers: GPT's second table, and rounding to a MiB.
const CARD_TAIL: u64 = 2 << 20;

/// Compares the node with what it must be.
pub fn examine(ssh: &Ssh, expected: &Expected) -> Result<Vec<Outcome>> {
    let ask_init = match expected.init {
        Init::Systemd => ASK_SYSTEMD,
        Init::OpenRc => ASK_OPENRC,
    };
    let gateway = expected.gateway.map(|gateway| gateway.to_string());
    let interface = format!(
        "interface={}\ngateway={}\n",
        expected.interface,
        gateway.unwrap_or_default()
    );
    let users = expected.users.iter().map(|user| format!("user {}\n", user.name));
    let settings = asked_sysctls(expected).map(|sysctl| format!("setting '{}'\n", sysctl.path));
    let asked: String = users.chain(settings).collect();
    let script = [
        &interface,
        ask_init,
        QUESTIONS,
        ASK_SETTINGS,
        ASK_USER,
        ASK_SYSCTL,
        &asked,
    ]
    .concat();
    let text = match ssh.run(&script)? {
        Answer::Output(text) => text,
        Answer::Refused(reason) | Answer::Unreachable(reason) | Answer::WrongHostKey(reason) => {
            bail!("the node stopped answering: {reason}")
        }
    };
    let methods = ssh.offered_methods()?;
    Ok(compare(&parse_answers(&text), &methods, expected))
}

/// The settings that can be asked for: those of one file each.
fn asked_sysctls<'a>(expected: &Expected<'a>) -> impl Iterator<Item = &'a Sysctl> {
    let sysctls = expected.sysctls.iter().copied();
    sysctls.filter(|sysctl| !sysctl.path.contains('*'))
}

/// What a node has to say of `user`.
fn as_told(user: &User) -> String {
    let User { name, uid, .. } = user;
    let mut groups: Vec<&str> = user.groups.iter().map(|group| group.value.as_str()).collect();
    groups.push(name);
    groups.sort_unstable();
    let owners = match user.keys.len() {
        _ if !user.logs_in() => String::new(),
        0 => format!("{name}:700"),
        _ => format!("{name}:700,{name}:700,{name}:600"),
    };
    let may = match (user.sudo, &user.password_hash) {
        (false, _) => "",
        (true, None) => " NOPASSWD: ALL",
        (true, Some(_)) => " ALL",
    };
    let (home, shell) = (user.home(), &user.shell.value);
    let (groups, keys) = (groups.join(","), user.keys.len());
    format!("{uid} {groups} {home}:{shell} {keys} {owners}{may}")
        .trim_end()
        .to_owned()
}

/// `name=value` lines by name.
fn parse_answers(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once('=')).collect()
}

/// Every outcome, passed or not.
fn compare(answers: &BTreeMap<&str, &str>, methods: &str, expected: &Expected) -> Vec<Outcome> {
    let answer = |name: &str| answers.get(name).copied().unwrap_or("no answer").to_owned();
    let number = |name: &str| answers.get(name).and_then(|text| text.parse::<u64>().ok());
    let equal = |check: &str, expected: &str, found: String| Outcome {
        check: check.to_owned(),
        passed: expected == found,
        expected: expected.to_owned(),
        found,
    };
    // systemd says of the whole system what OpenRC says by the runlevel it reached.
    let (state, services) = match expected.init {
        Init::Systemd => ("running", "failed units"),
        Init::OpenRc => ("default", "failed services"),
    };
    let users = expected.users.iter();
    let with_password = users.filter(|user| user.password_hash.is_some());
    let with_password: Vec<&str> = with_password.map(|user| user.name.as_str()).collect();
    let mut outcomes = vec![
        equal("host name", expected.hostname, answer("hostname")),
        equal("machine id", expected.machine_id, answer("machine-id")),
        equal("address", &expected.address, answer("address")),
        equal("system state", state, answer("state")),
        equal(services, "", answer("failed")),
        equal("ports that wait for configuration", "", answer("links")),
        equal(
            "containers that run",
            &expected.containers.join(","),
            answer("containers"),
        ),
        Outcome {
            check: "tables of rules".into(),
            expected: if expected.rules { "some" } else { "any" }.into(),
            passed: number("rules").is_some_and(|tables| tables > 0 || !expected.rules),
            found: answer("rules"),
        },
        equal("kernel", expected.kernel_release, answer("kernel")),
        // The machine has one, as the board has: somebody has to serve it.
        equal("watchdog", "active", answer("watchdog")),
        equal("scheduler of the card", "bfq", answer("scheduler")),
        equal(
            "accounts with a password",
            &with_password.join(","),
            answer("passwords"),
        ),
        equal("login methods", "publickey", methods.to_owned()),
    ];
    if let Some(gateway) = expected.gateway {
        outcomes.push(equal(
            &format!("containers that reach {gateway}"),
            &expected.containers.join(","),
            answer("reaching"),
        ));
    }
    let System {
        domain,
        time_zone,
        locale,
    } = expected.system;
    if let Some(domain) = domain {
        if !expected.dhcp {
            let name = format!("{}.{domain}", expected.hostname);
            outcomes.push(equal("full name", &name, answer("full-name")));
        }
        outcomes.push(equal(
            "domain that names are looked up in",
            domain,
            answer("searched"),
        ));
    }
    for (check, name, value) in [
        ("time zone", "time-zone", time_zone),
        ("locale", "locale", locale),
    ] {
        outcomes.extend(
            value
                .as_ref()
                .map(|value| equal(check, &value.value, answer(name))),
        );
    }
    outcomes.extend(expected.users.iter().map(|user| {
        let check = format!("user {}", user.name);
        let found = answer(&check);
        equal(&check, &as_told(user), found.trim_end().to_owned())
    }));
    if !expected.kernel_arguments.is_empty() {
        let line = answer("arguments");
        let there = |argument: &&String| line.split(' ').any(|word| word == argument.as_str());
        let found: Vec<&str> = expected
            .kernel_arguments
            .iter()
            .filter(there)
            .map(String::as_str)
            .collect();
        outcomes.push(equal(
            "kernel arguments",
            &expected.kernel_arguments.join(" "),
            found.join(" "),
        ));
    }
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    outcomes.extend(asked_sysctls(expected).map(|sysctl| {
        let found = answer(&format!("sysctl {}", sysctl.path));
        let check = format!("sysctl {}", sysctl.key.value);
        equal(&check, &words(&sysctl.value), words(&found))
    }));
    for subvolume in &expected.root.subvolumes {
        let found = answer(&format!("mount {}", subvolume.mount));
        let options: Vec<_> = found.split(',').collect();
        let mut wanted = vec![format!("subvol=/{}", subvolume.name)];
        if expected.root.zstd != 0 {
            wanted.push(format!("compress=zstd:{}", expected.root.zstd));
        }
        if subvolume.mount != "/" {
            wanted.push("nodev".to_owned());
        }
        outcomes.push(Outcome {
            check: format!("btrfs on {}", subvolume.mount),
            passed: wanted.iter().all(|option| options.contains(&option.as_str())),
            expected: wanted.join(","),
            found,
        });
    }
    outcomes.push(equal(
        "read-only subvolumes",
        expected.root.container_image.as_deref().unwrap_or_default(),
        answer("read-only"),
    ));
    let (end, device, root) = (number("device-end"), number("device-size"), number("root-size"));
    outcomes.push(Outcome {
        check: "root partition grown".into(),
        expected: format!("up to the card's {} bytes", expected.card.0),
        passed: end.is_some_and(|end| end <= expected.card.0 && end + CARD_TAIL >= expected.card.0),
        found: answer("device-end"),
    });
    outcomes.push(Outcome {
        check: "root file system grown".into(),
        expected: format!("as large as its partition, {} bytes", answer("device-size")),
        // btrfs counts whole sectors of 4 KiB.
        passed: device
            .zip(root)
            .is_some_and(|(device, root)| root <= device && root + 4096 > device),
        found: answer("root-size"),
    });
    outcomes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::finding::SourceFile;
    use model::layout::Subvolume;
    use model::overlay::Placed;

    use super::*;

    const GOOD: &str = "hostname=red-07\nmachine-id=0123\naddress=172.16.1.7/16\nstate=running\nfailed=\ncontainers=irc,web\nreaching=irc,web\nrules=3\nlinks=\nkernel=6.12.1\nscheduler=bfq\n\
        mount /=rw,noatime,compress=zstd:3,subvolid=256,subvol=/@\nmount /srv=rw,nodev,compress=zstd:3,subvol=/@srv\n\
        device-end=4293918720\ndevice-size=4200000000\nroot-size=4199997440\nread-only=@template\n\
        watchdog=active\npasswords=\n";

    fn failed_checks(answers: &str, methods: &str) -> Vec<String> {
        failed_checks_of(Init::Systemd, answers, methods)
    }

    fn failed_checks_of(init: Init, answers: &str, methods: &str) -> Vec<String> {
        failed_checks_with(init, answers, methods, &Special::default())
    }

    /// What some nodes have and others have not.
    #[derive(Default)]
    struct Special {
        system: System,
        users: Vec<User>,
        kernel_arguments: Vec<String>,
        sysctls: Vec<Sysctl>,
    }

    fn failed_checks_with(init: Init, answers: &str, methods: &str, special: &Special) -> Vec<String> {
        let subvolume = |name: &str, mount: &str| Subvolume {
            name: name.into(),
            mount: mount.into(),
            data: false,
        };
        let root = Btrfs {
            zstd: 3,
            subvolumes: vec![subvolume("@", "/"), subvolume("@srv", "/srv")],
            container_image: Some("@template".into()),
        };
        let expected = Expected {
            hostname: "red-07",
            init,
            machine_id: "0123",
            interface: "eth0",
            address: "172.16.1.7/16".into(),
            dhcp: false,
            kernel_release: "6.12.1",
            containers: vec!["irc", "web"],
            gateway: Some(Ipv4Addr::new(172, 16, 0, 1)),
            system: &special.system,
            users: special.users.iter().collect(),
            kernel_arguments: special.kernel_arguments.clone(),
            sysctls: special.sysctls.iter().collect(),
            rules: true,
            root: &root,
            card: Bytes::gib(4),
        };
        let outcomes = compare(&parse_answers(answers), methods, &expected);
        outcomes
            .into_iter()
            .filter(|outcome| !outcome.passed)
            .map(|outcome| outcome.check)
            .collect()
    }

    #[test]
    fn a_healthy_node_passes() {
        assert_eq!(failed_checks(GOOD, "publickey"), [""; 0]);
    }

    #[test]
    fn each_deviation_is_found() {
        for (from, to, check) in [
            ("red-07", "red-08", "host name"),
            ("=0123", "=4567", "machine id"),
            ("1.7/16", "1.7/16,10.0.2.15/24", "address"),
            ("=running", "=degraded", "system state"),
            ("failed=", "failed=a.service", "failed units"),
            ("containers=irc,web", "containers=web", "containers that run"),
            (
                "reaching=irc,web",
                "reaching=web",
                "containers that reach 172.16.0.1",
            ),
            ("rules=3", "rules=0", "tables of rules"),
            ("links=", "links=eth0", "ports that wait for configuration"),
            ("6.12.1", "6.12.2", "kernel"),
            ("=bfq", "=none", "scheduler of the card"),
            ("subvol=/@srv", "subvol=/@", "btrfs on /srv"),
            ("noatime,compress=zstd:3", "noatime", "btrfs on /"),
            ("rw,nodev", "rw", "btrfs on /srv"),
            (
                "device-end=4293918720",
                "device-end=900000000",
                "root partition grown",
            ),
            (
                "root-size=4199997440",
                "root-size=300000000",
                "root file system grown",
            ),
            ("read-only=@template", "read-only=", "read-only subvolumes"),
            ("watchdog=active", "watchdog=inactive", "watchdog"),
            ("watchdog=active", "watchdog=", "watchdog"),
            ("passwords=", "passwords=root", "accounts with a password"),
        ] {
            assert_eq!(failed_checks(&GOOD.replacen(from, to, 1), "publickey"), [check]);
        }
        assert_eq!(failed_checks(GOOD, "publickey,password"), ["login methods"]);
        assert_eq!(failed_checks("", "publickey").len(), 18);
    }

    #[test]
    fn settings_and_users_are_asked_for_where_there_are_any() {
        let place = Arc::new(SourceFile {
            path: "images/fleet.toml".into(),
            text: String::new(),
        })
        .place(0..0);
        let placed = |value: &str| Placed {
            value: value.to_owned(),
            place: place.clone(),
        };
        let system = System {
            domain: Some("example.org".to_owned()),
            time_zone: Some(placed("Europe/Vienna")),
            locale: Some(placed("de_AT.UTF-8")),
        };
        let anna = User {
            name: "anna".to_owned(),
            place: place.clone(),
            uid: 1501,
            keys: vec!["ssh-ed25519 AAAA anna".to_owned()],
            groups: vec![placed("adm")],
            sudo: true,
            shell: placed("/bin/bash"),
            password_hash: None,
        };
        let good = format!(
            "{GOOD}full-name=red-07.example.org\nsearched=example.org\ntime-zone=Europe/Vienna\nlocale=de_AT.UTF-8\n\
             user anna=1501 adm,anna /home/anna:/bin/bash 1 anna:700,anna:700,anna:600 NOPASSWD: ALL\n"
        );
        let special = Special {
            system,
            users: vec![anna],
            ..Special::default()
        };
        let failed = |answers: &str| failed_checks_with(Init::Systemd, answers, "publickey", &special);
        assert_eq!(failed(&good), [""; 0]);
        for (from, to, check) in [
            ("=red-07.example.org", "=red-07", "full name"),
            (
                "searched=example.org",
                "searched=",
                "domain that names are looked up in",
            ),
            ("Vienna", "Vienna, which is not there", "time zone"),
            ("=de_AT.UTF-8", "=C.UTF-8", "locale"),
            ("1501 adm,", "1501 ", "user anna"),
            ("anna:600", "anna:644", "user anna"),
            (" NOPASSWD: ALL", " ", "user anna"),
        ] {
            assert_eq!(failed(&good.replacen(from, to, 1)), [check]);
        }
    }

    #[test]
    fn what_overlays_ask_of_the_kernel_is_asked_for() {
        let place = Arc::new(SourceFile {
            path: "overlays/test/overlay.toml".into(),
            text: String::new(),
        })
        .place(0..0);
        let sysctl = |path: &str, value: &str| Sysctl {
            key: Placed {
                value: path.replace('/', "."),
                place: place.clone(),
            },
            path: path.to_owned(),
            value: value.to_owned(),
        };
        let special = Special {
            kernel_arguments: vec!["quiet".to_owned(), "a=1".to_owned()],
            sysctls: vec![
                sysctl("net/ipv4/tcp_rmem", "1 2\t3"),
                sysctl("net/ipv4/conf/*/rp_filter", "1"),
            ],
            ..Special::default()
        };
        let failed = |answers: &str| failed_checks_with(Init::Systemd, answers, "publickey", &special);
        let good =
            format!("{GOOD}arguments=root=/dev/x quiet panic=10 a=1\nsysctl net/ipv4/tcp_rmem=1 2 3\n");
        assert_eq!(failed(&good), [""; 0]);
        assert_eq!(failed(&good.replace("a=1", "a=10")), ["kernel arguments"]);
        assert_eq!(
            failed(&good.replace("1 2 3", "1 2 4")),
            ["sysctl net.ipv4.tcp_rmem"]
        );
    }

    #[test]
    fn a_user_of_a_service_has_neither_a_home_nor_keys() {
        let place = Arc::new(SourceFile {
            path: "overlays/meter/overlay.toml".into(),
            text: String::new(),
        })
        .place(0..0);
        let meter = User {
            name: "meter".to_owned(),
            place: place.clone(),
            uid: 1501,
            keys: Vec::new(),
            groups: Vec::new(),
            sudo: false,
            shell: Placed {
                value: "/sbin/nologin".to_owned(),
                place,
            },
            password_hash: None,
        };
        assert_eq!(as_told(&meter), "1501 meter /nonexistent:/sbin/nologin 0");
    }

    #[test]
    fn openrc_is_well_in_its_default_runlevel_with_every_service_started() {
        let good = GOOD.replace("=running", "=default");
        let failed = |answers: &str| failed_checks_of(Init::OpenRc, answers, "publickey");
        assert_eq!(failed(&good), [""; 0]);
        assert_eq!(failed(&good.replace("=default", "=starting")), ["system state"]);
        assert_eq!(
            failed(&good.replace("failed=", "failed=sshd")),
            ["failed services"]
        );
        assert_eq!(failed(GOOD), ["system state"]);
    }
}
