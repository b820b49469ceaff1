//! Outbox events and their delivery to the data platform.

use std::time::Duration;

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse, get, post};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::Command;
use jangteo_domain::command::RedeliverEvent;
use jangteo_domain::delivery::{Delivery, DeliveryState};
use jangteo_domain::id::EventId;
use jangteo_domain::page::Page;

use crate::http::deadline::Deadline;
use crate::http::extract::body::{Body, Nothing};
use crate::http::extract::caller::Admin;
use crate::http::extract::page::{self, List, ListResponse};
use crate::http::extract::path::ApiPath;
use crate::http::extract::query::ApiQuery;
use crate::http::extract::write::Write;
use crate::http::respond::problem::{FieldError, Problem, Reason, documented as code};
use crate::http::state::AppState;
use crate::http::values::Time;

/// The events of one round of redeliveries: enough to fill batches, few enough to leave the queue to customers.
const ROUND: u32 = 100;
/// The time that is left for the response where the redelivery of all dead events stops early.
const RESPONSE_TIME: Duration = Duration::from_secs(1);

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_events).service(redeliver_dead_events).service(redeliver_event);
}

/// List events
///
/// Returns the events for the data platform, newest first, with the state of their delivery.
#[utoipa::path(tag = "admin", params(EventsQuery), responses((status = 200, body = ListResponse<EventResponse>)))]
#[get("/events")]
async fn list_events(
    _admin: Admin,
    state: Data<AppState>,
    deadline: Deadline,
    query: ApiQuery<EventsQuery>,
) -> Result<Json<ListResponse<EventResponse>>, Problem> {
    let ApiQuery(EventsQuery { status, limit, cursor }) = query;
    let delivery_state = status.map(DeliveryState::from);
    let list = List::new(&state.cursor_keys, format!("events {delivery_state:?}"));
    let page: Page<EventId> = list.page(limit, cursor.as_deref())?;
    let deliveries = deadline.read(state.queries.deliveries.list(delivery_state, &page)).await?;
    Ok(Json(list.answer(page.limit, &deliveries, |delivery| delivery.event_id, EventResponse::of)))
}

/// Redeliver an event
///
/// Makes an event in any state due for delivery immediately, with a new count of attempts. The data platform deduplicates
/// by event id.
#[utoipa::path(
    tag = "admin",
    params(("event_id" = Uuid, Path, description = "Id of the event")),
    responses((status = 200, body = EventResponse), code::EventNotFound),
)]
#[post("/events/{event_id}/redelivery")]
async fn redeliver_event(
    _admin: Admin,
    write: Write,
    event_id: ApiPath<EventId>,
    body: Body<Nothing>,
) -> Result<HttpResponse, Problem> {
    write.run(&body, Command::RedeliverEvent(RedeliverEvent { event_id: event_id.0 })).await
}

/// Redeliver all dead events
///
/// Makes the dead events due for delivery, each as by itself, the newest first. A repetition continues where `complete`
/// is false: it redelivers the events that are still dead.
#[utoipa::path(
    tag = "admin",
    params(RedeliveryQuery),
    responses((status = 200, body = RedeliveryResponse)),
)]
#[post("/events/redelivery")]
async fn redeliver_dead_events(
    _admin: Admin,
    request: HttpRequest,
    deadline: Deadline,
    _body: Body<Nothing>,
) -> Result<Json<RedeliveryResponse>, Problem> {
    let (write, RedeliveryQuery { status }) = Write::with_query(&request)?;
    let Some(RedeliveredStatusName::Dead) = status else {
        return Err(Problem::of_query(vec![FieldError { pointer: "?status".to_owned(), reason: Reason::Missing }]));
    };
    let (mut page, mut redelivered) = (Page { after: None, limit: ROUND }, 0);
    loop {
        let dead = deadline.read(write.state.queries.deliveries.list(Some(DeliveryState::Dead), &page)).await;
        let dead = match dead {
            Ok(dead) => dead,
            Err(problem) => return stopped(redelivered, problem),
        };
        let redeliver = |delivery: &Delivery| write.decide(RedeliverEvent { event_id: delivery.event_id }.into());
        let mut failed = None;
        for outcome in join_all(dead.iter().map(redeliver)).await {
            match outcome {
                Ok(Ok(_)) => redelivered += 1,
                // Delivered and deleted since it was listed.
                Ok(Err(_)) => {}
                Err(problem) => failed = Some(problem),
            }
        }
        if let Some(problem) = failed {
            return stopped(redelivered, problem);
        }
        let is_last = u32::try_from(dead.len()).is_ok_and(|rows| rows < ROUND);
        if is_last || deadline.0.saturating_duration_since(Instant::now()) < RESPONSE_TIME {
            return Ok(Json(RedeliveryResponse { redelivered, complete: is_last }));
        }
        page.after = dead.last().map(|delivery| delivery.event_id);
    }
}

/// The response where some events were redelivered before a failure.
fn stopped(redelivered: u64, problem: Problem) -> Result<Json<RedeliveryResponse>, Problem> {
    if redelivered == 0 { Err(problem) } else { Ok(Json(RedeliveryResponse { redelivered, complete: false })) }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RedeliveryQuery {
    /// Status of the events to redeliver.
    #[param(inline, required = true)]
    status: Option<RedeliveredStatusName>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RedeliveredStatusName {
    Dead,
}

#[derive(Serialize, ToSchema)]
struct RedeliveryResponse {
    /// The number of redelivered events.
    redelivered: u64,
    /// Whether no dead event is left; `false` where the time of the request was too short.
    complete: bool,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Status of the delivery; absent for events in any status.
    #[param(inline)]
    status: Option<EventStatusName>,
    /// Maximum number of rows; values above 100 count as 100.
    #[param(minimum = 1, default = 20)]
    #[serde(default, deserialize_with = "page::limit")]
    limit: Option<i64>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct EventResponse {
    event_id: Uuid,
    order_id: Uuid,
    /// The CloudEvents type, such as `jangteo.order.paid.v1`.
    #[serde(rename = "type")]
    event_type: String,
    /// The position among the events of its order, from 1.
    sequence: u32,
    status: EventStatusName,
    /// The number of delivery attempts.
    attempts: u32,
    /// The error of the last failed attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_error: Option<String>,
    created_at: Time,
    /// The time of receipt by the data platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    delivered_at: Option<Time>,
    /// The earliest time of the next attempt; of an event that is not pending, the time of its last one.
    due_at: Time,
}

impl EventResponse {
    pub fn of(delivery: &Delivery) -> Self {
        Self {
            event_id: delivery.event_id.uuid(),
            order_id: delivery.order_id.uuid(),
            event_type: delivery.event_type.clone(),
            sequence: delivery.sequence,
            status: delivery.state.into(),
            attempts: delivery.attempts,
            last_error: delivery.last_error.as_ref().map(|reason| reason.as_str().to_owned()),
            created_at: delivery.at.into(),
            delivered_at: delivery.delivered_at.map(Into::into),
            due_at: delivery.due_at.into(),
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventStatusName {
    Pending,
    Delivered,
    Dead,
}

impl From<EventStatusName> for DeliveryState {
    fn from(name: EventStatusName) -> Self {
        match name {
            EventStatusName::Pending => Self::Pending,
            EventStatusName::Delivered => Self::Delivered,
            EventStatusName::Dead => Self::Dead,
        }
    }
}

impl From<DeliveryState> for EventStatusName {
    fn from(state: DeliveryState) -> Self {
        match state {
            DeliveryState::Pending => Self::Pending,
            DeliveryState::Delivered => Self::Delivered,
            DeliveryState::Dead => Self::Dead,
        }
    }
}
