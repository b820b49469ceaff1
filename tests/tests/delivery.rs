//! The data platform receives an event of every paid and refunded order despite platform failures and crashes, and
//! payments never wait for it.

use std::time::Duration;

use futures_util::future::join_all;
use jangteo_testkit::{
    Order, Product, Receiver, Server, Shop, assert_fields, eventually, eventually_within, scenarios,
    scenarios_on_sqlite,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{assert_utc, assert_uuid_v7, ids};

scenarios![
    delivers_everything_in_order_while_the_platform_fails_and_relays_are_killed,
    sends_the_whole_order_in_a_signed_envelope,
    loses_no_event_to_a_hostile_platform,
    marks_permanently_rejected_events_as_dead,
    honors_retry_after,
    accepts_payments_while_the_platform_hangs,
    delivers_each_event_once_from_two_relays_side_by_side,
    records_deliveries_in_flight_on_shutdown,
    delivers_to_the_mock_platform_in_dev_mode,
    relays_only_to_a_configured_platform,
    resumes_after_connection_loss,
    counts_deliveries_and_pending_events,
    lists_events_by_status_page_by_page,
];

scenarios_on_sqlite![rejects_an_invalid_behavior_of_the_receiver];

/// A product with stock, and points for kim.
async fn tea(server: &Server) -> Product {
    let tea = server.product("tea").price(10).stock(1_000_000).create().await;
    server.top_up("kim", 100_000).await;
    tea
}

/// Creates paid orders of kim.
async fn paid_orders(server: &Server, tea: &Product, count: usize) -> Vec<Order> {
    let mut orders = Vec::new();
    for _ in 0..count {
        let order = server.order("kim", tea, 1).await;
        server.pay("kim", &order).await;
        orders.push(order);
    }
    orders
}

async fn cancel(server: &Server, order: &Order) {
    server.user("kim").post(order.cancellation(), json!({})).await.expect(200);
}

/// Number of events in a state, according to the database.
async fn stored(shop: &Shop, state: &str) -> i64 {
    let mut connection = shop.database().connect().await;
    let count = connection.number("COUNT(*)", &format!("outbox_events WHERE state = '{state}'")).await;
    connection.close().await;
    count
}

/// Waits until no event is pending.
async fn all_outcomes_recorded(shop: &Shop) {
    eventually_within(Duration::from_secs(120), "all events are delivered", async || {
        (stored(shop, "pending").await == 0).then_some(())
    })
    .await;
}

/// Asserts that the received events equal the outbox and arrived in order.
async fn assert_received_all(shop: &Shop, receiver: &Receiver) {
    receiver.received_all(shop).await;
    assert_eq!(receiver.counter("out_of_order").await, 0);
}

/// Sends concurrent top-ups, orders, payments and some cancellations, each with its own key.
async fn buy(server: &Server, tea: &Product, users: usize, orders: usize) {
    let users = (0..users).map(|number| async move {
        let user = format!("user-{number}");
        let caller = server.user(&user);
        let top_up = json!({ "amount": "100000" });
        caller.post(format!("/v1/users/{user}/points/top-ups"), top_up).key("top_up").await.expect(201);
        for number in 0..orders {
            let lines = json!({ "lines": [tea.line(1)] });
            let order = caller.post("/v1/orders", lines).key(&format!("order-{number}")).await.json(201);
            let path = format!("/v1/orders/{}", order["order_id"].as_str().expect("an id"));
            let payment = caller.post(format!("{path}/payment"), json!({}));
            payment.key(&format!("payment-{number}")).await.expect(201);
            if number % 10 == 0 {
                let cancellation = caller.post(format!("{path}/cancellation"), json!({}));
                cancellation.key(&format!("cancellation-{number}")).await.expect(200);
            }
        }
    });
    join_all(users).await;
}

async fn delivers_everything_in_order_while_the_platform_fails_and_relays_are_killed(shop: Shop) {
    const USERS: usize = 100;
    const ORDERS: usize = 20;
    const KILLS: usize = 10;

    let rates = ["--fail-rate", "0.3", "--hang-rate", "0.1", "--throttle-rate", "0.1", "--lose-answer-rate", "0.1"];
    let receiver = Receiver::start(&shop, rates).await;
    let server = shop.server().settings([("BATCH_MAX", "256"), ("REQUEST_TIMEOUT", "60s")]).start().await;
    let tea = tea(&server).await;
    let relay = || shop.server().command("relay").delivering_to(receiver.url()).spawn();
    let killing = async {
        let mut running = relay();
        for _ in 0..KILLS {
            // Under load: events were received since the last crash.
            let before = receiver.count().await;
            eventually_within(Duration::from_secs(60), "the relay delivers", async || {
                (receiver.count().await >= before + 20).then_some(())
            })
            .await;
            running.kill().await;
            running = relay();
        }
    };
    tokio::join!(buy(&server, &tea, USERS, ORDERS), killing);
    all_outcomes_recorded(&shop).await;
    assert_received_all(&shop, &receiver).await;
    assert_eq!(receiver.count().await, USERS * (ORDERS + ORDERS / 10));
    assert_eq!(stored(&shop, "dead").await, 0);
    let counters = receiver.counters().await;
    for fault in ["failed", "hung", "throttled", "answers_lost", "duplicates"] {
        assert!(counters[fault].as_u64().is_some_and(|count| count > 0), "{fault} never occurred: {counters}");
    }
}

async fn sends_the_whole_order_in_a_signed_envelope(shop: Shop) {
    let receiver = Receiver::start(&shop, []).await;
    let server = shop.server().delivering_to(receiver.url()).start().await;
    let tea = tea(&server).await;
    let order = server.order("kim", &tea, 3).await;
    let payment = server.pay("kim", &order).await;
    cancel(&server, &order).await;
    all_outcomes_recorded(&shop).await;
    assert_received_all(&shop, &receiver).await;

    let received = receiver.received().await;
    let [paid, refunded] = &received[..] else { panic!("{received:?}") };
    let (paid, refunded) = (&paid["event"], &refunded["event"]);
    let members = ["specversion", "id", "source", "type", "subject", "time", "sequence", "datacontenttype", "data"];
    for event in [paid, refunded] {
        assert_fields(event, &members, &[]);
        assert_uuid_v7(&event["id"]);
        assert_utc(&event["time"]);
        assert_eq!((&event["specversion"], &event["subject"]), (&json!("1.0"), &json!(order.id)));
    }
    assert_eq!((&paid["type"], &paid["sequence"]), (&json!("jangteo.order.paid.v1"), &json!(1)));
    assert_eq!((&refunded["type"], &refunded["sequence"]), (&json!("jangteo.order.refunded.v1"), &json!(2)));
    let shown = &paid["data"]["order"];
    for member in ["order_id", "user_id", "total", "currency"] {
        assert_eq!(shown[member], order.document[member], "{member}");
    }
    assert_eq!((&shown["status"], &shown["lines"][0]["quantity"]), (&json!("paid"), &json!(3)));
    for member in ["payment_id", "amount", "discount", "total"] {
        assert_eq!(paid["data"]["payment"][member], payment[member], "{member}");
    }
    assert_eq!(refunded["data"]["order"]["status"], "refunded");
    assert_eq!(refunded["data"]["refund"]["amount"], payment["amount"]);
}

/// Misbehavior of a hostile server.
#[derive(Clone, Copy, Debug)]
enum Misbehavior {
    /// An endless response head.
    EndlessHead,
    /// An error with an endless body.
    EndlessBody,
    /// A redirect to another server.
    Redirect,
    /// Closes the connection without a response.
    HangUp,
    /// Closes the connection within the status line of a success.
    PartialResponse,
    /// No response.
    Silence,
    /// Bytes that are not HTTP.
    Nonsense,
}

impl Misbehavior {
    const ALL: [Self; 7] = [
        Self::EndlessHead,
        Self::EndlessBody,
        Self::Redirect,
        Self::HangUp,
        Self::PartialResponse,
        Self::Silence,
        Self::Nonsense,
    ];

    async fn perform(self, caller: &mut TcpStream, elsewhere: &str) -> std::io::Result<()> {
        let mut request = [0; 65_536];
        let _some_of_it = caller.read(&mut request).await?;
        match self {
            Self::EndlessHead => {
                caller.write_all(b"HTTP/1.1 200 OK\r\n").await?;
                loop {
                    caller.write_all(b"X-More: and more\r\n").await?;
                }
            }
            Self::EndlessBody => {
                caller.write_all(b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
                loop {
                    caller.write_all(b"4\r\nmore\r\n").await?;
                }
            }
            Self::Redirect => {
                let response = format!(
                    "HTTP/1.1 307 Elsewhere\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                caller.write_all(response.as_bytes()).await
            }
            Self::HangUp => Ok(()),
            Self::PartialResponse => caller.write_all(b"HTTP/1.1 200 O").await,
            // Until the caller times out.
            Self::Silence => caller.read(&mut request).await.map(drop),
            Self::Nonsense => caller.write_all(b"\x16\x03\x01 I speak another language\r\n\r\n").await,
        }
    }
}

/// URL of a server that misbehaves in every way, twice, and then forwards to the receiver.
async fn hostile(receiver: &Receiver, elsewhere: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/events", listener.local_addr().expect("its address"));
    let target = receiver.server().address();
    tokio::spawn(async move {
        let mut misbehavior = Misbehavior::ALL.into_iter().chain(Misbehavior::ALL);
        while let Ok((mut caller, _)) = listener.accept().await {
            let (next, target, elsewhere) = (misbehavior.next(), target.clone(), elsewhere.clone());
            tokio::spawn(async move {
                match next {
                    // The connection ends in any case.
                    Some(misbehavior) => drop(misbehavior.perform(&mut caller, &elsewhere).await),
                    None => {
                        let Ok(mut server) = TcpStream::connect(&target).await else { return };
                        drop(tokio::io::copy_bidirectional(&mut caller, &mut server).await);
                    }
                }
            });
        }
    });
    url
}

async fn loses_no_event_to_a_hostile_platform(shop: Shop) {
    let receiver = Receiver::start(&shop, []).await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = elsewhere.local_addr().expect("its address");
    let url = hostile(&receiver, format!("http://{address}/")).await;
    let server = shop.server().delivering_to(url).start().await;
    let tea = tea(&server).await;
    let orders = paid_orders(&server, &tea, 20).await;
    cancel(&server, &orders[0]).await;
    all_outcomes_recorded(&shop).await;
    assert_received_all(&shop, &receiver).await;
    let elsewhere = elsewhere.into_std().expect("a socket that does not block");
    assert!(elsewhere.accept().is_err(), "a redirect was followed");
}

async fn marks_permanently_rejected_events_as_dead(shop: Shop) {
    let receiver = Receiver::start(&shop, ["--fail-status", "410", "--fail-next", "1"]).await;
    let server = shop.server().delivering_to(receiver.url()).start().await;
    let tea = tea(&server).await;
    let mut dead = paid_orders(&server, &tea, 1).await;
    all_outcomes_recorded(&shop).await;
    receiver.behave(json!({ "fail_status": 400, "fail_next": 1 })).await;
    dead.extend(paid_orders(&server, &tea, 1).await);
    all_outcomes_recorded(&shop).await;
    let list = server.admin().get("/v1/admin/events?status=dead").await.json(200);
    dead.reverse();
    assert_eq!(ids(&list["data"], "order_id"), [dead[0].id.as_str(), &dead[1].id]);
    assert_eq!(ids(&list["data"], "last_error"), ["HTTP 400", "HTTP 410"]);
    assert_eq!(list["data"][0]["attempts"], 1);
    // Later events are delivered, including those of the same order.
    cancel(&server, &dead[0]).await;
    paid_orders(&server, &tea, 1).await;
    all_outcomes_recorded(&shop).await;
    assert_eq!((receiver.count().await, stored(&shop, "dead").await), (2, 2));
}

async fn honors_retry_after(shop: Shop) {
    let receiver = Receiver::start(&shop, ["--throttle-next", "1", "--retry-after", "600"]).await;
    let server = shop.server().delivering_to(receiver.url()).start().await;
    let tea = tea(&server).await;
    paid_orders(&server, &tea, 1).await;
    let event = eventually("the outcome is recorded", async || {
        let list = server.admin().get("/v1/admin/events").await.json(200);
        Some(list["data"][0].clone()).filter(|event| event["last_error"] == "HTTP 429")
    })
    .await;
    assert_eq!((receiver.counter("throttled").await, &event["attempts"]), (1, &json!(1)));
    // Without Retry-After, the retry would be due after 20 ms.
    let wait = assert_utc(&event["due_at"]) - assert_utc(&event["created_at"]);
    assert!(wait >= time::Duration::minutes(10), "{event}");
}

async fn accepts_payments_while_the_platform_hangs(shop: Shop) {
    let receiver = Receiver::start(&shop, ["--hang-rate", "1", "--hang-seconds", "600"]).await;
    let hanging = shop.server().delivering_to(receiver.url()).setting("DATA_PLATFORM_TIMEOUT", "200ms");
    let server = hanging.start().await;
    let tea = server.product("tea").price(10).stock(1_000).create().await;
    buy(&server, &tea, 20, 10).await;
    eventually("deliveries hang", async || (receiver.counter("hung").await > 0).then_some(())).await;
    assert_eq!((receiver.count().await, stored(&shop, "delivered").await), (0, 0));
    receiver.behave_well().await;
    all_outcomes_recorded(&shop).await;
    assert_received_all(&shop, &receiver).await;
}

async fn delivers_each_event_once_from_two_relays_side_by_side(shop: Shop) {
    let receiver = Receiver::start(&shop, []).await;
    let server = shop.start().await;
    let tea = server.product("tea").price(10).stock(10_000).create().await;
    buy(&server, &tea, 30, 10).await;
    // The events wait for the relays, so that both have work. Leases are long, so that none expires.
    let relay = || shop.server().command("relay").delivering_to(receiver.url()).setting("DATA_PLATFORM_TIMEOUT", "30s");
    let relays = [relay().spawn(), relay().spawn()];
    all_outcomes_recorded(&shop).await;
    assert_received_all(&shop, &receiver).await;
    assert_eq!(receiver.counter("duplicates").await, 0);
    for relay in relays {
        relay.terminate();
        assert_eq!(relay.ended().await.code(), Some(0), "{}", relay.log());
    }
}

async fn records_deliveries_in_flight_on_shutdown(shop: Shop) {
    let receiver = Receiver::start(&shop, ["--hang-next", "1", "--hang-seconds", "2"]).await;
    let server = shop.start().await;
    let tea = tea(&server).await;
    paid_orders(&server, &tea, 1).await;
    let slow = shop.server().command("relay").delivering_to(receiver.url()).setting("DATA_PLATFORM_TIMEOUT", "20s");
    let relay = slow.spawn();
    eventually("the delivery is in flight", async || (receiver.counter("hung").await == 1).then_some(())).await;
    relay.terminate();
    assert_eq!(relay.ended().await.code(), Some(0), "{}", relay.log());
    // The relay received the response, recorded the outcome and released its long lease.
    let list = server.admin().get("/v1/admin/events?status=pending").await.json(200);
    assert_eq!(list["data"][0]["last_error"], "HTTP 504");
    let _quick = shop.server().command("relay").delivering_to(receiver.url()).spawn();
    all_outcomes_recorded(&shop).await;
    assert_received_all(&shop, &receiver).await;
}

async fn delivers_to_the_mock_platform_in_dev_mode(shop: Shop) {
    let server = shop.server().demo().start().await;
    let call = eventually("the log contains the receiver's URL", async || {
        let log = server.log();
        let line = log.lines().find(|line| line.contains("curl -s http://") && line.ends_with("/events"));
        line.map(|line| line[line.find("http://").expect("an address")..].to_owned())
    })
    .await;
    let token = shop.server().demo().run(["token", "--user", "kim"]).await;
    let kim = server.bearer(token.stdout.trim());
    kim.post("/v1/users/kim/points/top-ups", json!({ "amount": "1000000" })).await.expect(201);
    let product = &server.anonymous().get("/v1/products?limit=1").await.json(200)["data"][0]["product_id"];
    let lines = json!({ "lines": [{ "product_id": product, "quantity": 1 }] });
    let order = kim.post("/v1/orders", lines).await.json(201)["order_id"].clone();
    let payment = format!("/v1/orders/{}/payment", order.as_str().expect("an id"));
    kim.post(payment, json!({})).await.expect(201);
    let received = eventually("the event is received", async || {
        let response = reqwest::get(&call).await.expect("a response").json::<Value>().await.expect("JSON");
        (response["total"] == 1).then(|| response["data"][0]["event"].clone())
    })
    .await;
    assert_eq!(received["subject"], order);
}

async fn relays_only_to_a_configured_platform(shop: Shop) {
    let rejected = shop.server().run(["relay"]).await;
    assert!(rejected.code.is_some_and(|code| code != 0), "{rejected:?}");
    assert!(rejected.stderr.contains("DATA_PLATFORM_URL") && rejected.stderr.lines().count() == 1, "{rejected:?}");
    let server = shop.start().await;
    let tea = tea(&server).await;
    paid_orders(&server, &tea, 1).await;
    assert_eq!(server.log().matches("DATA_PLATFORM_URL is not set").count(), 1, "{}", server.log());
    assert_eq!(stored(&shop, "pending").await, 1, "the event is pending");
}

async fn resumes_after_connection_loss(shop: Shop) {
    shop.expect_server_errors();
    let receiver = Receiver::start(&shop, []).await;
    let server = shop.server().delivering_to(receiver.url()).start().await;
    let tea = tea(&server).await;
    paid_orders(&server, &tea, 1).await;
    all_outcomes_recorded(&shop).await;
    for round in 0..3 {
        shop.database().kill_connections().await;
        let kim = server.user("kim");
        let lines = json!({ "lines": [tea.line(1)] });
        let order = kim.post("/v1/orders", lines).key(&format!("order-{round}"));
        let order = eventually("orders are accepted again", async || {
            let response = order.clone().await;
            (response.status == 201).then(|| response.json(201))
        })
        .await;
        let path = format!("/v1/orders/{}/payment", order["order_id"].as_str().expect("an id"));
        let payment = kim.post(path, json!({})).key(&format!("payment-{round}"));
        eventually("the order is paid", async || (payment.clone().await.status == 201).then_some(())).await;
        all_outcomes_recorded(&shop).await;
    }
    assert_received_all(&shop, &receiver).await;
    assert_eq!(receiver.count().await, 4);
}

async fn counts_deliveries_and_pending_events(shop: Shop) {
    let receiver = Receiver::start(&shop, ["--fail-next", "1"]).await;
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("its address").port();
    let server = shop.start().await;
    let tea = tea(&server).await;
    paid_orders(&server, &tea, 2).await;
    let metrics_of_server =
        async || String::from_utf8(server.anonymous().get("/metrics").await.expect(200).body).expect("UTF-8");
    eventually("pending events are counted", async || {
        let metrics = metrics_of_server().await;
        let is_counted = metrics.contains(r#"jangteo_outbox_events{state="pending"} 2"#);
        (is_counted && metrics.contains("jangteo_outbox_lag_seconds")).then_some(())
    })
    .await;
    let _relay = shop
        .server()
        .command("relay")
        .delivering_to(receiver.url())
        .setting("METRICS_BIND", format!("127.0.0.1:{port}"))
        .spawn();
    all_outcomes_recorded(&shop).await;
    let metrics = eventually("the relay exports metrics", async || {
        let response = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.ok()?;
        let metrics = response.text().await.ok()?;
        metrics.contains(r#"jangteo_outbox_events{state="pending"} 0"#).then_some(metrics)
    })
    .await;
    for line in [
        r#"jangteo_deliveries_total{outcome="delivered"} 2"#,
        r#"jangteo_deliveries_total{outcome="retry"} 1"#,
        r#"jangteo_delivery_duration_seconds_count{outcome="delivered"} 2"#,
        "jangteo_outbox_lag_seconds 0",
    ] {
        assert!(metrics.contains(line), "no {line}: {metrics}");
    }
}

async fn lists_events_by_status_page_by_page(shop: Shop) {
    let receiver = Receiver::start(&shop, []).await;
    let first = shop.server().delivering_to(receiver.url()).start().await;
    let tea = tea(&first).await;
    let delivered = paid_orders(&first, &tea, 1).await;
    all_outcomes_recorded(&shop).await;
    first.kill().await;
    let server = shop.start().await;
    let pending = paid_orders(&server, &tea, 3).await;

    let admin = server.admin();
    let list = admin.get("/v1/admin/events?status=delivered").await.json(200);
    let event = &list["data"][0];
    let members =
        ["event_id", "order_id", "type", "sequence", "status", "attempts", "created_at", "delivered_at", "due_at"];
    assert_fields(event, &members, &[]);
    assert_eq!((&event["order_id"], &event["status"]), (&json!(delivered[0].id), &json!("delivered")));
    assert_eq!((&event["type"], &event["attempts"]), (&json!("jangteo.order.paid.v1"), &json!(1)));
    assert!(assert_utc(&event["delivered_at"]) >= assert_utc(&event["created_at"]), "{event}");
    assert_eq!(list["next_cursor"], Value::Null);

    let mut newest_first: Vec<String> = pending.iter().map(|order| order.id.clone()).collect();
    newest_first.reverse();
    let page = admin.get("/v1/admin/events?status=pending&limit=2").await.json(200);
    assert_eq!(ids(&page["data"], "order_id"), newest_first[..2]);
    assert_fields(
        &page["data"][0],
        &["event_id", "order_id", "type", "sequence", "status", "attempts", "created_at", "due_at"],
        &[],
    );
    let cursor = page["next_cursor"].as_str().expect("a further page");
    let rest = admin.get(format!("/v1/admin/events?status=pending&limit=2&cursor={cursor}")).await.json(200);
    assert_eq!(ids(&rest["data"], "order_id"), newest_first[2..]);
    newest_first.push(delivered[0].id.clone());
    assert_eq!(ids(&admin.get("/v1/admin/events").await.json(200)["data"], "order_id"), newest_first);
    assert_eq!(admin.get("/v1/admin/events?status=dead").await.json(200)["data"], json!([]));
    for query in ["status=lost", "limit=0", "state=dead"] {
        admin.get(format!("/v1/admin/events?{query}")).await.problem(400, "INVALID_QUERY");
    }
    admin.get(format!("/v1/admin/events?status=dead&cursor={cursor}")).await.problem(400, "INVALID_CURSOR");
}

async fn rejects_an_invalid_behavior_of_the_receiver(shop: Shop) {
    shop.expect_no_books();
    let run = async |flag, value| shop.server().run(["mock-data-platform", "--bind", "127.0.0.1:0", flag, value]).await;
    for (flag, value) in [("--fail-rate", "1.5"), ("--hang-rate", "often"), ("--fail-status", "200"), ("--bind", "x")] {
        let rejected = run(flag, value).await;
        assert!(rejected.code.is_some_and(|code| code != 0), "{flag} {value}: {rejected:?}");
        assert!(!rejected.stderr.is_empty() && rejected.stdout.is_empty(), "{flag} {value}: {rejected:?}");
    }
}
