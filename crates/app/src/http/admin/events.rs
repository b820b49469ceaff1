//! The events for the data platform, as the back office sees how their delivery goes.

use actix_web::web::{Data, Json};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
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
use crate::http::respond::problem::Problem;
use crate::http::state::AppState;
use crate::http::values::Time;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_events).service(redeliver_event);
}

/// The events for the data platform, newest first
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
    let list = List::new(format!("events {delivery_state:?}"));
    let page: Page<EventId> = list.page(limit, cursor.as_deref())?;
    let deliveries = deadline.read(state.queries.deliveries.list(delivery_state, &page)).await?;
    Ok(Json(list.answer(page.limit, &deliveries, |delivery| delivery.event_id, EventResponse::of)))
}

/// Send an event to the data platform again
///
/// Whether it was received, put aside or is still on its way: it is due at once, as if it had never been sent. The
/// data platform tells by its id that it has it already.
#[utoipa::path(
    tag = "admin",
    params(("event_id" = Uuid, Path, description = "The event")),
    responses((status = 200, body = EventResponse), (status = 404, description = "`EVENT_NOT_FOUND`")),
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

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// Only those in this status.
    #[param(inline)]
    status: Option<EventStatusName>,
    /// The most rows to answer; above 100 is taken as 100.
    #[param(minimum = 1, default = 20)]
    #[serde(default, deserialize_with = "page::limit")]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct EventResponse {
    event_id: Uuid,
    order_id: Uuid,
    /// The CloudEvents type.
    #[serde(rename = "type")]
    event_type: String,
    /// The event's place among those of its order: 1, 2, 3 …
    sequence: u32,
    status: EventStatusName,
    /// How often it was sent.
    attempts: u32,
    /// Why the last attempt that failed did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_error: Option<String>,
    created_at: Time,
    /// When the data platform was known to have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    delivered_at: Option<Time>,
    /// Of a pending event, when it is sent next at the earliest; of any other, when it was recorded.
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
enum EventStatusName {
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
