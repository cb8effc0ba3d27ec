src_install() {
	debian-image_src_install
	keepdir /boot /dev /etc/profile.d /home /media /mnt /opt /proc /run /srv /sys /usr/local/{bin,lib,share} \
		/var/{cache,empty,lib,log,spool}
	diropts -m 0700
	keepdir /root
	diropts -m 1777
	keepdir /tmp /var/tmp
}

# A merged /usr: links that no package owns. The accounts are the administrator's: only given where there are none.
pkg_preinst() {
	local link
	mkdir -p "${EROOT}"/usr/{bin,lib,lib64} "${EROOT}"/{etc,var} || die
	for link in bin:usr/bin sbin:usr/bin lib:usr/lib lib64:usr/lib64 usr/sbin:bin var/run:../run var/lock:../run/lock; do
		[[ -e ${EROOT}/${link%:*} || -L ${EROOT}/${link%:*} ]] || ln -s "${link#*:}" "${EROOT}/${link%:*}" || die
	done
	local file
	for file in passwd group; do
		[[ -e ${EROOT}/etc/${file} ]] || install -m 0644 "${ED}/usr/share/baselayout/${file}" "${EROOT}/etc/" || die
	done
	for file in shadow gshadow; do
		[[ -e ${EROOT}/etc/${file} ]] || install -m 0640 "${ED}/usr/share/baselayout/${file}" "${EROOT}/etc/" || die
	done
}
