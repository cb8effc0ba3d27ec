//! Keys made on the spot, and documents signed with them.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sequoia_openpgp::Packet;
use sequoia_openpgp::cert::prelude::*;
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::serialize::Serialize;
use sequoia_openpgp::serialize::stream::{Armorer, LiteralWriter, Message, Signer};
use sequoia_openpgp::types::{ReasonForRevocation, SignatureType};

pub use sequoia_openpgp::Cert;
pub use sequoia_openpgp::parse::Parse;

/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);

/// A key with a signing subkey, made `days` days ago, as signers of archives have them.
pub fn key(name: &str, days: u32) -> Cert {
    builder(name, days).generate().unwrap().0
}

/// One that was valid for `valid` days only.
pub fn expiring_key(name: &str, days: u32, valid: u32) -> Cert {
    builder(name, days)
        .set_validity_period(DAY * valid)
        .generate()
        .unwrap()
        .0
}

fn builder(name: &str, days: u32) -> CertBuilder<'_> {
    CertBuilder::new()
        .add_userid(name)
        .set_creation_time(SystemTime::now() - DAY * days)
        .add_signing_subkey()
}

/// What signs in the name of its primary key.
pub fn primary_pair(cert: &Cert) -> KeyPair {
    let key = cert.primary_key().key().clone();
    key.parts_into_secret().unwrap().into_keypair().unwrap()
}

/// A signer with this keyring, of which `pinned`, fingerprints, are pinned. Its keys are looked for nowhere.
pub fn pinning(name: &str, keyring: &str, pinned: Vec<String>) -> model::sources::Signer {
    model::sources::Signer {
        name: name.into(),
        keyring: keyring.into(),
        fingerprints: pinned,
        wkd: None,
        keyserver: None,
        obtain: Some("ask the tester".into()),
    }
}

/// The same key after its owner revoked it.
pub fn revoked(cert: &Cert, reason: ReasonForRevocation) -> Cert {
    let mut signer = primary_pair(cert);
    let revocation = cert.revoke(&mut signer, reason, b"").unwrap();
    cert.clone().insert_packets(Packet::from(revocation)).unwrap().0
}

/// The primary fingerprint, as a signer is pinned by it.
pub fn fingerprint(cert: &Cert) -> String {
    cert.fingerprint().to_hex()
}

/// A keyring of the public parts.
pub fn write_keyring(path: &Path, certs: &[&Cert]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::fs::File::create(path).unwrap();
    for cert in certs {
        cert.serialize(&mut file).unwrap();
    }
}

/// When and for how long a signature is made.
#[derive(Clone, Copy)]
pub struct Made {
    /// When.
    pub at: SystemTime,
    /// For how long; for ever where it is not said.
    pub valid: Option<Duration>,
}

impl Made {
    /// Now, for ever.
    pub fn now() -> Self {
        Self {
            at: SystemTime::now(),
            valid: None,
        }
    }

    /// Some days ago, for ever.
    pub fn days_ago(days: u32) -> Self {
        Self {
            at: SystemTime::now() - DAY * days,
            valid: None,
        }
    }
}

/// A signer of `cert` whose signatures are made as `made` says.
fn signer<'a>(message: Message<'a>, cert: &Cert, made: Made, kind: SignatureType) -> Signer<'a> {
    let policy = StandardPolicy::new();
    let pair = cert
        .keys()
        .secret()
        .with_policy(&policy, made.at)
        .for_signing()
        .next()
        .expect("a key that could sign then")
        .key()
        .clone()
        .into_keypair()
        .unwrap();
    let mut template = SignatureBuilder::new(kind);
    if let Some(valid) = made.valid {
        template = template.set_signature_validity_period(valid).unwrap();
    }
    Signer::with_template(message, pair, template)
        .unwrap()
        .creation_time(made.at)
}

/// A clearsigned document.
pub fn clearsign(text: &str, cert: &Cert, made: Made) -> Vec<u8> {
    let mut document = Vec::new();
    let signer = signer(Message::new(&mut document), cert, made, SignatureType::Text);
    let mut writer = signer.cleartext().build().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finalize().unwrap();
    document
}

/// An armored detached signature.
pub fn sign_detached(data: &[u8], cert: &Cert) -> Vec<u8> {
    let mut signature = Vec::new();
    let message = Armorer::new(Message::new(&mut signature))
        .kind(sequoia_openpgp::armor::Kind::Signature)
        .build()
        .unwrap();
    let signer = signer(message, cert, Made::now(), SignatureType::Binary);
    let mut writer = signer.detached().build().unwrap();
    writer.write_all(data).unwrap();
    writer.finalize().unwrap();
    signature
}

/// A document that is signed, but not in clear text.
pub fn sign_inline(text: &str, cert: &Cert) -> Vec<u8> {
    let mut document = Vec::new();
    let signer = signer(
        Message::new(&mut document),
        cert,
        Made::now(),
        SignatureType::Binary,
    );
    let mut writer = LiteralWriter::new(signer.build().unwrap()).build().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finalize().unwrap();
    document
}
