//! Lists: pages, cursors, and iteration while the list grows.

use std::collections::BTreeSet;

use jangteo_testkit::{Caller, Server, Shop, eventually, scenarios, scenarios_on_sqlite};
use serde_json::{Value, json};

use crate::ids;

scenarios![
    walks_every_list_without_missing_or_repeating,
    walks_every_sort_order_of_products,
    walks_while_the_list_grows,
    walks_while_the_sort_keys_of_earlier_items_change,
    ends_exactly_at_the_end,
];

scenarios_on_sqlite![
    limits_the_page_size,
    returns_twenty_items_by_default,
    rejects_a_cursor_that_was_tampered_with,
    rejects_a_cursor_with_other_filters,
    accepts_a_cursor_of_another_server,
];

/// A list and the id member of its documents.
struct List {
    caller: Caller,
    path: String,
    member: &'static str,
}

impl List {
    fn page_path(&self, limit: u32, cursor: Option<&str>) -> String {
        let and = if self.path.contains('?') { '&' } else { '?' };
        let cursor = cursor.map_or(String::new(), |cursor| format!("&cursor={cursor}"));
        format!("{}{and}limit={limit}{cursor}", self.path)
    }

    async fn page(&self, limit: u32, cursor: Option<&str>) -> (Vec<String>, Option<String>) {
        let page = self.caller.get(self.page_path(limit, cursor)).await.json(200);
        let next = page.as_object().expect("an object").get("next_cursor").expect("next_cursor is always present");
        (ids(&page["data"], self.member), next.as_str().map(str::to_owned))
    }

    async fn walk(&self, limit: u32) -> Vec<String> {
        let (mut all, mut cursor) = self.page(limit, None).await;
        while let Some(next) = cursor {
            let (page, after) = self.page(limit, Some(&next)).await;
            assert!(!page.is_empty() && page.len() <= limit as usize, "{} returned {page:?}", self.path);
            all.extend(page);
            cursor = after;
        }
        all
    }

    #[track_caller]
    fn assert_distinct(&self, all: &[String]) {
        let distinct: BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{} has duplicates: {all:?}", self.path);
    }
}

/// All lists, with at least seven items each.
async fn lists(server: &Server) -> Vec<List> {
    server.top_up("kim", 1_000).await;
    let mut last_product = None;
    for number in 0..7 {
        let product = server.product(&format!("product {}", number % 3)).price(10 + number / 3).stock(5).create().await;
        server.top_up("kim", 100).await;
        server.order("kim", &product, 1).await;
        let campaign = server.campaign("campaign").create().await;
        server.take_coupon("kim", &campaign).await;
        last_product = Some(product);
    }
    let product = last_product.expect("seven products");
    for _ in 0..5 {
        server.restock(&product, 1).await.expect(201);
    }
    let campaign = server.campaign("many").create().await;
    let popular = server.product("popular").price(1).stock(7).create().await;
    for user in ["a", "b", "c", "d", "e", "f", "g"] {
        server.take_coupon(user, &campaign).await;
        server.order(user, &popular, 1).await;
        let admin = server.admin();
        let run = admin.post("/v1/admin/verifications", json!({})).await.expect(202);
        let run = run.header("location").expect("a Location").to_owned();
        eventually("the verification ends", async || {
            (admin.get(&run).await.json(200)["status"] != "running").then_some(())
        })
        .await;
    }
    let (kim, admin, anonymous) = (server.user("kim"), server.admin(), server.anonymous());
    let broken = server.product("broken").price(1).stock(7).create().await;
    let order = server.order("kim", &broken, 7).await;
    server.pay("kim", &order).await;
    let refunds = format!("/v1/admin/orders/{}/refunds", order.id);
    for _ in 0..7 {
        let refund = json!({ "lines": [broken.line(1)], "restock": false, "reason": "broken" });
        admin.post(&refunds, refund).await.expect(201);
    }
    let list = |caller: &Caller, path: &str, member| List { caller: caller.clone(), path: path.to_owned(), member };
    vec![
        list(&kim, "/v1/users/kim/points/entries", "entry_id"),
        list(&kim, "/v1/users/kim/orders", "order_id"),
        list(&kim, "/v1/users/kim/orders?status=pending_payment", "order_id"),
        list(&kim, "/v1/users/kim/coupons", "coupon_id"),
        list(&kim, "/v1/users/kim/coupons?status=all", "coupon_id"),
        list(&anonymous, "/v1/products", "product_id"),
        list(&anonymous, "/v1/coupon-campaigns", "campaign_id"),
        list(&admin, "/v1/admin/products", "product_id"),
        list(&admin, &format!("{}/stock-movements", product.admin_path()), "movement_id"),
        list(&kim, &format!("/v1/orders/{}/refunds", order.id), "refund_id"),
        list(&admin, &format!("/v1/admin/coupon-campaigns/{}/coupons", campaign.id), "coupon_id"),
        list(&admin, &format!("/v1/admin/orders?product_id={}", popular.id), "order_id"),
        list(&admin, "/v1/admin/verifications", "verification_id"),
    ]
}

async fn walks_every_list_without_missing_or_repeating(shop: Shop) {
    let server = shop.start().await;
    for list in lists(&server).await {
        let whole = list.walk(100).await;
        list.assert_distinct(&whole);
        assert!(whole.len() >= 7, "{}", list.path);
        for limit in [1, 2, 3, 7] {
            assert_eq!(list.walk(limit).await, whole, "{} by {limit}", list.path);
        }
    }
}

async fn walks_every_sort_order_of_products(shop: Shop) {
    let server = shop.start().await;
    server.top_up("kim", 1_000).await;
    // Many products have equal sort keys.
    for number in 0..9 {
        let name = ["가", "b", "B"][number % 3];
        let product = server.product(name).price([10, 20][number % 2]).stock(9).create().await;
        if number % 2 == 0 {
            let order = server.order("kim", &product, 1).await;
            server.pay("kim", &order).await;
        }
    }
    for sort in ["newest", "price", "-price", "name", "popular"] {
        let path = format!("/v1/products?sort={sort}");
        let list = List { caller: server.anonymous(), path, member: "product_id" };
        let whole = list.walk(100).await;
        assert_eq!(whole.len(), 9, "{sort}");
        list.assert_distinct(&whole);
        for limit in [1, 2, 4] {
            assert_eq!(list.walk(limit).await, whole, "{sort} by {limit}");
        }
    }
}

async fn walks_while_the_list_grows(shop: Shop) {
    let server = shop.start().await;
    for list in lists(&server).await {
        let before = list.walk(100).await;
        let (mut seen, mut cursor) = list.page(2, None).await;
        while let Some(next) = cursor {
            // New items between each two pages.
            let product = server.product("product 1").price(10).stock(1).create().await;
            server.top_up("kim", 10).await;
            let order = server.order("kim", &product, 1).await;
            let campaign = server.campaign("campaign").create().await;
            server.take_coupon("kim", &campaign).await;
            let (page, after) = list.page(2, Some(&next)).await;
            seen.extend(page);
            cursor = after;
            // Cancelled orders stay in the list but do not count as open.
            server.user("kim").post(order.cancellation(), json!({})).await.expect(200);
        }
        list.assert_distinct(&seen);
        let seen: BTreeSet<String> = seen.into_iter().collect();
        let missed: Vec<_> = before.iter().filter(|id| !seen.contains(*id)).collect();
        assert!(missed.is_empty(), "{} missed {missed:?}", list.path);
    }
}

async fn walks_while_the_sort_keys_of_earlier_items_change(shop: Shop) {
    let server = shop.start().await;
    let mut products = Vec::new();
    for number in 0..8 {
        products.push(server.product(&format!("{number}")).price(100 + number).create().await);
    }
    let path = "/v1/products?sort=price".to_owned();
    let list = List { caller: server.anonymous(), path, member: "product_id" };
    let (first, cursor) = list.page(3, None).await;
    // The sort keys of listed items change or the items disappear. The rest of the list is unaffected.
    server.admin().patch(products[0].admin_path(), json!({ "price": "1" })).await.expect(200);
    server.admin().patch(products[1].admin_path(), json!({ "status": "hidden" })).await.expect(200);
    server.admin().patch(products[2].admin_path(), json!({ "status": "hidden" })).await.expect(200);
    let (second, _) = list.page(100, cursor.as_deref()).await;
    let expected: Vec<String> = products.iter().map(|product| product.id.clone()).collect();
    assert_eq!([first, second].concat(), expected);
}

async fn limits_the_page_size(shop: Shop) {
    let server = shop.start().await;
    let mut calls = Vec::new();
    for _ in 0..102 {
        let body = json!({ "name": "x", "category": "y", "price": "1" });
        calls.push(server.admin().post("/v1/admin/products", body).into_future());
    }
    for response in futures_util::future::join_all(calls).await {
        response.expect(201);
    }
    let length = async |limit: &str| {
        let list = server.anonymous().get(format!("/v1/products?limit={limit}")).await.json(200);
        list["data"].as_array().map(Vec::len)
    };
    assert_eq!(length("1").await, Some(1));
    assert_eq!(length("100").await, Some(100));
    for above in ["101", "1000", "4294967295", "18446744073709551615"] {
        assert_eq!(length(above).await, Some(100), "{above} is capped to 100");
    }
    for wrong in ["0", "-1", "-100", "ten", "1.5", "1e1", "0x1"] {
        server.anonymous().get(format!("/v1/products?limit={wrong}")).await.problem(400, "INVALID_QUERY");
    }
}

async fn returns_twenty_items_by_default(shop: Shop) {
    let server = shop.start().await;
    for _ in 0..21 {
        server.top_up("kim", 1).await;
    }
    let list = server.user("kim").get("/v1/users/kim/points/entries").await.json(200);
    assert_eq!(list["data"].as_array().map(Vec::len), Some(20));
    assert!(list["next_cursor"].is_string());
}

async fn rejects_a_cursor_that_was_tampered_with(shop: Shop) {
    let server = shop.start().await;
    for list in lists(&server).await {
        let (_, cursor) = list.page(2, None).await;
        let cursor = cursor.expect("a further page");
        let flipped = |index: usize| {
            let mut bytes = cursor.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).expect("it is ASCII")
        };
        let tampered = [
            flipped(0),
            flipped(cursor.len() / 2),
            cursor[..cursor.len() - 3].to_owned(),
            format!("{cursor}AAAA"),
            "AAAA".to_owned(),
            "%00".to_owned(),
            "null".to_owned(),
        ];
        for wrong in tampered {
            let response = list.caller.get(list.page_path(2, Some(&wrong))).await;
            response.problem(400, "INVALID_CURSOR");
        }
    }
}

async fn rejects_a_cursor_with_other_filters(shop: Shop) {
    let server = shop.start().await;
    let lists = lists(&server).await;
    let mut cursors = Vec::new();
    for list in &lists {
        cursors.push(list.page(2, None).await.1.expect("a further page"));
    }
    // A cursor of another list.
    for (list, index) in lists.iter().zip(0..) {
        let foreign = &cursors[(index + 1) % cursors.len()];
        list.caller.get(list.page_path(2, Some(foreign))).await.problem(400, "INVALID_CURSOR");
    }
    let anonymous = server.anonymous();
    let filters = ["q=product", "category=test", "in_stock=true", "min_price=1", "sort=name", "option=a:b"];
    for filter in filters {
        let path = format!("/v1/products?limit=2&cursor={}&{filter}", cursors[5]);
        anonymous.get(path).await.problem(400, "INVALID_CURSOR");
    }
    let path = format!("/v1/users/kim/orders?limit=2&status=paid&cursor={}", cursors[1]);
    server.user("kim").get(path).await.problem(400, "INVALID_CURSOR");
    // The limit is not a filter.
    anonymous.get(format!("/v1/products?limit=3&cursor={}", cursors[5])).await.expect(200);
    // Another user's list is another list.
    for _ in 0..3 {
        server.top_up("lee", 1).await;
    }
    let path = format!("/v1/users/lee/points/entries?cursor={}", cursors[0]);
    server.user("lee").get(path).await.problem(400, "INVALID_CURSOR");
}

async fn accepts_a_cursor_of_another_server(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    for _ in 0..5 {
        one.top_up("kim", 1).await;
    }
    let list = |server: &Server| List {
        caller: server.user("kim"),
        path: "/v1/users/kim/points/entries".to_owned(),
        member: "entry_id",
    };
    let (first, cursor) = list(&one).page(2, None).await;
    let (rest, _) = list(&other).page(100, cursor.as_deref()).await;
    assert_eq!([first, rest].concat(), list(&one).walk(100).await);
}

async fn ends_exactly_at_the_end(shop: Shop) {
    let server = shop.start().await;
    for _ in 0..4 {
        server.top_up("kim", 1).await;
    }
    let kim = server.user("kim");
    let page = kim.get("/v1/users/kim/points/entries?limit=4").await.json(200);
    assert_eq!((page["data"].as_array().map(Vec::len), &page["next_cursor"]), (Some(4), &Value::Null));
    let page = kim.get("/v1/users/kim/points/entries?limit=3").await.json(200);
    let next = page["next_cursor"].as_str().expect("a further page");
    let page = kim.get(format!("/v1/users/kim/points/entries?limit=3&cursor={next}")).await.json(200);
    assert_eq!((page["data"].as_array().map(Vec::len), &page["next_cursor"]), (Some(1), &Value::Null));
}
