//! What the end-to-end suite stands on: a fresh database for each test, the real binary over real HTTP on the loopback,
//! a client, and the proof of the books, which must agree after every test.
//!
//! A test is an `async fn(Shop)` named in [`scenarios!`], which runs it on both backends. [`run`] owns everything that
//! the test starts, so a test that panics leaves neither a server nor a database behind, and no test can forget to have
//! its books checked. It must never depend on another test, on a fixed port or on time alone: what takes time is waited
//! for with [`eventually`], within a bound.

mod catalogue;
mod client;
mod database;
mod galera;
mod limits;
mod mariadb;
mod poll;
mod proxy;
mod raw;
mod receiver;
mod scenario;
mod server;
mod token;

pub use catalogue::{Campaign, CampaignBuilder, Order, Product, ProductBuilder, now, rfc3339};
pub use client::{Answer, Call, Caller, Problem, assert_fields};
pub use database::{Backend, Column, Connection, Database, INNODB_FRESH_AFTER, Row};
pub use galera::{Galera, Node};
pub use limits::raise_open_files_max;
pub use mariadb::{MariaDb, shop_url};
pub use poll::{eventually, eventually_within};
pub use proxy::{Blow, Moment, Plan, Proxy, ServerError};
pub use raw::{RawAnswer, RawConnection};
pub use receiver::{DATA_PLATFORM_SECRET, Receiver};
pub use scenario::{Shop, run, run_on};
pub use server::{CommandOutput, Server, ServerBuilder, binary};
pub use token::{AUDIENCE, Claims, ISSUER, SECRET, token};

/// Runs each of these `async fn(Shop)` on both backends, as the tests `name::sqlite` and `name::mysql`. A function that is
/// not listed is dead code, which the compiler reports.
#[macro_export]
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                $crate::run($crate::Backend::Sqlite, super::$name);
            }

            #[test]
            fn mysql() {
                $crate::run($crate::Backend::Mysql, super::$name);
            }
        }
    )+};
}

/// As [`scenarios!`], on SQLite alone.
#[macro_export]
macro_rules! sqlite_scenarios {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                $crate::run($crate::Backend::Sqlite, super::$name);
            }
        }
    )+};
}
