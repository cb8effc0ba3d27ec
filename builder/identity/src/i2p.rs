//! Keys of addresses of I2P, in the form that i2pd keeps them in.
//!
//! | offset | bytes | are |
//! |---|---|---|
//! | 0 | 256 | the destination's encryption key, which nothing uses today: padding, eight times the same 32 drawn bytes |
//! | 256 | 96 | padding before the signing key, which is at the end of its 128 bytes: three times the same |
//! | 352 | 32 | the signing key, Ed25519 |
//! | 384 | 7 | a key certificate: kind 5, length 4, signing kind 7 (EdDSA-SHA512-Ed25519), encryption kind 0 |
//! | 391 | 256 | the private half of the encryption key: zeros |
//! | 647 | 32 | the private half of the signing key: the seed of RFC 8032 |
//!
//! The first 391 are the destination, and the address is their SHA-256. <https://geti2p.net/spec/common-structures>

use anyhow::{Result, anyhow};
use base32ct::{Base32Unpadded, Encoding as _};
use base64ct::{Base64, Encoding as _};
use sha2::{Digest, Sha256};
use ssh_key::private::Ed25519Keypair;

use super::draw;

const ENCRYPTION: usize = 256;
const PADDING: usize = 32;
const CERTIFICATE: [u8; 7] = [5, 0, 4, 0, 7, 0, 0];
const SIGNING: usize = 352;
const DESTINATION: usize = 391;
const SEED: usize = DESTINATION + ENCRYPTION;
const LENGTH: usize = SEED + 32;

/// The key of an address of I2P.
#[derive(Clone, PartialEq, Eq)]
pub struct I2pKey(Vec<u8>);

impl I2pKey {
    /// One that nobody has.
    pub fn draw() -> Result<Self> {
        Ok(Self::of(&draw()?, &draw::<PADDING>()?))
    }

    /// The key with this seed and padding. Padding that repeats itself is what the network's own routers draw: it is
    /// sent often and so compressed.
    fn of(seed: &[u8; 32], padding: &[u8; PADDING]) -> Self {
        let pair = Ed25519Keypair::from_seed(seed);
        let mut bytes = padding.repeat(SIGNING / PADDING);
        bytes.extend(pair.public.0);
        bytes.extend(CERTIFICATE);
        bytes.extend([0; ENCRYPTION]);
        bytes.extend(seed);
        Self(bytes)
    }

    /// The key of a line of [`Self::to_text`], or what is wrong with it.
    pub(super) fn from_text(text: &str) -> Result<Self> {
        let bytes = Base64::decode_vec(text.trim_end()).map_err(|_| anyhow!("it is no base64"))?;
        let parts = || {
            let padding = bytes.first_chunk::<PADDING>()?;
            let seed = bytes.get(SEED..)?.first_chunk::<32>()?;
            Some(Self::of(seed, padding))
        };
        // Whatever is not as it would be made of its own seed and padding has changed.
        parts()
            .filter(|key| key.0 == bytes)
            .ok_or_else(|| anyhow!("it is no key of {LENGTH} bytes whose parts belong together"))
    }

    /// The key as a line.
    pub(super) fn to_text(&self) -> String {
        format!("{}\n", self.to_base64())
    }

    /// The whole key in base64, one line without its end.
    pub fn to_base64(&self) -> String {
        Base64::encode_string(&self.0)
    }

    /// Its address: 52 characters and `.b32.i2p`.
    pub fn address(&self) -> String {
        let hash = Sha256::digest(&self.0[..DESTINATION]);
        format!("{}.b32.i2p", Base32Unpadded::encode_string(&hash))
    }
}

impl std::fmt::Debug for I2pKey {
    /// Without the key: what is printed may end in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("I2pKey").field(&self.address()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key that i2pd 2.45 loaded with the words "Local address nfj5... loaded".
    #[test]
    fn the_address_is_the_one_that_i2pd_computes() {
        let (seed, padding) = (Sha256::digest("portadc test seedirc"), Sha256::digest("padirc"));
        let key = I2pKey::of(&seed.into(), &padding.into());
        assert_eq!(key.0.len(), LENGTH);
        assert_eq!(
            key.address(),
            "nfj5se3jgr654drzegyeb6545c74opf55c5j5347rckjzzanm6ua.b32.i2p"
        );
    }

    #[test]
    fn a_key_that_changed_is_refused() {
        let key = I2pKey::draw().unwrap();
        assert_eq!(I2pKey::from_text(&key.to_text()).unwrap(), key);
        for at in [0, 100, SIGNING, DESTINATION - 1, DESTINATION, SEED, LENGTH - 1] {
            let mut bytes = key.0.clone();
            bytes[at] ^= 1;
            assert!(I2pKey::from_text(&Base64::encode_string(&bytes)).is_err(), "{at}");
        }
        for bytes in [&key.0[..LENGTH - 1], &[]] {
            assert!(I2pKey::from_text(&Base64::encode_string(bytes)).is_err());
        }
    }
}
