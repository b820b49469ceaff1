//! The time line of an order: everything that belongs to it, in order of time.

use actix_web::get;
use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::id::OrderId;
use jangteo_domain::order::{OrderStatus, OrderTrail};
use jangteo_domain::page::AsOf;
use jangteo_domain::stock::MovementKind;
use jangteo_domain::{Currency, Timestamp};

use crate::http::admin::events::EventStatusName;
use crate::http::admin::stocks::MovementKindName;
use crate::http::api::orders::OrderResponse;
use crate::http::api::points::EntryKindName;
use crate::http::api::refunds::RefundLineResponse;
use crate::http::deadline::Deadline;
use crate::http::extract::body::Nothing;
use crate::http::extract::caller::Admin;
use crate::http::extract::path::ApiPath;
use crate::http::extract::query::ApiQuery;
use crate::http::respond::problem::{Problem, ProblemCode, documented as code};
use crate::http::state::AppState;
use crate::http::values::{AmountText, Time};

/// The maximum number of rows of each kind. An order of a hundred lines has two hundred movements before its refunds.
const ROWS_MAX: u32 = 1_000;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(show_timeline);
}

/// Show the time line of an order
///
/// Returns the order with its payment, refunds, events, stock movements and ledger entries, oldest first. Of each kind at
/// most the newest 1,000; delivered events as long as they are retained.
#[utoipa::path(
    tag = "admin",
    params(("order_id" = Uuid, Path, description = "Id of the order")),
    responses((status = 200, body = TimelineResponse), code::OrderNotFound),
)]
#[get("/orders/{order_id}/timeline")]
async fn show_timeline(
    _admin: Admin,
    state: Data<AppState>,
    deadline: Deadline,
    order_id: ApiPath<OrderId>,
    _query: ApiQuery<Nothing>,
) -> Result<Json<TimelineResponse>, Problem> {
    let AsOf { now, value } = deadline.read(state.queries.orders.trail(order_id.0, ROWS_MAX)).await?;
    let trail = value.ok_or(ProblemCode::OrderNotFound)?;
    let currency = state.rules.currency;
    Ok(Json(TimelineResponse { order: OrderResponse::of(&trail.order, now, currency), data: entries(trail, currency) }))
}

#[derive(Serialize, ToSchema)]
struct TimelineResponse {
    order: OrderResponse,
    data: Vec<TimelineEntry>,
}

/// What happened to an order.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum TimelineEntry {
    /// The order was placed.
    Placed { at: Time, total: AmountText },
    /// The order was paid.
    Paid {
        at: Time,
        payment_id: Uuid,
        discount: AmountText,
        /// The amount debited.
        amount: AmountText,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        coupon_id: Option<Uuid>,
    },
    /// The order was cancelled before its payment.
    Cancelled { at: Time },
    /// The order was not paid in time.
    Expired { at: Time },
    /// Items were refunded.
    Refunded {
        at: Time,
        refund_id: Uuid,
        /// The position among the refunds of the order, from 1.
        sequence: u32,
        amount: AmountText,
        /// Whether the items were returned to the stock.
        restocked: bool,
        reason: String,
        lines: Vec<RefundLineResponse>,
    },
    /// An event for the data platform.
    Event {
        at: Time,
        event_id: Uuid,
        /// The CloudEvents type.
        #[serde(rename = "type")]
        event_type: String,
        /// The position among the events of the order, from 1.
        sequence: u32,
        status: EventStatusName,
        /// The number of delivery attempts.
        attempts: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        last_error: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        delivered_at: Option<Time>,
    },
    /// Items left the stock or returned to it.
    StockMovement {
        at: Time,
        movement_id: Uuid,
        product_id: Uuid,
        movement_kind: MovementKindName,
        /// Positive into the stock, negative out of it.
        quantity: i64,
        available_after: u64,
    },
    /// Points of the user were debited or credited.
    PointEntry {
        at: Time,
        entry_id: Uuid,
        entry_kind: EntryKindName,
        /// Positive for credits, negative for debits.
        amount: AmountText,
        balance_after: AmountText,
    },
}

/// The entries in order of time; of one time in the order of the kinds.
fn entries(trail: OrderTrail, currency: Currency) -> Vec<TimelineEntry> {
    let OrderTrail { order, mut refunds, mut events, mut movements, mut entries } = trail;
    let amount = |money| AmountText::of(money, currency);
    let mut line: Vec<(Timestamp, TimelineEntry)> = Vec::new();
    let at = order.created_at;
    line.push((at, TimelineEntry::Placed { at: at.into(), total: amount(order.total) }));
    if let Some(paid) = &order.paid {
        line.push((
            paid.at,
            TimelineEntry::Paid {
                at: paid.at.into(),
                payment_id: paid.payment_id.uuid(),
                discount: amount(paid.discount),
                amount: amount(paid.amount),
                coupon_id: paid.coupon_id.map(|id| id.uuid()),
            },
        ));
    }
    // The end of an unpaid order is the time at which its stock returned.
    let ended = |kind| movements.iter().find(|movement| movement.kind == kind).map(|movement| movement.at);
    match order.status {
        OrderStatus::Cancelled => {
            line.extend(ended(MovementKind::Cancellation).map(|at| (at, TimelineEntry::Cancelled { at: at.into() })))
        }
        OrderStatus::Expired => {
            line.extend(ended(MovementKind::Expiry).map(|at| (at, TimelineEntry::Expired { at: at.into() })));
        }
        OrderStatus::PendingPayment | OrderStatus::Paid | OrderStatus::PartiallyRefunded | OrderStatus::Refunded => {}
    }
    // The lists are newest first.
    refunds.reverse();
    events.reverse();
    movements.reverse();
    entries.reverse();
    line.extend(refunds.into_iter().map(|refund| {
        (
            refund.at,
            TimelineEntry::Refunded {
                at: refund.at.into(),
                refund_id: refund.id.uuid(),
                sequence: refund.sequence,
                amount: amount(refund.amount),
                restocked: refund.restocked,
                reason: refund.reason.as_str().to_owned(),
                lines: refund.lines.iter().map(|line| RefundLineResponse::of(line, currency)).collect(),
            },
        )
    }));
    line.extend(movements.into_iter().map(|movement| {
        (
            movement.at,
            TimelineEntry::StockMovement {
                at: movement.at.into(),
                movement_id: movement.id.uuid(),
                product_id: movement.product_id.uuid(),
                movement_kind: movement.kind.into(),
                quantity: movement.quantity,
                available_after: movement.available_after,
            },
        )
    }));
    line.extend(entries.into_iter().map(|entry| {
        (
            entry.at,
            TimelineEntry::PointEntry {
                at: entry.at.into(),
                entry_id: entry.id.uuid(),
                entry_kind: entry.kind.into(),
                amount: amount(entry.amount),
                balance_after: amount(entry.balance_after),
            },
        )
    }));
    line.extend(events.into_iter().map(|event| {
        (
            event.at,
            TimelineEntry::Event {
                at: event.at.into(),
                event_id: event.event_id.uuid(),
                sequence: event.sequence,
                status: event.state.into(),
                attempts: event.attempts,
                last_error: event.last_error.as_ref().map(|reason| reason.as_str().to_owned()),
                delivered_at: event.delivered_at.map(Into::into),
                event_type: event.event_type,
            },
        )
    }));
    line.sort_by_key(|(at, _)| *at);
    line.into_iter().map(|(_, entry)| entry).collect()
}
