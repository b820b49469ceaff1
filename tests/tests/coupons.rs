//! Campaigns and coupons.

use jangteo_testkit::{Shop, assert_fields, eventually, now, rfc3339, scenarios};
use serde_json::{Value, json};
use time::Duration;

use crate::{assert_utc, assert_uuid_v7, ids, names};

scenarios![
    shows_campaigns_with_the_remaining_quantity,
    responds_404_for_unknown_campaigns,
    issues_a_coupon_with_the_terms_of_its_campaign,
    issues_one_coupon_per_user,
    issues_no_more_than_the_quantity,
    checks_rejections_in_the_documented_order,
    does_not_issue_before_the_campaign_opens,
    does_not_issue_after_the_campaign_closed,
    counts_the_days_of_validity_from_the_issue,
    a_coupon_retains_its_terms_at_issue,
    issues_more_once_the_quantity_is_raised,
    lists_coupons_by_status,
    expires_coupons_by_the_clock,
    lists_only_the_users_own_coupons,
    revokes_a_coupon,
];

const CAMPAIGN: [&str; 6] = ["campaign_id", "name", "discount", "quantity", "issued", "remaining"];
const COUPON: [&str; 8] =
    ["coupon_id", "campaign_id", "user_id", "name", "discount", "status", "valid_until", "issued_at"];

async fn shows_campaigns_with_the_remaining_quantity(shop: Shop) {
    let server = shop.start().await;
    // Times have microsecond precision.
    let closes = (now() + Duration::days(1)).replace_nanosecond(123_456_000).expect("below a second");
    let closes = rfc3339(closes);
    let first = server.campaign("fixed").fixed(3_000).quantity(2).with("min_order_amount", "10000");
    let first = first.with("issue_closes_at", closes.clone()).create().await;
    let second = server.campaign("percent").percent_capped(15, 5_000).valid_for(Duration::days(3)).create().await;
    server.take_coupon("kim", &first).await;

    let campaign = server.anonymous().get(first.path()).await.json(200);
    let times = ["issue_opens_at", "issue_closes_at"];
    let optional = ["min_order_amount", "valid_until", "valid_days", "currency", "created_at", "updated_at"];
    assert_fields(&campaign, &[&CAMPAIGN[..], &times].concat(), &optional);
    assert_eq!(campaign["campaign_id"], first.id);
    assert_uuid_v7(&campaign["campaign_id"]);
    assert_eq!(campaign["discount"], json!({ "kind": "fixed", "amount": "3000" }));
    assert_eq!(campaign["min_order_amount"], "10000");
    assert_eq!([&campaign["quantity"], &campaign["issued"], &campaign["remaining"]], [&json!(2), &json!(1), &json!(1)]);
    assert_eq!(campaign["valid_days"], 7);
    assert_eq!(campaign["valid_until"], Value::Null);
    assert_eq!(assert_utc(&campaign["issue_closes_at"]), assert_utc(&json!(closes)));

    let list = server.anonymous().get("/v1/coupon-campaigns").await.json(200);
    assert_eq!(ids(&list["data"], "campaign_id"), [second.id, first.id], "the newest first");
    assert_eq!(list["data"][1], campaign);
    assert_eq!(list["data"][0]["discount"], json!({ "kind": "percent", "percent": 15, "cap": "5000" }));
    assert_utc(&list["data"][0]["valid_until"]);
    assert_eq!(list["next_cursor"], Value::Null);
}

async fn responds_404_for_unknown_campaigns(shop: Shop) {
    let server = shop.start().await;
    for id in ["0198f1de-0000-7000-8000-000000000000", "nonsense"] {
        let path = format!("/v1/coupon-campaigns/{id}");
        server.anonymous().get(&path).await.problem(404, "CAMPAIGN_NOT_FOUND");
        server.user("kim").post(format!("{path}/coupons"), json!({})).await.problem(404, "CAMPAIGN_NOT_FOUND");
    }
}

async fn issues_a_coupon_with_the_terms_of_its_campaign(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("Welcome 환영").percent_capped(10, 2_000).with("min_order_amount", 5_000);
    let until = now() + Duration::days(2);
    let campaign = campaign.without("valid_days").with("valid_until", rfc3339(until)).create().await;
    let kim = server.user("kim");
    let coupon = kim.post(format!("{}/coupons", campaign.path()), json!({})).await.json(201);
    assert_fields(&coupon, &COUPON, &["min_order_amount", "used_at", "order_id", "currency"]);
    assert_uuid_v7(&coupon["coupon_id"]);
    assert_eq!(coupon["campaign_id"], campaign.id);
    assert_eq!(coupon["user_id"], "kim");
    assert_eq!(coupon["name"], "Welcome 환영");
    assert_eq!(coupon["discount"], json!({ "kind": "percent", "percent": 10, "cap": "2000" }));
    assert_eq!(coupon["min_order_amount"], "5000");
    assert_eq!(coupon["status"], "usable");
    assert_eq!([&coupon["used_at"], &coupon["order_id"]], [&Value::Null, &Value::Null]);
    assert_eq!(assert_utc(&coupon["valid_until"]).unix_timestamp(), until.unix_timestamp());
    let list = kim.get("/v1/users/kim/coupons").await.json(200);
    assert_eq!(list["data"], json!([coupon]), "a list shows the same document");
}

async fn issues_one_coupon_per_user(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("one each").create().await;
    let other = server.campaign("another").create().await;
    server.take_coupon("kim", &campaign).await;
    let path = format!("{}/coupons", campaign.path());
    server.user("kim").post(&path, json!({})).await.problem(409, "COUPON_ALREADY_ISSUED");
    server.take_coupon("kim", &other).await;
    server.take_coupon("lee", &campaign).await;
    assert_eq!(server.anonymous().get(campaign.path()).await.json(200)["issued"], 2);
}

async fn issues_no_more_than_the_quantity(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("two").quantity(2).create().await;
    server.take_coupon("kim", &campaign).await;
    server.take_coupon("lee", &campaign).await;
    let path = format!("{}/coupons", campaign.path());
    server.user("park").post(&path, json!({})).await.problem(409, "COUPON_SOLD_OUT");
    assert_eq!(server.anonymous().get(campaign.path()).await.json(200)["remaining"], 0);
}

async fn checks_rejections_in_the_documented_order(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("last one").quantity(1).create().await;
    let path = format!("{}/coupons", campaign.path());
    server.take_coupon("kim", &campaign).await;
    // The campaign is sold out as well, but kim's coupon is checked first.
    server.user("kim").post(&path, json!({})).await.problem(409, "COUPON_ALREADY_ISSUED");
    server.user("lee").post(&path, json!({})).await.problem(409, "COUPON_SOLD_OUT");
    // A closed campaign is checked before both.
    let closed = json!({ "issue_closes_at": rfc3339(now() - Duration::minutes(1)) });
    server.admin().patch(campaign.admin_path(), closed).await.expect(200);
    server.user("kim").post(&path, json!({})).await.problem(409, "CAMPAIGN_CLOSED");
    server.user("lee").post(&path, json!({})).await.problem(409, "CAMPAIGN_CLOSED");
}

async fn does_not_issue_before_the_campaign_opens(shop: Shop) {
    let server = shop.start().await;
    let opens = rfc3339(now() + Duration::seconds(2));
    let campaign = server.campaign("soon").with("issue_opens_at", opens).create().await;
    let path = format!("{}/coupons", campaign.path());
    server.user("kim").post(&path, json!({})).await.problem(409, "CAMPAIGN_NOT_OPEN");
    eventually("the campaign opens", async || {
        let response = server.user("kim").post(&path, json!({})).await;
        if response.status == 409 {
            response.problem(409, "CAMPAIGN_NOT_OPEN");
        }
        (response.status == 201).then_some(())
    })
    .await;
}

async fn does_not_issue_after_the_campaign_closed(shop: Shop) {
    let server = shop.start().await;
    let closes = now() + Duration::seconds(2);
    let campaign = server.campaign("short").quantity(1_000).with("issue_closes_at", rfc3339(closes)).create().await;
    let path = format!("{}/coupons", campaign.path());
    let mut users = (0..).map(|number| format!("user-{number}"));
    eventually("the campaign closes", async || {
        let user = users.next().expect("numbers do not end");
        let response = server.user(&user).post(&path, json!({})).await;
        if response.status == 201 {
            let coupon = response.json(201);
            assert!(assert_utc(&coupon["issued_at"]) < closes, "issued after the campaign closed: {coupon}");
            return None;
        }
        response.problem(409, "CAMPAIGN_CLOSED");
        Some(())
    })
    .await;
    assert!(now() >= closes, "closed too early");
}

async fn counts_the_days_of_validity_from_the_issue(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("a week").with("valid_days", 7).create().await;
    let coupon = server.user("kim").post(format!("{}/coupons", campaign.path()), json!({})).await.json(201);
    let lasts = assert_utc(&coupon["valid_until"]) - assert_utc(&coupon["issued_at"]);
    assert_eq!(lasts, Duration::days(7));
}

async fn a_coupon_retains_its_terms_at_issue(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("terms").fixed(500).quantity(1).create().await;
    server.take_coupon("kim", &campaign).await;
    let before = server.user("kim").get("/v1/users/kim/coupons").await.json(200);
    let changed = json!({ "quantity": 5, "issue_closes_at": rfc3339(now() - Duration::minutes(1)) });
    server.admin().patch(campaign.admin_path(), changed).await.expect(200);
    let after = server.user("kim").get("/v1/users/kim/coupons").await.json(200);
    assert_eq!(before, after);
}

async fn issues_more_once_the_quantity_is_raised(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("raised").quantity(1).create().await;
    let path = format!("{}/coupons", campaign.path());
    server.take_coupon("kim", &campaign).await;
    server.user("lee").post(&path, json!({})).await.problem(409, "COUPON_SOLD_OUT");
    server.admin().patch(campaign.admin_path(), json!({ "quantity": 2 })).await.expect(200);
    server.take_coupon("lee", &campaign).await;
    server.user("park").post(&path, json!({})).await.problem(409, "COUPON_SOLD_OUT");
}

async fn lists_coupons_by_status(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").price(2_000).stock(1).create().await;
    server.top_up("kim", 10_000).await;
    for name in ["used", "revoked", "usable"] {
        let campaign = server.campaign(name).create().await;
        let coupon = server.take_coupon("kim", &campaign).await;
        match name {
            "used" => {
                let order = server.order("kim", &tea, 1).await;
                server.user("kim").post(order.payment(), json!({ "coupon_id": coupon })).await.expect(201);
            }
            "revoked" => {
                server.admin().post(format!("/v1/admin/coupons/{coupon}/revocation"), json!({})).await.expect(200);
            }
            _ => {}
        }
    }
    let kim = server.user("kim");
    let cases: [(&str, &[&str]); 6] = [
        ("", &["usable"]),
        ("?status=usable", &["usable"]),
        ("?status=used", &["used"]),
        ("?status=revoked", &["revoked"]),
        ("?status=expired", &[]),
        ("?status=all", &["usable", "revoked", "used"]),
    ];
    for (query, expected) in cases {
        let list = kim.get(format!("/v1/users/kim/coupons{query}")).await.json(200);
        assert_eq!(names(&list["data"]), expected, "{query}");
        for coupon in list["data"].as_array().expect("a list") {
            assert_eq!(coupon["status"], coupon["name"], "{query}");
        }
    }
    let used = kim.get("/v1/users/kim/coupons?status=used").await.json(200);
    assert_utc(&used["data"][0]["used_at"]);
    assert_uuid_v7(&used["data"][0]["order_id"]);
    kim.get("/v1/users/kim/coupons?status=lost").await.problem(400, "INVALID_QUERY");
}

async fn expires_coupons_by_the_clock(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("short").valid_for(Duration::seconds(2)).create().await;
    let coupon = server.take_coupon("kim", &campaign).await;
    eventually("the coupon expires", async || {
        let expired = server.user("kim").get("/v1/users/kim/coupons?status=expired").await.json(200);
        (ids(&expired["data"], "coupon_id") == [coupon.as_str()]).then_some(())
    })
    .await;
    let usable = server.user("kim").get("/v1/users/kim/coupons").await.json(200);
    assert_eq!(usable["data"], json!([]));
    let all = server.user("kim").get("/v1/users/kim/coupons?status=all").await.json(200);
    assert_eq!(all["data"][0]["status"], "expired");
}

async fn lists_only_the_users_own_coupons(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("mine").create().await;
    server.take_coupon("kim", &campaign).await;
    assert_eq!(server.user("lee").get("/v1/users/lee/coupons").await.json(200)["data"], json!([]));
    let seen = server.admin().get("/v1/users/kim/coupons").await.json(200);
    assert_eq!(seen["data"].as_array().map(Vec::len), Some(1), "the back office sees them");
}

async fn revokes_a_coupon(shop: Shop) {
    let server = shop.start().await;
    let campaign = server.campaign("revoked").create().await;
    let coupon = server.take_coupon("kim", &campaign).await;
    let path = format!("/v1/admin/coupons/{coupon}/revocation");
    server.user("kim").post(&path, json!({})).await.problem(403, "FORBIDDEN");
    assert_eq!(server.admin().post(&path, json!({})).await.json(200)["status"], "revoked");
    let again = server.admin().post(&path, json!({})).await.problem(409, "COUPON_NOT_USABLE");
    assert_eq!(again["reason"], "REVOKED");
    let unknown = "/v1/admin/coupons/0198f1de-0000-7000-8000-000000000000/revocation";
    server.admin().post(unknown, json!({})).await.problem(404, "COUPON_NOT_FOUND");
    let taken = server.user("kim").post(format!("{}/coupons", campaign.path()), json!({})).await;
    taken.problem(409, "COUPON_ALREADY_ISSUED");
}
