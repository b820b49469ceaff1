//! Idempotency of requests: the client's key, its scope and fingerprint, and the keys in flight.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::http::header::HeaderMap;
use sha2::{Digest, Sha256};

use jangteo_domain::UserId;
use jangteo_domain::idempotency::{Fingerprint, IdempotencyKey, RequestKey};

const HEADER: &str = "Idempotency-Key";
/// Maximum characters of a key.
const LENGTH_MAX: usize = 255;

/// A client's key: 1–255 printable ASCII characters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientKey(String);

/// A header other than 1–255 printable ASCII characters, bare or quoted, or more than one header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidClientKey;

impl ClientKey {
    /// The key of a request, if there is one.
    ///
    /// # Errors
    /// An invalid header, or two.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, InvalidClientKey> {
        let mut values = headers.get_all(HEADER);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(InvalidClientKey);
        }
        value.to_str().map_err(|_| InvalidClientKey).and_then(Self::parse).map(Some)
    }

    /// Parses a key, bare or as a quoted string of structured fields (RFC 9651), the form of the IETF draft. Both forms
    /// of the same characters are the same key.
    fn parse(written: &str) -> Result<Self, InvalidClientKey> {
        let key = if written.starts_with('"') { unquote(written)? } else { written.to_owned() };
        let is_printable = key.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
        if (1..=LENGTH_MAX).contains(&key.len()) && is_printable { Ok(Self(key)) } else { Err(InvalidClientKey) }
    }
}

fn unquote(written: &str) -> Result<String, InvalidClientKey> {
    let mut inner = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(InvalidClientKey)?.chars();
    let mut key = String::new();
    while let Some(character) = inner.next() {
        key.push(match character {
            '\\' => inner.next().filter(|escaped| matches!(escaped, '"' | '\\')).ok_or(InvalidClientKey)?,
            '"' => return Err(InvalidClientKey),
            other => other,
        });
    }
    Ok(key)
}

/// The identity of a request: its key covers the caller, the operation with the ids in its path, and the client's key,
/// its fingerprint the body.
pub fn idempotency_key(
    caller: &UserId,
    operation: &str,
    ids: &[String],
    body: &[u8],
    key: &ClientKey,
) -> IdempotencyKey {
    let scope = [caller.as_str(), operation, key.0.as_str()].into_iter().chain(ids.iter().map(String::as_str));
    IdempotencyKey {
        key: RequestKey(digest(&scope.map(str::as_bytes).collect::<Vec<_>>())),
        fingerprint: Fingerprint(digest(&[body])),
    }
}

/// The first 128 bits of the SHA-256 of all parts, each with its length before it, so that no two lists of parts are
/// the same bytes.
pub fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let mut first_half = [0; 16];
    first_half.copy_from_slice(&hasher.finalize()[..16]);
    first_half
}

/// The keys of requests in flight on this server.
#[derive(Clone, Default, Debug)]
pub struct InFlight(Arc<Mutex<HashSet<RequestKey>>>);

impl InFlight {
    /// Locks the key until the guard is dropped; `None` while it is locked.
    pub fn take(&self, key: RequestKey) -> Option<InFlightGuard> {
        let is_new = self.keys().insert(key);
        is_new.then(|| InFlightGuard { keys: self.clone(), key })
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, HashSet<RequestKey>> {
        // No code panics with this lock, so the set is consistent even if the lock is poisoned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A locked key; it moves with the request into its lane.
#[derive(Debug)]
pub struct InFlightGuard {
    keys: InFlight,
    key: RequestKey,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.keys.keys().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a", "a")]
    #[case("with space", "with space")]
    #[case(r#""quoted""#, "quoted")]
    #[case(r#""a\"b\\c""#, r#"a"b\c"#)]
    #[case(r#"in"side"#, r#"in"side"#)]
    fn accepts_a_key_bare_or_quoted(#[case] written: &str, #[case] key: &str) {
        assert_eq!(ClientKey::parse(written), Ok(ClientKey(key.to_owned())));
    }

    #[rstest]
    #[case("")]
    #[case("\"\"")]
    #[case("\"open")]
    #[case("\"")]
    #[case(r#""a"b""#)]
    #[case(r#""a\n""#)]
    #[case("tab\there")]
    #[case("é")]
    fn rejects_an_invalid_key(#[case] written: &str) {
        assert_eq!(ClientKey::parse(written), Err(InvalidClientKey));
    }

    #[test]
    fn a_key_has_at_most_255_characters() {
        assert!(ClientKey::parse(&"k".repeat(255)).is_ok());
        assert!(ClientKey::parse(&"k".repeat(256)).is_err());
        assert!(ClientKey::parse(&format!("\"{}\"", "k".repeat(255))).is_ok());
    }

    #[test]
    fn part_boundaries_change_the_digest() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_ne!(digest(&[b"ab"]), digest(&[b"ab", b""]));
    }

    #[test]
    fn a_key_is_locked_until_its_guard_is_dropped() {
        let in_flight = InFlight::default();
        let key = RequestKey([7; 16]);
        let guard = in_flight.take(key);
        assert!(guard.is_some());
        assert!(in_flight.take(key).is_none());
        assert!(in_flight.take(RequestKey([8; 16])).is_some());
        drop(guard);
        assert!(in_flight.take(key).is_some());
    }
}
