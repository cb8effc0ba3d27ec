//! A mirror in miniature that has what the `gentoo` set needs: stage3, binary packages, kernel.org, U-Boot. Its packages are
//! gpkgs, written here member by member.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::sync::Mutex;

use blake2::Blake2b512;
use fetch::Sha256Sum;
use formats::digest::hex;
use sequoia_openpgp::Cert;
use sha1::Sha1;
use sha2::{Digest, Sha512};

use crate::keys::{Made, clearsign, fingerprint, key, sign_detached};
use crate::miniature::{Files, now, xz};
use crate::workbench::content;

/// When its stage3 was made, as names of files have it.
pub const STAMP: &str = "20260920T170000Z";
/// Where stage3s are.
pub const AUTOBUILDS: &str = "releases/arm64/autobuilds";
/// Where binary packages are.
pub const BINHOST: &str = "releases/arm64/binpackages/23.0/arm64";

/// A package as its maker has it.
#[derive(Clone)]
pub struct Binary {
    /// Category, name and version.
    pub cpv: &'static str,
    /// The number of the build.
    pub build: u32,
    /// What an entry of the database has, besides the name.
    pub values: BTreeMap<&'static str, String>,
    /// Who signs it.
    pub signer: Option<Cert>,
}

impl Binary {
    /// A package without dependencies that nobody signs.
    pub fn new(cpv: &'static str) -> Self {
        let values = [
            ("BUILD_TIME", "1789000000"),
            ("CHOST", "aarch64-unknown-linux-gnu"),
            ("EAPI", "8"),
            ("SLOT", "0"),
            ("KEYWORDS", "arm64"),
            ("repository", "gentoo"),
        ];
        Self {
            cpv,
            build: 1,
            values: values.map(|(key, value)| (key, value.to_owned())).into(),
            signer: None,
        }
    }

    /// The same with another value of `key`.
    pub fn with(mut self, key: &'static str, value: &str) -> Self {
        self.values.insert(key, value.to_owned());
        self
    }

    /// The same as another build.
    pub fn build(self, build: u32) -> Self {
        Self { build, ..self }
    }

    fn split(&self) -> (&'static str, &'static str) {
        self.cpv.split_once('/').unwrap()
    }

    /// Its path below its source.
    pub fn path(&self) -> String {
        let (category, pf) = self.split();
        let name = pf.rsplit_once('-').unwrap().0;
        format!("{category}/{name}/{pf}-{}.gpkg.tar", self.build)
    }

    /// The entry of the database of installed packages, file by file.
    fn entry(&self) -> Vec<(String, String)> {
        let (category, pf) = self.split();
        let mut files = vec![
            ("CATEGORY".to_owned(), format!("{category}\n")),
            ("PF".into(), format!("{pf}\n")),
            ("BUILD_ID".into(), format!("{}\n", self.build)),
        ];
        files.extend(
            self.values
                .iter()
                .map(|(key, value)| ((*key).to_owned(), format!("{value}\n"))),
        );
        files
    }

    /// The package as a file (GLEP 78), the same each time: it is signed once.
    pub fn gpkg(&self) -> Vec<u8> {
        static MADE: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
        let signer = self.signer.as_ref().map(fingerprint);
        let name = format!("{}-{} {:?} {signer:?}", self.cpv, self.build, self.values);
        let mut made = MADE.lock().unwrap();
        made.entry(name).or_insert_with(|| self.make()).clone()
    }

    fn make(&self) -> Vec<u8> {
        let metadata: Vec<_> = self
            .entry()
            .into_iter()
            .map(|(name, value)| (format!("metadata/{name}"), value.into_bytes()))
            .collect();
        let image = [("image/usr/bin/thing".to_owned(), content(3_000))];
        let members = [
            ("gpkg-1", Vec::new()),
            ("metadata.tar", tar(&metadata)),
            ("image.tar", tar(&image)),
        ];
        let mut manifest = String::new();
        for (name, bytes) in &members {
            writeln!(
                manifest,
                "DATA {name} {} SHA512 {} BLAKE2B {}",
                bytes.len(),
                hex(&Sha512::digest(bytes)),
                hex(&Blake2b512::digest(bytes))
            )
            .unwrap();
        }
        let manifest = match &self.signer {
            Some(signer) => clearsign(&manifest, signer, Made::days_ago(1)),
            None => manifest.into_bytes(),
        };
        let folder = format!("{}-{}", self.split().1, self.build);
        let mut files: Vec<_> = members
            .into_iter()
            .map(|(name, bytes)| (format!("{folder}/{name}"), bytes))
            .collect();
        files.push((format!("{folder}/Manifest"), manifest));
        tar(&files)
    }

    /// What an index says of it.
    pub fn stanza(&self) -> BTreeMap<String, String> {
        let gpkg = self.gpkg();
        let mut stanza: BTreeMap<String, String> = self
            .values
            .iter()
            .map(|(key, value)| match *key {
                "repository" => ("REPO".to_owned(), value.clone()),
                key => (key.to_owned(), value.clone()),
            })
            .collect();
        stanza.extend([
            ("CPV".to_owned(), self.cpv.to_owned()),
            ("BUILD_ID".into(), self.build.to_string()),
            ("PATH".into(), self.path()),
            ("SIZE".into(), gpkg.len().to_string()),
            ("SHA1".into(), hex(&Sha1::digest(&gpkg))),
        ]);
        stanza
    }
}

/// An index of these stanzas.
pub fn index(header: &str, stanzas: &[BTreeMap<String, String>]) -> String {
    let mut text = format!("PACKAGES: {}\nVERSION: 0\n{header}\n", stanzas.len());
    for stanza in stanzas {
        for (key, value) in stanza {
            writeln!(text, "{key}: {value}").unwrap();
        }
        text.push('\n');
    }
    text
}

/// Compressed with gzip.
pub fn gz(text: &str) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(text.as_bytes(), flate2::Compression::fast())
        .read_to_end(&mut packed)
        .unwrap();
    packed
}

/// A plain tar of files.
fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_789_000_000);
        header.set_cksum();
        archive.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    archive.into_inner().unwrap()
}

/// A release of U-Boot.
pub fn u_boot(version: &str) -> Vec<u8> {
    let archive = tar(&[(format!("u-boot-{version}/Makefile"), content(3_000))]);
    let mut packed = Vec::new();
    bzip2::read::BzEncoder::new(&archive[..], bzip2::Compression::fast())
        .read_to_end(&mut packed)
        .unwrap();
    packed
}

/// What a mirror has.
pub struct Gentoo {
    /// Signs everything.
    pub signer: Cert,
    /// What the stage3 has installed.
    pub installed: Vec<Binary>,
    /// What its source of packages has.
    pub packages: Vec<Binary>,
    /// Which digests are signed.
    pub digests: &'static [&'static str],
    /// Whether the tarball has a signature beside it.
    pub asc: bool,
    /// How many days ago its indexes were made.
    pub days: u32,
    /// Which release the tarball of U-Boot really is.
    pub u_boot: &'static str,
}

impl Gentoo {
    /// A mirror on which all is well.
    pub fn new() -> Self {
        let signer = key("releng", 100);
        let signed = |binary: Binary| Binary {
            signer: Some(signer.clone()),
            ..binary
        };
        Self {
            installed: vec![
                Binary::new("sys-libs/glibc-2.41-r5").with("SLOT", "2.2"),
                Binary::new("net-misc/rsync-3.4.1"),
            ],
            packages: vec![
                signed(Binary::new("app-containers/lxc-6.0.3").with("RDEPEND", "sys-libs/libcap")),
                signed(
                    Binary::new("app-containers/lxc-6.0.4")
                        .with("RDEPEND", "sys-libs/libcap:0/0= sys-libs/glibc"),
                ),
                signed(Binary::new("sys-libs/libcap-2.76").build(3)),
                signed(Binary::new("net-misc/chrony-4.7")),
            ],
            signer,
            digests: &["BLAKE2B", "SHA512"],
            asc: true,
            days: 2,
            u_boot: "2025.01",
        }
    }

    /// The stage3.
    pub fn tarball(&self) -> Vec<u8> {
        let mut files = vec![("./usr/bin/bash".to_owned(), content(9_000))];
        for package in &self.installed {
            for (name, value) in package.entry() {
                files.push((format!("./var/db/pkg/{}/{name}", package.cpv), value.into_bytes()));
            }
        }
        xz(&tar(&files))
    }

    /// The name of the stage3's file.
    pub fn stage3_name() -> String {
        format!("stage3-arm64-systemd-{STAMP}.tar.xz")
    }

    /// The index of its packages.
    pub fn stanzas(&self) -> Vec<BTreeMap<String, String>> {
        self.packages.iter().map(Binary::stanza).collect()
    }

    /// The files of a mirror, and of what lies beside it for kernel and U-Boot.
    pub fn files(&self) -> Files {
        let sign = |text: &str| clearsign(text, &self.signer, Made::days_ago(self.days));
        let made = now() - u64::from(self.days) * 86_400;
        let (kernel, u_boot, stage3) = (content(4_000), u_boot(self.u_boot), self.tarball());
        let name = Self::stage3_name();
        let mut digests = String::new();
        for kind in self.digests {
            let digest = match *kind {
                "SHA512" => hex(&Sha512::digest(&stage3)),
                _ => hex(&Blake2b512::digest(&stage3)),
            };
            writeln!(
                digests,
                "# {kind} HASH\n{digest}  {name}\n{}  {name}.CONTENTS.gz",
                "ab".repeat(64)
            )
            .unwrap();
        }
        let latest = format!(
            "# Latest as of Sun, 20 Sep 2026 18:00:00 +0000\n# ts={made}\n{STAMP}/{name} {}\n",
            stage3.len()
        );
        let sums = format!("{}  linux-6.18.53.tar.xz\n", Sha256Sum::of(&kernel));
        let mut files = Files::from([
            ("pub/linux/kernel/v6.x/sha256sums.asc".into(), sign(&sums)),
            ("pub/linux/kernel/v6.x/linux-6.18.53.tar.xz".into(), kernel),
            (
                "pub/u-boot/u-boot-2025.01.tar.bz2.sig".into(),
                sign_detached(&u_boot, &self.signer),
            ),
            ("pub/u-boot/u-boot-2025.01.tar.bz2".into(), u_boot),
            (
                format!("{AUTOBUILDS}/latest-stage3-arm64-systemd.txt"),
                sign(&latest),
            ),
            (format!("{AUTOBUILDS}/{STAMP}/{name}.DIGESTS"), sign(&digests)),
        ]);
        if self.asc {
            let signature = sign_detached(&stage3, &self.signer);
            files.insert(format!("{AUTOBUILDS}/{STAMP}/{name}.asc"), signature);
        }
        files.insert(format!("{AUTOBUILDS}/{STAMP}/{name}"), stage3);
        for package in &self.packages {
            files.insert(format!("{BINHOST}/{}", package.path()), package.gpkg());
        }
        let index = index(
            &format!("ARCH: arm64\nCHOST: aarch64-unknown-linux-gnu\nTIMESTAMP: {made}\n"),
            &self.stanzas(),
        );
        files.insert(format!("{BINHOST}/Packages.gz"), gz(&index));
        files
    }
}
