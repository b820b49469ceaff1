//! The caller of a request.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use jangteo_domain::UserId;
use jangteo_domain::command::Actor;

use crate::auth::Bearer;
use crate::http::extract::path::USER_ID;
use crate::http::respond::problem::{Problem, ProblemCode};
use crate::http::state::AppState;
use crate::settings::TopUpBy;

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
        ready(Ok(Self(request.extensions().get::<Bearer>().map(|bearer| bearer.actor.clone()))))
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
        request.extensions().get::<Bearer>().map(|bearer| Self(bearer.actor.clone())).ok_or_else(missing)
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

impl Owner {
    fn of(request: &HttpRequest, may_access: impl FnOnce(&UserId) -> bool) -> Result<Self, Problem> {
        let named = request.match_info().query(USER_ID).parse::<UserId>().ok();
        named.filter(may_access).map(Self).ok_or(ProblemCode::UserNotFound.into())
    }
}

impl FromRequest for Owner {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let signed_in = SignedIn::of(request);
        ready(signed_in.and_then(|SignedIn(actor)| Self::of(request, |user_id| actor.may_see(user_id))))
    }
}

/// The user in the path, if the caller may top up their points: a payment service or the back office; the user alone
/// where `TOP_UP_BY=owner`, else 403. For everybody else the user does not exist.
pub struct TopUpRecipient(pub UserId);

impl FromRequest for TopUpRecipient {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let recipient = SignedIn::of(request).and_then(|SignedIn(actor)| {
            let is_service = request.extensions().get::<Bearer>().is_some_and(|bearer| bearer.is_payment_service);
            let Owner(user_id) = Owner::of(request, |user_id| is_service || actor.may_see(user_id))?;
            let state = request.app_data::<Data<AppState>>().expect("the application has its state");
            match state.options.top_up_by {
                TopUpBy::Scope if !is_service && !actor.is_admin => Err(ProblemCode::Forbidden.into()),
                TopUpBy::Owner | TopUpBy::Scope => Ok(Self(user_id)),
            }
        });
        ready(recipient)
    }
}
