EAPI=8

inherit meson

DESCRIPTION="What a container sees of memory, processors and time"
HOMEPAGE="https://linuxcontainers.org/lxcfs/"
SRC_URI="https://upstream.invalid/lxcfs/${P}.tar.gz"

LICENSE="Apache-2.0 LGPL-2+"
SLOT="0"
KEYWORDS="~arm64"
IUSE="doc"

RDEPEND="sys-fs/fuse:3="
DEPEND="${RDEPEND}"
BDEPEND="dev-python/jinja2
	virtual/pkgconfig
	doc? ( sys-apps/help2man )"

src_configure() {
	meson_src_configure $(meson_use doc docs) -Dtests=false -Dfuse-version=3 -Dinit-script=
}

src_install() {
	meson_src_install
	# Upstream's service asks pkg-config where services are.
	sed 's,{{BINDIR}},/usr/bin,; s,{{LXCFSTARGETDIR}},/var/lib/lxcfs,g; s,/bin/fusermount ,/bin/fusermount3 ,' config/init/systemd/lxcfs.service.in >lxcfs.service || die
	insinto /usr/lib/systemd/system
	doins lxcfs.service
	keepdir /var/lib/lxcfs
}
