//! Errors as problems, the web framework's own included.

use actix_web::Error;
use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::{StatusCode, header};

use crate::http::respond::problem::{CONTENT_TYPE, Occurrence, Problem, ProblemCode};

/// Replaces the body of an error by its problem. Successes are unchanged, and so are rejections, which are rendered in the
/// answer to their command.
pub fn render(response: ServiceResponse<BoxBody>, occurrence: &Occurrence) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if !is_error || content_type.is_some_and(|content_type| content_type == CONTENT_TYPE) {
        return response;
    }
    let problem = response.response().error().map_or_else(|| of_status(status), of_error);
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, problem.render(occurrence))
}

/// The problem of an error; without one of its own, by its status.
pub fn of_error(error: &Error) -> Problem {
    error.as_error::<Problem>().cloned().unwrap_or_else(|| of_status(error.as_response_error().status_code()))
}

fn of_status(status: StatusCode) -> Problem {
    let code = match status {
        StatusCode::NOT_FOUND => ProblemCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ProblemCode::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => ProblemCode::RequestTimeout,
        StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemCode::UnsupportedMediaType,
        status if status.is_client_error() => ProblemCode::BadRequest,
        status => {
            tracing::error!(%status, "error outside of a handler");
            ProblemCode::InternalError
        }
    };
    code.into()
}
