# Capabilities of files, which an image cannot carry: given after the merge, in the names of Gentoo's eclass.
IUSE="+filecaps"

# fcaps [-g GROUP] [-m MODE] CAPABILITIES FILE...
fcaps() {
	local group= mode= OPTIND OPTARG option
	while getopts g:m: option; do
		case ${option} in
			g) group=${OPTARG} ;;
			m) mode=${OPTARG} ;;
			*) die "fcaps: unknown option" ;;
		esac
	done
	shift $((OPTIND - 1))
	local capabilities=$1 file
	shift
	for file; do
		file=${EROOT}/${file#/}
		[[ -z ${group} ]] || chgrp "$(awk -F: -v name="${group}" '$1 == name { print $3 }' "${EROOT}/etc/group")" "${file}" || die
		[[ -z ${mode} ]] || chmod "${mode}" "${file}" || die
		setcap "${capabilities}+ep" "${file}" || die
	done
}

fcaps_pkg_postinst() {
	use filecaps || return 0
	fcaps "${FILECAPS[@]}"
}

EXPORT_FUNCTIONS pkg_postinst
