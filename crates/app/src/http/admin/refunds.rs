//! Refunds of paid orders.

use actix_web::{HttpResponse, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::command::RefundOrder;
use jangteo_domain::id::OrderId;
use jangteo_domain::order::{LineLimits, Order, OrderLines};
use jangteo_domain::payment::{Refund, RefundReason};
use jangteo_domain::{Command, Currency};

use crate::http::api::orders::{OrderLineRequest, OrderStatusName, check_lines};
use crate::http::api::refunds::RefundLineResponse;
use crate::http::extract::body::{Body, Strict};
use crate::http::extract::caller::Admin;
use crate::http::extract::path::ApiPath;
use crate::http::extract::write::Write;
use crate::http::respond::problem::{FieldErrors, Problem, documented as code};
use crate::http::values::{AmountText, Time};

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(refund_order);
}

/// Refund an order
///
/// Refunds a quantity of each line to the points, after the discount. All refunds of an order add up to at most the amount
/// paid.
#[utoipa::path(
    tag = "admin",
    params(("order_id" = Uuid, Path, description = "Id of the order")),
    request_body = RefundOrderRequest,
    responses(
        (status = 201, body = RefundResponse),
        code::EmptyOrder,
        code::InvalidQuantity,
        code::OrderNotFound,
        code::OrderNotPaid,
        code::RefundTooLarge,
    ),
)]
#[post("/orders/{order_id}/refunds")]
async fn refund_order(
    _admin: Admin,
    write: Write,
    order_id: ApiPath<OrderId>,
    body: Body<RefundOrderRequest>,
) -> Result<HttpResponse, Problem> {
    let (lines, reason) = body.value.check()?;
    let command = RefundOrder { order_id: order_id.0, lines, restock: body.value.restock, reason };
    write.run(&body, Command::RefundOrder(command)).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundOrderRequest {
    /// The quantities to refund; lines of the same product are added up.
    #[schema(value_type = Vec<OrderLineRequest>, min_items = 1)]
    lines: Vec<Strict<OrderLineRequest>>,
    /// Whether to return the items to the stock.
    restock: bool,
    /// The reason, for the audit log.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

impl RefundOrderRequest {
    pub fn check(&self) -> Result<(OrderLines, RefundReason), Problem> {
        let mut field_errors = FieldErrors::default();
        let reason = field_errors.take("/reason", RefundReason::parse(&self.reason));
        let lines = check_lines(&self.lines, LineLimits::NONE, &mut field_errors)?;
        field_errors.check(lines.zip(reason))
    }
}

#[derive(Serialize, ToSchema)]
pub struct RefundResponse {
    refund_id: Uuid,
    order_id: Uuid,
    /// The status of the order after the refund.
    order_status: OrderStatusName,
    lines: Vec<RefundLineResponse>,
    /// The points credited by this refund.
    amount: AmountText,
    /// The sum of all refunds of the order.
    refunded_amount: AmountText,
    currency: &'static str,
    /// Whether the items were returned to the stock.
    restock: bool,
    /// The reason given with the request.
    reason: String,
    refunded_at: Time,
}

impl RefundResponse {
    pub fn of(refund: &Refund, order: &Order, currency: Currency) -> Self {
        Self {
            refund_id: refund.id.uuid(),
            order_id: refund.order_id.uuid(),
            order_status: order.status.into(),
            lines: refund.lines.iter().map(|line| RefundLineResponse::of(line, currency)).collect(),
            amount: AmountText::of(refund.amount, currency),
            refunded_amount: AmountText::of(order.refunded, currency),
            currency: currency.code(),
            restock: refund.restocked,
            reason: refund.reason.as_str().to_owned(),
            refunded_at: refund.at.into(),
        }
    }
}
