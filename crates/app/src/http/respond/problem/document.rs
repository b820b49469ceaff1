//! The problem document (RFC 9457) and the response with it.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::http::respond::problem::code::{Language, ProblemCode};
use crate::http::respond::problem::field_error::{FieldError, Reason};

/// The media type of every error.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// The default of `Retry-After` from a busy or failing server, in seconds.
const RETRY_AFTER_DEFAULT: u64 = 1;

/// An error response, before it is rendered.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    code: ProblemCode,
    retryable: bool,
    retry_after: Option<u64>,
    field_errors: Vec<FieldError>,
    fields: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The request that a problem is rendered for.
#[derive(Clone, Debug)]
pub struct Occurrence {
    pub request_id: String,
    /// The requested path, without the query.
    pub instance: String,
    /// The caller's preferred language.
    pub language: Language,
}

impl Problem {
    /// A problem with the defaults of its code.
    pub fn new(code: ProblemCode) -> Self {
        let kind = code.kind();
        let has_retry_after = kind.retryable || kind.status == StatusCode::SERVICE_UNAVAILABLE;
        Self {
            code,
            retryable: kind.retryable,
            retry_after: has_retry_after.then_some(RETRY_AFTER_DEFAULT),
            field_errors: Vec::new(),
            fields: Map::new(),
            headers: Vec::new(),
        }
    }

    /// The problem of invalid fields, with the code of the first field error.
    pub fn of_fields(field_errors: Vec<FieldError>) -> Self {
        let code = field_errors.first().map_or(ProblemCode::InvalidBody, |field_error| field_error.reason.code());
        Self { field_errors, ..Self::new(code) }
    }

    /// The problem of invalid query parameters.
    pub fn of_query(field_errors: Vec<FieldError>) -> Self {
        Self { field_errors, ..Self::new(ProblemCode::InvalidQuery) }
    }

    pub fn code(&self) -> ProblemCode {
        self.code
    }

    /// Adds an extension member to the standard ones.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a field error, which narrows the code down to a field.
    pub fn with_field_error(mut self, pointer: impl Into<String>, reason: Reason) -> Self {
        self.field_errors.push(FieldError { pointer: pointer.into(), reason });
        self
    }

    /// Adds a response header.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Overrides the code's default of `retryable`.
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Sets `Retry-After`, in seconds.
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The problem document, as JSON.
    pub fn body(&self, occurrence: &Occurrence) -> String {
        let kind = self.code.kind();
        let body = ProblemResponse {
            problem_type: format!("urn:jangteo:problem:{}", kind.code),
            title: kind.title.in_language(occurrence.language),
            status: kind.status.as_u16(),
            detail: kind.detail.in_language(occurrence.language),
            instance: &occurrence.instance,
            code: kind.code,
            request_id: &occurrence.request_id,
            retryable: self.retryable,
            errors: &self.field_errors,
            fields: &self.fields,
        };
        serde_json::to_string(&body).expect("text, numbers and JSON values serialize as JSON")
    }

    /// The response with the problem document.
    pub fn render(&self, occurrence: &Occurrence) -> HttpResponse {
        let mut response = HttpResponse::build(self.code.kind().status);
        response.insert_header((header::CONTENT_TYPE, CONTENT_TYPE));
        response.insert_header((header::CONTENT_LANGUAGE, occurrence.language.tag()));
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        for header in &self.headers {
            response.append_header(header.clone());
        }
        response.body(self.body(occurrence))
    }
}

impl From<ProblemCode> for Problem {
    fn from(code: ProblemCode) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.kind().code)
    }
}

/// Lets handlers return a problem. The outermost middleware replaces this response by the rendered one.
impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.kind().status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

/// The standard members of a problem (RFC 9457).
#[derive(Serialize, ToSchema)]
pub struct ProblemResponse<'a> {
    /// A URI that contains the code.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "urn:jangteo:problem:OUT_OF_STOCK")]
    problem_type: String,
    /// A short title, in English or Korean.
    title: &'static str,
    /// The HTTP status code.
    status: u16,
    /// The cause and the remedy, in English or Korean.
    detail: &'static str,
    /// The requested path, without the query.
    #[schema(value_type = String)]
    instance: &'a str,
    #[schema(value_type = ProblemCode)]
    code: &'static str,
    /// The id in the header `X-Request-Id`.
    #[schema(value_type = String)]
    request_id: &'a str,
    /// Whether an identical request may succeed later.
    retryable: bool,
    /// The invalid fields; absent for problems of no field.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(value_type = Option<Vec<FieldError>>, nullable = false)]
    errors: &'a [FieldError],
    /// The extension members of the code.
    #[serde(flatten)]
    #[schema(ignore)]
    fields: &'a Map<String, Value>,
}
