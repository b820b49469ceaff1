//! SKUs, versions, and many products at a time.

use actix_web::http::{Method, StatusCode};
use jangteo_domain::audit::AuditFilter;
use jangteo_domain::page::Page;
use rstest::rstest;
use serde_json::{Value, json};

use super::client::{Answer, Client, admin, get, kim, post, send};

fn put(sku: &str, body: Value) -> actix_web::test::TestRequest {
    admin(send(Method::PUT, &format!("/v1/admin/products/by-sku/{sku}")).set_json(body))
}

fn lamp(name: &str) -> Value {
    json!({"name": name, "category": "home", "price": "100", "stock": 5})
}

fn row(sku: &str, name: &str) -> Value {
    json!({"sku": sku, "name": name, "category": "home", "price": "100", "stock": 5})
}

fn bulk(rows: impl IntoIterator<Item = Value>) -> actix_web::test::TestRequest {
    admin(post("/v1/admin/products/bulk", json!({"products": Vec::from_iter(rows)})))
}

fn outcomes(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
    let answer = answer.json();
    let results = answer["results"].as_array().expect("results");
    let outcomes: Vec<String> =
        results.iter().map(|result| result["outcome"].as_str().expect("an outcome").to_owned()).collect();
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result["index"], index);
    }
    for outcome in ["created", "changed", "unchanged", "rejected"] {
        assert_eq!(answer[outcome], outcomes.iter().filter(|one| *one == outcome).count());
    }
    outcomes
}

/// The number of entries of the audit log.
async fn audited(client: &Client) -> usize {
    let page = Page { after: None, limit: 1_000 };
    client.store.queries().audit.list(&AuditFilter::default(), &page).await.expect("a list").len()
}

#[actix_web::test]
async fn a_product_is_put_by_its_sku() {
    let client = Client::new().await;
    let created = client.call(put("A%2F1%25", lamp("Lamp"))).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.json());
    let product = created.json();
    assert_eq!((&product["sku"], &product["version"], &product["available"]), (&json!("A/1%"), &json!(1), &json!(5)));
    let path = format!("/v1/products/{}", product["product_id"].as_str().expect("an id"));
    assert_eq!(created.header("location"), path);

    let (commits, entries) = (client.store.commits(), audited(&client).await);
    let same = client.call(put("A%2F1%25", lamp(" Lamp "))).await;
    assert_eq!((same.status, same.json()), (StatusCode::OK, product.clone()));
    assert_eq!((client.store.commits(), audited(&client).await), (commits, entries), "nothing is written");

    let mut dearer = lamp("Lamp");
    dearer["price"] = json!(200);
    dearer["stock"] = json!(9);
    let changed = client.call(put("A%2F1%25", dearer)).await.json();
    assert_eq!((&changed["product_id"], &changed["price"]), (&product["product_id"], &json!("200")));
    assert_eq!((&changed["version"], &changed["available"]), (&json!(2), &json!(5)), "the stock is that of the sales");
    assert_eq!(audited(&client).await, entries + 1);
    let movements = format!("/v1/admin{}/stock-movements", &path["/v1".len()..]);
    let movements = client.call(admin(get(&movements))).await.json();
    assert_eq!(movements["data"].as_array().map(Vec::len), Some(1));
    assert_eq!((&movements["data"][0]["kind"], &movements["data"][0]["quantity"]), (&json!("adjustment"), &json!(5)));
}

#[rstest]
#[case("A", json!({"name": "x", "category": "y", "price": "1", "sku": "A"}), "/sku")]
#[case("A", json!({"name": "x", "category": "y", "price": "1", "stock": -1}), "/stock")]
#[case("A", json!({"name": "x", "category": "y", "price": "1", "stock": 4_294_967_296_i64}), "/stock")]
#[case("A", json!({"category": "y", "price": "1"}), "/name")]
#[case("%07", json!({"name": "x", "category": "y", "price": "1"}), "/sku")]
#[case("%20", json!({"name": "x", "category": "y", "price": "1"}), "/sku")]
#[case("%ff", json!({"name": "x", "category": "y", "price": "1"}), "/sku")]
#[actix_web::test]
async fn an_invalid_product_is_not_put(#[case] sku: &str, #[case] body: Value, #[case] pointer: &str) {
    let client = Client::new().await;
    let answer = client.call(put(sku, body)).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "INVALID_BODY"));
    assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    assert_eq!(client.store.commits(), 0);
}

#[actix_web::test]
async fn a_sku_belongs_to_one_product() {
    let client = Client::new().await;
    let with_sku = |sku: Value| json!({"name": "Lamp", "category": "home", "price": "1", "sku": sku});
    let first = client.product(with_sku(json!(" LAMP-1 ")), 1).await;
    let second = client.product(with_sku(json!("lamp-1")), 1).await;
    let taken = client.call(admin(post("/v1/admin/products", with_sku(json!("LAMP-1"))))).await;
    assert_eq!((taken.status, taken.code().as_str()), (StatusCode::CONFLICT, "SKU_TAKEN"));
    assert_eq!((&taken.json()["sku"], &taken.json()["product_id"]), (&json!("LAMP-1"), &json!(first)));
    let change = |product: &str, sku: Value| {
        admin(send(Method::PATCH, &format!("/v1/admin/products/{product}")).set_json(json!({"sku": sku})))
    };
    assert_eq!(client.call(change(&second, json!("LAMP-1"))).await.code(), "SKU_TAKEN");
    assert_eq!(client.call(change(&first, Value::Null)).await.json().get("sku"), None);
    assert_eq!(client.call(change(&second, json!("LAMP-1"))).await.json()["sku"], "LAMP-1");
}

#[actix_web::test]
async fn a_change_of_an_old_version_is_rejected_and_not_stored() {
    let client = Client::new().await;
    let product = client.product(json!({"name": "Lamp", "category": "home", "price": "1"}), 1).await;
    let path = format!("/v1/admin/products/{product}");
    let change = |version: &str, name: &str| {
        let request = send(Method::PATCH, &path).set_json(json!({"name": name}));
        admin(request.insert_header(("If-Match", version)).insert_header(("Idempotency-Key", "rename")))
    };
    let stale = client.call(change("\"2\"", "Desk lamp")).await;
    assert_eq!((stale.status, stale.code().as_str()), (StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED"));
    assert_eq!((&stale.json()["version"], &stale.json()["retryable"]), (&json!(1), &json!(false)));
    let changed = client.call(change("\"1\"", "Desk lamp")).await;
    assert_eq!((changed.status, &changed.json()["version"]), (StatusCode::OK, &json!(2)));
    assert_eq!(changed.header("idempotent-replayed"), "");
    let replayed = client.call(change("\"1\"", "Desk lamp")).await;
    assert_eq!((replayed.body, replayed.status), (changed.body, changed.status));
    // The condition is a part of the request.
    assert_eq!(client.call(change("\"2\"", "Desk lamp")).await.code(), "IDEMPOTENCY_KEY_REUSED");
    let any = send(Method::PATCH, &path).set_json(json!({"name": "Lamp"})).insert_header(("If-Match", "*"));
    assert_eq!(client.call(admin(any)).await.json()["version"], 3);
    let none = send(Method::PATCH, &path).set_json(json!({"name": "Lamp"}));
    assert_eq!(client.call(admin(none)).await.json()["version"], 3, "without a difference there is no new version");
}

#[actix_web::test]
async fn rows_are_created_changed_and_rejected_one_by_one() {
    let client = Client::new().await;
    let first = client.call(bulk([row("A", "a"), row("B", "b")])).await;
    assert_eq!(outcomes(&first), ["created", "created"]);
    let id = first.json()["results"][0]["product_id"].clone();
    let by_id = |sku: &str| json!({"product_id": id, "sku": sku, "name": "a", "category": "home", "price": "100"});
    let mut free = row("E", "e");
    free["price"] = json!("0.5");
    free["category"] = Value::Null;
    let rows =
        [row("A", "a"), row("B", "new"), row("C", "c"), row(" C", "again"), free, json!({"name": "x"}), row("", "x")];
    let answer = client.call(bulk(rows)).await;
    let expected = ["unchanged", "changed", "created", "rejected", "rejected", "rejected", "rejected"];
    assert_eq!(outcomes(&answer), expected);
    let results = answer.json()["results"].clone();
    let errors = |index: usize| results[index]["errors"].clone();
    assert_eq!(errors(3), json!([{"pointer": "/sku", "reason": "DUPLICATE_KEY"}]));
    assert_eq!(
        errors(4),
        json!([{"pointer": "/category", "reason": "MISSING"}, {"pointer": "/price", "reason": "TOO_PRECISE"}])
    );
    assert_eq!(errors(5)[0], json!({"pointer": "/sku", "reason": "MISSING"}));
    assert_eq!(errors(6), json!([{"pointer": "/sku", "reason": "TOO_SHORT"}]));
    assert_eq!((&results[4]["code"], &results[0].get("code")), (&json!("INVALID_BODY"), &None));

    let by_ids = [by_id("B"), row("Z", "z")];
    let answer = client.call(bulk(by_ids)).await;
    assert_eq!(outcomes(&answer), ["rejected", "created"]);
    assert_eq!(answer.json()["results"][0]["code"], "SKU_TAKEN");
    assert_eq!(outcomes(&client.call(bulk([by_id("A2")])).await), ["changed"]);
    assert_eq!(outcomes(&client.call(bulk([row("A2", "a")])).await), ["unchanged"]);
    let mut unknown = by_id("NEW");
    unknown["product_id"] = json!(super::UNKNOWN);
    assert_eq!(outcomes(&client.call(bulk([unknown.clone()])).await), ["created"], "the SKU counts");
    unknown["sku"] = Value::Null;
    let answer = client.call(bulk([unknown])).await;
    assert_eq!(
        (outcomes(&answer).as_slice(), &answer.json()["results"][0]["code"]),
        (&["rejected".to_owned()][..], &json!("PRODUCT_NOT_FOUND"))
    );
}

#[actix_web::test]
async fn a_repeated_call_writes_nothing_and_a_dry_run_neither() {
    let client = Client::new().await;
    let rows = || (0..100).map(|n| row(&format!("SKU-{n}"), "Lamp"));
    let dry_run =
        || admin(post("/v1/admin/products/bulk", json!({"products": Vec::from_iter(rows()), "dry_run": true})));
    assert_eq!(outcomes(&client.call(dry_run()).await), ["created"; 100]);
    assert_eq!((client.store.commits(), audited(&client).await), (0, 0));
    assert_eq!(outcomes(&client.call(bulk(rows())).await), ["created"; 100]);
    assert_eq!(audited(&client).await, 100);
    let commits = client.store.commits();
    assert_eq!(outcomes(&client.call(bulk(rows())).await), ["unchanged"; 100]);
    assert_eq!(outcomes(&client.call(dry_run()).await), ["unchanged"; 100]);
    assert_eq!((client.store.commits(), audited(&client).await), (commits, 100));
}

#[actix_web::test]
async fn a_call_has_at_most_100_rows_and_a_mebibyte() {
    let client = Client::new().await;
    for rows in [0, 101] {
        let answer = client.call(bulk((0..rows).map(|n| row(&n.to_string(), "Lamp")))).await;
        assert_eq!(
            (answer.status, &answer.json()["errors"][0]["pointer"]),
            (StatusCode::BAD_REQUEST, &json!("/products"))
        );
    }
    let long = |n: usize, length: usize| {
        let mut row = row(&n.to_string(), "Lamp");
        row["description"] = "x".repeat(length).into();
        row
    };
    assert_eq!(outcomes(&client.call(bulk((0..100).map(|n| long(n, 10_000)))).await), ["created"; 100]);
    let answer = client.call(bulk((0..100).map(|n| long(n, 11_000)))).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE"));
    assert_eq!(client.call(kim(post("/v1/admin/products/bulk", json!({})))).await.code(), "FORBIDDEN");
    assert_eq!(client.call(admin(get("/v1/admin/products/bulk"))).await.code(), "METHOD_NOT_ALLOWED");
    assert_eq!(client.call(admin(send(Method::PATCH, "/v1/admin/products/bulk"))).await.code(), "METHOD_NOT_ALLOWED");
}

#[actix_web::test]
async fn an_export_has_every_product_and_its_import_changes_nothing() {
    let client = Client::new().await;
    let tricky = json!({
        "sku": "-1", "name": "=1+1", "description": "two\nlines, \"quoted\"", "category": "@home", "price": "100",
        "options": {"color": "red, blue"}, "status": "hidden",
    });
    client.product(tricky, 7).await;
    client.product(json!({"name": "'Without a SKU", "category": "home", "price": "1"}), 0).await;
    for hundred in 0..5 {
        let rows = (0..100).map(|n| row(&format!("SKU-{hundred}-{n}"), "램프"));
        assert_eq!(outcomes(&client.call(bulk(rows)).await), ["created"; 100]);
    }
    let export = client.call(admin(get("/v1/admin/products/export").insert_header(("Accept", "text/csv")))).await;
    assert_eq!((export.status, export.header("content-type")), (StatusCode::OK, "text/csv; charset=utf-8"));
    assert_eq!(export.header("content-disposition"), "attachment; filename=\"products.csv\"");
    let text = String::from_utf8(export.body.clone()).expect("UTF-8");
    assert!(text.contains("'=1+1") && text.contains("'@home") && text.contains("''Without a SKU"), "{text}");

    let sheet = crate::import::file::Sheet::read(&export.body).expect("a table");
    let columns = crate::import::columns::Columns::guess(sheet.headers.clone());
    let imported = crate::import::rows::rows_of(&sheet, &columns);
    assert_eq!((imported.rows.len(), imported.errors), (502, vec![]));
    for rows in imported.rows.chunks(100) {
        let answer = client.call(bulk(rows.iter().map(|row| Value::Object(row.row.clone())))).await;
        assert!(outcomes(&answer).iter().all(|outcome| outcome == "unchanged"), "{}", answer.json());
    }
}

#[actix_web::test]
async fn products_that_sell_out_are_listed() {
    let client = Client::new().await;
    for (name, stock) in [("none", 0), ("few", 3), ("many", 100)] {
        client.product(json!({"name": name, "category": "home", "price": "1"}), stock).await;
    }
    let listed = async |query: &str| {
        let list = client.call(admin(get(&format!("/v1/admin/products?sort=name&{query}")))).await.json();
        let rows = list["data"].as_array().expect("a list").iter();
        rows.map(|row| row["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("max_available=3").await, ["few", "none"]);
    assert_eq!(listed("max_available=0").await, ["none"]);
    assert_eq!(listed("max_available=").await, ["few", "many", "none"]);
    assert_eq!(client.call(admin(get("/v1/admin/products?max_available=-1"))).await.code(), "INVALID_QUERY");
    assert_eq!(client.call(get("/v1/products?max_available=3")).await.code(), "INVALID_QUERY");
}

#[actix_web::test]
async fn the_shop_is_described_to_everybody() {
    let client = Client::new().await;
    let shop = client.call(get("/v1/shop")).await;
    assert_eq!(shop.json(), json!({"currency": "KRW", "time_zone": "Asia/Seoul", "dev": true}));
    let known = get("/v1/shop").insert_header(("If-None-Match", shop.header("etag").to_owned()));
    assert_eq!(client.call(known).await.status, StatusCode::NOT_MODIFIED);
}
