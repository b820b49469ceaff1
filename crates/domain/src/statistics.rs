//! Statistics: paid orders and refunds by quarter of an hour, counted in the background from payments and refunds.
//!
//! One server at a time counts, under a lease. A quarter is **final** once it ended [`FINAL_AFTER`] ago: it is counted
//! one last time. Later quarters are counted again and again, from the start of each, and their rows replaced. So a step
//! has the same effect however often it runs, and no payment waits for it or writes anything for it. A payment has the
//! database's time after its locks and commits within seconds; one that commits later than [`FINAL_AFTER`] is missing,
//! which the verification of the books reports, until the count starts over.

use std::collections::BTreeMap;

use async_trait::async_trait;
use time::Duration;
use uuid::Uuid;

use crate::id::first_id_at;
use crate::money::Money;
use crate::store_error::StoreError;
use crate::time::Timestamp;

/// A quarter of an hour. The hours and days of every time zone consist of quarters of UTC.
pub const QUARTER: Duration = Duration::minutes(15);
/// The time from the end of a quarter to its last count: far above the duration of a transaction with all its retries.
pub const FINAL_AFTER: Duration = Duration::minutes(10);
/// The age at which payments and refunds count as committed, for the time up to which the statistics are complete.
pub const COMMITTED_AFTER: Duration = Duration::seconds(30);
/// The lease of the server that counts. Another one takes over once it has ended.
pub const LEASE: Duration = Duration::seconds(30);

/// The rows of a query: large against the cost of a round trip, small against memory.
const PAGE: u32 = 5_000;
/// The rows of one step, beyond which it ends with its quarter: a step takes less than the lease.
const STEP_ROWS: usize = 500_000;
/// The longest time of one step: bounds the quarters that it stores.
const STEP: Duration = Duration::days(1);
/// The interval at which the progress is stored where no row has changed.
const PROGRESS_INTERVAL: Duration = Duration::seconds(10);

/// The start of the quarter with that time.
pub fn quarter_of(at: Timestamp) -> Timestamp {
    let within = at.unix_microseconds().rem_euclid(900_000_000);
    at.saturating_sub(Duration::microseconds(within))
}

/// Numbers of a period. Sums stop at the largest number.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct SalesTotals {
    /// Orders paid in the period.
    pub orders: u64,
    /// The amounts paid for them.
    pub revenue: Money,
    /// Orders whose first refund is in the period.
    pub refunded_orders: u64,
    /// The amounts of all refunds in the period.
    pub refunded: Money,
}

impl SalesTotals {
    /// The numbers of both periods.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: Money, b: Money| a.checked_add(b).unwrap_or(Money::MAX);
        Self {
            orders: self.orders.saturating_add(other.orders),
            revenue: sum(self.revenue, other.revenue),
            refunded_orders: self.refunded_orders.saturating_add(other.refunded_orders),
            refunded: sum(self.refunded, other.refunded),
        }
    }

    /// One payment.
    pub fn of_payment(amount: Money) -> Self {
        Self { orders: 1, revenue: amount, ..Self::default() }
    }

    /// One refund, the first of its order or a later one.
    pub fn of_refund(amount: Money, is_first: bool) -> Self {
        Self { refunded_orders: u64::from(is_first), refunded: amount, ..Self::default() }
    }
}

/// The numbers of a quarter that is not empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct QuarterHour {
    pub starts_at: Timestamp,
    pub totals: SalesTotals,
}

/// Numbers by quarter.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct QuarterHours(BTreeMap<Timestamp, SalesTotals>);

impl QuarterHours {
    /// Adds to the quarter with that time.
    pub fn add(&mut self, at: Timestamp, totals: SalesTotals) {
        let sum = self.0.entry(quarter_of(at)).or_default();
        *sum = sum.plus(totals);
    }

    /// The quarters in order of time.
    pub fn iter(&self) -> impl Iterator<Item = QuarterHour> {
        self.0.iter().map(|(&starts_at, &totals)| QuarterHour { starts_at, totals })
    }
}

/// How far the quarters are counted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct CountProgress {
    /// Quarters that begin earlier are final.
    pub final_to: Timestamp,
    /// All payments and refunds up to this time are counted.
    pub complete_to: Timestamp,
}

/// Quarters as stored, and the progress of their count.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct Statistics {
    /// In order of time, without empty ones.
    pub quarters: Vec<QuarterHour>,
    pub progress: CountProgress,
}

/// Reads the statistics, without locks; gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait StatisticsQueries: Send + Sync {
    /// The quarters that begin at `from` or later and before `to`, in one snapshot with the progress.
    async fn statistics(&self, from: Timestamp, to: Timestamp) -> Result<Statistics, StoreError>;
}

/// The rows to count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants are named after their rows")]
pub enum CountedTable {
    Payments,
    Refunds,
}

/// A payment or a refund.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct CountedRow {
    pub id: Uuid,
    pub at: Timestamp,
    pub amount: Money,
    /// The position among the refunds of its order; 1 for a payment.
    pub sequence: u32,
}

/// The lease of the one server that counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CountLease {
    /// The database's time.
    pub now: Timestamp,
    /// As stored.
    pub progress: CountProgress,
}

/// Counts payments and refunds by quarter. Reads and writes the primary.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait StatisticsCount: Send + Sync {
    /// Takes the free lease, or extends the own one, for [`LEASE`]; `None` while another holder has it. Writes only
    /// where less than half of the own lease is left.
    async fn lease(&self, holder: Uuid) -> Result<Option<CountLease>, StoreError>;

    /// Takes the lease from any holder, and sets the progress back to the start. The quarters stay until they are
    /// replaced.
    async fn start_over(&self, holder: Uuid) -> Result<(), StoreError>;

    /// The rows after the id and below the id `to`, in order of id, at most `limit`. Ids have the time of their row.
    async fn rows(&self, of: CountedTable, after: Uuid, to: Uuid, limit: u32) -> Result<Vec<CountedRow>, StoreError>;

    /// Replaces all quarters that begin at `from` or later and before `to`, stores the progress and extends the lease,
    /// in one transaction. Returns the number of quarters that differ from before; `None`, without any effect, where
    /// the lease is lost.
    async fn replace(
        &self,
        holder: Uuid,
        from: Timestamp,
        to: Timestamp,
        quarters: &QuarterHours,
        progress: CountProgress,
    ) -> Result<Option<u32>, StoreError>;
}

/// The result of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub enum Step {
    /// Another server counts.
    Leased,
    /// Quarters became final; more may follow at once.
    Advanced { changed: u32 },
    /// Everything is counted, up to now.
    Current { changed: u32 },
}

/// Counts by quarter, step by step.
#[derive(Debug)]
pub struct Counter {
    holder: Uuid,
    /// The quarters after the final ones and the time of the count, as stored last.
    last: Option<(QuarterHours, Timestamp)>,
}

impl Counter {
    /// A counter with the lease of that holder, a new id.
    pub fn new(holder: Uuid) -> Self {
        Self { holder, last: None }
    }

    /// Takes the lease from any other server and starts over with the earliest payment. Each step replaces what it has
    /// counted, so that the statistics stay readable.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn start_over(&mut self, store: &dyn StatisticsCount) -> Result<(), StoreError> {
        self.last = None;
        store.start_over(self.holder).await
    }

    /// Counts the next quarters.
    ///
    /// # Errors
    /// Errors of the store. The next step does the same again.
    pub async fn step(&mut self, store: &dyn StatisticsCount) -> Result<Step, StoreError> {
        let Some(CountLease { now, progress }) = store.lease(self.holder).await? else {
            self.last = None;
            return Ok(Step::Leased);
        };
        let final_to = quarter_of(now.saturating_sub(FINAL_AFTER));
        if progress.final_to < final_to {
            self.last = None;
            return self.advance(store, progress.final_to, final_to).await;
        }
        // The clock may have been set back behind the final quarters.
        let (from, to) = (progress.final_to, quarter_of(now).saturating_add(QUARTER));
        let (quarters, to) = count(store, from, to, usize::MAX).await?;
        let is_stored = |(stored, at): &(QuarterHours, Timestamp)| {
            *stored == quarters && now >= *at && now.since(*at) < PROGRESS_INTERVAL
        };
        if self.last.as_ref().is_some_and(is_stored) {
            return Ok(Step::Current { changed: 0 });
        }
        let committed_to = now.saturating_sub(COMMITTED_AFTER).min(to).max(from);
        let progress = CountProgress { final_to: from, complete_to: committed_to };
        let replaced = store.replace(self.holder, from, to, &quarters, progress).await?;
        self.last = replaced.is_some().then_some((quarters, now));
        Ok(replaced.map_or(Step::Leased, |changed| Step::Current { changed }))
    }

    /// Makes quarters final, from the first with a payment or refund: up to a day of them, fewer where they are full.
    async fn advance(
        &mut self,
        store: &dyn StatisticsCount,
        from: Timestamp,
        final_to: Timestamp,
    ) -> Result<Step, StoreError> {
        let first = first_at(store, from, final_to).await?;
        let to = first.map_or(final_to, |first| quarter_of(first).saturating_add(STEP).min(final_to));
        let (quarters, to) = count(store, first.unwrap_or(to), to, STEP_ROWS).await?;
        let progress = CountProgress { final_to: to, complete_to: to };
        let replaced = store.replace(self.holder, from, to, &quarters, progress).await?;
        Ok(replaced.map_or(Step::Leased, |changed| Step::Advanced { changed }))
    }
}

/// The time of the first payment or refund of a period.
async fn first_at(
    store: &dyn StatisticsCount,
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let mut first = None;
    for table in [CountedTable::Payments, CountedTable::Refunds] {
        let rows = store.rows(table, first_id_at(from), first_id_at(to), 1).await?;
        first = first.into_iter().chain(rows.first().map(|row| row.at)).min();
    }
    Ok(first)
}

/// Counts the rows of a period by quarter. Beyond `rows_max` the period ends with a quarter; returns its end.
async fn count(
    store: &dyn StatisticsCount,
    from: Timestamp,
    mut to: Timestamp,
    rows_max: usize,
) -> Result<(QuarterHours, Timestamp), StoreError> {
    let (mut quarters, mut rows) = (QuarterHours::default(), 0_usize);
    for table in [CountedTable::Payments, CountedTable::Refunds] {
        // No id of a row equals the lower bound, as that has no version.
        let mut after = first_id_at(quarter_of(from));
        loop {
            let page = store.rows(table, after, first_id_at(to), PAGE).await?;
            for CountedRow { at, amount, sequence, .. } in &page {
                quarters.add(
                    *at,
                    match table {
                        CountedTable::Payments => SalesTotals::of_payment(*amount),
                        CountedTable::Refunds => SalesTotals::of_refund(*amount, *sequence == 1),
                    },
                );
            }
            rows = rows.saturating_add(page.len());
            let Some(last) = page.last().filter(|_| u32::try_from(page.len()).is_ok_and(|rows| rows >= PAGE)) else {
                break;
            };
            after = last.id;
            if rows >= rows_max {
                to = to.min(quarter_of(last.at).saturating_add(QUARTER));
            }
        }
    }
    // The time of a row is that of its id, unless the row was changed by hand.
    let from = quarter_of(from);
    quarters.0.retain(|starts_at, _| from <= *starts_at && *starts_at < to);
    Ok((quarters, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fixtures::{NOON, noon_plus, won};

    #[test]
    fn a_quarter_begins_every_900_seconds() {
        for (seconds, start) in [(0, 0), (899, 0), (900, 900), (-1, -900)] {
            assert_eq!(quarter_of(noon_plus(seconds)), noon_plus(start), "{seconds}");
        }
        assert_eq!(quarter_of(Timestamp::MIN), Timestamp::MIN);
    }

    #[test]
    fn an_order_is_refunded_once_and_its_refunds_sum_up() {
        let mut quarters = QuarterHours::default();
        quarters.add(NOON, SalesTotals::of_payment(won(100)));
        quarters.add(noon_plus(1), SalesTotals::of_refund(won(30), true));
        quarters.add(noon_plus(2), SalesTotals::of_refund(won(20), false));
        quarters.add(noon_plus(900), SalesTotals::of_refund(won(5), false));
        let totals: Vec<_> = quarters.iter().map(|quarter| (quarter.starts_at, quarter.totals)).collect();
        let first = SalesTotals { orders: 1, revenue: won(100), refunded_orders: 1, refunded: won(50) };
        let second = SalesTotals { refunded: won(5), ..SalesTotals::default() };
        assert_eq!(totals, [(NOON, first), (noon_plus(900), second)]);
        assert_eq!(first.plus(second).refunded, won(55));
    }

    /// Another server has the lease: nothing is read or written.
    #[tokio::test]
    async fn counts_only_under_its_lease() {
        let mut store = MockStatisticsCount::new();
        store.expect_lease().returning(|_| Ok(None));
        assert_eq!(Counter::new(Uuid::nil()).step(&store).await.ok(), Some(Step::Leased));
    }

    /// A full quarter ends a step, whose later rows are left to the next one.
    #[tokio::test]
    async fn a_step_of_many_rows_ends_with_a_quarter() {
        let mut store = MockStatisticsCount::new();
        let progress = CountProgress { final_to: NOON, complete_to: NOON };
        store.expect_lease().returning(move |_| Ok(Some(CountLease { now: noon_plus(86_400), progress })));
        // One payment a millisecond, without an end.
        store.expect_rows().returning(|table, after, to, limit| {
            let milliseconds = |id: Uuid| (id.as_u128() >> 80) as i64;
            let rows = (milliseconds(after) + 1..milliseconds(to)).map(|at| {
                let at = Timestamp::from_unix_microseconds(at * 1_000).expect("in range");
                CountedRow { id: first_id_at(at), at, amount: won(1), sequence: 1 }
            });
            Ok(match table {
                CountedTable::Payments => rows.take(limit as usize).collect(),
                CountedTable::Refunds => Vec::new(),
            })
        });
        store.expect_replace().times(1).returning(|_, from, to, quarters, progress| {
            assert_eq!((from, to, progress.final_to), (NOON, noon_plus(900), noon_plus(900)));
            let counted: Vec<_> = quarters.iter().map(|quarter| quarter.totals.orders).collect();
            assert_eq!(counted, [899_999]);
            Ok(Some(1))
        });
        assert_eq!(Counter::new(Uuid::nil()).step(&store).await.ok(), Some(Step::Advanced { changed: 1 }));
    }
}
