//! The faults, in the order of execution.

mod clocks;
mod database;
mod network;
mod overload;
mod platform;
mod server;
mod waits;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jangteo_testkit::Backend;

use crate::arena::Arena;

/// Remarks of a fault for the report.
pub type Notes = Vec<String>;

/// A fault and the number of its injections.
pub struct Fault {
    pub name: &'static str,
    pub backend: Backend,
    /// Injections in the quick run, a smoke test.
    pub quick: u64,
    /// Injections in the full run.
    pub full: u64,
    /// Starts servers and injects the fault under load.
    pub inject: for<'a> fn(&'a Arena, u64) -> LocalBoxFuture<'a, Notes>,
}

/// `name, backend, quick, full, async fn`.
macro_rules! faults {
    ($($name:literal, $backend:ident, $quick:literal, $full:literal, $inject:path;)+) => {
        &[$(Fault {
            name: $name,
            backend: Backend::$backend,
            quick: $quick,
            full: $full,
            inject: |arena, count| $inject(arena, count).boxed_local(),
        }),+]
    };
}

pub const FAULTS: &[Fault] = faults![
    "server killed", Mysql, 4, 60, server::kills;
    "server killed", Sqlite, 3, 40, server::kills_alone;
    "one of two servers shut down", Mysql, 2, 20, server::shutdowns;
    "client hangs up", Mysql, 60, 300, server::hang_ups;
    "client hangs up", Sqlite, 30, 200, server::hang_ups_alone;
    "reply to COMMIT lost", Mysql, 20, 200, network::lost_replies;
    "connection cut before COMMIT", Mysql, 10, 100, network::cut_commits;
    "COMMIT arrives after its connection broke", Mysql, 10, 100, network::late_commits;
    "connection cut at a statement", Mysql, 15, 150, network::cut_statements;
    "connection stalls for 6 s", Mysql, 2, 20, network::stalls;
    "network silent for 3 s, then all connections reset", Mysql, 1, 10, network::outages;
    "database hangs for 15 s", Mysql, 1, 3, network::hangs;
    "database killed", Mysql, 2, 20, database::kills;
    "database read-only for 2 s", Mysql, 1, 10, database::read_only;
    "database rejects connections for 2 s", Mysql, 1, 10, database::full_house;
    "deadlock forced", Mysql, 10, 200, database::deadlocks;
    "lock held for 8 s", Mysql, 1, 1, database::short_lock;
    "lock held for a minute", Mysql, 0, 1, database::long_lock;
    "a second with ten times 32 callers", Mysql, 2, 0, overload::few;
    "a second with ten times 32 callers", Sqlite, 2, 0, overload::few;
    "a second with ten times 256 callers", Mysql, 0, 10, overload::many;
    "a second with ten times 256 callers", Sqlite, 0, 10, overload::many;
    "the same, with batches of 8", Mysql, 0, 10, overload::too_many;
    "the same, with batches of 8", Sqlite, 0, 10, overload::too_many;
    "relay killed, platform fails, hangs and throttles", Mysql, 4, 40, platform::kills;
    "relay killed, platform fails, hangs and throttles", Sqlite, 2, 10, platform::kills;
    "servers' clocks 65 minutes fast and a day slow", Mysql, 1, 3, clocks::wrong_clocks;
];
