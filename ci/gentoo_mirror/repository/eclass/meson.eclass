# Builds with meson, in the names of Gentoo's eclass.
BDEPEND="dev-build/meson
	dev-build/ninja"

BUILD_DIR=${WORKDIR}/${P}-build

meson_use() {
	usex "$1" "-D${2:-$1}=true" "-D${2:-$1}=false"
}

# meson_src_configure OPTION...
meson_src_configure() {
	local setup=(
		meson setup --buildtype plain --wrap-mode nodownload
		--prefix /usr --libdir "$(get_libdir)" --sysconfdir /etc --localstatedir /var
		"$@" "${S}" "${BUILD_DIR}"
	)
	echo "${setup[@]}"
	"${setup[@]}" || die
}

meson_src_compile() {
	ninja -C "${BUILD_DIR}" -v ${MAKEOPTS} || die
}

meson_src_install() {
	DESTDIR=${D} ninja -C "${BUILD_DIR}" install || die
	einstalldocs
}

EXPORT_FUNCTIONS src_configure src_compile src_install
