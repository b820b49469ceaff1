//! Raw HTTP/1.1, for malformed requests and client disconnects.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::error::Elapsed;

use crate::client::check_rules;
use crate::server::Server;

/// A connection that sends raw bytes.
pub struct RawConnection(TcpStream);

/// A minimally parsed response.
#[derive(Debug)]
#[expect(missing_docs, reason = "the other names are clear")]
pub struct RawResponse {
    pub status: u16,
    /// The head in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl RawConnection {
    /// # Panics
    /// If the server does not accept.
    pub async fn open(server: &Server) -> Self {
        let address = server.address().parse().expect("an address and port");
        Self::connect(address).await.expect("the server accepts")
    }

    /// Connects to any server.
    ///
    /// # Errors
    /// If it does not accept.
    pub async fn connect(address: SocketAddr) -> std::io::Result<Self> {
        TcpStream::connect(address).await.map(Self)
    }

    /// Connects with a minimal receive buffer.
    ///
    /// # Panics
    /// If the server does not accept.
    pub async fn open_with_small_buffer(server: &Server) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("a socket option");
        let address = server.address().parse().expect("an address and port");
        Self(socket.connect(address).await.expect("the server accepts"))
    }

    /// Sends bytes. Errors are ignored, because a server that rejects a request early closes the connection.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _closed_early = self.0.write_all(bytes).await;
    }

    /// Reads the response; `None` if the server closes the connection without one.
    ///
    /// # Panics
    /// If the server neither responds nor closes within 30 seconds.
    pub async fn response(&mut self) -> Option<RawResponse> {
        let response = self.response_within(Duration::from_secs(30)).await;
        response.expect("the server neither responds nor closes")
    }

    /// Reads the response; `None` if the server closes the connection without one.
    ///
    /// # Errors
    /// If the server does neither within `timeout`.
    pub async fn response_within(&mut self, timeout: Duration) -> Result<Option<RawResponse>, Elapsed> {
        let mut bytes = Vec::new();
        tokio::time::timeout(timeout, self.read_response(&mut bytes)).await?;
        Ok(RawResponse::parse(&bytes))
    }

    /// Waits until the server closes.
    ///
    /// # Panics
    /// If it does not within `timeout`.
    pub async fn closed_within(mut self, timeout: Duration) {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(timeout, self.0.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "the server does not close");
    }

    /// Sends a byte every 200 ms until the server closes, and returns the response.
    ///
    /// # Panics
    /// If it does not within `timeout`.
    pub async fn drip_until_closed(self, bytes: &[u8], timeout: Duration) -> Vec<u8> {
        const PAUSE: Duration = Duration::from_millis(200);
        let (mut reader, mut writer) = self.0.into_split();
        let mut received = Vec::new();
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
                // An error also means closed.
                _ = reader.read_to_end(&mut received) => {}
                () = dripping => {}
            }
        };
        tokio::time::timeout(timeout, closing).await.expect("the server does not close");
        received
    }

    /// Whether the server has reset the connection. Detected by a write, without reading.
    pub async fn is_reset(&mut self) -> bool {
        // A full buffer gives no information.
        matches!(self.0.try_write(b" "), Err(error) if error.kind() != std::io::ErrorKind::WouldBlock)
    }

    async fn read_response(&mut self, bytes: &mut Vec<u8>) {
        let mut buffer = [0; 4096];
        while !RawResponse::is_whole(bytes) {
            match self.0.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            }
        }
    }

    /// Resets the connection, like a crashed client or a middlebox.
    pub fn reset(self) {
        self.0.set_zero_linger().expect("a socket option");
    }

    /// Closes the connection gracefully.
    pub async fn finish(mut self) {
        // The server may have closed first.
        let _gone = self.0.shutdown().await;
    }
}

impl RawResponse {
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

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    }

    /// Asserts the rules of all responses.
    ///
    /// # Panics
    /// If a rule is violated.
    #[track_caller]
    pub fn check_rules(&self) {
        check_rules(self.status, &self.body, |name| self.header(name), self);
    }

    /// Asserts that it is a valid problem document.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn check_problem(&self) {
        assert!(self.status >= 400, "{self}");
        self.check_rules();
    }
}

impl Display for RawResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n\n{}", self.head, String::from_utf8_lossy(&self.body))
    }
}
