//! Writes: submits a command to the lanes, and responds with its answer.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, web};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::timeout_at;

use jangteo_domain::audit::AuditedCaller;
use jangteo_domain::command::{Actor, Outcome};
use jangteo_domain::idempotency::{AnswerRenderer, RequestKey};
use jangteo_domain::{Answer, Command, Recording, Request};
use serde::de::DeserializeOwned;

use crate::client_address::ClientAddress;
use crate::http::deadline::Deadline;
use crate::http::extract::body::{Body, Nothing};
use crate::http::extract::caller::SignedIn;
use crate::http::extract::if_match::IfMatch;
use crate::http::extract::path::path_ids;
use crate::http::extract::query::ApiQuery;
use crate::http::respond::answer::{self, CommandResponse, Renderer, UnreadableHead};
use crate::http::respond::problem::{Language, Occurrence, Problem, ProblemCode, problem_of_rejection};
use crate::http::state::AppState;
use crate::idempotency::{ClientKey, idempotency_key};
use crate::telemetry;

/// The commands of bulk requests that a server executes at a time: the share of a batch that an import takes from
/// customers.
pub const BULK_COMMANDS_MAX: usize = 4;

/// A write by an authenticated caller, with its idempotency key, if any.
pub struct Write {
    pub state: web::Data<AppState>,
    pub caller: Actor,
    key: Option<ClientKey>,
    deadline: Deadline,
    request: HttpRequest,
}

impl FromRequest for Write {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::with_query(request).map(|(write, Nothing {})| write))
    }
}

impl Write {
    /// A write with parameters in its query.
    ///
    /// # Errors
    /// The problems of the caller, the query and the key.
    pub fn with_query<Query: DeserializeOwned>(request: &HttpRequest) -> Result<(Self, Query), Problem> {
        let SignedIn(caller) = SignedIn::of(request)?;
        let ApiQuery(query) = ApiQuery::of(request)?;
        let state = request.app_data::<web::Data<AppState>>().expect("the application has its state").clone();
        let key = ClientKey::of(request.headers()).map_err(|_| ProblemCode::InvalidIdempotencyKey)?;
        if key.is_none() && state.options.require_idempotency_key {
            return Err(ProblemCode::IdempotencyKeyRequired.into());
        }
        Ok((Self { state, caller, key, deadline: Deadline::of(request), request: request.clone() }, query))
    }

    /// The identity of this request among those of the operation; `None` without a key.
    pub fn request_key<T>(&self, operation: &str, body: &Body<T>) -> Option<RequestKey> {
        let key = self.key.as_ref()?;
        let ids = path_ids(&self.request);
        Some(idempotency_key(&self.caller.user_id, operation, &ids, &body.canonical, key).key)
    }

    /// As [`Write::run`], of a command that depends on the condition, which belongs to the fingerprint of the request.
    ///
    /// # Errors
    /// As [`Write::run`].
    pub async fn run_if<T>(
        self,
        condition: &IfMatch,
        body: &Body<T>,
        command: Command,
    ) -> Result<HttpResponse, Problem> {
        match condition.written() {
            // Canonical JSON has no line feed.
            Some(written) => self.respond(&[&body.canonical[..], b"\n", written.as_bytes()].concat(), command).await,
            None => self.respond(&body.canonical, command).await,
        }
    }

    /// Executes the command and responds with its answer, or with the stored answer to an earlier request of the same key.
    /// A rejection is a response, too.
    ///
    /// # Errors
    /// Problems without a decision, such as a failing database. The outermost middleware renders them.
    pub async fn run<T>(self, body: &Body<T>, command: Command) -> Result<HttpResponse, Problem> {
        self.respond(&body.canonical, command).await
    }

    /// Executes independent commands, a few at a time, and returns their outcomes in order, each as [`Write::decide`].
    ///
    /// # Errors
    /// The first problem without a decision. The commands before it have been executed.
    pub async fn decide_each(&self, commands: Vec<Command>) -> Result<Vec<Outcome>, Problem> {
        let decide_in_turn = async |command| {
            let turn = timeout_at(self.deadline.0, self.state.bulk_commands.acquire()).await;
            let _turn = turn.map_err(|_| ProblemCode::Overloaded)?.expect("the semaphore is never closed");
            self.decide(command).await
        };
        stream::iter(commands.into_iter().map(decide_in_turn)).buffered(BULK_COMMANDS_MAX).try_collect().await
    }

    /// Executes one of several commands of a request. A command must have no effect when it is repeated: its answer is not
    /// stored, and the idempotency key does not count.
    ///
    /// # Errors
    /// Problems without a decision.
    pub async fn decide(&self, command: Command) -> Result<Outcome, Problem> {
        let name = command.name();
        let renderer = self.renderer();
        let audited_as = Some(self.audited_as(&renderer));
        let recording = Some(Recording { idempotency: None, audited_as, renderer: Arc::new(renderer) });
        let outcome = match self.state.lanes.submit(Request { command, recording }, None, self.deadline.0).await {
            Ok(Ok(Answer::Decided { outcome, rendered: _ })) => Ok(outcome),
            // Only requests with a key are replayed.
            Ok(Ok(Answer::Replayed(_) | Answer::KeyReused)) => Err(ProblemCode::InternalError.into()),
            Ok(Err(error)) => Err(Problem::from(error)),
            Err(error) => Err(Problem::from(error)),
        };
        let counted = match &outcome {
            Ok(Ok(_)) => answer::ACCEPTED,
            Ok(Err(rejection)) => problem_of_rejection(rejection, self.state.rules.currency).code().kind().code,
            Err(problem) => problem.code().kind().code,
        };
        metrics::counter!(telemetry::COMMANDS, "command" => name, "outcome" => counted).increment(1);
        outcome.map_err(|problem| match problem.code() {
            ProblemCode::OutcomeUnknown => problem.with_retryable(true),
            _ => problem,
        })
    }

    /// The caller's preferred language.
    ///
    /// # Panics
    /// When the request did not pass the middleware.
    pub fn language(&self) -> Language {
        let extensions = self.request.extensions();
        extensions.get::<Occurrence>().expect("the middleware sets the occurrence of each request").language
    }

    fn renderer(&self) -> Renderer {
        Renderer::of(&self.request, self.state.rules.currency, self.state.success)
    }

    fn audited_as(&self, renderer: &Renderer) -> AuditedCaller {
        AuditedCaller {
            actor: self.caller.user_id.clone(),
            request_id: renderer.request_id().to_owned().try_into().ok(),
            address: Some(ClientAddress::of(&self.request).0),
        }
    }

    async fn respond(self, content: &[u8], command: Command) -> Result<HttpResponse, Problem> {
        let idempotency = self
            .key
            .as_ref()
            .map(|key| idempotency_key(&self.caller.user_id, command.name(), &path_ids(&self.request), content, key));
        let in_flight = match idempotency {
            Some(idempotency) => {
                Some(self.state.access.in_flight.take(idempotency.key).ok_or(ProblemCode::RequestInProgress)?)
            }
            None => None,
        };
        let name = command.name();
        let renderer = Arc::new(self.renderer());
        let audited_as = self.caller.is_admin.then(|| self.audited_as(&renderer));
        let recording = (idempotency.is_some() || audited_as.is_some()).then(|| Recording {
            idempotency,
            audited_as,
            renderer: renderer.clone(),
        });
        let answer = match self.state.lanes.submit(Request { command, recording }, in_flight, self.deadline.0).await {
            Ok(answer) => answer.map_err(Problem::from),
            Err(error) => Err(error.into()),
        };
        // With a key a retry has at most one effect; without one it is unsafe.
        let is_repeatable = |problem: Problem| match problem.code() {
            ProblemCode::OutcomeUnknown => problem.with_retryable(idempotency.is_some()),
            _ => problem,
        };
        let responded = answer.map_err(is_repeatable).and_then(|answer| respond(answer, &*renderer));
        let outcome = match &responded {
            Ok(responded) => responded.outcome,
            Err(problem) => problem.code().kind().code,
        };
        metrics::counter!(telemetry::COMMANDS, "command" => name, "outcome" => outcome).increment(1);
        responded.map(|responded| responded.response)
    }
}

fn respond(answer: Answer, renderer: &dyn AnswerRenderer) -> Result<CommandResponse, Problem> {
    let responded = match answer {
        Answer::Decided { outcome: _, rendered: Some(rendered) } => answer::respond(rendered),
        Answer::Decided { outcome, rendered: None } => answer::respond(renderer.render(&outcome)),
        Answer::Replayed(stored) => answer::replay(stored),
        Answer::KeyReused => return Err(ProblemCode::IdempotencyKeyReused.into()),
    };
    responded.map_err(|error: UnreadableHead| {
        tracing::error!(%error, "stored answer unreadable");
        ProblemCode::InternalError.into()
    })
}
