//! Verifications of the books as rows, which every server sees.

use actix_web::http::header;
use actix_web::web::{Data, Json};
use actix_web::{HttpResponse, get, post};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::id::VerificationId;
use jangteo_domain::page::Page;
use jangteo_domain::verification::{Begun, Part, RunStatus, VerificationRun};

use crate::http::deadline::Deadline;
use crate::http::extract::body::{Body, Nothing};
use crate::http::extract::caller::Admin;
use crate::http::extract::page::{List, ListResponse, PageQuery};
use crate::http::extract::path::ApiPath;
use crate::http::extract::query::ApiQuery;
use crate::http::extract::write::Write;
use crate::http::respond::problem::{Problem, ProblemCode, documented as code};
use crate::http::state::AppState;
use crate::http::values::Time;
use crate::workers::verification::VerificationFinding;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(start_verification).service(list_verifications).service(show_verification);
}

/// Start a verification of the books
///
/// Recomputes all denormalized data from one snapshot of the tables, while the shop stays online. One verification runs
/// at a time, in all servers. A request with the `Idempotency-Key` of an earlier one returns its verification.
#[utoipa::path(
    tag = "admin",
    responses((status = 202, body = VerificationRunResponse), code::VerificationAlreadyRunning),
)]
#[post("/verifications")]
async fn start_verification(
    _admin: Admin,
    write: Write,
    deadline: Deadline,
    body: Body<Nothing>,
) -> Result<HttpResponse, Problem> {
    let request = write.request_key("start_verification", &body);
    match deadline.read(write.state.operations.verifier.start(request)).await? {
        Begun::Started(run) | Begun::Repeated(run) => {
            let location = format!("/v1/admin/verifications/{}", run.id);
            Ok(HttpResponse::Accepted()
                .insert_header((header::LOCATION, location))
                .json(VerificationRunResponse::of(&run)))
        }
        Begun::Running(id) => {
            let problem = Problem::new(ProblemCode::VerificationAlreadyRunning);
            Err(problem.with("verification_id", id.to_string()))
        }
    }
}

/// List verifications of the books
///
/// Returns the verifications, newest first, without their findings. They are retained for 90 days.
#[utoipa::path(
    tag = "admin",
    params(PageQuery),
    responses((status = 200, body = ListResponse<VerificationRunResponse>)),
)]
#[get("/verifications")]
async fn list_verifications(
    _admin: Admin,
    state: Data<AppState>,
    deadline: Deadline,
    query: ApiQuery<PageQuery>,
) -> Result<Json<ListResponse<VerificationRunResponse>>, Problem> {
    let ApiQuery(PageQuery { limit, cursor }) = query;
    let list = List::new(&state.cursor_keys, "verifications");
    let page: Page<VerificationId> = list.page(limit, cursor.as_deref())?;
    let runs = deadline.read(state.operations.verifier.runs().list(&page)).await?;
    Ok(Json(list.answer(page.limit, &runs, |run| run.id, VerificationRunResponse::of)))
}

/// Show a verification of the books
///
/// Returns its progress or its outcome, whichever server runs it. A verification whose server is gone is `interrupted`
/// 30 seconds after its last heartbeat.
#[utoipa::path(
    tag = "admin",
    params(("verification_id" = Uuid, Path, description = "Id of the verification")),
    responses((status = 200, body = VerificationRunResponse), code::VerificationNotFound),
)]
#[get("/verifications/{verification_id}")]
async fn show_verification(
    _admin: Admin,
    state: Data<AppState>,
    deadline: Deadline,
    verification_id: ApiPath<VerificationId>,
    _query: ApiQuery<Nothing>,
) -> Result<Json<VerificationRunResponse>, Problem> {
    let run = deadline.read(state.operations.verifier.runs().find(verification_id.0)).await?;
    Ok(Json(VerificationRunResponse::of(&run.ok_or(ProblemCode::VerificationNotFound)?)))
}

#[derive(Serialize, ToSchema)]
struct VerificationRunResponse {
    verification_id: Uuid,
    status: RunStatusName,
    /// The server that runs it: the name of its host and its process id.
    server: String,
    started_at: Time,
    /// The end; of an interrupted verification its last heartbeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    finished_at: Option<Time>,
    progress: RunProgressResponse,
    /// The number of findings so far.
    violations_count: u64,
    /// The first 1,000 findings so far; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<VerificationFinding>>, nullable = false)]
    findings: Option<Value>,
    /// The cause of a failed verification.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

/// The part that runs, or ran last.
#[derive(Serialize, ToSchema)]
struct RunProgressResponse {
    /// From 1.
    step: u32,
    /// The number of parts.
    steps: u32,
    /// `ledger`, `stock`, `orders`, `coupons`, `sales`, `audit_log`, `statistics` or `retention`.
    name: &'static str,
}

impl VerificationRunResponse {
    fn of(run: &VerificationRun) -> Self {
        Self {
            verification_id: run.id.uuid(),
            status: run.status.into(),
            server: run.server.clone(),
            started_at: run.started_at.into(),
            finished_at: run.finished_at.map(Into::into),
            progress: RunProgressResponse::of(run.step),
            violations_count: run.violations,
            findings: serde_json::from_str(&run.findings).ok(),
            error: run.error.clone(),
        }
    }
}

impl RunProgressResponse {
    fn of(step: u32) -> Self {
        let index = usize::try_from(step.saturating_sub(1)).unwrap_or(usize::MAX).min(Part::ALL.len() - 1);
        let steps = u32::try_from(Part::ALL.len()).expect("a few parts");
        Self { step, steps, name: Part::ALL[index].name() }
    }
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatusName {
    Running,
    Passed,
    Violated,
    Failed,
    Interrupted,
}

impl From<RunStatus> for RunStatusName {
    fn from(status: RunStatus) -> Self {
        match status {
            RunStatus::Running => Self::Running,
            RunStatus::Passed => Self::Passed,
            RunStatus::Violated => Self::Violated,
            RunStatus::Failed => Self::Failed,
            RunStatus::Interrupted => Self::Interrupted,
        }
    }
}
