//! The caller of a request.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use jangteo_domain::UserId;
use jangteo_domain::command::Actor;

use crate::http::extract::path::USER_ID;
use crate::http::respond::problem::{Problem, ProblemCode};

/// A caller, authenticated or anonymous.
pub struct OptionalCaller(pub Option<Actor>);

impl OptionalCaller {
    /// Whether the token has the scope `admin`.
    pub fn is_admin(&self) -> bool {
        self.0.as_ref().is_some_and(|actor| actor.is_admin)
    }
}

impl FromRequest for OptionalCaller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(request.extensions().get::<Actor>().cloned())))
    }
}

/// An authenticated caller; 401 without a token.
pub struct SignedIn(pub Actor);

impl SignedIn {
    /// # Errors
    /// `UNAUTHENTICATED` with a challenge, for a request without a token.
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let challenge = HeaderValue::from_static(r#"Bearer realm="jangteo""#);
        let missing = || Problem::new(ProblemCode::Unauthenticated).with_header(header::WWW_AUTHENTICATE, challenge);
        request.extensions().get::<Actor>().cloned().map(Self).ok_or_else(missing)
    }
}

impl FromRequest for SignedIn {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

/// A caller with the scope `admin`; 403 without it.
pub struct Admin;

impl FromRequest for Admin {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let admin = SignedIn::of(request)
            .and_then(|SignedIn(actor)| if actor.is_admin { Ok(Self) } else { Err(ProblemCode::Forbidden.into()) });
        ready(admin)
    }
}

/// The user in the path, if the caller has access; else 404.
pub struct Owner(pub UserId);

impl FromRequest for Owner {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let owner = SignedIn::of(request).and_then(|SignedIn(actor)| {
            let named = request.match_info().query(USER_ID).parse::<UserId>().ok();
            named.filter(|user_id| actor.may_see(user_id)).map(Self).ok_or(ProblemCode::UserNotFound.into())
        });
        ready(owner)
    }
}
