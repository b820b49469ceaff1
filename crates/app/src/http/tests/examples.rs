//! The examples of the document are true: a server accepts each request, and its response has the shape of the example.

use std::collections::BTreeSet;

use super::documented::OPERATIONS;
use super::*;
use crate::http::openapi::example_of;

/// The product of the examples.
const PRODUCT: &str = "0199b2a4-7c10-7d3e-8f21-5a6b7c8d9e01";
/// Without an example: Prometheus text, the document itself, and a CSV file.
const WITHOUT_EXAMPLE: [&str; 3] = ["showMetrics", "showDocument", "exportProducts"];

/// Sends the examples of one operation after the other.
struct Tour {
    client: Client,
    /// The product in place of the one of the examples.
    product: String,
    called: BTreeSet<String>,
}

impl Tour {
    /// Sends the example of an operation to the path; returns the response.
    async fn call(&mut self, operation_id: &str, path: &str) -> Value {
        let operation = OPERATIONS.iter().find(|one| one.id == operation_id).expect("an operation");
        let example = example_of(operation_id).unwrap_or_else(|| panic!("{operation_id} has no example"));
        let request = send(operation.method.clone(), path);
        let request = match &example.request {
            Some(body) => {
                let body = body.to_string().replace(PRODUCT, &self.product);
                request.insert_header(header::ContentType::json()).set_payload(body)
            }
            None => request,
        };
        let request = if path.starts_with("/v1/admin") { admin(request) } else { kim(request) };
        let answer = self.client.call(request).await;
        assert!(answer.status.is_success(), "{operation_id}: {}", answer.json());
        let actual = answer.json();
        if let Some(path) = difference(&example.response, &actual) {
            panic!("{operation_id}: {path} differs from the example: {actual:#}");
        }
        self.called.insert(operation_id.to_owned());
        actual
    }
}

/// The first place where the response differs in shape: in members or JSON types. An array has the shape of an example
/// if each of its items has the shape of one of the example's.
fn difference(example: &Value, actual: &Value) -> Option<String> {
    match (example, actual) {
        (Value::Object(example), Value::Object(actual)) => {
            let names: BTreeSet<&String> = example.keys().chain(actual.keys()).collect();
            names.into_iter().find_map(|name| match (example.get(name), actual.get(name)) {
                (Some(example), Some(actual)) => difference(example, actual).map(|path| format!("/{name}{path}")),
                _ => Some(format!("/{name}")),
            })
        }
        (Value::Array(example), Value::Array(actual)) => {
            let is_known = |item: &Value| example.iter().any(|example| difference(example, item).is_none());
            let unknown = actual.iter().position(|item| !is_known(item));
            let unused = (actual.is_empty() && !example.is_empty()).then_some(0);
            unknown.or(unused).map(|index| format!("/{index}"))
        }
        (Value::Null, Value::Null)
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_)) => None,
        _ => Some(String::new()),
    }
}

fn id<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().expect("an id")
}

#[actix_web::test]
async fn every_example_is_true() {
    let mut tour = Tour { client: Client::new().await, product: String::new(), called: BTreeSet::new() };
    let product = tour.call("createProduct", "/v1/admin/products").await;
    tour.product = id(&product, "product_id").to_owned();
    let admin_product = format!("/v1/admin/products/{}", tour.product);
    tour.call("changeProduct", &admin_product).await;
    tour.call("adjustStock", &format!("{admin_product}/stock-movements")).await;
    tour.call("listAuditEntries", "/v1/admin/audit-log?limit=1").await;
    tour.call("listStockMovements", &format!("{admin_product}/stock-movements")).await;
    tour.call("listAllProducts", "/v1/admin/products").await;
    tour.call("listProducts", "/v1/products").await;
    tour.call("showProduct", &format!("/v1/products/{}", tour.product)).await;

    tour.call("putProduct", "/v1/admin/products/by-sku/MUG-BLUE").await;
    tour.call("putProducts", "/v1/admin/products/bulk").await;
    tour.call("showShop", "/v1/shop").await;

    let campaign = tour.call("createCampaign", "/v1/admin/coupon-campaigns").await;
    let campaign = format!("coupon-campaigns/{}", id(&campaign, "campaign_id"));
    tour.call("changeCampaign", &format!("/v1/admin/{campaign}")).await;
    tour.call("listCampaigns", "/v1/coupon-campaigns").await;
    tour.call("showCampaign", &format!("/v1/{campaign}")).await;
    tour.call("issueCoupon", &format!("/v1/{campaign}/coupons")).await;
    tour.call("listCoupons", "/v1/users/kim/coupons").await;
    tour.call("listCouponsOfCampaign", &format!("/v1/admin/{campaign}/coupons")).await;
    tour.call("issueCouponToUser", &format!("/v1/admin/{campaign}/coupons")).await;

    tour.call("topUpPoints", "/v1/users/kim/points/top-ups").await;
    tour.call("showPoints", "/v1/users/kim/points").await;
    tour.call("adjustPoints", "/v1/admin/users/kim/points/adjustments").await;

    tour.call("quoteOrder", "/v1/orders/quote").await;
    let order = tour.call("placeOrder", "/v1/orders").await;
    let order = format!("orders/{}", id(&order, "order_id"));
    tour.call("showOrder", &format!("/v1/{order}")).await;
    tour.call("payOrder", &format!("/v1/{order}/payment")).await;
    tour.call("listOrders", "/v1/users/kim/orders").await;
    tour.call("listAllOrders", "/v1/admin/orders").await;
    tour.call("listPointEntries", "/v1/users/kim/points/entries").await;
    tour.call("listPopularProducts", "/v1/products/popular").await;
    tour.call("refundOrder", &format!("/v1/admin/{order}/refunds")).await;
    tour.call("listRefunds", &format!("/v1/{order}/refunds")).await;
    tour.call("showTimeline", &format!("/v1/admin/{order}/timeline")).await;
    let events = tour.call("listEvents", "/v1/admin/events").await;
    tour.call("redeliverDeadEvents", "/v1/admin/events/redelivery?status=dead").await;
    let event = id(&events["data"][0], "event_id");
    tour.call("redeliverEvent", &format!("/v1/admin/events/{event}/redelivery")).await;
    let second = tour.call("placeOrder", "/v1/orders").await;
    tour.call("cancelOrder", &format!("/v1/orders/{}/cancellation", id(&second, "order_id"))).await;
    let issued = tour.client.call(lee(send(Method::POST, &format!("/v1/{campaign}/coupons")))).await.json();
    tour.call("revokeCoupon", &format!("/v1/admin/coupons/{}/revocation", id(&issued, "coupon_id"))).await;

    let day = "from=2030-01-01T00:00:00Z&to=2030-01-01T01:00:00Z";
    tour.call("showStatistics", &format!("/v1/admin/statistics?{day}")).await;
    let run = tour.call("startVerification", "/v1/admin/verifications").await;
    let run = format!("/v1/admin/verifications/{}", id(&run, "verification_id"));
    while tour.client.call(admin(get(&run))).await.json()["status"] == "running" {
        tokio::task::yield_now().await;
    }
    tour.call("showVerification", &run).await;
    tour.call("listVerifications", "/v1/admin/verifications").await;
    tour.call("showOverview", "/v1/admin/overview").await;
    // At the last call of kim: the list is read again at once.
    tour.call("revokeTokens", "/v1/admin/token-revocations").await;
    tour.call("listTokenRevocations", "/v1/admin/token-revocations").await;
    tour.call("verifyBooks", "/v1/admin/verification").await;
    tour.call("live", "/livez").await;
    tour.call("ready", "/readyz").await;

    let operations = OPERATIONS.iter().map(|one| one.id.clone());
    let with_example: BTreeSet<_> = operations.filter(|id| !WITHOUT_EXAMPLE.contains(&id.as_str())).collect();
    assert_eq!(tour.called, with_example);
}
