use async_trait::async_trait;
use diesel::QueryResult;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnection as _, RunQueryDsl};
use futures_util::FutureExt as _;
use jangteo_domain::statistics::{
    CountLease, CountProgress, CountedRow, CountedTable, LEASE, QuarterHour, QuarterHours, Statistics, StatisticsCount,
    StatisticsQueries,
};
use jangteo_domain::transaction::Changes;
use jangteo_domain::{StoreError, Timestamp};
use uuid::Uuid;

use super::store::{Failure, Store, now};
use super::transaction::Transaction;
use super::{Conn, Db};
use crate::rows::statistics::QuarterHourRow;
use crate::schema::{payments, quarter_hour_count, quarter_hours, refunds};
use crate::types::{Amount, At, Id, Integer, MoneySql, TimeSql};

/// The id of the one row.
const ROW: i64 = 1;

type Progress = (At, At);

fn progress((At(final_to), At(complete_to)): Progress) -> CountProgress {
    CountProgress { final_to, complete_to }
}

#[async_trait]
impl StatisticsQueries for Store {
    async fn statistics(&self, from: Timestamp, to: Timestamp) -> Result<Statistics, StoreError> {
        self.read_lagging(move |connection| {
            async move {
                let read = connection.transaction(async |connection| {
                    let columns = (quarter_hour_count::final_to, quarter_hour_count::complete_to);
                    let stored: Progress = quarter_hour_count::table.select(columns).first(connection).await?;
                    let quarters = quarter_hours::table
                        .filter(quarter_hours::starts_at.ge(At(from)))
                        .filter(quarter_hours::starts_at.lt(At(to)))
                        .order(quarter_hours::starts_at.asc())
                        .select(QuarterHourRow::as_select());
                    let quarters: Vec<QuarterHourRow> = quarters.load(connection).await?;
                    let quarters = quarters.into_iter().map(Into::into).collect();
                    Ok::<_, Failure>(Statistics { quarters, progress: progress(stored) })
                });
                read.await
            }
            .boxed()
        })
        .await
    }
}

#[async_trait]
impl StatisticsCount for Store {
    async fn lease(&self, holder: Uuid) -> Result<Option<CountLease>, StoreError> {
        let stored = self.read_in_background(|connection| stored_lease(connection).boxed()).await?;
        let (current, leased_until, lease) = stored;
        let left = leased_until.since(lease.now);
        if current == Some(holder) && left > LEASE / 2 {
            return Ok(Some(lease));
        }
        if current != Some(holder) && left.is_positive() {
            return Ok(None);
        }
        self.in_background(move |transaction| {
            async move { Ok((transaction.take_lease(holder).await?, Changes::default())) }.boxed()
        })
        .await
    }

    async fn start_over(&self, holder: Uuid) -> Result<(), StoreError> {
        self.in_background(move |transaction| {
            async move {
                let now = transaction.now().await?;
                let take = diesel::update(quarter_hour_count::table.find(ROW)).set((
                    quarter_hour_count::holder.eq(Id(holder)),
                    quarter_hour_count::leased_until.eq(At(now.saturating_add(LEASE))),
                    quarter_hour_count::final_to.eq(At(Timestamp::MIN)),
                    quarter_hour_count::complete_to.eq(At(Timestamp::MIN)),
                ));
                transaction.run(|connection| take.execute(connection).boxed()).await?;
                Ok(((), Changes::default()))
            }
            .boxed()
        })
        .await
    }

    async fn rows(&self, of: CountedTable, after: Uuid, to: Uuid, limit: u32) -> Result<Vec<CountedRow>, StoreError> {
        self.read_in_background(move |connection| {
            async move {
                let rows: Vec<(Id<Uuid>, At, Amount, Integer<u32>)> = match of {
                    CountedTable::Payments => {
                        let rows = payments::table
                            .filter(payments::id.gt(Id(after)))
                            .filter(payments::id.lt(Id(to)))
                            .order(payments::id.asc())
                            .limit(limit.into())
                            .select((payments::id, payments::paid_at, payments::amount));
                        let rows: Vec<(Id<Uuid>, At, Amount)> = rows.load(connection).await?;
                        rows.into_iter().map(|(id, at, amount)| (id, at, amount, Integer(1))).collect()
                    }
                    CountedTable::Refunds => {
                        let rows = refunds::table
                            .filter(refunds::id.gt(Id(after)))
                            .filter(refunds::id.lt(Id(to)))
                            .order(refunds::id.asc())
                            .limit(limit.into())
                            .select((refunds::id, refunds::created_at, refunds::amount, refunds::sequence));
                        rows.load(connection).await?
                    }
                };
                let row = |(Id(id), At(at), Amount(amount), Integer(sequence))| CountedRow { id, at, amount, sequence };
                Ok(rows.into_iter().map(row).collect())
            }
            .boxed()
        })
        .await
    }

    async fn replace(
        &self,
        holder: Uuid,
        from: Timestamp,
        to: Timestamp,
        quarters: &QuarterHours,
        progress: CountProgress,
    ) -> Result<Option<u32>, StoreError> {
        let quarters: Vec<QuarterHour> = quarters.iter().collect();
        self.in_background(move |transaction| {
            async move {
                let is_leased = transaction.store_progress(holder, progress).await?;
                let replaced = if is_leased { Some(transaction.replace(from, to, quarters).await?) } else { None };
                Ok((replaced, Changes::default()))
            }
            .boxed()
        })
        .await
    }
}

/// The holder of the lease and its end, with the time and the progress.
async fn stored_lease(connection: &mut Conn) -> Result<(Option<Uuid>, Timestamp, CountLease), Failure> {
    let columns = (
        quarter_hour_count::holder,
        quarter_hour_count::leased_until,
        (quarter_hour_count::final_to, quarter_hour_count::complete_to),
    );
    let stored: (Option<Id<Uuid>>, At, Progress) = quarter_hour_count::table.select(columns).first(connection).await?;
    let (holder, At(leased_until), stored) = stored;
    let lease = CountLease { now: now(connection).await?, progress: progress(stored) };
    Ok((holder.map(|Id(holder)| holder), leased_until, lease))
}

impl Transaction {
    async fn take_lease(&mut self, holder: Uuid) -> Result<Option<CountLease>, StoreError> {
        let now = self.now().await?;
        let is_free =
            quarter_hour_count::holder.eq(Id(holder)).or(quarter_hour_count::leased_until.le(At(now)).nullable());
        let take = diesel::update(quarter_hour_count::table.filter(is_free)).set((
            quarter_hour_count::holder.eq(Id(holder)),
            quarter_hour_count::leased_until.eq(At(now.saturating_add(LEASE))),
        ));
        if self.run(|connection| take.execute(connection).boxed()).await? == 0 {
            return Ok(None);
        }
        let columns = (quarter_hour_count::final_to, quarter_hour_count::complete_to);
        let stored: Vec<Progress> = self.query(quarter_hour_count::table.select(columns)).await?;
        Ok(stored.into_iter().next().map(|stored| CountLease { now, progress: progress(stored) }))
    }

    /// Stores the progress under the lease, which is extended; `false` where it is lost.
    async fn store_progress(&mut self, holder: Uuid, progress: CountProgress) -> Result<bool, StoreError> {
        let now = self.now().await?;
        let leased = quarter_hour_count::table.filter(quarter_hour_count::holder.eq(Id(holder)));
        let extend = diesel::update(leased).set((
            quarter_hour_count::leased_until.eq(At(now.saturating_add(LEASE))),
            quarter_hour_count::final_to.eq(At(progress.final_to)),
            quarter_hour_count::complete_to.eq(At(progress.complete_to)),
        ));
        Ok(self.run(|connection| extend.execute(connection).boxed()).await? > 0)
    }

    /// Replaces the quarters of a period where they differ. Returns how many differ.
    async fn replace(&mut self, from: Timestamp, to: Timestamp, quarters: Vec<QuarterHour>) -> Result<u32, StoreError> {
        let in_period = || {
            let quarters = quarter_hours::table.filter(quarter_hours::starts_at.ge(At(from)));
            quarters.filter(quarter_hours::starts_at.lt(At(to)))
        };
        let before: Vec<QuarterHourRow> = self.query(in_period().select(QuarterHourRow::as_select())).await?;
        let before: Vec<QuarterHour> = before.into_iter().map(Into::into).collect();
        let changed = quarters.iter().filter(|quarter| !before.contains(quarter)).count();
        let removed = before.iter().filter(|old| quarters.iter().all(|new| new.starts_at != old.starts_at)).count();
        if changed + removed > 0 {
            let delete = diesel::delete(in_period());
            self.run(|connection| delete.execute(connection).boxed()).await?;
            if !quarters.is_empty() {
                let insert = InsertQuarters::of(&quarters);
                self.run(|connection| insert.execute(connection).boxed()).await?;
            }
        }
        Ok(u32::try_from(changed + removed).unwrap_or(u32::MAX))
    }
}

/// Inserts quarters by one statement: Diesel sends one for each row on SQLite.
#[derive(Debug)]
struct InsertQuarters(Vec<(At, i64, Amount, i64, Amount)>);

impl InsertQuarters {
    fn of(quarters: &[QuarterHour]) -> Self {
        let count = |number| i64::try_from(number).unwrap_or(i64::MAX);
        let row = |QuarterHour { starts_at, totals }: &QuarterHour| {
            let [orders, refunded_orders] = [totals.orders, totals.refunded_orders].map(count);
            (At(*starts_at), orders, Amount(totals.revenue), refunded_orders, Amount(totals.refunded))
        };
        Self(quarters.iter().map(row).collect())
    }
}

impl QueryId for InsertQuarters {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Db> for InsertQuarters {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("INSERT INTO quarter_hours (starts_at, orders, revenue, refunded_orders, refunded) VALUES ");
        for (index, (starts_at, orders, revenue, refunded_orders, refunded)) in self.0.iter().enumerate() {
            out.push_sql(if index == 0 { "(" } else { "), (" });
            out.push_bind_param::<TimeSql, _>(starts_at)?;
            out.push_sql(", ");
            out.push_bind_param::<BigInt, _>(orders)?;
            out.push_sql(", ");
            out.push_bind_param::<MoneySql, _>(revenue)?;
            out.push_sql(", ");
            out.push_bind_param::<BigInt, _>(refunded_orders)?;
            out.push_sql(", ");
            out.push_bind_param::<MoneySql, _>(refunded)?;
        }
        out.push_sql(")");
        Ok(())
    }
}
