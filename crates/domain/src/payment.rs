//! Payments out of points, and the refunds that undo them.

mod event;
mod refusal;
mod repository;
mod state;

pub use event::{Refund, RefundReason};
pub use refusal::PaymentRefusal;
pub use repository::PaymentRepository;
pub use state::Payment;

#[cfg(any(test, feature = "mock"))]
pub use repository::MockPaymentRepository;
