# Installs the tarball that ci/mirror made of Debian's packages, owners and modes as they are in it.
S=${WORKDIR}
RESTRICT=strip

debian-image_src_unpack() {
	:
}

debian-image_src_install() {
	tar --extract --file "${DISTDIR}/${PF}.tar" --directory "${ED}" \
		--same-owner --numeric-owner --same-permissions || die
}

EXPORT_FUNCTIONS src_unpack src_install
