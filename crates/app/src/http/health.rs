//! For those who run the server: whether it lives, whether it should get requests, and its figures.

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::web::{Data, Json, ServiceConfig};
use actix_web::{App, Error, HttpResponse, get};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig as ApiConfig;

use crate::http::respond::problem::{Problem, ProblemCode};
use crate::http::state::AppState;
use crate::telemetry;
use crate::telemetry::chain;

/// How long the database may take to answer before requests should go elsewhere.
const DATABASE_TIMEOUT: Duration = Duration::from_millis(500);

pub fn routes(config: &mut ApiConfig<'_>, serve_metrics: bool) {
    config.service(live).service(ready);
    if serve_metrics {
        config.service(show_metrics);
    }
}

/// The application that serves the figures alone, at an address of their own; those of the API are among them where
/// there is one.
pub fn metrics_app(
    state: Option<Data<AppState>>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let with_state = |config: &mut ServiceConfig| {
        if let Some(state) = state {
            config.app_data(state);
        }
    };
    App::new().configure(with_state).service(show_metrics)
}

/// Whether the process lives; touches nothing
#[utoipa::path(tag = "operation", security(()), responses((status = 200, description = "It does", body = HealthResponse)))]
#[get("/livez")]
async fn live() -> Json<HealthResponse> {
    Json(HealthResponse { status: "live" })
}

/// Whether requests should come here
#[utoipa::path(
    tag = "operation",
    security(()),
    responses((status = 200, description = "They should", body = HealthResponse), (status = 503, description = "`NOT_READY`")),
)]
#[get("/readyz")]
async fn ready(state: Data<AppState>) -> Result<Json<HealthResponse>, Problem> {
    if state.operations.readiness.is_draining() {
        return Err(ProblemCode::NotReady.into());
    }
    match timeout(DATABASE_TIMEOUT, state.operations.health.is_usable()).await {
        Ok(Ok(true)) => return Ok(Json(HealthResponse { status: "ready" })),
        Ok(Ok(false)) => tracing::warn!("not ready: the database lacks migrations"),
        Ok(Err(error)) => tracing::warn!(kind = error.kind(), cause = chain(&error), "not ready"),
        Err(_elapsed) => tracing::warn!("not ready: the database does not answer in time"),
    }
    Err(ProblemCode::NotReady.into())
}

#[derive(Serialize, ToSchema)]
struct HealthResponse {
    /// `live` or `ready`; anything else is a problem.
    status: &'static str,
}

/// The figures of this server, in the text format of Prometheus
#[utoipa::path(
    tag = "operation",
    security(()),
    responses((status = 200, body = String, content_type = "text/plain; version=0.0.4")),
)]
#[get("/metrics")]
async fn show_metrics(state: Option<Data<AppState>>) -> HttpResponse {
    let figures = telemetry::statistics();
    if let Some(state) = state {
        measure(&state);
    }
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(figures.render())
}

/// Sets the figures that are looked up rather than counted.
fn measure(state: &AppState) {
    // A queue is far from the 2^52 up to which an f64 is exact.
    metrics::gauge!(telemetry::QUEUE_DEPTH).set(state.lanes.depth() as f64);
    for pool in state.operations.health.pools() {
        let set = |state: &'static str, count: u32| {
            metrics::gauge!(telemetry::POOL_CONNECTIONS, "pool" => pool.name, "state" => state).set(count);
        };
        set("idle", pool.idle);
        set("in_use", pool.connections.saturating_sub(pool.idle));
        metrics::gauge!(telemetry::POOL_CONNECTIONS_MAX, "pool" => pool.name).set(pool.connections_max);
    }
}
