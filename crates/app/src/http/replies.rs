//! The success of each command: a pure function of the domain's reply.

use actix_web::http::StatusCode;
use serde::Serialize;
use serde_json::json;

use jangteo_domain::command::Operation;
use jangteo_domain::{Currency, Reply};

use crate::http::admin::events::EventResponse;
use crate::http::admin::points::PointAdjustmentResponse;
use crate::http::admin::refunds::RefundResponse;
use crate::http::admin::stocks::StockMovementResponse;
use crate::http::admin::token_revocations::TokenRevocationResponse;
use crate::http::api::coupons::{CampaignResponse, CouponResponse};
use crate::http::api::orders::OrderResponse;
use crate::http::api::payments::PaymentResponse;
use crate::http::api::points::PointTopUpResponse;
use crate::http::api::products::ProductResponse;
use crate::http::respond::answer::Success;

/// The success of a reply, with amounts in that currency.
pub fn success(reply: &Reply, currency: Currency) -> Success {
    match reply {
        Reply::PointsToppedUp(entry) => {
            created(format!("/v1/users/{}/points/entries", entry.user_id), PointTopUpResponse::of(entry, currency))
        }
        Reply::PointsAdjusted { entry, reason } => created(
            format!("/v1/users/{}/points/entries", entry.user_id),
            PointAdjustmentResponse::of(entry, reason, currency),
        ),
        Reply::ProductCreated { product, available } => {
            created(format!("/v1/products/{}", product.id), ProductResponse::of(product, *available, currency))
        }
        Reply::ProductChanged { product, available } | Reply::ProductUnchanged { product, available } => {
            ok(ProductResponse::of(product, *available, currency))
        }
        Reply::StockAdjusted(movement) => created(
            format!("/v1/admin/products/{}/stock-movements", movement.product_id),
            StockMovementResponse::of(movement),
        ),
        Reply::CampaignCreated(campaign) => {
            created(format!("/v1/coupon-campaigns/{}", campaign.id), CampaignResponse::of(campaign, currency))
        }
        Reply::CampaignChanged(campaign) => ok(CampaignResponse::of(campaign, currency)),
        Reply::CouponIssued { coupon, now } => {
            created(format!("/v1/users/{}/coupons", coupon.user_id), CouponResponse::of(coupon, *now, currency))
        }
        Reply::CouponRevoked { coupon, now } => ok(CouponResponse::of(coupon, *now, currency)),
        Reply::OrderPlaced { order, now } => {
            created(format!("/v1/orders/{}", order.id), OrderResponse::of(order, *now, currency))
        }
        Reply::OrderPaid(payment) => {
            created(format!("/v1/orders/{}", payment.order_id), PaymentResponse::of(payment, currency))
        }
        Reply::OrderCancelled { order, now } => ok(OrderResponse::of(order, *now, currency)),
        Reply::OrderRefunded { refund, order } => {
            created(format!("/v1/orders/{}", order.id), RefundResponse::of(refund, order, currency))
        }
        Reply::EventRedelivered(delivery) => ok(EventResponse::of(delivery)),
        Reply::TokensRevoked(revocation) => {
            created("/v1/admin/token-revocations".to_owned(), TokenRevocationResponse::of(revocation))
        }
        // No client sends this command: it is of the command line, and its body is for the audit log.
        Reply::OperationRecorded(operation) => ok(match operation {
            Operation::IssueToken { user_id, scope, expires_in_seconds } => {
                json!({ "user_id": user_id.as_str(), "scope": scope, "expires_in_seconds": expires_in_seconds })
            }
            Operation::RebuildDailySales | Operation::RebuildSearchIndex => json!({}),
        }),
        // No client sends this command: only the sweeper expires orders.
        Reply::OrderExpired(_) => Success { status: StatusCode::NO_CONTENT, location: None, body: String::new() },
    }
}

fn ok(body: impl Serialize) -> Success {
    Success { status: StatusCode::OK, location: None, body: to_json(&body) }
}

fn created(location: String, body: impl Serialize) -> Success {
    Success { status: StatusCode::CREATED, location: Some(location), body: to_json(&body) }
}

fn to_json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("text, numbers and maps by text serialize as JSON")
}
