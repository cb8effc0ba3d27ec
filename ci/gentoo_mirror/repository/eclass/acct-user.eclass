# A user: what a package of acct-user does, in the names of Gentoo's eclass.
ACCT_USER_NAME=${PN}
ACCT_USER_HOME=/dev/null
ACCT_USER_HOME_PERMS=0755
ACCT_USER_SHELL=/sbin/nologin
SLOT=0
KEYWORDS=arm64
S=${WORKDIR}

acct-user_add_deps() {
	RDEPEND+=${ACCT_USER_GROUPS[*]/#/ acct-group/}
}

acct-user_src_install() {
	_ACCT_USER_ID=${ACCT_USER_ID}
	_ACCT_USER_COMMENT=${DESCRIPTION//[:,=]/;}
	_ACCT_USER_SHELL=${ACCT_USER_SHELL}
	_ACCT_USER_HOME=${ACCT_USER_HOME}
	_ACCT_USER_HOME_OWNER=${ACCT_USER_HOME_OWNER}
	_ACCT_USER_HOME_PERMS=${ACCT_USER_HOME_PERMS}
	_ACCT_USER_GROUPS=${ACCT_USER_GROUPS[*]}
	[[ ${_ACCT_USER_HOME} == /dev/null ]] || keepdir "${_ACCT_USER_HOME}"
	insinto /usr/lib/sysusers.d
	newins - "acct-user-${ACCT_USER_NAME}.conf" < <(printf 'u\t%q\t%q\t%q\t%q\t%q\n' "${ACCT_USER_NAME}" \
		"${_ACCT_USER_ID}:${ACCT_USER_GROUPS[0]}" "${_ACCT_USER_COMMENT}" "${_ACCT_USER_HOME}" "${_ACCT_USER_SHELL}")
}

# The number of a name in a file of accounts.
_acct_number() {
	awk -F: -v name="$2" '$1 == name { print $3 }' "${EROOT}/etc/$1"
}

acct-user_pkg_preinst() {
	local groups=( ${_ACCT_USER_GROUPS} )
	local group=$(_acct_number group "${groups[0]}")
	[[ -n ${group} ]] || die "no group ${groups[0]}"
	if [[ -z $(_acct_number passwd "${ACCT_USER_NAME}") ]]; then
		echo "${ACCT_USER_NAME}:x:${_ACCT_USER_ID}:${group}:${_ACCT_USER_COMMENT}:${_ACCT_USER_HOME}:${_ACCT_USER_SHELL}" \
			>>"${EROOT}/etc/passwd" || die
		echo "${ACCT_USER_NAME}:!:20000::::::" >>"${EROOT}/etc/shadow" || die
	fi
	if [[ ${_ACCT_USER_HOME} != /dev/null ]]; then
		local owner=${_ACCT_USER_HOME_OWNER:-${ACCT_USER_NAME}:${groups[0]}}
		fowners "$(_acct_number passwd "${owner%:*}"):$(_acct_number group "${owner#*:}")" "${_ACCT_USER_HOME}"
		fperms "${_ACCT_USER_HOME_PERMS}" "${_ACCT_USER_HOME}"
	fi
}

EXPORT_FUNCTIONS src_install pkg_preinst
