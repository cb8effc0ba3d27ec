"""Nodes that have started: swap, kernel, containers."""

import re

from guests import Inside


def memory_files(container):
    """Whether what is in memory as files may be as large as all of it, as its systemd has it mounted. Returns faults."""
    most = container.run("cat", "/sys/fs/cgroup/memory.max").strip()
    found = container.run("findmnt", "--list", "--noheadings", "--bytes", "--types", "tmpfs", "--output", "TARGET,SIZE")
    sizes = [(target, int(size)) for target, size in map(str.split, found.splitlines())]
    if not most.isdigit() or not {"/run", "/tmp", "/dev/shm"} <= {target for target, _ in sizes}:
        return [f"{container.name}: of {most} bytes of memory, nothing is set aside for files: {sizes}"]
    together = sum(size for _, size in sizes)
    return [] if together <= int(most) else [f"{container.name}: files in memory may take {together} of its {most} bytes: {sizes}"]


def check_swap(node):
    """Whether it has as much swap in its memory as the fleet says, and no other. Returns faults and a text."""
    said = node.folder / "etc/portadc/zram"
    wanted = int((said.exists() and said.read_text().strip()) or 0)
    found = node.run("swapon", "--show=NAME,SIZE", "--bytes", "--noheadings").split()
    # The first page says what it is.
    right = found == (["/dev/zram0", str(wanted - 4096)] if wanted else [])
    return [] if right else [
        f"{node.name}: of {wanted} bytes of swap, there is {found}"
    ], f"{node.name}: {wanted >> 20} MiB of swap in memory"


def check_hypervisor(node):
    """What LXC itself says of its kernel and of its containers. Returns faults and a text."""
    report = node.run("env", "TERM=dumb", "lxc-checkconfig")
    report = re.sub(r"\x1b\[[0-9;]*m", "", report)
    enabled = len(re.findall(r": enabled", report))
    lacking = [line for line in report.splitlines() if re.search("missing|required|disabled", line)]
    faults = [f"{node.name}: lxc-checkconfig: {line}" for line in lacking]
    if not enabled:
        faults.append(f"{node.name}: lxc-checkconfig finds no configuration of the kernel: {report}")
    for name in node.containers():
        faults += memory_files(Inside(name, node))
        state = node.run("lxc-info", "--name", name, "--state", "--no-humanize").strip()
        within = Inside(name, node).settled()
        if (state, within) != ("RUNNING", "running"):
            faults.append(f"{node.name}: container {name} is {state}, its systemd says {within!r}")
    names = ", ".join(node.containers())
    return faults, f"{node.name}: lxc-checkconfig: {enabled} enabled, none missing; {names} running, systemd within as well"
