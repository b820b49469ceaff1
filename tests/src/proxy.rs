//! A proxy between a server and its MySQL database that understands just enough of the protocol to strike at a chosen
//! moment: it tells commands apart and knows where a transaction begins and ends. It changes nothing that it lets pass.
//!
//! A packet is a length of three bytes, a sequence number and the payload; the packet of number 0 that a client sends is
//! a command, and its first byte says which. There is no TLS on the loopback, so all of it can be read.

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
use tokio::task::{AbortHandle, JoinSet};

/// The length and the sequence number before each payload.
const HEADER: usize = 4;
const COM_QUERY: u8 = 0x03;
const COM_STMT_EXECUTE: u8 = 0x17;
/// A whole packet.
const ROLLBACK: &[u8] = b"\x09\0\0\0\x03ROLLBACK";
/// The first byte of a reply that says that all went well.
const OK: u8 = 0x00;
/// The first byte of an error.
const ERR: u8 = 0xff;
/// The first byte of what ends the rows of a result.
const END_OF_ROWS: u8 = 0xfe;
/// The longest transaction that is struck at a statement picked at random; most have fewer statements.
const STATEMENTS_MAX: u32 = 12;

/// When a blow falls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// At a COMMIT.
    Commit,
    /// At a statement of a transaction, picked at random.
    Statement,
}

/// An error as a server sends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerError {
    /// Its number.
    pub number: u16,
    /// Its SQLSTATE, five characters.
    pub sqlstate: &'static str,
    /// Its text.
    pub message: &'static str,
}

/// What is done to the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blow {
    /// It breaks before the command reaches the database.
    Cut,
    /// The database gets the command and answers it, and then the connection breaks: the answer is lost.
    LoseReply,
    /// The database gets the command and answers that all went well, and the client receives this error instead. The
    /// connection stays.
    ReplaceReply(ServerError),
    /// The database gets a ROLLBACK in place of the command, and the client receives this error. The connection stays.
    Reject(ServerError),
    /// It breaks before the command reaches the database, which gets it all the same, so much later.
    ArriveLate(Duration),
    /// Nothing passes for so long; then all goes on.
    Stall(Duration),
}

/// A series of blows.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// When they fall.
    pub moment: Moment,
    /// What they are.
    pub blow: Blow,
    /// One of so many transactions is hit, so that what is tried again gets through sooner or later.
    pub one_in: u32,
    /// How many fall.
    pub count: u64,
}

/// A proxy that runs until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: AbortHandle,
}

struct State {
    upstream: SocketAddr,
    chance: Mutex<Chance>,
    /// How many blows of the plan have fallen.
    fallen: watch::Sender<u64>,
    /// Nothing passes while this is set.
    frozen: watch::Sender<bool>,
    /// Each change breaks all connections that there are.
    resets: watch::Sender<u64>,
}

struct Chance {
    random: StdRng,
    plan: Option<Plan>,
    /// How many blows of the plan are still to be dealt.
    left: u64,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// Listens on the loopback and leads to that port of it.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(upstream_port: u16, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            upstream: SocketAddr::from(([127, 0, 0, 1], upstream_port)),
            chance: Mutex::new(Chance { random: StdRng::seed_from_u64(seed), plan: None, left: 0 }),
            fallen: watch::Sender::new(0),
            frozen: watch::Sender::new(false),
            resets: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, state.clone())).abort_handle();
        Ok(Self { address, state, accepting })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Begins a series of blows.
    ///
    /// # Panics
    /// When a connection of the proxy's has panicked.
    pub fn begin(&self, plan: Plan) {
        let mut chance = self.state.chance.lock().expect("no panic while it is held");
        chance.plan = Some(plan);
        chance.left = plan.count;
        self.state.fallen.send_replace(0);
    }

    /// How many blows of the series have fallen so far.
    pub fn fallen_so_far(&self) -> u64 {
        *self.state.fallen.borrow()
    }

    /// Waits until so many blows of the series have fallen, and tells `told` whenever one has.
    ///
    /// # Panics
    /// Never: the proxy is there as long as its owner.
    pub async fn fallen(&self, count: u64, mut told: impl FnMut(u64)) {
        let mut fallen = self.state.fallen.subscribe();
        loop {
            let now = *fallen.borrow_and_update();
            told(now.min(count));
            if now >= count {
                return;
            }
            fallen.changed().await.expect("the proxy is there");
        }
    }

    /// Breaks all connections that there are.
    pub fn reset_all(&self) {
        self.state.resets.send_modify(|resets| *resets += 1);
    }

    /// Lets nothing pass, or everything again.
    pub fn freeze(&self, is_frozen: bool) {
        self.state.frozen.send_replace(is_frozen);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Ends with the proxy, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        // One that is gone before it is accepted is nobody's concern.
        if let Ok((client, _)) = listener.accept().await {
            connections.spawn(Connection::serve(client, state.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// One connection, and where its transaction stands.
struct Connection {
    state: Arc<State>,
    /// The statements since BEGIN; `None` outside of a transaction.
    statements: Option<u32>,
    /// Whether the transaction only reads: nothing is struck that has no effect.
    only_reads: bool,
    /// The statement at which a blow falls.
    target: Option<(u32, Blow)>,
}

/// How a connection ends.
enum End {
    /// One side closed it.
    Closed,
    /// It breaks.
    Broken,
    /// It breaks for the client, and the database gets these bytes later.
    BrokenEarly(Vec<u8>, Duration),
}

impl Connection {
    async fn serve(mut client: TcpStream, state: Arc<State>) {
        // The database may be down: then the client finds a closed connection, as it would without the proxy.
        let Ok(mut upstream) = TcpStream::connect(state.upstream).await else { return };
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
                // The database may have been killed meanwhile.
                let arrived = upstream.write_all(&bytes).await.is_ok();
                connection.state.note_result(arrived && Reply::read(&mut upstream).await.is_ok());
            }
        }
    }

    /// Passes everything on until one side ends it, or a blow does.
    async fn pass(&mut self, client: &mut TcpStream, upstream: &mut TcpStream) -> io::Result<End> {
        let mut frozen = self.state.frozen.subscribe();
        let mut resets = self.state.resets.subscribe();
        let mut sent = Vec::with_capacity(64 << 10);
        let mut answered = Vec::with_capacity(64 << 10);
        let gone = |_| io::Error::other("the proxy ends");
        loop {
            tokio::select! {
                read = client.read_buf(&mut sent) => {
                    if read? == 0 {
                        return Ok(End::Closed);
                    }
                    frozen.wait_for(|frozen| !frozen).await.map_err(gone)?;
                    while let Some(packet) = take_packet(&mut sent) {
                        let Some(blow) = self.blow(&packet) else {
                            upstream.write_all(&packet).await?;
                            continue;
                        };
                        match blow {
                            Blow::Cut => {
                                self.state.note_fallen();
                                return Ok(End::Broken);
                            }
                            Blow::LoseReply => {
                                upstream.write_all(&packet).await?;
                                self.state.note_result(Reply::read(upstream).await.is_ok_and(|reply| reply.is_ok()));
                                return Ok(End::Broken);
                            }
                            Blow::ReplaceReply(error) => {
                                upstream.write_all(&packet).await?;
                                let mut reply = Reply::read(upstream).await?;
                                self.state.note_result(reply.is_ok());
                                if reply.is_ok() {
                                    reply.replace_last(error);
                                }
                                client.write_all(&reply.0.concat()).await?;
                            }
                            Blow::Reject(error) => {
                                upstream.write_all(ROLLBACK).await?;
                                let mut reply = Reply::read(upstream).await?;
                                self.state.note_result(reply.is_ok());
                                reply.replace_last(error);
                                client.write_all(&reply.0.concat()).await?;
                            }
                            Blow::ArriveLate(delay) => return Ok(End::BrokenEarly(packet, delay)),
                            Blow::Stall(time) => {
                                tokio::time::sleep(time).await;
                                self.state.note_fallen();
                                upstream.write_all(&packet).await?;
                            }
                        }
                    }
                }
                read = upstream.read_buf(&mut answered) => {
                    if read? == 0 {
                        return Ok(End::Closed);
                    }
                    frozen.wait_for(|frozen| !frozen).await.map_err(gone)?;
                    client.write_all(&answered).await?;
                    answered.clear();
                }
                changed = resets.changed() => {
                    changed.map_err(gone)?;
                    return Ok(End::Broken);
                }
            }
        }
    }

    /// Follows the transaction, and says whether a blow falls at this packet of the client's.
    fn blow(&mut self, packet: &[u8]) -> Option<Blow> {
        let payload = &packet[HEADER..];
        let is_command = packet[HEADER - 1] == 0;
        let command = payload.first().copied().filter(|_| is_command)?;
        let text = &payload[1..];
        // What is still to be written goes along with the COMMIT, and all of the transaction may.
        if command == COM_QUERY && has_commit(text) {
            let was_begun = self.statements.take().is_some();
            let target = if was_begun { self.target.take() } else { self.state.target() };
            let blow = target.map(|(_, blow)| blow).filter(|_| !self.only_reads);
            return blow.filter(|_| self.state.deal(Moment::Commit));
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
            let blow = self.target.filter(|(target, _)| target == statements).map(|(_, blow)| blow);
            return blow.filter(|_| self.state.deal(Moment::Statement));
        }
        None
    }
}

impl State {
    /// The statement of a transaction that begins at which a blow falls, if one shall, and which.
    fn target(&self) -> Option<(u32, Blow)> {
        let mut chance = self.chance.lock().expect("no panic while it is held");
        let plan = chance.plan.filter(|_| chance.left > 0)?;
        if !chance.random.random_ratio(1, plan.one_in) {
            return None;
        }
        let statement = chance.random.random_range(1..=STATEMENTS_MAX);
        Some((statement, plan.blow))
    }

    /// Whether a blow that would fall at that moment does.
    fn deal(&self, moment: Moment) -> bool {
        let mut chance = self.chance.lock().expect("no panic while it is held");
        let deals = chance.left > 0 && chance.plan.is_some_and(|plan| plan.moment == moment);
        chance.left -= u64::from(deals);
        deals
    }

    /// Notes a blow that has fallen, or else is to be dealt anew.
    fn note_result(&self, has_fallen: bool) {
        if has_fallen {
            self.note_fallen();
        } else {
            self.chance.lock().expect("no panic while it is held").left += 1;
        }
    }

    fn note_fallen(&self) {
        self.fallen.send_modify(|fallen| *fallen += 1);
    }
}

/// The first whole packet, taken out of the bytes.
fn take_packet(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let [low, middle, high, _] = *bytes.first_chunk::<HEADER>()?;
    let length = HEADER + usize::from(low) + (usize::from(middle) << 8) + (usize::from(high) << 16);
    (bytes.len() >= length).then(|| bytes.drain(..length).collect())
}

/// Whether one of the statements of a command is a COMMIT: alone, after others, or inside of a block.
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

/// The packets of the reply to a command, up to the end of the result of the last of its statements or of the first that
/// fails. Each result is a packet that says that all went well, an error, or a number of columns, their definitions and
/// rows.
struct Reply(Vec<Vec<u8>>);

impl Reply {
    async fn read(upstream: &mut TcpStream) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let mut packets = Vec::new();
        // The packet that ends the definitions, where the client has not agreed to do without, has as many bytes.
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
                        // Warnings come first there, and then the flags.
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

    /// Whether the last statement went well, and thus all of them.
    fn is_ok(&self) -> bool {
        self.0.last().is_some_and(|packet| packet[HEADER] == OK)
    }

    /// Puts an error where the result of the last statement was, under its sequence number.
    fn replace_last(&mut self, error: ServerError) {
        let last = self.0.last_mut().expect("a reply has a packet");
        let [low, high] = error.number.to_le_bytes();
        let payload = [&[ERR, low, high, b'#'], error.sqlstate.as_bytes(), error.message.as_bytes()].concat();
        let length = u32::try_from(payload.len()).expect("a line").to_le_bytes();
        *last = [&length[..3], &[last[HEADER - 1]], &payload].concat();
    }
}

/// The flag of a result that others follow.
const MORE_RESULTS: u8 = 8;

/// Whether a packet that says that all is well says also that the replies to further statements follow.
fn are_more_to_come(payload: &[u8]) -> bool {
    // Two numbers of one byte, or of so many more as their first byte says; then the flags.
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
