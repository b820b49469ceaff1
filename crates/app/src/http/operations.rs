//! The operational state of this server: readiness, database health, and verification.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use jangteo_domain::StoreError;

use crate::error_chain::chain;
use crate::workers::verification::Verifier;

/// The maximum response time of the database of a ready server.
const DATABASE_TIMEOUT: Duration = Duration::from_millis(500);
/// The minimum time between two checks of the database.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The operational state of this server.
pub struct Operations {
    pub verifier: Arc<Verifier>,
    pub health: Arc<dyn DatabaseHealth>,
    pub readiness: Readiness,
    pub last_check: LastCheck,
}

/// The time and result of the last check of the database.
pub type LastCheck = Mutex<Option<(Instant, bool)>>;

impl Operations {
    /// Whether the database responds in time and its migrations are at head, by a check of the last second. Callers of
    /// `/readyz` have no limit, so concurrent ones share a check.
    pub async fn is_database_usable(&self) -> bool {
        let mut last_check = self.last_check.lock().await;
        if let Some((checked_at, is_usable)) = *last_check
            && checked_at.elapsed() < CHECK_INTERVAL
        {
            return is_usable;
        }
        let checked_at = Instant::now();
        let is_usable = match timeout(DATABASE_TIMEOUT, self.health.is_usable()).await {
            Ok(Ok(true)) => true,
            Ok(Ok(false)) => {
                tracing::warn!("not ready: pending migrations");
                false
            }
            Ok(Err(error)) => {
                tracing::warn!(kind = error.kind(), cause = chain(&error), "not ready");
                false
            }
            Err(_elapsed) => {
                tracing::warn!("not ready: database timeout");
                false
            }
        };
        *last_check = Some((checked_at, is_usable));
        is_usable
    }
}

/// Whether this server accepts requests. Clones share one state.
#[derive(Clone, Default)]
pub struct Readiness {
    draining: Arc<AtomicBool>,
}

impl Readiness {
    /// Marks this server as not ready, for good.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether load balancers should route to other servers.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

/// The state of the database.
#[async_trait]
pub trait DatabaseHealth: Send + Sync {
    /// Whether the database responds and its migrations are at head.
    async fn is_usable(&self) -> Result<bool, StoreError>;

    /// The server that accepts writes; `None` for a database in a file.
    fn writer(&self) -> Option<WriterStatus>;

    /// The connection pools, in no particular order.
    fn pools(&self) -> Vec<PoolStatistics>;
}

/// The server that accepts writes.
#[derive(Debug, Clone)]
pub struct WriterStatus {
    /// `host:port`; `None` while there is none.
    pub host: Option<String>,
    /// Since the start of this process.
    pub elections: u64,
}

/// The connections of a pool.
#[derive(Debug, Clone, Copy)]
pub struct PoolStatistics {
    pub name: &'static str,
    pub connections: u32,
    pub idle: u32,
    pub connections_max: u32,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use jangteo_domain::retention::Retention;
    use jangteo_domain_testing::MemoryStore;

    use super::*;
    use crate::workers::verification::VerifierPorts;

    /// A database that fails its first check.
    #[derive(Default)]
    struct Recovering(AtomicUsize);

    #[async_trait]
    impl DatabaseHealth for Recovering {
        async fn is_usable(&self) -> Result<bool, StoreError> {
            Ok(self.0.fetch_add(1, Ordering::Relaxed) > 0)
        }

        fn writer(&self) -> Option<WriterStatus> {
            None
        }

        fn pools(&self) -> Vec<PoolStatistics> {
            Vec::new()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_database_is_checked_once_a_second() {
        let (health, store) = (Arc::new(Recovering::default()), MemoryStore::new());
        let ports =
            VerifierPorts { books: store.books(), runs: store.verification_runs(), clock: store.queries().clock };
        let operations = Operations {
            verifier: Arc::new(Verifier::new(ports, Retention::default())),
            health: health.clone(),
            readiness: Readiness::default(),
            last_check: LastCheck::default(),
        };
        for is_usable in [false, true] {
            for _ in 0..10 {
                assert_eq!(operations.is_database_usable().await, is_usable);
            }
            tokio::time::advance(CHECK_INTERVAL).await;
        }
        assert_eq!(health.0.load(Ordering::Relaxed), 2);
    }
}
