//! A caller: one keep-alive connection, one request at a time.
//!
//! The load shares its processors with the server and the database, so a request must cost little: its bytes are put
//! together in one reused buffer, and the answer is read in place. It speaks just what the server under test answers
//! with, HTTP/1.1 and `Content-Length`, and calls everything else a failure.

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The most bytes of an answer. A page of a hundred products is well below it.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const HEADERS_MAX: usize = 32;

/// A request, as its caller says it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// GET or POST.
    pub method: &'static str,
    /// Path and query.
    pub path: &'a str,
    /// The caller's token, where the call has one.
    pub token: Option<&'a str>,
    /// The idempotency key of a write.
    pub key: Option<&'a str>,
    /// The JSON of a write.
    pub body: &'a str,
}

/// What came back.
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// The text value of the first field of that name, anywhere in the body; for values without escapes.
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

/// One connection to the server.
pub struct Client {
    address: String,
    stream: Option<TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    /// A client of the server at `address`, `host:port`; connects with the first request.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), stream: None, request: Vec::with_capacity(1024), answer: Vec::new() }
    }

    /// Sends the request and reads the answer. After a failure the next request connects anew.
    pub async fn send(&mut self, request: &Request<'_>) -> Result<Answer<'_>> {
        self.write_request(request);
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(&self.address).await?,
        };
        stream.write_all(&self.request).await?;
        let head = read_answer(&mut stream, &mut self.answer).await?;
        if !head.closes {
            self.stream = Some(stream);
        }
        Ok(Answer { status: head.status, body: &self.answer[head.body_start..head.body_start + head.body_length] })
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
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Head> {
    buffer.clear();
    let mut head = None;
    loop {
        if head.is_none() {
            head = parse_head(buffer)?;
        }
        if let Some(head) = head.take_if(|head| buffer.len() >= head.body_start + head.body_length) {
            return Ok(head);
        }
        ensure!(buffer.len() < ANSWER_BYTES_MAX, "an answer of more than {ANSWER_BYTES_MAX} bytes");
        buffer.reserve(4096);
        ensure!(stream.read_buf(buffer).await? > 0, "the connection was closed");
    }
}

/// The head of the answer; `None` while it is not all there.
fn parse_head(buffer: &[u8]) -> Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body_start) = response.parse(buffer).context("not an HTTP answer")? else {
        return Ok(None);
    };
    let status = response.code.context("an answer without a status")?;
    let mut body_length = (status == 204 || status == 304).then_some(0);
    let mut closes = false;
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            body_length = Some(std::str::from_utf8(header.value)?.trim().parse()?);
        } else if header.name.eq_ignore_ascii_case("connection") {
            closes = header.value.eq_ignore_ascii_case(b"close");
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("an answer in chunks, which this client does not read");
        }
    }
    let body_length = body_length.context("an answer without a length")?;
    ensure!(body_start + body_length <= ANSWER_BYTES_MAX, "an answer of more than {ANSWER_BYTES_MAX} bytes");
    Ok(Some(Head { status, body_start, body_length, closes }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn finds_a_text_field_whatever_stands_before_it() {
        let answer = Answer { status: 201, body: br#"{"user_id":"order_id","lines":[],"order_id": "0198","x":1}"# };
        assert_eq!(answer.text_field("order_id"), Some("0198"));
        assert_eq!(answer.text_field("x"), None);
        assert_eq!(answer.text_field("missing"), None);
    }

    #[test]
    fn waits_for_a_whole_head_and_takes_its_length() {
        let text = b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\nConnection: close\r\n\r\nhello";
        assert_eq!(parse_head(&text[..40]).expect("so far it is HTTP"), None);
        let head = Head { status: 201, body_start: text.len() - 5, body_length: 5, closes: true };
        assert_eq!(parse_head(text).expect("it is HTTP"), Some(head));
    }

    #[test]
    fn rejects_what_it_cannot_read() {
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n").is_err());
        assert!(parse_head(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[tokio::test]
    async fn keeps_its_connection_and_connects_anew_after_a_close() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound").to_string();
        let server = tokio::spawn(async move {
            let answers = [
                &b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na"[..],
                b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\nb",
            ];
            let mut requests = Vec::new();
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                for answer in answers {
                    let mut request = vec![0; 1024];
                    let length = stream.read(&mut request).await.expect("a request");
                    requests.push(String::from_utf8_lossy(&request[..length]).into_owned());
                    stream.write_all(answer).await.expect("answered");
                }
            }
            requests
        });
        let mut client = Client::new(address.clone());
        let request = Request { method: "POST", path: "/x", token: Some("t"), key: Some("k"), body: "{}" };
        for body in [b"a", b"b", b"a", b"b"] {
            assert_eq!(client.send(&request).await.expect("an answer").body, body);
        }
        let requests = server.await.expect("the server ends");
        let expected = format!(
            "POST /x HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer t\r\nIdempotency-Key: k\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        assert_eq!(requests, vec![expected; 4]);
    }
}
