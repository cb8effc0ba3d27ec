//! A Debian mirror in miniature, and a project whose sources are on it.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use engine::is_verification_failure;
use fetch::{BaseNeeds, Downgrade, Extent, Lock, Sha256Sum, UpdateOptions, update};
use model::finding::SourceFile;
use model::sources::{BaseSource, Signer, Source, SourceSet, Sources};
use sequoia_openpgp::Cert;
use testkit::server::{Answer, Server};

use crate::keys::{DAY, Made, clearsign, fingerprint, key, write_keyring};
use crate::workbench::{Workbench, content};

/// Files of a server by path.
pub type Files = HashMap<String, Vec<u8>>;

/// A Debian archive as a mirror carries it.
pub struct Archive {
    /// Signs it.
    pub signer: Cert,
    /// As `dists/` names it.
    pub name: &'static str,
    /// What its Release says that its suite is.
    pub suite: String,
    /// The same of its code name.
    pub codename: String,
    /// Seconds since 1970.
    pub date: u64,
    /// Seconds since 1970; for ever where it is not said.
    pub valid_until: Option<u64>,
    /// Version and content of `linux`'s tarballs.
    pub kernels: Vec<(&'static str, Vec<u8>)>,
    /// Name, version and content of binary packages.
    pub packages: Vec<(&'static str, &'static str, Vec<u8>)>,
}

impl Archive {
    /// An archive on which all is well.
    pub fn new() -> Self {
        Self {
            signer: key("archive", 100),
            name: "trixie",
            suite: "stable".into(),
            codename: "trixie".into(),
            date: now() - 5 * DAY.as_secs(),
            valid_until: None,
            kernels: vec![
                ("6.12.9", content(5_000)),
                ("6.12.107", content(9_000)),
                ("6.1.3", content(100)),
            ],
            packages: vec![("bash", "5.2-1", content(400)), ("dash", "1:0.5-1", content(500))],
        }
    }

    /// The archive of its security updates.
    pub fn security(&self) -> Self {
        Self {
            signer: self.signer.clone(),
            name: "trixie-security",
            suite: "stable-security".into(),
            codename: "trixie-security".into(),
            date: self.date + DAY.as_secs(),
            valid_until: Some(now() + 60),
            kernels: vec![("6.12.111", content(1_110))],
            packages: vec![("bash", "5.2-1+deb13u1", content(450))],
        }
    }

    /// The files of a mirror.
    pub fn files(&self) -> Files {
        let mut files = Files::new();
        let name = self.name;
        let (mut sources, mut lists) = (String::new(), String::new());
        let pool = match name.ends_with("-security") {
            true => "pool/updates/main",
            false => "pool/main",
        };
        for (package, version, bytes) in &self.packages {
            let plain = version.rsplit(':').next().unwrap();
            let path = format!("{pool}/{}/{package}/{package}_{plain}_arm64.deb", &package[..1]);
            lists.push_str(&format!(
                "Package: {package}\nArchitecture: arm64\nVersion: {version}\nFilename: {path}\nSize: {}\nSHA256: {}\n\n",
                bytes.len(),
                Sha256Sum::of(bytes)
            ));
            files.insert(path, bytes.clone());
        }
        let u_boot = ("2025.01", content(3_000));
        let packages = self.kernels.iter().map(|kernel| ("linux", kernel));
        for (package, (version, bytes)) in packages.chain([("u-boot", &u_boot)]) {
            let folder = format!("{pool}/{}/{package}", &package[..1]);
            let file = format!("{package}_{version}.orig.tar.xz");
            sources.push_str(&format!(
                "Package: {package}\nBinary: a,\n b\nVersion: {version}-1\nFiles:\n 00 {} {file}\nDirectory: {folder}\n\
                 Checksums-Sha256:\n {} 1 {package}_{version}-1.dsc\n {} {} {file}\nSection: x\n\n",
                bytes.len(),
                Sha256Sum::of(b"x"),
                Sha256Sum::of(bytes),
                bytes.len(),
            ));
            files.insert(format!("{folder}/{file}"), bytes.clone());
        }
        let compressed = xz(sources.as_bytes());
        let sum = Sha256Sum::of(&compressed);
        let packages = xz(lists.as_bytes());
        let listed = Sha256Sum::of(&packages);
        let mut release = format!(
            "Origin: Debian\nSuite: {}\nVersion: 13.7\nCodename: {}\nDate: {}\nAcquire-By-Hash: yes\n",
            self.suite,
            self.codename,
            release_date(self.date),
        );
        if let Some(end) = self.valid_until {
            release.push_str(&format!("Valid-Until: {}\n", release_date(end)));
        }
        release.push_str(&format!(
            "Components: main\nMD5Sum:\n 00 1 main/source/Sources.xz\nSHA256:\n {} 9 main/source/Sources\n {sum} {} main/source/Sources.xz\n \
             {listed} {} main/binary-arm64/Packages.xz\n",
            Sha256Sum::of(b"y"),
            compressed.len(),
            packages.len(),
        ));
        let made = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(self.date.min(now()));
        let made = Made {
            at: made,
            valid: None,
        };
        files.insert(
            format!("dists/{name}/InRelease"),
            clearsign(&release, &self.signer, made),
        );
        files.insert(
            format!("dists/{name}/main/source/by-hash/SHA256/{sum}"),
            compressed.clone(),
        );
        files.insert(format!("dists/{name}/main/source/Sources.xz"), compressed);
        files.insert(format!("dists/{name}/main/binary-arm64/Packages.xz"), packages);
        files
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Compressed with xz, in two streams, as some compressors write it: whoever reads the first alone has half of it.
pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for part in [first, second] {
        std::io::Read::read_to_end(&mut liblzma::read::XzEncoder::new(part, 1), &mut compressed).unwrap();
    }
    compressed
}

/// As Release files write it; the weekday is not looked at by anyone.
fn release_date(seconds: u64) -> String {
    let moment = fetch::Moment(seconds as i64).to_string();
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month: usize = moment[5..7].parse().unwrap();
    format!(
        "Sat, {} {} {} {} UTC",
        &moment[8..10],
        months[month - 1],
        &moment[..4],
        &moment[11..19]
    )
}

/// A project with a keyring of `signer`, and a server whose files can be changed.
pub struct Project {
    /// Its folder and what works there.
    pub bench: Workbench,
    /// The set that is resolved.
    pub set: SourceSet,
    /// What is asked of its base.
    pub needs: BaseNeeds,
    /// The mirror that the user names.
    pub mirror: Option<String>,
    /// What the server has.
    pub files: Arc<Mutex<Files>>,
    /// The server.
    pub server: Server,
}

impl Project {
    /// A project whose sources are on `archive`.
    pub fn debian(archive: &Archive) -> Self {
        Self::new("debian", &archive.signer, archive.files())
    }

    /// A project that resolves `set` of the sources in this file from these files.
    pub fn new(set: &str, signer: &Cert, files: Files) -> Self {
        let files = Arc::new(Mutex::new(files));
        let served = files.clone();
        let server = Server::start(move |request| {
            match served.lock().unwrap().get(request.path.trim_start_matches('/')) {
                Some(bytes) => Answer::file(request, bytes),
                None => Answer::status(404),
            }
        });
        let bench = Workbench::new();
        write_keyring(&bench.folder.path().join("keys/all.pgp"), &[signer]);
        // Debian's mirror is always named; upstream's stand in sources.toml.
        let mirror = set.starts_with("debian").then(|| server.url());
        let sources = SOURCES.replace("@URL@", &server.url());
        let sources = Sources::check(&Arc::new(SourceFile {
            path: "sources.toml".into(),
            text: sources,
        }))
        .unwrap();
        let set = sources.set(Some(set)).unwrap().clone();
        Self {
            bench,
            set,
            needs: BaseNeeds::default(),
            mirror,
            files,
            server,
        }
    }

    /// Pins a key of the signer that signs everything.
    pub fn pin(&mut self, cert: &Cert) {
        let pinned = Arc::new(Signer {
            fingerprints: vec![fingerprint(cert)],
            ..self.set.kernel.signer().as_ref().clone()
        });
        let of = |source: &mut Source| match source {
            Source::Archive { .. } => panic!("an archive has its keyring"),
            Source::KernelOrg { signer, .. } | Source::Release { signer, .. } => *signer = pinned.clone(),
        };
        of(&mut self.set.kernel);
        of(&mut self.set.u_boot);
        let BaseSource::Stage3(base) = &mut self.set.base else {
            panic!("an archive has its keyring")
        };
        base.signer = pinned.clone();
        for source in &mut base.packages {
            source.signer = Some(pinned.clone());
        }
    }

    /// An update of all, to nothing older.
    pub fn update(&self) -> anyhow::Result<fetch::Update> {
        self.update_if(Extent::All)
    }

    /// An update to nothing older.
    pub fn update_if(&self, extent: Extent) -> anyhow::Result<fetch::Update> {
        self.update_with(UpdateOptions {
            extent,
            downgrade: Downgrade::Refuse,
        })
    }

    /// An update that may make something older.
    pub fn downgrade(&self) -> anyhow::Result<fetch::Update> {
        self.update_with(UpdateOptions {
            extent: Extent::All,
            downgrade: Downgrade::Allow,
        })
    }

    /// An update.
    pub fn update_with(&self, options: UpdateOptions) -> anyhow::Result<fetch::Update> {
        let root = self.bench.folder.path();
        update(
            &self.bench.engine,
            root,
            &self.set,
            &self.needs,
            self.mirror.as_deref(),
            &self.bench.network,
            options,
        )
    }

    /// What is locked.
    pub fn lock(&self) -> Lock {
        Lock::load(self.bench.folder.path()).unwrap()
    }

    /// The text of the lock, if there is one.
    pub fn lock_text(&self) -> Option<String> {
        fs::read_to_string(self.bench.folder.path().join("sources.lock")).ok()
    }

    /// The update fails with `expected`, and writes no lock.
    pub fn refuses(&self, expected: &str, verification: bool) {
        let before = self.lock_text();
        let error = self.update().unwrap_err();
        let shown = format!("{error:#}");
        assert!(shown.contains(expected), "{expected}: {shown}");
        assert_eq!(is_verification_failure(&error), verification, "{shown}");
        assert_eq!(self.lock_text(), before);
    }
}

/// Its `sources.toml`; `@URL@` is the URL of the server.
pub const SOURCES: &str = r#"
default = "debian"
signers.all = { keyring = "keys/all.pgp", obtain = "ask the tester" }

[sets.debian]
description = "a mirror"
archive = { suite = "trixie", components = ["main"], signer = "all" }
kernel.archive = { package = "linux", series = "6.12" }
u-boot.archive = { package = "u-boot", series = "2025.01" }
base.archive = { architecture = "arm64" }

[sets.debian-updated]
description = "a mirror with security updates"
archive = { suite = "trixie", security = "trixie-security", components = ["main"], signer = "all" }
kernel.archive = { package = "linux", series = "6.12" }
u-boot.archive = { package = "u-boot", series = "2025.01" }
base.archive = { architecture = "arm64" }

[sets.gentoo]
description = "upstream"
kernel.kernel-org = { series = "6.18", mirrors = ["http://127.0.0.1:1/", "@URL@pub/linux/kernel/"], signer = "all" }
u-boot.release = { version = "2025.01", mirrors = ["@URL@pub/u-boot/"], signer = "all" }

[sets.gentoo.base.stage3]
flavor = "arm64-systemd"
mirrors = ["@URL@releases/arm64/autobuilds/"]
signer = "all"

[[sets.gentoo.base.stage3.packages]]
name = "official"
mirrors = ["@URL@releases/arm64/binpackages/23.0/arm64/"]
signer = "all"
"#;
