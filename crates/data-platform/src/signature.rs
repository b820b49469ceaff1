use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

/// HTTP header of a [`Signature`].
pub const SIGNATURE_HEADER: &str = "X-Jangteo-Signature";

/// `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`: authenticates the sender, the body and the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    timestamp: i64,
    mac: Vec<u8>,
}

impl Signature {
    /// Signs a body at `timestamp` in Unix seconds.
    pub fn sign(secret: &[u8], timestamp: i64, body: &[u8]) -> Self {
        Self { timestamp, mac: mac(secret, timestamp, body).finalize().into_bytes().to_vec() }
    }

    /// Time of the signature in Unix seconds.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// Whether the body was signed with this secret. The comparison takes constant time.
    pub fn is_of(&self, secret: &[u8], body: &[u8]) -> bool {
        mac(secret, self.timestamp, body).verify_slice(&self.mac).is_ok()
    }
}

fn mac(secret: &[u8], timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t={},v1={}", self.timestamp, hex::encode(&self.mac))
    }
}

/// The text is not of the form `t=…,v1=…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a signature of the form t=<unix seconds>,v1=<hex>")]
pub struct InvalidSignature;

impl FromStr for Signature {
    type Err = InvalidSignature;

    fn from_str(text: &str) -> Result<Self, InvalidSignature> {
        let (timestamp, mac) = text.split_once(',').ok_or(InvalidSignature)?;
        let timestamp = timestamp.strip_prefix("t=").and_then(|t| t.parse().ok()).ok_or(InvalidSignature)?;
        let mac = mac.strip_prefix("v1=").and_then(|mac| hex::decode(mac).ok()).ok_or(InvalidSignature)?;
        Ok(Self { timestamp, mac })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn signs_as_specified_by_rfc_4231() {
        // Test case 2 of RFC 4231, with our prefix as a part of the message.
        let signature = Signature::sign(b"Jefe", 0, b"what do ya want for nothing?");
        let direct =
            Hmac::<Sha256>::new_from_slice(b"Jefe").expect("a key").chain_update(b"0.what do ya want for nothing?");
        assert_eq!(signature.mac, direct.finalize().into_bytes().to_vec());
    }

    #[test]
    fn rejects_malformed_signatures() {
        for text in ["", "t=1", "t=1,v1", "v1=00,t=1", "t=x,v1=00", "t=1,v1=0", "t=1,v1=zz"] {
            assert_eq!(text.parse::<Signature>(), Err(InvalidSignature), "{text}");
        }
    }

    proptest! {
        #[test]
        fn is_parsed_back_and_matches_only_its_own_body_time_and_secret(
            secret: Vec<u8>, time: i64, body: Vec<u8>, other: Vec<u8>,
        ) {
            let signature = Signature::sign(&secret, time, &body);
            prop_assert_eq!(signature.to_string().parse::<Signature>(), Ok(signature.clone()));
            prop_assert!(signature.is_of(&secret, &body));
            prop_assert_eq!(signature.is_of(&secret, &other), body == other);
            let later = Signature { timestamp: time.wrapping_add(1), ..signature };
            prop_assert!(!later.is_of(&secret, &body));
        }
    }
}
