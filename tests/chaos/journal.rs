//! The history of an experiment: every write with its key, each request, and the observed responses.
//!
//! Callers see only responses. The journal therefore never reads from the shop, and its final state is the expectation
//! that the shop is checked against.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::iter;
use jangteo_testkit::{RawResponse, Response};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Header of a replayed response.
const REPLAYED: &str = "idempotent-replayed";
/// Maximum time until a write has a definite response, after the fault.
const RESOLVE_MAX: Duration = Duration::from_secs(60);
/// Pause between two attempts, shorter than the server's `Retry-After`.
const PAUSE: Duration = Duration::from_millis(50);
/// Number of concurrently repeated writes.
const CONCURRENCY: usize = 24;

/// The kind of a write, named as in the domain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operation {
    TopUpPoints,
    AdjustPoints,
    PlaceOrder,
    PayOrder,
    CancelOrder,
    RefundOrder,
    IssueCoupon,
    RevokeCoupon,
    AdjustStock,
    CreateProduct,
    ChangeProduct,
    CreateCampaign,
    ChangeCampaign,
    RedeliverEvent,
}

/// A write; retries send the same request.
#[derive(Clone, Debug)]
pub struct Write {
    pub operation: Operation,
    /// User of the token; `None` for the back office.
    pub user_id: Option<String>,
    pub method: Method,
    pub path: String,
    pub body: Value,
    /// Idempotency key, the same for every retry.
    pub key: String,
}

/// Observed result of a request.
#[derive(Clone, Debug)]
pub enum Observed {
    /// A success or a rejection: the final outcome of the write.
    Definite { response: DefiniteResponse, is_replayed: bool },
    /// An error that guarantees no effect.
    NoEffect,
    /// The first request is still in progress; this one had no effect.
    InProgress,
    /// No response, or one that leaves the outcome unknown.
    Unknown,
    /// A failure that no fault justifies.
    Failed(String),
}

/// A success or a rejection.
#[derive(Clone, PartialEq, Eq)]
pub struct DefiniteResponse {
    pub status: u16,
    pub body: Vec<u8>,
}

impl fmt::Debug for DefiniteResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl DefiniteResponse {
    /// Whether the write took effect.
    pub fn is_success(&self) -> bool {
        self.status < 300
    }

    /// Whether a retry returns the same bytes.
    fn is_stored(&self) -> bool {
        self.is_success() || self.status == 409
    }

    pub fn document(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Observed {
    pub fn of(response: Response) -> Self {
        let is_replayed = response.header(REPLAYED).is_some();
        Self::of_parts(response.status, is_replayed, response.body)
    }

    pub fn of_raw(response: RawResponse) -> Self {
        response.check_rules();
        let is_replayed = response.header(REPLAYED).is_some();
        Self::of_parts(response.status, is_replayed, response.body)
    }

    fn of_parts(status: u16, is_replayed: bool, body: Vec<u8>) -> Self {
        let code = || serde_json::from_slice::<Value>(&body).ok().map(|problem| problem["code"].clone());
        let code = if status < 400 { None } else { code() };
        match (status, code.as_ref().and_then(Value::as_str)) {
            (409, Some("REQUEST_IN_PROGRESS")) => Self::InProgress,
            (503, Some("OUTCOME_UNKNOWN")) => Self::Unknown,
            (503, Some("DATABASE_UNAVAILABLE" | "OVERLOADED" | "SHUTTING_DOWN" | "NOT_READY")) => Self::NoEffect,
            (200..300 | 404 | 409, _) => Self::Definite { response: DefiniteResponse { status, body }, is_replayed },
            _ => Self::Failed(format!("{status}: {}", String::from_utf8_lossy(&body))),
        }
    }
}

/// A write and its observations.
#[derive(Clone, Debug)]
pub struct Entry {
    pub write: Write,
    pub response: Option<DefiniteResponse>,
    /// Time of the first definite response.
    responded_at: Option<Instant>,
    /// Definite responses that were not replays.
    originals: u32,
    /// Definite responses that were replays.
    replays: u32,
    /// Requests with an unknown outcome.
    unknowns: u32,
    /// Whether the outcome was unknown at the end of the fault.
    was_in_doubt: bool,
    /// Failures and responses that differ from an earlier one.
    contradictions: Vec<String>,
}

impl Entry {
    fn observe(&mut self, observed: Observed) {
        match observed {
            Observed::Definite { response, is_replayed } => {
                *(if is_replayed { &mut self.replays } else { &mut self.originals }) += 1;
                match &self.response {
                    Some(before) if *before != response => {
                        self.contradictions.push(format!("responded {before:?} and then {response:?}"));
                    }
                    Some(_) => {}
                    None => {
                        self.response = Some(response);
                        self.responded_at = Some(Instant::now());
                    }
                }
            }
            Observed::NoEffect | Observed::InProgress => {}
            Observed::Unknown => self.unknowns += 1,
            Observed::Failed(failure) => {
                self.unknowns += 1;
                self.contradictions.push(format!("failed: {failure}"));
            }
        }
    }

    /// Responses that contradict each other or the guarantees.
    fn violations(&self) -> Vec<String> {
        let mut violations = self.contradictions.clone();
        let is_stored = self.response.as_ref().is_some_and(DefiniteResponse::is_stored);
        if is_stored && self.originals > 1 {
            violations.push(format!("decided {} times", self.originals));
        }
        if self.replays > 0 && self.originals == 0 && self.unknowns == 0 {
            violations.push("the response guaranteed no effect, but the write took effect".to_owned());
        }
        if self.response.as_ref().is_some_and(|response| response.status == 404) {
            violations.push("an acknowledged resource is missing".to_owned());
        }
        violations
    }
}

/// All writes of an experiment.
#[derive(Default)]
pub struct Journal(Mutex<Vec<Entry>>);

/// Totals of a journal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Statistics {
    pub writes: u64,
    /// Writes with an unknown outcome at the end of the fault.
    pub in_doubt: u64,
    /// Writes in doubt that had taken effect or had been rejected before they were repeated.
    pub had_completed: u64,
    pub violations: Vec<String>,
}

impl Journal {
    /// Records a new write and returns its index.
    pub fn open(&self, write: Write) -> usize {
        let mut entries = self.entries();
        let (response, contradictions) = (None, Vec::new());
        entries.push(Entry {
            write,
            response,
            responded_at: None,
            originals: 0,
            replays: 0,
            unknowns: 0,
            was_in_doubt: false,
            contradictions,
        });
        entries.len() - 1
    }

    /// Records an observation and returns the definite response so far.
    pub fn observe(&self, index: usize, observed: Observed) -> Option<DefiniteResponse> {
        let mut entries = self.entries();
        entries[index].observe(observed);
        entries[index].response.clone()
    }

    pub fn read(&self) -> Vec<Entry> {
        self.entries().clone()
    }

    /// Repeats every write with an unknown outcome until it has a definite response, and then every write once more,
    /// which must return the same response.
    ///
    /// # Panics
    /// If a write gets no definite response in the absence of faults.
    pub async fn resolve(&self, send: impl AsyncFn(Write) -> Observed) {
        let unknown: Vec<usize> = {
            let mut entries = self.entries();
            let unknown = entries.iter_mut().enumerate().filter(|(_, entry)| entry.response.is_none());
            unknown.map(|(index, entry)| (entry.was_in_doubt = true, index).1).collect()
        };
        let send = &send;
        iter(unknown).map(|index| self.resolve_write(index, send)).buffer_unordered(CONCURRENCY).collect::<()>().await;
        let is_stored = |entry: &Entry| entry.response.as_ref().is_some_and(DefiniteResponse::is_stored);
        let stored: Vec<usize> =
            self.entries().iter().enumerate().filter(|(_, entry)| is_stored(entry)).map(|(index, _)| index).collect();
        iter(stored).map(|index| self.resolve_write(index, send)).buffer_unordered(CONCURRENCY).collect::<()>().await;
    }

    /// Repeats a write until it has a definite response.
    async fn resolve_write(&self, index: usize, send: &impl AsyncFn(Write) -> Observed) {
        let write = self.entries()[index].write.clone();
        let resolving = async {
            loop {
                let observed = send(write.clone()).await;
                let is_definite = matches!(observed, Observed::Definite { .. });
                self.observe(index, observed);
                if is_definite {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let resolved = tokio::time::timeout(RESOLVE_MAX, resolving).await;
        resolved.unwrap_or_else(|_| panic!("no definite response within {RESOLVE_MAX:?} without faults: {write:?}"));
    }

    /// Number of writes with a definite response.
    pub fn completed(&self) -> usize {
        self.entries().iter().filter(|entry| entry.response.is_some()).count()
    }

    /// Times of the first definite responses.
    pub fn response_times(&self) -> Vec<Instant> {
        self.entries().iter().filter_map(|entry| entry.responded_at).collect()
    }

    pub fn statistics(&self) -> Statistics {
        let mut statistics = Statistics::default();
        for entry in &*self.entries() {
            statistics.writes += 1;
            statistics.in_doubt += u64::from(entry.was_in_doubt);
            statistics.had_completed += u64::from(entry.was_in_doubt && entry.originals == 0);
            let write = &entry.write;
            let named = |violation| format!("{:?} {} {}: {violation}", write.operation, write.path, write.key);
            statistics.violations.extend(entry.violations().into_iter().map(named));
        }
        statistics
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.0.lock().expect("no panic while it is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn journal() -> (Journal, usize) {
        let journal = Journal::default();
        let index = journal.open(Write {
            operation: Operation::TopUpPoints,
            user_id: Some("kim".to_owned()),
            method: Method::POST,
            path: "/v1/users/kim/points/top-ups".to_owned(),
            body: json!({ "amount": "1" }),
            key: "key".to_owned(),
        });
        (journal, index)
    }

    fn response(body: &str, is_replayed: bool) -> Observed {
        Observed::Definite { response: DefiniteResponse { status: 201, body: body.into() }, is_replayed }
    }

    #[test]
    fn accepts_consistent_responses() {
        let (journal, index) = journal();
        for observed in [Observed::NoEffect, response("a", false), Observed::InProgress, response("a", true)] {
            journal.observe(index, observed);
        }
        assert!(journal.statistics().violations.is_empty());
    }

    #[test]
    fn detects_a_second_effect() {
        let (journal, index) = journal();
        journal.observe(index, response("a", false));
        journal.observe(index, response("a", false));
        assert_eq!(journal.statistics().violations.len(), 1);
    }

    #[test]
    fn detects_a_contradiction() {
        let (journal, index) = journal();
        journal.observe(index, response("a", false));
        journal.observe(index, response("b", true));
        assert_eq!(journal.statistics().violations.len(), 1);
    }

    #[test]
    fn detects_an_effect_after_a_guarantee_of_no_effect() {
        let (journal, index) = journal();
        journal.observe(index, Observed::NoEffect);
        journal.observe(index, response("a", true));
        assert_eq!(journal.statistics().violations.len(), 1);
        journal.observe(index, Observed::Unknown);
        assert!(journal.statistics().violations.is_empty(), "the request without a response may have taken effect");
    }

    #[tokio::test]
    async fn resolves_unknown_outcomes_and_counts_earlier_effects() {
        let (journal, index) = journal();
        journal.observe(index, Observed::Unknown);
        journal.resolve(async |_| response("a", true)).await;
        let statistics = journal.statistics();
        assert_eq!((statistics.writes, statistics.in_doubt, statistics.had_completed), (1, 1, 1));
        assert!(statistics.violations.is_empty());
    }
}
