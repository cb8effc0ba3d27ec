# nftables-load.service only starts where there are saved rules.
pkg_postinst() {
	local rules=${EROOT}/var/lib/nftables/rules-save
	if [[ ! -f ${rules} ]]; then
		mkdir -p "${rules%/*}" && ( umask 177 && : >"${rules}" ) || die
	fi
}
