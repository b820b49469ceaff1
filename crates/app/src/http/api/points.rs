//! Points: balance, top-ups and ledger.

use actix_web::web::{Data, Json};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::command::TopUpPoints;
use jangteo_domain::money::PositiveMoney;
use jangteo_domain::page::Page;
use jangteo_domain::point::{EntryKind, PointAccount, PointEntry};
use jangteo_domain::{Command, Currency};

use crate::http::deadline::Deadline;
use crate::http::extract::body::{Body, Nothing};
use crate::http::extract::caller::{Owner, TopUpRecipient};
use crate::http::extract::page::{List, PageQuery};
use crate::http::extract::query::ApiQuery;
use crate::http::extract::write::Write;
use crate::http::respond::problem::{FieldErrors, Problem, Reason, documented as code};
use crate::http::state::AppState;
use crate::http::values::{AmountText, Time, WrittenAmount};

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(show_points).service(top_up_points).service(list_point_entries);
}

/// Show a balance
///
/// Returns the point balance of a user; `0` before the first top-up.
#[utoipa::path(
    tag = "points",
    params(("user_id" = String, Path, description = "Id of the user")),
    responses((status = 200, body = PointsResponse), code::UserNotFound),
)]
#[get("/users/{user_id}/points")]
async fn show_points(
    state: Data<AppState>,
    owner: Owner,
    _query: ApiQuery<Nothing>,
    deadline: Deadline,
) -> Result<Json<PointsResponse>, Problem> {
    let Owner(user_id) = owner;
    let account = deadline.read(state.queries.points.account(&user_id)).await?;
    let account = account.unwrap_or_else(|| PointAccount::empty(user_id));
    Ok(Json(PointsResponse::of(&account, state.rules.currency)))
}

/// Top up points (충전)
///
/// Adds points to the balance, with an entry in the ledger. Limits apply to a single top-up and to the balance after it. A
/// token with the scope `points:top-up` tops up any user; where the shop requires that scope, a user cannot top up
/// their own points.
#[utoipa::path(
    tag = "points",
    params(("user_id" = String, Path, description = "Id of the user")),
    request_body = TopUpPointsRequest,
    responses(
        (status = 201, body = PointTopUpResponse),
        code::AmountNotPositive,
        code::AmountTooPrecise,
        code::Forbidden,
        code::UserNotFound,
        code::TopUpLimitExceeded,
        code::BalanceLimitExceeded,
    ),
)]
#[post("/users/{user_id}/points/top-ups")]
async fn top_up_points(
    recipient: TopUpRecipient,
    write: Write,
    body: Body<TopUpPointsRequest>,
) -> Result<HttpResponse, Problem> {
    let TopUpRecipient(user_id) = recipient;
    let amount = body.value.amount(write.state.rules.currency)?;
    write.run(&body, Command::TopUpPoints(TopUpPoints { user_id, amount })).await
}

/// List ledger entries
///
/// Returns the point ledger of a user, newest first: top-ups, payments, refunds and adjustments.
#[utoipa::path(
    tag = "points",
    params(("user_id" = String, Path, description = "Id of the user"), PageQuery),
    responses((status = 200, body = PointEntriesResponse), code::UserNotFound),
)]
#[get("/users/{user_id}/points/entries")]
async fn list_point_entries(
    state: Data<AppState>,
    owner: Owner,
    deadline: Deadline,
    query: ApiQuery<PageQuery>,
) -> Result<Json<PointEntriesResponse>, Problem> {
    let Owner(user_id) = owner;
    let ApiQuery(PageQuery { limit, cursor }) = query;
    let currency = state.rules.currency;
    let list = List::new(&state.cursor_keys, format!("point entries of {user_id}"));
    let page: Page<u64> = list.page(limit, cursor.as_deref())?;
    let entries = deadline.read(state.queries.points.entries(&user_id, &page)).await?;
    let show = |entry: &PointEntry| PointEntryResponse::of(entry, currency);
    let answer = list.answer(page.limit, &entries, |entry| entry.sequence, show);
    Ok(Json(PointEntriesResponse { data: answer.data, next_cursor: answer.next_cursor, currency: currency.code() }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUpPointsRequest {
    /// The points to add, greater than zero.
    amount: WrittenAmount,
}

impl TopUpPointsRequest {
    pub fn amount(&self, currency: Currency) -> Result<PositiveMoney, Problem> {
        let mut field_errors = FieldErrors::default();
        let money = self.amount.in_currency(currency);
        let amount = field_errors.take("/amount", money.and_then(|money| money.try_into().map_err(Reason::from)));
        field_errors.check(amount)
    }
}

#[derive(Serialize, ToSchema)]
struct PointsResponse {
    user_id: String,
    balance: AmountText,
    currency: &'static str,
    /// The time of the latest ledger entry; `null` without one.
    #[schema(required = true)]
    updated_at: Option<Time>,
}

impl PointsResponse {
    fn of(account: &PointAccount, currency: Currency) -> Self {
        Self {
            user_id: account.user_id.to_string(),
            balance: AmountText::of(account.balance, currency),
            currency: currency.code(),
            updated_at: account.updated_at.map(Time),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct PointTopUpResponse {
    entry_id: Uuid,
    user_id: String,
    amount: AmountText,
    balance: AmountText,
    currency: &'static str,
    created_at: Time,
}

impl PointTopUpResponse {
    pub fn of(entry: &PointEntry, currency: Currency) -> Self {
        Self {
            entry_id: entry.id.uuid(),
            user_id: entry.user_id.to_string(),
            amount: AmountText::of(entry.amount, currency),
            balance: AmountText::of(entry.balance_after, currency),
            currency: currency.code(),
            created_at: entry.at.into(),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct PointEntriesResponse {
    data: Vec<PointEntryResponse>,
    /// The `cursor` of the next page; `null` on the last one.
    #[schema(required = true)]
    next_cursor: Option<String>,
    currency: &'static str,
}

#[derive(Serialize, ToSchema)]
struct PointEntryResponse {
    entry_id: Uuid,
    kind: EntryKindName,
    /// Positive for credits, negative for debits.
    amount: AmountText,
    balance_after: AmountText,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    order_id: Option<Uuid>,
    created_at: Time,
}

impl PointEntryResponse {
    fn of(entry: &PointEntry, currency: Currency) -> Self {
        Self {
            entry_id: entry.id.uuid(),
            kind: entry.kind.into(),
            amount: AmountText::of(entry.amount, currency),
            balance_after: AmountText::of(entry.balance_after, currency),
            order_id: entry.order_id.map(|id| id.uuid()),
            created_at: entry.at.into(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKindName {
    TopUp,
    Payment,
    Refund,
    Adjustment,
}

impl From<EntryKind> for EntryKindName {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::TopUp => Self::TopUp,
            EntryKind::Payment => Self::Payment,
            EntryKind::Refund => Self::Refund,
            EntryKind::Adjustment => Self::Adjustment,
        }
    }
}
