# A group: what a package of acct-group does, in the names of Gentoo's eclass.
ACCT_GROUP_NAME=${PN}
SLOT=0
KEYWORDS=arm64
S=${WORKDIR}

acct-group_src_install() {
	_ACCT_GROUP_ID=${ACCT_GROUP_ID}
	insinto /usr/lib/sysusers.d
	newins - "acct-group-${ACCT_GROUP_NAME}.conf" < <(printf 'g\t%q\t%q\n' "${ACCT_GROUP_NAME}" "${_ACCT_GROUP_ID}")
}

acct-group_pkg_preinst() {
	grep -q "^${ACCT_GROUP_NAME}:" "${EROOT}/etc/group" && return
	echo "${ACCT_GROUP_NAME}:x:${_ACCT_GROUP_ID}:" >>"${EROOT}/etc/group" || die
	echo "${ACCT_GROUP_NAME}:!::" >>"${EROOT}/etc/gshadow" || die
}

EXPORT_FUNCTIONS src_install pkg_preinst
