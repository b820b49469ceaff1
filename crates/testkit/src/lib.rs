//! The harness of the end-to-end suite, shared with the chaos suite and the benchmark: databases, servers and other
//! processes, tokens, clients and proxies. It calls the real binary over HTTP and shares no code with it.
//!
//! A test is an `async fn(Shop)` listed in [`scenarios!`], which runs it on both backends. [`run`] owns all resources
//! of the test, so a panic leaves neither a server nor a database behind, and no test can skip the verification of the
//! books. Tests must never depend on another test, a fixed port or timing: [`eventually`] polls for asynchronous results with a
//! timeout.

mod client;
mod cluster;
mod database;
mod fixtures;
mod galera;
mod group_replication;
mod limits;
mod mariadb;
mod network;
mod poll;
mod process;
mod proxy;
mod raw;
mod receiver;
mod replication;
mod scenario;
mod server;
mod token;
mod usage;

pub use client::{Call, Caller, Problem, Response, assert_fields};
pub use cluster::{Cluster, Node, insert_rows};
pub use database::{Backend, Column, Connection, Database, INNODB_FRESH_AFTER, Row};
pub use fixtures::{Campaign, CampaignBuilder, Order, Product, ProductBuilder, now, rfc3339};
pub use limits::raise_open_files_max;
pub use mariadb::{MariaDb, shop_url, shop_url_of};
pub use network::{Network, Separation};
pub use poll::{clock_reaches, eventually, eventually_within};
pub use process::{Process, clean_command};
pub use proxy::{InjectionPoint, NetworkFault, Plan, Proxy, ServerError};
pub use raw::{RawConnection, RawResponse};
pub use receiver::{DATA_PLATFORM_SECRET, Receiver};
pub use scenario::{Shop, run, run_on};
pub use server::{CommandOutput, Server, ServerBuilder, binary};
pub use token::{AUDIENCE, Claims, ISSUER, SECRET, TOKEN_SETTINGS, token};
pub use usage::{cpu_seconds, memory_peak_mib, reset_memory_peak};

/// Runs each `async fn(Shop)` on both backends, as the tests `name::sqlite` and `name::mysql`. An unlisted function is
/// dead code, which the compiler reports.
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

/// Like [`scenarios!`], on SQLite only: for facts of SQLite, and for facts that no database can change, such as a rule
/// that rejects a request before it reaches one.
#[macro_export]
macro_rules! scenarios_on_sqlite {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                $crate::run($crate::Backend::Sqlite, super::$name);
            }
        }
    )+};
}
