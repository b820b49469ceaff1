//! A JSON Web Key Set (RFC 7517), reloaded periodically and for an unknown key id.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::system::install_crypto;

/// Interval between periodic reloads.
const AGE_MAX: Duration = Duration::from_secs(600);
/// Minimum interval between reloads for unknown key ids: forged tokens must not cause a load on the identity provider.
const READ_INTERVAL_MIN: Duration = Duration::from_secs(60);
/// Timeout of a request to the identity provider.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Unusable keys of tokens, of a set or of a single file.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A file cannot be read.
    #[error("{setting}: the file cannot be read: {source}")]
    Unreadable { setting: &'static str, source: std::io::Error },
    /// The file contains no key of the algorithm.
    #[error("{setting}: no public key for {algorithm:?}")]
    NoKey { setting: &'static str, algorithm: Algorithm },
    /// The keys cannot be fetched from their URL.
    #[error("JWT_JWKS: the keys cannot be fetched: {0}")]
    Unreachable(String),
}

pub(super) enum KeySource {
    File(PathBuf),
    Url { url: String, client: reqwest::Client },
}

impl KeySource {
    pub(super) fn file(path: &Path) -> Self {
        Self::File(path.to_owned())
    }

    pub(super) fn url(url: &str) -> Result<Self, KeyError> {
        install_crypto();
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| KeyError::Unreachable(error.without_url().to_string()))?;
        Ok(Self::Url { url: url.to_owned(), client })
    }

    async fn read(&self) -> Result<JwkSet, KeyError> {
        let unreachable = |error: reqwest::Error| KeyError::Unreachable(error.without_url().to_string());
        match self {
            Self::File(path) => {
                let unreadable = |source| KeyError::Unreadable { setting: "JWT_JWKS", source };
                let text = tokio::fs::read(path).await.map_err(unreadable)?;
                serde_json::from_slice(&text).map_err(|error| unreadable(error.into()))
            }
            Self::Url { url, client } => {
                let response = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
                response.map_err(unreachable)?.json().await.map_err(unreachable)
            }
        }
    }
}

/// Keys of one algorithm, by id.
#[derive(Clone)]
pub(super) struct KeySet(Arc<Shared>);

struct Shared {
    source: KeySource,
    algorithm: Algorithm,
    keys: RwLock<HashMap<String, DecodingKey>>,
    /// Number of successful loads.
    generation: AtomicU64,
    /// Start of the last load, successful or not. Locked during a load, so that there is one at a time.
    loaded_at: Mutex<Instant>,
}

impl KeySet {
    /// Loads the keys, and reloads them until the last clone is dropped.
    pub(super) async fn load(source: KeySource, algorithm: Algorithm) -> Result<Self, KeyError> {
        let is_file = matches!(source, KeySource::File(_));
        let loaded_at = Mutex::new(Instant::now());
        let set = Self(Arc::new(Shared {
            source,
            algorithm,
            keys: RwLock::default(),
            generation: AtomicU64::new(0),
            loaded_at,
        }));
        match set.0.read().await {
            Err(error) if is_file => return Err(error),
            Err(error) => tracing::warn!(%error, "cannot fetch the keys of tokens; tokens are rejected for now"),
            Ok(()) => {}
        }
        tokio::spawn(reload(Arc::downgrade(&set.0)));
        Ok(set)
    }

    /// The number of successful loads. A key that is read after it is at least of that load.
    pub(super) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
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

async fn reload(shared: std::sync::Weak<Shared>) {
    loop {
        tokio::time::sleep(AGE_MAX).await;
        let Some(shared) = shared.upgrade() else { return };
        *shared.loaded_at.lock().await = Instant::now();
        shared.read_or_warn().await;
    }
}

impl Shared {
    fn known(&self, id: Option<&str>) -> Option<DecodingKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        match id {
            Some(id) => keys.get(id).cloned(),
            None if keys.len() == 1 => keys.values().next().cloned(),
            None => None,
        }
    }

    async fn read_or_warn(&self) {
        if let Err(error) = self.read().await {
            tracing::warn!(%error, "cannot reload the keys of tokens; the previous keys stay in use");
        }
    }

    async fn read(&self) -> Result<(), KeyError> {
        let set = self.source.read().await?;
        let keys: HashMap<_, _> = set.keys.iter().filter_map(|jwk| usable_key(jwk, self.algorithm)).collect();
        if keys.is_empty() {
            return Err(KeyError::NoKey { setting: "JWT_JWKS", algorithm: self.algorithm });
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// A signing key of exactly that algorithm. Other families are skipped, shared secrets above all, so that no public
/// text ever serves as a secret.
fn usable_key(jwk: &Jwk, algorithm: Algorithm) -> Option<(String, DecodingKey)> {
    let signs = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let fits = jwk.common.key_algorithm.is_none_or(|named| named.to_string() == format!("{algorithm:?}"));
    let key = DecodingKey::from_jwk(jwk).ok().filter(|key| key.family() == algorithm.family())?;
    (signs && fits).then(|| (jwk.common.key_id.clone().unwrap_or_default(), key))
}
