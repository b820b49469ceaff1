//! Connections that never end, large heads, and many sockets of one client.

use std::time::Duration;

use futures_util::future::join_all;
use jangteo_testkit::{RawConnection, Server, Shop, raise_open_files_max, scenarios_on_sqlite, token};

scenarios_on_sqlite![
    ends_every_head_in_time,
    cuts_off_bodies_that_no_route_reads,
    keeps_a_connection_alive_after_a_chunked_body,
    rejects_large_heads,
    serves_others_in_spite_of_endless_connections,
];

/// Longer than any timeout of the server.
const TIMEOUT: Duration = Duration::from_secs(60);
const HEAD: &str = "GET /v1/products HTTP/1.1\r\nhost: shop\r\n";
const CHUNKED: &str = "host: shop\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n";

async fn start(shop: &Shop) -> Server {
    shop.server().setting("REQUEST_HEAD_TIMEOUT", "1s").start().await
}

/// Sends a request and returns the status of its response.
async fn status(connection: &mut RawConnection, request: &str) -> u16 {
    connection.send(request.as_bytes()).await;
    connection.response().await.expect("a response").status
}

async fn ends_every_head_in_time(shop: Shop) {
    let server = start(&shop).await;
    let first = [&b""[..], b"G", HEAD.as_bytes()].map(|head| (head, 0));
    let later = [&b"G"[..], HEAD.as_bytes()].map(|head| (head, 3));
    join_all(first.into_iter().chain(later).map(async |(head, requests_before)| {
        let mut connection = RawConnection::open(&server).await;
        for _ in 0..requests_before {
            assert_eq!(status(&mut connection, &format!("{HEAD}\r\n")).await, 200);
        }
        connection.send(head).await;
        let received = connection.drip_until_closed(&[b'x'; 10_000], TIMEOUT).await;
        assert!(received.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&received));
    }))
    .await;
}

async fn cuts_off_bodies_that_no_route_reads(shop: Shop) {
    let server = start(&shop).await;
    let bearer = format!("authorization: Bearer {}\r\n", token("kim", None));
    let requests = [
        (404, format!("POST /v1/nothing HTTP/1.1\r\n{CHUNKED}")),
        (404, format!("POST /nothing HTTP/1.1\r\n{CHUNKED}")),
        (401, format!("POST /v1/orders HTTP/1.1\r\n{CHUNKED}")),
        (405, format!("POST /v1/products HTTP/1.1\r\n{CHUNKED}")),
        (200, format!("GET /v1/products HTTP/1.1\r\n{CHUNKED}")),
        (200, format!("GET /v1/users/kim/points HTTP/1.1\r\n{bearer}{CHUNKED}")),
        (401, "POST /v1/orders HTTP/1.1\r\nhost: shop\r\ncontent-length: 100000\r\n\r\n{".to_owned()),
    ];
    let drips = [&b""[..], &b"1\r\nx\r\n".repeat(10_000)];
    let cases = requests.iter().flat_map(|case| drips.map(|drip| (case, drip)));
    join_all(cases.map(async |((expected, request), drip)| {
        let mut connection = RawConnection::open(&server).await;
        connection.send(request.as_bytes()).await;
        let response = connection.response().await.expect("a response");
        assert_eq!((response.status, response.header("connection")), (*expected, Some("close")), "{request}");
        connection.drip_until_closed(drip, TIMEOUT).await;
    }))
    .await;
}

async fn keeps_a_connection_alive_after_a_chunked_body(shop: Shop) {
    let server = start(&shop).await;
    let mut connection = RawConnection::open(&server).await;
    let request = format!(
        "POST /v1/users/kim/points/top-ups HTTP/1.1\r\nauthorization: Bearer {}\r\n{CHUNKED}d\r\n\"amount\":\"1\"}}\r\n0\r\n\r\n",
        token("kim", None)
    );
    for _ in 0..3 {
        assert_eq!(status(&mut connection, &request).await, 201);
    }
    assert_eq!(server.balance("kim").await, 3);
}

async fn rejects_large_heads(shop: Shop) {
    let server = start(&shop).await;
    let large = format!("{HEAD}x-large: {}\r\n\r\n", "x".repeat(17 * 1024));
    let at_once = {
        let mut connection = RawConnection::open(&server).await;
        connection.send(large.as_bytes()).await;
        connection.response().await.expect("a response")
    };
    assert_eq!(at_once.status, 431, "{at_once:?}");
    // Incomplete, with another head on the same connection before it.
    let mut connection = RawConnection::open(&server).await;
    assert_eq!(status(&mut connection, &format!("{HEAD}\r\n")).await, 200);
    assert_eq!(status(&mut connection, large.trim_end()).await, 431);
    connection.closed_within(TIMEOUT).await;
    let allowed = format!("{HEAD}x-large: {}\r\n\r\n", "x".repeat(15 * 1024));
    assert_eq!(status(&mut RawConnection::open(&server).await, &allowed).await, 200);
}

async fn serves_others_in_spite_of_endless_connections(shop: Shop) {
    raise_open_files_max();
    let server = shop.server().setting("REQUEST_HEAD_TIMEOUT", "1s").open_files_max(300).start().await;
    server.top_up("kim", 1).await;
    let endless =
        ["", HEAD, &format!("{HEAD}\r\n{HEAD}"), &format!("POST /nothing HTTP/1.1\r\n{CHUNKED}")].map(str::to_owned);
    let open = endless.iter().cycle().take(400).map(async |bytes| {
        let mut connection = RawConnection::open(&server).await;
        connection.send(bytes.as_bytes()).await;
        connection
    });
    let open = join_all(open).await;
    server.top_up("kim", 1).await;
    for connection in open {
        connection.closed_within(TIMEOUT).await;
    }
    assert_eq!(server.balance("kim").await, 2);
}
