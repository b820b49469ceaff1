//! The outermost layer: gives each request its id and deadline, and makes sure that each gets one well-formed answer,
//! whatever happens inside.

use std::borrow::Cow;
use std::future::{Future, Ready, ready};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ResourceDef, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, AcceptLanguage, Header, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse, web};
use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span};
use utoipa::openapi::OpenApi;
use uuid::Uuid;

use jangteo_domain::StoreError;

use crate::http::AppState;
use crate::problem::{self, Language, Occurrence, Problem, ProblemCode};
use crate::telemetry;
use crate::trace_parent::TraceParent;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_LENGTH_MAX: usize = 64;

/// Until when a request must be answered.
#[derive(Clone, Copy)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// What a read port answers, if it does in time. The query itself is not stopped: its connection belongs to the
    /// store, which never leaves one half-way.
    pub async fn read<T>(self, query: impl Future<Output = Result<T, StoreError>>) -> Result<T, Problem> {
        match timeout_at(self.0, query).await {
            Ok(answer) => answer.map_err(Problem::from),
            Err(_elapsed) => {
                tracing::warn!("the database did not answer in time");
                Err(ProblemCode::DatabaseUnavailable.into())
            }
        }
    }

    /// The deadline of a request.
    ///
    /// # Panics
    /// When the request did not come through the edge.
    pub fn of(request: &HttpRequest) -> Self {
        *request.extensions().get().expect("the edge gives each request a deadline")
    }
}

impl FromRequest for Deadline {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}

/// Wraps everything else.
pub async fn answer_every_request(
    shop: web::Data<AppState>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began_at = Instant::now();
    let occurrence = Occurrence {
        request_id: request_id(request.headers()),
        instance: request.path().to_owned(),
        language: language(&request),
    };
    let method = request.method().clone();
    let span = span_of(&request, &occurrence);
    if method == Method::HEAD {
        // What answers GET answers HEAD (RFC 9110, 9.3.2); the protocol's layer below leaves the body out.
        request.head_mut().method = Method::GET;
    }
    request.extensions_mut().insert(occurrence.clone());
    request.extensions_mut().insert(Deadline(began_at + shop.options.request_timeout));

    let answering = async move { next.call(request).await }.instrument(span.clone());
    // Unwind safe: nothing that the request touched is used afterwards but shared state, which keeps itself sound.
    let outcome = AssertUnwindSafe(answering).catch_unwind().await;
    let _in_span = span.enter();
    let answer = match outcome {
        Ok(Ok(response)) => Ok(render_problem(response.map_into_boxed_body(), &occurrence)),
        Ok(Err(error)) => Err(problem_of_error(&error).render(&occurrence)),
        Err(_panic) => Err(Problem::new(ProblemCode::InternalError).render(&occurrence)),
    };
    match answer {
        Ok(mut response) => {
            let route = response.request().match_pattern();
            finish(response.response_mut().headers_mut(), &occurrence, &shop);
            note(&span, &method, route, response.status(), began_at.elapsed());
            Ok(response)
        }
        Err(mut response) => {
            finish(response.headers_mut(), &occurrence, &shop);
            note(&span, &method, None, response.status(), began_at.elapsed());
            Err(InternalError::from_response("", response).into())
        }
    }
}

/// The caller's id for the request when it is safe to log, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let is_safe = |id: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        (1..=REQUEST_ID_LENGTH_MAX).contains(&id.len()) && id.bytes().all(allowed)
    };
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_safe);
    given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// The language to tell errors in: the first that the caller would rather have.
fn language(request: &ServiceRequest) -> Language {
    let Ok(mut accepted) = AcceptLanguage::parse(request) else { return Language::English };
    accepted.retain(|preference| preference.quality > header::Quality::ZERO);
    let ranked = accepted.ranked();
    let known = ranked.iter().find_map(|preference| {
        let tag = preference.item().map_or("en", |tag| tag.as_str()).to_ascii_lowercase();
        match tag.split('-').next() {
            Some("ko") => Some(Language::Korean),
            Some("en") => Some(Language::English),
            _ => None,
        }
    });
    known.unwrap_or(Language::English)
}

/// Replaces the body of an error by its problem. Successes stay as they are, and so do rejections, which were rendered
/// with the answer to their command.
fn render_problem(response: ServiceResponse<BoxBody>, occurrence: &Occurrence) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if !is_error || content_type.is_some_and(|content_type| content_type == problem::CONTENT_TYPE) {
        return response;
    }
    let problem = response.response().error().map_or_else(|| problem_of_status(status), problem_of_error);
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, problem.render(occurrence))
}

fn problem_of_error(error: &Error) -> Problem {
    error.as_error::<Problem>().cloned().unwrap_or_else(|| problem_of_status(error.as_response_error().status_code()))
}

/// The problem of an error that the web framework answered by itself.
fn problem_of_status(status: StatusCode) -> Problem {
    let code = match status {
        StatusCode::NOT_FOUND => ProblemCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ProblemCode::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => ProblemCode::RequestTimeout,
        StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemCode::UnsupportedMediaType,
        status if status.is_client_error() => ProblemCode::BadRequest,
        status => {
            tracing::error!(%status, "the server failed outside of a handler");
            ProblemCode::InternalError
        }
    };
    code.into()
}

/// Headers of every answer.
fn finish(headers: &mut HeaderMap, occurrence: &Occurrence, shop: &AppState) {
    if let Ok(id) = HeaderValue::from_str(&occurrence.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    let mut set_default = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    set_default(header::CACHE_CONTROL, "no-store");
    set_default(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    set_default(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set_default(header::X_FRAME_OPTIONS, "DENY");
    set_default(header::REFERRER_POLICY, "no-referrer");
    set_default(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if shop.readiness.is_draining() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// The span that all log lines of a request stand in.
fn span_of(request: &ServiceRequest, occurrence: &Occurrence) -> Span {
    let trace = request.headers().get("traceparent").and_then(|value| value.to_str().ok()).and_then(TraceParent::parse);
    let span = tracing::info_span!(
        "request",
        request_id = occurrence.request_id,
        method = %request.method(),
        path = request.path(),
        trace_id = trace.map(|trace| trace.trace_id),
        parent_id = trace.map(|trace| trace.parent_id),
        user_id = tracing::field::Empty,
        status = tracing::field::Empty,
        otel.kind = tracing::field::Empty,
    );
    #[cfg(feature = "otel")]
    crate::traces::begin_request(&span, trace);
    span
}

/// Tells the log, the figures and the trace of an answer.
fn note(span: &Span, method: &Method, route: Option<String>, status: StatusCode, took: Duration) {
    span.record("status", status.as_u16());
    #[cfg(feature = "otel")]
    crate::traces::end_request(span, method, route.as_deref(), status);
    tracing::info!("answered");
    // Routes and methods are few whatever callers send, so that the figures stay few.
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    let route = route.map_or(Cow::Borrowed("unmatched"), Cow::Owned);
    let status = status.as_str().to_owned();
    metrics::histogram!(telemetry::REQUEST_SECONDS, "method" => method, "route" => route, "status" => status)
        .record(took);
}

/// Which methods each path takes, from the API's own document.
pub struct Routes(Vec<(ResourceDef, Vec<Method>)>);

impl Routes {
    /// The routes that the document names.
    pub fn of(api: &OpenApi) -> Self {
        let routes = api.paths.paths.iter().map(|(path, item)| {
            let operations = [
                (Method::GET, &item.get),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ];
            let methods = operations.into_iter().filter(|(_, operation)| operation.is_some());
            (ResourceDef::new(path.as_str()), methods.map(|(method, _)| method).collect())
        });
        Self(routes.collect())
    }

    fn methods_of(&self, path: &str) -> Vec<&str> {
        let matching = self.0.iter().filter(|(pattern, _)| pattern.is_match(path));
        let mut methods: Vec<&str> = matching.flat_map(|(_, methods)| methods.iter().map(Method::as_str)).collect();
        if methods.contains(&Method::GET.as_str()) {
            methods.push(Method::HEAD.as_str());
        }
        methods.sort_unstable();
        methods.dedup();
        methods
    }
}

/// Answers what no route took: 405 where the path takes other methods, else 404.
pub async fn unmatched(request: HttpRequest, routes: web::Data<Routes>) -> Result<HttpResponse, Problem> {
    let methods = routes.methods_of(request.path());
    if methods.is_empty() {
        return Err(ProblemCode::NotFound.into());
    }
    let allow = HeaderValue::from_str(&methods.join(", ")).expect("names of methods");
    Err(Problem::new(ProblemCode::MethodNotAllowed).with_header(header::ALLOW, allow))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("ko", Language::Korean)]
    #[case("ko-KR,ko;q=0.9,en;q=0.8", Language::Korean)]
    #[case("en;q=0.5, ko;q=0.9", Language::Korean)]
    #[case("en, ko", Language::English)]
    #[case("fr, ko;q=0.1", Language::Korean)]
    #[case("ko;q=0", Language::English)]
    #[case("fr", Language::English)]
    #[case("*", Language::English)]
    #[case(";;;", Language::English)]
    fn tells_errors_in_the_preferred_language(#[case] accept_language: &str, #[case] expected: Language) {
        let request = TestRequest::get().insert_header((header::ACCEPT_LANGUAGE, accept_language)).to_srv_request();
        assert_eq!(language(&request), expected);
    }

    #[rstest]
    #[case("abc-1.2:3_4", true)]
    #[case("", false)]
    #[case("has space", false)]
    #[case("line\\nfeed", false)]
    #[case(&"a".repeat(64), true)]
    #[case(&"a".repeat(65), false)]
    fn takes_over_safe_request_ids_only(#[case] given: &str, #[case] taken: bool) {
        let request = TestRequest::get().insert_header((REQUEST_ID, given)).to_srv_request();
        assert_eq!(request_id(request.headers()) == given, taken);
    }
}
