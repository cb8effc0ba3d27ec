//! `sources.toml` as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// `sources.toml` as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourcesToml {
    /// The set that is used where none is named.
    #[schemars(with = "String")]
    pub(super) default: Spanned<String>,
    /// Names of the licences that you have read and accept. What is under another one is not fetched.
    #[serde(default, rename = "accept-licenses")]
    #[schemars(with = "Vec<String>")]
    pub(super) accept_licenses: Vec<Spanned<String>>,
    /// Licences that have to be accepted, by name.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, LicenseToml>")]
    pub(super) licenses: BTreeMap<Spanned<String>, LicenseToml>,
    /// What boards start with and only their vendors can make, by board.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, BlobSetToml>")]
    pub(super) blobs: BTreeMap<Spanned<String>, BlobSetToml>,
    /// Who signs, by name.
    #[schemars(with = "BTreeMap<String, SignerToml>")]
    pub(super) signers: BTreeMap<Spanned<String>, SignerToml>,
    /// Source sets by name.
    #[schemars(with = "BTreeMap<String, SetToml>")]
    pub(super) sets: BTreeMap<Spanned<String>, SetToml>,
}

/// `[licenses.<name>]`: terms that have to be accepted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LicenseToml {
    /// What it is, for people.
    pub(super) title: String,
    /// Where it can be read.
    pub(super) text: String,
}

/// `[blobs.<board>]`: files that a board starts with, fetched only where their licence is accepted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BlobSetToml {
    /// The licence that they are under.
    #[schemars(with = "String")]
    pub(super) license: Spanned<String>,
    /// Folders that hold them, first to last.
    #[schemars(with = "Vec<String>")]
    pub(super) mirrors: Spanned<Vec<Spanned<String>>>,
    /// The files by name. One whose size and SHA-256 you do not know is not listed: it can only come from `--blob-dir`.
    #[schemars(with = "BTreeMap<String, BlobToml>")]
    pub(super) files: BTreeMap<Spanned<String>, BlobToml>,
}

/// A file of a board.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BlobToml {
    /// Its size in bytes.
    #[schemars(with = "u64")]
    pub(super) size: Spanned<u64>,
    /// Its SHA-256: 64 hexadecimal digits, lower case.
    #[schemars(with = "String")]
    pub(super) sha256: Spanned<String>,
}

/// `[signers.<name>]`: keys whose signatures count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignerToml {
    /// File of OpenPGP certificates, armored or binary; relative to the project's root, or absolute.
    #[schemars(with = "String")]
    pub(super) keyring: Spanned<String>,
    /// Primary fingerprints (40 or 64 hexadecimal digits, spaces allowed). What the keyring lacks of them is fetched; nothing
    /// else is. Empty: every key of the keyring counts, and none is fetched.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) fingerprints: Vec<Spanned<String>>,
    /// The address by which a web key directory (WKD) has them.
    #[schemars(with = "Option<String>")]
    pub(super) wkd: Option<Spanned<String>>,
    /// A key server that has them, asked where the web key directory does not give them: `hkps://HOST`.
    #[schemars(with = "Option<String>")]
    pub(super) keyserver: Option<Spanned<String>>,
    /// What people do to get the keyring, where it cannot be fetched: quoted where it is missing.
    pub(super) obtain: Option<String>,
}

/// `[sets.<name>]`: one complete set of sources.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetToml {
    /// What it is, for people.
    pub(super) description: String,
    /// The Debian archive that its parts may come from.
    pub(super) archive: Option<ArchiveToml>,
    /// The kernel's source.
    #[schemars(with = "KernelToml")]
    pub(super) kernel: Spanned<KernelToml>,
    /// U-Boot's source.
    #[serde(rename = "u-boot")]
    #[schemars(with = "UBootToml")]
    pub(super) u_boot: Spanned<UBootToml>,
    /// The userland that the overlays are laid over.
    #[schemars(with = "BaseToml")]
    pub(super) base: Spanned<BaseToml>,
}

/// A Debian archive. Its mirror is the host's own, or `--mirror`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ArchiveToml {
    /// Suite or code name, as `dists/<suite>/InRelease` names it.
    #[schemars(with = "String")]
    pub(super) suite: Spanned<String>,
    /// The suite of security updates, `trixie-security`: what the two have of one package, the newer is taken. Mirrors have it
    /// beside the other suite, or in a folder `debian-security` beside theirs.
    #[schemars(with = "Option<String>")]
    pub(super) security: Option<Spanned<String>>,
    /// Components of the base; sources are looked for in the same.
    #[schemars(with = "Vec<String>")]
    pub(super) components: Vec<Spanned<String>>,
    /// Who signs `InRelease`.
    #[schemars(with = "String")]
    pub(super) signer: Spanned<String>,
}

/// Where a kernel may come from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum KernelToml {
    /// A source package of the set's archive.
    Archive(PackageToml),
    /// kernel.org: the newest release of a series in `sha256sums.asc`.
    KernelOrg(KernelOrgToml),
}

/// Where U-Boot may come from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum UBootToml {
    /// A source package of the set's archive.
    Archive(PackageToml),
    /// A release tarball with a detached signature beside it.
    Release(ReleaseToml),
}

/// Where a base may come from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum BaseToml {
    /// Made by mmdebstrap from the set's archive.
    Archive(BaseArchiveToml),
    /// A Gentoo stage3 tarball.
    Stage3(Box<Stage3Toml>),
}

/// A source package of an archive.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PackageToml {
    /// Name of the source package.
    #[schemars(with = "String")]
    pub(super) package: Spanned<String>,
    /// Upstream series: `6.12` takes the newest `6.12.N`.
    #[schemars(with = "String")]
    pub(super) series: Spanned<String>,
}

/// kernel.org.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KernelOrgToml {
    /// `6.18` takes the newest `6.18.N`.
    #[schemars(with = "String")]
    pub(super) series: Spanned<String>,
    /// Folders that hold `v6.x/`, first to last.
    #[schemars(with = "Vec<String>")]
    pub(super) mirrors: Spanned<Vec<Spanned<String>>>,
    /// Who signs `sha256sums.asc`.
    #[schemars(with = "String")]
    pub(super) signer: Spanned<String>,
}

/// A release beside its signature.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleaseToml {
    /// The release, exactly.
    #[schemars(with = "String")]
    pub(super) version: Spanned<String>,
    /// Folders that hold `u-boot-<version>.tar.bz2` and its `.sig`, first to last.
    #[schemars(with = "Vec<String>")]
    pub(super) mirrors: Spanned<Vec<Spanned<String>>>,
    /// Who signs the tarball.
    #[schemars(with = "String")]
    pub(super) signer: Spanned<String>,
}

/// A userland that mmdebstrap makes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BaseArchiveToml {
    /// Debian's name of the architecture.
    #[schemars(with = "String")]
    pub(super) architecture: Spanned<String>,
}

/// A Gentoo stage3, and binary packages over it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Stage3Toml {
    /// What follows `stage3-` in the tarball's name: `arm64-systemd` or `arm64-openrc`.
    #[schemars(with = "String")]
    pub(super) flavor: Spanned<String>,
    /// Folders that hold `latest-stage3-<flavor>.txt`, first to last.
    #[schemars(with = "Vec<String>")]
    pub(super) mirrors: Spanned<Vec<Spanned<String>>>,
    /// Who signs it.
    #[schemars(with = "String")]
    pub(super) signer: Spanned<String>,
    /// Where binary packages come from. Of two that are equally new the earlier source's is taken.
    #[serde(default)]
    pub(super) packages: Vec<PackageSourceToml>,
    /// Packages that are never installed, as atoms: `sys-apps/openrc`, `>=net-vpn/i2pd-2.50`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) mask: Vec<Spanned<String>>,
    /// Ebuilds and their sources: for packages that are compiled.
    pub(super) repository: Option<RepositoryToml>,
    /// What a node need not carry.
    #[serde(default)]
    pub(super) leave_out: LeaveOutToml,
}

/// `[...repository]`: the ebuild repository, as signed snapshots, and the sources that its ebuilds are of.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoryToml {
    /// Folders that hold `gentoo-YYYYMMDD.tar.xz`, first to last.
    #[schemars(with = "Vec<String>")]
    pub(super) mirrors: Spanned<Vec<Spanned<String>>>,
    /// Who signs snapshots.
    #[schemars(with = "String")]
    pub(super) signer: Spanned<String>,
    /// The day of the snapshot that is meant, `YYYYMMDD`; the newest where none is given.
    #[schemars(with = "Option<String>")]
    pub(super) snapshot: Option<Spanned<String>>,
    /// Folders that hold what ebuilds are compiled from, as `distfiles/` of Gentoo's mirrors does, first to last.
    #[schemars(with = "Vec<String>")]
    pub(super) distfiles: Spanned<Vec<Spanned<String>>>,
}

/// `[[...packages]]`: a folder of binary packages with an index `Packages`, or what is compiled here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PackageSourceToml {
    /// Its name, which sources.lock and messages use.
    #[schemars(with = "String")]
    pub(super) name: Spanned<String>,
    /// Folders on servers that hold the index, first to last: a binhost, as `PORTAGE_BINHOST` has it.
    #[schemars(with = "Option<Vec<String>>")]
    pub(super) mirrors: Option<Spanned<Vec<Spanned<String>>>>,
    /// A folder of this machine instead: relative to the project's root, or absolute.
    #[schemars(with = "Option<String>")]
    pub(super) folder: Option<Spanned<String>>,
    /// Instead: what the overlays name and no other source has is compiled, in the stage3, from the ebuilds of `repository`.
    pub(super) compile: Option<CompileToml>,
    /// Who has to have signed each package. Without it the sums that a package carries are enough: anybody could have made
    /// it who can write where it comes from.
    #[schemars(with = "Option<String>")]
    pub(super) signer: Option<Spanned<String>>,
}

/// `compile = { ... }`: how packages are compiled.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CompileToml {
    /// Lines of `package.accept_keywords`: an atom, and keywords that are accepted for it beside `arm64`
    /// (`app-containers/lxc ~arm64`, `net-analyzer/nrpe **`).
    #[schemars(with = "Vec<String>")]
    pub(super) keywords: Vec<Spanned<String>>,
    /// Lines of `package.use`: an atom, and flags that are set for it or, with `-` in front, are not
    /// (`app-containers/lxc -man`).
    #[serde(rename = "use")]
    #[schemars(with = "Vec<String>")]
    pub(super) use_flags: Vec<Spanned<String>>,
}

/// `[...leave-out]`: what a node need not carry.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct LeaveOutToml {
    /// Patterns; of those that match the last one decides. `/usr/share/doc` leaves out a path with all that is below it,
    /// `*.a` every file or folder of such a name, `!/usr/share/locale/de` keeps what an earlier pattern leaves out. `*` stands
    /// for any characters of a name, `?` for one.
    #[schemars(with = "Vec<String>")]
    pub(super) paths: Vec<Spanned<String>>,
    /// `keep` (the default): the records of installed packages stay, and are true, so that `emerge` goes on working.
    /// `drop`: they are left out.
    pub(super) package_manager: PackageManagerToml,
}

/// What is done with the package manager's records.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PackageManagerToml {
    #[default]
    Keep,
    Drop,
}
