EAPI=8

DESCRIPTION="Runs a monitoring server's commands on this machine"
HOMEPAGE="https://github.com/NagiosEnterprises/nrpe"
SRC_URI="https://upstream.invalid/nrpe/${P}.tar.gz"
S="${WORKDIR}/nrpe-${P}"

LICENSE="GPL-2+"
SLOT="0"
# Nobody has tried it on arm64.
KEYWORDS=""
IUSE="+ssl"

RDEPEND="acct-group/nagios
	acct-user/nagios
	ssl? ( dev-libs/openssl:0= )"
DEPEND="${RDEPEND}"

src_configure() {
	econf \
		--sysconfdir=/etc/nagios \
		--localstatedir=/var/lib/nagios \
		--with-piddir=/run \
		--with-nrpe-user=nagios \
		--with-nrpe-group=nagios \
		--with-opsys=unknown \
		--with-dist-type=unknown \
		--with-init-type=unknown \
		--with-inetd-type=unknown \
		--with-need-dh=no \
		$(use_enable ssl)
}

src_compile() {
	emake nrpe
}

src_install() {
	dobin src/nrpe
	insinto /etc/nagios
	doins sample-config/nrpe.cfg
	fowners root:nagios /etc/nagios/nrpe.cfg
	fperms 0640 /etc/nagios/nrpe.cfg
	insinto /usr/lib/systemd/system
	newins startup/default-service nrpe.service
	dodoc README.md SECURITY.md
}
