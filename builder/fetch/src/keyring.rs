//! Files of certificates: read, completed, and written again as a whole.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use files::emit::{Readers, write_file};
use files::private;
use model::sources::Signer;
use rustix::fs::{FlockOperation, flock};
use sequoia_openpgp::Cert;
use sequoia_openpgp::armor::{Kind, Writer};
use sequoia_openpgp::cert::CertParser;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::{Serialize, SerializeInto};

/// The keys of a signer.
#[derive(Debug, Clone)]
pub struct Keyring {
    pub(super) certs: Vec<Cert>,
    pub(super) path: PathBuf,
    pub(super) fingerprints: Vec<String>,
    /// What to do where a key is missing or too old.
    pub(super) remedy: String,
}

impl Keyring {
    /// Reads the signer's keyring; `root` is the project's folder.
    pub fn load(root: &Path, signer: &Signer) -> Result<Self> {
        let path = root.join(&signer.keyring);
        let (name, remedy) = (&signer.name, signer.remedy());
        let Some(certs) = read(&path)? else {
            bail!(
                "the keyring {} of the signer `{name}` is missing: {remedy}",
                path.display()
            );
        };
        for pinned in &signer.fingerprints {
            if !certs.iter().any(|cert| cert.fingerprint().to_hex() == *pinned) {
                bail!(
                    "the keyring {} does not hold the pinned key {pinned} of the signer `{name}`: {remedy}",
                    path.display()
                );
            }
        }
        Ok(Self {
            certs,
            path,
            fingerprints: signer.fingerprints.clone(),
            remedy,
        })
    }

    /// The public keys of those with these primary fingerprints, armored, one after the other.
    pub fn public_keys(&self, fingerprints: &BTreeSet<String>) -> Result<String> {
        let named = (self.certs.iter()).filter(|cert| fingerprints.contains(&cert.fingerprint().to_hex()));
        let mut keys = String::new();
        for cert in named {
            let armored = cert.clone().strip_secret_key_material().armored().to_vec();
            let text = armored.and_then(|bytes| Ok(String::from_utf8(bytes)?));
            keys.push_str(&text.with_context(|| format!("cannot write the key {}", cert.fingerprint()))?);
        }
        Ok(keys)
    }
}

/// The certificates of a file, at least one; `None` where there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<Cert>>> {
    let unreadable = || format!("{} is no file of OpenPGP certificates", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let certs = CertParser::from_reader(file)
        .with_context(unreadable)?
        .collect::<Result<Vec<_>>>()
        .with_context(unreadable)?;
    if certs.is_empty() {
        bail!("{} holds no OpenPGP certificate", path.display());
    }
    Ok(Some(certs))
}

/// Puts a certificate into the file `path`, made where it is missing. What the file has of it stays, the signatures that it was
/// renewed with included, and so do all others. The same certificates give the same bytes. `root` is the project's folder.
pub(super) fn store(root: &Path, path: &Path, cert: Cert) -> Result<()> {
    // As with locks, the folder is what is locked: files are replaced.
    let folder = File::open(root).with_context(|| format!("cannot open {}", root.display()))?;
    flock(&folder, FlockOperation::LockExclusive)
        .with_context(|| format!("cannot lock {}", root.display()))?;
    let mut certs = read(path)?.unwrap_or_default();
    let same = certs
        .iter_mut()
        .find(|other| other.fingerprint() == cert.fingerprint());
    match same {
        Some(same) => *same = same.clone().merge_public(cert)?,
        None => certs.push(cert),
    }
    let bytes = to_bytes(&certs, path).context("cannot write certificates")?;
    if let Some(folder) = path.parent() {
        private::make_folders(folder, private::OPEN_FOLDER)?;
    }
    write_file(path, &bytes, Readers::Anybody)
}

/// Armored where the file is called so.
fn to_bytes(certs: &[Cert], path: &Path) -> Result<Vec<u8>> {
    let mut binary = Vec::new();
    for cert in certs {
        cert.serialize(&mut binary)?;
    }
    if path.extension().is_none_or(|extension| extension != "asc") {
        return Ok(binary);
    }
    let mut writer = Writer::new(Vec::new(), Kind::PublicKey)?;
    std::io::Write::write_all(&mut writer, &binary)?;
    Ok(writer.finalize()?)
}
