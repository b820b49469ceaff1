//! Requests whose end a proxy and a server may see differently, and bytes that are no HTTP.
//!
//! The answer to all bytes of a connection counts: a second status is a smuggled request.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::report::Report;
use crate::target::{Answer, Target};

/// After this time without a byte there is no further response.
const SILENCE_MAX: Duration = Duration::from_secs(2);
const SMUGGLED: &str = "GET /v1/smuggled HTTP/1.1\r\nhost: shop\r\n\r\n";

pub async fn attack(target: &Target, report: &mut Report) {
    let chunked = format!("0\r\n\r\n{SMUGGLED}");
    let headers: [(&str, String, &str, &str); 19] = [
        (
            "Content-Length and Transfer-Encoding",
            format!("content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n{chunked}"),
            "400",
            "",
        ),
        (
            "Transfer-Encoding and Content-Length",
            format!("transfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n{chunked}"),
            "400",
            "",
        ),
        (
            "two different Content-Length",
            format!("content-length: 0\r\ncontent-length: 44\r\n\r\n{SMUGGLED}"),
            "400",
            "",
        ),
        ("two equal Content-Length", "content-length: 2\r\ncontent-length: 2\r\n\r\n{}".to_owned(), "400", ""),
        ("Content-Length: +2", "content-length: +2\r\n\r\n{}".to_owned(), "400", ""),
        ("Content-Length: -1", format!("content-length: -1\r\n\r\n{SMUGGLED}"), "400", ""),
        ("Content-Length: 0x2", "content-length: 0x2\r\n\r\n{}".to_owned(), "400", ""),
        ("Content-Length: 2, 2", "content-length: 2, 2\r\n\r\n{}".to_owned(), "400", ""),
        ("Content-Length beyond 64 bits", "content-length: 18446744073709551616\r\n\r\n{}".to_owned(), "400", ""),
        ("Transfer-Encoding: xchunked", format!("transfer-encoding: xchunked\r\n\r\n{chunked}"), "400", ""),
        (
            "Transfer-Encoding: chunked, identity",
            format!("transfer-encoding: chunked, identity\r\n\r\n{chunked}"),
            "400",
            "",
        ),
        (
            "two Transfer-Encoding",
            format!("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n{chunked}"),
            "400",
            "",
        ),
        ("a blank before the colon", format!("transfer-encoding : chunked\r\n\r\n{chunked}"), "400", ""),
        ("a folded header", format!("x-folded: a\r\n transfer-encoding: chunked\r\n\r\n{chunked}"), "400", ""),
        ("NUL in a header", "x-nul: a\0b\r\n\r\n".to_owned(), "400", ""),
        ("CR in a header", "x-cr: a\rtransfer-encoding: chunked\r\n\r\n".to_owned(), "400", ""),
        ("no name of a header", ": value\r\n\r\n".to_owned(), "400", ""),
        ("a body of GET is no request", format!("content-length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()), "200", "GET"),
        (
            "a body of an unknown route is no request",
            format!("content-length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()),
            "404",
            "/nothing",
        ),
    ];
    for (attack, rest, expected, line) in headers {
        let line = match line {
            "GET" => "GET /v1/products?limit=1",
            "/nothing" => "POST /v1/nothing",
            _ => "POST /v1/orders",
        };
        let bytes = format!("{line} HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\n{rest}");
        report.add(format!("framing: {attack}"), expected, &statuses(target, bytes.as_bytes()).await);
    }

    let token = target.user("attacker");
    let chunks = [
        ("a chunk size of no digits", "g\r\n{}\r\n0\r\n\r\n"),
        ("a negative chunk size", "-2\r\n{}\r\n0\r\n\r\n"),
        ("a chunk size with 0x", "0x2\r\n{}\r\n0\r\n\r\n"),
        ("a chunk size beyond 64 bits", "10000000000000002\r\n{}\r\n0\r\n\r\n"),
        ("no line end after a chunk", "2\r\n{}0\r\n\r\n"),
        ("a longer chunk than its size", "1\r\n{}\r\n0\r\n\r\n"),
    ];
    for (attack, body) in chunks {
        let head = "host: shop\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n";
        let bytes = format!("POST /v1/orders HTTP/1.1\r\nauthorization: Bearer {token}\r\n{head}\r\n{body}{SMUGGLED}");
        report.add(format!("framing: {attack}"), "400", &statuses(target, bytes.as_bytes()).await);
    }

    let garbage: [(&str, &[u8], &str); 9] = [
        // RFC 9112, 2.2: a recipient may take a single LF as the end of a line.
        (
            "lines end with LF alone",
            b"GET /v1/products?limit=1 HTTP/1.1\nhost: shop\nconnection: close\n\n",
            "200 or 400",
        ),
        ("TLS on the plain port", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03 a client hello\r\n\r\n", "400"),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
        (
            "Expect without a token",
            b"POST /v1/orders HTTP/1.1\r\nhost: shop\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n",
            "100, 401",
        ),
        ("HTTP/0.9", b"GET /v1/products\r\n\r\n", "400"),
        ("HTTP/3.0", b"GET /v1/products HTTP/3.0\r\nhost: shop\r\n\r\n", "400"),
        ("raw UTF-8 in the path", "GET /v1/상품 HTTP/1.1\r\nhost: shop\r\n\r\n".as_bytes(), "400"),
        ("a method with a control character", b"GE\x01T / HTTP/1.1\r\nhost: shop\r\n\r\n", "400"),
        ("all bytes", &ALL_BYTES, "400"),
    ];
    for (attack, bytes, expected) in garbage {
        report.add(format!("framing: {attack}"), expected, &statuses(target, bytes).await);
    }
}

const ALL_BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut index = 0;
    while index < 256 {
        bytes[index] = index as u8;
        index += 1;
    }
    bytes
};

/// The statuses of all responses on one connection.
async fn statuses(target: &Target, bytes: &[u8]) -> Answer {
    let Ok(mut connection) = TcpStream::connect(target.address).await else { return Answer::Closed };
    // A server that rejects a request early closes the connection.
    let _closed_early = connection.write_all(bytes).await;
    let mut received = Vec::new();
    let mut buffer = [0; 16_384];
    while let Ok(Ok(length @ 1..)) = timeout(SILENCE_MAX, connection.read(&mut buffer)).await {
        received.extend_from_slice(&buffer[..length]);
    }
    let text = String::from_utf8_lossy(&received);
    let statuses = text.split("HTTP/1.1 ").skip(1).map(|response| response.get(..3).unwrap_or("?"));
    let statuses: Vec<&str> = statuses.collect();
    if statuses.is_empty() { Answer::Closed } else { Answer::Fact(statuses.join(", ")) }
}
