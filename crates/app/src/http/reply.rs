//! The answer to each command: a pure function of what the domain replied, so that a repeated answer is the same to
//! the byte.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use serde::Serialize;

use jangteo_domain::{Currency, Reply, UserId};

use crate::http::admin::events::EventResponse;
use crate::http::admin::points::PointAdjustmentResponse;
use crate::http::admin::refunds::RefundResponse;
use crate::http::admin::stocks::StockMovementResponse;
use crate::http::coupons::{CampaignResponse, CouponResponse};
use crate::http::orders::OrderResponse;
use crate::http::payments::PaymentResponse;
use crate::http::points::PointTopUpResponse;
use crate::http::products::ProductResponse;

/// The answer that tells of the reply. Amounts are in that currency.
pub fn respond(reply: &Reply, currency: Currency) -> HttpResponse {
    match reply {
        Reply::PointsToppedUp(entry) => created(
            &format!("/v1/users/{}/points/entries", in_path(&entry.user_id)),
            PointTopUpResponse::of(entry, currency),
        ),
        Reply::PointsAdjusted { entry, reason } => created(
            &format!("/v1/users/{}/points/entries", in_path(&entry.user_id)),
            PointAdjustmentResponse::of(entry, reason, currency),
        ),
        Reply::ProductCreated { product, available } => {
            created(&format!("/v1/products/{}", product.id), ProductResponse::of(product, *available, currency))
        }
        Reply::ProductChanged { product, available } => ok(ProductResponse::of(product, *available, currency)),
        Reply::StockAdjusted(movement) => created(
            &format!("/v1/admin/products/{}/stock-movements", movement.product_id),
            StockMovementResponse::of(movement),
        ),
        Reply::CampaignCreated(campaign) => {
            created(&format!("/v1/coupon-campaigns/{}", campaign.id), CampaignResponse::of(campaign, currency))
        }
        Reply::CampaignChanged(campaign) => ok(CampaignResponse::of(campaign, currency)),
        Reply::CouponIssued { coupon, now } => created(
            &format!("/v1/users/{}/coupons", in_path(&coupon.user_id)),
            CouponResponse::of(coupon, *now, currency),
        ),
        Reply::CouponRevoked { coupon, now } => ok(CouponResponse::of(coupon, *now, currency)),
        Reply::OrderPlaced { order, now } => {
            created(&format!("/v1/orders/{}", order.id), OrderResponse::of(order, *now, currency))
        }
        Reply::OrderPaid(payment) => {
            created(&format!("/v1/orders/{}", payment.order_id), PaymentResponse::of(payment, currency))
        }
        Reply::OrderCancelled { order, now } => ok(OrderResponse::of(order, *now, currency)),
        Reply::OrderRefunded { refund, order } => {
            created(&format!("/v1/orders/{}", order.id), RefundResponse::of(refund, order, currency))
        }
        Reply::EventRedelivered(delivery) => ok(EventResponse::of(delivery)),
        // Nobody is told of it: only the sweeper lets orders expire.
        Reply::OrderExpired(_) => HttpResponse::NoContent().finish(),
    }
}

fn ok(body: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(body)
}

fn created(location: &str, body: impl Serialize) -> HttpResponse {
    HttpResponse::build(StatusCode::CREATED).insert_header((LOCATION, location)).json(body)
}

/// A user's id in a path: of its characters only `|` may not stand in one as it is (RFC 3986, 3.3).
fn in_path(user_id: &UserId) -> String {
    user_id.as_str().replace('|', "%7C")
}
