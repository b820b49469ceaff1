//! Products for customers: lists, filters and popularity.

use jangteo_testkit::{Server, Shop, assert_fields, eventually, scenarios, scenarios_on_sqlite};
use serde_json::{Value, json};

use crate::{assert_utc, assert_uuid_v7, ids, names};

scenarios![
    shows_a_product_with_all_its_fields,
    products_are_readable_without_a_token,
    responds_404_for_unknown_products,
    shows_hidden_products_to_the_back_office_only,
    lists_only_products_on_sale,
    lists_sold_out_products_unless_filtered,
    filters_by_category,
    filters_by_options_and_across_names_or_within_a_name,
    finds_text_in_names_and_descriptions,
    filters_by_price_with_both_bounds_included,
    combines_filters,
    supports_every_sort_order,
    returns_the_available_quantity_at_the_time_of_the_read,
    ranks_popular_products_by_quantity_then_revenue_then_age,
    counts_popular_products_net_of_refunds_and_only_once_paid,
    counts_popular_products_over_the_requested_days,
    sorts_by_popularity_as_the_ranking_does,
];

scenarios_on_sqlite![rejects_ill_formed_queries, limits_the_days_and_the_number_of_popular_products,];

const FIELDS: [&str; 12] = [
    "product_id",
    "version",
    "name",
    "description",
    "category",
    "options",
    "price",
    "currency",
    "available",
    "status",
    "created_at",
    "updated_at",
];

async fn listed(server: &Server, query: &str) -> Vec<String> {
    names(&server.anonymous().get(format!("/v1/products?limit=100&{query}")).await.json(200)["data"])
}

async fn shows_a_product_with_all_its_fields(shop: Shop) {
    let server = shop.start().await;
    let shirt = server.product("셔츠 👕").price(19_900).stock(3);
    let shirt = shirt.with("description", "A shirt.\nOf cotton.").with("category", "clothes");
    let shirt = shirt.with("options", json!({ "color": "red", "size": "L" })).with("item_group_id", "shirt-1");
    let shirt = shirt.with("sku", "SHIRT-RED-L").create().await;
    let product = server.anonymous().get(shirt.path()).await.json(200);
    assert_fields(&product, &FIELDS, &["item_group_id", "sku"]);
    let expected = json!({
        "product_id": shirt.id,
        "sku": "SHIRT-RED-L",
        "version": 1,
        "name": "셔츠 👕",
        "description": "A shirt.\nOf cotton.",
        "category": "clothes",
        "options": { "color": "red", "size": "L" },
        "item_group_id": "shirt-1",
        "price": "19900",
        "currency": "KRW",
        "available": 3,
        "status": "on_sale",
        "created_at": product["created_at"],
        "updated_at": product["updated_at"],
    });
    assert_eq!(product, expected);
    assert_uuid_v7(&product["product_id"]);
    assert!(assert_utc(&product["created_at"]) <= assert_utc(&product["updated_at"]));
    let list = server.anonymous().get("/v1/products").await.json(200);
    assert_eq!(list["data"], json!([product]), "a list shows the same document");
}

async fn products_are_readable_without_a_token(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").create().await;
    let anonymous = server.anonymous();
    assert_eq!(anonymous.get(tea.path()).await.json(200)["options"], json!({}));
    anonymous.get("/v1/products").await.expect(200);
    anonymous.get("/v1/products/popular").await.expect(200);
    // A provided token must be valid.
    server.bearer("nonsense").get("/v1/products").await.problem(401, "UNAUTHENTICATED");
}

async fn responds_404_for_unknown_products(shop: Shop) {
    let server = shop.start().await;
    for id in ["0198f1de-0000-7000-8000-000000000000", "not-an-id", "1", "0198f1de-0000-7000-8000-00000000000"] {
        server.anonymous().get(format!("/v1/products/{id}")).await.problem(404, "PRODUCT_NOT_FOUND");
    }
}

async fn shows_hidden_products_to_the_back_office_only(shop: Shop) {
    let server = shop.start().await;
    let hidden = server.product("hidden").with("status", "hidden").create().await;
    server.anonymous().get(hidden.path()).await.problem(404, "PRODUCT_NOT_FOUND");
    server.user("kim").get(hidden.path()).await.problem(404, "PRODUCT_NOT_FOUND");
    assert_eq!(server.admin().get(hidden.path()).await.json(200)["status"], "hidden");
    let gone = server.product("gone").with("status", "discontinued").create().await;
    assert_eq!(server.anonymous().get(gone.path()).await.json(200)["status"], "discontinued");
}

async fn lists_only_products_on_sale(shop: Shop) {
    let server = shop.start().await;
    for status in ["on_sale", "hidden", "discontinued"] {
        server.product(status).with("status", status).create().await;
    }
    assert_eq!(listed(&server, "").await, ["on_sale"]);
    let list = server.admin().get("/v1/products").await.json(200);
    assert_eq!(names(&list["data"]), ["on_sale"], "the public list is the same for admins");
}

async fn lists_sold_out_products_unless_filtered(shop: Shop) {
    let server = shop.start().await;
    server.product("none").create().await;
    let last = server.product("one").stock(1).create().await;
    server.product("some").stock(5).create().await;
    assert_eq!(listed(&server, "sort=name").await, ["none", "one", "some"]);
    assert_eq!(listed(&server, "sort=name&in_stock=false").await, ["none", "one", "some"]);
    assert_eq!(listed(&server, "sort=name&in_stock=true").await, ["one", "some"]);
    server.order("kim", &last, 1).await;
    eventually("reserved items are not in stock", async || {
        (listed(&server, "sort=name&in_stock=true").await == ["some"]).then_some(())
    })
    .await;
}

async fn filters_by_category(shop: Shop) {
    let server = shop.start().await;
    server.product("shirt").with("category", "clothes").create().await;
    server.product("tea").with("category", "차 & more").create().await;
    assert_eq!(listed(&server, "category=clothes").await, ["shirt"]);
    assert_eq!(listed(&server, "category=%EC%B0%A8%20%26%20more").await, ["tea"]);
    assert_eq!(listed(&server, "category=Clothes").await, [""; 0], "a category is compared exactly");
    assert_eq!(listed(&server, "category=cloth").await, [""; 0]);
}

async fn filters_by_options_and_across_names_or_within_a_name(shop: Shop) {
    let server = shop.start().await;
    for (color, size) in [("red", "L"), ("red", "M"), ("blue", "L"), ("green", "L")] {
        let options = json!({ "color": color, "size": size });
        server.product(&format!("{color} {size}")).with("options", options).create().await;
    }
    server.product("plain").create().await;
    let cases: [(&str, &[&str]); 6] = [
        ("option=color:red", &["red L", "red M"]),
        ("option=color:red&option=color:blue", &["blue L", "red L", "red M"]),
        ("option=color:red&option=size:L", &["red L"]),
        ("option=color:red&option=color:blue&option=size:L", &["blue L", "red L"]),
        ("option=color:black", &[]),
        ("option=material:red", &[]),
    ];
    for (query, expected) in cases {
        assert_eq!(listed(&server, &format!("{query}&sort=name")).await, expected, "{query}");
    }
}

async fn finds_text_in_names_and_descriptions(shop: Shop) {
    let server = shop.start().await;
    server.product("Green Tea").with("description", "from Boseong").create().await;
    server.product("Mug").with("description", "for 100% of your tea_time").create().await;
    server.product("녹차 세트").create().await;
    let cases: [(&str, &[&str]); 8] = [
        ("q=tea", &["Green Tea", "Mug"]),
        ("q=TEA", &["Green Tea", "Mug"]),
        ("q=boseong", &["Green Tea"]),
        ("q=%EB%85%B9%EC%B0%A8", &["녹차 세트"]),
        ("q=100%25", &["Mug"]),
        ("q=a_t", &["Mug"]),
        ("q=%25", &["Mug"]),
        ("q=coffee", &[]),
    ];
    for (query, expected) in cases {
        assert_eq!(listed(&server, &format!("{query}&sort=name")).await, expected, "{query}");
    }
}

async fn filters_by_price_with_both_bounds_included(shop: Shop) {
    let server = shop.start().await;
    for price in [0, 999, 1_000, 1_001] {
        server.product(&price.to_string()).price(price).create().await;
    }
    assert_eq!(listed(&server, "sort=price&min_price=1000").await, ["1000", "1001"]);
    assert_eq!(listed(&server, "sort=price&max_price=1000").await, ["0", "999", "1000"]);
    assert_eq!(listed(&server, "sort=price&min_price=999&max_price=1000").await, ["999", "1000"]);
    assert_eq!(listed(&server, "sort=price&min_price=0&max_price=0").await, ["0"]);
}

async fn combines_filters(shop: Shop) {
    let server = shop.start().await;
    let shirt =
        |name: &str| server.product(name).with("category", "clothes").with("options", json!({ "color": "red" }));
    shirt("cheap shirt").price(500).stock(1).create().await;
    shirt("dear shirt").price(5_000).stock(1).create().await;
    shirt("sold out shirt").price(500).create().await;
    shirt("red tie").price(500).stock(1).create().await;
    let query = "category=clothes&option=color:red&q=shirt&max_price=1000&in_stock=true&sort=-price";
    assert_eq!(listed(&server, query).await, ["cheap shirt"]);
}

async fn supports_every_sort_order(shop: Shop) {
    let server = shop.start().await;
    for (name, price) in [("b", 2), ("a", 3), ("c", 1), ("B", 2)] {
        server.product(name).price(price).create().await;
    }
    let cases: [(&str, &[&str]); 5] = [
        ("", &["B", "c", "a", "b"]),
        ("sort=newest", &["B", "c", "a", "b"]),
        ("sort=price", &["c", "b", "B", "a"]),
        ("sort=-price", &["a", "B", "b", "c"]),
        ("sort=name", &["B", "a", "b", "c"]),
    ];
    for (query, expected) in cases {
        assert_eq!(listed(&server, query).await, expected, "{query}");
    }
}

async fn rejects_ill_formed_queries(shop: Shop) {
    let server = shop.start().await;
    let wrong = [
        "color=red",
        "sort=cheapest",
        "sort=name&sort=price",
        "min_price=-1",
        "min_price=abc",
        "min_price=0.5",
        "max_price=1e3",
        "in_stock=maybe",
        "option=red",
        "option=:red",
        "category=a&category=b",
        "limit=0",
        "limit=-1",
        "limit=ten",
        "limit=1.5",
        "cursor=nonsense",
    ];
    for query in wrong {
        server.anonymous().get(format!("/v1/products?{query}")).await.expect(400);
    }
    for query in ["color=red", "sort=cheapest", "min_price=abc", "in_stock=maybe", "option=red"] {
        server.anonymous().get(format!("/v1/products?{query}")).await.problem(400, "INVALID_QUERY");
    }
}

async fn returns_the_available_quantity_at_the_time_of_the_read(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").stock(3).create().await;
    let order = server.order("kim", &tea, 2).await;
    assert_eq!(server.available(&tea).await, 1);
    server.user("kim").post(order.cancellation(), json!({})).await.expect(200);
    assert_eq!(server.available(&tea).await, 3);
    server.restock(&tea, -1).await.expect(201);
    assert_eq!(server.available(&tea).await, 2);
}

/// Asserts the ranking as (rank, name, quantity), after the documented delay.
async fn ranking(server: &Server, query: &str, expected: Value) {
    eventually("the ranking follows the sales", async || {
        let popular = server.anonymous().get(format!("/v1/products/popular?{query}")).await.json(200);
        let ranks = popular["data"].as_array().expect("a list").iter();
        let ranks = ranks.map(|row| json!([row["rank"], row["product"]["name"], row["quantity_sold"]]));
        (Value::from_iter(ranks) == expected).then_some(())
    })
    .await;
}

async fn sell(
    server: &Server,
    user_id: &str,
    product: &jangteo_testkit::Product,
    quantity: u32,
) -> jangteo_testkit::Order {
    let order = server.order(user_id, product, quantity).await;
    server.pay(user_id, &order).await;
    order
}

async fn ranks_popular_products_by_quantity_then_revenue_then_age(shop: Shop) {
    let server = shop.start().await;
    server.top_up("kim", 1_000_000).await;
    // In order of creation: with equal quantity and revenue, the older product comes first.
    let mut products = Vec::new();
    for (name, price) in [("older", 100), ("younger", 100), ("dearer", 200), ("most", 10), ("unsold", 1)] {
        products.push(server.product(name).price(price).stock(100).create().await);
    }
    for (product, quantity) in products.iter().zip([2, 2, 2, 3]) {
        sell(&server, "kim", product, quantity).await;
    }
    let expected = json!([[1, "most", 3], [2, "dearer", 2], [3, "older", 2], [4, "younger", 2]]);
    ranking(&server, "", expected).await;
    let popular = server.anonymous().get("/v1/products/popular").await.json(200);
    assert_fields(&popular, &["from", "to", "data"], &[]);
    let first = &popular["data"][0];
    assert_fields(first, &["rank", "product", "quantity_sold"], &[]);
    assert_fields(&first["product"], &FIELDS, &["item_group_id", "sku"]);
    ranking(&server, "limit=2", json!([[1, "most", 3], [2, "dearer", 2]])).await;
}

async fn counts_popular_products_net_of_refunds_and_only_once_paid(shop: Shop) {
    let server = shop.start().await;
    server.top_up("kim", 100_000).await;
    let tea = server.product("tea").price(100).stock(100).create().await;
    let mug = server.product("mug").price(100).stock(100).create().await;
    sell(&server, "kim", &tea, 2).await;
    let taken_back = sell(&server, "kim", &tea, 5).await;
    server.order("kim", &mug, 9).await;
    server.user("kim").post(taken_back.cancellation(), json!({})).await.expect(200);
    ranking(&server, "", json!([[1, "tea", 2]])).await;
}

async fn counts_popular_products_over_the_requested_days(shop: Shop) {
    // Two time zones that never share a date.
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago"] {
        let server = shop.server().setting("SHOP_TIME_ZONE", zone).start().await;
        let hours = if zone == "Pacific/Kiritimati" { 14 } else { -11 };
        let offset = time::UtcOffset::from_hms(hours, 0, 0).expect("an offset");
        let today = || jangteo_testkit::now().to_offset(offset).date();
        let before = today();
        let popular = server.anonymous().get("/v1/products/popular?days=3").await.json(200);
        // Midnight may pass between the two.
        let days = [before, today()].map(|day| json!([(day - time::Duration::days(2)).to_string(), day.to_string()]));
        assert!(days.contains(&json!([popular["from"], popular["to"]])), "{popular} in {zone}");
        server.kill().await;
    }
}

async fn limits_the_days_and_the_number_of_popular_products(shop: Shop) {
    let server = shop.start().await;
    let anonymous = server.anonymous();
    for query in ["days=1", "days=30", "limit=1", "limit=101", "days=30&limit=100", "days=&limit="] {
        anonymous.get(format!("/v1/products/popular?{query}")).await.expect(200);
    }
    for query in ["days=0", "days=31", "days=-1", "days=x", "limit=0", "limit=x", "day=3"] {
        anonymous.get(format!("/v1/products/popular?{query}")).await.problem(400, "INVALID_QUERY");
    }
}

async fn sorts_by_popularity_as_the_ranking_does(shop: Shop) {
    let server = shop.start().await;
    server.top_up("kim", 100_000).await;
    let tea = server.product("tea").price(10).stock(100).create().await;
    server.product("unsold").create().await;
    let mug = server.product("mug").price(10).stock(100).create().await;
    sell(&server, "kim", &tea, 1).await;
    sell(&server, "kim", &mug, 4).await;
    eventually("the list follows the sales", async || {
        (listed(&server, "sort=popular").await == ["mug", "tea", "unsold"]).then_some(())
    })
    .await;
    let list = server.anonymous().get("/v1/products?sort=popular&limit=100").await.json(200);
    assert_eq!(ids(&list["data"], "product_id").len(), 3);
}
