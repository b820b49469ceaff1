//! Points: each user's account, the ledger of its entries, and when a top-up or a payment is rejected.

mod event;
mod queries;
mod rejection;
mod repository;
mod state;

pub use event::{AdjustmentReason, EntryKind, PointEntry};
pub use queries::PointQueries;
pub use rejection::PointRejection;
pub use repository::PointRepository;
pub use state::{LedgerHash, PointAccount};

#[cfg(any(test, feature = "mock"))]
pub use {queries::MockPointQueries, repository::MockPointRepository};
