//! Orders: lines of products whose stock is held until the order is paid, cancelled or expired.

mod event;
mod lines;
mod pricing;
mod queries;
mod quote;
mod rejection;
mod repository;
mod state;

pub use event::{OrderEvent, RefundedLine};
pub use lines::{OrderLines, OrderLinesError, RequestedLine};
pub use queries::{OrderFilter, OrderQueries};
pub use quote::{Quote, QuotedCoupon, QuotedLine};
pub use rejection::OrderRejection;
pub use repository::OrderRepository;
pub use state::{Cancellation, Order, OrderLine, OrderStatus, PaidTerms};

#[cfg(any(test, feature = "mock"))]
pub use {queries::MockOrderQueries, repository::MockOrderRepository};
