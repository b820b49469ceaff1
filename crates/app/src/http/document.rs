//! The OpenAPI document, made from the handlers, and the page that shows it.

use actix_web::http::header::{self, HeaderName};
use actix_web::middleware::DefaultHeaders;
use actix_web::{HttpResponse, web};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HttpMethod, InfoBuilder, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, Required, Response,
    ResponseBuilder, Type,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_actix_web::{AppExt, scope};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::http::{health, resources};
use crate::problem::{CONTENT_TYPE, Fault, ProblemResponse, Reason};

const PROBLEM: &str = "Problem";

/// What every operation under `/v1` may answer beside its own.
const COMMON: &[(&str, &str)] = &[
    ("400", "`INVALID_QUERY`, `INVALID_CURSOR`"),
    ("401", "`UNAUTHENTICATED`"),
    ("406", "`NOT_ACCEPTABLE`"),
    ("429", "`RATE_LIMITED`"),
    ("500", "`INTERNAL_ERROR`"),
    ("503", "`DATABASE_UNAVAILABLE`, `OVERLOADED`"),
];

/// What every write may answer beside that.
const COMMON_OF_WRITES: &[(&str, &str)] = &[
    ("400", "`MALFORMED_JSON`, `INVALID_BODY`, `INVALID_IDEMPOTENCY_KEY`, `IDEMPOTENCY_KEY_REQUIRED`"),
    ("408", "`REQUEST_TIMEOUT`"),
    ("409", "`REQUEST_IN_PROGRESS`"),
    ("413", "`BODY_TOO_LARGE`"),
    ("415", "`UNSUPPORTED_MEDIA_TYPE`"),
    ("422", "`IDEMPOTENCY_KEY_REUSED`"),
    ("503", "`DATABASE_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `OVERLOADED`, `SHUTTING_DOWN`"),
];

/// The document, without a server.
pub fn openapi() -> OpenApi {
    let (_, api) = actix_web::App::new()
        .into_utoipa_app()
        .service(scope("/v1").configure(resources))
        .configure(|config| health::routes(config, true))
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
    let mut schemas = vec![(PROBLEM.to_owned(), ProblemResponse::schema())];
    schemas.push((Fault::name().into_owned(), Fault::schema()));
    schemas.push((Reason::name().into_owned(), Reason::schema()));
    components.schemas.extend(schemas);
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
    if path.starts_with("/v1") {
        let is_write = *method != HttpMethod::Get;
        add_common_answers(operation, COMMON);
        if is_write {
            add_common_answers(operation, COMMON_OF_WRITES);
            operation.parameters.get_or_insert_default().push(idempotency_key().into());
        }
        if path.starts_with("/v1/admin") {
            add_common_answers(operation, &[("403", "`FORBIDDEN`: the token lacks the scope `admin`")]);
        }
        operation.security.get_or_insert_with(|| vec![SecurityRequirement::new("bearer", [] as [&str; 0])]);
        for (status, answer) in &mut operation.responses.responses {
            if let RefOr::T(answer) = answer {
                add_headers(status, answer, is_write);
            }
        }
    }
    for (status, answer) in &mut operation.responses.responses {
        if let RefOr::T(answer) = answer && status.starts_with(['4', '5']) {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(PROBLEM))).build();
            answer.content.insert(CONTENT_TYPE.to_owned(), content.into());
            answer.headers.insert("X-Request-Id".to_owned(), text_header("The request's id"));
        }
    }
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

fn add_headers(status: &str, answer: &mut Response, is_write: bool) {
    let mut add = |name: &str, description: &str| answer.headers.insert(name.to_owned(), text_header(description));
    add("X-Request-Id", "The request's id, as it was sent or as it was made");
    match status {
        "201" => drop(add("Location", "Where what was made can be found")),
        "401" => drop(add("WWW-Authenticate", "How to authenticate")),
        "429" | "503" => drop(add("Retry-After", "Seconds to wait")),
        _ => {}
    }
    if is_write && matches!(status, "200" | "201" | "409") {
        add("Idempotent-Replayed", "`true` on the answer to a request that was answered before");
    }
}

fn text_header(description: &str) -> RefOr<Header> {
    HeaderBuilder::new()
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
        .into()
}

/// Serves the document and the page that shows it, which fetches nothing from elsewhere.
pub fn routes(config: &mut web::ServiceConfig, api: OpenApi) {
    let json = web::Bytes::from(api.to_json().expect("the document can be written as JSON"));
    let serve = move || {
        let json = json.clone();
        async { HttpResponse::Ok().content_type("application/json").body(json) }
    };
    let page = SwaggerUi::new("/{_:.*}").config(Config::from("/openapi.json"));
    let policy = DefaultHeaders::new().add((
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
    ));
    config
        .route("/openapi.json", web::get().to(serve))
        .route("/docs", web::get().to(|| async { redirect("/docs/") }))
        .service(web::scope("/docs").wrap(policy).service(page));
}

fn redirect(location: &'static str) -> HttpResponse {
    let location: (HeaderName, &str) = (header::LOCATION, location);
    HttpResponse::PermanentRedirect().insert_header(location).finish()
}
