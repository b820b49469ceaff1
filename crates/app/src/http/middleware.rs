//! The middleware, composed from one file for each concern into one wrapper around all routes and one around the API: a
//! wrapper for each concern would box each request and body once more.

use std::panic::AssertUnwindSafe;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::HeaderMap;
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::Instrument;

use crate::client_address::ClientAddress;
use crate::http::cors;
use crate::http::deadline::Deadline;
use crate::http::respond::compression;
use crate::http::respond::problem::{Occurrence, Problem, ProblemCode};
use crate::http::state::AppState;

mod accept;
mod authentication;
mod denial;
mod head_size;
mod headers;
mod language;
mod polls;
mod problems;
mod request_id;
mod telemetry;

/// The outermost layer: sets the id, language and deadline of the request, and renders every result, panics included, as
/// a well-formed response.
pub async fn respond_to_every_request(
    state: web::Data<AppState>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let received_at = Instant::now();
    let occurrence = Occurrence {
        request_id: request_id::of(request.headers()),
        instance: request.path().to_owned(),
        language: language::preferred(&request),
    };
    let client = state.access.proxies.client(request.head());
    let method = request.method().clone();
    let span = telemetry::span(&request, &occurrence, client, &state.users);
    if method == Method::HEAD {
        // HEAD is routed as GET (RFC 9110, 9.3.2); the HTTP layer below omits the body.
        request.head_mut().method = Method::GET;
    }
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(occurrence.clone());
    request.extensions_mut().insert(Deadline(received_at + state.options.request_timeout));

    let origin = state.cors.as_ref().and_then(|cors| cors.origin(request.head()));
    let is_preflight = origin.is_some() && cors::is_preflight(request.head());
    let admitted = head_size::check(&request);
    let admitted = admitted.and_then(|()| limit_outside_api(&state, request.path(), is_preflight, client));
    let responding = async move {
        admitted?;
        if is_preflight {
            return Ok(request.into_response(cors::preflight()));
        }
        next.call(request).await.map(ServiceResponse::map_into_boxed_body)
    };
    let responding = responding.instrument(span.clone());
    // Unwind safe: only shared state is used afterwards, and no panic leaves that inconsistent.
    let outcome = AssertUnwindSafe(responding).catch_unwind().await;
    let _in_span = span.enter();
    let response = match outcome {
        Ok(Ok(response)) => Ok(problems::render(response, &occurrence)),
        Ok(Err(error)) => Err(problems::of_error(&error).render(&occurrence)),
        Err(_panic) => Err(Problem::new(ProblemCode::InternalError).render(&occurrence)),
    };
    let is_draining = state.operations.readiness.is_draining();
    let complete = |headers: &mut HeaderMap| {
        headers::complete(headers, &occurrence, is_draining);
        if state.cors.is_some() {
            cors::allow(headers, origin);
        }
    };
    match response {
        Ok(mut response) => {
            let route = response.request().match_pattern();
            complete(response.response_mut().headers_mut());
            telemetry::record(&span, &method, route, response.status(), received_at.elapsed());
            Ok(response)
        }
        Err(mut response) => {
            complete(response.headers_mut());
            telemetry::record(&span, &method, None, response.status(), received_at.elapsed());
            Err(InternalError::from_response("", response).into())
        }
    }
}

/// Counts requests outside of the API by address, except for probes. The API counts by user where it can.
fn limit_outside_api(state: &AppState, path: &str, is_preflight: bool, client: ClientAddress) -> Result<(), Problem> {
    let is_api = path.strip_prefix("/v1").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if is_api && !is_preflight || matches!(path, "/livez" | "/readyz") {
        Ok(())
    } else {
        state.access.limits.count_address(client).inspect_err(|_| denial::limited("address"))
    }
}

/// The layer around the API: authentication, rate limit, content negotiation, and shared polls.
pub async fn admit(
    state: web::Data<AppState>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let client = ClientAddress::of(&request);
    match authentication::caller(&state.access, &request).await? {
        Some(bearer) => {
            tracing::Span::current().record("user_id", &*state.users.of(&bearer.actor.user_id));
            state.access.limits.count_user(&bearer.actor.user_id).inspect_err(|_| denial::limited("user"))?;
            request.extensions_mut().insert(bearer);
        }
        None => state.access.limits.count_address(client).inspect_err(|_| denial::limited("address"))?,
    }
    accept::check(&request)?;
    let is_compressed = compression::is_requested(&request);
    let response = polls::share(&state.catalog, request, next).await?;
    match response.status() {
        // A handler that requires a token: an invalid one does not get here.
        StatusCode::UNAUTHORIZED => denial::unauthenticated(client, "no token".to_owned()),
        StatusCode::FORBIDDEN => denial::forbidden(),
        _ => {}
    }
    Ok(if is_compressed { compression::compress(response).await } else { response })
}
