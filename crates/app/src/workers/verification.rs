//! Verification of the books: its report, the one run that the callers of a server share, and its row, which the other
//! servers see.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::Instrument as _;
use utoipa::ToSchema;

use jangteo_domain::id::VerificationId;
use jangteo_domain::idempotency::RequestKey;
use jangteo_domain::queries::DatabaseClock;
use jangteo_domain::retention::Retention;
use jangteo_domain::verification::{
    self, Begun, BooksFactory, Finding, HEARTBEAT_INTERVAL, Part, Progress, RunEnd, RunProgress, Summary,
    VerificationRuns,
};
use jangteo_domain::{IdSource as _, StoreError};

use crate::error_chain::chain;
use crate::http::values::Time;
use crate::system::{UuidSource, server_name};
use crate::telemetry;

/// Maximum findings in a report, to limit its memory: more of them usually have one cause.
const FINDINGS_MAX: usize = 1_000;
/// Time for which later callers get the same report.
const REUSED_FOR: Duration = Duration::from_secs(60);
/// The attempts to record the end of a run, and the pause between them: about the time after which it is interrupted.
const END_ATTEMPTS: u32 = 25;
const END_PAUSE: Duration = Duration::from_secs(1);

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
    /// `ledger`, `stock`, `orders`, `coupons`, `sales`, `audit_log`, `statistics` or `retention`.
    part: &'static str,
    rows: u64,
    findings: u64,
}

/// A row that disagrees with others, or cannot be read.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VerificationFinding {
    /// `account`, `stock`, `order`, `refund`, `campaign`, `coupon`, `sales`, `audit_log`, `statistics` or `retention`;
    /// `unreadable` for a row that cannot be parsed.
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

/// The ports of a verifier.
pub struct VerifierPorts {
    pub books: Arc<dyn BooksFactory>,
    pub runs: Arc<dyn VerificationRuns>,
    pub clock: Arc<dyn DatabaseClock>,
}

/// Runs one verification at a time, in a task that outlives its callers.
pub struct Verifier {
    ports: Arc<VerifierPorts>,
    server: String,
    retention: Retention,
    runtime: Handle,
    last: Mutex<Option<Run>>,
}

/// A verification, running or completed.
struct Run {
    ended: Shared<BoxFuture<'static, Ended>>,
    task: AbortHandle,
    /// Set once its row is stored.
    record: Arc<OnceLock<Record>>,
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
    pub fn new(ports: VerifierPorts, retention: Retention) -> Self {
        let (ports, server) = (Arc::new(ports), server_name());
        Self { ports, server, retention, runtime: Handle::current(), last: Mutex::default() }
    }

    /// The stored runs of all servers.
    pub fn runs(&self) -> &dyn VerificationRuns {
        &*self.ports.runs
    }

    /// Joins the running verification, reuses one that ended within [`REUSED_FOR`], or starts one. It continues when
    /// its callers disconnect. It has a row, unless another server runs one or the row cannot be stored.
    ///
    /// # Errors
    /// Errors of the store; the next caller starts a new verification.
    pub async fn join(&self) -> Result<Arc<VerificationResponse>, StoreError> {
        let ended = self.current();
        ended.await.outcome
    }

    /// Starts a verification with a row, unless one runs in any server. It starts even if its caller disconnects.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn start(self: &Arc<Self>, request: Option<RequestKey>) -> Result<Begun, StoreError> {
        let verifier = Arc::clone(self);
        let starting = async move {
            let begun = begin(&verifier.ports, request, &verifier.server).await?;
            if let Begun::Started(run) = &begun {
                let record = Arc::new(OnceLock::from(Record::of(&verifier.ports, run.id)));
                let verifying = run_recorded(Arc::clone(&verifier.ports), verifier.retention, Arc::clone(&record));
                let run = verifier.spawn(verifying, record);
                *verifier.last() = Some(run);
            }
            Ok(begun)
        };
        let started = self.runtime.spawn(starting.in_current_span()).await;
        started.unwrap_or_else(|panicked| Err(StoreError::Unexpected(Arc::new(panicked))))
    }

    fn current(&self) -> Shared<BoxFuture<'static, Ended>> {
        let mut last = self.last();
        if let Some(run) = last.as_ref().filter(|run| run.is_current()) {
            return run.ended.clone();
        }
        let record = Arc::new(OnceLock::new());
        let (ports, server, retention) = (Arc::clone(&self.ports), self.server.clone(), self.retention);
        let verifying = {
            let record = Arc::clone(&record);
            async move {
                match begin(&ports, None, &server).await {
                    Ok(Begun::Started(run)) => drop(record.set(Record::of(&ports, run.id))),
                    Ok(Begun::Repeated(_) | Begun::Running(_)) => {}
                    Err(error) => tracing::warn!(
                        kind = error.kind(),
                        cause = chain(&error),
                        "the verification has no row: it is not in the list"
                    ),
                }
                run_recorded(ports, retention, record).await
            }
        };
        last.insert(self.spawn(verifying, record)).ended.clone()
    }

    fn last(&self) -> MutexGuard<'_, Option<Run>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(
        &self,
        verifying: impl Future<Output = Result<Arc<VerificationResponse>, StoreError>> + Send + 'static,
        record: Arc<OnceLock<Record>>,
    ) -> Run {
        let running = self.runtime.spawn(verifying.in_current_span());
        let task = running.abort_handle();
        let ended = running.map(|joined| {
            let outcome = joined.unwrap_or_else(|error| Err(StoreError::Unexpected(Arc::new(error))));
            Ended { at: Instant::now(), outcome }
        });
        Run { ended: ended.boxed().shared(), task, record }
    }

    /// Aborts a running verification, before its database is closed.
    pub async fn stop(&self) {
        let last = self.last().take();
        let Some(run) = last.filter(|run| run.ended.clone().now_or_never().is_none()) else { return };
        run.task.abort();
        run.ended.await;
        if let Some(record) = run.record.get()
            && let Err(error) = record.end(&RunEnd::Interrupted).await
        {
            // Without a heartbeat it is interrupted as well, later.
            tracing::debug!(kind = error.kind(), cause = chain(&error), "the end of the verification is not stored");
        }
    }
}

async fn begin(ports: &VerifierPorts, request: Option<RequestKey>, server: &str) -> Result<Begun, StoreError> {
    let id = UuidSource.next_id_at(ports.clock.now().await?);
    ports.runs.begin(id.into(), request, server).await
}

/// The row of a run.
struct Record {
    runs: Arc<dyn VerificationRuns>,
    id: VerificationId,
    seen: Mutex<Seen>,
}

/// The progress of a run.
#[derive(Default)]
struct Seen {
    step: u32,
    violations: u64,
    findings: Vec<VerificationFinding>,
}

impl Record {
    fn of(ports: &VerifierPorts, id: VerificationId) -> Self {
        Self { runs: Arc::clone(&ports.runs), id, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, finding: &Finding) {
        let mut seen = self.seen();
        seen.violations += 1;
        if seen.findings.len() < FINDINGS_MAX {
            seen.findings.push(VerificationFinding::of(finding));
        }
    }

    fn progress(&self) -> RunProgress {
        let seen = self.seen();
        let findings = serde_json::to_string(&seen.findings).expect("text and maps by text serialize as JSON");
        RunProgress { step: seen.step.max(1), violations: seen.violations, findings }
    }

    /// Verifies, and records the progress at each heartbeat, then the end.
    async fn during(
        &self,
        verifying: impl Future<Output = Result<VerificationResponse, StoreError>>,
    ) -> Result<VerificationResponse, StoreError> {
        let mut verifying = pin!(verifying);
        let mut beats = interval(HEARTBEAT_INTERVAL.try_into().expect("a positive duration"));
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let outcome = loop {
            tokio::select! {
                outcome = &mut verifying => break outcome,
                _ = beats.tick() => match self.runs.record(self.id, &self.progress()).await {
                    Ok(true) => {}
                    Ok(false) => return Err(StoreError::unexpected("the verification is interrupted in its row")),
                    Err(error) => {
                        tracing::warn!(kind = error.kind(), cause = chain(&error), "a heartbeat is not stored");
                    }
                },
            }
        };
        let end = match &outcome {
            Ok(verified) if verified.agrees() => RunEnd::Passed,
            Ok(_) => RunEnd::Violated,
            Err(error) => RunEnd::Failed { error: format!("{}: the server's log has the cause", error.kind()) },
        };
        for _ in 0..END_ATTEMPTS {
            match self.end(&end).await {
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(
                        kind = error.kind(),
                        cause = chain(&error),
                        "the end of a verification is not stored"
                    );
                    sleep(END_PAUSE).await;
                }
            }
        }
        outcome
    }

    async fn end(&self, end: &RunEnd) -> Result<bool, StoreError> {
        self.runs.end(self.id, &self.progress(), end).await
    }
}

/// Records the part that runs.
struct Steps<'a>(Option<&'a Record>);

impl Progress for Steps<'_> {
    fn part(&mut self, _part: Part) {
        if let Some(record) = self.0 {
            record.seen().step += 1;
        }
    }

    fn rows(&mut self, _count: u64) {}
}

/// Verifies the books, with log and metrics, and with a row if it is set.
async fn run_recorded(
    ports: Arc<VerifierPorts>,
    retention: Retention,
    record: Arc<OnceLock<Record>>,
) -> Result<Arc<VerificationResponse>, StoreError> {
    let (record, mut first) = (record.get(), None);
    let mut steps = Steps(record);
    let mut take = |finding: &Finding| {
        first.get_or_insert_with(|| finding.to_string());
        if let Some(record) = record {
            record.find(finding);
        }
    };
    let verifying = verify(&*ports.books, &retention, &mut steps, &mut take);
    let outcome = match record {
        Some(record) => record.during(verifying).await,
        None => verifying.await,
    };
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
