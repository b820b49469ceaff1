//! The adapter against the mock platform and against misbehaving servers.

use std::net::TcpListener;
use std::time::Duration;

use jangteo_data_platform::mock::{self, Behavior, Counters, MockSettings};
use jangteo_data_platform::{Destination, GatewaySettings, HttpDataPlatform};
use jangteo_domain::delivery::{DataPlatform, Delivery, DeliveryFailure, StoredEvent};
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::time::Timestamp;
use uuid::Uuid;

const SECRET: &str = "a secret that both sides know";

struct Mock {
    url: String,
    server: actix_web::dev::ServerHandle,
}

impl Mock {
    fn start(behavior: Behavior) -> Self {
        Self::start_with(MockSettings { secret: Some(SECRET.into()), file: None, behavior, seed: 7 })
    }

    fn start_with(settings: MockSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let server = mock::serve(listener, settings).expect("the receiver starts");
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, server: handle }
    }

    async fn get(&self, path: &str) -> serde_json::Value {
        let response = reqwest::get(format!("{}{path}", self.url)).await.expect("a response");
        response.json().await.expect("JSON")
    }

    async fn counters(&self) -> Counters {
        serde_json::from_value(self.get("/counters").await).expect("counters")
    }
}

fn platform(url: &str, secret: &str) -> HttpDataPlatform {
    install_crypto();
    let settings = GatewaySettings {
        destination: Destination::parse(url, false).expect("a URL"),
        secret: Some(secret.into()),
        timeout: Duration::from_millis(500),
    };
    HttpDataPlatform::new(settings).expect("a client")
}

fn install_crypto() {
    // Already installed by an earlier test of this process.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn event(order: u128, sequence: u32) -> StoredEvent {
    let event = OutboxEvent {
        id: Uuid::from_u128(order * 1_000 + u128::from(sequence)).into(),
        order_id: Uuid::from_u128(order).into(),
        sequence,
        at: Timestamp::from_unix_microseconds(1_790_000_000_123_456).expect("a time"),
        event_type: "jangteo.order.paid.v1".to_owned(),
        body: r#"{"order":{"total":"12000","name":"떡볶이"}}"#.to_owned(),
    };
    StoredEvent { delivery: Delivery { attempts: 1, ..Delivery::new(&event) }, body: event.body }
}

fn events_url(mock: &Mock) -> String {
    format!("{}/events", mock.url)
}

#[tokio::test]
async fn delivers_a_signed_event_that_the_receiver_stores_unchanged() {
    let mock = Mock::start(Behavior::default());
    platform(&events_url(&mock), SECRET).deliver(&event(1, 1)).await.expect("received");

    let stored = mock.get("/events").await;
    let stored = &stored["data"][0]["event"];
    assert_eq!(stored["specversion"], "1.0");
    assert_eq!(stored["id"], Uuid::from_u128(1_001).to_string());
    assert_eq!(stored["type"], "jangteo.order.paid.v1");
    assert_eq!(stored["subject"], Uuid::from_u128(1).to_string());
    assert_eq!(stored["time"], "2026-09-21T14:13:20.123456Z");
    assert_eq!(stored["sequence"], 1);
    assert_eq!(stored["data"]["order"]["name"], "떡볶이");
    mock.server.stop(true).await;
}

/// An https address without TLS: it responds in plain text or not at all.
#[tokio::test]
async fn a_platform_without_tls_is_a_transient_failure() {
    let mock = Mock::start(Behavior::default());
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent_url = format!("https://{}/events", silent.local_addr().expect("its address"));
    for url in [events_url(&mock).replace("http://", "https://"), silent_url] {
        let failed = platform(&url, SECRET).deliver(&event(1, 1)).await;
        assert!(matches!(failed, Err(DeliveryFailure::Transient { .. })), "{url}: {failed:?}");
    }
    assert_eq!(mock.counters().await, Counters::default());
    mock.server.stop(true).await;
}

#[tokio::test]
async fn a_duplicate_is_received_once_and_counted() {
    let mock = Mock::start(Behavior { lose_answer_next: 1, ..Behavior::default() });
    let platform = platform(&events_url(&mock), SECRET);
    let lost = platform.deliver(&event(1, 1)).await;
    assert!(matches!(lost, Err(DeliveryFailure::Transient { .. })), "{lost:?}");
    platform.deliver(&event(1, 1)).await.expect("received");
    let expected = Counters { received: 1, duplicates: 1, answers_lost: 1, ..Counters::default() };
    assert_eq!(mock.counters().await, expected);
    mock.server.stop(true).await;
}

#[tokio::test]
async fn the_receiver_detects_another_body_and_another_order() {
    let mock = Mock::start(Behavior::default());
    let platform = platform(&events_url(&mock), SECRET);
    platform.deliver(&event(1, 2)).await.expect("received");
    platform.deliver(&StoredEvent { body: "{}".to_owned(), ..event(1, 2) }).await.expect("received");
    let expected = Counters { received: 1, duplicates: 1, altered: 1, out_of_order: 1, ..Counters::default() };
    assert_eq!(mock.counters().await, expected);
    mock.server.stop(true).await;
}

#[tokio::test]
async fn a_wrong_signature_is_a_permanent_failure() {
    let mock = Mock::start(Behavior::default());
    let rejected = platform(&events_url(&mock), "another secret").deliver(&event(1, 1)).await;
    assert_eq!(rejected, Err(DeliveryFailure::Permanent { reason: "HTTP 401".to_owned() }));
    assert_eq!(mock.counters().await, Counters { unsigned: 1, ..Counters::default() });
    mock.server.stop(true).await;
}

#[tokio::test]
async fn every_fault_of_the_platform_is_distinguished() {
    let behavior = Behavior {
        fail_next: 1,
        hang_next: 1,
        throttle_next: 1,
        redirect_next: 1,
        retry_after_seconds: 9,
        hang_seconds: 5,
        ..Behavior::default()
    };
    let mock = Mock::start(behavior);
    let platform = platform(&events_url(&mock), SECRET);
    let mut failures = Vec::new();
    for _ in 0..4 {
        failures.push(platform.deliver(&event(1, 1)).await.expect_err("a failure"));
    }
    let retryable = |reason: &str, retry_after: Option<u64>| DeliveryFailure::Transient {
        reason: reason.to_owned(),
        retry_after: retry_after.map(Duration::from_secs),
    };
    let expected = [
        retryable("HTTP 503", None),
        retryable("no answer in time", None),
        retryable("HTTP 429", Some(9)),
        retryable("HTTP 307", None),
    ];
    assert_eq!(failures, expected);
    platform.deliver(&event(1, 1)).await.expect("received");
    assert_eq!(mock.counters().await.received, 1);
    mock.server.stop(false).await;
}

#[tokio::test]
async fn a_name_is_resolved_at_connect() {
    let mock = Mock::start(Behavior::default());
    let url = events_url(&mock).replace("127.0.0.1", "localhost");
    platform(&url, SECRET).deliver(&event(1, 1)).await.expect("received");
    mock.server.stop(false).await;
}

#[tokio::test]
async fn an_unreachable_platform_is_retried() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/events", listener.local_addr().expect("its address"));
    drop(listener);
    let failure = platform(&url, SECRET).deliver(&event(1, 1)).await;
    let expected = DeliveryFailure::Transient { reason: "no connection".to_owned(), retry_after: None };
    assert_eq!(failure, Err(expected));
}

#[tokio::test]
async fn an_endless_response_costs_no_more_than_its_head() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/events", listener.local_addr().expect("its address"));
    let endless = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a call");
        let mut head = [0; 4_096];
        let _ = socket.read(&mut head).await.expect("a request");
        socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.expect("the head is sent");
        // Ends when the client closes the connection without reading the rest.
        while socket.write_all(b"400\r\n").await.is_ok() && socket.write_all(&[b'x'; 1_026]).await.is_ok() {}
    });
    platform(&url, SECRET).deliver(&event(1, 1)).await.expect("2xx is receipt");
    tokio::time::timeout(Duration::from_secs(10), endless).await.expect("the client hung up").expect("no panic");
}

#[tokio::test]
async fn received_events_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = MockSettings {
        secret: Some(SECRET.into()),
        file: Some(folder.path().join("received.jsonl")),
        behavior: Behavior::default(),
        seed: 7,
    };
    let before = Mock::start_with(settings.clone());
    platform(&events_url(&before), SECRET).deliver(&event(1, 1)).await.expect("received");
    before.server.stop(true).await;

    let after = Mock::start_with(settings);
    let platform = platform(&events_url(&after), SECRET);
    platform.deliver(&event(1, 1)).await.expect("received");
    platform.deliver(&event(1, 2)).await.expect("received");
    let counters = after.counters().await;
    assert_eq!((counters.received, counters.duplicates, counters.out_of_order), (2, 1, 0));
    after.server.stop(true).await;
}
