//! Random requests by the OpenAPI document, made by Schemathesis: no response is a 5xx or outside of its schema, and the
//! server accepts what the document allows and rejects what it forbids, but for `tests/openapi/exceptions.toml`.
//!
//! `make test-api` takes more requests, and another seed each time.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use jangteo_testkit::{Backend, Database, Server, Shop, run_on, token};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::ids;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Longer than a run of `make test-api`.
const RUN_MAX: Duration = Duration::from_secs(3_600);

/// The number of random requests for each operation, beside those at the limits of its schemas.
fn requests() -> String {
    std::env::var("API_REQUESTS").unwrap_or_else(|_| "10".to_owned())
}

fn seed() -> String {
    std::env::var("API_SEED").unwrap_or_else(|_| "1".to_owned())
}

/// On one backend, because the document is the same for both.
#[tokio::test(flavor = "multi_thread")]
async fn server_and_document_agree_on_random_requests() {
    let database = Database::create(Backend::Sqlite).await.expect("a database");
    run_on(database, RUN_MAX, send_random_requests).await;
}

async fn send_random_requests(shop: Shop) {
    let server = shop.start().await;
    let ids = fill(&server).await;
    let output = Command::new(Path::new(ROOT).join("tests/scripts/schemathesis"))
        .args(["run", &format!("http://{}/openapi.json", server.address())])
        .args(["--header", &format!("Authorization: Bearer {}", token("back-office", Some("admin")))])
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance,negative_data_rejection"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", &requests(), "--seed", &seed()])
        .args(["--no-shrink", "--continue-on-failure", "--warnings", "off", "--request-timeout", "30"])
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("JANGTEO_IDS", ids.to_string())
        .current_dir(shop.database().folder())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("a script");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    // A run without requests would find nothing either.
    let count = report.lines().find_map(|line| line.trim().split_once(" generated, ")?.0.parse::<u32>().ok());
    assert!(count.is_some_and(|count| count > 1_000), "{report}");
    assert!(!server.log().contains(" ERROR "), "{}", server.log());
}

/// Creates a row of each kind, and returns their ids by path parameter.
async fn fill(server: &Server) -> Value {
    server.top_up("kim", 100_000).await;
    let tea = server.product("tea").stock(1_000).create().await;
    let campaign = server.campaign("spring").quantity(1_000).create().await;
    let coupons = [server.take_coupon("kim", &campaign).await, server.take_coupon("lee", &campaign).await];
    let mut orders = Vec::new();
    for is_paid in [true, true, false, false] {
        let order = server.order("kim", &tea, 3).await;
        if is_paid {
            server.pay("kim", &order).await;
        }
        orders.push(order.id);
    }
    let events = server.admin().get("/v1/admin/events").await.json(200);
    json!({
        "user_id": ["kim", "lee"],
        "product_id": [tea.id],
        "campaign_id": [campaign.id],
        "coupon_id": coupons,
        "order_id": orders,
        "event_id": ids(&events["data"], "event_id"),
    })
}
