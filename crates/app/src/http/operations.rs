//! This server as its operators see it: readiness, the database, and verification.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use jangteo_domain::StoreError;

use crate::workers::verification::Verifier;

/// What operators query.
#[expect(missing_docs, reason = "the fields are named after their types")]
pub struct Operations {
    pub verifier: Arc<Verifier>,
    pub health: Arc<dyn DatabaseHealth>,
    pub readiness: Readiness,
}

/// Whether this server accepts requests. Clones share one state.
#[derive(Clone, Default)]
pub struct Readiness {
    draining: Arc<AtomicBool>,
}

impl Readiness {
    /// From now on requests should go to other servers.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether requests should go to other servers.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

/// The state of the database.
#[async_trait]
pub trait DatabaseHealth: Send + Sync {
    /// Whether it responds and has the tables that this version needs.
    async fn is_usable(&self) -> Result<bool, StoreError>;

    /// Its connection pools.
    fn pools(&self) -> Vec<PoolStatistics>;
}

/// The connections of a pool.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the fields are counts of connections, by state")]
pub struct PoolStatistics {
    pub name: &'static str,
    pub connections: u32,
    pub idle: u32,
    pub connections_max: u32,
}
