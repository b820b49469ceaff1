//! The proof of the books, run: the document that tells of it, and the one verification that a server's callers share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::Instrument as _;
use utoipa::ToSchema;

use jangteo_domain::StoreError;
use jangteo_domain::retention::Retention;
use jangteo_domain::verification::{self, BooksFactory, Finding, Progress, Summary};

use crate::http::values::Time;
use crate::telemetry;
use crate::telemetry::chain;

/// The most findings that a document lists: more of them have one cause, and must not take all memory.
const FINDINGS_MAX: usize = 1_000;
/// How long the outcome of a verification is reused for later callers.
const REUSED_FOR: Duration = Duration::from_secs(60);

/// What a verification of the books came to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VerificationResponse {
    /// The time of the one state of all tables that was verified.
    verified_at: Time,
    /// How many rows were read.
    rows: u64,
    /// How many findings there are; the books agree when there is none.
    findings_total: u64,
    parts: Vec<VerifiedPart>,
    /// The findings, the first 1,000 of them.
    findings: Vec<VerificationFinding>,
}

/// A part of the books that was verified.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct VerifiedPart {
    /// `ledger`, `stock`, `orders`, `coupons`, `sales` or `retention`.
    part: &'static str,
    rows: u64,
    findings: u64,
}

/// Something that does not agree.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct VerificationFinding {
    /// What is concerned: `unreadable` for a row that makes no sense at all, else `account`, `stock`, `order`, `refund`,
    /// `campaign`, `coupon`, `sales` or `retention`.
    kind: &'static str,
    /// The key of the row concerned.
    #[schema(value_type = BTreeMap<String, String>)]
    ids: BTreeMap<&'static str, String>,
    /// What does not agree, in words.
    what: String,
}

impl VerificationResponse {
    /// Whether there is no finding.
    pub fn agrees(&self) -> bool {
        self.findings_total == 0
    }

    fn of(summary: &Summary, findings: Vec<VerificationFinding>) -> Self {
        let parts = summary.parts.iter();
        Self {
            verified_at: summary.taken_at.into(),
            rows: summary.rows(),
            findings_total: summary.findings(),
            parts: parts
                .map(|part| VerifiedPart { part: part.part.name(), rows: part.rows, findings: part.findings })
                .collect(),
            findings,
        }
    }

    /// The same for people: a line for each part and one for all.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .parts
            .iter()
            .map(|part| format!("{:<9}{:>12} rows{:>8} findings", part.part, part.rows, part.findings))
            .collect();
        lines.push(match self.findings_total {
            0 => "The books agree.".to_owned(),
            1 => "The books disagree: 1 finding.".to_owned(),
            findings => format!("The books disagree: {findings} findings."),
        });
        lines
    }
}

impl VerificationFinding {
    fn of(finding: &Finding) -> Self {
        Self { kind: finding.kind(), ids: finding.ids().into_iter().collect(), what: finding.what().to_owned() }
    }
}

/// Verifies the books once; hands each finding to `report` as it comes.
///
/// # Errors
/// Those of the store.
pub async fn verify(
    books: &dyn BooksFactory,
    retention: &Retention,
    progress: &mut dyn Progress,
    report: &mut (dyn FnMut(&Finding) + Send),
) -> Result<VerificationResponse, StoreError> {
    let mut findings = Vec::new();
    let mut take = |finding: Finding| {
        report(&finding);
        if findings.len() < FINDINGS_MAX {
            findings.push(VerificationFinding::of(&finding));
        }
    };
    let summary = verification::verify(&mut *books.open().await?, retention, progress, &mut take).await?;
    Ok(VerificationResponse::of(&summary, findings))
}

/// Runs one verification at a time, in a task that outlives its callers.
pub struct Verifier {
    books: Arc<dyn BooksFactory>,
    retention: Retention,
    runtime: Handle,
    last: Mutex<Option<Run>>,
}

/// A verification, under way or over.
struct Run {
    ended: Shared<BoxFuture<'static, Ended>>,
    task: AbortHandle,
}

#[derive(Clone)]
struct Ended {
    at: Instant,
    outcome: Result<Arc<VerificationResponse>, StoreError>,
}

impl Run {
    /// Whether it serves a caller who comes now: it is under way, or succeeded within [`REUSED_FOR`].
    fn is_current(&self) -> bool {
        match self.ended.clone().now_or_never() {
            Some(Ended { at, outcome }) => outcome.is_ok() && at.elapsed() < REUSED_FOR,
            None => true,
        }
    }
}

impl Verifier {
    /// A verifier whose tasks run on the current runtime, which must be the main one.
    pub fn new(books: Arc<dyn BooksFactory>, retention: Retention) -> Self {
        Self { books, retention, runtime: Handle::current(), last: Mutex::default() }
    }

    /// Joins the verification that is under way, reuses one that ended within [`REUSED_FOR`], or starts one. A caller who
    /// goes away does not stop it.
    ///
    /// # Errors
    /// Those of the store; the next caller starts a new verification.
    pub async fn join(&self) -> Result<Arc<VerificationResponse>, StoreError> {
        let ended = self.current();
        ended.await.outcome
    }

    fn current(&self) -> Shared<BoxFuture<'static, Ended>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = last.as_ref().filter(|run| run.is_current()) {
            return run.ended.clone();
        }
        let run = run(Arc::clone(&self.books), self.retention).in_current_span();
        let running = self.runtime.spawn(run);
        let task = running.abort_handle();
        let ended = running.map(|joined| {
            let outcome = joined.unwrap_or_else(|error| Err(StoreError::Unexpected(Arc::new(error))));
            Ended { at: Instant::now(), outcome }
        });
        last.insert(Run { ended: ended.boxed().shared(), task }).ended.clone()
    }

    /// Stops a verification that is under way, before its database is closed.
    pub async fn stop(&self) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(run) = last {
            run.task.abort();
            run.ended.await;
        }
    }
}

/// Verifies the books, and records the outcome in the log and the metrics.
async fn run(books: Arc<dyn BooksFactory>, retention: Retention) -> Result<Arc<VerificationResponse>, StoreError> {
    let mut first = None;
    let mut take = |finding: &Finding| {
        first.get_or_insert_with(|| finding.to_string());
    };
    let outcome = verify(&*books, &retention, &mut (), &mut take).await;
    match &outcome {
        Ok(verified) => verified.record(first.as_deref()),
        Err(error) => tracing::warn!(kind = error.kind(), cause = chain(error), "the books were not verified"),
    }
    outcome.map(Arc::new)
}

impl VerificationResponse {
    /// Records it in the log and the metrics.
    fn record(&self, first: Option<&str>) {
        if let Some(first) = first {
            tracing::error!(findings = self.findings_total, first, "the books disagree");
        }
        // Far from the 2^52 up to which an f64 is exact.
        metrics::gauge!(telemetry::VERIFICATION_FINDINGS).set(self.findings_total as f64);
        let microseconds = self.verified_at.0.unix_microseconds() as f64;
        metrics::gauge!(telemetry::VERIFICATION_TIMESTAMP).set(microseconds / 1_000_000.0);
    }
}

#[cfg(test)]
mod tests;
