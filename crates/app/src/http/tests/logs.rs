//! The log of requests, in JSON.

use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::settings::Settings;
use crate::telemetry;

/// The lines of the log while `calls` run.
async fn logged<T>(calls: impl Future<Output = T>) -> Vec<Value> {
    let log = Log::default();
    let writer = log.clone();
    let format = [("LOG_FORMAT".to_owned(), "json".to_owned())].into();
    let settings = Settings::from_sources(None, format).expect("settings");
    let lines = telemetry::log_to(&settings, move || writer.clone(), false).expect("a filter");
    let _logged = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines));
    calls.await;
    log.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn with_message<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["message"] == message).collect()
}

#[rstest]
#[case(None, "no token")]
#[case(Some("Basic a2ltOmtpbQ=="), "no bearer token")]
#[case(Some("Bearer do-not-show"), "malformed")]
#[actix_web::test]
async fn a_failed_authentication_is_one_line_with_its_reason_and_address(
    #[case] token: Option<&str>,
    #[case] reason: &str,
) {
    let client = Client::new().await;
    let mut request = get("/v1/users/kim/points").peer_addr("192.0.2.7:4711".parse().expect("an address"));
    if let Some(token) = token {
        request = request.insert_header(("authorization", token));
    }
    let lines = logged(client.call(request)).await;
    let failed = with_message(&lines, "authentication failed");
    let [line] = failed[..] else { panic!("{lines:?}") };
    assert_eq!(
        (&line["level"], &line["reason"], &line["client"]),
        (&json!("INFO"), &json!(reason), &json!("192.0.2.7"))
    );
    assert!(line["span"]["request_id"].is_string(), "{line}");
    assert!(!json!(lines).to_string().contains("do-not-show"), "{lines:?}");
}

#[actix_web::test]
async fn a_line_has_its_span_once() {
    let client = Client::new().await;
    let lines = logged(client.call(kim(get("/v1/users/kim/points")))).await;
    let completed = with_message(&lines, "request completed");
    let [line] = completed[..] else { panic!("{lines:?}") };
    assert_eq!(line["span"]["user_id"], "kim");
    assert_eq!(line["span"]["path"], "/v1/users/kim/points");
    assert_eq!(line["spans"], Value::Null);
}

#[actix_web::test]
async fn a_rate_limited_user_is_logged() {
    let client = Client::limited(governor::Quota::per_hour(std::num::NonZeroU32::MIN)).await;
    client.call(kim(get("/v1/products"))).await;
    let lines = logged(client.call(kim(get("/v1/products")))).await;
    let completed = with_message(&lines, "request completed");
    let [line] = completed[..] else { panic!("{lines:?}") };
    assert_eq!((&line["span"]["status"], &line["span"]["user_id"]), (&json!(429), &json!("kim")));
}

#[actix_web::test]
async fn hashed_users_are_in_no_line() {
    let client = Client::hashing_users().await;
    let lines = logged(async {
        for path in ["/v1/users/kim/points", "/v1/%75sers/kim/points", "/v1/users/kim", "/v1/admin/users/kim/points"] {
            client.call(kim(get(path))).await;
        }
    });
    let lines = lines.await;
    let completed = with_message(&lines, "request completed");
    assert_eq!(completed.len(), 4, "{lines:?}");
    assert_eq!(completed[0]["span"]["path"], "/v1/users/{user_id}/points");
    assert_eq!(completed[0]["span"]["user_id"].as_str().map(str::len), Some(32));
    assert!(!json!(lines).to_string().contains("kim"), "{lines:?}");
}

#[actix_web::test]
async fn denied_requests_are_counted_by_status_and_reason() {
    let client = Client::limited(governor::Quota::per_hour(std::num::NonZeroU32::MIN)).await;
    client.call(get("/v1/users/kim/points")).await;
    client.call(get("/v1/products")).await;
    client.call(kim(get("/v1/admin/products"))).await;
    client.call(kim(get("/v1/products"))).await;
    let metrics = telemetry::statistics().render();
    for labels in [
        r#"status="401",reason="no token""#,
        r#"status="403",reason="scope""#,
        r#"status="429",reason="address""#,
        r#"status="429",reason="user""#,
    ] {
        assert!(metrics.contains(&format!("jangteo_requests_denied_total{{{labels}}}")), "no {labels}: {metrics}");
    }
}
