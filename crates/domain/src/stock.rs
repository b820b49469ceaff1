//! Stock: how many pieces of a product can be ordered, and every movement of it.

mod event;
mod queries;
mod rejection;
mod repository;
mod state;

pub use event::{MovementKind, MovementReason, StockMovement};
pub use queries::StockQueries;
pub use rejection::{Shortage, StockRejection};
pub use repository::StockRepository;
pub use state::Stock;

#[cfg(any(test, feature = "mock"))]
pub use {queries::MockStockQueries, repository::MockStockRepository};
