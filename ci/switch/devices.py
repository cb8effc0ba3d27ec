"""Which devices a container opens: LXC, kernel and mounts of a booted node."""

# Lays the card and the node's memory into the container's root, as only root of the node can, and tries them from within. What
# LXC lets the container open, wherever the device lies, is tried by a process of the node in the container's cgroup.
TRY = r"""
name=$1
card=$(findmnt --noheadings --output SOURCE --nofsroot /)
root=/var/lib/lxc/$name/rootfs/srv
mknod -m 0666 "$root/card" b $((0x$(stat -L --format=%t "$card"))) $((0x$(stat -L --format=%T "$card")))
mknod -m 0666 "$root/memory" c 1 1
mknod -m 0666 "$root/zero" c 1 5
for device in /srv/card /srv/memory /srv/zero /dev/null /dev/zero /dev/urandom; do
    if lxc-attach --name "$name" -- sh -c '[ ! -e "$1" ] || exec < "$1"' sh "$device" 2> /dev/null; then
        echo "within $device"
    fi
done
rm "$root/card" "$root/memory" "$root/zero"
init=$(lxc-info --name "$name" --pid --no-humanize)
cgroup=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$init/cgroup")
for device in "$card" /dev/kmsg /dev/zero; do
    sh -c 'exec < "$1"' sh "$device" || exit 1
    if sh -c 'echo $$ > "$1/cgroup.procs" && exec < "$2"' sh "$cgroup" "$device" 2> /dev/null; then
        echo "listed $device"
    fi
done
"""
OPEN = ["within /dev/null", "within /dev/zero", "within /dev/urandom", "listed /dev/zero"]


def check(container):
    """Returns faults and a text."""
    told = container.node.run("sh", "-euc", TRY, "try", container.name).splitlines()
    faults = [f"{container.name} at {container.node.name} opens {line!r}" for line in told if line not in OPEN]
    faults += [f"{container.name} at {container.node.name} does not open {line!r}" for line in OPEN if line not in told]
    return faults, f"{container.name} opens neither its node's card nor memory, wherever they lie; null, zero, urandom it does"
