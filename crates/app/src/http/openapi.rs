//! The OpenAPI document, made from the handlers, and the page that shows it.

use actix_web::http::header::{self, HeaderName};
use actix_web::middleware::DefaultHeaders;
use actix_web::{HttpRequest, HttpResponse, get, web};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HttpMethod, InfoBuilder, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, Required, Response,
    ResponseBuilder, Type,
};
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_actix_web::{AppExt, scope};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::http::health;
use crate::http::respond::cached_response::{CacheControl, CachedResponse};
use crate::http::respond::problem::CONTENT_TYPE;
use crate::http::routes::resources;

mod problem;

/// What every operation under `/v1` may answer beside its own.
const COMMON: &[(&str, &str)] = &[
    ("401", "`UNAUTHENTICATED`"),
    ("406", "`NOT_ACCEPTABLE`"),
    ("429", "`RATE_LIMITED`"),
    ("500", "`INTERNAL_ERROR`"),
    ("503", "`DATABASE_UNAVAILABLE`"),
];

/// What those with a body may answer beside that.
const COMMON_OF_BODIES: &[(&str, &str)] = &[
    ("400", "`MALFORMED_JSON`, `INVALID_BODY`"),
    ("408", "`REQUEST_TIMEOUT`"),
    ("413", "`BODY_TOO_LARGE`"),
    ("415", "`UNSUPPORTED_MEDIA_TYPE`"),
];

/// What those that have an effect may answer beside that.
const COMMON_OF_WRITES: &[(&str, &str)] = &[
    ("400", "`INVALID_IDEMPOTENCY_KEY`, `IDEMPOTENCY_KEY_REQUIRED`"),
    ("409", "`REQUEST_IN_PROGRESS`"),
    ("422", "`IDEMPOTENCY_KEY_REUSED`"),
    ("503", "`OUTCOME_UNKNOWN`, `OVERLOADED`, `SHUTTING_DOWN`"),
];

/// The one POST that has no effect.
const QUOTE: &str = "/v1/orders/quote";

/// The document, without a server.
pub fn openapi() -> OpenApi {
    let (_, api) = actix_web::App::new()
        .into_utoipa_app()
        .service(scope("/v1").configure(resources))
        .configure(|config| health::routes(config, true))
        .configure(routes)
        .split_for_parts();
    complete(api)
}

/// Adds what all operations share, so that no handler has to repeat it.
pub fn complete(mut api: OpenApi) -> OpenApi {
    api.info = InfoBuilder::new()
        .title("Jangteo")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "The transaction core of a shop: points, products and their stock, coupons, orders and payments. \
             Money is a decimal string in the shop's currency; times are RFC 3339 in UTC; every error is a problem \
             (RFC 9457) with a stable `code`.",
        ))
        .build();
    let components = api.components.get_or_insert_default();
    components.schemas.extend(problem::schemas());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            complete_operation(path, &method, operation);
        }
    }
    api
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let all = [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Put, &mut item.put),
        (HttpMethod::Patch, &mut item.patch),
        (HttpMethod::Delete, &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn complete_operation(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let is_write = *method != HttpMethod::Get && path != QUOTE;
    if path.starts_with("/v1") {
        add_common_answers(operation, COMMON);
        add_answers_of_query(operation);
        if *method != HttpMethod::Get {
            add_common_answers(operation, COMMON_OF_BODIES);
            operation.parameters.get_or_insert_default().push(idempotency_key().into());
        }
        if is_write {
            add_common_answers(operation, COMMON_OF_WRITES);
        }
        if path.starts_with("/v1/admin") {
            add_common_answers(operation, &[("403", "`FORBIDDEN`: the token lacks the scope `admin`")]);
        }
        operation.security.get_or_insert_with(|| vec![SecurityRequirement::new("bearer", [] as [&str; 0])]);
    }
    let may_be_known = operation.responses.responses.contains_key("304");
    if may_be_known {
        operation.parameters.get_or_insert_default().push(if_none_match().into());
    }
    for (status, answer) in &mut operation.responses.responses {
        if let RefOr::T(answer) = answer {
            complete_answer(status, answer, is_write);
            if may_be_known && matches!(status.as_str(), "200" | "304") {
                complete_cached_response(answer);
            }
        }
    }
}

fn add_answers_of_query(operation: &mut Operation) {
    let parameters = operation.parameters.iter().flatten();
    let names: Vec<&str> = parameters
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.as_str()),
            _ => None,
        })
        .collect();
    let codes = match (names.is_empty(), names.contains(&"cursor")) {
        (true, _) => return,
        (false, false) => "`INVALID_QUERY`",
        (false, true) => "`INVALID_QUERY`, `INVALID_CURSOR`",
    };
    add_common_answers(operation, &[("400", codes)]);
}

/// Adds answers that all operations share; where an operation has words for the status already, both stand.
fn add_common_answers(operation: &mut Operation, common: &[(&str, &str)]) {
    for (status, codes) in common {
        let answers = &mut operation.responses.responses;
        match answers.get_mut(*status) {
            Some(RefOr::T(answer)) if !answer.description.contains(codes) => {
                answer.description = format!("{}; {codes}", answer.description.trim_end_matches('.'));
            }
            Some(_) => {}
            None => {
                let answer = ResponseBuilder::new().description(*codes).build();
                answers.insert((*status).to_owned(), RefOr::T(answer));
            }
        }
    }
}

fn idempotency_key() -> utoipa::openapi::path::Parameter {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Makes the request one effect however often it is sent: 1 to 255 printable ASCII characters, bare or \
             quoted. Needed where the shop requires it.",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255))))
        .build()
}

fn if_none_match() -> utoipa::openapi::path::Parameter {
    ParameterBuilder::new()
        .name("If-None-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The `ETag` of an answer that the caller has: the same again is 304, without a body."))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn complete_cached_response(answer: &mut Response) {
    for (name, description) in [
        ("ETag", "What tells this answer from others to the same request"),
        ("Cache-Control", "How long it may be kept on the way"),
        ("Vary", "`Accept-Encoding`"),
    ] {
        answer.headers.insert(name.to_owned(), text_header(description));
    }
}

fn complete_answer(status: &str, answer: &mut Response, is_write: bool) {
    let mut add = |name: &str, description: &str| answer.headers.insert(name.to_owned(), text_header(description));
    add("X-Request-Id", "The request's id, as it was sent or as it was made");
    match status {
        "201" => drop(add("Location", "Where what was made can be found")),
        "401" => drop(add("WWW-Authenticate", "How to authenticate")),
        "408" | "429" | "503" => drop(add("Retry-After", "Seconds to wait")),
        _ => {}
    }
    if is_write && matches!(status, "200" | "201" | "409") {
        add("Idempotent-Replayed", "`true` on the answer to a request that was answered before");
    }
    if status.starts_with(['4', '5']) {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(problem::NAME))).build();
        answer.content.insert(CONTENT_TYPE.to_owned(), content.into());
    } else if answer.description.is_empty() {
        answer.description = if status == "201" { "Made" } else { "Found or done" }.to_owned();
    }
}

fn text_header(description: &str) -> RefOr<Header> {
    HeaderBuilder::new()
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
        .into()
}

/// The document as it is served.
pub struct Document(CachedResponse);

impl Document {
    /// The document, written once.
    pub fn of(api: &OpenApi) -> Self {
        Self(CachedResponse::of(api))
    }
}

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(show_document);
}

/// This document
#[utoipa::path(
    tag = "operation",
    security(()),
    responses(
        (status = 200, body = std::collections::BTreeMap<String, serde_json::Value>),
        (status = 304, description = "As it was"),
    ),
)]
#[get("/openapi.json")]
async fn show_document(document: web::Data<Document>, request: HttpRequest) -> HttpResponse {
    document.0.respond(&request, CacheControl::IfTheyAsk).await
}

/// Serves the page that shows the document and fetches nothing from elsewhere.
pub fn page(config: &mut web::ServiceConfig) {
    let page = SwaggerUi::new("/{_:.*}").config(Config::from("/openapi.json"));
    let policy = DefaultHeaders::new().add((
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
    ));
    config
        .route("/docs", web::get().to(|| async { redirect("/docs/") }))
        .service(web::scope("/docs").wrap(policy).service(page));
}

fn redirect(location: &'static str) -> HttpResponse {
    let location: (HeaderName, &str) = (header::LOCATION, location);
    HttpResponse::PermanentRedirect().insert_header(location).finish()
}

#[cfg(test)]
mod tests;
