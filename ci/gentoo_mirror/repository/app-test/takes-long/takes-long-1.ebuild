EAPI=8

DESCRIPTION="A package that takes as long to compile as a test may"
S=${WORKDIR}
HOMEPAGE="https://www.gentoo.org/"
LICENSE="GPL-2"
SLOT="0"
KEYWORDS="arm64"

src_compile() {
	echo "this takes long"
	sleep 600
}

src_install() {
	keepdir /usr/share/takes-long
}
