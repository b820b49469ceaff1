//! The batch executor: many commands, one transaction, one answer each.
//!
//! *Lock what the batch names, in one order → decide in memory, in order of arrival, each seeing the effects of those
//! before → save what changed → one commit → one answer each.*
//!
//! A rejection costs its own command. A failure of the store costs the batch: after a conflict or a lost connection the
//! whole transaction is run again, a bounded number of times; after an unexpected error the batch is halved until the
//! command that causes it stands alone; after a commit whose outcome is unknown the marker row is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;

use crate::audit::AuditEntry;
use crate::command::{Command, Context, Outcome};
use crate::id::{BatchId, IdSource, UserId};
use crate::idempotency::{IdempotencyKey, IdempotencyRecord, RequestKey, RequestTag};
use crate::rules::ShopRules;
use crate::store_error::StoreError;
use crate::unit_of_work::{UnitOfWork, UnitOfWorkFactory};
use crate::working_set::WorkingSet;

/// How often a transaction is begun for the same commands. A conflict that lasts so long is not one that waiting
/// solves within a request's time.
pub const ATTEMPTS_MAX: u32 = 5;
/// How often it is asked what became of a commit. With a database that cannot be reached each time takes about a second,
/// so this is about as long as a caller waits; a database that is started again is mostly back before.
pub const MARKER_QUERIES_MAX: u32 = 10;

/// A command, and what is known of whoever asks for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// Which request it is, where it may be sent again.
    pub idempotency: Option<IdempotencyKey>,
    /// What comes back with its rejection when it is sent again.
    pub tag: Option<RequestTag>,
    /// Who of the back office asks; what comes of it is written into the audit log under this name.
    pub audited_as: Option<UserId>,
}

impl Request {
    /// A request of nobody in particular, that is sent once.
    pub fn new(command: Command) -> Self {
        Self { command, idempotency: None, tag: None, audited_as: None }
    }
}

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It was decided now.
    Decided(Outcome),
    /// It was decided before, under the same key, and this is what came of it then; nothing happened now.
    Replayed {
        /// What came of it.
        outcome: Outcome,
        /// The tag of the request that was decided then, where it was rejected.
        tag: Option<RequestTag>,
    },
    /// Its key belongs to another request; nothing happened.
    KeyReused,
}

/// Waits between attempts: the system's clock and randomness in production, nothing in tests.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Backoff: Send + Sync {
    /// Waits before the attempt after number `attempt` (from 1), which `cause` ended. With jitter, so that two
    /// transactions that were in each other's way do not meet again.
    async fn pause(&self, attempt: u32, cause: &StoreError);
}

/// Runs batches of requests against a store.
#[derive(Clone)]
pub struct BatchExecutor {
    /// Begins the transactions.
    pub factory: Arc<dyn UnitOfWorkFactory>,
    /// What to decide by.
    pub rules: Arc<ShopRules>,
    /// Where new ids come from.
    pub ids: Arc<dyn IdSource>,
    /// How to wait between attempts.
    pub backoff: Arc<dyn Backoff>,
}

impl BatchExecutor {
    /// Runs the requests, in this order, and answers each at its own place.
    pub async fn execute(&self, requests: &[Request]) -> Vec<Result<Answer, StoreError>> {
        let mut answers = Vec::with_capacity(requests.len());
        // A stack of ranges whose top is always the earliest, so that answers are pushed in order.
        let mut ranges: Vec<_> = std::iter::once(0..requests.len()).collect();
        while let Some(range) = ranges.pop().filter(|range| !range.is_empty()) {
            match self.execute_together(&requests[range.clone()]).await {
                Ok(done) => answers.extend(done.into_iter().map(Ok)),
                Err(StoreError::Unexpected(_) | StoreError::Corrupt(_)) if range.len() > 1 => {
                    let (first, second) = halves(range);
                    ranges.extend([second, first]);
                }
                Err(error) => answers.extend(range.map(|_| Err(error.clone()))),
            }
        }
        answers
    }

    /// Runs the requests in one transaction, as often as it takes within [`ATTEMPTS_MAX`].
    async fn execute_together(&self, requests: &[Request]) -> Result<Vec<Answer>, StoreError> {
        let mut attempt = 1;
        loop {
            let id = BatchId::next(&*self.ids);
            // A database that cannot be reached is not waited for: the factory has waited, and callers have not long.
            let unit_of_work = self.factory.begin(id).await?;
            let error = match self.attempt(requests, id, unit_of_work).await {
                Ok(answers) => return Ok(answers),
                Err(error) => error,
            };
            let may_work_later = match &error {
                StoreError::Conflict(_) | StoreError::Unavailable(_) => true,
                StoreError::CommitUnknown(_) | StoreError::Corrupt(_) | StoreError::Unexpected(_) => false,
            };
            if !may_work_later || attempt == ATTEMPTS_MAX {
                return Err(error);
            }
            self.backoff.pause(attempt, &error).await;
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        requests: &[Request],
        id: BatchId,
        mut unit_of_work: Box<dyn UnitOfWork>,
    ) -> Result<Vec<Answer>, StoreError> {
        let mut answered = find_answered(requests, &mut *unit_of_work).await?;
        let is_new = |request: &&Request| request.idempotency.is_none_or(|claim| !answered.contains_key(&claim.key));
        let new: Vec<&Command> = requests.iter().filter(is_new).map(|request| &request.command).collect();
        let mut set = WorkingSet::load(&new, &mut *unit_of_work).await?;
        let now = unit_of_work.now().await?;

        let context = Context { rules: &self.rules, now, ids: &*self.ids };
        let mut records = Vec::new();
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            if let Some(record) = request.idempotency.and_then(|claim| answered.get(&claim.key)) {
                answers.push(replay(request, record));
                continue;
            }
            let outcome = request.command.decide(&mut set, &context);
            if let (Some(actor), Ok(reply)) = (&request.audited_as, &outcome) {
                set.record(AuditEntry::of(actor, &request.command, reply, &context));
            }
            if let Some(claim) = request.idempotency.filter(|_| is_stored(&outcome)) {
                let tag = request.tag.clone().filter(|_| outcome.is_err());
                let record = IdempotencyRecord { claim, outcome: outcome.clone(), tag, at: now };
                answered.insert(claim.key, record.clone());
                records.push(record);
            }
            answers.push(Answer::Decided(outcome));
        }

        if set.is_unchanged() && records.is_empty() {
            return Ok(answers); // Dropping the unit of work lets the locks go; there is nothing to keep.
        }
        set.save(&mut *unit_of_work).await?;
        if !records.is_empty() {
            // In order of their keys, as everything that another transaction may wait for.
            records.sort_by_key(|record| record.claim.key);
            unit_of_work.idempotency().insert_many(&records).await?;
        }
        self.commit(id, unit_of_work).await?;
        Ok(answers)
    }

    /// Commits; where the answer got lost, asks the marker row what became of it. A commit that did not take effect
    /// is [`StoreError::Unavailable`]: nothing happened, and the transaction may be run again.
    async fn commit(&self, id: BatchId, unit_of_work: Box<dyn UnitOfWork>) -> Result<(), StoreError> {
        let unknown = match unit_of_work.commit().await {
            Ok(()) => return Ok(()),
            Err(StoreError::CommitUnknown(cause)) => cause,
            Err(error) => return Err(error),
        };
        let mut question = 1;
        loop {
            match self.factory.committed(id).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(StoreError::Unavailable(unknown)),
                Err(_) if question == MARKER_QUERIES_MAX => return Err(StoreError::CommitUnknown(unknown)),
                Err(error) => self.backoff.pause(question, &error).await,
            }
            question += 1;
        }
    }
}

async fn find_answered(
    requests: &[Request],
    unit_of_work: &mut dyn UnitOfWork,
) -> Result<BTreeMap<RequestKey, IdempotencyRecord>, StoreError> {
    let keys: BTreeSet<RequestKey> =
        requests.iter().filter_map(|request| request.idempotency).map(|claim| claim.key).collect();
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let records = unit_of_work.idempotency().find_many(&keys).await?;
    Ok(records.into_iter().map(|record| (record.claim.key, record)).collect())
}

fn replay(request: &Request, record: &IdempotencyRecord) -> Answer {
    if request.idempotency == Some(record.claim) {
        Answer::Replayed { outcome: record.outcome.clone(), tag: record.tag.clone() }
    } else {
        Answer::KeyReused
    }
}

/// Whether the outcome is kept for the case that the request comes again.
fn is_stored(outcome: &Outcome) -> bool {
    match outcome {
        Ok(_) => true,
        Err(rejection) => !rejection.is_not_found(),
    }
}

fn halves(range: Range<usize>) -> (Range<usize>, Range<usize>) {
    let middle = range.start + range.len() / 2;
    (range.start..middle, middle..range.end)
}

#[cfg(test)]
mod tests;
