//! The operational state of this server: readiness, database health, and verification.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use jangteo_domain::StoreError;

use crate::workers::verification::Verifier;

/// The operational state of this server.
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
