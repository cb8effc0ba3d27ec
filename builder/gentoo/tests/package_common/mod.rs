//! What the tests of package files share.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use gentoo::binary::{BinaryError, BinaryPackage, Expected, ImageError, Limits, Signatures};

/// A source that signs nothing. A signed Manifest is taken out of its armor by GnuPG, whoever signed it.
pub struct Anybody;

impl Signatures for Anybody {
    fn text(&self, _: &[u8]) -> Result<Vec<u8>, String> {
        Err("this source is said to sign nothing".to_owned())
    }

    fn required(&self) -> bool {
        false
    }
}

/// A source that signs with a key, GnuPG being the oracle.
pub struct Signer {
    home: tempfile::TempDir,
}

impl Signer {
    /// Whoever has the secret to the public key in `file`; nobody without one.
    pub fn new(file: Option<&Path>) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let signer = Self { home };
        if let Some(file) = file {
            let import = signer.gpg(&["--import", file.to_str().expect("a plain path")], b"");
            import.expect("GnuPG takes the key");
        }
        signer
    }

    fn gpg(&self, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
        let mut child = Command::new("gpg")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--batch", "--quiet", "--no-autostart", "--trust-model", "always"])
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("this test needs `gpg`: {error}"));
        let mut stdin = child.stdin.take().expect("it was piped");
        stdin.write_all(input).expect("gpg reads all of its input");
        drop(stdin);
        let output = child.wait_with_output().expect("gpg was started");
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(said.trim().lines().last().unwrap_or_default().to_owned())
    }
}

impl Signatures for Signer {
    fn text(&self, manifest: &[u8]) -> Result<Vec<u8>, String> {
        self.gpg(&["--decrypt"], manifest)
    }

    fn required(&self) -> bool {
        true
    }
}

/// `bytes` in a file.
pub fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("room for a test's file");
    file
}

/// Opens a package and reads all of it. Returns how many entries its image has.
pub fn read(bytes: &[u8], expected: &Expected, limits: Limits) -> Result<usize, Box<dyn Error>> {
    read_signed(bytes, expected, limits, &Anybody)
}

/// As [`read`], from a source that signs.
pub fn read_signed(
    bytes: &[u8],
    expected: &Expected,
    limits: Limits,
    signatures: &dyn Signatures,
) -> Result<usize, Box<dyn Error>> {
    let package = BinaryPackage::open_within(file(bytes), expected, signatures, limits)?;
    Ok(entries(&package)?)
}

/// Reads all of an image. Returns how many entries it has.
pub fn entries(package: &BinaryPackage) -> Result<usize, ReadError> {
    let mut entries = package.image()?.entries();
    let mut count = 0;
    while let Some(entry) = entries.next_entry()? {
        for region in &entry.regions {
            let mut left = region.length;
            while left > 0 {
                let mut buffer = vec![0; left.min(1 << 16) as usize];
                entries.read_data(&mut buffer)?;
                left -= buffer.len() as u64;
            }
        }
        count += 1;
    }
    Ok(count)
}

/// Why a package could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Package(#[from] BinaryError),
    #[error(transparent)]
    Image(#[from] ImageError),
}
