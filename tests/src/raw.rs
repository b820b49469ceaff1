//! HTTP by hand, for what no client would send and for calls that are hung up.

use std::fmt::Display;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::client::check_rules;
use crate::server::Server;

/// A connection that sends bytes as they are.
pub struct RawConnection(TcpStream);

/// An answer, taken apart as far as a test needs.
#[derive(Debug)]
pub struct RawAnswer {
    /// The status code.
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl RawConnection {
    /// Connects.
    ///
    /// # Panics
    /// When the server does not accept.
    pub async fn open(server: &Server) -> Self {
        Self(TcpStream::connect(server.address()).await.expect("the server accepts"))
    }

    /// Connects, with no room for more than a few bytes that were not read.
    ///
    /// # Panics
    /// When the server does not accept.
    pub async fn open_with_small_buffer(server: &Server) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("a socket option");
        let address = server.address().parse().expect("an address and port");
        Self(socket.connect(address).await.expect("the server accepts"))
    }

    /// Sends bytes; the server may have closed already.
    pub async fn send(&mut self, bytes: &[u8]) {
        // A server that rejects early closes while we still write: what counts is its answer.
        let _closed_early = self.0.write_all(bytes).await;
    }

    /// The answer; `None` when the server closes without one.
    ///
    /// # Panics
    /// When it neither answers nor closes within half a minute.
    pub async fn answer(&mut self) -> Option<RawAnswer> {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), self.read_answer(&mut bytes)).await;
        read.expect("the server neither answers nor closes");
        RawAnswer::parse(&bytes)
    }

    /// Sends nothing more, and waits until the server closes.
    ///
    /// # Panics
    /// When it does not within that time.
    pub async fn closed_within(mut self, bound: Duration) {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(bound, self.0.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "the server does not close");
    }

    /// Sends a byte now and then until the server closes, and answers what it said.
    ///
    /// # Panics
    /// When it does not within that time.
    pub async fn drip_until_closed(self, bytes: &[u8], bound: Duration) -> Vec<u8> {
        const PAUSE: Duration = Duration::from_millis(200);
        let (mut reader, mut writer) = self.0.into_split();
        let mut answered = Vec::new();
        let dripping = async {
            for byte in bytes {
                if writer.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
            std::future::pending().await
        };
        let closing = async {
            tokio::select! {
                // An error is an end as well.
                _ = reader.read_to_end(&mut answered) => {}
                () = dripping => {}
            }
        };
        tokio::time::timeout(bound, closing).await.expect("the server does not close");
        answered
    }

    /// Whether the server has let go of the connection, which shows when something is sent, without reading anything.
    pub async fn is_reset(&mut self) -> bool {
        // A buffer that is full says nothing.
        matches!(self.0.try_write(b" "), Err(error) if error.kind() != std::io::ErrorKind::WouldBlock)
    }

    async fn read_answer(&mut self, bytes: &mut Vec<u8>) {
        let mut buffer = [0; 4096];
        while !RawAnswer::is_whole(bytes) {
            match self.0.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            }
        }
    }

    /// Hangs up with a reset, as a client that crashed or a middlebox does.
    pub fn reset(self) {
        self.0.set_zero_linger().expect("a socket option");
    }

    /// Hangs up politely.
    pub async fn finish(mut self) {
        // The server may have closed first.
        let _gone = self.0.shutdown().await;
    }
}

impl RawAnswer {
    fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        Some((std::str::from_utf8(&bytes[..end]).expect("a head is ASCII"), &bytes[end + 4..]))
    }

    fn is_whole(bytes: &[u8]) -> bool {
        let Some((head, body)) = Self::split(bytes) else { return false };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if head.contains("transfer-encoding: chunked") {
            body.ends_with(b"0\r\n\r\n")
        } else {
            length.is_some_and(|length| body.len() >= length)
        }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, body) = Self::split(bytes)?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head: head.to_lowercase(), body: body.to_vec() })
    }

    /// The value of that header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    }

    /// Checks the rules of all answers.
    ///
    /// # Panics
    /// When one is broken.
    #[track_caller]
    pub fn check_rules(&self) {
        check_rules(self.status, &self.body, |name| self.header(name), self);
    }

    /// Checks that it is a problem document by all the rules.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn check_problem(&self) {
        assert!(self.status >= 400, "{self}");
        self.check_rules();
    }
}

impl Display for RawAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n\n{}", self.head, String::from_utf8_lossy(&self.body))
    }
}
