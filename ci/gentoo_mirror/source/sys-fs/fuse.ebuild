EAPI=8

inherit meson

DESCRIPTION="File systems that are programs"
HOMEPAGE="https://github.com/libfuse/libfuse"
SRC_URI="https://upstream.invalid/libfuse/${P}.tar.gz"

LICENSE="GPL-2 LGPL-2.1"
SLOT="3/4"
KEYWORDS="arm64"
IUSE="+suid"

RDEPEND="sys-fs/fuse-common"
BDEPEND="virtual/pkgconfig"

src_configure() {
	meson_src_configure -Dexamples=false -Dtests=false -Duseroot=false -Dinitscriptdir= -Dudevrulesdir=/usr/lib/udev/rules.d
}

src_install() {
	meson_src_install
	# These are sys-fs/fuse-common's.
	rm -r "${ED}/etc" "${ED}/usr/lib/udev" || die
	! use suid || fperms u+s /usr/bin/fusermount3
}
