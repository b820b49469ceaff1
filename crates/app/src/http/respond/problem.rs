//! Errors as clients see them: RFC 9457, one shape for all of them.
//!
//! A [`Problem`] is a value that knows nothing of its request; it is rendered for an [`Occurrence`], which knows the
//! request's id, path and language: at the server's edge, or with the answer to a command. It never carries SQL, a path
//! of the file system, the name of a library or the words of a parser.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

mod code;
mod failure;
mod field_error;
mod rejection;

pub use code::{Language, ProblemCode, ProblemKind, Wording};
pub use field_error::{FieldError, FieldErrors, Reason};
pub use rejection::{not_usable_reason, problem_of_rejection};

/// The media type of every error.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Seconds after which a busy or failing server may be asked again.
const RETRY_AFTER_DEFAULT: u64 = 1;

/// An error, to be told to a client.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    code: ProblemCode,
    retryable: bool,
    retry_after: Option<u64>,
    field_errors: Vec<FieldError>,
    fields: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What rendering must know of the request.
#[derive(Clone, Debug)]
pub struct Occurrence {
    /// The request's id.
    pub request_id: String,
    /// The path that was asked for.
    pub instance: String,
    /// The language that the caller prefers.
    pub language: Language,
}

impl Problem {
    /// The problem of that code, with nothing added.
    pub fn new(code: ProblemCode) -> Self {
        let kind = code.kind();
        let told_to_wait = kind.retryable || kind.status == StatusCode::SERVICE_UNAVAILABLE;
        Self {
            code,
            retryable: kind.retryable,
            retry_after: told_to_wait.then_some(RETRY_AFTER_DEFAULT),
            field_errors: Vec::new(),
            fields: Map::new(),
            headers: Vec::new(),
        }
    }

    /// The problem of faulty fields; its code is that of the first field error.
    pub fn of_faults(field_errors: Vec<FieldError>) -> Self {
        let code = field_errors.first().map_or(ProblemCode::InvalidBody, |field_error| field_error.reason.code());
        Self { field_errors, ..Self::new(code) }
    }

    /// The problem of faulty query parameters.
    pub fn of_query(field_errors: Vec<FieldError>) -> Self {
        Self { field_errors, ..Self::new(ProblemCode::InvalidQuery) }
    }

    /// Its code.
    pub fn code(&self) -> ProblemCode {
        self.code
    }

    /// With a field beside the standard ones.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// With a field error of a field, that tells more than the code.
    pub fn with_fault(mut self, pointer: impl Into<String>, reason: Reason) -> Self {
        self.field_errors.push(FieldError { pointer: pointer.into(), reason });
        self
    }

    /// With a header.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With another word on whether the same request may be sent again.
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// With the seconds after which the caller may come back.
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The document that describes it to the client, as JSON.
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

    /// The response to the client.
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

/// Lets handlers end with a problem; the edge replaces the answer that is made here by the rendered one.
impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.kind().status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

/// An error, in the form of RFC 9457.
#[derive(Serialize, ToSchema)]
pub struct ProblemResponse<'a> {
    /// A URI of the kind of problem; it names the code.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "urn:jangteo:problem:OUT_OF_STOCK")]
    problem_type: String,
    /// A few words, in English or Korean.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What it means and what to do, in English or Korean.
    detail: &'static str,
    /// The path that was asked for.
    #[schema(value_type = String)]
    instance: &'a str,
    #[schema(value_type = ProblemCode)]
    code: &'static str,
    /// The request's id, as in the header `X-Request-Id`.
    #[schema(value_type = String)]
    request_id: &'a str,
    /// Whether the same request, sent again later, may succeed.
    retryable: bool,
    /// The fields that are wrong, where there are any.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(value_type = Option<Vec<FieldError>>, nullable = false)]
    errors: &'a [FieldError],
    /// What the code carries beside.
    #[serde(flatten)]
    #[schema(ignore)]
    fields: &'a Map<String, Value>,
}

#[cfg(test)]
mod tests;
