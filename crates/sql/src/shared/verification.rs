//! Verifications as rows. The clock that compares heartbeats is the database's.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;
use jangteo_domain::id::VerificationId;
use jangteo_domain::idempotency::RequestKey;
use jangteo_domain::page::Page;
use jangteo_domain::transaction::Changes;
use jangteo_domain::verification::{
    Begun, HEARTBEAT_MAX, RunEnd, RunProgress, RunStatus, VerificationRun, VerificationRuns,
};
use jangteo_domain::{StoreError, Timestamp};

use super::store::{Store, now};
use super::transaction::Transaction;
use crate::rows::verification::RunRow;
use crate::schema::verifications;
use crate::types::{At, Coded as _, Id, before_id};

/// Attempts to begin while other servers begin.
const ATTEMPTS_MAX: u32 = 5;
/// The value of `running` of the run that is not over.
const RUNNING: i64 = 1;
/// The maximum length of an error, in characters.
const ERROR_LENGTH_MAX: usize = 500;

#[async_trait]
impl VerificationRuns for Store {
    async fn begin(&self, id: VerificationId, request: Option<RequestKey>, server: &str) -> Result<Begun, StoreError> {
        let mut attempts = 1;
        loop {
            let server = server.to_owned();
            let begun = self.in_background(move |transaction| {
                async move { Ok((transaction.begin_run(id, request, server).await?, Changes::default())) }.boxed()
            });
            match begun.await {
                // Of two that begin at the same time, one fails on the key of the running one.
                Err(StoreError::Conflict(_)) if attempts < ATTEMPTS_MAX => attempts += 1,
                begun => return begun,
            }
        }
    }

    async fn record(&self, id: VerificationId, progress: &RunProgress) -> Result<bool, StoreError> {
        self.write_run(id, progress.clone(), None).await
    }

    async fn end(&self, id: VerificationId, progress: &RunProgress, end: &RunEnd) -> Result<bool, StoreError> {
        self.write_run(id, progress.clone(), Some(end.clone())).await
    }

    async fn find(&self, id: VerificationId) -> Result<Option<VerificationRun>, StoreError> {
        self.read(move |connection| {
            async move {
                let run = verifications::table.find(Id(id)).select((RunRow::as_select(), verifications::findings));
                let run: Option<(RunRow, String)> = run.first(connection).await.optional()?;
                let now = now(connection).await?;
                Ok(run.map(|(run, findings)| run.seen(now, findings)))
            }
            .boxed()
        })
        .await
    }

    async fn list(&self, page: &Page<VerificationId>) -> Result<Vec<VerificationRun>, StoreError> {
        let page = page.clone();
        self.read(move |connection| {
            async move {
                let runs = verifications::table
                    .filter(verifications::id.lt(before_id(page.after)))
                    .order(verifications::id.desc())
                    .limit(page.limit.into())
                    .select(RunRow::as_select());
                let runs: Vec<RunRow> = runs.load(connection).await?;
                let now = now(connection).await?;
                Ok(runs.into_iter().map(|run| run.seen(now, String::new())).collect())
            }
            .boxed()
        })
        .await
    }
}

impl Store {
    async fn write_run(
        &self,
        id: VerificationId,
        progress: RunProgress,
        end: Option<RunEnd>,
    ) -> Result<bool, StoreError> {
        self.in_background(move |transaction| {
            async move { Ok((transaction.write_run(id, progress, end).await?, Changes::default())) }.boxed()
        })
        .await
    }
}

/// The oldest heartbeat of a run that is not interrupted is younger.
fn lost_at(now: Timestamp) -> At {
    At(now.saturating_sub(HEARTBEAT_MAX))
}

impl Transaction {
    async fn begin_run(
        &mut self,
        id: VerificationId,
        request: Option<RequestKey>,
        server: String,
    ) -> Result<Begun, StoreError> {
        let now = self.now().await?;
        let lost = verifications::table
            .filter(verifications::running.eq(RUNNING))
            .filter(verifications::heartbeat_at.le(lost_at(now)));
        let interrupt = diesel::update(lost).set((
            verifications::status.eq(RunStatus::Interrupted.code()),
            verifications::running.eq(None::<i64>),
            verifications::finished_at.eq(verifications::heartbeat_at.nullable()),
        ));
        self.run(|connection| interrupt.execute(connection).boxed()).await?;

        let request = request.map(|RequestKey(key)| key.to_vec());
        if let Some(key) = request.clone() {
            let same = verifications::table
                .filter(verifications::request_key.eq(key))
                .select((RunRow::as_select(), verifications::findings));
            let same: Vec<(RunRow, String)> = self.query(same).await?;
            if let Some((run, findings)) = same.into_iter().next() {
                return Ok(Begun::Repeated(run.seen(now, findings)));
            }
        }
        let running = verifications::table.filter(verifications::running.eq(RUNNING)).select(verifications::id);
        let running: Vec<Id<VerificationId>> = self.query(running).await?;
        if let Some(Id(running)) = running.into_iter().next() {
            return Ok(Begun::Running(running));
        }
        let run = VerificationRun {
            id,
            status: RunStatus::Running,
            server,
            started_at: now,
            finished_at: None,
            step: 1,
            violations: 0,
            findings: "[]".to_owned(),
            error: None,
        };
        let insert = diesel::insert_into(verifications::table).values((
            (
                verifications::id.eq(Id(id)),
                verifications::status.eq(run.status.code()),
                verifications::running.eq(Some(RUNNING)),
                verifications::request_key.eq(request),
                verifications::server.eq(run.server.clone()),
            ),
            (
                verifications::started_at.eq(At(now)),
                verifications::heartbeat_at.eq(At(now)),
                verifications::step.eq(i64::from(run.step)),
                verifications::violations.eq(0),
                verifications::findings.eq(run.findings.clone()),
            ),
        ));
        self.run(|connection| insert.execute(connection).boxed()).await?;
        Ok(Begun::Started(run))
    }

    /// Writes the heartbeat and the progress, unless the run is over or interrupted.
    async fn write_run(
        &mut self,
        id: VerificationId,
        progress: RunProgress,
        end: Option<RunEnd>,
    ) -> Result<bool, StoreError> {
        let now = self.now().await?;
        let RunProgress { step, violations, findings } = progress;
        let status = end.as_ref().map_or(RunStatus::Running, RunEnd::status);
        let error = match &end {
            Some(RunEnd::Failed { error }) => Some(error.chars().take(ERROR_LENGTH_MAX).collect::<String>()),
            Some(RunEnd::Passed | RunEnd::Violated | RunEnd::Interrupted) | None => None,
        };
        let running = verifications::table
            .filter(verifications::id.eq(Id(id)))
            .filter(verifications::running.eq(RUNNING))
            .filter(verifications::heartbeat_at.gt(lost_at(now)));
        let write = diesel::update(running).set((
            verifications::status.eq(status.code()),
            verifications::running.eq(end.is_none().then_some(RUNNING)),
            verifications::heartbeat_at.eq(At(now)),
            verifications::finished_at.eq(end.is_some().then_some(At(now))),
            verifications::step.eq(i64::from(step)),
            verifications::violations.eq(i64::try_from(violations).unwrap_or(i64::MAX)),
            verifications::findings.eq(findings),
            verifications::error.eq(error),
        ));
        Ok(self.run(|connection| write.execute(connection).boxed()).await? > 0)
    }
}
