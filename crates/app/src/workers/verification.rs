//! Verification of the books: its report, and the one run that the callers of a server share.

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

use crate::error_chain::chain;
use crate::http::values::Time;
use crate::telemetry;

/// Maximum findings in a report, to limit its memory: more of them usually have one cause.
const FINDINGS_MAX: usize = 1_000;
/// Time for which later callers get the same report.
const REUSED_FOR: Duration = Duration::from_secs(60);

/// Report of a verification of the books.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VerificationResponse {
    /// Time of the snapshot of all tables.
    verified_at: Time,
    /// Number of rows read.
    rows: u64,
    /// Number of findings; the books agree at 0.
    findings_total: u64,
    parts: Vec<VerifiedPart>,
    /// The first 1,000 findings.
    findings: Vec<VerificationFinding>,
}

/// A verified part of the books.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct VerifiedPart {
    /// `ledger`, `stock`, `orders`, `coupons`, `sales`, `audit_log` or `retention`.
    part: &'static str,
    rows: u64,
    findings: u64,
}

/// A row that disagrees with others, or cannot be read.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct VerificationFinding {
    /// `account`, `stock`, `order`, `refund`, `campaign`, `coupon`, `sales` or `retention`; `unreadable` for a row that
    /// cannot be parsed.
    kind: &'static str,
    /// Key of the row.
    #[schema(value_type = BTreeMap<String, String>)]
    ids: BTreeMap<&'static str, String>,
    /// Description of the disagreement.
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

    /// The report as text: a line per part and a summary.
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
        Self { kind: finding.kind(), ids: finding.ids().into_iter().collect(), what: finding.description().to_owned() }
    }
}

/// Verifies the books once and passes each finding to `report` immediately.
///
/// # Errors
/// Errors of the store.
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

/// A verification, running or completed.
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
    /// Whether a new caller gets it: it is running, or succeeded within [`REUSED_FOR`].
    fn is_current(&self) -> bool {
        match self.ended.clone().now_or_never() {
            Some(Ended { at, outcome }) => outcome.is_ok() && at.elapsed() < REUSED_FOR,
            None => true,
        }
    }
}

impl Verifier {
    /// A verifier with tasks on the current runtime, which must be the main runtime.
    pub fn new(books: Arc<dyn BooksFactory>, retention: Retention) -> Self {
        Self { books, retention, runtime: Handle::current(), last: Mutex::default() }
    }

    /// Joins the running verification, reuses one that ended within [`REUSED_FOR`], or starts one. It continues when
    /// its callers disconnect.
    ///
    /// # Errors
    /// Errors of the store; the next caller starts a new verification.
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

    /// Aborts a running verification, before its database is closed.
    pub async fn stop(&self) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(run) = last {
            run.task.abort();
            run.ended.await;
        }
    }
}

/// Verifies the books, with log and metrics.
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
        // Far below 2^52, up to which an f64 is exact.
        metrics::gauge!(telemetry::VERIFICATION_FINDINGS).set(self.findings_total as f64);
        let microseconds = self.verified_at.0.unix_microseconds() as f64;
        metrics::gauge!(telemetry::VERIFICATION_TIMESTAMP).set(microseconds / 1_000_000.0);
    }
}

#[cfg(test)]
mod tests;
