//! Refunds of an order: list.

use actix_web::get;
use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::Currency;
use jangteo_domain::id::OrderId;
use jangteo_domain::order::RefundedLine;
use jangteo_domain::page::Page;
use jangteo_domain::payment::Refund;

use crate::http::api::orders;
use crate::http::deadline::Deadline;
use crate::http::extract::caller::SignedIn;
use crate::http::extract::page::{List, ListResponse, PageQuery};
use crate::http::extract::path::ApiPath;
use crate::http::extract::query::ApiQuery;
use crate::http::respond::problem::{Problem, documented as code};
use crate::http::state::AppState;
use crate::http::values::{AmountText, Time};

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_refunds);
}

/// List refunds
///
/// Returns the refunds of an order, newest first: those by the back office, and that of a cancellation after payment.
#[utoipa::path(
    tag = "orders",
    params(("order_id" = Uuid, Path, description = "Id of the order"), PageQuery),
    responses((status = 200, body = ListResponse<OrderRefundResponse>), code::OrderNotFound),
)]
#[get("/orders/{order_id}/refunds")]
async fn list_refunds(
    state: Data<AppState>,
    caller: SignedIn,
    order_id: ApiPath<OrderId>,
    query: ApiQuery<PageQuery>,
    deadline: Deadline,
) -> Result<Json<ListResponse<OrderRefundResponse>>, Problem> {
    let (ApiPath(order_id), ApiQuery(PageQuery { limit, cursor })) = (order_id, query);
    orders::find(&state, &caller, order_id, deadline).await?;
    let list = List::new(&state.cursor_keys, format!("refunds of {order_id}"));
    let page: Page<u32> = list.page(limit, cursor.as_deref())?;
    let refunds = deadline.read(state.queries.orders.refunds(order_id, &page)).await?;
    let show = |refund: &Refund| OrderRefundResponse::of(refund, state.rules.currency);
    Ok(Json(list.answer(page.limit, &refunds, |refund| refund.sequence, show)))
}

#[derive(Serialize, ToSchema)]
struct OrderRefundResponse {
    refund_id: Uuid,
    order_id: Uuid,
    /// The position among the refunds of the order, from 1.
    sequence: u32,
    /// The points credited.
    amount: AmountText,
    currency: &'static str,
    /// Whether the items were returned to the stock.
    restocked: bool,
    reason: String,
    lines: Vec<RefundLineResponse>,
    created_at: Time,
}

impl OrderRefundResponse {
    fn of(refund: &Refund, currency: Currency) -> Self {
        Self {
            refund_id: refund.id.uuid(),
            order_id: refund.order_id.uuid(),
            sequence: refund.sequence,
            amount: AmountText::of(refund.amount, currency),
            currency: currency.code(),
            restocked: refund.restocked,
            reason: refund.reason.as_str().to_owned(),
            lines: refund.lines.iter().map(|line| RefundLineResponse::of(line, currency)).collect(),
            created_at: refund.at.into(),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct RefundLineResponse {
    product_id: Uuid,
    quantity: u32,
    amount: AmountText,
}

impl RefundLineResponse {
    pub fn of(line: &RefundedLine, currency: Currency) -> Self {
        Self {
            product_id: line.product_id.uuid(),
            quantity: line.quantity,
            amount: AmountText::of(line.amount, currency),
        }
    }
}
