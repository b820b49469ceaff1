//! The batch executor: many commands, one transaction, one answer per command.
//!
//! *Lock the declared rows in one order → decide in memory in order of arrival, each command on the effects of the
//! earlier ones → write the changes → commit once → return one answer per command.*
//!
//! A rejection fails only its command; so does a panic in its decision or renderer. A failure of the store fails the
//! batch: after a conflict or an outage the transaction is retried a bounded number of times; after an unexpected error
//! the batch is halved until the failing command is alone. After an error of a commit, only the marker decides whether
//! the transaction took effect.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::audit::{AuditEntry, AuditedCaller};
use crate::command::{Command, Context, Decision, OrderRefs};
use crate::id::{BatchId, IdSource};
use crate::idempotency::{IdempotencyKey, RenderedAnswer, RequestKey, SharedRenderer, StoredAnswer};
use crate::outbox::EventRenderer;
use crate::outcome::Outcome;
use crate::rejection::Rejection;
use crate::rules::ShopRules;
use crate::store_error::StoreError;
use crate::transaction::{Appended, Changes, First, FirstKeys, LockSet, Locked, States, UnitOfWork, UnitOfWorkFactory};
use crate::working_set::WorkingSet;

/// Minimum number of attempts before the failure of a transaction is final …
pub const ATTEMPTS_MIN: u32 = 5;
/// … and minimum time: a longer conflict outlasts the time of a request.
pub const RETRY_TIME_MIN: Duration = Duration::from_secs(3);
/// Maximum number of marker queries. A query takes about a second while the database is unreachable, so they span about
/// the time that a caller waits; a restarted database is usually back earlier.
pub const MARKER_QUERIES_MAX: u32 = 10;

/// A command and the record of its answer.
#[derive(Clone, Debug)]
pub struct Request {
    /// Decided in order of arrival.
    pub command: Command,
    /// `None` for an unaudited request without an idempotency key.
    pub recording: Option<Recording>,
}

/// The record of an answer, stored in the transaction of its effect.
#[derive(Clone)]
pub struct Recording {
    /// Key and fingerprint of the request; its answer is stored under the key.
    pub idempotency: Option<IdempotencyKey>,
    /// The back office user or operator of the change, for the audit log.
    pub audited_as: Option<AuditedCaller>,
    /// Called at most once, before the commit.
    pub renderer: SharedRenderer,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { idempotency, audited_as, renderer: _ } = self;
        f.debug_struct("Recording")
            .field("idempotency", idempotency)
            .field("audited_as", audited_as)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A request without a stored answer.
    pub fn new(command: impl Into<Command>) -> Self {
        Self { command: command.into(), recording: None }
    }

    fn idempotency(&self) -> Option<IdempotencyKey> {
        self.recording.as_ref().and_then(|recording| recording.idempotency)
    }
}

/// The answer to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every answer is of the large variant")]
pub enum Answer {
    /// Decided in this batch.
    Decided {
        /// The reply or the rejection.
        outcome: Outcome,
        /// The stored answer; `None` if it was not stored, then the caller renders it.
        rendered: Option<RenderedAnswer>,
    },
    /// The stored answer of an earlier request with the same key; no effect now.
    Replayed(RenderedAnswer),
    /// The key belongs to another request; no effect.
    KeyReused,
}

/// Retried work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// A transaction: at least [`ATTEMPTS_MIN`] times and for [`RETRY_TIME_MIN`].
    Transaction,
    /// A query of a marker: at most [`MARKER_QUERIES_MAX`] times.
    MarkerQuery,
}

/// Pauses between attempts: by clock and randomness in production, none in tests.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait Backoff: Send + Sync {
    /// Starts a series of attempts.
    fn start(&self, work: Work) -> Box<dyn Attempts>;
}

/// The attempts of one transaction or marker query.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Attempts: Send {
    /// Waits before the next attempt, after a failure by `cause`; returns `false` at once after the last one. The pause
    /// has jitter, so that two conflicting transactions do not collide again.
    async fn pause(&mut self, cause: &StoreError) -> bool;
}

/// Runs batches of requests on a store.
#[derive(Clone)]
#[expect(missing_docs, reason = "the fields are the ports and the rules")]
pub struct BatchExecutor {
    pub factory: Arc<dyn UnitOfWorkFactory>,
    pub rules: Arc<ShopRules>,
    pub ids: Arc<dyn IdSource>,
    pub events: Arc<dyn EventRenderer>,
    pub backoff: Arc<dyn Backoff>,
}

/// The answers of a batch, in the order of the requests.
type Answers = Vec<Result<Answer, StoreError>>;

impl BatchExecutor {
    /// Runs the requests in order and returns their answers in the same order.
    pub async fn execute(&self, requests: &[Request]) -> Answers {
        let mut answers = Vec::with_capacity(requests.len());
        // A stack of ranges with the earliest on top, so that answers are pushed in order.
        let mut ranges: Vec<_> = std::iter::once(0..requests.len()).collect();
        while let Some(range) = ranges.pop().filter(|range| !range.is_empty()) {
            match self.execute_together(&requests[range.clone()]).await {
                Ok(done) => answers.extend(done),
                Err(StoreError::Unexpected(_) | StoreError::Corrupt(_)) if range.len() > 1 => {
                    let (first, second) = halves(range);
                    ranges.extend([second, first]);
                }
                Err(error) => answers.extend(range.map(|_| Err(error.clone()))),
            }
        }
        answers
    }

    /// Runs the requests in one transaction, as often as it takes within the bounds of [`Work::Transaction`].
    async fn execute_together(&self, requests: &[Request]) -> Result<Answers, StoreError> {
        let mut attempts = self.backoff.start(Work::Transaction);
        loop {
            let id = BatchId::next(&*self.ids);
            let begun = self.factory.begin(id, &first_keys(requests)).await;
            let error = match begun {
                Ok((unit_of_work, first)) => match self.attempt(requests, id, unit_of_work, first).await {
                    Ok(answers) => return Ok(answers),
                    Err(error) => error,
                },
                // No retry while the database is unreachable: the factory has waited already.
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                Err(error) => error,
            };
            let may_work_later = match &error {
                StoreError::Conflict(_) | StoreError::Unavailable(_) => true,
                StoreError::CommitUnknown(_) | StoreError::Corrupt(_) | StoreError::Unexpected(_) => false,
            };
            if !may_work_later || !attempts.pause(&error).await {
                return Err(error);
            }
        }
    }

    async fn attempt(
        &self,
        requests: &[Request],
        id: BatchId,
        mut unit_of_work: Box<dyn UnitOfWork>,
        first: First,
    ) -> Result<Answers, StoreError> {
        let locks = lock_set(requests, &first);
        let locked = unit_of_work.lock(&locks).await?;
        let (answers, changes) = self.decide(requests, first, locked)?;
        if changes == Changes::default() {
            return Ok(answers); // Nothing to write: the dropped unit of work releases the locks.
        }
        match unit_of_work.commit(changes).await {
            Ok(()) => Ok(answers),
            Err(error) => self.query_marker(id, error).await.map(|()| answers),
        }
    }

    /// Decides the requests in order. A panic outside of a single decision is an error of the batch.
    fn decide(&self, requests: &[Request], first: First, locked: Locked) -> Result<(Answers, Changes), StoreError> {
        let decide = || {
            let context = Context { rules: &self.rules, now: locked.now, ids: &*self.ids, events: &*self.events };
            let known = first.answers.into_iter().filter_map(|(key, answer)| Some((key, answer?)));
            let mut known: BTreeMap<RequestKey, StoredAnswer> = known.collect();
            let mut set = WorkingSet::new(first.orders, locked);
            let answers = requests.iter().map(|request| answer(request, &mut set, &mut known, &context)).collect();
            (answers, set.into_changes())
        };
        catch_unwind(AssertUnwindSafe(decide)).map_err(|panic| panicked("a batch", &*panic))
    }

    /// Finds out whether a commit took effect that was answered with this error: the error itself when it did not.
    async fn query_marker(&self, id: BatchId, error: StoreError) -> Result<(), StoreError> {
        let mut queries = self.backoff.start(Work::MarkerQuery);
        loop {
            let failure = match self.factory.committed(id).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(error.without_effect()),
                Err(failure) => failure,
            };
            if !queries.pause(&failure).await {
                return Err(error.with_unknown_effect());
            }
        }
    }
}

fn first_keys(requests: &[Request]) -> FirstKeys {
    FirstKeys {
        answers: requests.iter().filter_map(Request::idempotency).map(|request| request.key).collect(),
        orders: requests.iter().filter_map(|request| request.command.rule().order_id()).collect(),
    }
}

/// The locks of the requests without a stored answer.
fn lock_set(requests: &[Request], first: &First) -> LockSet {
    let is_new = |request: &&Request| {
        let stored = request.idempotency().and_then(|request| first.answers.get(&request.key));
        stored.is_none_or(Option::is_none)
    };
    let mut locks = LockSet::default();
    for request in requests.iter().filter(is_new) {
        let rule = request.command.rule();
        let order = rule.order_id().and_then(|id| first.orders.get(&id)?.as_ref()).map(OrderRefs::from);
        rule.declare_locks(order.as_ref(), &mut locks);
        let audited_as = request.recording.as_ref().and_then(|recording| recording.audited_as.as_ref());
        locks.audit_chains.extend(audited_as.map(|caller| caller.actor.clone()));
    }
    locks
}

/// Decides one request and applies its effect to the set.
fn answer(
    request: &Request,
    set: &mut WorkingSet,
    known: &mut BTreeMap<RequestKey, StoredAnswer>,
    context: &Context<'_>,
) -> Result<Answer, StoreError> {
    if let Some(key) = request.idempotency()
        && let Some(stored) = known.get(&key.key)
    {
        let is_same = stored.request == key;
        return Ok(if is_same { Answer::Replayed(stored.answer.clone()) } else { Answer::KeyReused });
    }
    let decided = catch_unwind(AssertUnwindSafe(|| Decided::new(request, set, context)));
    let Decided { outcome, rendered, states, appended } =
        decided.map_err(|panic| panicked(request.command.name(), &*panic))??;
    known.extend(appended.answers.iter().map(|answer| (answer.request.key, answer.clone())));
    set.absorb(states, appended);
    Ok(Answer::Decided { outcome, rendered })
}

/// A decided request. Pure, so that a panic leaves no trace.
struct Decided {
    outcome: Outcome,
    rendered: Option<RenderedAnswer>,
    states: States,
    appended: Appended,
}

impl Decided {
    fn new(request: &Request, set: &WorkingSet, context: &Context<'_>) -> Result<Self, StoreError> {
        let (outcome, states, appended) = match request.command.rule().decide(set, context) {
            Ok(Decision { reply, states, appended }) => (Ok(reply), states, appended),
            Err(rejection) => (Err(rejection), States::default(), Appended::default()),
        };
        let mut decided = Self { outcome, rendered: None, states, appended };
        if let Some(recording) = &request.recording {
            decided.record(recording, &request.command, set, context)?;
        }
        Ok(decided)
    }

    /// Renders and stores the answer if it is audited or has a key.
    fn record(
        &mut self,
        recording: &Recording,
        command: &Command,
        set: &WorkingSet,
        context: &Context<'_>,
    ) -> Result<(), StoreError> {
        let reply = self.outcome.as_ref().ok().filter(|reply| reply.is_change());
        let audited = recording.audited_as.as_ref().zip(reply);
        let keyed = recording.idempotency.filter(|_| self.outcome.as_ref().map_or_else(Rejection::is_stored, |_| true));
        if audited.is_none() && keyed.is_none() {
            return Ok(());
        }
        let answer = recording.renderer.render(&self.outcome);
        if answer.head.len() > RenderedAnswer::HEAD_LENGTH_MAX || answer.body.len() > RenderedAnswer::BODY_LENGTH_MAX {
            return Err(StoreError::unexpected("an answer is too long to be stored"));
        }
        if let Some((AuditedCaller { actor, request_id, address }, reply)) = audited {
            let (chain, entry) = set.audit_chain(actor).append(AuditEntry {
                id: context.new_id(),
                at: context.now,
                actor: actor.clone(),
                action: command.rule().action().unwrap_or(command.name()).to_owned(),
                subject_kind: reply.subject().kind().to_owned(),
                subject_id: reply.subject().to_string(),
                reason: command.rule().reason().cloned(),
                body: answer.body.clone(),
                request_id: request_id.as_ref().map(|id| id.as_str().to_owned()),
                address: address.as_ref().map(ToString::to_string),
                link: None,
            });
            self.states.audit_chains.push(chain);
            self.appended.audit.push(entry);
        }
        let stored = |request| StoredAnswer { request, answer: answer.clone(), at: context.now };
        self.appended.answers.extend(keyed.map(stored));
        self.rendered = Some(answer);
        Ok(())
    }
}

fn panicked(place: &str, panic: &(dyn Any + Send)) -> StoreError {
    let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    StoreError::unexpected(format!("{place} panicked: {}", message.unwrap_or("without a message")))
}

fn halves(range: Range<usize>) -> (Range<usize>, Range<usize>) {
    let middle = range.start.midpoint(range.end);
    (range.start..middle, middle..range.end)
}

#[cfg(test)]
mod tests;
