//! Verification of the books on request.

use std::sync::Arc;

use actix_web::get;
use actix_web::web::{Data, Json};
use tokio::time::timeout_at;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::http::deadline::Deadline;
use crate::http::extract::body::Nothing;
use crate::http::extract::caller::Admin;
use crate::http::extract::query::ApiQuery;
use crate::http::respond::problem::{Problem, ProblemCode, documented as code};
use crate::http::state::AppState;
use crate::workers::verification::VerificationResponse;

/// `Retry-After` during a long verification, in seconds.
const RETRY_AFTER: u64 = 5;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(verify_books);
}

/// Verify the books
///
/// Recomputes all denormalized data from one snapshot of the tables, while the shop stays online. A server runs one
/// verification at a time: concurrent requests share it, and requests within a minute of its end receive its outcome.
#[utoipa::path(
    tag = "admin",
    responses((status = 200, body = VerificationResponse), code::VerificationRunning),
)]
#[get("/verification")]
async fn verify_books(
    _admin: Admin,
    _query: ApiQuery<Nothing>,
    state: Data<AppState>,
    deadline: Deadline,
) -> Result<Json<Arc<VerificationResponse>>, Problem> {
    match timeout_at(deadline.0, state.operations.verifier.join()).await {
        Ok(verified) => Ok(Json(verified?)),
        Err(_elapsed) => Err(Problem::new(ProblemCode::VerificationRunning).with_retry_after(RETRY_AFTER)),
    }
}
