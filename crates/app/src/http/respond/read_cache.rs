//! A cache of reads, shared by all callers that may read them.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use tokio::time::Instant;
use tracing::Instrument;

use jangteo_domain::StoreError;

use crate::catalog_version::CatalogVersion;

/// The maximum age of a cached value at the request, counted from the start of its read. Short enough to be unnoticed by
/// customers, and long enough that one of hundreds of requests reaches the database.
pub const AGE_MAX: Duration = Duration::from_secs(1);

/// A value with the start of its read: later changes may be missing.
pub struct Dated<T> {
    pub value: T,
    /// The start of the read.
    pub as_of: Instant,
}

impl<T> Dated<T> {
    /// Whether it may serve a request that arrived at that time.
    fn is_fresh(&self, requested_at: Instant) -> bool {
        requested_at.saturating_duration_since(self.as_of) <= AGE_MAX
    }
}

/// Caches reads by key, for [`AGE_MAX`] at most and until this server changes a product. Concurrent requests for
/// a key share one read. Failures are not cached.
pub struct ReadCache<Key, T> {
    cache: Cache<(u64, Key), Arc<Dated<T>>>,
    version: CatalogVersion,
}

impl<Key, T> ReadCache<Key, T>
where
    Key: Clone + Eq + Hash + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// An empty cache of about `bytes_max` bytes.
    pub fn new(version: CatalogVersion, bytes_max: u64, weigh: fn(&Key, &T) -> usize) -> Self {
        let weigher = move |(_, key): &(u64, Key), cached: &Arc<Dated<T>>| {
            u32::try_from(weigh(key, &cached.value)).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().weigher(weigher).max_capacity(bytes_max).time_to_live(AGE_MAX).build();
        Self { cache, version }
    }

    /// The cached value, no older than [`AGE_MAX`].
    pub async fn find(&self, key: Key) -> Option<Arc<Dated<T>>> {
        let requested_at = Instant::now();
        self.cache.get(&self.current(key)).await.filter(|cached| cached.is_fresh(requested_at))
    }

    /// Caches a value under the [current](Self::current) key before its read.
    pub async fn insert(&self, key: (u64, Key), read: Dated<T>) -> Arc<Dated<T>> {
        let read = Arc::new(read);
        self.cache.insert(key, Arc::clone(&read)).await;
        read
    }

    /// The value, cached or read, no older than [`AGE_MAX`]. A cancelled caller does not cancel the read.
    ///
    /// # Errors
    /// The errors of the read.
    pub async fn get<Read>(&self, key: Key, read: impl Fn() -> Read) -> Result<Arc<Dated<T>>, StoreError>
    where
        Read: Future<Output = Result<Dated<T>, StoreError>> + Send + 'static,
    {
        let requested_at = Instant::now();
        let key = self.current(key);
        if let Some(cached) = self.cache.get(&key).await {
            if cached.is_fresh(requested_at) {
                return Ok(cached);
            }
            self.cache.invalidate(&key).await;
        }
        let cached = self.join(key.clone(), read()).await?;
        if cached.is_fresh(requested_at) {
            return Ok(cached);
        }
        // The joined read had started too long ago; the next one starts now.
        self.cache.invalidate(&key).await;
        self.join(key, read()).await
    }

    /// The key with the version of the catalog: a read that started before a change never serves a request after it.
    pub fn current(&self, key: Key) -> (u64, Key) {
        (self.version.current(), key)
    }

    /// Joins the pending read, or starts it. In a separate task, as a cancelled caller would cancel the read for all.
    async fn join<Read>(&self, key: (u64, Key), read: Read) -> Result<Arc<Dated<T>>, StoreError>
    where
        Read: Future<Output = Result<Dated<T>, StoreError>> + Send + 'static,
    {
        let cache = self.cache.clone();
        let joining = async move { cache.try_get_with(key, async { read.await.map(Arc::new) }).await };
        match tokio::spawn(joining.in_current_span()).await {
            Ok(read) => read.map_err(|error| (*error).clone()),
            Err(panicked) => Err(StoreError::Unexpected(Arc::new(panicked))),
        }
    }
}

#[cfg(test)]
mod tests;
