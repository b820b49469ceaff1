//! The numbers, time lines, coupons, events and verifications of the back office.

use jangteo_domain::delivery::{AttemptOutcome, DeliveryOutcome};
use jangteo_domain::id::VerificationId;
use jangteo_domain::statistics::{Counter, Step};
use jangteo_domain::testing::fixtures::noon_plus;
use uuid::Uuid;

use super::*;

/// A shop with a lamp, where kim has paid two orders and cancelled the second one.
async fn shop() -> (Client, String, [String; 2]) {
    let client = Client::new().await;
    let lamp = client.product(json!({"name": "Lamp", "category": "home", "price": "100"}), 50).await;
    client.call(kim(post("/v1/users/kim/points/top-ups", json!({"amount": "10000"})))).await;
    let mut orders = Vec::new();
    for quantity in [1, 2] {
        let order = order(&client, &lamp, quantity).await;
        let paid = client.call(kim(post(&format!("/v1/orders/{order}/payment"), json!({})))).await;
        assert_eq!(paid.status, StatusCode::CREATED, "{}", paid.json());
        orders.push(order);
    }
    let cancelled = client.call(kim(post(&format!("/v1/orders/{}/cancellation", orders[1]), json!({})))).await;
    assert_eq!(cancelled.status, StatusCode::OK);
    (client, lamp, orders.try_into().expect("two orders"))
}

async fn order(client: &Client, product: &str, quantity: i64) -> String {
    let lines = json!({"lines": [{"product_id": product, "quantity": quantity}]});
    let placed = client.call(kim(post("/v1/orders", lines))).await.json();
    placed["order_id"].as_str().unwrap_or_else(|| panic!("{placed}")).to_owned()
}

async fn read(client: &Client, path: &str) -> Value {
    let answer = client.call(admin(get(path))).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.json());
    answer.json()
}

async fn count_statistics(client: &Client) {
    let mut counter = Counter::new(Uuid::from_u128(1));
    while let Step::Advanced { .. } = counter.step(&*client.store.statistics_count()).await.expect("a store") {}
}

#[actix_web::test]
async fn statistics_are_by_periods_of_the_shops_time_zone() {
    let (client, _, _) = shop().await;
    let path = "/v1/admin/statistics?from=2030-01-01T14:30:00Z&to=2030-01-01T15:00:00.000001Z";
    assert_eq!(read(&client, path).await["complete_to"], "1970-01-01T00:00:00Z", "nothing is counted yet");
    client.store.set_time(noon_plus(3 * 60 * 60));
    count_statistics(&client).await;

    // Noon is 21:00 in Seoul.
    let day = |at: &str, orders: u32, revenue: &str, refunded_orders: u32, refunded: &str| {
        json!({
            "at": at, "orders": orders, "revenue": revenue, "refunded_orders": refunded_orders, "refunded": refunded,
        })
    };
    let empty = |at| day(at, 0, "0", 0, "0");
    let by_day = read(&client, path).await;
    assert_eq!(by_day["data"], json!([day("2029-12-31T15:00:00Z", 2, "300", 1, "200"), empty("2030-01-01T15:00:00Z")]));
    let members = ["from", "to", "by", "time_zone", "complete_to", "currency"].map(|name| by_day[name].clone());
    let expected = ["2029-12-31T15:00:00Z", "2030-01-02T15:00:00Z", "day", "Asia/Seoul", "2030-01-01T14:59:30Z", "KRW"];
    assert_eq!(members, expected.map(Value::from));

    let by_hour = "/v1/admin/statistics?from=2030-01-01T11:59:59Z&to=2030-01-01T13:00:00Z&by=hour";
    let by_hour = read(&client, by_hour).await;
    let hours = json!([empty("2030-01-01T11:00:00Z"), day("2030-01-01T12:00:00Z", 2, "300", 1, "200")]);
    assert_eq!((&by_hour["data"], &by_hour["to"]), (&hours, &json!("2030-01-01T13:00:00Z")));
}

#[rstest]
#[case("?to=2030-01-01T00:00:00Z", "?from", "MISSING")]
#[case("?from=2030-01-01T00:00:00Z&to=", "?to", "MISSING")]
#[case("?from=yesterday&to=2030-01-01T00:00:00Z", "?from", "INVALID")]
#[case("?from=2030-01-01T00:00:00Z&to=2029-01-01T00:00:00Z", "?to", "OUT_OF_RANGE")]
#[case("?from=2029-12-31T15:00:00Z&to=2032-09-26T15:00:00.000001Z", "?to", "OUT_OF_RANGE")]
#[case("?from=2030-01-01T00:00:00Z&to=2031-01-01T00:00:00Z&by=hour", "?to", "OUT_OF_RANGE")]
#[case("?from=2030-01-01T00:00:00Z&to=2031-01-01T00:00:00Z&by=week", "?by", "INVALID")]
#[actix_web::test]
async fn statistics_have_at_most_a_thousand_periods(#[case] query: &str, #[case] pointer: &str, #[case] reason: &str) {
    let client = Client::new().await;
    let answer = client.call(admin(get(&format!("/v1/admin/statistics{query}")))).await;
    assert_eq!(answer.code(), "INVALID_QUERY");
    assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{}", answer.json());
    assert_eq!(answer.json()["errors"][0]["reason"], reason);
    let most = "/v1/admin/statistics?from=2029-12-31T15:00:00Z&to=2032-09-26T15:00:00Z";
    assert_eq!(read(&client, most).await["data"].as_array().map(Vec::len), Some(1_000));
}

#[actix_web::test]
async fn the_overview_has_an_etag_of_its_numbers() {
    let (client, lamp, _) = shop().await;
    order(&client, &lamp, 3).await;
    client.product(json!({"name": "Last", "category": "home", "price": "1"}), 10).await;
    count_statistics(&client).await;
    let first = client.call(admin(get("/v1/admin/overview"))).await;
    let overview = first.json();
    assert_eq!(overview["today"], json!({"orders": 2, "revenue": "300", "refunded": "200"}));
    assert_eq!(overview["open_orders"], json!({"orders": 1, "quantity": 3}));
    let counts = ["sold_out", "nearly_sold_out", "nearly_sold_out_at"].map(|name| overview[name].clone());
    assert_eq!(counts, [0, 1, 10].map(Value::from));
    assert_eq!(
        (&overview["events"], &overview["campaigns_running_out"]),
        (&json!({"pending": 3, "dead": 0}), &json!([]))
    );
    assert_eq!((&overview["time_zone"], overview.get("last_verification")), (&json!("Asia/Seoul"), None));
    assert_eq!(first.header("cache-control"), "private, no-cache");

    let again = |tag: &str| {
        let request = admin(get("/v1/admin/overview")).insert_header((header::IF_NONE_MATCH, tag.to_owned()));
        client.call(request)
    };
    let tag = first.header("etag").to_owned();
    assert_eq!(again(&tag).await.status, StatusCode::NOT_MODIFIED);
    assert_eq!(client.call(kim(get("/v1/admin/overview"))).await.code(), "FORBIDDEN");
    // Another time alone changes nothing: read again, as the cached response is of another version of the products.
    client.store.advance(Duration::seconds(1));
    client.product(json!({"name": "More", "category": "home", "price": "1"}), 50).await;
    assert_eq!(again(&tag).await.status, StatusCode::NOT_MODIFIED);
    client.product(json!({"name": "Few", "category": "home", "price": "1"}), 5).await;
    let changed = again(&tag).await;
    assert_eq!((changed.status, &changed.json()["nearly_sold_out"]), (StatusCode::OK, &json!(2)));
    assert_ne!(changed.header("etag"), tag);
}

#[actix_web::test]
async fn a_time_line_has_everything_in_order_of_time() {
    let (client, lamp, [paid, cancelled]) = shop().await;
    let kinds = |line: &Value| {
        let entries = line["data"].as_array().expect("entries").iter();
        entries.map(|entry| entry["kind"].as_str().expect("a kind").to_owned()).collect::<Vec<_>>()
    };
    let path = |order: &str| format!("/v1/admin/orders/{order}/timeline");
    let line = read(&client, &path(&paid)).await;
    assert_eq!(kinds(&line), ["placed", "paid", "stock_movement", "point_entry", "event"]);
    assert_eq!(line["order"], read_as_kim(&client, &paid).await);
    assert_eq!(line["data"][1]["amount"], "100");
    assert_eq!(line["data"][3]["entry_kind"], "payment");
    let line = read(&client, &path(&cancelled)).await;
    assert!(kinds(&line).contains(&"refunded".to_owned()), "{line}");

    let unpaid = order(&client, &lamp, 1).await;
    client.store.advance(Duration::minutes(1));
    client.call(kim(post(&format!("/v1/orders/{unpaid}/cancellation"), json!({})))).await;
    let line = read(&client, &path(&unpaid)).await;
    assert_eq!(kinds(&line), ["placed", "stock_movement", "cancelled", "stock_movement"]);
    assert_eq!(line["data"][2]["at"], "2030-01-01T12:01:00Z");
}

async fn read_as_kim(client: &Client, order: &str) -> Value {
    client.call(kim(get(&format!("/v1/orders/{order}")))).await.json()
}

#[actix_web::test]
async fn all_dead_events_are_redelivered_and_audited() {
    let (client, lamp, _) = shop().await;
    let redeliver = |query: &str| admin(post(&format!("/v1/admin/events/redelivery{query}"), json!({})));
    for query in ["", "?status=", "?status=pending"] {
        assert_eq!(client.call(redeliver(query)).await.code(), "INVALID_QUERY", "{query}");
    }
    assert_eq!(client.call(redeliver("?status=dead")).await.json(), json!({"redelivered": 0, "complete": true}));
    // More than a round.
    for _ in 0..60 {
        let order = order(&client, &lamp, 1).await;
        client.call(kim(post(&format!("/v1/orders/{order}/payment"), json!({})))).await;
        client.call(kim(post(&format!("/v1/orders/{order}/cancellation"), json!({})))).await;
    }
    let (queue, lease) = (client.store.event_queue(), Uuid::from_u128(1));
    let mut dead = 0;
    loop {
        let claimed = queue.claim(lease, std::time::Duration::from_secs(60), 100).await.expect("a store");
        let outcome = DeliveryOutcome::Dead { reason: "HTTP 410".to_owned().into() };
        let attempt = |event_id| AttemptOutcome { event_id, lease, outcome: outcome.clone() };
        let recorded: Vec<_> = claimed.iter().map(|event| attempt(event.delivery.event_id)).collect();
        queue.record(&recorded).await.expect("a store");
        dead += claimed.len();
        if claimed.is_empty() {
            break;
        }
    }
    assert_eq!(dead, 123);
    let answer = client.call(redeliver("?status=dead").insert_header(("Idempotency-Key", "once"))).await;
    assert_eq!(answer.json(), json!({"redelivered": 123, "complete": true}));
    assert_eq!(read(&client, "/v1/admin/events?status=dead").await["data"], json!([]));
    let audited = read(&client, "/v1/admin/audit-log?limit=100").await;
    assert!(audited["data"].as_array().expect("lines").iter().all(|line| line["action"] == "redeliver_event"));
    assert_eq!(client.call(redeliver("?status=dead")).await.json(), json!({"redelivered": 0, "complete": true}));
    let invalid = redeliver("?status=dead").insert_header(("Idempotency-Key", ""));
    assert_eq!(client.call(invalid).await.code(), "INVALID_IDEMPOTENCY_KEY");
}

#[actix_web::test]
async fn the_back_office_issues_and_lists_coupons_of_a_campaign() {
    let client = Client::new().await;
    let campaign = client.campaign(json!({"kind": "fixed", "amount": "10"})).await;
    let path = format!("/v1/admin/coupon-campaigns/{campaign}/coupons");
    let issue = |user: &str| {
        let request = admin(post(&path, json!({"user_id": user}))).insert_header(("Idempotency-Key", user.to_owned()));
        client.call(request)
    };
    let issued = issue("kim").await;
    assert_eq!(issued.status, StatusCode::CREATED, "{}", issued.json());
    assert_eq!(issued.header("location"), "/v1/users/kim/coupons");
    assert_eq!(issue("kim").await.json(), issued.json(), "a retry");
    issue("lee").await;
    let again = client.call(admin(post(&path, json!({"user_id": "kim"})))).await;
    assert_eq!(again.code(), "COUPON_ALREADY_ISSUED");
    let invalid = client.call(admin(post(&path, json!({"user_id": "not a user"})))).await;
    assert_eq!(invalid.json()["errors"], json!([{"pointer": "/user_id", "reason": "INVALID"}]));

    let coupon = issued.json()["coupon_id"].as_str().expect("an id").to_owned();
    client.call(admin(post(&format!("/v1/admin/coupons/{coupon}/revocation"), json!({})))).await;
    for (query, users) in [("", vec!["lee", "kim"]), ("?status=revoked", vec!["kim"]), ("?status=usable", vec!["lee"])]
    {
        let listed = read(&client, &format!("{path}{query}")).await;
        let listed: Vec<_> = listed["data"].as_array().expect("a list").iter().map(|row| &row["user_id"]).collect();
        assert_eq!(listed, users, "{query}");
    }
    let audited = read(&client, "/v1/admin/audit-log?limit=100").await;
    let actions: Vec<_> = audited["data"].as_array().expect("lines").iter().map(|line| &line["action"]).collect();
    assert_eq!(actions, ["revoke_coupon", "issue_coupon", "issue_coupon", "create_campaign"]);
}

#[actix_web::test]
async fn orders_are_filtered_by_product() {
    let (client, lamp, _) = shop().await;
    let chair = client.product(json!({"name": "Chair", "category": "home", "price": "100"}), 50).await;
    let of_chair = order(&client, &chair, 1).await;
    let ids = async |query: &str| {
        let listed = read(&client, &format!("/v1/admin/orders?{query}")).await;
        let rows = listed["data"].as_array().expect("a list").iter();
        rows.map(|row| row["order_id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&format!("product_id={chair}")).await, [of_chair]);
    assert_eq!(ids(&format!("product_id={lamp}")).await.len(), 2);
    assert_eq!(ids(&format!("product_id={lamp}&status=refunded")).await.len(), 1);
    assert_eq!(ids("product_id=").await.len(), 3);
    let invalid = client.call(admin(get("/v1/admin/orders?product_id=lamp"))).await;
    assert_eq!(invalid.json()["errors"], json!([{"pointer": "?product_id", "reason": "INVALID"}]));
}

#[actix_web::test]
async fn a_verification_is_started_once_and_followed() {
    let (client, _, _) = shop().await;
    let start = |key: &str| {
        let request =
            admin(post("/v1/admin/verifications", json!({}))).insert_header(("Idempotency-Key", key.to_owned()));
        client.call(request)
    };
    let begun = start("a").await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.json());
    let path = begun.header("location").to_owned();
    assert_eq!(path, format!("/v1/admin/verifications/{}", begun.json()["verification_id"].as_str().expect("an id")));
    let ended = loop {
        let run = read(&client, &path).await;
        if run["status"] != "running" {
            break run;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (&ended["status"], &ended["violations_count"], &ended["findings"]),
        (&json!("passed"), &json!(0), &json!([]))
    );
    assert_eq!(ended["progress"], json!({"step": 8, "steps": 8, "name": "retention"}));
    assert_eq!(start("a").await.json(), ended, "a retry starts no other one");

    let other = VerificationId::from(Uuid::max());
    client.store.verification_runs().begin(other, None, "another:1").await.expect("a store");
    let running = start("b").await;
    assert_eq!((running.status, running.code()), (StatusCode::CONFLICT, "VERIFICATION_ALREADY_RUNNING".to_owned()));
    assert_eq!(running.json()["verification_id"], other.to_string());
    let listed = read(&client, "/v1/admin/verifications?limit=1").await;
    assert_eq!((&listed["data"][0]["server"], &listed["data"][0]["status"]), (&json!("another:1"), &json!("running")));
    assert_eq!(listed["data"][0].get("findings"), None);
    assert!(listed["next_cursor"].is_string());

    client.store.advance(Duration::seconds(30));
    let interrupted = read(&client, &format!("/v1/admin/verifications/{other}")).await;
    assert_eq!(
        (&interrupted["status"], &interrupted["finished_at"]),
        (&json!("interrupted"), &json!("2030-01-01T12:00:00Z"))
    );
    assert_eq!(start("c").await.status, StatusCode::ACCEPTED);
}

#[actix_web::test]
async fn polls_of_the_back_office_share_a_response_of_the_last_second() {
    let (client, lamp, _) = shop().await;
    let polled = |request: TestRequest| client.call(request.insert_header((header::CACHE_CONTROL, "max-age=1")));
    let count = |answer: &client::Answer| answer.json()["data"].as_array().map(Vec::len);
    let orders = || get("/v1/admin/orders?limit=100");
    let mut shared = None;
    // On a slow machine a second may pass before the next poll.
    for placed in 3..20 {
        let before = polled(admin(orders())).await;
        order(&client, &lamp, 1).await;
        let poll = polled(admin(orders())).await;
        assert_eq!(count(&client.call(admin(orders())).await), Some(placed), "no poll, so as of now");
        assert_eq!(poll.header("cache-control"), "private, no-cache");
        if poll.header("etag") == before.header("etag") {
            assert_eq!(count(&poll), Some(placed - 1));
            shared = Some(poll.header("etag").to_owned());
            break;
        }
    }
    let tag = shared.expect("a poll that shares the response of the one before");
    let revalidated = admin(orders()).insert_header((header::IF_NONE_MATCH, tag));
    assert!([StatusCode::NOT_MODIFIED, StatusCode::OK].contains(&polled(revalidated).await.status));
    assert_eq!(polled(kim(orders())).await.code(), "FORBIDDEN");
    assert_eq!(polled(orders()).await.code(), "UNAUTHENTICATED");
    let of_kim = polled(kim(get("/v1/users/kim/orders"))).await;
    assert!(of_kim.headers.get(header::ETAG).is_none(), "customers share nothing");
    let fresh = admin(orders()).insert_header((header::CACHE_CONTROL, "max-age=1, no-cache"));
    assert!(client.call(fresh).await.headers.get(header::ETAG).is_none());
    let missing = polled(admin(get("/v1/admin/orders?limit=x"))).await;
    assert_eq!(missing.code(), "INVALID_QUERY");

    // A change of a product by this server is seen at once.
    let products = || admin(get("/v1/admin/products"));
    let before = count(&polled(products()).await);
    client.product(json!({"name": "More", "category": "home", "price": "1"}), 5).await;
    assert_eq!(count(&polled(products()).await), before.map(|count| count + 1));
}
