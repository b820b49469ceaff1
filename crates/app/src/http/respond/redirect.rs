//! Redirects within this server.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header;

/// The path always was another one.
pub fn moved_to(path: &'static str) -> HttpResponse {
    redirect(StatusCode::PERMANENT_REDIRECT, path)
}

/// The path leads elsewhere, depending on settings.
pub fn see(path: &'static str) -> HttpResponse {
    redirect(StatusCode::SEE_OTHER, path)
}

fn redirect(status: StatusCode, path: &'static str) -> HttpResponse {
    HttpResponse::build(status).insert_header((header::LOCATION, path)).finish()
}
