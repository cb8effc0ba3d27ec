//! Keys of WireGuard (Curve25519).

use anyhow::{Result, anyhow};
use base64ct::{Base64, Encoding};
use x25519_dalek::{PublicKey, StaticSecret};

use super::draw;

/// The private key of one end of a tunnel.
#[derive(Clone)]
pub struct WireGuardKey(StaticSecret);

impl WireGuardKey {
    /// One that nobody has.
    pub fn draw() -> Result<Self> {
        let mut bytes = draw::<32>()?;
        // As `wg genkey` writes keys; what computes with one does it anyway (RFC 7748, 5).
        bytes[0] &= 248;
        bytes[31] = (bytes[31] & 127) | 64;
        Ok(Self(StaticSecret::from(bytes)))
    }

    /// The key of a line of [`Self::to_text`], or what is wrong with it.
    pub(super) fn from_text(text: &str) -> Result<Self> {
        let mut bytes = [0; 32];
        match Base64::decode(text.trim_end(), &mut bytes) {
            Ok(decoded) if decoded.len() == 32 => Ok(Self(StaticSecret::from(bytes))),
            _ => Err(anyhow!("a key of WireGuard is 32 bytes in base64")),
        }
    }

    /// The key as a line, as `wg genkey` prints it.
    pub(super) fn to_text(&self) -> String {
        format!("{}\n", self.private())
    }

    /// The private key in base64, 44 characters.
    pub fn private(&self) -> String {
        Base64::encode_string(self.0.as_bytes())
    }

    /// The public key in base64, for the other end.
    pub fn public(&self) -> String {
        Base64::encode_string(PublicKey::from(&self.0).as_bytes())
    }
}

impl std::fmt::Debug for WireGuardKey {
    /// Without the private key: what is printed may end in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WireGuardKey").field(&self.public()).finish()
    }
}
