//! Orders: place, show, list, cancel.

use actix_web::web::{Data, Json};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::command::{CancelOrder, PlaceOrder};
use jangteo_domain::id::{OrderId, ProductId};
use jangteo_domain::order::{LineLimits, Order, OrderFilter, OrderLine, OrderLines, OrderLinesError, OrderStatus};
use jangteo_domain::page::{AsOf, Page};
use jangteo_domain::{Command, Currency, Money, ShopRules, Timestamp};

use crate::http::deadline::Deadline;
use crate::http::extract::body::{Body, Nothing, Strict};
use crate::http::extract::caller::{Owner, SignedIn};
use crate::http::extract::page::{self, List, ListResponse};
use crate::http::extract::path::{ApiPath, parse_uuid};
use crate::http::extract::query::ApiQuery;
use crate::http::extract::write::Write;
use crate::http::respond::problem::{FieldErrors, Problem, ProblemCode, Reason, documented as code};
use crate::http::state::AppState;
use crate::http::values::{AmountText, Time, WrittenAmount};

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(place_order).service(show_order).service(list_orders).service(cancel_order);
}

/// Place an order (주문)
///
/// Reserves the stock of all lines, or of none, until `expires_at`. The prices are those at the time of the order.
#[utoipa::path(
    tag = "orders",
    request_body = PlaceOrderRequest,
    responses(
        (status = 201, body = OrderResponse),
        code::AmountTooPrecise,
        code::EmptyOrder,
        code::InvalidQuantity,
        code::ProductNotFound,
        code::ProductNotOnSale,
        code::OutOfStock,
        code::PriceChanged,
        code::TooManyOpenOrders,
        code::TooManyUnpaidOrders,
        code::ReservationLimitExceeded,
    ),
)]
#[post("/orders")]
async fn place_order(write: Write, body: Body<PlaceOrderRequest>) -> Result<HttpResponse, Problem> {
    let (lines, expected_total) = body.value.check(&write.state.rules)?;
    let command = PlaceOrder { user_id: write.caller.user_id.clone(), lines, expected_total };
    write.run(&body, Command::PlaceOrder(command)).await
}

/// Show an order
///
/// Returns an order of the caller; with the scope `admin`, of any user.
#[utoipa::path(
    tag = "orders",
    params(("order_id" = Uuid, Path, description = "Id of the order")),
    responses((status = 200, body = OrderResponse), code::OrderNotFound),
)]
#[get("/orders/{order_id}")]
async fn show_order(
    state: Data<AppState>,
    caller: SignedIn,
    order_id: ApiPath<OrderId>,
    _query: ApiQuery<Nothing>,
    deadline: Deadline,
) -> Result<Json<OrderResponse>, Problem> {
    let AsOf { now, value: order } = find(&state, &caller, order_id.0, deadline).await?;
    Ok(Json(OrderResponse::of(&order, now, state.rules.currency)))
}

/// An order of the caller; of an admin, any order.
///
/// # Errors
/// `ORDER_NOT_FOUND`, or errors of the read.
pub async fn find(
    state: &AppState,
    SignedIn(caller): &SignedIn,
    order_id: OrderId,
    deadline: Deadline,
) -> Result<AsOf<Order>, Problem> {
    let AsOf { now, value } = deadline.read(state.queries.orders.find(order_id)).await?;
    let order = value.filter(|order| caller.may_see(&order.user_id)).ok_or(ProblemCode::OrderNotFound)?;
    Ok(AsOf { now, value: order })
}

/// List orders
///
/// Returns the orders of a user, newest first.
#[utoipa::path(
    tag = "orders",
    params(("user_id" = String, Path, description = "Id of the user"), OrdersQuery),
    responses((status = 200, body = ListResponse<OrderResponse>), code::UserNotFound),
)]
#[get("/users/{user_id}/orders")]
async fn list_orders(
    state: Data<AppState>,
    owner: Owner,
    deadline: Deadline,
    query: ApiQuery<OrdersQuery>,
) -> Result<Json<ListResponse<OrderResponse>>, Problem> {
    let Owner(user_id) = owner;
    let ApiQuery(OrdersQuery { status, limit, cursor }) = query;
    let status = status.map(OrderStatus::from);
    let list = List::new(&state.cursor_keys, format!("orders of {user_id} {status:?}"));
    let filter = OrderFilter { status, ..OrderFilter::of_user(&user_id) };
    let page: Page<OrderId> = list.page(limit, cursor.as_deref())?;
    let orders = deadline.read(state.queries.orders.list(&filter, &page)).await?;
    let show = |order: &Order| OrderResponse::of(order, orders.now, state.rules.currency);
    Ok(Json(list.answer(page.limit, &orders.value, |order| order.id, show)))
}

/// Cancel an order
///
/// Restores the stock. A paid order is refunded in full to the points, and its coupon becomes usable again while valid.
#[utoipa::path(
    tag = "orders",
    params(("order_id" = Uuid, Path, description = "Id of the order")),
    responses(
        (status = 200, body = OrderResponse),
        code::OrderNotFound,
        code::OrderExpired,
        code::OrderAlreadyCancelled,
    ),
)]
#[post("/orders/{order_id}/cancellation")]
async fn cancel_order(write: Write, order_id: ApiPath<OrderId>, body: Body<Nothing>) -> Result<HttpResponse, Problem> {
    let command = CancelOrder { order_id: order_id.0, actor: write.caller.clone() };
    write.run(&body, Command::CancelOrder(command)).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrderRequest {
    /// The lines; lines of the same product are added up.
    #[schema(value_type = Vec<OrderLineRequest>, min_items = 1)]
    lines: Vec<Strict<OrderLineRequest>>,
    /// The expected total; the order is rejected with `PRICE_CHANGED` at any other.
    expected_total: Option<WrittenAmount>,
}

/// A line of an order to place.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderLineRequest {
    #[schema(value_type = Uuid)]
    product_id: String,
    /// The number of items.
    #[schema(minimum = 1)]
    quantity: i64,
}

impl PlaceOrderRequest {
    pub fn check(&self, rules: &ShopRules) -> Result<(OrderLines, Option<Money>), Problem> {
        let mut field_errors = FieldErrors::default();
        let written = self.expected_total.map(|amount| amount.in_currency(rules.currency));
        let expected_total = field_errors.take_optional("/expected_total", written);
        let lines = check_lines(&self.lines, rules.line_limits(), &mut field_errors)?;
        field_errors.check(lines.zip(expected_total))
    }
}

/// Parses the lines of an order or a refund; `None` where a field error was added.
///
/// # Errors
/// `EMPTY_ORDER`; `INVALID_QUANTITY` for too many lines too.
pub fn check_lines(
    lines: &[Strict<OrderLineRequest>],
    limits: LineLimits,
    field_errors: &mut FieldErrors,
) -> Result<Option<OrderLines>, Problem> {
    let parsed: Option<Vec<_>> = {
        let mut take = |(index, Strict(line)): (usize, &Strict<OrderLineRequest>)| {
            let id = parse_uuid(&line.product_id).ok_or(Reason::Invalid);
            field_errors.take(format!("/lines/{index}/product_id"), id).map(|id| (ProductId::from(id), line.quantity))
        };
        // Not short-circuited: all field errors are reported.
        let all: Vec<Option<_>> = lines.iter().enumerate().map(&mut take).collect();
        all.into_iter().collect()
    };
    let Some(parsed) = parsed else { return Ok(None) };
    OrderLines::new(parsed, limits).map(Some).map_err(|error| problem_of_lines(&error))
}

fn problem_of_lines(error: &OrderLinesError) -> Problem {
    match error {
        OrderLinesError::Empty => Problem::new(ProblemCode::EmptyOrder).with_field_error("/lines", Reason::Empty),
        OrderLinesError::TooManyLines { lines_max } => Problem::new(ProblemCode::InvalidQuantity)
            .with_field_error("/lines", Reason::TooMany)
            .with("lines_max", *lines_max),
        OrderLinesError::InvalidQuantity { index, quantity_max } => Problem::new(ProblemCode::InvalidQuantity)
            .with_field_error(format!("/lines/{index}/quantity"), Reason::OutOfRange)
            .with("quantity_max", *quantity_max),
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrdersQuery {
    /// Status of the order; absent for orders in any status.
    #[param(inline)]
    status: Option<OrderStatusName>,
    /// Maximum number of rows; values above 100 count as 100.
    #[param(minimum = 1, default = 20)]
    #[serde(default, deserialize_with = "page::limit")]
    limit: Option<i64>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct OrderResponse {
    order_id: Uuid,
    user_id: String,
    status: OrderStatusName,
    lines: Vec<OrderLineResponse>,
    /// The sum of the lines, before the discount.
    total: AmountText,
    /// The discount of the coupon; 0 until payment.
    discount: AmountText,
    /// The points debited; 0 until payment.
    paid_amount: AmountText,
    /// The sum of all refunds.
    refunded_amount: AmountText,
    currency: &'static str,
    created_at: Time,
    /// The payment deadline, exclusive.
    expires_at: Time,
    /// Seconds until the payment deadline, rounded down; 0 unless the status is `pending_payment`.
    expires_in_seconds: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    paid_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    coupon_id: Option<Uuid>,
}

impl OrderResponse {
    pub fn of(order: &Order, now: Timestamp, currency: Currency) -> Self {
        let paid = order.paid.as_ref();
        let expires_in_seconds = match order.status {
            OrderStatus::PendingPayment => order.expires_at.since(now).whole_seconds().max(0),
            OrderStatus::Paid
            | OrderStatus::Expired
            | OrderStatus::Cancelled
            | OrderStatus::PartiallyRefunded
            | OrderStatus::Refunded => 0,
        };
        Self {
            order_id: order.id.uuid(),
            user_id: order.user_id.to_string(),
            status: order.status.into(),
            lines: order.lines.iter().map(|line| OrderLineResponse::of(line, currency)).collect(),
            total: AmountText::of(order.total, currency),
            discount: AmountText::of(paid.map(|paid| paid.discount).unwrap_or_default(), currency),
            paid_amount: AmountText::of(paid.map(|paid| paid.amount).unwrap_or_default(), currency),
            refunded_amount: AmountText::of(order.refunded, currency),
            currency: currency.code(),
            created_at: order.created_at.into(),
            expires_at: order.expires_at.into(),
            expires_in_seconds,
            paid_at: paid.map(|paid| paid.at.into()),
            coupon_id: paid.and_then(|paid| paid.coupon_id).map(|id| id.uuid()),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct OrderLineResponse {
    product_id: Uuid,
    /// The name of the product at the time of the order.
    name: String,
    quantity: u32,
    unit_price: AmountText,
    /// Before the discount.
    line_total: AmountText,
    /// The share of the line in the discount; 0 until payment.
    discount_share: AmountText,
    refunded_quantity: u32,
}

impl OrderLineResponse {
    fn of(line: &OrderLine, currency: Currency) -> Self {
        Self {
            product_id: line.product_id.uuid(),
            name: line.name.clone(),
            quantity: line.quantity,
            unit_price: AmountText::of(line.unit_price, currency),
            line_total: AmountText::of(line.line_total(), currency),
            discount_share: AmountText::of(line.discount_share, currency),
            refunded_quantity: line.refunded_quantity,
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatusName {
    PendingPayment,
    Paid,
    Expired,
    Cancelled,
    PartiallyRefunded,
    Refunded,
}

impl From<OrderStatus> for OrderStatusName {
    fn from(status: OrderStatus) -> Self {
        match status {
            OrderStatus::PendingPayment => Self::PendingPayment,
            OrderStatus::Paid => Self::Paid,
            OrderStatus::Expired => Self::Expired,
            OrderStatus::Cancelled => Self::Cancelled,
            OrderStatus::PartiallyRefunded => Self::PartiallyRefunded,
            OrderStatus::Refunded => Self::Refunded,
        }
    }
}

impl From<OrderStatusName> for OrderStatus {
    fn from(name: OrderStatusName) -> Self {
        match name {
            OrderStatusName::PendingPayment => Self::PendingPayment,
            OrderStatusName::Paid => Self::Paid,
            OrderStatusName::Expired => Self::Expired,
            OrderStatusName::Cancelled => Self::Cancelled,
            OrderStatusName::PartiallyRefunded => Self::PartiallyRefunded,
            OrderStatusName::Refunded => Self::Refunded,
        }
    }
}
