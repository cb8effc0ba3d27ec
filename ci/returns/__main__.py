"""Nodes in QEMU that fail to start, or hang; ci/check-returns calls this. Nothing from outside brings them back: QEMU says
what reset the machine, the watchdog or the node itself, and another start has another boot id."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import debugger
from machine import COMMAND, START, Fault, Machine, missing_programs

# What systemd sets the watchdog to, and what a reset after a panic takes.
WATCHDOG, PANIC = 60, 10
BANNER = "U-Boot 20"


def came_back(node, mark, by_watchdog):
    """That one reset has been since, of that kind; when."""
    resets = node.resets(mark)
    if [kind for _, kind in resets] != [by_watchdog]:
        kinds = ["watchdog" if kind else "the node itself" for _, kind in resets]
        raise Fault(f"one reset by {'the watchdog' if by_watchdog else 'the node itself'} was due, there were: {kinds}")
    return resets[0][0]


def spoke(node, mark, text):
    if text not in node.said(mark[0]):
        raise Fault(f"the console does not say {text!r}")


def fault_of_the_kernel(node, boot):
    """An address that is none, while the kernel works for a program."""
    node.run("for each in 1 2; do (dd if=/dev/zero of=/dev/null bs=64M >/dev/null 2>&1 &) ; done")
    mark = node.mark()
    node.wait("a processor at work in the kernel", lambda: debugger.derail(node.debugger), 60)
    boot = node.anew(boot)
    came_back(node, mark, by_watchdog=False)
    spoke(node, mark, "Kernel panic - not syncing: Oops")
    return boot, f"a kernel that finds a fault of its own starts again after {PANIC} s"


def hang(node, boot):
    state = node.run("cat /sys/class/watchdog/watchdog0/state /sys/class/watchdog/watchdog0/timeout")
    if state.split() != ["active", str(WATCHDOG)]:
        raise Fault(f"the watchdog is not active with {WATCHDOG} s: {state}")
    mark, since = node.mark(), time.monotonic()
    debugger.hang(node.debugger)
    boot = node.anew(boot, WATCHDOG + START)
    after = came_back(node, mark, by_watchdog=True) - since
    if after > WATCHDOG + 5:
        raise Fault(f"the watchdog took {after:.0f} s")
    return boot, f"a kernel that hangs: the watchdog resets it after {after:.0f} s, and it starts"


def crash_of_systemd(node, boot):
    mark = node.mark()
    node.ask("kill -SEGV 1")
    boot = node.anew(boot)
    # One that stays there, frozen, is reset as well, but by the watchdog.
    came_back(node, mark, by_watchdog=False)
    return boot, "systemd that crashes: the node starts again"


# What stands in the way of the network, at one start only.
STUCK = """[Unit]
DefaultDependencies=no
ConditionPathExists=/stuck
After=local-fs.target
Before=systemd-networkd.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'rm /stuck /etc/systemd/system/network.target.d/z-check.conf && sync && sleep infinity'
"""


def no_network(node, boot):
    told = node.run("systemctl show -P JobTimeoutUSec -P JobTimeoutAction basic.target network.target").split()
    if told != ["15min", "reboot"] * 2:
        raise Fault(f"starts that get to no network end otherwise: {told}")
    node.write("/etc/systemd/system/stuck.service", STUCK)
    node.write("/etc/systemd/system/network.target.d/z-check.conf", "[Unit]\nJobTimeoutSec=60s\n")
    folder = "/etc/systemd/system/systemd-networkd.service.wants"
    node.run(f"mkdir -p {folder} && ln -s ../stuck.service {folder}/ && touch /stuck && sync")
    mark = node.mark()
    node.ask("systemctl reboot")
    node.wait("the restart that was asked for", lambda: node.resets(mark), START)
    mark = node.mark()
    boot = node.anew(boot, 2 * START)
    came_back(node, mark, by_watchdog=False)
    node.run("test ! -e /stuck")
    return boot, "a start that gets to no network: the node starts again"


SHORT = "[Timer]\nOnActiveSec=\nOnActiveSec=30s\n"
EMERGENCY = "You are in emergency mode"


def emergency(node, boot):
    told = node.run("systemctl show -P TimersMonotonic emergency-restart.timer")
    if "OnActiveUSec=10min" not in told:
        raise Fault(f"an emergency shell ends otherwise: {told!r}")
    node.write("/etc/systemd/system/emergency-restart.timer.d/check.conf", SHORT)
    # A subvolume that is not there.
    node.run("sed -n 's|^\\(\\S*\\) /srv .*|\\1 /mnt btrfs subvol=@missing 0 0|p' /etc/fstab >/tmp/line")
    node.run("grep -q @missing /tmp/line && cat /tmp/line >>/etc/fstab && sync")
    mark = node.mark()
    node.ask("systemctl reboot")
    node.wait("the restart that was asked for", lambda: node.resets(mark), START)
    mark = node.mark()
    node.wait("an emergency shell", lambda: EMERGENCY in node.said(mark[0]), START)
    spoke(node, mark, "systemctl stop emergency-restart.timer")
    node.wait("a restart from the emergency shell", lambda: node.resets(mark), START)
    came_back(node, mark, by_watchdog=False)
    return boot, "an emergency shell that nobody uses: the node starts again"


def emergency_in_use(node, boot):
    """The next one is worked in. It lasts, and where the cause is gone, the start goes on from there."""
    mark = node.mark()
    node.wait("another emergency shell", lambda: "Press Enter" in node.said(mark[0]), START)
    node.type("")
    node.wait("a prompt", lambda: "~#" in node.said(mark[0]), COMMAND)
    node.type("systemctl stop emergency-restart.timer; echo let be: $?")
    node.wait("the timer stopped", lambda: "let be: 0" in node.said(mark[0]), COMMAND)
    time.sleep(60)
    if node.resets(mark):
        raise Fault("the node restarted while somebody worked on it")
    node.type("mount -o remount,rw /; sed -i /@missing/d /etc/fstab; systemctl daemon-reload; exit")
    boot = node.up()
    if node.resets(mark):
        raise Fault("the node restarted where it should have gone on")
    return boot, "an emergency shell that somebody works in is let be, and the start goes on from there"


def hangs(node):
    node.start()
    yield from in_a_row(node, fault_of_the_kernel, hang)


def crashes(node):
    node.start()
    yield from in_a_row(node, crash_of_systemd, no_network, emergency, emergency_in_use)


def in_a_row(node, *cases):
    boot = node.up()
    for case in cases:
        boot, text = case(node, boot)
        yield text


def rootless(node):
    """The boot loader's configuration names a root partition that is not there."""
    dump = json.loads(subprocess.run(["sfdisk", "--json", node.card], check=True, capture_output=True).stdout)
    offset = dump["partitiontable"]["partitions"][0]["start"] * 512
    at, path = f"{node.card}@@{offset}", "::/extlinux/extlinux.conf"
    text = subprocess.run(["mtype", "-i", at, path], check=True, capture_output=True, text=True).stdout
    before, root = text.split("root=PARTUUID=")
    changed = f"{before}root=PARTUUID={'0' * 8}{root[8:]}"
    subprocess.run(["mcopy", "-o", "-i", at, "-", path], check=True, input=changed.encode())
    node.start()
    mark = (0, 0)
    node.wait("a restart without a root", lambda: node.resets(mark), START)
    came_back(node, mark, by_watchdog=False)
    node.wait("another start", lambda: node.said().count(BANNER) == 2, START)
    spoke(node, mark, "Kernel panic - not syncing: VFS: Unable to mount root fs")
    yield "a root that is not there: the node starts again"


MACHINES = {case.__name__: case for case in (crashes, hangs, rootless)}


def run(name, settings, image, work):
    node = Machine(name, settings, image, work)
    began = time.monotonic()
    try:
        for text in MACHINES[name](node):
            print(f"ok  {text}  [{time.monotonic() - began:.0f} s]", flush=True)
        return None
    except Fault as fault:
        return f"{name}: {fault}"
    finally:
        node.end()


def main():
    portadc, node, image, work, *names = sys.argv[1:]
    if unknown := sorted(set(names) - set(MACHINES)):
        sys.exit(f"error: no such case: {', '.join(unknown)}; there are {', '.join(MACHINES)}")
    if missing := missing_programs():
        sys.exit(f"error: missing programs: {', '.join(missing)}")
    shown = json.loads(subprocess.run([portadc, "show", node, "--json"], check=True, capture_output=True).stdout)
    settings = {value["name"]: value["value"] for value in shown}
    began = time.monotonic()
    # Two at a time: each emulates two processors.
    with ThreadPoolExecutor(2) as pool:
        faults = [fault for fault in pool.map(lambda name: run(name, settings, image, Path(work)), names or MACHINES) if fault]
    if faults:
        sys.exit("\n".join(f"error: {fault}" for fault in faults))
    print(f"{time.monotonic() - began:.0f} s")


main()
