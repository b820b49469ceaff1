//! The faults, in the order of execution.

mod clocks;
mod cluster;
mod database;
mod group;
mod network;
mod overload;
mod platform;
mod races;
mod server;
mod waits;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::arena::Arena;

/// Remarks of a fault for the report.
pub type Notes = Vec<String>;

/// The database of a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Sqlite,
    MariaDb,
    /// Three nodes of MariaDB.
    Galera,
    /// The same, on a network that can be separated.
    SeparableGalera,
    /// Three nodes of MySQL in Group Replication.
    Group,
    /// The same, on a network that can be separated.
    SeparableGroup,
}

impl Store {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::MariaDb => "MariaDB",
            Self::Galera | Self::SeparableGalera => "MariaDB Galera",
            Self::Group | Self::SeparableGroup => "MySQL Group Replication",
        }
    }
}

/// A fault and the number of its injections.
pub struct Fault {
    pub name: &'static str,
    pub store: Store,
    /// Injections in the quick run, a smoke test.
    pub quick: u64,
    /// Injections in the full run.
    pub full: u64,
    /// Starts servers and injects the fault under load.
    pub inject: for<'a> fn(&'a Arena, u64) -> LocalBoxFuture<'a, Notes>,
}

impl Fault {
    pub fn title(&self) -> String {
        format!("{} ({})", self.name, self.store.name())
    }
}

/// `name, store, quick, full, async fn`.
macro_rules! faults {
    ($($name:literal, $store:ident, $quick:literal, $full:literal, $inject:path;)+) => {
        &[$(Fault {
            name: $name,
            store: Store::$store,
            quick: $quick,
            full: $full,
            inject: |arena, count| $inject(arena, count).boxed_local(),
        }),+]
    };
}

pub const FAULTS: &[Fault] = faults![
    "server killed", MariaDb, 4, 60, server::kills;
    "server killed", Sqlite, 3, 40, server::kills_alone;
    "one of two servers shut down", MariaDb, 2, 20, server::shutdowns;
    "client hangs up", MariaDb, 60, 300, server::hang_ups;
    "client hangs up", Sqlite, 30, 200, server::hang_ups_alone;
    "reply to COMMIT lost", MariaDb, 20, 200, network::lost_replies;
    "connection cut before COMMIT", MariaDb, 10, 100, network::cut_commits;
    "COMMIT arrives after its connection broke", MariaDb, 10, 100, network::late_commits;
    "connection cut at a statement", MariaDb, 15, 150, network::cut_statements;
    "connection stalls for 6 s", MariaDb, 2, 20, network::stalls;
    "network silent for 3 s, then all connections reset", MariaDb, 1, 10, network::outages;
    "database hangs for 15 s", MariaDb, 1, 3, network::hangs;
    "database killed", MariaDb, 2, 20, database::kills;
    "database read-only for 2 s", MariaDb, 1, 10, database::read_only;
    "database rejects connections for 2 s", MariaDb, 1, 10, database::full_house;
    "deadlock forced", MariaDb, 10, 200, database::deadlocks;
    "lock held for 8 s", MariaDb, 1, 1, database::short_lock;
    "lock held for a minute", MariaDb, 0, 1, database::long_lock;
    "a second with ten times 32 callers", MariaDb, 2, 0, overload::few;
    "a second with ten times 32 callers", Sqlite, 2, 0, overload::few;
    "a second with ten times 256 callers", MariaDb, 0, 10, overload::many;
    "a second with ten times 256 callers", Sqlite, 0, 10, overload::many;
    "the same, with batches of 8", MariaDb, 0, 10, overload::too_many;
    "the same, with batches of 8", Sqlite, 0, 10, overload::too_many;
    "relay killed, platform fails, hangs and throttles", MariaDb, 4, 40, platform::kills;
    "relay killed, platform fails, hangs and throttles", Sqlite, 2, 10, platform::kills;
    "servers' clocks 65 minutes fast and a day slow", MariaDb, 1, 3, clocks::wrong_clocks;
];

/// Run by `jangteo-chaos cluster` only.
pub const CLUSTER_FAULTS: &[Fault] = faults![
    "writer killed", Galera, 0, 3, cluster::kills;
    "writer killed, excluded early", Galera, 0, 20, cluster::early_kills;
    "writer paused", Galera, 0, 3, cluster::pauses;
    "writer cut off from the other nodes", SeparableGalera, 0, 3, cluster::separations_from_peers;
    "writer cut off from its clients", Galera, 0, 3, cluster::separations_from_clients;
    "writer cut off from everything", SeparableGalera, 0, 3, cluster::separations_from_all;
    "COMMIT arrives at a paused writer", Galera, 0, 3, cluster::late_commits;
    "writer shut down", Galera, 0, 3, cluster::shutdowns;
    "rolling restart of nodes", Galera, 0, 2, cluster::rolling_restarts;
    "rolling restart of servers", Galera, 0, 5, server::shutdowns;
    "all nodes killed", Galera, 0, 2, cluster::blackouts;
    "node rejoins by a full copy", Galera, 0, 2, cluster::full_transfers;
    "races at the kill of a writer", Galera, 0, 3, races::at_kills;
    "writer killed", Group, 0, 3, cluster::kills;
    "writer killed, excluded early", Group, 0, 20, cluster::early_kills;
    "writer killed while the next one lags", Group, 0, 3, cluster::stale_promotions;
    "writer paused", Group, 0, 3, cluster::pauses;
    "writer cut off from the other nodes", SeparableGroup, 0, 3, cluster::separations_from_peers;
    "writer cut off from the other nodes, resigns after 1 s", SeparableGroup, 0, 3, cluster::resignations;
    "writer cut off from its clients", Group, 0, 3, cluster::separations_from_clients;
    "writer cut off from everything", SeparableGroup, 0, 3, cluster::separations_from_all;
    "COMMIT arrives at a paused writer", Group, 0, 3, cluster::late_commits;
    "writer shut down", Group, 0, 3, cluster::shutdowns;
    "rolling restart of nodes", Group, 0, 2, cluster::rolling_restarts;
    "rolling restart of servers", Group, 0, 5, server::shutdowns;
    "all nodes killed", Group, 0, 2, cluster::blackouts;
    "switch-over", Group, 0, 5, cluster::switch_overs;
    "switch-over with a limit of 1 s", Group, 0, 5, cluster::limited_switch_overs;
    "writer in offline mode for 2 s", Group, 0, 3, cluster::offline_modes;
    "races at a switch-over", Group, 0, 3, races::at_switch_overs;
    "writer leaves its group and accepts writes", Group, 0, 2, group::departures;
    "writer restarts outside of its group", Group, 0, 2, group::restarts_outside;
    "group with several primaries", Group, 0, 2, group::several_primaries;
];
