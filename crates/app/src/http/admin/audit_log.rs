//! The audit log: what the back office changed.

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

/// What the back office changed, newest first
///
/// Every change that somebody with the scope `admin` makes leaves a line, written together with the change.
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
    let list = List::new(format!("audit log {filter:?}"));
    let page: Page<AuditEntryId> = list.page(query.limit, query.cursor.as_deref())?;
    let entries = deadline.read(state.queries.audit.list(&filter, &page)).await?;
    Ok(Json(list.answer(page.limit, &entries, |entry| entry.id, AuditEntryResponse::of)))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Only what this user changed.
    actor: Option<String>,
    /// Only changes of what has this id.
    subject_id: Option<String>,
    /// The most rows to answer; above 100 is taken as 100.
    #[param(minimum = 1, default = 20)]
    #[serde(default, deserialize_with = "page::limit")]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl AuditQuery {
    fn filter(&self) -> Result<AuditFilter, Problem> {
        let mut field_errors = FieldErrors::default();
        // What is changed has a user's id or a UUID, whose characters are among those of a user's id.
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
    /// Who changed it.
    actor: String,
    /// What was done: the name of a command, such as `change_product`.
    action: String,
    /// The kind of what was changed: `user`, `product`, `campaign`, `coupon`, `order` or `event`.
    subject_kind: String,
    /// The id of what was changed.
    subject_id: String,
    /// Why, in the words of the back office.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// The body of the answer to the change, as it was sent.
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    result: Value,
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
            created_at: entry.at.into(),
        }
    }
}

/// A stored body for display, whichever release stored it: as JSON where it is, else as text. Nothing reads its meaning.
fn json_or_text(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()))
}
