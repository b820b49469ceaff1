//! Lets requests to the API in: whose they are, whether they come too often, and whether the answer can be read,
//! and in which form.

use std::sync::LazyLock;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, Accept, Header, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use governor::clock::{Clock, DefaultClock};

use jangteo_domain::command::Actor;

use crate::http::{AppState, compression};
use crate::problem::{Problem, ProblemCode};

static CLOCK: LazyLock<DefaultClock> = LazyLock::new(DefaultClock::default);

/// Wraps every route of the API.
pub async fn admit(
    shop: web::Data<AppState>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let caller = authenticate(&shop, &request).await;
    // Whoever proves nothing counts by address, so that wrong tokens are no way around the limit.
    limit_rate(&shop, &request, caller.as_ref().ok().and_then(Option::as_ref))?;
    if let Some(actor) = caller? {
        tracing::Span::current().record("user_id", actor.user_id.as_str());
        request.extensions_mut().insert(actor);
    }
    check_accept(&request)?;
    let is_compressed = compression::is_asked_for(&request);
    let response = next.call(request).await?;
    Ok(if is_compressed { compression::compress(response).await } else { response.map_into_boxed_body() })
}

/// The caller, where the request carries a token.
async fn authenticate(shop: &AppState, request: &ServiceRequest) -> Result<Option<Actor>, Problem> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let token = match (headers.next(), headers.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => bearer_token(value).ok_or_else(rejected)?,
        (Some(_), Some(_)) => return Err(rejected()),
    };
    let actor = shop.authenticator.authenticate(token).await.map_err(|error| {
        tracing::debug!(%error, "a token was rejected");
        rejected()
    })?;
    Ok(Some(actor))
}

/// What follows the scheme (RFC 6750, 2.1), in whose name case does not matter (RFC 9110, 11.1).
fn bearer_token(authorization: &HeaderValue) -> Option<&str> {
    let (scheme, token) = authorization.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn rejected() -> Problem {
    let challenge = HeaderValue::from_static(r#"Bearer realm="jangteo", error="invalid_token""#);
    Problem::new(ProblemCode::Unauthenticated).with_header(header::WWW_AUTHENTICATE, challenge)
}

fn limit_rate(shop: &AppState, request: &ServiceRequest, caller: Option<&Actor>) -> Result<(), Problem> {
    let Some(limiter) = &shop.rate_limiter else { return Ok(()) };
    // The prefixes keep a user who is named like an address from being taken for it.
    let key = match (caller, request.peer_addr()) {
        (Some(actor), _) => format!("user {}", actor.user_id),
        (None, Some(address)) => format!("address {}", address.ip()),
        (None, None) => "unknown".to_owned(),
    };
    limiter.check_key(&key).map_err(|early| {
        let wait = early.wait_time_from(CLOCK.now());
        Problem::new(ProblemCode::RateLimited).with_retry_after(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    })
}

/// Answers are JSON; a caller who accepts no JSON is told so before anything happens.
fn check_accept(request: &ServiceRequest) -> Result<(), Problem> {
    if !request.headers().contains_key(header::ACCEPT) {
        return Ok(());
    }
    let accepted = Accept::parse(request).map_err(|_| ProblemCode::NotAcceptable)?;
    let is_json = accepted.0.iter().any(|range| {
        let kind = (range.item.type_().as_str(), range.item.subtype().as_str());
        let is_wanted = range.quality > header::Quality::ZERO;
        is_wanted && matches!(kind, ("*", "*") | ("application", "*") | ("application", "json"))
    });
    if is_json { Ok(()) } else { Err(ProblemCode::NotAcceptable.into()) }
}
