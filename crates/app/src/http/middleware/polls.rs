//! Polls: reads by the back office that accept a response of some age, and so share one.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, CacheControl as RequestDirectives, CacheDirective, Header};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};
use tokio::time::Instant;

use crate::auth::Bearer;
use crate::http::catalog::Catalog;
use crate::http::headers::is_present;
use crate::http::respond::cached_response::{CacheControl, CachedResponse};
use crate::http::respond::read_cache::{AGE_MAX, Dated};

const JSON: &str = "application/json";

/// The response to the request, for a poll one of another poll if it is not too old.
pub async fn share(
    catalog: &Catalog,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(target) = target_of_poll(&request) else {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    };
    if let Some(shared) = catalog.polls.find(target.clone()).await {
        let response = shared.value.respond(request.request(), CacheControl::Private).await;
        return Ok(request.into_response(response));
    }
    let (key, as_of) = (catalog.polls.current(target), Instant::now());
    let response = next.call(request).await?.map_into_boxed_body();
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|of| of.as_bytes() == JSON.as_bytes());
    if response.status() != StatusCode::OK || !is_json || response.headers().contains_key(header::ETAG) {
        return Ok(response);
    }
    let (request, response) = response.into_parts();
    let (head, body) = response.into_parts();
    Ok(match body.try_into_bytes() {
        Ok(json) => {
            let shared = catalog.polls.insert(key, Dated { value: CachedResponse::of_json(json), as_of }).await;
            let response = shared.value.respond(&request, CacheControl::Private).await;
            ServiceResponse::new(request, response)
        }
        Err(body) => ServiceResponse::new(request, head.set_body(body)),
    })
}

/// The target of a read with the scope `admin`, for which the response does not depend on the caller, whose
/// `Cache-Control` accepts a response of [`AGE_MAX`].
fn target_of_poll(request: &ServiceRequest) -> Option<String> {
    let is_admin = request.extensions().get::<Bearer>().is_some_and(|bearer| bearer.actor.is_admin);
    if !is_admin || request.method() != Method::GET || !is_present(request.headers(), header::CACHE_CONTROL) {
        return None;
    }
    let RequestDirectives(directives) = RequestDirectives::parse(request).ok()?;
    let accepts_age = |directive: &CacheDirective| match directive {
        CacheDirective::MaxAge(seconds) => Some(u64::from(*seconds) >= AGE_MAX.as_secs()),
        CacheDirective::NoCache | CacheDirective::NoStore => Some(false),
        _ => None,
    };
    let mut accepting = directives.iter().filter_map(accepts_age).peekable();
    accepting.peek()?;
    accepting.all(|accepts| accepts).then(|| request.uri().to_string())
}
