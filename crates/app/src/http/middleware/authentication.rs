use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderValue};

use jangteo_domain::command::Actor;

use crate::http::access::Access;
use crate::http::middleware::denial;
use crate::http::respond::problem::{Problem, ProblemCode};

/// The caller; `None` without a token.
///
/// # Errors
/// 401 for an invalid token, and for more than one.
pub async fn caller(access: &Access, request: &ServiceRequest) -> Result<Option<Actor>, Problem> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let authenticated = match (headers.next(), headers.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => match bearer_token(value) {
            Some(token) => access.authenticator.authenticate(token).await.map_err(|error| error.to_string()),
            None => Err("no bearer token".to_owned()),
        },
        (Some(_), Some(_)) => Err("several tokens".to_owned()),
    };
    authenticated.map(Some).map_err(|reason| {
        denial::unauthenticated(denial::client(request), reason);
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
