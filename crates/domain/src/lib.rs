//! The rules of the Jangteo shop, and nothing else.
//!
//! A write is a [`Command`]. The [`BatchExecutor`] runs many of them as one transaction: it locks what the batch
//! names, in one written order; decides each command in memory, in order of arrival, each seeing the effects of
//! those before; saves what changed; commits once; and answers each command. Everything that touches the outside
//! world is a port: the [`UnitOfWork`] and the repositories that it hands out, the read ports (`…Queries`), the
//! [`IdSource`], the [`ShopCalendar`], the [`Backoff`].
//!
//! This crate must never perform I/O, read a clock, draw a random number or know a runtime.
//!
//! | module | what lives there |
//! |---|---|
//! | [`money`], [`time`], [`id`], [`text`] | values that cannot be wrong once they exist |
//! | [`point`], [`product`], [`stock`], [`coupon`], [`order`], [`payment`], [`sales`] | one aggregate each: `state`, `event`, `refusal`, `repository` (write port), `queries` (read port) |
//! | [`outbox`], [`idempotency`] | what a transaction writes beside its effect |
//! | [`verification`] | the proof of the books: all that is kept twice, counted anew |
//! | [`delivery`] | how events leave the outbox |
//! | [`command`] | what callers can ask for, and how each is decided |
//! | [`working_set`] | the rows that a batch has locked, and how events change them |
//! | [`batch`] | the executor: attempts, retries, halving |
//! | [`unit_of_work`], [`store_error`] | the transaction, and how it fails |

pub mod batch;
pub mod command;
pub mod coupon;
pub mod delivery;
pub mod id;
pub mod idempotency;
pub mod money;
pub mod order;
pub mod outbox;
pub mod page;
pub mod payment;
pub mod point;
pub mod product;
pub mod queries;
pub mod refusal;
pub mod rules;
pub mod sales;
pub mod stock;
pub mod store_error;
pub mod text;
pub mod time;
pub mod unit_of_work;
pub mod verification;
pub mod working_set;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use batch::{Answer, Backoff, BatchExecutor, Request};
pub use command::{Command, Context, Decision, Event, Outcome, Reply};
pub use id::{IdSource, UserId};
pub use money::{Currency, Money};
pub use queries::Queries;
pub use refusal::Refusal;
pub use rules::{ShopCalendar, ShopRules};
pub use store_error::StoreError;
pub use time::Timestamp;
pub use unit_of_work::{UnitOfWork, UnitOfWorkFactory};
pub use working_set::WorkingSet;
