//! The hosts that this process uses: one writer, and one replica for reads that may lag.
//!
//! A monitor probes the hosts until one accepts a write, and then sends it a heartbeat. When the heartbeat fails, all
//! hosts are probed again. A writer that does not respond, or does not write while another host does, is lost: every
//! statement on it ends at once, no connection to it is used again, and the next writer is elected. The commit markers
//! decide on the transactions that were under way.
//!
//! A host that only stalls, as during a backup's lock, or is read-only, remains the writer while no other host accepts
//! writes: it is still read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use diesel::result::{ConnectionError, ConnectionResult};
use futures_util::future::join_all;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::server::{Identity, Server};
use super::store::Session;
use super::{CONNECT_MAX, connect, hosts, session_options};
use replicas::{Replica, monitor_replicas};

mod replicas;

/// The pause between heartbeats, and between probes while there is no writer.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(300);
/// The least pause: on a server that rejects all writes, each of them is a suspicion.
const SUSPICION_INTERVAL: Duration = Duration::from_millis(50);
/// Upper bound of a heartbeat. With the interval and the probe, a writer that stops responding is lost within 2 s.
const HEARTBEAT_MAX: Duration = Duration::from_millis(800);
/// Upper bound of the connections made until one leads to the elected server: a balancer may spread them over several.
const IDENTITY_ATTEMPTS: usize = 16;
/// The number of heartbeat rows. Each process has one, at random, so that processes rarely wait for each other.
const SLOTS: u16 = 1024;

/// The hosts of both URLs, and which of them are used.
pub(super) struct Topology {
    hosts: Vec<Opts>,
    writer: watch::Sender<Option<Elected>>,
    /// Why there is no writer.
    failure: Mutex<String>,
    /// Wakes the monitor before its interval.
    suspected: Arc<Notify>,
    elections: AtomicU64,
    replicas: Vec<Opts>,
    replica: Mutex<Option<Replica>>,
    lag_max: Duration,
    slot: u16,
    beats: Mutex<Beats>,
}

/// The heartbeats of this process.
struct Beats {
    /// The number of the last one that was sent. The first is random, so that no other process in the slot has the same.
    last: u64,
    /// The youngest of them, with the time before they were sent.
    sent: VecDeque<(u64, Instant)>,
}

impl Beats {
    /// More than a replica may lag.
    const COUNT_MAX: usize = 1_000;

    fn next(&mut self) -> u64 {
        self.last = self.last.wrapping_add(1);
        self.last
    }

    fn record(&mut self, beat: u64, sent_at: Instant) {
        self.sent.push_back((beat, sent_at));
        if self.sent.len() > Self::COUNT_MAX {
            self.sent.pop_front();
        }
    }

    /// The age of a heartbeat; `None` if it is not one of this process, or too old.
    fn age(&self, beat: u64) -> Option<Duration> {
        let found = self.sent.iter().rev().find(|(sent, _)| *sent == beat);
        found.map(|(_, sent_at)| sent_at.elapsed())
    }
}

/// The writer.
#[derive(Clone)]
struct Elected {
    host: usize,
    identity: Arc<Identity>,
    /// Cancelled at the loss.
    lost: CancellationToken,
}

/// The result of a probe.
enum Probe {
    /// It committed a write.
    Writable(Arc<Identity>),
    /// It responds, but the write did not end in time, or is not allowed.
    Unwritable(Arc<Identity>, String),
    /// It responds, but accepts no connection; with the reason.
    Closed(String),
    /// It does not respond, or not to queries; with the reason.
    Unusable(String),
}

/// The writer, for metrics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WriterStatus {
    /// `host:port` of the current writer.
    pub host: Option<String>,
    /// Since the start of the process.
    pub elections: u64,
}

impl Topology {
    /// Starts the monitors, which end with the last reference.
    pub(super) fn start(hosts: Vec<Opts>, replicas: Vec<Opts>, lag_max: Duration, runtime: &Handle) -> Arc<Self> {
        let topology = Arc::new(Self {
            hosts,
            writer: watch::Sender::new(None),
            failure: Mutex::new("no host has been probed yet".to_owned()),
            suspected: Arc::new(Notify::new()),
            elections: AtomicU64::new(0),
            replicas,
            replica: Mutex::new(None),
            lag_max,
            slot: rand::random_range(0..SLOTS),
            beats: Mutex::new(Beats { last: rand::random(), sent: VecDeque::new() }),
        });
        runtime.spawn(monitor(Arc::downgrade(&topology), Arc::clone(&topology.suspected)));
        if !topology.replicas.is_empty() {
            runtime.spawn(monitor_replicas(Arc::downgrade(&topology)));
        }
        topology
    }

    pub(super) fn status(&self) -> WriterStatus {
        let host = self.writer.borrow().as_ref().map(|writer| self.name(writer.host));
        WriterStatus { host, elections: self.elections.load(Ordering::Relaxed) }
    }

    /// Connects to the writer; waits for an election.
    pub(super) async fn connect(&self, session: &[&'static str]) -> ConnectionResult<Session> {
        let writer = self.writer().await?;
        let options = session_options(&self.hosts[writer.host], session);
        for _ in 0..IDENTITY_ATTEMPTS {
            let connected = connect(options.clone()).await;
            let mut session = connected.inspect_err(|_| self.suspected.notify_one())?;
            if session.server.identity.server == writer.identity.server {
                session.server.lost = writer.lost.clone();
                session.server.suspected = Arc::clone(&self.suspected);
                return Ok(session);
            }
        }
        self.suspected.notify_one();
        Err(bad(format!("{} leads to another server", self.name(writer.host))))
    }

    async fn writer(&self) -> ConnectionResult<Elected> {
        let mut elected = self.writer.subscribe();
        let found = timeout(CONNECT_MAX, elected.wait_for(Option::is_some)).await;
        let writer = found.ok().and_then(Result::ok).and_then(|writer| writer.clone());
        writer.ok_or_else(|| bad(locked(&self.failure).clone()))
    }

    fn current(&self) -> Option<Elected> {
        self.writer.borrow().clone()
    }

    fn name(&self, host: usize) -> String {
        hosts::name(&self.hosts[host])
    }

    /// Elects the first host that accepts writes.
    async fn elect(&self) {
        let probes = self.probe_all().await;
        self.adopt(&probes);
    }

    fn adopt(&self, probes: &[Probe]) {
        for (host, probe) in probes.iter().enumerate() {
            let elected = match probe {
                Probe::Writable(identity) => Some(identity),
                // Of one host there is no choice: it may be read.
                Probe::Unwritable(identity, _) => Some(identity).filter(|_| self.hosts.len() == 1),
                Probe::Closed(_) | Probe::Unusable(_) => None,
            };
            if let Some(identity) = elected {
                let elections = self.elections.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                if elections > 1 || self.hosts.len() > 1 {
                    tracing::info!(host = self.name(host), server = identity.server, elections, "writer elected");
                }
                let writer = Elected { host, identity: Arc::clone(identity), lost: CancellationToken::new() };
                self.writer.send_replace(Some(writer));
                return;
            }
        }
        let reason = |(host, probe): (usize, &Probe)| {
            let reason = match probe {
                Probe::Writable(_) => "accepts writes",
                Probe::Unwritable(_, reason) | Probe::Closed(reason) | Probe::Unusable(reason) => reason,
            };
            format!("{}: {reason}", self.name(host))
        };
        let failure = probes.iter().enumerate().map(reason).collect::<Vec<_>>().join("; ");
        let mut last = locked(&self.failure);
        if *last != failure {
            // At the start of a command with one host, the command itself reports it.
            if self.hosts.len() > 1 || self.elections.load(Ordering::Relaxed) > 0 {
                tracing::warn!(hosts = failure, "no host accepts writes");
            }
            *last = failure;
        }
    }

    /// Probes all hosts after a failed heartbeat, and replaces the writer if it is lost.
    async fn review(&self, writer: &Elected, cause: &str) {
        let probes = self.probe_all().await;
        let is_replaceable = probes.iter().any(|probe| matches!(probe, Probe::Writable(_)));
        let remains = match &probes[writer.host] {
            Probe::Writable(identity) => identity.server == writer.identity.server,
            Probe::Unwritable(identity, _) => identity.server == writer.identity.server && !is_replaceable,
            Probe::Closed(_) => !is_replaceable,
            Probe::Unusable(_) => false,
        };
        if remains {
            tracing::debug!(host = self.name(writer.host), cause, "the writer remains");
            return;
        }
        tracing::warn!(host = self.name(writer.host), server = writer.identity.server, cause, "writer lost");
        self.writer.send_replace(None);
        writer.lost.cancel();
        self.adopt(&probes);
    }

    async fn probe_all(&self) -> Vec<Probe> {
        join_all(self.hosts.iter().map(|host| self.probe(host))).await
    }

    async fn probe(&self, host: &Opts) -> Probe {
        let (mut connection, server) = match open(host).await {
            Ok(opened) => opened,
            Err(Failed::Rejected(reason)) => return Probe::Closed(reason),
            Err(Failed::Lost(reason)) => return Probe::Unusable(reason),
        };
        match self.beat(&mut connection, &server.identity).await {
            Ok(()) => Probe::Writable(server.identity),
            Err(NoBeat::Unwritable(reason)) => Probe::Unwritable(server.identity, reason),
            Err(NoBeat::Unusable(reason)) => Probe::Unusable(reason),
        }
    }

    /// Writes a heartbeat.
    async fn beat(&self, connection: &mut Conn, server: &Identity) -> Result<(), NoBeat> {
        let (slot, beat, sent_at) = (self.slot, locked(&self.beats).next(), Instant::now());
        let values = format!("{slot}, {beat}, UTC_TIMESTAMP(6)");
        let row = if server.is_group_member() {
            format!("SELECT {values} {IF_IN_GROUP}")
        } else {
            format!("VALUES ({values})")
        };
        let heartbeat = format!(
            "INSERT INTO heartbeats (slot, beat, beaten_at) {row} \
             ON DUPLICATE KEY UPDATE beat = VALUES(beat), beaten_at = VALUES(beaten_at)"
        );
        match timeout(HEARTBEAT_MAX, connection.query_drop(heartbeat)).await {
            Ok(Ok(())) => {
                locked(&self.beats).record(beat, sent_at);
                Ok(())
            }
            Ok(Err(mysql_async::Error::Server(error))) if REJECTS_WRITES.contains(&error.code) => {
                Err(NoBeat::Unwritable(error.to_string()))
            }
            Ok(Err(mysql_async::Error::Server(error))) if !REJECTS_QUERIES.contains(&error.code) => {
                tracing::debug!(error = error.to_string(), "a heartbeat was not written");
                Ok(()) // Such as a missing table before the first migration: the server responds.
            }
            Ok(Err(error)) => Err(NoBeat::Unusable(error.to_string())),
            Err(_) => Err(NoBeat::Unwritable("a heartbeat did not end".to_owned())),
        }
    }
}

/// A heartbeat that was not written.
enum NoBeat {
    /// The server responds, but the write does not end or is not allowed.
    Unwritable(String),
    /// The server does not respond, or not to queries.
    Unusable(String),
}

impl NoBeat {
    fn into_reason(self) -> String {
        match self {
            Self::Unwritable(reason) | Self::Unusable(reason) => reason,
        }
    }
}

/// Fails (1123) on a member outside of its group, which may accept writes that the group lacks, and on one without a
/// majority. Other sources of this state need a privilege, or do not change when a member leaves.
const IF_IN_GROUP: &str = "FROM DUAL WHERE group_replication_get_write_concurrency() > 0";

/// The server accepts no writes of any session.
const REJECTS_WRITES: [u16; 8] = [
    1123, // See `IF_IN_GROUP`.
    1290, // read_only
    1598, // The binary log failed.
    1792, // A transaction in a read-only session or server.
    1836, // InnoDB's read-only mode.
    3100, // Group Replication rejected the transaction.
    3101, // Group Replication rolled it back.
    4094, // Group Replication changes its primary.
];
/// The server accepts no queries of any session.
const REJECTS_QUERIES: [u16; 3] = [
    1047, // Galera: the node is not in the primary component.
    1053, // It shuts down.
    3032, // offline_mode
];

/// A connection attempt that failed.
enum Failed {
    /// The server rejects further connections of this user.
    Rejected(String),
    Lost(String),
}

impl Failed {
    fn of(error: &mysql_async::Error) -> Self {
        match error {
            mysql_async::Error::Server(server) if REJECTS_CONNECTIONS.contains(&server.code) => {
                Self::Rejected(error.to_string())
            }
            _ => Self::Lost(error.to_string()),
        }
    }

    fn into_reason(self) -> String {
        match self {
            Self::Rejected(reason) | Self::Lost(reason) => reason,
        }
    }
}

/// Too many connections, of all users or of this one.
const REJECTS_CONNECTIONS: [u16; 3] = [1040, 1203, 1226];

async fn open(host: &Opts) -> Result<(Conn, Server), Failed> {
    let opening = async {
        let opened = Conn::new(session_options(host, &[])).await;
        let mut connection = opened.map_err(|error| Failed::of(&error))?;
        let server = Server::of(&mut connection).await.map_err(|error| Failed::Lost(error.to_string()))?;
        Ok((connection, server))
    };
    let too_slow = || Err(Failed::Lost(format!("no answer within {} ms", CONNECT_MAX.as_millis())));
    timeout(CONNECT_MAX, opening).await.unwrap_or_else(|_| too_slow())
}

async fn monitor(topology: Weak<Topology>, suspected: Arc<Notify>) {
    let mut connection: Option<Conn> = None;
    while let Some(topology) = topology.upgrade() {
        match topology.current() {
            None => topology.elect().await,
            Some(writer) => {
                if let Err(cause) = watch_writer(&topology, &writer, &mut connection).await {
                    connection = None;
                    topology.review(&writer, &cause).await;
                }
            }
        }
        drop(topology);
        let jitter = rand::random_range(Duration::ZERO..=HEARTBEAT_INTERVAL / 4);
        sleep(SUSPICION_INTERVAL).await;
        tokio::select! {
            () = sleep(HEARTBEAT_INTERVAL - SUSPICION_INTERVAL - jitter) => {}
            // The connection may be to a server that the name no longer leads to.
            () = suspected.notified() => connection = None,
        }
    }
}

/// Sends a heartbeat on a connection that is made when missing.
async fn watch_writer(topology: &Topology, writer: &Elected, connection: &mut Option<Conn>) -> Result<(), String> {
    let connected = match connection {
        Some(connection) => connection,
        None => connection.insert(open_writer(topology, writer).await?),
    };
    topology.beat(connected, &writer.identity).await.map_err(NoBeat::into_reason)
}

async fn open_writer(topology: &Topology, writer: &Elected) -> Result<Conn, String> {
    for _ in 0..IDENTITY_ATTEMPTS {
        let (connection, server) = open(&topology.hosts[writer.host]).await.map_err(Failed::into_reason)?;
        if server.identity.server == writer.identity.server {
            return Ok(connection);
        }
    }
    Err("its name leads to another server".to_owned())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bad(text: String) -> ConnectionError {
    ConnectionError::BadConnection(text)
}
