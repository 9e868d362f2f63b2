//! The random code that distinguishes the real marker lines from forged ones.

use std::fmt;

use crate::error::Result;

/// 128 random bits, written as 32 lower case hex digits.
///
/// A draft cannot close its own quotation, because the code in the marker lines is drawn after the
/// draft was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// Draws a new one from the operating system.
    ///
    /// # Errors
    /// [`crate::Error::Judge`] when the system gives no random bytes.
    #[cfg(feature = "judge")]
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|e| crate::Error::Judge { reason: format!("no random bytes from the system: {e}") })?;
        Ok(Nonce(bytes))
    }

    /// Draws a new one from the standard library's hash keys, which come from the operating system.
    /// Builds without feature `judge` carry no random number crate.
    ///
    /// # Errors
    /// None; the signature is the one that builds with feature `judge` have.
    #[cfg(not(feature = "judge"))]
    pub fn random() -> Result<Self> {
        use std::hash::{BuildHasher, RandomState};
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&RandomState::new().hash_one(0_u8).to_le_bytes());
        bytes[8..].copy_from_slice(&RandomState::new().hash_one(1_u8).to_le_bytes());
        Ok(Nonce(bytes))
    }

    /// A given one, for tests and for hosts with their own source of randomness. The bytes must not
    /// be known to whoever wrote the draft.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Nonce(bytes)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_32_hex_digits_and_new_each_time() {
        let drawn: Vec<String> = (0..64).map(|_| Nonce::random().unwrap().to_string()).collect();
        for (i, n) in drawn.iter().enumerate() {
            assert_eq!(n.len(), 32);
            assert!(n.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{n}");
            assert!(!drawn[..i].contains(n));
        }
    }
}
