//! The audit log of the back office.

use actix_web::get;
use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::UserId;
use jangteo_domain::audit::{AuditEntry, AuditFilter};
use jangteo_domain::id::AuditEntryId;
use jangteo_domain::page::Page;

use crate::http::deadline::Deadline;
use crate::http::extract::caller::Admin;
use crate::http::extract::page::{self, List, ListResponse};
use crate::http::extract::query::ApiQuery;
use crate::http::respond::problem::{FieldErrors, Problem, Reason};
use crate::http::state::AppState;
use crate::http::values::Time;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_audit_entries);
}

/// List audit log entries
///
/// Returns the changes made with the scope `admin` or at the command line (actor `cli:USER`), newest first. Each entry is written in the transaction of its change.
#[utoipa::path(tag = "admin", params(AuditQuery), responses((status = 200, body = ListResponse<AuditEntryResponse>)))]
#[get("/audit-log")]
async fn list_audit_entries(
    _admin: Admin,
    state: Data<AppState>,
    deadline: Deadline,
    query: ApiQuery<AuditQuery>,
) -> Result<Json<ListResponse<AuditEntryResponse>>, Problem> {
    let ApiQuery(query) = query;
    let filter = query.filter()?;
    let list = List::new(&state.cursor_keys, format!("audit log {filter:?}"));
    let page: Page<AuditEntryId> = list.page(query.limit, query.cursor.as_deref())?;
    let entries = deadline.read(state.queries.audit.list(&filter, &page)).await?;
    Ok(Json(list.answer(page.limit, &entries, |entry| entry.id, AuditEntryResponse::of)))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Filters by the user who made the change.
    #[param(pattern = r"^[A-Za-z0-9_.:|@-]{1,64}$")]
    actor: Option<String>,
    /// Filters by the id of the changed resource.
    #[param(pattern = r"^[A-Za-z0-9_.:|@-]{1,64}$")]
    subject_id: Option<String>,
    /// Maximum number of rows; values above 100 count as 100.
    #[param(minimum = 1, default = 20)]
    #[serde(default, deserialize_with = "page::limit")]
    limit: Option<i64>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

impl AuditQuery {
    pub fn filter(&self) -> Result<AuditFilter, Problem> {
        let mut field_errors = FieldErrors::default();
        // A subject id is a user id or a UUID, and the characters of a UUID are valid in a user id.
        let id = |written: &String| written.parse::<UserId>().map_err(|_| Reason::Invalid);
        let actor = field_errors.take_optional("?actor", self.actor.as_ref().map(id));
        let subject_id = field_errors.take_optional("?subject_id", self.subject_id.as_ref().map(id));
        let filter = actor
            .zip(subject_id)
            .map(|(actor, subject_id)| AuditFilter { actor, subject_id: subject_id.map(String::from) });
        field_errors.check_query(filter)
    }
}

#[derive(Serialize, ToSchema)]
struct AuditEntryResponse {
    audit_entry_id: Uuid,
    /// The user who made the change; `cli:` and the name of the operating system's user for the command line.
    actor: String,
    /// The name of the command, such as `change_product`.
    action: String,
    /// The kind of the changed resource: `user`, `product`, `campaign`, `coupon`, `order`, `event`, `token` or `table`.
    subject_kind: String,
    /// The id of the changed resource.
    subject_id: String,
    /// The reason given with the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// The body of the response to the change.
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    result: Value,
    /// The id of the request; absent for changes at the command line and for entries of version 0.2.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// The client's address, under the same conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    address: Option<String>,
    created_at: Time,
}

impl AuditEntryResponse {
    fn of(entry: &AuditEntry) -> Self {
        Self {
            audit_entry_id: entry.id.uuid(),
            actor: entry.actor.to_string(),
            action: entry.action.clone(),
            subject_kind: entry.subject_kind.clone(),
            subject_id: entry.subject_id.clone(),
            reason: entry.reason.as_ref().map(|reason| reason.as_str().to_owned()),
            result: json_or_text(&entry.body),
            request_id: entry.request_id.clone(),
            address: entry.address.clone(),
            created_at: entry.at.into(),
        }
    }
}

/// A stored body of any release, for display only: as JSON if valid, else as text.
fn json_or_text(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()))
}
