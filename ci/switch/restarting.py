"""Containers that end: those that restart themselves, or are killed for want of memory, run again as they were; those that
are switched off do not."""

import time

from moving import known_by, state

# Seconds until one runs again: it may have to wait for its turn.
AGAIN = 180
# Seconds in which one that was switched off would have been started again.
QUIET = 20
# Uses more memory than the container may, in parts of which none counts for as much as its init, which is killed for it.
EAT = "echo 1000 >/proc/1/oom_score_adj; for part in 1 2 3 4 5 6 7 8; do head -c 100M /dev/zero | tail & done; wait"


def init(node, name):
    """The process number of the container's init; nothing where it does not run."""
    return node.run("sh", "-c", f"lxc-info --name {name} --pid --no-humanize 2>&- || true").strip()


def reboot(container):
    container.node.run("sh", "-c", f"lxc-attach --name {container.name} -- systemctl reboot || true")


def starve(container):
    container.node.run("sh", "-c", f"lxc-attach --name {container.name} -- sh -c '{EAT}' || true")


def power_off(container):
    container.node.run("sh", "-c", f"lxc-attach --name {container.name} -- systemctl poweroff || true")


def kill(container):
    container.node.run("lxc-stop", "--name", container.name, "--kill")


def seen_from_outside(container):
    """What makes it that container, and what others have of it: routes on its node, its root's owners, its addresses."""
    node, name = container.node, container.name
    interface = f"ct-{name}"
    return (
        known_by(container),
        node.run("ip", "route", "show", "dev", interface),
        # The kernel's own has no part in it.
        [line for line in node.run("ip", "-6", "route", "show", "dev", interface).splitlines() if not line.startswith("fe80")],
        container.run("stat", "--format=%u %g", "/", "/etc").split(),
        container.run("cat", "/proc/self/uid_map").split(),
    )


def restarts(container, neighbour, end):
    """Has it end by `end`. Returns what is wrong when it runs again, and a text."""
    name, node = container.name, container.node
    before, first = seen_from_outside(container), init(node, name)
    start = time.monotonic()
    end(container)
    while time.monotonic() - start < AGAIN:
        if (now := init(node, name)) and now != first:
            break
        time.sleep(1)
    else:
        return [f"{name} does not run again after {end.__name__}: it is {state(node, name)}"], ""
    faults = []
    if (within := container.settled()) != "running":
        faults.append(f"{name}, started again after {end.__name__}, says {within!r}")
    if (after := seen_from_outside(container)) != before:
        faults.append(f"{name} is another one after {end.__name__}: {after!r}, not {before!r}")
    container.lay()
    if (answer := container.ask(20, [f"{neighbour},ping"]))[0] == "-":
        faults.append(f"{name} reaches nobody after {end.__name__}: {answer}")
    return faults, f"{name} runs again after {end.__name__}, with its addresses, routes and owners"


def stays_off(container, end):
    """Has it end by `end`, after which nobody starts it. Returns faults and a text."""
    name, node = container.name, container.node
    end(container)
    start, seen = time.monotonic(), set()
    while time.monotonic() - start < QUIET or "STOPPING" in seen:
        seen = {state(node, name)}
        if time.monotonic() - start > AGAIN:
            break
        time.sleep(1)
    unit = node.run("sh", "-c", f"systemctl show --property ActiveState --value restart-container@{name}").strip()
    faults = [] if (seen, unit) == ({"STOPPED"}, "inactive") else [f"{name} is {seen} after {end.__name__}, its unit {unit}"]
    node.run("lxc-start", "--name", name)
    if (within := container.settled()) != "running":
        faults.append(f"{name}, started by hand, says {within!r}")
    return faults, f"{name} stays off after {end.__name__}"
