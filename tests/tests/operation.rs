//! Operation of the server: commands, settings, startup, shutdown, and database outages.

use std::time::Duration;

use jangteo_testkit::{Backend, Shop, eventually, eventually_within, scenarios, scenarios_on_sqlite};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

scenarios![
    reports_liveness_and_readiness,
    exports_pool_sizes_and_the_time_of_the_last_sweep,
    migrates_repeatedly_and_concurrently,
    does_not_migrate_if_disabled,
    seeding_is_idempotent,
    starts_a_demo_shop_in_dev_mode,
    rejects_another_shop_in_dev_mode,
    waits_for_a_database_that_starts_late,
    gives_up_on_an_unreachable_database,
    completes_accepted_requests_on_shutdown,
    rejects_requests_during_a_database_outage_and_recovers,
    never_logs_a_secret,
];

scenarios_on_sqlite![
    exports_metrics,
    serves_metrics_on_their_own_address,
    serves_its_openapi_document,
    serves_the_api_documentation_without_external_resources,
    checks_its_settings_and_exits,
    reports_each_invalid_setting_in_one_line,
    reads_settings_from_a_file_and_rejects_unknown_ones,
    does_not_start_without_a_key,
    prints_a_token_and_nothing_else,
];

async fn reports_liveness_and_readiness(shop: Shop) {
    let server = shop.start().await;
    server.anonymous().get("/livez").await.expect(200);
    eventually("the server is ready", async || (server.anonymous().get("/readyz").await.status == 200).then_some(()))
        .await;
}

async fn exports_metrics(shop: Shop) {
    let server = shop.start().await;
    server.top_up("kim", 100).await;
    let metrics = server.anonymous().get("/metrics").await.expect(200);
    assert!(metrics.header("content-type").is_some_and(|media_type| media_type.starts_with("text/plain")), "{metrics}");
    let text = String::from_utf8(metrics.body).expect("UTF-8");
    let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut count = 0;
    for sample in samples {
        let value = sample.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        assert!(value.is_some(), "not a sample: {sample}");
        count += 1;
    }
    assert!(count > 0, "no samples");
    assert!(!text.contains("kim"), "user ids must not be labels, because there are too many");
}

async fn exports_pool_sizes_and_the_time_of_the_last_sweep(shop: Shop) {
    let server = shop.server().setting("DATABASE_POOL_MAX", 7).start().await;
    let metric = async |series: &str| {
        let metrics = server.anonymous().get("/metrics").await.expect(200);
        let text = String::from_utf8(metrics.body).expect("UTF-8");
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<f64>().ok())
    };
    assert_eq!(metric(r#"jangteo_pool_connections_max{pool="read"}"#).await, Some(7.0));
    let swept = async || metric("jangteo_orders_swept_timestamp_seconds").await;
    let first = eventually("a completed sweep", swept).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    assert!((now - first).abs() < 60.0, "{first} is not close to {now}");
    eventually("another completed sweep", async || swept().await.filter(|swept| *swept > first)).await;
}

async fn serves_metrics_on_their_own_address(shop: Shop) {
    // A currently free port, because the setting does not accept port 0.
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("its address").port();
    let server = shop.server().setting("METRICS_BIND", format!("127.0.0.1:{port}")).start().await;
    server.anonymous().get("/metrics").await.problem(404, "NOT_FOUND");
    let metrics = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.expect("a response");
    assert_eq!(metrics.status().as_u16(), 200);
    assert!(!metrics.text().await.expect("text").is_empty());
}

async fn serves_its_openapi_document(shop: Shop) {
    let server = shop.start().await;
    let document = server.anonymous().get("/openapi.json").await.json(200);
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", document["openapi"]);
    let paths = [
        ("/v1/users/{user_id}/points", "get"),
        ("/v1/users/{user_id}/points/top-ups", "post"),
        ("/v1/users/{user_id}/points/entries", "get"),
        ("/v1/products", "get"),
        ("/v1/products/{product_id}", "get"),
        ("/v1/products/popular", "get"),
        ("/v1/coupon-campaigns", "get"),
        ("/v1/coupon-campaigns/{campaign_id}", "get"),
        ("/v1/coupon-campaigns/{campaign_id}/coupons", "post"),
        ("/v1/users/{user_id}/coupons", "get"),
        ("/v1/orders", "post"),
        ("/v1/orders/quote", "post"),
        ("/v1/orders/{order_id}", "get"),
        ("/v1/orders/{order_id}/refunds", "get"),
        ("/v1/users/{user_id}/orders", "get"),
        ("/v1/orders/{order_id}/cancellation", "post"),
        ("/v1/orders/{order_id}/payment", "post"),
        ("/v1/admin/products", "post"),
        ("/v1/admin/products", "get"),
        ("/v1/admin/products/{product_id}", "patch"),
        ("/v1/admin/products/{product_id}/stock-movements", "post"),
        ("/v1/admin/products/{product_id}/stock-movements", "get"),
        ("/v1/admin/coupon-campaigns", "post"),
        ("/v1/admin/coupon-campaigns/{campaign_id}", "patch"),
        ("/v1/admin/coupons/{coupon_id}/revocation", "post"),
        ("/v1/admin/events", "get"),
    ];
    for (path, method) in paths {
        let operation = &document["paths"][path][method];
        assert!(operation.is_object(), "{method} {path} is not documented");
        let responses =
            operation["responses"].as_object().unwrap_or_else(|| panic!("{method} {path} has no responses"));
        assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path} has no success response");
    }
    // Each reference has a target.
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} is external"));
        assert!(document.pointer(pointer).is_some(), "{reference} has no target");
    }
    let printed = shop.server().run(["openapi"]).await;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    assert_eq!(serde_json::from_str::<Value>(&printed.stdout).expect("JSON"), document);
}

fn collect_references(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            references.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| collect_references(member, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, references)),
        _ => {}
    }
}

async fn serves_the_api_documentation_without_external_resources(shop: Shop) {
    let server = shop.start().await;
    let mut path = "/docs".to_owned();
    let mut page = server.anonymous().get(&path).await;
    while (300..400).contains(&page.status) {
        page.header("location").expect("a Location").clone_into(&mut path);
        page = server.anonymous().get(&path).await;
    }
    let page = page.expect(200);
    let html = String::from_utf8(page.body).expect("UTF-8");
    let sources = html.split(['"', '\'']).filter(|part| part.ends_with(".js") || part.ends_with(".css"));
    let mut count = 0;
    for source in sources {
        assert!(!source.contains("//"), "{source} is an external resource");
        let base = path.rsplit_once('/').map_or("", |(base, _)| base);
        let source = if source.starts_with('/') {
            source.to_owned()
        } else {
            format!("{base}/{}", source.trim_start_matches("./"))
        };
        let response = server.anonymous().get(&source).await.expect(200);
        assert!(!response.body.is_empty(), "{source}");
        count += 1;
    }
    assert!(count > 0, "the page has no scripts: {html}");
}

async fn checks_its_settings_and_exits(shop: Shop) {
    shop.expect_no_books();
    let checked = shop.server().run(["serve", "--check-config"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    // The check has no side effects.
    if shop.backend() == Backend::Sqlite {
        assert!(!shop.database().folder().join("jangteo.db").exists());
    }
}

async fn reports_each_invalid_setting_in_one_line(shop: Shop) {
    shop.expect_no_books();
    let wrong = [
        ("DATABASE_URL", "postgres://localhost/shop"),
        ("DATABASE_POOL_MAX", "0"),
        ("BIND", "nowhere"),
        ("METRICS_BIND", "127.0.0.1"),
        ("CURRENCY", "WON"),
        ("SHOP_TIME_ZONE", "Asia/Atlantis"),
        ("ORDER_TTL", "soon"),
        ("ORDER_TTL", "0s"),
        ("ORDER_SWEEP_INTERVAL", "-1s"),
        ("TOP_UP_MAX", "1.5"),
        ("TOP_UP_MAX", "-1"),
        ("BALANCE_MAX", "a lot"),
        ("ORDER_LINES_MAX", "0"),
        ("ORDER_QUANTITY_MAX", "none"),
        ("OPEN_ORDERS_MAX", "-1"),
        ("BATCH_MAX", "0"),
        ("WRITE_LANES", "0"),
        ("QUEUE_MAX", "0"),
        ("QUEUE_WAIT_MAX", "soon"),
        ("REQUEST_TIMEOUT", "0s"),
        ("JWT_ALGORITHM", "none"),
        ("JWT_ALGORITHM", "RS256"),
        ("JWT_SECRET", "short-and-secret"),
        ("REQUIRE_IDEMPOTENCY_KEY", "perhaps"),
        ("RATE_LIMIT", "fast"),
        ("DATA_PLATFORM_URL", "ftp://data.example/events"),
        ("DATA_PLATFORM_SECRET", "short-secret"),
        ("DATA_PLATFORM_TIMEOUT", "never"),
        ("LOG_FORMAT", "xml"),
    ];
    for (name, value) in wrong {
        let checked = shop.server().setting(name, value).run(["serve", "--check-config"]).await;
        assert!(checked.code.is_some_and(|code| code != 0), "{name}={value}: {checked:?}");
        let lines: Vec<&str> = checked.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{name}={value}: {checked:?}");
        // Of two contradictory settings, either may be named.
        let named = lines[0].contains(name) || name.starts_with("JWT_") && lines[0].contains("JWT_");
        let limits = matches!(name, "TOP_UP_MAX") && lines[0].to_lowercase().contains("top_up_max");
        assert!(named || limits, "{name}={value}: {checked:?}");
        assert!(!checked.stderr.contains("short-and-secret"), "the output contains a secret: {checked:?}");
    }
}

async fn reads_settings_from_a_file_and_rejects_unknown_ones(shop: Shop) {
    shop.expect_no_books();
    let file = shop.database().folder().join("jangteo.toml");
    let check = async |text: &str| {
        std::fs::write(&file, text).expect("a file");
        let path = file.to_str().expect("UTF-8");
        shop.server().run(["serve", "--check-config", "--config", path]).await
    };
    let good = check("order_ttl = \"5m\"\nopen_orders_max = \"3\"\n").await;
    assert_eq!(good.code, Some(0), "{good:?}");
    for (text, word) in [("order_tll = \"5m\"", "order_tll"), ("order_ttl = \"soon\"", "ORDER_TTL"), ("= nonsense", "")]
    {
        let rejected = check(text).await;
        assert!(rejected.code.is_some_and(|code| code != 0), "{text}: {rejected:?}");
        assert_eq!(rejected.stderr.lines().count(), 1, "{text}: {rejected:?}");
        assert!(rejected.stderr.contains(word), "{text}: {rejected:?}");
    }
}

async fn does_not_start_without_a_key(shop: Shop) {
    shop.expect_no_books();
    let keyless = || shop.server().without("JWT_SECRET").without("JWT_ALGORITHM");
    for arguments in [["serve", "--check-config"].as_slice(), ["serve"].as_slice()] {
        let rejected = match *arguments {
            [one] => keyless().run([one]).await,
            [one, two] => keyless().run([one, two]).await,
            _ => unreachable!("all cases are listed"),
        };
        assert!(rejected.code.is_some_and(|code| code != 0), "{arguments:?}: {rejected:?}");
        assert!(rejected.stderr.contains("JWT_"), "{arguments:?}: {rejected:?}");
    }
}

async fn prints_a_token_and_nothing_else(shop: Shop) {
    let server = shop.start().await;
    let token = async |arguments: &[&str]| {
        let printed = match *arguments {
            [user] => shop.server().run(["token", "--user", user]).await,
            [user, scope] => shop.server().run(["token", "--user", user, "--scope", scope]).await,
            [user, scope, ttl] => shop.server().run(["token", "--user", user, "--scope", scope, "--ttl", ttl]).await,
            _ => unreachable!("all cases are listed"),
        };
        assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""), "{printed:?}");
        let token = printed.stdout.strip_suffix('\n').expect("a line").to_owned();
        assert!(token.split('.').count() == 3 && !token.contains(char::is_whitespace), "not a token: {token:?}");
        token
    };
    server.bearer(token(&["kim"]).await).get("/v1/users/kim/points").await.expect(200);
    server.bearer(token(&["kim"]).await).get("/v1/admin/products").await.problem(403, "FORBIDDEN");
    server.bearer(token(&["boss", "admin"]).await).get("/v1/admin/products").await.expect(200);
    let short = server.bearer(token(&["boss", "admin", "1s"]).await);
    short.get("/v1/admin/products").await.expect(200);
    eventually("the token expires", async || (short.get("/v1/admin/products").await.status == 401).then_some(())).await;
    let too_long = shop.server().run(["token", "--user", "kim", "--ttl", "25h"]).await;
    assert!(
        too_long.code.is_some_and(|code| code != 0) && too_long.stderr.contains("TOKEN_LIFETIME_MAX"),
        "{too_long:?}"
    );
    for wrong in [["token", "--user", "kim lee"], ["token", "--user", ""], ["token", "--ttl", "1h"]] {
        let rejected = shop.server().run(wrong).await;
        assert!(rejected.code.is_some_and(|code| code != 0) && rejected.stdout.is_empty(), "{wrong:?}: {rejected:?}");
    }
}

async fn migrates_repeatedly_and_concurrently(shop: Shop) {
    let at_once = futures_util::future::join_all((0..3).map(|_| async { shop.server().run(["migrate"]).await })).await;
    for migrated in at_once {
        assert_eq!(migrated.code, Some(0), "{migrated:?}");
    }
    let again = shop.server().run(["migrate"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let server = shop.start().await;
    server.top_up("kim", 100).await;
    let again = shop.server().run(["migrate"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(server.balance("kim").await, 100, "no data is lost");
}

async fn does_not_migrate_if_disabled(shop: Shop) {
    let migrated = shop.server().run(["migrate"]).await;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let server = shop.server().setting("AUTO_MIGRATE", false).start().await;
    server.top_up("kim", 100).await;
    server.anonymous().get("/readyz").await.expect(200);
}

async fn seeding_is_idempotent(shop: Shop) {
    for _ in 0..2 {
        let seeded = shop.server().run(["seed"]).await;
        assert_eq!(seeded.code, Some(0), "{seeded:?}");
    }
    let server = shop.start().await;
    let count = async |path: &str| {
        let list = server.anonymous().get(format!("{path}?limit=100")).await.json(200);
        list["data"].as_array().map_or(0, Vec::len)
    };
    let (products, campaigns) = (count("/v1/products").await, count("/v1/coupon-campaigns").await);
    assert!(products > 0 && campaigns > 0, "{products} products and {campaigns} campaigns");
    let seeded = shop.server().run(["seed"]).await;
    assert_eq!(seeded.code, Some(0), "{seeded:?}");
    assert_eq!((count("/v1/products").await, count("/v1/coupon-campaigns").await), (products, campaigns));
    // The seeded products can be bought.
    let list = server.anonymous().get("/v1/products?in_stock=true").await.json(200);
    let lines = json!([{ "product_id": list["data"][0]["product_id"], "quantity": 1 }]);
    server.order_lines("kim", lines).await;
}

async fn starts_a_demo_shop_in_dev_mode(shop: Shop) {
    let server = shop.server().demo().start().await;
    let calls = eventually("calls are printed", async || {
        let log = server.log();
        (log.contains("curl") && log.contains("Bearer ")).then_some(log)
    })
    .await;
    let token = |text: &str| {
        text.split("Bearer ").nth(1).map(|rest| {
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect::<String>()
        })
    };
    let token = token(&calls).expect("a call with a token");
    let list = server.anonymous().get("/v1/products").await.json(200);
    assert!(list["data"].as_array().is_some_and(|products| !products.is_empty()), "no demo catalogue");
    let lines = json!({ "lines": [{ "product_id": list["data"][0]["product_id"], "quantity": 1 }] });
    server.bearer(token).post("/v1/orders/quote", lines).await.expect(200);
}

async fn rejects_another_shop_in_dev_mode(shop: Shop) {
    let server = shop.start().await;
    server.top_up("kim", 1).await;
    let rejected = shop.server().demo().run(["serve", "--dev"]).await;
    assert!(rejected.code.is_some_and(|code| code != 0), "{rejected:?}");
    assert!(rejected.stderr.contains("DATABASE_URL: ") && rejected.stderr.contains("not the demo"), "{rejected:?}");
    assert_eq!(server.anonymous().get("/v1/products").await.json(200)["data"], json!([]), "nothing is written");
    // With the demo's products it is a demo shop.
    let seeded = shop.server().run(["seed"]).await;
    assert_eq!(seeded.code, Some(0), "{seeded:?}");
    shop.server().demo().start().await.anonymous().get("/v1/products").await.expect(200);
}

/// A TCP forwarder that can be closed.
struct Gate {
    port: u16,
    open: watch::Sender<bool>,
    /// Connections so far.
    connections: watch::Receiver<u32>,
}

impl Gate {
    /// Forwards a new port to `target` while open. Closing breaks all connections. While closed, connections are
    /// accepted but get no response, the worst case of a network failure.
    async fn new(target: String, is_open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (open, state) = watch::channel(is_open);
        let (count, connections) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                count.send_modify(|count| *count += 1);
                let (target, mut state) = (target.clone(), state.clone());
                tokio::spawn(async move {
                    if !*state.borrow() {
                        // Until the gate opens or the client sends or closes. Then the connection is dropped.
                        let mut byte = [0];
                        tokio::select! {
                            _ = state.wait_for(|open| *open) => {}
                            _ = client.peek(&mut byte) => {}
                        }
                        return;
                    }
                    let Ok(mut server) = TcpStream::connect(&target).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = state.wait_for(|open| !*open) => {}
                    }
                });
            }
        });
        Self { port, open, connections }
    }

    fn set_open(&self, open: bool) {
        self.open.send(open).expect("the gate's task lives as long as the test");
    }
}

/// The database URL through a gate.
async fn gated(shop: &Shop, is_open: bool) -> (Gate, String) {
    let url = shop.database().url();
    let (scheme_and_user, rest) = url.rsplit_once('@').expect("mysql://user:password@host:port/name");
    let (target, name) = rest.split_once('/').expect("a database's name");
    let gate = Gate::new(target.to_owned(), is_open).await;
    let url = format!("{scheme_and_user}@127.0.0.1:{}/{name}", gate.port);
    (gate, url)
}

async fn waits_for_a_database_that_starts_late(shop: Shop) {
    if shop.backend() == Backend::Sqlite {
        // A file is always available, but another process may hold its lock.
        let mut connection = shop.database().connect().await;
        connection.execute("PRAGMA journal_mode = WAL").await;
        connection.execute("BEGIN IMMEDIATE").await;
        let server = shop.server().spawn();
        eventually("the server opens the file", async || server.has_open("jangteo.db").then_some(())).await;
        assert!(!server.is_listening(), "the migration cannot have run");
        connection.execute("ROLLBACK").await;
        server.listening().await;
        server.top_up("kim", 1).await;
        return;
    }
    let (mut gate, url) = gated(&shop, false).await;
    let server = shop.server().setting("DATABASE_URL", url).spawn();
    gate.connections.wait_for(|count| *count > 1).await.expect("the server connects again after a failure");
    assert!(!server.is_listening(), "the server waits");
    gate.set_open(true);
    server.listening().await;
    server.top_up("kim", 1).await;
}

async fn gives_up_on_an_unreachable_database(shop: Shop) {
    shop.expect_no_books();
    // A currently free port, so nothing listens there.
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("its address").port();
    let nowhere = match shop.backend() {
        Backend::Sqlite => "sqlite:/nowhere/at/all/jangteo.db".to_owned(),
        Backend::Mysql => format!("mysql://kim:not-to-be-shown@127.0.0.1:{port}/shop"),
    };
    let gave_up = shop.server().setting("DATABASE_URL", nowhere).run(["migrate"]).await;
    assert!(gave_up.code.is_some_and(|code| code != 0), "{gave_up:?}");
    assert!(!gave_up.stderr.is_empty() && !gave_up.stderr.contains("not-to-be-shown"), "{gave_up:?}");
    assert!(!gave_up.stderr.contains("panicked"), "{gave_up:?}");
}

async fn completes_accepted_requests_on_shutdown(shop: Shop) {
    shop.expect_server_errors();
    let server = shop.start().await;
    let callers: Vec<_> = (0..50).map(|number| format!("user-{number}")).collect();
    let calls: Vec<_> = callers
        .iter()
        .map(|user| {
            let path = format!("/v1/users/{user}/points/top-ups");
            tokio::spawn(server.user(user).post(path, json!({ "amount": "7" })).key("once").try_send())
        })
        .collect();
    // During the requests.
    while !calls.iter().any(tokio::task::JoinHandle::is_finished) {
        tokio::task::yield_now().await;
    }
    server.terminate();
    let mut responses = Vec::new();
    for call in calls {
        responses.push(call.await.expect("no panic"));
    }
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{}", server.log());

    let server = shop.start().await;
    for (user, response) in callers.iter().zip(responses) {
        let balance = server.balance(user).await;
        match response {
            // A success has its effect, a rejection has none; without a response, either is correct.
            Ok(response) if response.status == 201 => assert_eq!(balance, 7, "{user}"),
            Ok(response) => {
                response.problem(503, "SHUTTING_DOWN");
                assert_eq!(balance, 0, "{user}");
            }
            Err(_) => assert!(matches!(balance, 0 | 7), "{user}: {balance}"),
        }
    }
}

async fn rejects_requests_during_a_database_outage_and_recovers(shop: Shop) {
    if shop.backend() == Backend::Sqlite {
        // A file has no outages; the closest equivalent is a long write transaction of another process.
        shop.expect_server_errors();
        let server = shop.start().await;
        server.top_up("kim", 1).await;
        let mut connection = shop.database().connect().await;
        connection.execute("BEGIN IMMEDIATE").await;
        assert_eq!(server.balance("kim").await, 1, "reads continue");
        connection.execute("ROLLBACK").await;
        connection.close().await;
        server.top_up("kim", 1).await;
        return;
    }
    shop.expect_server_errors();
    let (gate, url) = gated(&shop, true).await;
    let server = shop.server().setting("DATABASE_URL", url).start().await;
    server.top_up("kim", 1).await;
    gate.set_open(false);
    let calls = [
        server.user("kim").get("/v1/users/kim/points"),
        server.anonymous().get("/v1/products"),
        server.user("kim").post("/v1/users/kim/points/top-ups", json!({ "amount": "1" })).key("while away"),
        server.anonymous().get("/readyz"),
    ];
    for _ in 0..3 {
        for call in calls.clone() {
            call.await.expect(503);
        }
        // Liveness does not depend on the database.
        server.anonymous().get("/livez").await.expect(200);
    }
    gate.set_open(true);
    eventually_within(Duration::from_secs(15), "the server recovers", async || {
        (server.anonymous().get("/readyz").await.status == 200).then_some(())
    })
    .await;
    let top_up = server.user("kim").post("/v1/users/kim/points/top-ups", json!({ "amount": "1" })).key("while away");
    eventually("the top-up succeeds", async || (top_up.clone().await.status == 201).then_some(())).await;
    assert_eq!(server.balance("kim").await, 2);
    assert!(server.is_running().await);
}

async fn never_logs_a_secret(shop: Shop) {
    let server = shop.server().setting("RUST_LOG", "trace").start().await;
    let token = jangteo_testkit::token("kim", None);
    let kim = server.bearer(&token);
    kim.post("/v1/users/kim/points/top-ups", json!({ "amount": "5" })).key("a").await.expect(201);
    kim.get("/v1/users/kim/points").await.expect(200);
    kim.post("/v1/orders", json!({ "lines": [] })).await.expect(400);
    let log = server.log();
    let signature = token.rsplit('.').next().expect("three parts");
    for secret in [jangteo_testkit::SECRET, token.as_str(), signature] {
        assert!(!log.contains(secret), "the log contains {secret}");
    }
    if shop.backend() == Backend::Mysql {
        let url = shop.database().url();
        let password = url.split('@').next().and_then(|user| user.rsplit(':').next()).expect("a password");
        assert!(!log.contains(&format!(":{password}@")), "the log contains the database password");
    }
}
