EAPI=8

DESCRIPTION="A package that cannot be compiled"
S=${WORKDIR}
HOMEPAGE="https://www.gentoo.org/"
LICENSE="GPL-2"
SLOT="0"
KEYWORDS="arm64"

src_compile() {
	printf 'checking line %d... no\n' {1..40}
	echo "fails.c:7:5: error: this is what fails" >&2
	die "it was made to fail"
}
