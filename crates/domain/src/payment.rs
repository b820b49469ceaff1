//! Payments out of points, and the refunds that undo them.

mod event;
mod rejection;
mod repository;
mod state;

pub use event::{Refund, RefundReason};
pub use rejection::PaymentRejection;
pub use repository::PaymentRepository;
pub use state::Payment;

#[cfg(any(test, feature = "mock"))]
pub use repository::MockPaymentRepository;
