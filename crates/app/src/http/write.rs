//! Writes: a command goes through the lanes, and its outcome comes back as an answer.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, web};

use jangteo_domain::command::Actor;
use jangteo_domain::idempotency::RequestTag;
use jangteo_domain::{Answer, Command, Request};

use crate::http::body::Body;
use crate::http::caller::SignedIn;
use crate::http::edge::Deadline;
use crate::http::{AppState, reply};
use crate::idempotency::{ClientKey, claim};
use crate::problem::{Occurrence, Problem, ProblemCode, problem_of_rejection};
use crate::telemetry;

/// The header of an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A write by somebody who is signed in, with its key where it has one.
pub struct Write {
    /// What the handlers work with.
    pub shop: web::Data<AppState>,
    /// Who writes.
    pub caller: Actor,
    key: Option<ClientKey>,
    deadline: Deadline,
    request: HttpRequest,
}

impl FromRequest for Write {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

impl Write {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let SignedIn(caller) = SignedIn::of(request)?;
        let shop = request.app_data::<web::Data<AppState>>().expect("the application has its shop").clone();
        let key = ClientKey::of(request.headers()).map_err(|_| ProblemCode::InvalidIdempotencyKey)?;
        if key.is_none() && shop.options.require_idempotency_key {
            return Err(ProblemCode::IdempotencyKeyRequired.into());
        }
        Ok(Self { shop, caller, key, deadline: Deadline::of(request), request: request.clone() })
    }

    /// Has the command decided and stored, and answers what came of it: now or, when the request was answered
    /// before, then.
    pub async fn run<T>(self, body: &Body<T>, command: Command) -> Result<HttpResponse, Problem> {
        let claim = self.key.as_ref().map(|key| {
            let (method, query) = (self.request.method().as_str(), self.request.query_string());
            claim(&self.caller.user_id, method, self.request.path(), query, &body.canonical, key)
        });
        let in_flight = match claim {
            Some(claim) => Some(self.shop.in_flight.take(claim.key).ok_or(ProblemCode::RequestInProgress)?),
            None => None,
        };
        let name = command.name();
        let request = Request {
            command,
            idempotency: claim,
            tag: claim.is_some().then(|| self.tag()),
            audited_as: self.caller.is_admin.then(|| self.caller.user_id.clone()),
        };
        let answer = match self.shop.lanes.submit(request, in_flight, self.deadline.0).await {
            Ok(answer) => answer.map_err(Problem::from),
            Err(error) => Err(error.into()),
        };
        // Sent again with its key it has one effect, so then it may be; without one it may not.
        let is_repeatable = |problem: Problem| match problem.code() {
            ProblemCode::OutcomeUnknown => problem.with_retryable(claim.is_some()),
            _ => problem,
        };
        let outcome = answer.map_err(is_repeatable).and_then(|answer| self.tell(&answer));
        let counted = match &outcome {
            Ok(_) => "accepted",
            Err(problem) => problem.code().kind().code,
        };
        metrics::counter!(telemetry::COMMANDS, "command" => name, "outcome" => counted).increment(1);
        outcome
    }

    fn tag(&self) -> RequestTag {
        self.request.extensions().get::<Occurrence>().expect("the edge notes each request's occurrence").tag()
    }

    fn tell(&self, answer: &Answer) -> Result<HttpResponse, Problem> {
        let currency = self.shop.rules.currency;
        let replayed = HeaderValue::from_static("true");
        match answer {
            Answer::Decided(Ok(reply)) => Ok(reply::respond(reply, currency)),
            Answer::Decided(Err(rejection)) => Err(problem_of_rejection(rejection, currency)),
            Answer::Replayed { outcome: Ok(reply), .. } => {
                let mut response = reply::respond(reply, currency);
                response.headers_mut().insert(REPLAYED, replayed);
                Ok(response)
            }
            Answer::Replayed { outcome: Err(rejection), tag } => {
                let problem = problem_of_rejection(rejection, currency).with_header(REPLAYED, replayed);
                Err(tag.iter().fold(problem, Problem::as_told_to))
            }
            Answer::KeyReused => Err(ProblemCode::IdempotencyKeyReused.into()),
        }
    }
}
