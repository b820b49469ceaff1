use actix_web::{HttpResponse, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{KnownFormat, Schema, SchemaFormat};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::command::{CouponChoice, PayOrder};
use jangteo_domain::id::{CouponId, OrderId};
use jangteo_domain::payment::Payment;
use jangteo_domain::{Command, Currency};

use crate::http::extract::body::Body;
use crate::http::extract::path::{ApiPath, parse_uuid};
use crate::http::extract::write::Write;
use crate::http::respond::problem::{FieldErrors, Problem, Reason, documented as code};
use crate::http::values::{AmountText, Time};

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(pay_order);
}

/// Pay an order (결제)
///
/// Debits the points of the user, uses the coupon and marks the order paid, in one transaction. Without `coupon_id` the
/// full price is debited; without a usable coupon `best` does the same.
#[utoipa::path(
    tag = "orders",
    params(("order_id" = Uuid, Path, description = "Id of the order")),
    request_body = Option<PayOrderRequest>,
    responses(
        (status = 201, body = PaymentResponse),
        code::OrderNotFound,
        code::OrderAlreadyPaid,
        code::OrderCancelled,
        code::OrderExpired,
        code::CouponNotFound,
        code::CouponNotUsable,
        code::InsufficientPoints,
    ),
)]
#[post("/orders/{order_id}/payment")]
async fn pay_order(
    write: Write,
    order_id: ApiPath<OrderId>,
    body: Body<PayOrderRequest>,
) -> Result<HttpResponse, Problem> {
    let coupon = check_coupon(body.value.coupon_id.as_deref())?;
    let command = PayOrder { order_id: order_id.0, actor: write.caller.clone(), coupon };
    write.run(&body, Command::PayOrder(command)).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayOrderRequest {
    /// Id of a coupon, or `best` for the usable coupon with the largest discount.
    #[schema(schema_with = coupon_choice)]
    coupon_id: Option<String>,
}

/// The schema of a caller's choice of a coupon.
pub fn coupon_choice() -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    AnyOfBuilder::new()
        .item(text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))))
        .item(text().enum_values(Some(["best"])))
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .description(Some("Id of a coupon, or `best` for the usable coupon with the largest discount."))
        .into()
}

/// Parses a caller's choice of a coupon.
///
/// # Errors
/// `INVALID_BODY` unless an id or `best`.
pub fn check_coupon(coupon_id: Option<&str>) -> Result<CouponChoice, Problem> {
    let choice = match coupon_id {
        None => Ok(CouponChoice::None),
        Some("best") => Ok(CouponChoice::Best),
        Some(id) => parse_uuid(id).map(|id| CouponChoice::Named(CouponId::from(id))).ok_or(Reason::Invalid),
    };
    let mut field_errors = FieldErrors::default();
    let choice = field_errors.take("/coupon_id", choice);
    field_errors.check(choice)
}

#[derive(Serialize, ToSchema)]
pub struct PaymentResponse {
    payment_id: Uuid,
    order_id: Uuid,
    user_id: String,
    /// The order total, before the discount.
    total: AmountText,
    /// The discount of the coupon.
    discount: AmountText,
    /// The points debited: `total` less `discount`.
    amount: AmountText,
    currency: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    coupon_id: Option<Uuid>,
    /// The balance after the payment.
    balance: AmountText,
    paid_at: Time,
}

impl PaymentResponse {
    pub fn of(payment: &Payment, currency: Currency) -> Self {
        Self {
            payment_id: payment.id.uuid(),
            order_id: payment.order_id.uuid(),
            user_id: payment.user_id.to_string(),
            total: AmountText::of(payment.total, currency),
            discount: AmountText::of(payment.discount, currency),
            amount: AmountText::of(payment.amount, currency),
            currency: currency.code(),
            coupon_id: payment.coupon_id.map(|id| id.uuid()),
            balance: AmountText::of(payment.balance_after, currency),
            paid_at: payment.paid_at.into(),
        }
    }
}
