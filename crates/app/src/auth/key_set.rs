//! A JSON Web Key Set (RFC 7517) that its owner may change: read anew from time to time, and when a token names a key
//! that is not known yet.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::auth::KeyError;
use crate::system::install_crypto;

/// How old the keys may get.
const AGE_MAX: Duration = Duration::from_secs(600);
/// How often unknown key ids may cause a reading, so that nobody can make this server hammer its identity provider.
const READ_INTERVAL_MIN: Duration = Duration::from_secs(60);
/// How long the identity provider may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the keys come from.
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
                let unreadable = |source| KeyError::Unreadable { name: "JWT_JWKS", source };
                let text = tokio::fs::read(path).await.map_err(unreadable)?;
                serde_json::from_slice(&text).map_err(|error| unreadable(error.into()))
            }
            Self::Url { url, client } => {
                let answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
                answer.map_err(unreachable)?.json().await.map_err(unreachable)
            }
        }
    }
}

/// The keys of one algorithm, by their ids.
#[derive(Clone)]
pub(super) struct KeySet(Arc<Shared>);

struct Shared {
    source: KeySource,
    algorithm: Algorithm,
    keys: RwLock<HashMap<String, DecodingKey>>,
    /// How often they have been read.
    generation: AtomicU64,
    /// When the keys were last asked for, successfully or not. Held while they are, so that it happens once at a time.
    asked_at: Mutex<Instant>,
}

impl KeySet {
    /// Reads the keys, and goes on reading them as long as anybody uses them.
    pub(super) async fn load(source: KeySource, algorithm: Algorithm) -> Result<Self, KeyError> {
        let is_file = matches!(source, KeySource::File(_));
        let asked_at = Mutex::new(Instant::now());
        let set = Self(Arc::new(Shared {
            source,
            algorithm,
            keys: RwLock::default(),
            generation: AtomicU64::new(0),
            asked_at,
        }));
        match set.0.read().await {
            Err(error) if is_file => return Err(error),
            Err(error) => tracing::warn!(%error, "no token can be checked before its keys are fetched"),
            Ok(()) => {}
        }
        tokio::spawn(keep_fresh(Arc::downgrade(&set.0)));
        Ok(set)
    }

    /// How often the keys have been read. Whoever asks before he asks for a key gets one that is no older.
    pub(super) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Reads the keys now, as is done from time to time.
    #[cfg(test)]
    pub(super) async fn read(&self) {
        self.0.read_or_warn().await;
    }

    /// The key of that id; without an id the only key there is.
    pub(super) async fn find(&self, id: Option<&str>) -> Option<DecodingKey> {
        if let Some(key) = self.0.known(id) {
            return Some(key);
        }
        let mut asked_at = self.0.asked_at.lock().await;
        // Whoever waited for the lock finds what the one before has read.
        if self.0.known(id).is_none() && asked_at.elapsed() >= READ_INTERVAL_MIN {
            *asked_at = Instant::now();
            self.0.read_or_warn().await;
        }
        self.0.known(id)
    }
}

async fn keep_fresh(shared: std::sync::Weak<Shared>) {
    loop {
        tokio::time::sleep(AGE_MAX).await;
        let Some(shared) = shared.upgrade() else { return };
        *shared.asked_at.lock().await = Instant::now();
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
            tracing::warn!(%error, "the keys for tokens could not be read anew; those known stay in use");
        }
    }

    async fn read(&self) -> Result<(), KeyError> {
        let set = self.source.read().await?;
        let keys: HashMap<_, _> = set.keys.iter().filter_map(|jwk| usable_key(jwk, self.algorithm)).collect();
        if keys.is_empty() {
            return Err(KeyError::NoKey { name: "JWT_JWKS", algorithm: self.algorithm });
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// A key that signs with exactly that algorithm. One of another family, a shared secret above all, is left out, so
/// that no public text can ever serve as a secret.
fn usable_key(jwk: &Jwk, algorithm: Algorithm) -> Option<(String, DecodingKey)> {
    let signs = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let fits = jwk.common.key_algorithm.is_none_or(|named| named.to_string() == format!("{algorithm:?}"));
    let key = DecodingKey::from_jwk(jwk).ok().filter(|key| key.family() == algorithm.family())?;
    (signs && fits).then(|| (jwk.common.key_id.clone().unwrap_or_default(), key))
}
