use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderValue};

use crate::auth::Bearer;
use crate::client_address::ClientAddress;
use crate::http::access::Access;
use crate::http::middleware::denial;
use crate::http::respond::problem::{Problem, ProblemCode};

/// The caller; `None` without a token. A token that is known to be valid costs the limits of its address nothing.
///
/// # Errors
/// 401 for an invalid token, and for more than one; 429 for an unknown one from an address with too many of those.
pub async fn caller(access: &Access, request: &ServiceRequest) -> Result<Option<Bearer>, Problem> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let token = match (headers.next(), headers.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => bearer_token(value).ok_or("no bearer token"),
        (Some(_), Some(_)) => Err("several tokens"),
    };
    if let Ok(token) = token
        && let Some(bearer) = access.authenticator.find_verified(token).await
    {
        return Ok(Some(bearer));
    }
    let client = ClientAddress::of(request);
    access.limits.admit_token(client).inspect_err(|_| denial::limited("address"))?;
    let authenticated = match token {
        Ok(token) => access.authenticator.authenticate(token).await.map_err(|error| error.to_string()),
        Err(reason) => Err(reason.to_owned()),
    };
    authenticated.map(Some).map_err(|reason| {
        access.limits.count_rejected_token(client);
        denial::unauthenticated(client, reason);
        invalid_token()
    })
}

/// The token after the scheme (RFC 6750, 2.1), which is case-insensitive (RFC 9110, 11.1).
fn bearer_token(authorization: &HeaderValue) -> Option<&str> {
    let (scheme, token) = authorization.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn invalid_token() -> Problem {
    let challenge = HeaderValue::from_static(r#"Bearer realm="jangteo", error="invalid_token""#);
    Problem::new(ProblemCode::Unauthenticated).with_header(header::WWW_AUTHENTICATE, challenge)
}
