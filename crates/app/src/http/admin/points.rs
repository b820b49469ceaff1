use actix_web::{HttpResponse, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::command::AdjustPoints;
use jangteo_domain::point::{AdjustmentReason, PointEntry};
use jangteo_domain::{Command, Currency, Money};

use crate::http::extract::body::Body;
use crate::http::extract::caller::{Admin, Owner};
use crate::http::extract::write::Write;
use crate::http::respond::problem::{FieldErrors, Problem, Reason, documented as code};
use crate::http::values::{AmountText, Time, WrittenAmount};

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(adjust_points);
}

/// Adjust a balance
///
/// Credits or debits the points of a user. The balance stays between 0 and its limit.
#[utoipa::path(
    tag = "admin",
    params(("user_id" = String, Path, description = "Id of the user")),
    request_body = AdjustPointsRequest,
    responses(
        (status = 201, body = PointAdjustmentResponse),
        code::AmountTooPrecise,
        code::UserNotFound,
        code::InsufficientPoints,
        code::BalanceLimitExceeded,
    ),
)]
#[post("/users/{user_id}/points/adjustments")]
async fn adjust_points(
    _admin: Admin,
    owner: Owner,
    write: Write,
    body: Body<AdjustPointsRequest>,
) -> Result<HttpResponse, Problem> {
    let Owner(user_id) = owner;
    let (amount, reason) = body.value.check(write.state.rules.currency)?;
    write.run(&body, Command::AdjustPoints(AdjustPoints { user_id, amount, reason })).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustPointsRequest {
    /// Positive to credit, negative to debit; not zero.
    amount: WrittenAmount,
    /// The reason, for the audit log.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

impl AdjustPointsRequest {
    pub fn check(&self, currency: Currency) -> Result<(Money, AdjustmentReason), Problem> {
        let mut field_errors = FieldErrors::default();
        let amount = self.amount.in_currency(currency);
        let amount = amount.and_then(|amount| if amount.is_zero() { Err(Reason::OutOfRange) } else { Ok(amount) });
        let amount = field_errors.take("/amount", amount);
        let reason = field_errors.take("/reason", AdjustmentReason::parse(&self.reason));
        field_errors.check(amount.zip(reason))
    }
}

#[derive(Serialize, ToSchema)]
pub struct PointAdjustmentResponse {
    entry_id: Uuid,
    user_id: String,
    /// Positive for a credit, negative for a debit.
    amount: AmountText,
    balance: AmountText,
    currency: &'static str,
    /// The reason given with the request.
    reason: String,
    created_at: Time,
}

impl PointAdjustmentResponse {
    pub fn of(entry: &PointEntry, reason: &AdjustmentReason, currency: Currency) -> Self {
        Self {
            entry_id: entry.id.uuid(),
            user_id: entry.user_id.to_string(),
            amount: AmountText::of(entry.amount, currency),
            balance: AmountText::of(entry.balance_after, currency),
            currency: currency.code(),
            reason: reason.as_str().to_owned(),
            created_at: entry.at.into(),
        }
    }
}
