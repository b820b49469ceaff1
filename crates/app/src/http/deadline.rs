//! The deadline of a request.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use tokio::time::{Instant, timeout_at};

use jangteo_domain::StoreError;

use crate::http::respond::problem::{Problem, ProblemCode};

/// The time limit of the response to a request.
#[derive(Clone, Copy)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// Awaits a read port until the deadline. The query itself is not cancelled: its connection belongs to the store,
    /// which reads every result to its end.
    ///
    /// # Errors
    /// Store errors, and `DATABASE_UNAVAILABLE` after the deadline.
    pub async fn read<T>(self, query: impl Future<Output = Result<T, StoreError>>) -> Result<T, Problem> {
        match timeout_at(self.0, query).await {
            Ok(result) => result.map_err(Problem::from),
            Err(_elapsed) => {
                tracing::warn!("database query exceeded the deadline");
                Err(ProblemCode::DatabaseUnavailable.into())
            }
        }
    }

    /// The deadline of a request.
    ///
    /// # Panics
    /// When the request did not pass the middleware.
    pub fn of(request: &HttpRequest) -> Self {
        *request.extensions().get().expect("the middleware sets the deadline of each request")
    }
}

impl FromRequest for Deadline {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}
