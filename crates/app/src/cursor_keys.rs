//! The keys that authenticate cursors. All servers of a shop have the same, so that any of them continues a list.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jangteo_domain::StoreError;
use sha2::Sha256;
use tokio::time::sleep;

use crate::error_chain::chain;

/// The length of a tag in bytes: enough to make a guess hopeless, and a cursor short.
pub const TAG_LENGTH: usize = 16;
/// The pause between readings of the keys.
const RELOAD_INTERVAL: Duration = Duration::from_secs(60);
/// The pause after a failed reading.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// The age at which a key signs: by then every server has read it, so that every server accepts its cursors.
const SIGNS_AFTER: Duration = Duration::from_secs(180);

/// A key, as stored for all servers.
#[derive(Clone)]
pub struct StoredKey {
    pub secret: [u8; 32],
    /// By the database's clock.
    pub age: Duration,
}

/// Reads the stored keys.
#[async_trait]
pub trait CursorKeyStore: Send + Sync {
    /// The newest keys, the newest first.
    async fn cursor_keys(&self) -> Result<Vec<StoredKey>, StoreError>;
}

/// The keys of this server.
pub struct CursorKeys(RwLock<Arc<Keys>>);

struct Keys {
    signing: Hmac<Sha256>,
    accepted: Vec<Hmac<Sha256>>,
}

impl CursorKeys {
    /// A key of this process, until the stored ones are read. No other server accepts its cursors.
    pub fn of_this_process() -> Self {
        let key = keyed(&rand::random());
        Self(RwLock::new(Arc::new(Keys { signing: key.clone(), accepted: vec![key] })))
    }

    /// Signs with the newest key that is old enough, else with the oldest; accepts all. Without keys nothing changes.
    fn replace(&self, stored: &[StoredKey]) {
        let signing = stored.iter().find(|key| key.age >= SIGNS_AFTER).or(stored.last());
        let Some(signing) = signing.map(|key| keyed(&key.secret)) else { return };
        let accepted = stored.iter().map(|key| keyed(&key.secret)).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Keys { signing, accepted });
    }

    /// Reads the keys once.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn read(&self, store: &dyn CursorKeyStore) -> Result<(), StoreError> {
        self.replace(&store.cursor_keys().await?);
        Ok(())
    }

    /// Reads the keys again and again, until it is dropped.
    pub async fn keep_current(self: Arc<Self>, store: Arc<dyn CursorKeyStore>) {
        let mut pause = RETRY_INTERVAL;
        loop {
            sleep(pause).await;
            pause = match self.read(&*store).await {
                Ok(()) => RELOAD_INTERVAL,
                Err(error) => {
                    tracing::debug!(error = chain(&error), "the keys of cursors cannot be read");
                    RETRY_INTERVAL
                }
            };
        }
    }

    /// The tag of a list's name and a key of its rows.
    pub fn sign(&self, list: &str, key: &[u8]) -> [u8; TAG_LENGTH] {
        let signed = message(&self.current().signing, list, key).finalize().into_bytes();
        let mut tag = [0; TAG_LENGTH];
        tag.copy_from_slice(&signed[..TAG_LENGTH]);
        tag
    }

    /// Whether a server of this shop has made the tag.
    pub fn accepts(&self, tag: &[u8; TAG_LENGTH], list: &str, key: &[u8]) -> bool {
        self.current().accepted.iter().any(|accepted| message(accepted, list, key).verify_truncated_left(tag).is_ok())
    }

    fn current(&self) -> Arc<Keys> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for CursorKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CursorKeys").finish_non_exhaustive()
    }
}

fn keyed(secret: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret).expect("HMAC takes keys of any length")
}

/// The length separates the list from the key.
fn message(key: &Hmac<Sha256>, list: &str, row: &[u8]) -> Hmac<Sha256> {
    key.clone().chain_update((list.len() as u64).to_be_bytes()).chain_update(list).chain_update(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8, age: Duration) -> StoredKey {
        StoredKey { secret: [byte; 32], age }
    }

    fn server(stored: &[StoredKey]) -> CursorKeys {
        let keys = CursorKeys::of_this_process();
        keys.replace(stored);
        keys
    }

    fn accepts(server: &CursorKeys, signer: &CursorKeys) -> bool {
        server.accepts(&signer.sign("orders", b"7"), "orders", b"7")
    }

    #[test]
    fn a_tag_is_of_its_list_its_key_and_its_shop() {
        let stored = [key(1, SIGNS_AFTER)];
        let [server, other] = [server(&stored), server(&stored)];
        let tag = server.sign("orders", b"7");
        assert!(other.accepts(&tag, "orders", b"7"));
        assert!(!other.accepts(&tag, "orders", b"8") && !other.accepts(&tag, "order", b"s7"));
        assert!(!CursorKeys::of_this_process().accepts(&tag, "orders", b"7"));
        server.replace(&[]);
        assert!(accepts(&server, &other), "an empty table changes nothing");
    }

    /// At each step of a rotation, servers that have read the new key and servers that have not accept each other's
    /// cursors.
    #[test]
    fn a_rotation_invalidates_no_new_cursor() {
        let old = key(1, Duration::from_secs(1_000_000));
        let [before, fresh] = [server(std::slice::from_ref(&old)), server(&[key(2, Duration::ZERO), old.clone()])];
        assert!(accepts(&before, &fresh) && accepts(&fresh, &before));
        let rotated = server(&[key(2, SIGNS_AFTER), old]);
        assert!(accepts(&fresh, &rotated) && accepts(&rotated, &fresh) && !accepts(&before, &rotated));
        let after = server(&[key(3, Duration::ZERO), key(2, SIGNS_AFTER)]);
        assert!(accepts(&after, &rotated) && accepts(&rotated, &after) && !accepts(&after, &before));
    }
}
