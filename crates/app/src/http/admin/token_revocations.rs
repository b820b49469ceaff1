//! Revoked tokens.

use actix_web::web::{Data, Json};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::command::{RevokeTokens, TokensToRevoke};
use jangteo_domain::id::RevocationId;
use jangteo_domain::page::Page;
use jangteo_domain::token::{Revocation, RevokedTokens, TokenId};
use jangteo_domain::{Command, UserId};

use crate::http::deadline::Deadline;
use crate::http::extract::body::Body;
use crate::http::extract::caller::Admin;
use crate::http::extract::page::{self, List, ListResponse};
use crate::http::extract::query::ApiQuery;
use crate::http::extract::write::Write;
use crate::http::respond::problem::{FieldErrors, Problem, Reason};
use crate::http::state::AppState;
use crate::http::values::{Time, parse_time};

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(revoke_tokens).service(list_token_revocations);
}

/// Revoke tokens
///
/// Revokes one token by its id (claim `jti`), or the tokens of a user that were issued before a time (claim `iat`; tokens
/// without it too). Every server rejects them with 401 within 5 seconds. New tokens of the user are not affected: block
/// the account at the identity provider first.
#[utoipa::path(
    tag = "admin",
    request_body = RevokeTokensRequest,
    responses((status = 201, body = TokenRevocationResponse)),
)]
#[post("/token-revocations")]
async fn revoke_tokens(_admin: Admin, write: Write, body: Body<RevokeTokensRequest>) -> Result<HttpResponse, Problem> {
    let tokens = body.value.check()?;
    let state = write.state.clone();
    let lifetime_max = state.access.authenticator.lifetime_max().try_into().unwrap_or(time::Duration::MAX);
    let response = write.run(&body, Command::RevokeTokens(RevokeTokens { tokens, lifetime_max })).await;
    state.access.authenticator.deny_list().refresh();
    response
}

/// List token revocations
///
/// Returns the revocations in effect, newest first. They are deleted when their tokens have expired.
#[utoipa::path(
    tag = "admin",
    params(TokenRevocationsQuery),
    responses((status = 200, body = ListResponse<TokenRevocationResponse>)),
)]
#[get("/token-revocations")]
async fn list_token_revocations(
    _admin: Admin,
    state: Data<AppState>,
    deadline: Deadline,
    query: ApiQuery<TokenRevocationsQuery>,
) -> Result<Json<ListResponse<TokenRevocationResponse>>, Problem> {
    let ApiQuery(TokenRevocationsQuery { limit, cursor }) = query;
    let list = List::new(&state.cursor_keys, "token revocations".to_owned());
    let page: Page<RevocationId> = list.page(limit, cursor.as_deref())?;
    let revocations = deadline.read(state.queries.revocations.list(&page)).await?;
    Ok(Json(list.answer(page.limit, &revocations, |revocation| revocation.id, TokenRevocationResponse::of)))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TokenRevocationsQuery {
    /// Maximum number of rows; values above 100 count as 100.
    #[param(minimum = 1, default = 20)]
    #[serde(default, deserialize_with = "page::limit")]
    limit: Option<i64>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Either `jti` or `user_id`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RevokeTokensRequest {
    /// The id of the token.
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    jti: Option<String>,
    /// With `jti`: the expiry of the token; by default the latest one that servers accept.
    #[schema(format = DateTime, nullable = false)]
    expires_at: Option<String>,
    /// The subject of the tokens.
    #[schema(nullable = false)]
    user_id: Option<String>,
    /// With `user_id`: the time before which the tokens were issued; by default now.
    #[schema(format = DateTime, nullable = false)]
    issued_before: Option<String>,
}

impl RevokeTokensRequest {
    fn check(&self) -> Result<TokensToRevoke, Problem> {
        let Self { jti, expires_at, user_id, issued_before } = self;
        let mut field_errors = FieldErrors::default();
        // Exact, as in the token.
        let jti = jti.clone().map(TokenId::try_from);
        let jti = field_errors.take_optional("/jti", jti);
        let user_id = user_id.as_ref().map(|id| id.parse::<UserId>().map_err(|_| Reason::Invalid));
        let user_id = field_errors.take_optional("/user_id", user_id);
        let expires_at = field_errors.take_optional("/expires_at", expires_at.as_deref().map(parse_time));
        let issued_before = field_errors.take_optional("/issued_before", issued_before.as_deref().map(parse_time));
        let read = jti.zip(user_id).zip(expires_at.zip(issued_before));
        let tokens = read.and_then(|members| match members {
            ((Some(token_id), None), (expires_at, None)) => Some(TokensToRevoke::One { token_id, expires_at }),
            ((None, Some(user_id)), (None, issued_before)) => Some(TokensToRevoke::OfUser { user_id, issued_before }),
            ((None, None), _) => {
                field_errors.add("/jti", Reason::Missing);
                None
            }
            ((Some(_), Some(_)), _) => {
                field_errors.add("/user_id", Reason::Contradictory);
                None
            }
            ((None, Some(_)), (Some(_), _)) => {
                field_errors.add("/expires_at", Reason::Contradictory);
                None
            }
            ((Some(_), None), (_, Some(_))) => {
                field_errors.add("/issued_before", Reason::Contradictory);
                None
            }
        });
        field_errors.check(tokens)
    }
}

#[derive(Serialize, ToSchema)]
pub struct TokenRevocationResponse {
    revocation_id: Uuid,
    /// The id of the token, where one token is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    jti: Option<String>,
    /// The subject of the tokens, where those of a user are revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_id: Option<String>,
    /// The time before which the user's tokens were issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    issued_before: Option<Time>,
    /// When all of these tokens have expired.
    expires_at: Time,
    created_at: Time,
}

impl TokenRevocationResponse {
    pub fn of(revocation: &Revocation) -> Self {
        let (jti, user_id, issued_before) = match &revocation.tokens {
            RevokedTokens::One(token_id) => (Some(token_id.as_str().to_owned()), None, None),
            RevokedTokens::OfUser { user_id, issued_before } => {
                (None, Some(user_id.to_string()), Some((*issued_before).into()))
            }
        };
        Self {
            revocation_id: revocation.id.uuid(),
            jti,
            user_id,
            issued_before,
            expires_at: revocation.expires_at.into(),
            created_at: revocation.at.into(),
        }
    }
}
