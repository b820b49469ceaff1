//! The server under attack, and raw requests to it.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jangteo_testkit::{Claims, RawConnection, RawResponse, Server};
use jsonwebtoken::Header;
use serde_json::Value;

/// More than any timeout of a server, and its debug build on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Retries of a request after 429: a patient attacker.
const RETRIES_MAX: usize = 5;

/// A server, and the key of its tokens.
pub struct Target {
    pub address: SocketAddr,
    pub secret: String,
    pub issuer: String,
    pub audience: String,
    /// Where this program has started it.
    pub own: Option<Server>,
}

impl Target {
    /// Claims of a valid token.
    pub fn claims(&self, user: &str) -> Claims {
        Claims::of(user).with("iss", self.issuer.as_str()).with("aud", self.audience.as_str())
    }

    pub fn sign(&self, claims: &Claims) -> String {
        claims.sign_with(&Header::default(), &self.secret)
    }

    pub fn user(&self, user: &str) -> String {
        self.sign(&self.claims(user))
    }

    pub fn admin(&self) -> String {
        self.sign(&self.claims("back-office").with("scope", "admin"))
    }

    /// The answer to a request. One of 429 is repeated after its `Retry-After`.
    pub async fn send(&self, request: &Request) -> Answer {
        let bytes = request.bytes();
        let mut answer = self.send_raw(&bytes).await;
        for _ in 0..RETRIES_MAX {
            let Some(seconds) = answer.retry_after() else { break };
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            answer = self.send_raw(&bytes).await;
        }
        answer
    }

    /// The first answer to some bytes.
    pub async fn send_raw(&self, bytes: &[u8]) -> Answer {
        let Ok(mut connection) = RawConnection::connect(self.address).await else { return Answer::Closed };
        connection.send(bytes).await;
        match connection.response_within(ANSWER_MAX).await {
            Ok(Some(response)) => Answer::Response(response),
            Ok(None) => Answer::Closed,
            Err(_) => Answer::Silence,
        }
    }

    /// The document of a successful response.
    pub async fn document(&self, request: &Request) -> Result<Value> {
        match self.send(request).await {
            Answer::Response(response) if response.status < 300 => Ok(serde_json::from_slice(&response.body)?),
            answer => bail!("{} {} responds with {answer}", request.method, request.path),
        }
    }
}

/// Parses a URL of this machine's loopback interface: attacks on others are not for this program.
pub fn loopback(url: &str) -> Result<SocketAddr> {
    let host = url.strip_prefix("http://").context("a URL such as http://127.0.0.1:8080")?;
    let host = host.trim_end_matches('/').replace("localhost", "127.0.0.1");
    let address: SocketAddr = host.parse().context("a URL such as http://127.0.0.1:8080")?;
    ensure!(address.ip().is_loopback(), "{address} is not a loopback address");
    Ok(address)
}

/// A request of HTTP/1.1.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    pub fn new(method: &str, path: impl Into<String>) -> Self {
        Self { method: method.to_owned(), path: path.into(), headers: Vec::new(), body: None }
    }

    pub fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    /// A POST request with a JSON body.
    pub fn post(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", path).header("content-type", "application/json").body(body)
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", self.method, self.path);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            head.push_str("host: shop\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        let mut bytes = format!("{head}\r\n").into_bytes();
        bytes.extend(self.body.iter().flatten());
        bytes
    }
}

/// The answer to an attack.
pub enum Answer {
    Response(RawResponse),
    /// The server closed the connection without a response.
    Closed,
    /// Neither a response nor a close.
    Silence,
    /// A fact other than a response.
    Fact(String),
}

impl Answer {
    /// Whether a condition holds.
    pub fn of(holds: bool) -> Self {
        Self::Fact(if holds { "yes" } else { "no" }.to_owned())
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        match self {
            Self::Response(response) => response.header(name),
            Self::Closed | Self::Silence | Self::Fact(_) => None,
        }
    }

    /// The body, if it is JSON; else `null`.
    pub fn document(&self) -> Value {
        match self {
            Self::Response(response) => serde_json::from_slice(&response.body).unwrap_or_default(),
            Self::Closed | Self::Silence | Self::Fact(_) => Value::Null,
        }
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Response(response) if response.status == 429 => response.header("retry-after")?.parse().ok(),
            Self::Response(_) | Self::Closed | Self::Silence | Self::Fact(_) => None,
        }
    }
}

/// The status, `closed`, or the fact.
impl Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(response) => write!(f, "{}", response.status),
            Self::Closed => f.write_str("closed"),
            Self::Silence => f.write_str("silence"),
            Self::Fact(fact) => f.write_str(fact),
        }
    }
}
