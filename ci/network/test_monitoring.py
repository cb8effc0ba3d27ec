"""What a monitor gets to know: the checks by their exit codes, nrpe at work on a node, and the exported objects as Nagios
reads them."""

import os
import subprocess
import time

import pytest
from namespaces import wait_for

# utilite, which has the checks of all kinds, and what a monitor is told of the fleet.
MONITORED = "blue-01"
PLUGINS = "/usr/lib/nagios/plugins"
AS_NAGIOS = ("setpriv", "--reuid=nagios", "--regid=nagios", "--clear-groups")
OK, WARNING, CRITICAL, UNKNOWN = range(4)

# Check and arguments, files that it finds, what it returns.
CHECKS = [
    ("check_temperature 65 75", {"sys/class/thermal/thermal_zone0/temp": "64999"}, OK),
    ("check_temperature 65 75", {"sys/class/hwmon/hwmon0/temp1_input": "65000"}, WARNING),
    (
        "check_temperature 65 75",
        {"sys/class/thermal/thermal_zone0/temp": "40000", "sys/class/hwmon/hwmon0/temp1_input": "75000"},
        CRITICAL,
    ),
    ("check_temperature 65 75", {}, UNKNOWN),
    ("check_load 1.5 3", {"proc/cpuinfo": "processor\t: 0\nprocessor\t: 1", "proc/loadavg": "9 2.99 9 1/1 1"}, OK),
    ("check_load 1.5 3", {"proc/cpuinfo": "processor\t: 0\nprocessor\t: 1", "proc/loadavg": "0 3.00 0 1/1 1"}, WARNING),
    ("check_load 1.5 3", {"proc/cpuinfo": "processor\t: 0", "proc/loadavg": "0 3.00 0 1/1 1"}, CRITICAL),
    ("check_containers web=ct-web", {"sys/class/net/ct-web/address": "02:00:00:00:00:01"}, OK),
    ("check_containers", {}, OK),
    ("check_containers web=ct-web irc=ct-irc", {"sys/class/net/ct-web/address": "02:00:00:00:00:01"}, CRITICAL),
    (
        "check_containers web=ct-web irc=ct-irc",
        {"sys/class/net/ct-web/address": "02:00:00:00:00:01", "run/portadc/moved": "irc away"},
        OK,
    ),
    ("check_containers web=ct-web", {"run/portadc/moved": "web away\nirc ct-irc"}, CRITICAL),
    (
        "check_containers web=ct-web",
        {"sys/class/net/ct-irc/address": "02:00:00:00:00:01", "run/portadc/moved": "web away\nirc ct-irc"},
        OK,
    ),
    ("check_space 100 101 /", {}, OK),
    ("check_space 0 101 /", {}, WARNING),
    ("check_space 0 0 /", {}, CRITICAL),
    ("check_space 80 90 /nowhere", {}, UNKNOWN),
    ("check_btrfs 80 92", {"proc/self/mountinfo": ""}, UNKNOWN),
    ("check_lxcfs", {"var/lib/lxcfs/proc/uptime": "1.00 1.00"}, OK),
    ("check_lxcfs", {}, CRITICAL),
    ("check_clock 180 1440", {"proc/uptime": "899.00 1.00"}, OK),
    ("check_clock 180 1440", {"proc/uptime": "900.00 1.00"}, CRITICAL),
    ("check_connections 70 90", {}, UNKNOWN),
    ("check_tunnels 5 15", {}, UNKNOWN),
    ("check_tunnels 5 15", {"run/portadc/tunnels-heard": "wg-north key 0"}, CRITICAL),
]

# A card, by what differs from one in its best years: ten days, a GiB on each of them.
CARD = {
    "proc/uptime": "864000.00 1.00",
    "sys/block/mmcblk0/stat": f"0 0 0 0 0 0 {10 * 2**21} 0 0 0 0",
}
CARDS = [
    ({}, OK),
    ({"sys/block/mmcblk0/stat": f"0 0 0 0 0 0 {210 * 2**21} 0 0 0 0"}, WARNING),
    ({"sys/block/mmcblk0/stat": f"0 0 0 0 0 0 {610 * 2**21} 0 0 0 0"}, CRITICAL),
    ({"sys/block/mmcblk0/device/life_time": "0x01 0x07"}, OK),
    ({"sys/block/mmcblk0/device/life_time": "0x01 0x08"}, WARNING),
    ({"sys/block/mmcblk0/device/life_time": "0x0b 0x01"}, CRITICAL),
    ({"sys/block/mmcblk0/device/pre_eol_info": "0x01"}, OK),
    ({"sys/block/mmcblk0/device/pre_eol_info": "0x02"}, WARNING),
    ({"sys/block/mmcblk0/device/pre_eol_info": "0x03"}, CRITICAL),
    ({"sys/fs/btrfs/a/devinfo/1/error_stats": "write_errs 0\nread_errs 0"}, OK),
    ({"sys/fs/btrfs/a/devinfo/1/error_stats": "write_errs 0\nread_errs 1"}, CRITICAL),
]

# What btrfs says of a card of 8 GiB: half of it is given to data, all of that is full, and metadata have two copies.
GIB = 2**30
BTRFS = {
    "proc/self/mountinfo": "29 1 0:26 /@ / ro,noatime shared:1 - btrfs /dev/vda2 rw,compress=zstd:3",
    "sys/fs/btrfs/a/devices/vda2/size": 8 * GIB // 512,
    "sys/fs/btrfs/a/allocation/data/disk_total": 4 * GIB,
    "sys/fs/btrfs/a/allocation/system/disk_total": 0,
    "sys/fs/btrfs/a/allocation/metadata/disk_total": 2 * GIB,
    "sys/fs/btrfs/a/allocation/metadata/total_bytes": GIB,
    "sys/fs/btrfs/a/allocation/metadata/bytes_used": 7 * GIB // 8,
    "sys/fs/btrfs/a/allocation/global_rsv_size": GIB // 16,
}
BTRFSES = [
    ({}, OK),
    # As full as before, but nothing is left to take.
    ({"sys/fs/btrfs/a/devices/vda2/size": 6 * GIB // 512}, CRITICAL),
    ({"sys/fs/btrfs/a/devices/vda2/size": 6 * GIB // 512, "sys/fs/btrfs/a/allocation/global_rsv_size": 0}, WARNING),
    ({"proc/self/mountinfo": "29 1 0:26 /@ / rw,noatime shared:1 - btrfs /dev/vda2 ro,compress=zstd:3"}, CRITICAL),
    ({"proc/self/mountinfo": "30 1 254:1 / /boot ro,noatime - vfat /dev/vda1 ro,umask=0077"}, OK),
]
HOSTS = {"etc/hosts": "127.0.0.1 localhost\n172.16.1.2 red-02\n172.16.1.3 red-03"}
NEIGHBOURS = [
    (["172.16.1.2 dev eth0 lladdr 02:00:00:00:00:01 REACHABLE", "172.16.1.3 dev eth0 lladdr 02:00:00:00:00:02 STALE"], OK),
    (["172.16.1.2 dev eth0 lladdr 02:00:00:00:00:01 REACHABLE", "172.16.1.3 dev eth0 lladdr 02:00:00:00:00:01 STALE"], CRITICAL),
    # Nobody of the fleet, and nobody at all.
    (["172.16.1.2 dev eth0 lladdr 02:00:00:00:00:01 REACHABLE", "10.9.9.9 dev eth0 lladdr 02:00:00:00:00:01 STALE"], OK),
    (["172.16.1.2 dev eth0 FAILED", "172.16.1.3 dev eth0 FAILED"], OK),
]
TABLE = "proc/sys/net/netfilter/nf_conntrack"
# A file whose time says when a time server was heard; that stands in it here.
HEARD = "run/systemd/timesync/synchronized"

# systemctl with these answers: failed units, active units.
UNITS = [
    ("check_units", [], [], OK),
    ("check_units haproxy.service", [], ["haproxy.service"], OK),
    ("check_units haproxy.service", [], [], CRITICAL),
    ("check_units", ["lxc.service"], [], CRITICAL),
]
SYSTEMCTL = """#!/bin/sh
case $1 in
    list-units) for unit in {failed}; do echo "$unit loaded failed failed of this name"; done ;;
    --quiet) case " {active} " in *" $3 "*) exit 0 ;; esac; exit 3 ;;
    *) echo "what is $1?" >&2; exit 1 ;;
esac
"""

# What the exported objects want to find at the monitor.
SITE = """
define timeperiod {
    timeperiod_name 24x7
    alias           always
    monday          00:00-24:00
}
define command {
    command_name nothing
    command_line /bin/true
}
define contact {
    contact_name                  admin
    contactgroups                 admins
    host_notification_commands    nothing
    host_notification_period      24x7
    service_notification_commands nothing
    service_notification_period   24x7
}
define contactgroup {
    contactgroup_name admins
    alias             admins
}
"""
# Minutes since a time server or a tunnel was heard.
AGES = [(0, OK), (6, WARNING), (16, CRITICAL)]


def cases():
    """Check and arguments, files, answers of systemctl, and what it returns, of each."""
    yield from ((check, files, {}, code) for check, files, code in CHECKS)
    yield from (("check_card 8 10 20 60", CARD | files, {}, code) for files, code in CARDS)
    yield "check_card 8 10 20 60", {"proc/uptime": "1.00 1.00"}, {}, UNKNOWN
    yield from (("check_btrfs 80 92", BTRFS | files, {}, code) for files, code in BTRFSES)
    for lines, code in NEIGHBOURS:
        yield "check_neighbours", HOSTS | {"bin/ip": "\n".join(["#!/bin/sh", "cat <<END", *lines, "END"])}, {}, code
    for count, code in ((699, OK), (700, WARNING), (900, CRITICAL)):
        yield "check_connections 70 90", {f"{TABLE}_count": count, f"{TABLE}_max": 1000}, {}, code
    for age, code in AGES:
        yield "check_tunnels 5 15", {"run/portadc/tunnels-heard": lambda now, age=age: f"wg-a key {now - age * 60:.0f}"}, {}, code
        yield "check_clock 5 15", {"proc/uptime": "9999 1", HEARD: lambda now, age=age: now - age * 60}, {}, code
    yield from ((check, {}, {"failed": failed, "active": active}, code) for check, failed, active, code in UNITS)


CASES = list(cases())
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


@pytest.mark.parametrize(
    ("check", "files", "units", "code"), CASES, ids=[f"{check.split()[0]}-{WORDS[code]}" for check, *_, code in CASES]
)
def test_check(nodes, tmp_path, check, files, units, code):
    """One of a node's checks by itself."""
    (tmp_path / "bin").mkdir(parents=True)
    for name, text in files.items():
        if callable(text):
            text = text(time.time())
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
        path.chmod(0o755)
        if name == HEARD:
            os.utime(path, (text, text))
    systemctl = tmp_path / "bin/systemctl"
    systemctl.write_text(SYSTEMCTL.format(**{name: " ".join(of) for name, of in units.items()}) if units else "")
    systemctl.chmod(0o755)
    name, *arguments = check.split()
    done = subprocess.run(
        ["sh", nodes / MONITORED / "usr/lib/portadc/monitor" / name, *arguments],
        env={"PATH": f"{tmp_path}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "CHECK_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    # One line, whose second word is the state.
    assert done.returncode == code, done.stdout or done.stderr
    assert done.stdout.count("\n") == 1
    assert f" {WORDS[code]} - " in done.stdout.replace(" -", " - ")


@pytest.fixture(scope="module")
def nrpe(network, tmp_path_factory):
    """nrpe of red-07, listening."""
    node, log = network["red-07"], tmp_path_factory.mktemp("nrpe") / "log"
    node.within("install", "-d", "-o", "nagios", "/run/nrpe")
    with open(log, "w") as output:
        process = node.start_within(*AS_NAGIOS, "nrpe", "-c", "/etc/portadc/nrpe.cfg", "-f", log=output)

    def listens():
        assert process.poll() is None, f"nrpe ended: {log.read_text()}"
        return ":5666 " in node.run("ss", "-Hltn")

    wait_for(f"nrpe at {node.name}", listens)
    yield
    process.kill()
    process.wait()


@pytest.mark.parametrize(("asker", "is_answered"), (("home-pc", True), ("router", False), ("blue-23", False), ("internet", False)))
def test_who_is_answered_by_nrpe(network, nrpe, asker, is_answered):
    at = network.addresses["red-07"][0]
    command = network[asker].command(f"{PLUGINS}/check_nrpe", "-H", at, "-t", "4", "-c", "containers")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ("CONTAINERS OK - 1 of 1" in done.stdout) == is_answered, done.stdout.strip() or done.stderr.strip()


def test_nagios_reads_the_exported_objects(nodes, tmp_path):
    objects = [nodes / MONITORED / "usr/share/portadc" / name for name in ("nagios.cfg", "nagios-services.cfg")]
    (tmp_path / "site.cfg").write_text(SITE)
    (tmp_path / "resource.cfg").write_text(f"$USER1$={PLUGINS}\n")
    settings = [f"cfg_file={path}" for path in (tmp_path / "site.cfg", *objects)]
    settings += [f"{key}={tmp_path}/{key}" for key in ("log_file", "object_cache_file", "status_file", "lock_file")]
    settings += [f"{key}={tmp_path}" for key in ("temp_path", "check_result_path")]
    settings += [f"resource_file={tmp_path}/resource.cfg", "nagios_user=root", "nagios_group=root"]
    settings += ["illegal_macro_output_chars=`~$&|'\"<>"]
    (tmp_path / "nagios.cfg").write_text("\n".join(settings) + "\n")
    done = subprocess.run(["nagios4", "--verify-config", tmp_path / "nagios.cfg"], capture_output=True, text=True, check=False)
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert [line for line in lines if line.startswith(("Error", "Warning"))] == []
    assert done.returncode == 0, done.stdout + done.stderr
