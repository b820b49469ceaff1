//! What was read of the products a moment ago, for all who ask within that moment.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use tokio::time::Instant;
use tracing::Instrument;

use jangteo_domain::StoreError;

use crate::catalog_version::CatalogVersion;

/// How old something may be when it is asked for, counted from when its reading began. It is short, so that nobody has
/// to care, and long enough that the database answers one of hundreds of callers.
pub const AGE_MAX: Duration = Duration::from_secs(1);

/// Something that was read, and when its reading began: what happened since may be missing.
pub struct Dated<T> {
    /// What was read.
    pub value: T,
    /// When its reading began.
    pub as_of: Instant,
}

impl<T> Dated<T> {
    /// Whether it may be told to somebody who asked then.
    fn is_fresh(&self, asked_at: Instant) -> bool {
        asked_at.saturating_duration_since(self.as_of) <= AGE_MAX
    }
}

/// Keeps what is read of the products, by what was asked for, for [`AGE_MAX`] at most and until this server changes a
/// product. Of those who ask at once, one reads. Failures are not kept.
pub struct ReadCache<Key, T> {
    cache: Cache<(u64, Key), Arc<Dated<T>>>,
    version: CatalogVersion,
}

impl<Key, T> ReadCache<Key, T>
where
    Key: Clone + Eq + Hash + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Keeps about so many bytes of them at most, however much is asked for.
    pub fn new(version: CatalogVersion, bytes_max: u64, weigh: fn(&Key, &T) -> usize) -> Self {
        let weigher = move |(_, key): &(u64, Key), kept: &Arc<Dated<T>>| {
            u32::try_from(weigh(key, &kept.value)).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().weigher(weigher).max_capacity(bytes_max).time_to_live(AGE_MAX).build();
        Self { cache, version }
    }

    /// What was asked for, where it is kept and no older than [`AGE_MAX`] now.
    pub async fn find(&self, key: Key) -> Option<Arc<Dated<T>>> {
        let asked_at = Instant::now();
        self.cache.get(&self.current(key)).await.filter(|kept| kept.is_fresh(asked_at))
    }

    /// What was asked for, no older than [`AGE_MAX`] now. A caller who goes away stops no reading that others wait for.
    ///
    /// # Errors
    /// Those of the reading.
    pub async fn get<Reading>(&self, key: Key, read: impl Fn() -> Reading) -> Result<Arc<Dated<T>>, StoreError>
    where
        Reading: Future<Output = Result<Dated<T>, StoreError>> + Send + 'static,
    {
        let asked_at = Instant::now();
        let key = self.current(key);
        if let Some(kept) = self.cache.get(&key).await {
            if kept.is_fresh(asked_at) {
                return Ok(kept);
            }
            self.cache.invalidate(&key).await;
        }
        let kept = self.join(key.clone(), read()).await?;
        if kept.is_fresh(asked_at) {
            return Ok(kept);
        }
        // It had been under way for long when it was joined; the next one begins now.
        self.cache.invalidate(&key).await;
        self.join(key, read()).await
    }

    /// Under a number of its own, what was read before a change is out of the way, also when it arrives after it.
    fn current(&self, key: Key) -> (u64, Key) {
        (self.version.current(), key)
    }

    /// Waits for the reading that is under way, or begins it. In a task of its own: whoever goes away would otherwise
    /// take it along, and the others would begin anew.
    async fn join<Reading>(&self, key: (u64, Key), reading: Reading) -> Result<Arc<Dated<T>>, StoreError>
    where
        Reading: Future<Output = Result<Dated<T>, StoreError>> + Send + 'static,
    {
        let cache = self.cache.clone();
        let joining = async move { cache.try_get_with(key, async { reading.await.map(Arc::new) }).await };
        match tokio::spawn(joining.in_current_span()).await {
            Ok(read) => read.map_err(|error| (*error).clone()),
            Err(panicked) => Err(StoreError::Unexpected(Arc::new(panicked))),
        }
    }
}

#[cfg(test)]
mod tests;
