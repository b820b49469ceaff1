//! The writer: the one host that this process writes to.
//!
//! A monitor probes the hosts until one accepts a write, and then sends it a heartbeat. When the heartbeat fails, all
//! hosts are probed again. If the writer does not respond, or rejects writes, or another host accepts them while its own
//! stall, it is lost: every connection to it is closed at once, and the next writer is elected. The commit markers
//! decide on the transactions that were under way.
//!
//! A host that only stalls, as during a backup's lock, remains the writer while no other host accepts writes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

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
use super::{CONNECT_MAX, connect, session_options};

/// The pause between heartbeats, and between probes while there is no writer.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(300);
/// Upper bound of a heartbeat. With the interval and the probe, a writer that stops responding is lost within 2 s.
const HEARTBEAT_MAX: Duration = Duration::from_millis(800);
/// Upper bound of the connections made until one leads to the elected server: a balancer may spread them over several.
const IDENTITY_ATTEMPTS: usize = 16;
/// The number of heartbeat rows. Each process has one, at random, so that processes rarely wait for each other.
const SLOTS: u16 = 1024;

/// Not prepared: a heartbeat of a lost connection must not wait for anything else.
fn heartbeat(slot: u16) -> String {
    format!(
        "INSERT INTO heartbeats (slot, beaten_at) VALUES ({slot}, UTC_TIMESTAMP(6)) \
         ON DUPLICATE KEY UPDATE beaten_at = UTC_TIMESTAMP(6)"
    )
}

/// The hosts, and which of them is the writer.
pub(super) struct Topology {
    hosts: Vec<Opts>,
    writer: watch::Sender<Option<Writer>>,
    /// Why there is no writer.
    failure: Mutex<String>,
    /// Wakes the monitor before its interval.
    suspected: Arc<Notify>,
    elections: AtomicU64,
    slot: u16,
}

/// An elected host.
#[derive(Clone)]
struct Writer {
    host: usize,
    identity: Arc<Identity>,
    /// Cancelled at the loss.
    lost: CancellationToken,
}

/// The result of a probe.
enum Probe {
    /// It committed a write.
    Writable(Arc<Identity>),
    /// It responds, but the write did not end in time.
    Stalled(Arc<Identity>),
    /// It responds, but accepts no connection; with the reason.
    Closed(String),
    /// It does not respond or accepts no writes; with the reason.
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
    /// Starts the monitor, which ends with the last reference.
    pub(super) fn start(hosts: Vec<Opts>, runtime: &Handle) -> Arc<Self> {
        let topology = Arc::new(Self {
            hosts,
            writer: watch::Sender::new(None),
            failure: Mutex::new("no host has been probed yet".to_owned()),
            suspected: Arc::new(Notify::new()),
            elections: AtomicU64::new(0),
            slot: rand::random_range(0..SLOTS),
        });
        runtime.spawn(monitor(Arc::downgrade(&topology), Arc::clone(&topology.suspected)));
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
                return Ok(session);
            }
        }
        self.suspected.notify_one();
        Err(bad(format!("{} leads to another server", self.name(writer.host))))
    }

    async fn writer(&self) -> ConnectionResult<Writer> {
        let mut elected = self.writer.subscribe();
        let found = timeout(CONNECT_MAX, elected.wait_for(Option::is_some)).await;
        let writer = found.ok().and_then(Result::ok).and_then(|writer| writer.clone());
        writer.ok_or_else(|| bad(self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    fn current(&self) -> Option<Writer> {
        self.writer.borrow().clone()
    }

    fn name(&self, host: usize) -> String {
        let host = &self.hosts[host];
        format!("{}:{}", host.ip_or_hostname(), host.tcp_port())
    }

    /// Elects the first host that accepts writes.
    async fn elect(&self) {
        let probes = self.probe_all().await;
        self.adopt(&probes);
    }

    fn adopt(&self, probes: &[Probe]) {
        for (host, probe) in probes.iter().enumerate() {
            if let Probe::Writable(identity) = probe {
                let elections = self.elections.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                tracing::info!(host = self.name(host), server = identity.server, elections, "writer elected");
                let writer = Writer { host, identity: Arc::clone(identity), lost: CancellationToken::new() };
                self.writer.send_replace(Some(writer));
                return;
            }
        }
        let reason = |(host, probe): (usize, &Probe)| {
            let reason = match probe {
                Probe::Writable(_) => "accepts writes",
                Probe::Stalled(_) => "a write did not end",
                Probe::Closed(reason) | Probe::Unusable(reason) => reason,
            };
            format!("{}: {reason}", self.name(host))
        };
        let failure = probes.iter().enumerate().map(reason).collect::<Vec<_>>().join("; ");
        let mut last = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != failure {
            tracing::warn!(hosts = failure, "no host accepts writes");
            *last = failure;
        }
    }

    /// Probes all hosts after a failed heartbeat, and replaces the writer if it is lost.
    async fn review(&self, writer: &Writer, cause: &str) {
        let probes = self.probe_all().await;
        let is_replaceable = probes.iter().any(|probe| matches!(probe, Probe::Writable(_)));
        let remains = match &probes[writer.host] {
            Probe::Writable(identity) => identity.server == writer.identity.server,
            Probe::Stalled(identity) => identity.server == writer.identity.server && !is_replaceable,
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
        match self.beat(&mut connection).await {
            Ok(()) => Probe::Writable(server.identity),
            Err(None) => Probe::Stalled(server.identity),
            Err(Some(reason)) => Probe::Unusable(reason),
        }
    }

    /// Writes a heartbeat. An error without a reason is a timeout.
    async fn beat(&self, connection: &mut Conn) -> Result<(), Option<String>> {
        match timeout(HEARTBEAT_MAX, connection.query_drop(heartbeat(self.slot))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(mysql_async::Error::Server(error))) if !REJECTS_WRITES.contains(&error.code) => {
                tracing::debug!(error = error.to_string(), "a heartbeat was not written");
                Ok(()) // Such as a missing table before the first migration: the server responds.
            }
            Ok(Err(error)) => Err(Some(error.to_string())),
            Err(_) => Err(None),
        }
    }
}

/// The server does not accept writes, for all its sessions.
const REJECTS_WRITES: [u16; 9] = [
    1047, // Galera: the node is not in the primary component.
    1053, // It shuts down.
    1290, // read_only
    1792, // A transaction in a read-only session or server.
    1836, // InnoDB's read-only mode.
    3032, // offline_mode
    3100, // Group Replication rejected the transaction.
    3101, // Group Replication rolled it back.
    1598, // The binary log failed.
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
        tokio::select! {
            () = sleep(HEARTBEAT_INTERVAL - jitter) => {}
            // The connection may be to a server that the name no longer leads to.
            () = suspected.notified() => connection = None,
        }
    }
}

/// Sends a heartbeat on a connection that is made when missing.
async fn watch_writer(topology: &Topology, writer: &Writer, connection: &mut Option<Conn>) -> Result<(), String> {
    let connected = match connection {
        Some(connection) => connection,
        None => connection.insert(open_writer(topology, writer).await?),
    };
    topology.beat(connected).await.map_err(|reason| reason.unwrap_or_else(|| "a heartbeat did not end".to_owned()))
}

async fn open_writer(topology: &Topology, writer: &Writer) -> Result<Conn, String> {
    for _ in 0..IDENTITY_ATTEMPTS {
        let (connection, server) = open(&topology.hosts[writer.host]).await.map_err(Failed::into_reason)?;
        if server.identity.server == writer.identity.server {
            return Ok(connection);
        }
    }
    Err("its name leads to another server".to_owned())
}

fn bad(text: String) -> ConnectionError {
    ConnectionError::BadConnection(text)
}
