EAPI=8

DESCRIPTION="A package that talks to others while it is compiled"
S=${WORKDIR}
HOMEPAGE="https://www.gentoo.org/"
LICENSE="GPL-2"
SLOT="0"
KEYWORDS="arm64"

src_compile() {
	local host
	for host in 127.0.0.1 192.0.2.1 2001:db8::1; do
		if ( : <>"/dev/tcp/${host}/80" ) 2>/dev/null; then
			die "reached ${host}"
		fi
		echo "no way to ${host}"
	done
	# Of a network's interfaces there is the loopback one, at most.
	local interfaces=( $(sed -n 's/^ *\([^ :]*\):.*/\1/p' /proc/net/dev) )
	[[ -z ${interfaces[*]#lo} ]] || die "there are interfaces: ${interfaces[*]}"
	touch alone || die
}

src_install() {
	insinto /usr/share/reaches-out
	doins alone
}
