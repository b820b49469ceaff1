//! Ids in paths: a malformed one is not found, like an unknown one.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use jangteo_domain::id::{CampaignId, CouponId, EventId, OrderId, ProductId, VerificationId};
use jangteo_domain::product::Sku;

use crate::http::respond::problem::{FieldError, Problem, ProblemCode, Reason};

/// The name of the path parameter of users.
pub const USER_ID: &str = "user_id";

/// An id in a path. A malformed id is not found, rather than a bad request.
pub struct ApiPath<T>(pub T);

/// An id of a path parameter.
pub trait PathId: From<Uuid> {
    /// The name of the path parameter.
    const PARAMETER: &'static str;
    /// The problem of a malformed or unknown id.
    const NOT_FOUND: ProblemCode;
}

impl PathId for ProductId {
    const PARAMETER: &'static str = "product_id";
    const NOT_FOUND: ProblemCode = ProblemCode::ProductNotFound;
}

impl PathId for CampaignId {
    const PARAMETER: &'static str = "campaign_id";
    const NOT_FOUND: ProblemCode = ProblemCode::CampaignNotFound;
}

impl PathId for CouponId {
    const PARAMETER: &'static str = "coupon_id";
    const NOT_FOUND: ProblemCode = ProblemCode::CouponNotFound;
}

impl PathId for OrderId {
    const PARAMETER: &'static str = "order_id";
    const NOT_FOUND: ProblemCode = ProblemCode::OrderNotFound;
}

impl PathId for EventId {
    const PARAMETER: &'static str = "event_id";
    const NOT_FOUND: ProblemCode = ProblemCode::EventNotFound;
}

impl PathId for VerificationId {
    const PARAMETER: &'static str = "verification_id";
    const NOT_FOUND: ProblemCode = ProblemCode::VerificationNotFound;
}

/// The SKU at the end of a path.
pub struct SkuInPath(pub Sku);

impl FromRequest for SkuInPath {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // As sent: the router decodes some characters, and replaces invalid ones.
        let segment = request.uri().path().rsplit('/').next().unwrap_or_default();
        let written = percent_decode_str(segment).decode_utf8();
        let sku = written.map_err(|_| Reason::Invalid).and_then(|written| Ok(Sku::parse(&written)?));
        let field_error = |reason| FieldError { pointer: "/sku".to_owned(), reason };
        ready(sku.map(Self).map_err(|reason| Problem::of_fields(vec![field_error(reason)])))
    }
}

impl<T: PathId> FromRequest for ApiPath<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = parse_uuid(request.match_info().query(T::PARAMETER));
        ready(id.map(|id| Self(T::from(id))).ok_or(T::NOT_FOUND.into()))
    }
}

/// The ids in a request's path as parsed, in the order of the path: equal for every spelling of the same address, by
/// percent-encoding or the case of a UUID's letters.
pub fn path_ids(request: &HttpRequest) -> Vec<String> {
    let parsed = |(parameter, written): (&str, &str)| match parse_uuid(written) {
        // The case of a user id matters, even in the form of a UUID.
        Some(id) if parameter != USER_ID => id.to_string(),
        _ => written.to_owned(),
    };
    request.match_info().iter().map(parsed).collect()
}

/// A UUID in its hyphenated form of 36 characters only.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}
