//! Points: each user's account, the ledger of its entries, and when a charge or a payment is refused.

mod event;
mod queries;
mod refusal;
mod repository;
mod state;

pub use event::{AdjustmentReason, EntryKind, PointEntry};
pub use queries::PointQueries;
pub use refusal::PointRefusal;
pub use repository::PointRepository;
pub use state::{LedgerHash, PointAccount};

#[cfg(any(test, feature = "mock"))]
pub use {queries::MockPointQueries, repository::MockPointRepository};
