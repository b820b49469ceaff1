//! The business rules of the Jangteo shop.
//!
//! A write is a [`Command`]. The [`BatchExecutor`] runs many of them as one transaction: it locks the rows that the batch
//! declares, in one order; decides each command in memory, in order of arrival, each seeing the effects of earlier ones;
//! writes the changes; commits once; and returns one [`Answer`] for each. The transaction is data: a [`LockSet`] of keys to
//! lock, the [`Locked`] rows, the [`Changes`] to write. All access to the outside is through ports: [`UnitOfWorkFactory`]
//! and [`UnitOfWork`] (two steps and a commit), the read ports ([`Queries`]), the [`IdSource`], the [`ShopCalendar`], the
//! [`Backoff`], the [`AnswerRenderer`] and the [`EventRenderer`].
//!
//! This crate must never perform I/O, read a clock, generate random numbers or depend on a runtime.
//!
//! | module | contents |
//! |---|---|
//! | [`money`], [`time`], [`id`], [`text`] | validated values |
//! | [`point`], [`product`], [`stock`], [`coupon`], [`order`], [`payment`], [`sales`] | one aggregate each: its state with its decisions, its rejections, and its read port |
//! | [`outbox`], [`idempotency`], [`audit`] | records written in the transaction of their effect |
//! | [`command`] | one file for each command: its declared rows and its decision |
//! | [`outcome`], [`rejection`] | the result of a command |
//! | [`quote`] | the price of a prospective order |
//! | [`working_set`] | the locked rows of a batch and their changes |
//! | [`batch`] | the executor: attempts, halving, the query of the commit marker |
//! | [`transaction`], [`store_error`] | the write port and its errors |
//! | [`queries`], [`page`] | all read ports, and pagination |
//! | [`overview`], [`statistics`] | the numbers of the back office |
//! | [`delivery`] | the delivery of events to the data platform |
//! | [`token`] | revoked tokens |
//! | [`retention`] | the retention of rows with a limited lifetime |
//! | [`verification`] | the verification of the books: recomputation of denormalized values |
//! | `testing` (feature `testing`) | fixtures, sequential ids, a backoff without pauses |
//!
//! # Standalone use
//! A program provides a store that passes the contract of the crate `jangteo-domain-testing`, ids, a calendar, a backoff and
//! renderers, and executes commands. For tests, `jangteo-domain-testing` provides all of them:
//!
//! ```
//! use jangteo_domain::command::TopUpPoints;
//! use jangteo_domain::testing::fixtures::{positive, user, won};
//! use jangteo_domain::{Answer, Reply, Request};
//! use jangteo_domain_testing::{MemoryStore, TestShop};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), jangteo_domain::StoreError> {
//! let store = MemoryStore::new();
//! let shop = TestShop::new(store.factory());
//!
//! // A batch is one transaction; each command has its own answer.
//! let top_up = |amount| {
//!     Request::new(TopUpPoints { user_id: user("kim"), amount: positive(amount) })
//! };
//! let answers = shop.executor.execute(&[top_up(5_000), top_up(1_000_001)]).await;
//! let [Ok(Answer::Decided { outcome: topped_up, .. }), Ok(Answer::Decided { outcome: rejected, .. })] = &answers[..]
//! else {
//!     panic!("two answers");
//! };
//! assert!(matches!(topped_up, Ok(Reply::PointsToppedUp(entry)) if entry.balance_after == won(5_000)));
//! assert!(rejected.is_err(), "one top-up may add at most a million");
//!
//! // The read ports return committed data.
//! let account = store.queries().points.account(&user("kim")).await?.expect("kim has an account");
//! assert_eq!(account.balance, won(5_000));
//! # Ok(())
//! # }
//! ```
//!
//! The feature `mock` provides a mock of every port, for example to simulate failures:
//!
//! ```
//! use std::sync::Arc;
//!
//! use jangteo_domain::StoreError;
//! use jangteo_domain::transaction::MockUnitOfWorkFactory;
//! use jangteo_domain_testing::TestShop;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut factory = MockUnitOfWorkFactory::new();
//! factory.expect_begin().times(1).returning(|_, _| Err(StoreError::Unavailable(Arc::new(std::fmt::Error))));
//! let shop = TestShop::new(Arc::new(factory));
//! assert!(matches!(shop.user("kim", 5_000).await, Err(StoreError::Unavailable(_))));
//! # }
//! ```
//!
//! The rules need no port:
//!
//! ```
//! use jangteo_domain::coupon::{Discount, Percent};
//! use jangteo_domain::{Currency, Money};
//!
//! let won = Currency::from_code("KRW").expect("a currency");
//! let discount = Discount::Percent { percent: Percent::try_from(15).expect("1 to 100"), cap: None };
//! let total = Money::from_units(18_666).expect("in range");
//! assert_eq!(Some(discount.of(total, won)), Money::from_units(2_800), "2,799.9 is rounded half up");
//! ```
//!
//! [`LockSet`]: transaction::LockSet
//! [`Locked`]: transaction::Locked
//! [`Changes`]: transaction::Changes
//! [`Backoff`]: batch::Backoff
//! [`AnswerRenderer`]: idempotency::AnswerRenderer
//! [`EventRenderer`]: outbox::EventRenderer

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::wildcard_enum_match_arm))]

pub mod audit;
pub mod batch;
pub mod command;
pub mod coupon;
pub mod delivery;
pub mod id;
pub mod idempotency;
pub mod money;
pub mod order;
pub mod outbox;
pub mod outcome;
pub mod overview;
pub mod page;
pub mod payment;
pub mod point;
pub mod product;
pub mod queries;
pub mod quote;
pub mod rejection;
pub mod retention;
pub mod rules;
pub mod sales;
pub mod statistics;
pub mod stock;
pub mod store_error;
pub mod text;
pub mod time;
pub mod token;
pub mod transaction;
pub mod verification;
pub mod working_set;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use batch::{Answer, BatchExecutor, Recording, Request};
pub use command::{Command, Context, Decision};
pub use id::{IdSource, UserId};
pub use money::{Currency, Money};
pub use outcome::{Outcome, Reply};
pub use queries::Queries;
pub use rejection::Rejection;
pub use rules::{ShopCalendar, ShopRules};
pub use store_error::StoreError;
pub use time::Timestamp;
pub use transaction::{UnitOfWork, UnitOfWorkFactory};
pub use working_set::WorkingSet;
