//! The parts that operations share: parameters, problems, headers and ids.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{HttpMethod, ObjectBuilder, OneOf, PathItem, RefOr, Required, Response, Schema, Type};

use crate::http::openapi::problem;
use crate::http::respond::problem::ProblemCode;

/// Of every operation under `/v1`.
const OF_V1: &[ProblemCode] = &[
    ProblemCode::Unauthenticated,
    ProblemCode::NotAcceptable,
    ProblemCode::InternalError,
    ProblemCode::DatabaseUnavailable,
];

/// Of operations with a body.
const OF_BODIES: &[ProblemCode] = &[
    ProblemCode::BadRequest,
    ProblemCode::MalformedJson,
    ProblemCode::InvalidBody,
    ProblemCode::RequestTimeout,
    ProblemCode::BodyTooLarge,
    ProblemCode::UnsupportedMediaType,
];

/// Of operations with an effect.
const OF_WRITES: &[ProblemCode] = &[
    ProblemCode::InvalidIdempotencyKey,
    ProblemCode::IdempotencyKeyRequired,
    ProblemCode::IdempotencyKeyReused,
    ProblemCode::RequestInProgress,
    ProblemCode::Overloaded,
    ProblemCode::OutcomeUnknown,
    ProblemCode::ShuttingDown,
];

/// A key, bare or quoted.
const IDEMPOTENCY_KEY: &str = r#"^([!#-~][ -~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#;

/// The one POST without an effect.
const QUOTE: &str = "/v1/orders/quote";

/// The operations of a path.
pub fn of(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let all = [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Put, &mut item.put),
        (HttpMethod::Patch, &mut item.patch),
        (HttpMethod::Delete, &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Adds the parts that operations share.
pub fn complete(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let has_body = *method != HttpMethod::Get;
    let is_write = has_body && path != QUOTE;
    operation.operation_id = operation.operation_id.as_deref().map(camel_case);
    let mut problems = problem::take_codes(&mut operation.responses.responses);
    problems.extend(common_problems(path, method, operation));
    operation.responses.responses.extend(problem::responses(problems));

    if is_write {
        operation.parameters.get_or_insert_default().push(idempotency_key().into());
    }
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.parameter_in == ParameterIn::Query
        {
            if parameter.name == "limit"
                && let Some(RefOr::T(Schema::Object(limit))) = &mut parameter.schema
            {
                limit.format = None; // A number of any size is accepted.
            }
            parameter.schema = parameter.schema.take().map(or_empty);
        }
    }
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        for content in body.content.values_mut() {
            if let RefOr::T(content) = content {
                content.schema = content.schema.take().map(not_null);
            }
        }
    }
    let is_cached = operation.responses.responses.contains_key("304");
    if is_cached {
        operation.parameters.get_or_insert_default().push(if_none_match().into());
    }
    if path.starts_with("/v1") {
        operation.security.get_or_insert_with(|| vec![SecurityRequirement::new("bearer", [] as [&str; 0])]);
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            complete_response(status, response, is_write, is_cached);
        }
    }
}

/// The problems of an operation by its path, method and parameters, beside those of its handler.
pub fn common_problems(path: &str, method: &HttpMethod, operation: &Operation) -> Vec<ProblemCode> {
    let (has_body, is_v1) = (*method != HttpMethod::Get, path.starts_with("/v1"));
    let has_cursor = operation.parameters.iter().flatten().any(|parameter| match parameter {
        RefOr::T(parameter) => parameter.parameter_in == ParameterIn::Query && parameter.name == "cursor",
        RefOr::Ref(_) => false,
    });
    let is_probe = matches!(path, "/livez" | "/readyz");
    let groups: [(bool, &[ProblemCode]); 8] = [
        (is_v1, &[ProblemCode::InvalidQuery]),
        (has_cursor, &[ProblemCode::InvalidCursor]),
        (path.starts_with("/v1/admin"), &[ProblemCode::Forbidden]),
        (is_v1 && has_body, OF_BODIES),
        (is_v1 && has_body && path != QUOTE, OF_WRITES),
        (is_v1, OF_V1),
        (!is_probe, &[ProblemCode::RateLimited]),
        (true, &[ProblemCode::HeadersTooLarge]),
    ];
    groups.into_iter().filter(|(applies, _)| *applies).flat_map(|(_, codes)| codes).copied().collect()
}

/// An operation id from a handler's name: `place_order` as `placeOrder`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        name + &initial.to_ascii_uppercase() + rest
    })
}

fn idempotency_key() -> Parameter {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Deduplicates retries of the request: 1 to 255 printable ASCII characters, bare or quoted. Mandatory where \
             the shop requires it.",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).pattern(Some(IDEMPOTENCY_KEY))))
        .build()
}

/// The schema of an optional body, which may be absent but is never `null`.
fn not_null(schema: RefOr<Schema>) -> RefOr<Schema> {
    let RefOr::T(Schema::OneOf(OneOf { items, .. })) = &schema else { return schema };
    let is_null = |item: &RefOr<Schema>| matches!(item, RefOr::T(Schema::Object(object)) if object.schema_type == Type::Null.into());
    match &items[..] {
        [other, null] | [null, other] if is_null(null) => other.clone(),
        _ => schema,
    }
}

/// The schema of a query parameter, or the empty string, which counts as absent.
fn or_empty(schema: RefOr<Schema>) -> RefOr<Schema> {
    let is_any_text = match &schema {
        RefOr::T(Schema::Array(_)) => true,
        RefOr::T(Schema::Object(object)) => {
            object.schema_type == Type::String.into()
                && object.enum_values.is_none()
                && object.format.is_none()
                && object.pattern.is_none()
        }
        _ => false,
    };
    if is_any_text {
        return schema;
    }
    let empty = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([""]));
    AnyOfBuilder::new().item(schema).item(empty).into()
}

fn if_none_match() -> Parameter {
    ParameterBuilder::new()
        .name("If-None-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The `ETag` of a cached response. If it still matches, the response is 304 without a body."))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn complete_response(status: &str, response: &mut Response, is_write: bool, is_cached: bool) {
    if response.description.is_empty() {
        let phrase = StatusCode::from_bytes(status.as_bytes()).ok().and_then(|status| status.canonical_reason());
        response.description = phrase.unwrap_or_default().to_owned();
    }
    let mut headers = BTreeMap::from([("X-Request-Id", "The id of the request: the caller's, or a new one")]);
    match status {
        "201" | "202" => drop(headers.insert("Location", "The path of the created resource")),
        "401" => drop(headers.insert("WWW-Authenticate", "The authentication scheme")),
        "408" | "429" | "503" => drop(headers.insert("Retry-After", "The delay before a retry, in seconds")),
        _ => {}
    }
    if is_write && matches!(status, "200" | "201" | "409") {
        headers.insert("Idempotent-Replayed", "`true` on a replayed response");
    }
    if is_cached && matches!(status, "200" | "304") {
        headers.insert("ETag", "The version of the response, for `If-None-Match`");
        headers.insert("Cache-Control", "The cache policy");
        headers.insert("Vary", "`Accept-Encoding`");
    }
    response.headers.extend(headers.into_iter().map(|(name, text)| (name.to_owned(), text_header(text))));
}

fn text_header(description: &str) -> RefOr<Header> {
    HeaderBuilder::new()
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
        .into()
}
