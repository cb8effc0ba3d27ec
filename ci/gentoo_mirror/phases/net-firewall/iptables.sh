# What eselect sets: the programs' names lead to one of two implementations.
pkg_postinst() {
	local name form
	for name in iptables ip6tables; do
		for form in '' -save -restore; do
			ln -snf xtables-nft-multi "${EROOT}/usr/sbin/${name}${form}" || die
		done
	done
}
