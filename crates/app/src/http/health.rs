//! Operation: liveness, readiness and metrics.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::web::{Data, Json, ServiceConfig};
use actix_web::{App, Error, HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig as ApiConfig;

use crate::http::respond::problem::{Problem, ProblemCode, documented as code};
use crate::http::state::AppState;
use crate::telemetry;

pub fn routes(config: &mut ApiConfig<'_>, serve_metrics: bool) {
    config.service(live).service(ready);
    if serve_metrics {
        config.service(show_metrics);
    }
}

/// The application that serves the metrics on a separate address; with the state of the API, where it runs too.
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

/// Check liveness
///
/// Returns 200 while the process runs. Accesses nothing else, so that a failing database restarts no server.
#[utoipa::path(tag = "operation", security(()), responses((status = 200, body = HealthResponse)))]
#[get("/livez")]
async fn live() -> Json<HealthResponse> {
    Json(HealthResponse { status: "live" })
}

/// Check readiness
///
/// Returns 200 while the database responds within 500 ms, its migrations are at head, and the server is not draining.
/// The database is checked once a second at most.
#[utoipa::path(tag = "operation", security(()), responses((status = 200, body = HealthResponse), code::NotReady))]
#[get("/readyz")]
async fn ready(state: Data<AppState>) -> Result<Json<HealthResponse>, Problem> {
    if state.operations.readiness.is_draining() {
        return Err(ProblemCode::NotReady.into());
    }
    if state.operations.is_database_usable().await {
        Ok(Json(HealthResponse { status: "ready" }))
    } else {
        Err(ProblemCode::NotReady.into())
    }
}

#[derive(Serialize, ToSchema)]
struct HealthResponse {
    /// `live` or `ready`, by the path.
    status: &'static str,
}

/// Show metrics
///
/// Returns the metrics of this server in the text format of Prometheus. Served on `METRICS_BIND` instead, where set.
#[utoipa::path(
    tag = "operation",
    security(()),
    responses((status = 200, body = String, content_type = "text/plain; version=0.0.4")),
)]
#[get("/metrics")]
async fn show_metrics(state: Option<Data<AppState>>) -> HttpResponse {
    let statistics = telemetry::statistics();
    if let Some(state) = state {
        measure(&state);
    }
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(statistics.render())
}

/// Sets the gauge of the current host to 1, and that of the host before it to 0.
fn set_writer(host: Option<String>) {
    static LAST: Mutex<Option<String>> = Mutex::new(None);

    let gauge = |host: &str, value: f64| metrics::gauge!(telemetry::WRITER, "host" => host.to_owned()).set(value);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(last) = last.take().filter(|last| host.as_ref() != Some(last)) {
        gauge(&last, 0.0);
    }
    host.iter().for_each(|host| gauge(host, 1.0));
    *last = host;
}

/// Sets the gauges, which are sampled on each scrape.
fn measure(state: &AppState) {
    // A queue is far below 2^53, the limit of exact integers in an f64.
    metrics::gauge!(telemetry::QUEUE_DEPTH).set(state.lanes.depth() as f64);
    let since_1970 = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let revoked_read_at = state.access.authenticator.deny_list().read_at();
    metrics::gauge!(telemetry::TOKEN_REVOCATIONS_READ_TIMESTAMP).set(since_1970(revoked_read_at));
    if let Some(read_at) = state.access.authenticator.keys_read_at() {
        metrics::gauge!(telemetry::TOKEN_KEYS_READ_TIMESTAMP).set(since_1970(read_at));
    }
    if let Some(writer) = state.operations.health.writer() {
        metrics::counter!(telemetry::WRITER_ELECTIONS).absolute(writer.elections);
        set_writer(writer.host);
    }
    for pool in state.operations.health.pools() {
        let set = |state: &'static str, count: u32| {
            metrics::gauge!(telemetry::POOL_CONNECTIONS, "pool" => pool.name, "state" => state).set(count);
        };
        set("idle", pool.idle);
        set("in_use", pool.connections.saturating_sub(pool.idle));
        metrics::gauge!(telemetry::POOL_CONNECTIONS_MAX, "pool" => pool.name).set(pool.connections_max);
    }
}
