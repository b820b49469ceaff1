//! Spans, as exported to a collector over HTTP.

use tracing_subscriber::layer::SubscriberExt;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::client::{Answer, Client, kim, post};
use super::*;
use crate::traces::Traces;

const TRACE_ID: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const PARENT_ID: u64 = 0x00f0_67aa_0ba9_02b7;

/// A length-delimited field of Protocol Buffers, of less than 128 bytes.
fn member(number: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let length = u8::try_from(value.len()).ok().filter(|length| *length < 128).expect("a short value");
    [&[number << 3 | 2, length], value].concat()
}

async fn collector() -> MockServer {
    let collector = MockServer::start().await;
    let spans = Mock::given(method("POST")).and(path("/v1/traces"));
    let spans = spans.and(header("content-type", "application/x-protobuf"));
    spans.respond_with(ResponseTemplate::new(200)).mount(&collector).await;
    collector
}

/// Tops up points with that `traceparent`, and exports all spans to the endpoint.
async fn top_up_traced(endpoint: String, flags: &str) -> Answer {
    let traces = Traces::to(&endpoint.into()).expect("an address");
    let answer = {
        let _until_here = tracing::subscriber::set_default(tracing_subscriber::registry().with(traces.layer()));
        let client = Client::new().await;
        let top_up = kim(post("/v1/users/kim/points/top-ups", json!({"amount": "5000"})));
        client.call(top_up.insert_header(("traceparent", format!("00-{TRACE_ID:032x}-{PARENT_ID:016x}-{flags}")))).await
    };
    traces.shut_down().await;
    answer
}

/// All bytes received so far.
async fn received(collector: &MockServer) -> Vec<u8> {
    let requests = collector.received_requests().await.expect("they are recorded");
    requests.into_iter().flat_map(|request| request.body).collect()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[actix_web::test]
async fn exports_a_request_in_the_trace_of_its_caller() {
    let collector = collector().await;
    let answer = top_up_traced(collector.uri(), "01").await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let spans = received(&collector).await;
    // The numbers are those of `Span`, `Span.Link` and `KeyValue` of OTLP.
    let (trace_id, parent_id) = (TRACE_ID.to_be_bytes(), PARENT_ID.to_be_bytes());
    assert!(holds(&spans, &member(1, trace_id)), "not in the caller's trace");
    assert!(holds(&spans, &member(4, parent_id)), "not a child of the caller's span");
    assert!(holds(&spans, &member(5, "POST /v1/users/{user_id}/points/top-ups")), "not named after its route");
    assert!(holds(&spans, &member(1, "service.name")) && holds(&spans, &member(1, "jangteo")), "not of the service");
    assert!(holds(&spans, &member(5, "batch")), "without the batch that wrote it");
}

#[actix_web::test]
async fn follows_the_sampling_decision_of_the_caller() {
    let collector = collector().await;
    let answer = top_up_traced(collector.uri(), "00").await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert!(!holds(&received(&collector).await, &member(4, PARENT_ID.to_be_bytes())));
}

#[actix_web::test]
async fn an_unreachable_collector_loses_spans_only() {
    // A released port has no listener.
    let released = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let answer = top_up_traced(format!("http://{}", released.expect("a free port")), "01").await;
    assert_eq!(answer.status, StatusCode::CREATED);
}
