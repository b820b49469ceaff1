//! The numbers of the back office, and verifications as rows.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::memory::MemoryStore;
use crate::memory::queries::newest_first;
use crate::memory::tables::{RunRow, Tables, insert};
use jangteo_domain::coupon::CouponCampaign;
use jangteo_domain::delivery::DeliveryState;
use jangteo_domain::id::VerificationId;
use jangteo_domain::idempotency::RequestKey;
use jangteo_domain::order::{OrderRecord, OrderStatus};
use jangteo_domain::overview::{Overview, OverviewLimits, OverviewQueries};
use jangteo_domain::page::Page;
use jangteo_domain::product::ProductStatus;
use jangteo_domain::statistics::{
    CountLease, CountProgress, CountedRow, CountedTable, LEASE, QuarterHour, QuarterHours, Statistics, StatisticsCount,
    StatisticsQueries,
};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::time::Timestamp;
use jangteo_domain::verification::{
    Begun, HEARTBEAT_MAX, RunEnd, RunProgress, RunStatus, VerificationRun, VerificationRuns,
};

#[async_trait]
impl StatisticsQueries for MemoryStore {
    async fn statistics(&self, from: Timestamp, to: Timestamp) -> Result<Statistics, StoreError> {
        let tables = self.committed();
        let wanted = tables.quarters.iter().filter(|(starts_at, _)| (from..to).contains(*starts_at));
        let quarters = wanted.map(|(&starts_at, &totals)| QuarterHour { starts_at, totals }).collect();
        Ok(Statistics { quarters, progress: tables.count.progress })
    }
}

#[async_trait]
impl StatisticsCount for MemoryStore {
    async fn lease(&self, holder: Uuid) -> Result<Option<CountLease>, StoreError> {
        let now = self.time();
        self.change(|tables| {
            if tables.count.holder != Some(holder) && tables.count.leased_until > now {
                return Ok(None);
            }
            (tables.count.holder, tables.count.leased_until) = (Some(holder), now.saturating_add(LEASE));
            Ok(Some(CountLease { now, progress: tables.count.progress }))
        })
        .await
    }

    async fn start_over(&self, holder: Uuid) -> Result<(), StoreError> {
        let leased_until = self.time().saturating_add(LEASE);
        self.change(|tables| {
            (tables.count.holder, tables.count.leased_until) = (Some(holder), leased_until);
            tables.count.progress = CountProgress::default();
            Ok(())
        })
        .await
    }

    async fn rows(&self, of: CountedTable, after: Uuid, to: Uuid, limit: u32) -> Result<Vec<CountedRow>, StoreError> {
        let tables = self.committed();
        let mut rows: Vec<CountedRow> = match of {
            CountedTable::Payments => tables
                .payments
                .values()
                .map(|row| CountedRow { id: row.id.uuid(), at: row.paid_at, amount: row.amount, sequence: 1 })
                .collect(),
            CountedTable::Refunds => tables
                .refunds
                .values()
                .map(|row| CountedRow { id: row.id.uuid(), at: row.at, amount: row.amount, sequence: row.sequence })
                .collect(),
        };
        rows.retain(|row| after < row.id && row.id < to);
        rows.sort_unstable_by_key(|row| row.id);
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    async fn replace(
        &self,
        holder: Uuid,
        from: Timestamp,
        to: Timestamp,
        quarters: &QuarterHours,
        progress: CountProgress,
    ) -> Result<Option<u32>, StoreError> {
        let now = self.time();
        self.change(|tables| {
            if tables.count.holder != Some(holder) {
                return Ok(None);
            }
            (tables.count.leased_until, tables.count.progress) = (now.saturating_add(LEASE), progress);
            let before = tables.quarters.clone();
            let rows = Arc::make_mut(&mut tables.quarters);
            rows.retain(|starts_at, _| !(from..to).contains(starts_at));
            rows.extend(quarters.iter().map(|quarter| (quarter.starts_at, quarter.totals)));
            let is_changed = |starts_at: &&Timestamp| rows.get(starts_at) != before.get(starts_at);
            let starts: std::collections::BTreeSet<&Timestamp> = rows.keys().chain(before.keys()).collect();
            Ok(Some(u32::try_from(starts.into_iter().filter(is_changed).count()).unwrap_or(u32::MAX)))
        })
        .await
    }
}

#[async_trait]
impl OverviewQueries for MemoryStore {
    async fn overview(&self, limits: OverviewLimits) -> Result<Overview, StoreError> {
        let (now, tables) = (self.time(), self.committed());
        let open = || tables.orders.values().filter(|order| order.status == OrderStatus::PendingPayment);
        let quantity = |order: &OrderRecord| order.lines.iter().map(|line| u64::from(line.quantity)).sum::<u64>();
        let on_sale = tables.products.values().filter(|product| product.details.status == ProductStatus::OnSale);
        let available: Vec<u64> =
            on_sale.filter_map(|product| tables.stocks.get(&product.id)).map(|stock| stock.available).collect();
        let deliveries = |state| {
            let count = tables.deliveries.values().filter(|delivery| delivery.state == state).count() as u64;
            count.min(limits.events.into())
        };
        let mut campaigns: Vec<_> = tables.campaigns.values().cloned().collect();
        campaigns.retain(|campaign| {
            campaign.details.issue_opens_at <= now
                && now < campaign.details.issue_closes_at
                && u64::from(campaign.remaining()) * 10 <= u64::from(campaign.details.quantity)
        });
        campaigns.sort_by_key(|campaign| (campaign.details.issue_closes_at, campaign.id));
        campaigns.truncate(usize::try_from(limits.campaigns).unwrap_or(usize::MAX));
        let nearly = 1..=u64::from(limits.nearly_sold_out);
        Ok(Overview {
            now,
            open_orders: open().count() as u64,
            open_quantity: open().map(quantity).sum(),
            sold_out: available.iter().filter(|available| **available == 0).count() as u64,
            nearly_sold_out: available.iter().filter(|available| nearly.contains(*available)).count() as u64,
            campaigns_running_out: campaigns
                .into_iter()
                .map(|campaign| Ok(CouponCampaign::from_stored(campaign)?))
                .collect::<Result<_, StoreError>>()?,
            pending_events: deliveries(DeliveryState::Pending),
            dead_events: deliveries(DeliveryState::Dead),
        })
    }
}

/// The run as it is at that time.
fn seen(row: &RunRow, now: Timestamp) -> VerificationRun {
    let mut run = row.run.clone();
    if run.status == RunStatus::Running && row.heartbeat_at <= now.saturating_sub(HEARTBEAT_MAX) {
        (run.status, run.finished_at) = (RunStatus::Interrupted, Some(row.heartbeat_at));
    }
    run
}

/// Changes a run that is not over.
fn change_run(
    tables: &mut Tables,
    id: VerificationId,
    now: Timestamp,
    progress: &RunProgress,
    change: impl FnOnce(&mut VerificationRun),
) -> bool {
    let row = Arc::make_mut(&mut tables.runs).get_mut(&id);
    let Some(row) = row.filter(|row| seen(row, now).status == RunStatus::Running) else { return false };
    let RunProgress { step, violations, findings } = progress.clone();
    (row.run.step, row.run.violations, row.run.findings, row.heartbeat_at) = (step, violations, findings, now);
    change(&mut row.run);
    true
}

#[async_trait]
impl VerificationRuns for MemoryStore {
    async fn begin(&self, id: VerificationId, request: Option<RequestKey>, server: &str) -> Result<Begun, StoreError> {
        let now = self.time();
        self.change(|tables| {
            for row in Arc::make_mut(&mut tables.runs).values_mut() {
                row.run = seen(row, now);
            }
            let same = tables.runs.values().find(|row| request.is_some() && row.request == request);
            if let Some(same) = same {
                return Ok(Begun::Repeated(same.run.clone()));
            }
            if let Some(running) = tables.runs.values().find(|row| row.run.status == RunStatus::Running) {
                return Ok(Begun::Running(running.run.id));
            }
            let run = VerificationRun {
                id,
                status: RunStatus::Running,
                server: server.to_owned(),
                started_at: now,
                finished_at: None,
                step: 1,
                violations: 0,
                findings: "[]".to_owned(),
                error: None,
            };
            insert(&mut tables.runs, id, RunRow { run: run.clone(), request, heartbeat_at: now })?;
            Ok(Begun::Started(run))
        })
        .await
    }

    async fn record(&self, id: VerificationId, progress: &RunProgress) -> Result<bool, StoreError> {
        let now = self.time();
        self.change(|tables| Ok(change_run(tables, id, now, progress, |_| {}))).await
    }

    async fn end(&self, id: VerificationId, progress: &RunProgress, end: &RunEnd) -> Result<bool, StoreError> {
        let now = self.time();
        let ended = |run: &mut VerificationRun| {
            (run.status, run.finished_at) = (end.status(), Some(now));
            if let RunEnd::Failed { error } = end {
                run.error = Some(error.clone());
            }
        };
        self.change(|tables| Ok(change_run(tables, id, now, progress, ended))).await
    }

    async fn find(&self, id: VerificationId) -> Result<Option<VerificationRun>, StoreError> {
        let now = self.time();
        Ok(self.committed().runs.get(&id).map(|row| seen(row, now)))
    }

    async fn list(&self, page: &Page<VerificationId>) -> Result<Vec<VerificationRun>, StoreError> {
        let (now, tables) = (self.time(), self.committed());
        let mut rows = newest_first(tables.runs.values(), |row| row.run.id, page);
        rows.iter_mut().for_each(|row| row.run.findings = String::new());
        Ok(rows.iter().map(|row| seen(row, now)).collect())
    }
}

/// The oldest runs up to a time are deleted.
pub(super) fn prune_runs(tables: &mut Tables, until: Timestamp, limit: usize) -> usize {
    let mut old: Vec<_> = tables.runs.values().map(|row| (row.run.started_at, row.run.id)).collect();
    old.retain(|(started_at, _)| *started_at <= until);
    old.sort_unstable();
    old.truncate(limit);
    let rows = Arc::make_mut(&mut tables.runs);
    old.iter().filter(|(_, id)| rows.remove(id).is_some()).count()
}
