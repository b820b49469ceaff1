//! A fault-injecting proxy between a server and its MySQL database. It parses just enough of the protocol to recognize
//! commands and transaction boundaries, and otherwise passes all bytes unchanged.
//!
//! A packet is a three-byte length, a sequence number and the payload. A client packet with sequence number 0 is a
//! command, and its first byte is the command code. The loopback has no TLS, so all packets are readable.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::sync::watch::error::RecvError;
use tokio::task::{AbortHandle, JoinSet};

/// Length and sequence number before each payload.
const HEADER: usize = 4;
const COM_QUERY: u8 = 0x03;
const COM_STMT_EXECUTE: u8 = 0x17;
/// A complete packet.
const ROLLBACK: &[u8] = b"\x09\0\0\0\x03ROLLBACK";
/// First byte of a success reply.
const OK: u8 = 0x00;
/// First byte of an error reply.
const ERR: u8 = 0xff;
/// First byte of the packet after the last row of a result.
const END_OF_ROWS: u8 = 0xfe;
/// Maximum index of a statement chosen at random; most transactions have fewer statements.
const STATEMENTS_MAX: u32 = 12;

/// Point of a transaction for the injection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InjectionPoint {
    /// At a COMMIT.
    Commit,
    /// At a COMMIT in one packet with statements that contain this text.
    CommitOf(&'static str),
    /// At a random statement of a transaction.
    Statement,
}

/// An error reply of a MySQL server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the other names are clear")]
pub struct ServerError {
    pub number: u16,
    /// Five characters.
    pub sqlstate: &'static str,
    pub message: &'static str,
}

/// A fault of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NetworkFault {
    /// The connection breaks before the command reaches the database.
    Cut,
    /// The database executes the command, then the connection breaks: the reply is lost.
    LoseReply,
    /// The database executes the command, but the client receives this error instead of the success reply. The
    /// connection stays open.
    ReplaceReply(ServerError),
    /// The database receives a ROLLBACK instead of the command, and the client receives this error. The connection
    /// stays open.
    Reject(ServerError),
    /// The connection breaks for the client, but the database receives the command after this delay.
    ArriveLate(Duration),
    /// No data in either direction for this long.
    Stall(Duration),
    /// The proxy freezes. The database receives the command when it thaws.
    FreezeBefore,
    /// The database executes the command, and the proxy freezes. The client receives the reply when it thaws.
    FreezeAfter,
}

/// A series of injections.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the other names are clear")]
pub struct Plan {
    pub point: InjectionPoint,
    pub fault: NetworkFault,
    /// One in this many transactions is affected, so that retries eventually succeed.
    pub one_in: u32,
    pub count: u64,
}

/// A proxy that runs until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: AbortHandle,
}

struct State {
    /// Of new connections.
    upstream: Mutex<SocketAddr>,
    chance: Mutex<Chance>,
    /// Injected faults of the plan.
    injected: watch::Sender<u64>,
    /// No data passes while this is true.
    frozen: watch::Sender<bool>,
    /// Reads whose data was held back while frozen.
    withheld: watch::Sender<u64>,
    /// Each change breaks all connections.
    resets: watch::Sender<u64>,
}

struct Chance {
    random: StdRng,
    plan: Option<Plan>,
    /// Faults of the plan still to be injected.
    left: u64,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// Listens on the loopback and forwards to `upstream_port`.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(upstream_port: u16, seed: u64) -> Result<Self> {
        Self::start_to(([127, 0, 0, 1], upstream_port).into(), seed).await
    }

    /// Like [`Proxy::start`], to any address.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start_to(upstream: SocketAddr, seed: u64) -> Result<Self> {
        Self::start_at(([127, 0, 0, 1], 0).into(), upstream, seed).await
    }

    /// Like [`Proxy::start_to`], listening on this address; port 0 is any free one.
    ///
    /// # Errors
    /// If the port is taken.
    pub async fn start_at(address: SocketAddr, upstream: SocketAddr, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            upstream: Mutex::new(upstream),
            chance: Mutex::new(Chance { random: StdRng::seed_from_u64(seed), plan: None, left: 0 }),
            injected: watch::Sender::new(0),
            frozen: watch::Sender::new(false),
            withheld: watch::Sender::new(0),
            resets: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, state.clone())).abort_handle();
        Ok(Self { address, state, accepting })
    }

    /// Port of the proxy.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `host:port` of the proxy.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Starts a series of injections.
    ///
    /// # Panics
    /// If a connection of the proxy has panicked.
    pub fn begin(&self, plan: Plan) {
        let mut chance = self.state.chance.lock().expect("no panic while it is held");
        chance.plan = Some(plan);
        chance.left = plan.count;
        self.state.injected.send_replace(0);
    }

    /// Faults injected so far.
    pub fn injected_so_far(&self) -> u64 {
        *self.state.injected.borrow()
    }

    /// Waits until `count` faults are injected, and calls `progress` after each one.
    ///
    /// # Panics
    /// Never: the proxy lives as long as its owner.
    pub async fn injected(&self, count: u64, mut progress: impl FnMut(u64)) {
        let mut injected = self.state.injected.subscribe();
        loop {
            let now = *injected.borrow_and_update();
            progress(now.min(count));
            if now >= count {
                return;
            }
            injected.changed().await.expect("the proxy exists");
        }
    }

    /// Forwards new connections to another address, as a balancer does. Open ones stay where they are.
    ///
    /// # Panics
    /// If a connection of the proxy has panicked.
    pub fn retarget(&self, upstream: SocketAddr) {
        *self.state.upstream.lock().expect("no panic while it is held") = upstream;
    }

    /// Breaks all connections.
    pub fn reset_all(&self) {
        self.state.resets.send_modify(|resets| *resets += 1);
    }

    /// Stops or resumes all data.
    pub fn freeze(&self, is_frozen: bool) {
        self.state.frozen.send_replace(is_frozen);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // All connections end with the proxy.
    let mut connections = JoinSet::new();
    loop {
        // A connection that closed before it was accepted is ignored.
        if let Ok((client, _)) = listener.accept().await {
            connections.spawn(Connection::serve(client, state.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// A connection and the state of its transaction.
struct Connection {
    state: Arc<State>,
    /// The statements since BEGIN; `None` outside of a transaction.
    statements: Option<u32>,
    /// Whether the transaction is read-only: such transactions are not affected.
    only_reads: bool,
    /// The statement that a fault is injected at.
    target: Option<(u32, NetworkFault)>,
}

/// The end of a connection.
enum End {
    /// One side closed it.
    Closed,
    Broken,
    /// Broken for the client; the database receives these bytes after the delay.
    BrokenEarly(Vec<u8>, Duration),
}

impl Connection {
    async fn serve(mut client: TcpStream, state: Arc<State>) {
        // If the database is down, the client sees a closed connection, as without the proxy.
        let address = *state.upstream.lock().expect("no panic while it is held");
        let Ok(mut upstream) = TcpStream::connect(address).await else { return };
        for stream in [&client, &upstream] {
            stream.set_nodelay(true).expect("a socket option");
        }
        let mut connection = Self { state, statements: None, only_reads: false, target: None };
        match connection.pass(&mut client, &mut upstream).await {
            Ok(End::Closed) | Err(_) => {}
            Ok(End::Broken) => {
                client.set_zero_linger().expect("a socket option");
                upstream.set_zero_linger().expect("a socket option");
            }
            Ok(End::BrokenEarly(bytes, delay)) => {
                client.set_zero_linger().expect("a socket option");
                drop(client);
                tokio::time::sleep(delay).await;
                // The database may have been killed in the meantime.
                let arrived = upstream.write_all(&bytes).await.is_ok();
                connection.state.record_result(arrived && Reply::read(&mut upstream).await.is_ok());
            }
        }
    }

    /// Forwards data until one side closes the connection or a fault breaks it.
    async fn pass(&mut self, client: &mut TcpStream, upstream: &mut TcpStream) -> io::Result<End> {
        let mut frozen = self.state.frozen.subscribe();
        let mut resets = self.state.resets.subscribe();
        let mut sent = Vec::with_capacity(64 << 10);
        let mut received = Vec::with_capacity(64 << 10);
        let gone = |_| io::Error::other("the proxy is dropped");
        loop {
            tokio::select! {
                read = client.read_buf(&mut sent) => {
                    if read? == 0 {
                        return Ok(End::Closed);
                    }
                    self.state.wait_until_thawed(&mut frozen).await.map_err(gone)?;
                    while let Some(packet) = take_packet(&mut sent) {
                        let Some(fault) = self.fault(&packet) else {
                            upstream.write_all(&packet).await?;
                            continue;
                        };
                        match fault {
                            NetworkFault::Cut => {
                                self.state.record_injected();
                                return Ok(End::Broken);
                            }
                            NetworkFault::LoseReply => {
                                upstream.write_all(&packet).await?;
                                self.state.record_result(Reply::read(upstream).await.is_ok_and(|reply| reply.is_ok()));
                                return Ok(End::Broken);
                            }
                            NetworkFault::ReplaceReply(error) => {
                                upstream.write_all(&packet).await?;
                                let mut reply = Reply::read(upstream).await?;
                                self.state.record_result(reply.is_ok());
                                if reply.is_ok() {
                                    reply.replace_last(error);
                                }
                                client.write_all(&reply.0.concat()).await?;
                            }
                            NetworkFault::Reject(error) => {
                                upstream.write_all(ROLLBACK).await?;
                                let mut reply = Reply::read(upstream).await?;
                                self.state.record_result(reply.is_ok());
                                reply.replace_last(error);
                                client.write_all(&reply.0.concat()).await?;
                            }
                            NetworkFault::ArriveLate(delay) => return Ok(End::BrokenEarly(packet, delay)),
                            NetworkFault::Stall(time) => {
                                tokio::time::sleep(time).await;
                                self.state.record_injected();
                                upstream.write_all(&packet).await?;
                            }
                            NetworkFault::FreezeBefore => {
                                self.state.freeze();
                                self.state.wait_until_thawed(&mut frozen).await.map_err(gone)?;
                                upstream.write_all(&packet).await?;
                                // Executed although the client may have closed the connection.
                                client.write_all(&Reply::read(upstream).await?.0.concat()).await?;
                            }
                            NetworkFault::FreezeAfter => {
                                upstream.write_all(&packet).await?;
                                let reply = Reply::read(upstream).await?;
                                if reply.is_ok() {
                                    self.state.freeze();
                                    self.state.wait_until_thawed(&mut frozen).await.map_err(gone)?;
                                } else {
                                    self.state.record_result(false);
                                }
                                client.write_all(&reply.0.concat()).await?;
                            }
                        }
                    }
                }
                read = upstream.read_buf(&mut received) => {
                    if read? == 0 {
                        return Ok(End::Closed);
                    }
                    self.state.wait_until_thawed(&mut frozen).await.map_err(gone)?;
                    client.write_all(&received).await?;
                    received.clear();
                }
                changed = resets.changed() => {
                    changed.map_err(gone)?;
                    return Ok(End::Broken);
                }
            }
        }
    }

    /// Tracks the transaction and returns the fault to inject at this packet of the client.
    fn fault(&mut self, packet: &[u8]) -> Option<NetworkFault> {
        let payload = &packet[HEADER..];
        let is_command = packet[HEADER - 1] == 0;
        let command = payload.first().copied().filter(|_| is_command)?;
        let text = &payload[1..];
        // The COMMIT may be in one command with the last statements, or with the whole transaction.
        if command == COM_QUERY && has_commit(text) {
            let was_begun = self.statements.take().is_some();
            let target = if was_begun { self.target.take() } else { self.state.target() };
            let fault = target.map(|(_, fault)| fault).filter(|_| !self.only_reads);
            return fault.filter(|_| {
                self.state.inject(|point| match point {
                    InjectionPoint::Commit => true,
                    InjectionPoint::CommitOf(part) => text.windows(part.len()).any(|window| window == part.as_bytes()),
                    InjectionPoint::Statement => false,
                })
            });
        }
        if command == COM_QUERY && (text.starts_with(b"BEGIN") || text.starts_with(b"START TRANSACTION")) {
            self.only_reads = text.ends_with(b"READ ONLY");
            if self.only_reads {
                return None;
            }
            self.statements = Some(0);
            self.target = self.state.target();
            return None;
        }
        if command == COM_QUERY && text.starts_with(b"ROLLBACK") {
            self.statements = None;
            self.target = None;
            self.only_reads = false;
            return None;
        }
        if matches!(command, COM_QUERY | COM_STMT_EXECUTE) {
            let statements = self.statements.as_mut()?;
            *statements += 1;
            let fault = self.target.filter(|(target, _)| target == statements).map(|(_, fault)| fault);
            return fault.filter(|_| self.state.inject(|point| point == InjectionPoint::Statement));
        }
        None
    }
}

impl State {
    async fn wait_until_thawed(&self, frozen: &mut watch::Receiver<bool>) -> Result<(), RecvError> {
        if *frozen.borrow() {
            self.withheld.send_modify(|reads| *reads += 1);
        }
        frozen.wait_for(|frozen| !frozen).await.map(drop)
    }

    /// Decides at random whether a new transaction is affected, at which statement and by which fault.
    fn target(&self) -> Option<(u32, NetworkFault)> {
        let mut chance = self.chance.lock().expect("no panic while it is held");
        let plan = chance.plan.filter(|_| chance.left > 0)?;
        if !chance.random.random_ratio(1, plan.one_in) {
            return None;
        }
        let statement = chance.random.random_range(1..=STATEMENTS_MAX);
        Some((statement, plan.fault))
    }

    /// Whether to inject the fault here.
    fn inject(&self, is_here: impl FnOnce(InjectionPoint) -> bool) -> bool {
        let mut chance = self.chance.lock().expect("no panic while it is held");
        let injects = chance.left > 0 && chance.plan.is_some_and(|plan| is_here(plan.point));
        chance.left -= u64::from(injects);
        injects
    }

    /// Records a successful injection, or schedules another one.
    fn record_result(&self, was_injected: bool) {
        if was_injected {
            self.record_injected();
        } else {
            self.chance.lock().expect("no panic while it is held").left += 1;
        }
    }

    /// Stops all data, as an injected fault.
    fn freeze(&self) {
        self.frozen.send_replace(true);
        self.record_injected();
    }

    fn record_injected(&self) {
        self.injected.send_modify(|injected| *injected += 1);
    }
}

/// Removes and returns the first complete packet.
fn take_packet(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let [low, middle, high, _] = *bytes.first_chunk::<HEADER>()?;
    let length = HEADER + usize::from(low) + (usize::from(middle) << 8) + (usize::from(high) << 16);
    (bytes.len() >= length).then(|| bytes.drain(..length).collect())
}

/// Whether a command contains a COMMIT statement: alone, after others, or inside of a block.
fn has_commit(text: &[u8]) -> bool {
    let mut quote = None;
    let mut is_escaped = false;
    let mut statements = text.split(|byte| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match (quote, byte) {
            (Some(b'\'' | b'"'), b'\\') => is_escaped = !was_escaped,
            (Some(open), byte) if open == *byte && !was_escaped => quote = None,
            (None, b'\'' | b'"' | b'`') => quote = Some(*byte),
            _ => {}
        }
        quote.is_none() && *byte == b';'
    });
    statements.any(|statement| statement.trim_ascii().eq_ignore_ascii_case(b"COMMIT"))
}

/// The packets of the reply to a command, up to the result of its last statement or the first error. A result is a
/// success packet, an error, or the number of columns, their definitions and rows.
struct Reply(Vec<Vec<u8>>);

impl Reply {
    async fn read(upstream: &mut TcpStream) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let mut packets = Vec::new();
        // Length of the EOF packet after the column definitions, which clients may opt out of.
        const END_OF_DEFINITIONS: usize = 5;
        let mut is_in_rows = false;
        let mut ends_seen = 0;
        loop {
            while let Some(packet) = take_packet(&mut bytes) {
                let payload = &packet[HEADER..];
                let first = *payload.first().ok_or_else(|| io::Error::other("an empty reply"))?;
                let is_last = match first {
                    ERR => true,
                    OK if !is_in_rows => !are_more_to_come(payload),
                    END_OF_ROWS if is_in_rows && payload.len() == END_OF_DEFINITIONS => {
                        ends_seen += 1;
                        is_in_rows = ends_seen < 2;
                        // Warnings come first, then the flags.
                        !is_in_rows && payload[3] & MORE_RESULTS == 0
                    }
                    END_OF_ROWS if is_in_rows => {
                        is_in_rows = false;
                        !are_more_to_come(payload)
                    }
                    _ => {
                        ends_seen = if is_in_rows { ends_seen } else { 0 };
                        is_in_rows = true;
                        false
                    }
                };
                packets.push(packet);
                if is_last {
                    return Ok(Self(packets));
                }
            }
            if upstream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Whether all statements succeeded.
    fn is_ok(&self) -> bool {
        self.0.last().is_some_and(|packet| packet[HEADER] == OK)
    }

    /// Replaces the result of the last statement with an error.
    fn replace_last(&mut self, error: ServerError) {
        let last = self.0.last_mut().expect("a reply has a packet");
        let [low, high] = error.number.to_le_bytes();
        let payload = [&[ERR, low, high, b'#'], error.sqlstate.as_bytes(), error.message.as_bytes()].concat();
        let length = u32::try_from(payload.len()).expect("a line").to_le_bytes();
        *last = [&length[..3], &[last[HEADER - 1]], &payload].concat();
    }
}

/// Status flag: results of further statements follow.
const MORE_RESULTS: u8 = 8;

/// Whether a success packet announces the results of further statements.
fn are_more_to_come(payload: &[u8]) -> bool {
    // Two length-encoded integers, then the flags.
    let mut flags_at = 1;
    for _ in 0..2 {
        flags_at += match payload.get(flags_at) {
            Some(0xfc) => 3,
            Some(0xfd) => 4,
            Some(0xfe) => 9,
            _ => 1,
        };
    }
    payload.get(flags_at).is_some_and(|flags| flags & MORE_RESULTS != 0)
}

#[cfg(test)]
mod tests;
