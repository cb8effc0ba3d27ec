# Capabilities of files, which an image cannot carry: given after the merge, in the names of Gentoo's eclass.
IUSE="+filecaps"

# fcaps [-o OWNER] [-g GROUP] [-m MODE] [-M MODE] CAPABILITIES FILE...: with capabilities a file gets the mode of -M, without them
# what the other options say.
fcaps() {
	local owner= group= mode=u+s caps_mode=711 OPTIND OPTARG option
	while getopts o:g:m:M: option; do
		case ${option} in
			o) owner=${OPTARG} ;;
			g) group=${OPTARG} ;;
			m) mode=${OPTARG} ;;
			M) caps_mode=${OPTARG} ;;
			*) die "fcaps: unknown option" ;;
		esac
	done
	shift $((OPTIND - 1))
	local capabilities=$1 file
	[[ ${capabilities} == *[-+=]* ]] || capabilities+="=ep"
	shift
	for file; do
		file=${EROOT}/${file#/}
		if use filecaps; then
			chmod "${caps_mode}" "${file}" || die
			setcap "${capabilities}" "${file}" || die
			continue
		fi
		[[ -z ${owner} ]] || chown "$(_fcaps_number passwd "${owner}")" "${file}" || die
		[[ -z ${group} ]] || chgrp "$(_fcaps_number group "${group}")" "${file}" || die
		chmod "${mode}" "${file}" || die
	done
}

# The number of a name in a file of accounts of the tree.
_fcaps_number() {
	awk -F: -v name="$2" '$1 == name { print $3 }' "${EROOT}/etc/$1"
}

fcaps_pkg_postinst() {
	fcaps "${FILECAPS[@]}"
}

EXPORT_FUNCTIONS pkg_postinst
