//! A JSON Web Key Set (RFC 7517), reloaded periodically and for an unknown key id.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::{Duration, SystemTime};

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::Url;
use thiserror::Error;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::auth::key_strength::is_strong;
use crate::system::install_crypto;

/// Interval between periodic reloads.
const AGE_MAX: Duration = Duration::from_secs(600);
/// Minimum interval between reloads for unknown key ids, and the interval after a failure: forged tokens must not cause a
/// load on the identity provider.
const READ_INTERVAL_MIN: Duration = Duration::from_secs(60);
/// Maximum size of a key set in bytes; usual ones have a few KiB.
const BYTES_MAX: u64 = 1 << 20;
/// Timeout of a request to the identity provider.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Unusable keys of tokens, of a set or of a single file.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A file cannot be read.
    #[error("{setting}: the file cannot be read: {source}")]
    Unreadable { setting: &'static str, source: std::io::Error },
    /// The file contains no key of the algorithm.
    #[error("{setting}: no public key for {algorithm:?} (RSA: of 2048 bits or more)")]
    NoKey { setting: &'static str, algorithm: Algorithm },
    /// The keys cannot be fetched from their URL.
    #[error("JWT_JWKS: the keys cannot be fetched: {0}")]
    Unreachable(String),
}

pub(super) enum KeySource {
    File(PathBuf),
    Url { url: Url, client: reqwest::Client },
}

impl KeySource {
    pub(super) fn file(path: &Path) -> Self {
        Self::File(path.to_owned())
    }

    pub(super) fn url(url: &Url) -> Result<Self, KeyError> {
        install_crypto();
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            // A variable of the environment is no setting, and a proxy could replace keys of http URLs.
            .no_proxy()
            .build()
            .map_err(unreachable)?;
        Ok(Self::Url { url: url.clone(), client })
    }

    async fn read(&self) -> Result<JwkSet, KeyError> {
        match self {
            Self::File(path) => {
                let unreadable = |source| KeyError::Unreadable { setting: "JWT_JWKS", source };
                let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
                let mut text = Vec::new();
                file.take(BYTES_MAX + 1).read_to_end(&mut text).await.map_err(unreadable)?;
                parse(&text).map_err(|error| unreadable(std::io::Error::other(error)))
            }
            Self::Url { url, client } => {
                let response = client.get(url.clone()).send().await.and_then(reqwest::Response::error_for_status);
                let mut response = response.map_err(unreachable)?;
                let mut text = Vec::new();
                while text.len() as u64 <= BYTES_MAX
                    && let Some(chunk) = response.chunk().await.map_err(unreachable)?
                {
                    text.extend_from_slice(&chunk);
                }
                parse(&text).map_err(KeyError::Unreachable)
            }
        }
    }
}

fn unreachable(error: reqwest::Error) -> KeyError {
    KeyError::Unreachable(error.without_url().to_string())
}

fn parse(text: &[u8]) -> Result<JwkSet, String> {
    if text.len() as u64 > BYTES_MAX {
        return Err("longer than 1 MiB".to_owned());
    }
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

/// Keys of one algorithm, by id.
#[derive(Clone)]
pub(super) struct KeySet(Arc<Shared>);

struct Shared {
    source: KeySource,
    algorithm: Algorithm,
    /// Maximum age of the keys that are trusted.
    stale_max: Duration,
    loaded: RwLock<Loaded>,
    /// Start of the last load, successful or not. Locked during a load: of two at a time the earlier could restore a
    /// withdrawn key.
    loaded_at: Mutex<Instant>,
}

/// The last successful load.
#[derive(Default)]
struct Loaded {
    keys: HashMap<String, DecodingKey>,
    /// The number of loads.
    generation: u64,
    /// By the clock of this process and by that of the machine.
    at: Option<(Instant, SystemTime)>,
}

impl KeySet {
    /// Loads the keys, and reloads them until the last clone is dropped. If that fails they are trusted for `stale_max`.
    pub(super) async fn load(source: KeySource, algorithm: Algorithm, stale_max: Duration) -> Result<Self, KeyError> {
        let is_file = matches!(source, KeySource::File(_));
        let loaded_at = Mutex::new(Instant::now());
        let set = Self(Arc::new(Shared { source, algorithm, stale_max, loaded: RwLock::default(), loaded_at }));
        let is_loaded = match set.0.read().await {
            Err(error) if is_file => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "cannot fetch the keys of tokens; tokens are rejected for now");
                false
            }
            Ok(()) if is_file && set.0.loaded().keys.is_empty() => {
                return Err(KeyError::NoKey { setting: "JWT_JWKS", algorithm });
            }
            Ok(()) => true,
        };
        tokio::spawn(reload(Arc::downgrade(&set.0), AGE_MAX.min(stale_max / 2), is_loaded));
        Ok(set)
    }

    /// The number of successful loads; `None` while the keys are not trusted. A key that is read after it is at least of
    /// that load.
    pub(super) fn generation(&self) -> Option<u64> {
        let loaded = self.0.loaded();
        loaded.is_trusted(self.0.stale_max).then_some(loaded.generation)
    }

    /// The time of the last successful load; 1970 for none.
    pub(super) fn read_at(&self) -> SystemTime {
        self.0.loaded().at.map_or(SystemTime::UNIX_EPOCH, |(_, at)| at)
    }

    /// Reloads the keys now.
    #[cfg(test)]
    pub(super) async fn read(&self) {
        self.0.read_or_warn().await;
    }

    /// The key of that id; without an id, the key of a set of one.
    pub(super) async fn find(&self, id: Option<&str>) -> Option<DecodingKey> {
        if let Some(key) = self.0.known(id) {
            return Some(key);
        }
        let mut loaded_at = self.0.loaded_at.lock().await;
        // The previous owner of the lock may have loaded the key.
        if self.0.known(id).is_none() && loaded_at.elapsed() >= READ_INTERVAL_MIN {
            *loaded_at = Instant::now();
            self.0.read_or_warn().await;
        }
        self.0.known(id)
    }
}

async fn reload(shared: Weak<Shared>, interval: Duration, mut is_loaded: bool) {
    loop {
        sleep(if is_loaded { interval } else { interval.min(READ_INTERVAL_MIN) }).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut loaded_at = shared.loaded_at.lock().await;
        *loaded_at = Instant::now();
        is_loaded = shared.read_or_warn().await;
    }
}

impl Loaded {
    fn is_trusted(&self, stale_max: Duration) -> bool {
        self.at.is_some_and(|(at, _)| at.elapsed() < stale_max)
    }
}

impl Shared {
    fn loaded(&self) -> RwLockReadGuard<'_, Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, id: Option<&str>) -> Option<DecodingKey> {
        let loaded = self.loaded();
        let keys = Some(&loaded.keys).filter(|_| loaded.is_trusted(self.stale_max))?;
        match id {
            Some(id) => keys.get(id).cloned(),
            None if keys.len() == 1 => keys.values().next().cloned(),
            None => None,
        }
    }

    async fn read_or_warn(&self) -> bool {
        let read = self.read().await;
        if let Err(error) = &read {
            tracing::warn!(%error, "cannot reload the keys of tokens; the previous keys expire after JWKS_STALE_MAX");
        }
        read.is_ok()
    }

    /// Replaces all keys: a withdrawn one is not trusted any more, the last one included.
    async fn read(&self) -> Result<(), KeyError> {
        let set = self.source.read().await?;
        let keys: HashMap<_, _> = set.keys.iter().filter_map(|jwk| usable_key(jwk, self.algorithm)).collect();
        if keys.is_empty() {
            tracing::warn!(algorithm = ?self.algorithm, "the key set has no key of the algorithm; tokens are rejected");
        }
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let generation = loaded.generation + 1;
        *loaded = Loaded { keys, generation, at: Some((Instant::now(), SystemTime::now())) };
        Ok(())
    }
}

/// A signing key of exactly that algorithm. Other families are skipped, shared secrets above all, so that no public
/// text ever serves as a secret.
fn usable_key(jwk: &Jwk, algorithm: Algorithm) -> Option<(String, DecodingKey)> {
    let signs = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let fits = jwk.common.key_algorithm.is_none_or(|named| named.to_string() == format!("{algorithm:?}"));
    let key = DecodingKey::from_jwk(jwk).ok().filter(|key| key.family() == algorithm.family())?;
    let is_strong = is_strong(&key);
    if !is_strong {
        tracing::warn!(key_id = jwk.common.key_id, "an RSA key of less than 2048 bits is ignored");
    }
    (is_strong && signs && fits).then(|| (jwk.common.key_id.clone().unwrap_or_default(), key))
}
