//! A caller: one keep-alive connection, one request at a time.
//!
//! The load generator shares the processors with the server and the database, so a request must be cheap: it is built
//! in one reused buffer and the response is parsed in place. Supports only HTTP/1.1 with `Content-Length`; any other
//! response is an error.

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Maximum response size in bytes. A page of a hundred products is well below it.
const RESPONSE_BYTES_MAX: usize = 1 << 20;
const HEADERS_MAX: usize = 32;

#[derive(Clone, Copy, Default)]
pub struct Request<'a> {
    pub method: &'static str,
    pub path: &'a str,
    pub token: Option<&'a str>,
    pub key: Option<&'a str>,
    /// `If-None-Match`.
    pub known_tag: Option<&'a str>,
    /// `Cache-Control`.
    pub cache_control: Option<&'a str>,
    pub body: &'a str,
}

impl<'a> Request<'a> {
    pub fn get(path: &'a str, token: Option<&'a str>) -> Self {
        Self { method: "GET", path, token, ..Self::default() }
    }
}

pub struct Response<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Response<'_> {
    /// The string value of the first field with this name, anywhere in the body. Values with escapes are not supported.
    pub fn text_field(&self, name: &str) -> Option<&str> {
        let body = std::str::from_utf8(self.body).ok()?;
        let mut rest = body;
        loop {
            let (_, after) = rest.split_once('"')?;
            rest = after;
            if let Some(value) =
                after.strip_prefix(name).and_then(|after| after.strip_prefix("\":")).map(str::trim_start)
            {
                return value.strip_prefix('"')?.split_once('"').map(|(value, _)| value);
            }
        }
    }
}

pub struct Client {
    address: String,
    stream: Option<TcpStream>,
    request: Vec<u8>,
    response: Vec<u8>,
    /// Place of the last response's `ETag`.
    tag: Option<Range<usize>>,
}

impl Client {
    /// Connects lazily, with the first request, to the server at `address` (`host:port`).
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            stream: None,
            request: Vec::with_capacity(1024),
            response: Vec::new(),
            tag: None,
        }
    }

    /// Sends the request and reads the response. After a failure the next request opens a new connection.
    pub async fn send(&mut self, request: &Request<'_>) -> Result<Response<'_>> {
        self.write_request(request);
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(&self.address).await?,
        };
        stream.write_all(&self.request).await?;
        let head = read_response(&mut stream, &mut self.response).await?;
        if !head.closes {
            self.stream = Some(stream);
        }
        self.tag = head.tag;
        Ok(Response { status: head.status, body: &self.response[head.body_start..head.body_start + head.body_length] })
    }

    /// The `ETag` of the last response.
    pub fn tag(&self) -> Option<&str> {
        std::str::from_utf8(self.response.get(self.tag.clone()?)?).ok()
    }

    fn write_request(&mut self, request: &Request<'_>) {
        let buffer = &mut self.request;
        buffer.clear();
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| buffer.extend_from_slice(part.as_bytes()));
        put(&[request.method, " ", request.path, " HTTP/1.1\r\nHost: ", &self.address, "\r\n"]);
        if let Some(token) = request.token {
            put(&["Authorization: Bearer ", token, "\r\n"]);
        }
        if let Some(key) = request.key {
            put(&["Idempotency-Key: ", key, "\r\n"]);
        }
        if let Some(tag) = request.known_tag {
            put(&["If-None-Match: ", tag, "\r\n"]);
        }
        if let Some(directive) = request.cache_control {
            put(&["Cache-Control: ", directive, "\r\n"]);
        }
        if request.method != "GET" {
            let length = request.body.len().to_string();
            put(&["Content-Type: application/json\r\nContent-Length: ", &length, "\r\n"]);
        }
        put(&["\r\n", request.body]);
    }
}

async fn connect(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await.context("no connection")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body_start: usize,
    body_length: usize,
    closes: bool,
    tag: Option<Range<usize>>,
}

async fn read_response(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Head> {
    buffer.clear();
    let mut head = None;
    loop {
        if head.is_none() {
            head = parse_head(buffer)?;
        }
        if let Some(head) = head.take_if(|head| buffer.len() >= head.body_start + head.body_length) {
            return Ok(head);
        }
        ensure!(buffer.len() < RESPONSE_BYTES_MAX, "a response of more than {RESPONSE_BYTES_MAX} bytes");
        buffer.reserve(4096);
        ensure!(stream.read_buf(buffer).await? > 0, "the connection was closed");
    }
}

/// Parses the response head; `None` while it is incomplete.
fn parse_head(buffer: &[u8]) -> Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body_start) = response.parse(buffer).context("not an HTTP response")? else {
        return Ok(None);
    };
    let status = response.code.context("a response without a status")?;
    let has_body = status != 204 && status != 304;
    let mut body_length = (!has_body).then_some(0);
    let (mut closes, mut tag) = (false, None);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") && has_body {
            body_length = Some(std::str::from_utf8(header.value)?.trim().parse()?);
        } else if header.name.eq_ignore_ascii_case("connection") {
            closes = header.value.eq_ignore_ascii_case(b"close");
        } else if header.name.eq_ignore_ascii_case("etag") {
            let start = header.value.as_ptr().addr() - buffer.as_ptr().addr();
            tag = Some(start..start + header.value.len());
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("chunked responses are not supported");
        }
    }
    let body_length = body_length.context("a response without a length")?;
    ensure!(body_start + body_length <= RESPONSE_BYTES_MAX, "a response of more than {RESPONSE_BYTES_MAX} bytes");
    Ok(Some(Head { status, body_start, body_length, closes, tag }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn finds_a_text_field_anywhere_in_the_body() {
        let response = Response { status: 201, body: br#"{"user_id":"order_id","lines":[],"order_id": "0198","x":1}"# };
        assert_eq!(response.text_field("order_id"), Some("0198"));
        assert_eq!(response.text_field("x"), None);
        assert_eq!(response.text_field("missing"), None);
    }

    #[test]
    fn waits_for_a_complete_head_and_reads_its_length() {
        let text = b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\nConnection: close\r\n\r\nhello";
        assert_eq!(parse_head(&text[..40]).expect("so far it is HTTP"), None);
        let head = Head { status: 201, body_start: text.len() - 5, body_length: 5, closes: true, tag: None };
        assert_eq!(parse_head(text).expect("it is HTTP"), Some(head));
    }

    #[test]
    fn rejects_unsupported_responses() {
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n").is_err());
        assert!(parse_head(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[tokio::test]
    async fn reuses_its_connection_and_reconnects_after_a_close() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound").to_string();
        let server = tokio::spawn(async move {
            let responses = [
                &b"HTTP/1.1 200 OK\r\nETag: W/\"1\"\r\ncontent-length: 1\r\n\r\na"[..],
                b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\nb",
            ];
            let mut requests = Vec::new();
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                for response in responses {
                    let mut request = vec![0; 1024];
                    let length = stream.read(&mut request).await.expect("a request");
                    requests.push(String::from_utf8_lossy(&request[..length]).into_owned());
                    stream.write_all(response).await.expect("response sent");
                }
            }
            requests
        });
        let mut client = Client::new(address.clone());
        let request = Request {
            method: "POST",
            path: "/x",
            token: Some("t"),
            key: Some("k"),
            known_tag: Some("W/\"0\""),
            cache_control: Some("max-age=1"),
            body: "{}",
        };
        for (body, tag) in [(b"a", Some("W/\"1\"")), (b"b", None), (b"a", Some("W/\"1\"")), (b"b", None)] {
            assert_eq!(client.send(&request).await.expect("a response").body, body);
            assert_eq!(client.tag(), tag);
        }
        let requests = server.await.expect("the server ends");
        let expected = format!(
            "POST /x HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer t\r\nIdempotency-Key: k\r\n\
             If-None-Match: W/\"0\"\r\nCache-Control: max-age=1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        assert_eq!(requests, vec![expected; 4]);
    }
}
