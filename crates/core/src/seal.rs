//! Encryption at rest for the secrets inside specs.

use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    AeadCore, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, OsRng},
};

use crate::secret::Secret;

/// Seals and opens values with one 256-bit key (XChaCha20-Poly1305).
#[derive(Clone)]
pub struct Sealer {
    cipher: XChaCha20Poly1305,
}

/// Why a sealed value could not be opened, or a key not used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// The key file does not hold 32 bytes in base64.
    #[error("an encryption key is 32 bytes in base64")]
    Key,
    /// The text is not one of ours, or was sealed with another key.
    #[error("a sealed value cannot be opened with this key")]
    Open,
}

impl Sealer {
    /// A sealer for a key in base64 (as `senlin keygen` writes it).
    ///
    /// # Errors
    /// [`SealError::Key`] when it is not 32 bytes.
    pub fn new(key: &Secret) -> Result<Self, SealError> {
        let bytes = STANDARD.decode(key.expose().trim()).map_err(|_source| SealError::Key)?;
        let cipher = XChaCha20Poly1305::new_from_slice(&bytes).map_err(|_source| SealError::Key)?;
        Ok(Self { cipher })
    }

    /// A new random key in base64.
    #[must_use]
    pub fn generate_key() -> Secret {
        Secret::new(STANDARD.encode(XChaCha20Poly1305::generate_key(&mut OsRng)))
    }

    /// Nonce and ciphertext in base64.
    ///
    /// # Errors
    /// Never in practice: the cipher's only limit is a length above 256 GiB.
    pub fn seal(&self, plain: &str) -> Result<String, SealError> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let mut out = nonce.to_vec();
        out.extend(
            self.cipher
                .encrypt(&nonce, plain.as_bytes())
                .map_err(|_source| SealError::Open)?,
        );
        Ok(STANDARD.encode(out))
    }

    /// The value that was sealed.
    ///
    /// # Errors
    /// [`SealError::Open`] when it is not ours or the key differs.
    pub fn open(&self, sealed: &str) -> Result<Secret, SealError> {
        let bytes = STANDARD.decode(sealed).map_err(|_source| SealError::Open)?;
        let (nonce, body) = bytes.split_at_checked(24).ok_or(SealError::Open)?;
        let plain = self
            .cipher
            .decrypt(XNonce::from_slice(nonce), body)
            .map_err(|_source| SealError::Open)?;
        String::from_utf8(plain)
            .map(Secret::new)
            .map_err(|_source| SealError::Open)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_only() {
        let one = Sealer::new(&Sealer::generate_key()).unwrap();
        let two = Sealer::new(&Sealer::generate_key()).unwrap();
        let sealed = one.seal("swordfish").unwrap();
        assert!(!sealed.contains("swordfish"));
        assert_eq!(one.open(&sealed).unwrap().expose(), "swordfish");
        assert_eq!(two.open(&sealed).unwrap_err(), SealError::Open);
        assert_eq!(one.open("AAAA").unwrap_err(), SealError::Open);
    }
}
