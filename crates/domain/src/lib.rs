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
//! | [`point`], [`product`], [`stock`], [`coupon`], [`order`], [`payment`], [`sales`] | one aggregate each: `state`, `event`, `rejection`, `repository` (write port), `queries` (read port) |
//! | [`outbox`], [`idempotency`], [`audit`] | what a transaction writes beside its effect |
//! | [`verification`] | the proof of the books: all that is kept twice, counted anew |
//! | [`delivery`] | how events leave the outbox |
//! | [`retention`] | how long what is only needed for a while is kept |
//! | [`command`] | what callers can ask for, and how each is decided |
//! | [`working_set`] | the rows that a batch has locked, and how events change them |
//! | [`batch`] | the executor: attempts, retries, halving |
//! | [`unit_of_work`], [`store_error`] | the transaction, and how it fails |
//! | `testing` (feature `testing`) | a store in memory, ready-made values, and the contract that every store keeps |
//!
//! # Using the crate alone
//! A program brings a store (any that passes the contract of `testing::contract`), ids, a calendar and a backoff, and
//! runs commands. In a test all of that is there, behind the feature `testing`:
//!
//! ```
//! use jangteo_domain::command::{TopUpPoints, Command};
//! use jangteo_domain::testing::{MemoryStore, TestShop, fixtures::{positive, user, won}};
//! use jangteo_domain::{Answer, Reply, Request};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), jangteo_domain::StoreError> {
//! let store = MemoryStore::new();
//! let shop = TestShop::new(store.factory());
//!
//! // A batch is one transaction, and each command in it has an answer of its own.
//! let top_up = |amount| {
//!     let command = Command::TopUpPoints(TopUpPoints { user_id: user("kim"), amount: positive(amount) });
//!     Request::new(command)
//! };
//! let answers = shop.executor.execute(&[top_up(5_000), top_up(1_000_001)]).await;
//! let [Ok(Answer::Decided(topped_up)), Ok(Answer::Decided(rejected))] = &answers[..] else {
//!     panic!("two answers");
//! };
//! assert!(matches!(topped_up, Ok(Reply::PointsToppedUp(entry)) if entry.balance_after == won(5_000)));
//! assert!(rejected.is_err(), "one top-up may add at most a million");
//!
//! // The read ports answer what was committed.
//! let account = store.queries().points.account(&user("kim")).await?.expect("kim has an account");
//! assert_eq!(account.balance, won(5_000));
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `mock` every port has a mock, for what a store in memory never does: to fail, for example.
//!
//! ```
//! use std::sync::Arc;
//!
//! use jangteo_domain::StoreError;
//! use jangteo_domain::testing::TestShop;
//! use jangteo_domain::unit_of_work::MockUnitOfWorkFactory;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut factory = MockUnitOfWorkFactory::new();
//! factory.expect_begin().times(1).returning(|_| Err(StoreError::Unavailable(Arc::new(std::fmt::Error))));
//! let shop = TestShop::new(Arc::new(factory));
//! assert!(matches!(shop.user("kim", 5_000).await, Err(StoreError::Unavailable(_))));
//! # }
//! ```
//!
//! The rules stand without any port at all:
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
pub mod page;
pub mod payment;
pub mod point;
pub mod product;
pub mod queries;
pub mod rejection;
pub mod retention;
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
pub use rejection::Rejection;
pub use rules::{ShopCalendar, ShopRules};
pub use store_error::StoreError;
pub use time::Timestamp;
pub use unit_of_work::{UnitOfWork, UnitOfWorkFactory};
pub use working_set::WorkingSet;
