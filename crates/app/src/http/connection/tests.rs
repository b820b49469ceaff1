use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(5);

/// A new connection, and the client's end of it.
fn connect() -> (Connection<DuplexStream>, DuplexStream) {
    let (server, client) = duplex(64 * 1024);
    (Connection::new(server, TIMEOUT, Place::unlimited()), client)
}

/// Reads as actix does, which flushes before it waits, until the end or the error of the connection.
async fn read_to_end(connection: &mut Connection<DuplexStream>) -> usize {
    let mut bytes = Vec::new();
    loop {
        connection.flush().await.expect("an open connection");
        if connection.read_buf(&mut bytes).await.expect("an open connection") == 0 {
            return bytes.len();
        }
    }
}

/// The response to the client, after the server has closed.
async fn response(connection: Connection<DuplexStream>, mut client: DuplexStream) -> String {
    drop(connection);
    let mut response = String::new();
    client.read_to_string(&mut response).await.expect("text");
    response
}

async fn receive(connection: &mut Connection<DuplexStream>, client: &mut DuplexStream, bytes: &[u8]) {
    client.write_all(bytes).await.expect("an open connection");
    connection.read_exact(&mut vec![0; bytes.len()]).await.expect("the bytes");
    connection.flush().await.expect("an open connection");
}

#[tokio::test(start_paused = true)]
async fn the_first_head_ends_in_time_after_the_connect() {
    let (mut connection, client) = connect();
    let opened_at = Instant::now();
    assert_eq!(read_to_end(&mut connection).await, 0);
    assert_eq!(opened_at.elapsed().as_secs(), TIMEOUT.as_secs());
    assert!(response(connection, client).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test(start_paused = true)]
async fn a_later_head_ends_in_time_after_its_first_byte() {
    let (mut connection, mut client) = connect();
    receive(&mut connection, &mut client, b"GET / HTTP/1.1\r\n\r\n").await;
    connection.progress().begin(false);
    assert!(!connection.progress().end());
    connection.flush().await.expect("an open connection");

    // Silence between requests is for keep-alive to end.
    tokio::time::advance(10 * TIMEOUT).await;
    receive(&mut connection, &mut client, b"GET /").await;
    tokio::time::advance(TIMEOUT / 2).await;
    receive(&mut connection, &mut client, b" HTTP/1.1\r\n").await;
    let more_at = Instant::now();
    assert_eq!(read_to_end(&mut connection).await, 0);
    assert!(more_at.elapsed() < TIMEOUT, "more bytes of a head do not extend its time");
    assert!(response(connection, client).await.starts_with("HTTP/1.1 408 "));
}

/// The head of the second request, or its beginning, arrives with the first one or while that is in progress.
#[rstest]
#[case(&["GET / HTTP/1.1\r\n\r\nGET /"], &[], true)]
#[case(&["GET / HTTP/1.1\r\n\r\n"], &["GET /"], true)]
#[case(&["GET / HTTP/1.1\r\n\r\n"], &["GET / HTTP/1.1\r\n", "\r\n"], false)]
#[case(&["GET / HTTP/1.1\r\n\r", "\n"], &[], false)]
#[tokio::test(start_paused = true)]
async fn a_pipelined_head_ends_in_time_after_the_response(
    #[case] before: &[&str],
    #[case] during: &[&str],
    #[case] is_incomplete: bool,
) {
    let (mut connection, mut client) = connect();
    for bytes in before {
        receive(&mut connection, &mut client, bytes.as_bytes()).await;
    }
    connection.progress().begin(false);
    for bytes in during {
        receive(&mut connection, &mut client, bytes.as_bytes()).await;
    }
    connection.progress().end();
    let ended = tokio::time::timeout(10 * TIMEOUT, read_to_end(&mut connection)).await;
    assert_eq!(ended.is_ok(), is_incomplete);
}

#[tokio::test(start_paused = true)]
async fn an_unread_body_is_cut_off_in_time_after_its_response() {
    let (mut connection, mut client) = connect();
    receive(&mut connection, &mut client, b"POST / HTTP/1.1\r\n\r\n").await;
    connection.progress().begin(true);
    tokio::time::advance(10 * TIMEOUT).await;
    assert!(connection.progress().end(), "the connection closes");
    let ended_at = Instant::now();
    client.write_all(&[b'x'; 32 * 1024]).await.expect("an open connection");
    assert_eq!(read_to_end(&mut connection).await, 32 * 1024, "a body may be larger than a head");
    assert_eq!(ended_at.elapsed().as_secs(), TIMEOUT.as_secs());
    assert_eq!(response(connection, client).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_reads_its_body_is_not_bounded() {
    let (mut connection, mut client) = connect();
    receive(&mut connection, &mut client, b"POST / HTTP/1.1\r\n\r\n").await;
    let progress = connection.progress();
    progress.begin(true);
    tokio::time::advance(10 * TIMEOUT).await;
    receive(&mut connection, &mut client, &[b'x'; 32 * 1024]).await;
    progress.finish_body();
    assert!(!progress.end());
    connection.flush().await.expect("an open connection");
    tokio::time::advance(10 * TIMEOUT).await;
    client.shutdown().await.expect("an open connection");
    assert_eq!(read_to_end(&mut connection).await, 0);
    assert_eq!(response(connection, client).await, "");
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_head_that_is_too_large_is_rejected() {
    let (mut connection, mut client) = connect();
    receive(&mut connection, &mut client, &[b'x'; HEAD_BYTES_MAX + 1]).await;
    client.write_all(b"more").await.expect("an open connection");
    assert_eq!(read_to_end(&mut connection).await, 0, "the rest is discarded");
    assert!(response(connection, client).await.starts_with("HTTP/1.1 431 "));
}
