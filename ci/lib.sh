# Shared by the scripts of this folder: say what happens, install what is missing, register foreign binaries.
#
# Lists of packages and `portadc` are for those scripts.
# shellcheck shell=bash disable=SC2034

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
repository=$PWD
# Where Debian keeps sfdisk, mkfs.btrfs and their kin; a user's PATH lacks it.
PATH=$PATH:/usr/sbin:/sbin

# What `portadc build` needs on Debian 12 and 13.
build_packages=(
    bc bison ca-certificates cpio debian-archive-keyring flex gcc gcc-aarch64-linux-gnu kmod
    libc6-dev libelf-dev libssl-dev make mmdebstrap patch qemu-user-static arch-test uidmap
)
# What `portadc boot` needs.
boot_packages=(openssh-client qemu-system-arm ipxe-qemu u-boot-qemu)
# What `ci/check-switch` needs besides that.
switch_packages=(iproute2 iputils-ping perl-base python3 python3-pytest util-linux)
# What `ci/mirror` needs.
mirror_packages=(bzip2 gpg gpg-agent libcap2-bin pax-utils python3 python3-venv tar xz-utils zstd)
# What `ci/check-network` needs.
network_packages=(
    conntrack haproxy i2pd iproute2 monitoring-plugins-basic nagios-nrpe-plugin nagios-nrpe-server nagios4-core nftables
    openssh-client openssh-server openssl python3 python3-pytest
    systemd util-linux wireguard-go wireguard-tools
)
# What `ci/check-backup` needs besides.
backup_packages=(btrfs-progs busybox-static gcc libc6-dev libcap2-bin lxc lxcfs openssh-client openssh-server rsync uidmap)
# The oracles: programs we did not write that say whether what we write is right.
test_packages=(
    age attr binutils bmap-tools btrfs-progs bzip2 device-tree-compiler diffutils dosfstools fdisk fuse3 gcc genimage gpg
    gpg-agent libfuse3-dev lz4 mount mtools openssh-client pax-utils pkg-config python3 python3-venv rsync shellcheck strace
    systemd tar util-linux wireguard-tools xz-utils zstd
)

# What `ci/release` needs besides a compiler.
release_packages=(binutils gcc gcc-aarch64-linux-gnu libc6-dev libc6-dev-arm64-cross lintian)

# When the first of these scripts began, which calls the others.
export CI_BEGAN=${CI_BEGAN:-$(date +%s)}
# Says what comes next, and after how many minutes.
say() { printf '\n==> %s  [%d min]\n' "$*" $((($(date +%s) - CI_BEGAN) / 60)); }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Runs a command with the rights of root, which installing packages and mounting need.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# install PACKAGE...: installs those that are not installed yet; asks the mirror only if there are any.
install() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends "${missing[@]}"
}

# The same for packages with services, which only check here: none is started, now or with the machine.
install_idle() {
    local policy=/usr/sbin/policy-rc.d unit units=() refused='' status=0
    for unit in haproxy i2pd lxc lxcfs lxc-monitord lxc-net nagios-nrpe-server nagios4; do
        systemctl is-enabled --quiet "$unit.service" 2>/dev/null || units+=("$unit.service")
    done
    if [ ! -e $policy ]; then
        refused=yes
        as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
    fi
    (install "$@") || status=$?
    [ -z "$refused" ] || as_root rm -f $policy
    for unit in "${units[@]}"; do
        as_root systemctl disable --quiet "$unit" 2>/dev/null || true
    done
    return "$status"
}

# The maintainer scripts of the arm64 base run through qemu-user: the kernel has to know it.
register_arm64() {
    local registry=/proc/sys/fs/binfmt_misc
    [ -e $registry/register ] || as_root mount -t binfmt_misc binfmt_misc $registry
    [ -e $registry/qemu-aarch64 ] ||
        as_root sh -c "cat /usr/lib/binfmt.d/qemu-aarch64.conf > $registry/register"
}

# The compiler that is there; else the one that Debian 13 has by its rustup, and Debian 12 by what it keeps for web browsers.
need_rust() {
    if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then
        # shellcheck source=/dev/null
        . "$HOME/.cargo/env"
    fi
    if ! command -v cargo >/dev/null; then
        # Of a package that others only name, apt-cache has no version.
        if apt-cache madison rustup 2>/dev/null | grep -q .; then
            install rustup
            rustup default stable
        else
            install rustc-web cargo-web
        fi
    fi
    local version
    version=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n1.88\n' "$version" | sort -V | head -n1)" = 1.88 ] ||
        die "rustc $version is too old: 1.88 or newer is needed (rustup update, or apt upgrade rustc-web cargo-web)"
}

# need_target TARGET ARCHITECTURE: what the compiler needs to compile for another machine, which Debian calls ARCHITECTURE.
need_target() {
    [ ! -d "$(rustc --print target-libdir --target "$1")" ] || return 0
    if command -v rustup >/dev/null; then
        rustup target add "$1"
    else
        as_root dpkg --add-architecture "$2"
        install "libstd-rust-web-dev:$2"
    fi
}

# Dependencies are the same from clone to clone. A clone that has compiled nothing yet gets those that another compiled of this
# Cargo.lock with this compiler; cargo itself says whether they are right. What none asked for in a week goes.
take_dependencies() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/portadc-ci/dependencies
    find "$cache" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -r {} + 2>/dev/null || true
    dependencies=$cache/$(rustc -vV | cat - Cargo.lock | sha256sum | cut -c 1-16)
    if [ -d "$dependencies" ]; then touch "$dependencies"; fi
    [ ! -e "${CARGO_TARGET_DIR:-target}" ] || return 0
    if [ -d "$dependencies" ]; then
        cp -a --reflink=auto "$dependencies" "${CARGO_TARGET_DIR:-target}"
    else
        dependencies_lack=yes
    fi
}

# Leaves them to other clones, where this one began with nothing: all that was compiled but this workspace.
keep_dependencies() {
    local own part
    [ -n "${dependencies_lack:-}" ] || return 0
    mkdir -p "${dependencies%/*}"
    part=$(mktemp -d "$dependencies.XXXXXX")
    cp -a --reflink=auto "${CARGO_TARGET_DIR:-target}/." "$part"
    mapfile -t own < <(cargo metadata --no-deps --format-version 1 | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    print("--package", package["name"], sep="\n")')
    CARGO_TARGET_DIR=$part cargo clean --quiet --release "${own[@]}"
    # Another run may have been faster.
    mv -T "$part" "$dependencies" 2>/dev/null || rm -rf "$part"
}

# The program that runs tests.
need_nextest() {
    cargo nextest --version >/dev/null 2>&1 && return
    say "installing cargo-nextest"
    cargo install --locked cargo-nextest@0.9.143
}

# Tests that mount run as root; everything is compiled as the user who called. Each test has mounts of its own: what others see
# of them, a name space that is made at that moment would keep.
tests_as_root() {
    local host become=''
    [ "$(id -u)" = 0 ] || become="sudo -E env PATH=$PATH "
    host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${host}_RUNNER=${become}unshare --mount"
}

# newest PATH...: the one that was changed last.
newest() { find "$@" -maxdepth 0 -printf '%T@ %p\n' | sort -rn | head -n 1 | cut -d ' ' -f 2-; }

build_portadc() {
    say "building portadc"
    cargo build --release --locked --bin portadc
    portadc=${CARGO_TARGET_DIR:-target}/release/portadc
}

# node KIND: the name of a node of the fleet, as ci/nodes.py knows them by kind.
node() { "$portadc" list --json | python3 "$repository/ci/nodes.py" "$1"; }

# test_project FOLDER: the project whose fleet the tests speak of, in another folder.
test_project() { cp -rL builder/testkit/fleet "$1"; }

# serve FOLDER: serves it on loopback. `url` is then where, and `server` the process, which the script has to end.
serve() {
    local said
    said=$(mktemp)
    "$repository/ci/serve" "$1" >"$said" &
    server=$!
    while [ ! -s "$said" ]; do
        kill -0 $server || die "$1 is not served"
        sleep 0.1
    done
    url=$(cat "$said")
    rm "$said"
}

# built_example NAME: the path of an example. All are compiled with what the tests ask of dependencies: those of a single package
# have other features, for which most would be compiled once more.
built_example() {
    cargo build --release --locked --quiet --workspace --examples >&2
    realpath "${CARGO_TARGET_DIR:-target}/release/examples/$1"
}

# new_project FOLDER: the data of this project, its identities included, in another folder.
new_project() {
    mkdir -p "$1"
    cp -r boards kernel overlays images sources.toml sources.lock identity "$1/"
    if [ -d keys ]; then cp -r keys "$1/"; fi
}

# seed_cache FOLDER: what takes minutes to make (fetched sources, the configured and compiled kernel, the base tarball),
# not what a build makes of it, and no blobs, which are the user's alone. Hard links: nothing is copied.
seed_cache() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/portadc stage
    for stage in sources kernel-kconfig kernel-config kernel debian-base; do
        [ -d "$cache/$stage" ] || die "no $stage in $cache: run ci/build first"
        cp -al "$cache/$stage" "$1/" 2>/dev/null || cp -a "$cache/$stage" "$1/"
    done
}

# partition IMAGE NUMBER FILE: the bytes of a partition as a sparse file of its own, with its blocks shared or copied
# inside the kernel.
partition() {
    local start size
    read -r start size < <(sfdisk --json "$1" | python3 -c "
import json, sys
partition = json.load(sys.stdin)['partitiontable']['partitions'][$2 - 1]
print(partition['start'], partition['size'])")
    dd if="$1" of="$3" bs=512 skip="$start" count="$size" iflag=fullblock conv=sparse status=none
    truncate -s $((size * 512)) "$3"
}
