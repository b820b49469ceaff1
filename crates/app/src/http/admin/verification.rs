//! The proof of the books, as the back office asks for it.

use std::sync::Arc;

use actix_web::get;
use actix_web::web::{Data, Json};
use tokio::time::timeout_at;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::http::deadline::Deadline;
use crate::http::extract::caller::Admin;
use crate::http::respond::problem::{Problem, ProblemCode};
use crate::http::state::AppState;
use crate::workers::verification::VerificationResponse;

/// Seconds after which to ask for a verification that takes long.
const RETRY_AFTER: u64 = 5;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(verify_books);
}

/// Verify the books
///
/// Everything that is kept twice is counted anew from one state of all tables, while the shop stays open. A server
/// runs one verification at a time: whoever asks meanwhile joins it, and whoever asks within a minute after its end
/// gets its outcome.
#[utoipa::path(
    tag = "admin",
    responses(
        (status = 200, body = VerificationResponse),
        (status = 503, description = "`VERIFICATION_RUNNING`: it takes longer than a request may, and goes on; ask again"),
    ),
)]
#[get("/verification")]
async fn verify_books(
    _admin: Admin,
    state: Data<AppState>,
    deadline: Deadline,
) -> Result<Json<Arc<VerificationResponse>>, Problem> {
    match timeout_at(deadline.0, state.operations.verifier.join()).await {
        Ok(verified) => Ok(Json(verified?)),
        Err(_elapsed) => Err(Problem::new(ProblemCode::VerificationRunning).with_retry_after(RETRY_AFTER)),
    }
}
