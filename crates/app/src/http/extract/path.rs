//! Ids in paths.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use uuid::Uuid;

use jangteo_domain::id::{CampaignId, CouponId, EventId, OrderId, ProductId};

use crate::http::respond::problem::{Problem, ProblemCode};

/// The id in a path. What is no id names nothing, so it is not found rather than malformed.
pub struct ApiPath<T>(pub T);

/// What is named in paths.
pub trait Named: From<Uuid> {
    /// The path's parameter.
    const PARAMETER: &'static str;
    /// What is answered where there is none of that name.
    const NOT_FOUND: ProblemCode;
}

impl Named for ProductId {
    const PARAMETER: &'static str = "product_id";
    const NOT_FOUND: ProblemCode = ProblemCode::ProductNotFound;
}

impl Named for CampaignId {
    const PARAMETER: &'static str = "campaign_id";
    const NOT_FOUND: ProblemCode = ProblemCode::CampaignNotFound;
}

impl Named for CouponId {
    const PARAMETER: &'static str = "coupon_id";
    const NOT_FOUND: ProblemCode = ProblemCode::CouponNotFound;
}

impl Named for OrderId {
    const PARAMETER: &'static str = "order_id";
    const NOT_FOUND: ProblemCode = ProblemCode::OrderNotFound;
}

impl Named for EventId {
    const PARAMETER: &'static str = "event_id";
    const NOT_FOUND: ProblemCode = ProblemCode::EventNotFound;
}

impl<T: Named> FromRequest for ApiPath<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = parse_uuid(request.match_info().query(T::PARAMETER));
        ready(id.map(|id| Self(T::from(id))).ok_or(T::NOT_FOUND.into()))
    }
}

/// A UUID in the one form that is given out: 36 characters with hyphens.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}
