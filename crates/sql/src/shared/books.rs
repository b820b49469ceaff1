//! The books: one snapshot, read in key order, on a connection outside of the pools.
//!
//! A page is read through the index of its order and begins after the previous page. A two-column key needs two ranges:
//! the rest of the first column's value, then the values after it. MySQL and SQLite read such ranges in index order,
//! but not both do so for a comparison of pairs.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt::{Debug, Display};
use std::sync::Arc;

use async_trait::async_trait;
use diesel::deserialize::{FromSqlRow, StaticallySizedRow};
use diesel::dsl::{max, sql};
use diesel::prelude::*;
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use jangteo_domain::audit::{AuditChain, AuditEntry};
use jangteo_domain::coupon::{CampaignRecord, Coupon};
use jangteo_domain::delivery::DeliveryState;
use jangteo_domain::id::{
    AuditEntryId, CampaignId, CouponId, EntryId, EventId, MovementId, OrderId, PaymentId, ProductId, RefundId,
};
use jangteo_domain::order::{OrderRecord, OrderStatus};
use jangteo_domain::payment::{Payment, Refund};
use jangteo_domain::point::{PointAccountRecord, PointEntry};
use jangteo_domain::retention::PruneTarget;
use jangteo_domain::sales::SaleCounted;
use jangteo_domain::statistics::QuarterHour;
use jangteo_domain::stock::{Stock, StockMovement};
use jangteo_domain::time::Date;
use jangteo_domain::verification::{
    Books, BooksCorrection, BooksFactory, EventOutline, OpenOrders, Rows, StrayLines, Unreadable,
};
use jangteo_domain::{StoreError, Timestamp, UserId};
use tracing::Instrument as _;

use super::store::{Session, Store, now};
use super::writes::Writes;
use super::{Conn, Db, begin_snapshot, classify, turn_to_writing};
use crate::error::AlreadyCorrected;
use crate::keyed::{self, Keyed};
use crate::rows::audit::{AuditChainRow, AuditEntryRow};
use crate::rows::coupon::{CampaignRow, CouponRow};
use crate::rows::order::{OrderLineRow, OrderRow};
use crate::rows::payment::{PaymentRow, RefundLineRow, RefundRow};
use crate::rows::point::{PointAccountRow, PointEntryRow};
use crate::rows::sales::DailySaleRow;
use crate::rows::statistics::QuarterHourRow;
use crate::rows::stock::{StockMovementRow, StockRow};
use crate::schema::{
    audit_chains, audit_log, book_corrections, commit_markers, coupon_campaigns, coupons, daily_sales,
    idempotency_keys, order_lines, orders, outbox_events, payments, point_accounts, point_entries, products,
    quarter_hour_count, quarter_hours, refund_lines, refunds, stock_movements, stocks, verifications,
};
use crate::types::{At, Coded as _, Day, Id, Integer, RawVarchar, Varchar};

type PageResult<Key, Row> = Result<Rows<Key, Row>, StoreError>;

/// Rows with a key of two ids.
type KeyedByIds<A, B, Row> = Vec<Keyed<(Id<A>, Id<B>), Row>>;

/// Dropping a snapshot closes its connection, which ends it. It must be used and dropped on the store's runtime.
struct Snapshot {
    session: Session,
    taken_at: Timestamp,
}

/// A snapshot for a correction.
struct Correction {
    snapshot: Snapshot,
    /// The number of the last correction in the snapshot. Of two that follow it, on any nodes of a cluster, the second
    /// fails on the key or in certification.
    follows: i64,
}

#[async_trait]
impl BooksFactory for Store {
    async fn open(&self) -> Result<Box<dyn Books>, StoreError> {
        let store = self.clone();
        let opening = async move {
            let mut session = store.connect_to_books().await?;
            begin_snapshot(&mut session.connection).await.map_err(classify)?;
            Snapshot::begun(session).await
        };
        let opened = self.runtime.spawn(opening.in_current_span()).await;
        Ok(Box::new(opened.map_err(|panicked| StoreError::Unexpected(Arc::new(panicked)))??))
    }

    async fn open_to_correct(&self) -> Result<Box<dyn BooksCorrection>, StoreError> {
        let store = self.clone();
        let opening = async move {
            let mut session = store.connect_to_books().await?;
            begin_snapshot(&mut session.connection).await.map_err(classify)?;
            let last = book_corrections::table.select(max(book_corrections::sequence));
            let last = last.get_result::<Option<i64>>(&mut session.connection).await.map_err(classify)?;
            Ok::<_, StoreError>(Correction { follows: last.unwrap_or(0), snapshot: Snapshot::begun(session).await? })
        };
        let opened = self.runtime.spawn(opening.in_current_span()).await;
        Ok(Box::new(opened.map_err(|panicked| StoreError::Unexpected(Arc::new(panicked)))??))
    }
}

#[async_trait]
impl BooksCorrection for Correction {
    fn books(&mut self) -> &mut dyn Books {
        &mut self.snapshot
    }

    async fn add_sales(mut self: Box<Self>, sales: &[SaleCounted]) -> Result<(), StoreError> {
        let session = &mut self.snapshot.session;
        turn_to_writing(&mut session.connection).await?;
        let correction = book_corrections::sequence.eq(self.follows.saturating_add(1));
        let inserted = diesel::insert_into(book_corrections::table).values(correction);
        inserted.execute(&mut session.connection).await.map_err(|error| match error {
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => {
                StoreError::Conflict(Arc::new(AlreadyCorrected))
            }
            other => classify(other),
        })?;
        let mut writes = Writes::new(session);
        writes.accumulate(sales.iter().map(DailySaleRow::from));
        // There is no marker for this commit.
        writes.commit(session).await.map_err(|error| StoreError::CommitUnknown(Arc::new(error)))
    }
}

impl Snapshot {
    /// Runs a query of keys and rows.
    async fn load<Key, Row, KeySql, RowSql, Q>(&mut self, query: Q) -> Result<Vec<Keyed<Key, Row>>, StoreError>
    where
        Q: AsQuery<SqlType = (KeySql, RowSql), Query: QueryFragment<Db> + QueryId + 'static> + 'static,
        Key: StaticallySizedRow<KeySql, Db>,
        Row: FromSqlRow<RowSql, Db>,
    {
        keyed::load(self.connection(), query).await.map_err(classify)
    }

    fn connection(&mut self) -> &mut Conn {
        &mut self.session.connection
    }

    async fn begun(mut session: Session) -> Result<Self, StoreError> {
        let taken_at = now(&mut session.connection).await?;
        Ok(Self { session, taken_at })
    }

    /// Joins orders and their lines; unreadable rows are collected.
    async fn with_lines<Key>(&mut self, page: Rows<Key, OrderRow>) -> PageResult<Key, OrderRecord> {
        let Rows { rows, mut unreadable, next } = page;
        let query = order_lines::table
            .filter(order_lines::order_id.eq_any(rows.iter().map(|order| order.id)))
            .select(((order_lines::order_id, order_lines::product_id), columns_of::<OrderLineRow>()));
        let lines: KeyedByIds<OrderId, ProductId, OrderLineRow> = self.load(query).await?;
        let mut lines_of: BTreeMap<OrderId, Vec<OrderLineRow>> = BTreeMap::new();
        for line in readable("order_lines", lines, pair_of_ids, &mut unreadable) {
            lines_of.entry(line.order_id.0).or_default().push(line);
        }
        let mut orders = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.id.0;
            let lines = lines_of.remove(&id).unwrap_or_default();
            collect(row.with_lines(lines), "orders", || id.to_string(), &mut orders, &mut unreadable);
        }
        Ok(Rows { rows: orders, unreadable, next })
    }
}

/// Loads the oldest and the newest time of rows.
macro_rules! range {
    ($books:ident, $rows:expr, $time:expr) => {{
        let times = $rows.select($time).limit(1);
        let oldest = times.order($time.asc()).first::<At>($books.connection()).await.optional().map_err(classify)?;
        let newest = times.order($time.desc()).first::<At>($books.connection()).await.optional().map_err(classify)?;
        Ok(oldest.zip(newest).map(|(At(oldest), At(newest))| (oldest, newest)))
    }};
}

/// Loads the rows after a key, in key order.
macro_rules! load_by {
    ($books:ident, $limit:ident, $query:expr, $key:expr, after $after:expr) => {{
        let mut query = $query.order($key.asc()).limit($limit.into()).into_boxed::<Db>();
        if let Some(after) = $after {
            query = query.filter($key.gt(after));
        }
        $books.load(query).await?
    }};
    ($books:ident, $limit:ident, $query:expr, $first:expr, $second:expr, after $after:expr) => {{
        let after = $after;
        let mut rows = match after.clone() {
            Some((first, second)) => {
                let rest = $query.filter($first.eq(first)).filter($second.gt(second));
                let rest = rest.order(($first.asc(), $second.asc())).limit($limit.into());
                $books.load(rest).await?
            }
            None => Vec::new(),
        };
        let left = i64::from($limit) - i64::try_from(rows.len()).unwrap_or(i64::MAX);
        if left > 0 {
            let mut query = $query.order(($first.asc(), $second.asc())).limit(left).into_boxed::<Db>();
            if let Some((first, _)) = after {
                query = query.filter($first.gt(first));
            }
            rows.append(&mut $books.load(query).await?);
        }
        rows
    }};
}

/// Makes a page of rows. The next page begins after a readable key: unreadable keys at the end of a full page are left
/// to it.
fn page<Columns, Key: Clone, Row, Made>(
    table: &'static str,
    mut rows: Vec<Keyed<Columns, Row>>,
    limit: u32,
    key: impl Fn(Columns) -> (Key, String),
    make: impl Fn(Row) -> Result<Made, StoreError>,
) -> Rows<Key, Made> {
    let is_full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let mut page = Rows { rows: Vec::with_capacity(rows.len()), unreadable: Vec::new(), next: None };
    if is_full {
        let readable = rows.iter().rposition(|row| row.key.is_ok()).map_or(0, |last| last + 1);
        if readable == 0 {
            let text = format!("the keys of {} rows are unreadable; the rows after them were not read", rows.len());
            page.unreadable.push(Unreadable { table, key: UNKNOWN.to_owned(), what: text });
            return page;
        }
        rows.truncate(readable);
    }
    for row in rows {
        let (next, shown) = match row.key.map(&key) {
            Ok((key, shown)) => (Some(key), shown),
            Err(_) => (None, UNKNOWN.to_owned()),
        };
        page.next = next.or(page.next).filter(|_| is_full);
        match row.row {
            Ok(row) => collect(make(row), table, || shown, &mut page.rows, &mut page.unreadable),
            Err(error) => page.unreadable.push(Unreadable { table, key: shown, what: error }),
        }
    }
    page
}

/// Placeholder of an unreadable key.
const UNKNOWN: &str = "?";

/// Adds a row to the readable or to the unreadable ones.
fn collect<Made>(
    made: Result<Made, StoreError>,
    table: &'static str,
    key: impl FnOnce() -> String,
    rows: &mut Vec<Made>,
    unreadable: &mut Vec<Unreadable>,
) {
    match made {
        Ok(made) => rows.push(made),
        Err(error) => {
            let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            unreadable.push(Unreadable { table, key: key(), what: text });
        }
    }
}

/// Returns the readable rows; the others are collected.
fn readable<Columns, Row>(
    table: &'static str,
    rows: Vec<Keyed<Columns, Row>>,
    shown: impl Fn(Columns) -> String,
    unreadable: &mut Vec<Unreadable>,
) -> Vec<Row> {
    let mut readable = Vec::with_capacity(rows.len());
    for Keyed { key, row } in rows {
        match row {
            Ok(row) => readable.push(row),
            Err(error) => {
                let key = key.map_or_else(|_| UNKNOWN.to_owned(), &shown);
                unreadable.push(Unreadable { table, key, what: error });
            }
        }
    }
    readable
}

fn id<T: Debug + Copy + Display>(Id(id): Id<T>) -> (T, String) {
    (id, id.to_string())
}

/// A key of an id and a sequence number.
fn id_and_sequence<T: Debug + Copy + Display, Sequence: Copy + Display>(
    (Id(id), Integer(sequence)): (Id<T>, Integer<Sequence>),
) -> ((T, Sequence), String) {
    ((id, sequence), format!("{id} {sequence}"))
}

fn user_and_sequence(
    (Varchar(user_id), Integer(sequence)): (Varchar<UserId>, Integer<u64>),
) -> ((UserId, u64), String) {
    let shown = format!("{user_id} {sequence}");
    ((user_id, sequence), shown)
}

fn two_ids<A: Debug + Copy + Display, B: Debug + Copy + Display>((Id(a), Id(b)): (Id<A>, Id<B>)) -> ((A, B), String) {
    ((a, b), format!("{a} {b}"))
}

fn columns_of<Row: Selectable<Db>>() -> Row::SelectExpression {
    Row::construct_selection()
}

fn pair_of_ids<A: Debug + Copy + Display, B: Debug + Copy + Display>(ids: (Id<A>, Id<B>)) -> String {
    two_ids(ids).1
}

fn after_ids<A: Debug, B: Debug>(after: Option<(A, B)>) -> Option<(Id<A>, Id<B>)> {
    after.map(|(a, b)| (Id(a), Id(b)))
}

/// A sequence number as stored; none in the table is larger.
fn stored(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

#[async_trait]
impl Books for Snapshot {
    async fn taken_at(&mut self) -> Result<Timestamp, StoreError> {
        Ok(self.taken_at)
    }

    async fn retained(&mut self, target: PruneTarget) -> Result<Option<(Timestamp, Timestamp)>, StoreError> {
        let delivered = outbox_events::table.filter(outbox_events::state.eq(DeliveryState::Delivered.code()));
        match target {
            PruneTarget::AnsweredRequests => range!(self, idempotency_keys::table, idempotency_keys::created_at),
            PruneTarget::CommitMarkers => range!(self, commit_markers::table, commit_markers::created_at),
            PruneTarget::DeliveredEvents => range!(self, delivered, outbox_events::due_at),
            PruneTarget::TokenRevocations => Ok(None),
            PruneTarget::Verifications => range!(self, verifications::table, verifications::started_at),
        }
    }

    async fn accounts(&mut self, after: Option<UserId>, limit: u32) -> PageResult<UserId, PointAccountRecord> {
        let columns = (point_accounts::user_id, columns_of::<PointAccountRow>());
        let query = point_accounts::table.select(columns);
        let rows: Vec<Keyed<Varchar<UserId>, PointAccountRow>> =
            load_by!(self, limit, query, point_accounts::user_id, after after.map(String::from));
        let key = |Varchar(user_id): Varchar<UserId>| (user_id.clone(), user_id.to_string());
        Ok(page("point_accounts", rows, limit, key, |row| Ok(row.into())))
    }

    async fn open_orders(&mut self, after: Option<UserId>, limit: u32) -> PageResult<UserId, OpenOrders> {
        let counts = (
            orders::user_id,
            sql::<BigInt>("COUNT(DISTINCT orders.id)"),
            sql::<BigInt>("CAST(COALESCE(SUM(order_lines.quantity), 0) AS SIGNED)"),
        );
        let query = orders::table
            .left_join(order_lines::table.on(order_lines::order_id.eq(orders::id)))
            .filter(orders::status.eq(OrderStatus::PendingPayment.code()))
            .group_by(orders::user_id)
            .select((orders::user_id, counts));
        let rows: Vec<Keyed<Varchar<UserId>, (Varchar<UserId>, Integer<u32>, Integer<u64>)>> =
            load_by!(self, limit, query, orders::user_id, after after.map(String::from));
        let key = |Varchar(user_id): Varchar<UserId>| (user_id.clone(), user_id.to_string());
        Ok(page("orders", rows, limit, key, |(Varchar(user_id), Integer(orders), Integer(quantity))| {
            Ok(OpenOrders { user_id, orders, quantity })
        }))
    }

    async fn entries(&mut self, after: Option<(UserId, u64)>, limit: u32) -> PageResult<(UserId, u64), PointEntry> {
        let columns = ((point_entries::user_id, point_entries::sequence), columns_of::<PointEntryRow>());
        let query = point_entries::table.select(columns);
        let after = after.map(|(user_id, sequence)| (String::from(user_id), stored(sequence)));
        let rows: Vec<Keyed<(Varchar<UserId>, Integer<u64>), PointEntryRow>> =
            load_by!(self, limit, query, point_entries::user_id, point_entries::sequence, after after);
        Ok(page("point_entries", rows, limit, user_and_sequence, |row| Ok(row.into())))
    }

    async fn products(&mut self, after: Option<ProductId>, limit: u32) -> PageResult<ProductId, ProductId> {
        let query = products::table.select((products::id, products::id));
        let rows: Vec<Keyed<Id<ProductId>, Id<ProductId>>> =
            load_by!(self, limit, query, products::id, after after.map(Id));
        Ok(page("products", rows, limit, id, |Id(product_id)| Ok(product_id)))
    }

    async fn stocks(&mut self, after: Option<ProductId>, limit: u32) -> PageResult<ProductId, Stock> {
        let query = stocks::table.select((stocks::product_id, columns_of::<StockRow>()));
        let rows: Vec<Keyed<Id<ProductId>, StockRow>> =
            load_by!(self, limit, query, stocks::product_id, after after.map(Id));
        Ok(page("stocks", rows, limit, id, |row| Ok(row.into())))
    }

    async fn movements(
        &mut self,
        after: Option<(ProductId, u64)>,
        limit: u32,
    ) -> PageResult<(ProductId, u64), StockMovement> {
        let columns = ((stock_movements::product_id, stock_movements::sequence), columns_of::<StockMovementRow>());
        let query = stock_movements::table.select(columns);
        let after = after.map(|(product_id, sequence)| (Id(product_id), stored(sequence)));
        let rows: Vec<Keyed<(Id<ProductId>, Integer<u64>), StockMovementRow>> =
            load_by!(self, limit, query, stock_movements::product_id, stock_movements::sequence, after after);
        Ok(page("stock_movements", rows, limit, id_and_sequence, |row| Ok(row.into())))
    }

    async fn orders(&mut self, after: Option<OrderId>, limit: u32) -> PageResult<OrderId, OrderRecord> {
        let query = orders::table.select((orders::id, columns_of::<OrderRow>()));
        let rows: Vec<Keyed<Id<OrderId>, OrderRow>> = load_by!(self, limit, query, orders::id, after after.map(Id));
        let page = page("orders", rows, limit, id, Ok);
        self.with_lines(page).await
    }

    async fn stray_order_lines(
        &mut self,
        after: Option<(OrderId, ProductId)>,
        limit: u32,
    ) -> Result<StrayLines<OrderId>, StoreError> {
        let columns = (order_lines::order_id, order_lines::product_id);
        // For NOT EXISTS, MariaDB would copy the ids of all orders first.
        let query = order_lines::table
            .left_join(orders::table.on(orders::id.eq(order_lines::order_id)))
            .filter(orders::id.nullable().is_null())
            .select((columns, columns));
        let rows: KeyedByIds<OrderId, ProductId, (Id<OrderId>, Id<ProductId>)> =
            load_by!(self, limit, query, order_lines::order_id, order_lines::product_id, after after_ids(after));
        Ok(page("order_lines", rows, limit, two_ids, |(order_id, product_id)| Ok((order_id.0, product_id.0))))
    }

    async fn orders_of(&mut self, ids: &[OrderId]) -> PageResult<OrderId, OrderRecord> {
        let query = orders::table
            .filter(orders::id.eq_any(ids.iter().copied().map(Id)))
            .select((orders::id, columns_of::<OrderRow>()));
        let rows: Vec<Keyed<Id<OrderId>, OrderRow>> = self.load(query).await?;
        let page = page("orders", rows, u32::MAX, id, Ok);
        self.with_lines(page).await
    }

    async fn payments(
        &mut self,
        after: Option<(OrderId, PaymentId)>,
        limit: u32,
    ) -> PageResult<(OrderId, PaymentId), Payment> {
        let query = payments::table.select(((payments::order_id, payments::id), columns_of::<PaymentRow>()));
        // A UNIQUE key allows one payment per order. Behind that key MariaDB would sort all rows by a second column.
        let after = after.map(|(order_id, _)| Id(order_id));
        let mut rows: KeyedByIds<OrderId, PaymentId, PaymentRow> =
            load_by!(self, limit, query, payments::order_id, after after);
        // Without that UNIQUE key an order may have several, so a full page ends with all payments of its last order.
        let is_full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        if let Some(&Keyed { key: Ok((last, _)), .. }) = rows.last().filter(|_| is_full) {
            rows.retain(|row| !row.key.as_ref().is_ok_and(|(order_id, _)| order_id.0 == last.0));
            rows.append(&mut self.load(query.filter(payments::order_id.eq(last))).await?);
        }
        Ok(page("payments", rows, limit, two_ids, |row| Ok(row.into())))
    }

    async fn refunds(&mut self, after: Option<(OrderId, u32)>, limit: u32) -> PageResult<(OrderId, u32), Refund> {
        let query = refunds::table.select(((refunds::order_id, refunds::sequence), columns_of::<RefundRow>()));
        let after = after.map(|(order_id, sequence)| (Id(order_id), i64::from(sequence)));
        let rows: Vec<Keyed<(Id<OrderId>, Integer<u32>), RefundRow>> =
            load_by!(self, limit, query, refunds::order_id, refunds::sequence, after after);
        let Rows { rows, mut unreadable, next } = page("refunds", rows, limit, id_and_sequence, Ok);
        let query = refund_lines::table
            .filter(refund_lines::refund_id.eq_any(rows.iter().map(|refund| refund.id)))
            .select(((refund_lines::refund_id, refund_lines::product_id), columns_of::<RefundLineRow>()));
        let lines: KeyedByIds<RefundId, ProductId, RefundLineRow> = self.load(query).await?;
        let mut lines_of: BTreeMap<RefundId, Vec<RefundLineRow>> = BTreeMap::new();
        for line in readable("refund_lines", lines, pair_of_ids, &mut unreadable) {
            lines_of.entry(line.refund_id.0).or_default().push(line);
        }
        let mut refunds = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.id.0;
            let lines = lines_of.remove(&id).unwrap_or_default();
            collect(row.with_lines(lines), "refunds", || id.to_string(), &mut refunds, &mut unreadable);
        }
        Ok(Rows { rows: refunds, unreadable, next })
    }

    async fn stray_refund_lines(
        &mut self,
        after: Option<(RefundId, ProductId)>,
        limit: u32,
    ) -> Result<StrayLines<RefundId>, StoreError> {
        let columns = (refund_lines::refund_id, refund_lines::product_id);
        let query = refund_lines::table
            .left_join(refunds::table.on(refunds::id.eq(refund_lines::refund_id)))
            .filter(refunds::id.nullable().is_null())
            .select((columns, columns));
        let rows: KeyedByIds<RefundId, ProductId, (Id<RefundId>, Id<ProductId>)> =
            load_by!(self, limit, query, refund_lines::refund_id, refund_lines::product_id, after after_ids(after));
        Ok(page("refund_lines", rows, limit, two_ids, |(refund_id, product_id)| Ok((refund_id.0, product_id.0))))
    }

    async fn entries_by_order(
        &mut self,
        after: Option<(OrderId, EntryId)>,
        limit: u32,
    ) -> PageResult<(OrderId, EntryId), PointEntry> {
        let order_id = point_entries::order_id.assume_not_null();
        let query = point_entries::table
            .filter(point_entries::order_id.is_not_null())
            .select(((order_id, point_entries::id), columns_of::<PointEntryRow>()));
        let rows: KeyedByIds<OrderId, EntryId, PointEntryRow> =
            load_by!(self, limit, query, order_id, point_entries::id, after after_ids(after));
        Ok(page("point_entries", rows, limit, two_ids, |row| Ok(row.into())))
    }

    async fn movements_by_order(
        &mut self,
        after: Option<(OrderId, MovementId)>,
        limit: u32,
    ) -> PageResult<(OrderId, MovementId), StockMovement> {
        let order_id = stock_movements::order_id.assume_not_null();
        let query = stock_movements::table
            .filter(stock_movements::order_id.is_not_null())
            .select(((order_id, stock_movements::id), columns_of::<StockMovementRow>()));
        let rows: KeyedByIds<OrderId, MovementId, StockMovementRow> =
            load_by!(self, limit, query, order_id, stock_movements::id, after after_ids(after));
        Ok(page("stock_movements", rows, limit, two_ids, |row| Ok(row.into())))
    }

    async fn events(&mut self, after: Option<(OrderId, u32)>, limit: u32) -> PageResult<(OrderId, u32), EventOutline> {
        type OutlineRow = (Id<EventId>, Id<OrderId>, Integer<u32>, RawVarchar<100>);
        let outline = (outbox_events::id, outbox_events::order_id, outbox_events::sequence, outbox_events::event_type);
        let query = outbox_events::table.select(((outbox_events::order_id, outbox_events::sequence), outline));
        let after = after.map(|(order_id, sequence)| (Id(order_id), i64::from(sequence)));
        let rows: Vec<Keyed<(Id<OrderId>, Integer<u32>), OutlineRow>> =
            load_by!(self, limit, query, outbox_events::order_id, outbox_events::sequence, after after);
        let event = |(id, order_id, sequence, event_type): OutlineRow| {
            Ok(EventOutline { id: id.0, order_id: order_id.0, sequence: sequence.0, event_type: event_type.0 })
        };
        Ok(page("outbox_events", rows, limit, id_and_sequence, event))
    }

    async fn campaigns(&mut self, after: Option<CampaignId>, limit: u32) -> PageResult<CampaignId, CampaignRecord> {
        let query = coupon_campaigns::table.select((coupon_campaigns::id, columns_of::<CampaignRow>()));
        let rows: Vec<Keyed<Id<CampaignId>, CampaignRow>> =
            load_by!(self, limit, query, coupon_campaigns::id, after after.map(Id));
        Ok(page("coupon_campaigns", rows, limit, id, TryInto::try_into))
    }

    async fn coupons(
        &mut self,
        after: Option<(CampaignId, UserId)>,
        limit: u32,
    ) -> PageResult<(CampaignId, UserId), Coupon> {
        let query = coupons::table.select(((coupons::campaign_id, coupons::user_id), columns_of::<CouponRow>()));
        let after = after.map(|(campaign_id, user_id)| (Id(campaign_id), String::from(user_id)));
        let rows: Vec<Keyed<(Id<CampaignId>, Varchar<UserId>), CouponRow>> =
            load_by!(self, limit, query, coupons::campaign_id, coupons::user_id, after after);
        let key = |(Id(campaign_id), Varchar(user_id)): (Id<CampaignId>, Varchar<UserId>)| {
            let shown = format!("{campaign_id} {user_id}");
            ((campaign_id, user_id), shown)
        };
        Ok(page("coupons", rows, limit, key, TryInto::try_into))
    }

    async fn coupons_of(&mut self, ids: &[CouponId]) -> PageResult<CouponId, Coupon> {
        let query = coupons::table
            .filter(coupons::id.eq_any(ids.iter().copied().map(Id)))
            .select((coupons::id, columns_of::<CouponRow>()));
        let rows: Vec<Keyed<Id<CouponId>, CouponRow>> = self.load(query).await?;
        Ok(page("coupons", rows, u32::MAX, id, TryInto::try_into))
    }

    async fn daily_sales(
        &mut self,
        after: Option<(Date, ProductId)>,
        limit: u32,
    ) -> PageResult<(Date, ProductId), SaleCounted> {
        let columns = ((daily_sales::day, daily_sales::product_id), columns_of::<DailySaleRow>());
        let query = daily_sales::table.select(columns);
        let after = after.map(|(day, product_id)| (day, Id(product_id)));
        let rows: Vec<Keyed<(Day, Id<ProductId>), DailySaleRow>> =
            load_by!(self, limit, query, daily_sales::day, daily_sales::product_id, after after);
        let key = |(Day(day), Id(product_id)): (Day, Id<ProductId>)| ((day, product_id), format!("{day} {product_id}"));
        Ok(page("daily_sales", rows, limit, key, |row| Ok(row.into())))
    }

    async fn audit_chains(&mut self, after: Option<UserId>, limit: u32) -> PageResult<UserId, AuditChain> {
        let query = audit_chains::table.select((audit_chains::actor, columns_of::<AuditChainRow>()));
        let rows: Vec<Keyed<Varchar<UserId>, AuditChainRow>> =
            load_by!(self, limit, query, audit_chains::actor, after after.map(String::from));
        let key = |Varchar(actor): Varchar<UserId>| (actor.clone(), actor.to_string());
        Ok(page("audit_chains", rows, limit, key, |row| Ok(row.into())))
    }

    async fn chained_audit_entries(
        &mut self,
        after: Option<(UserId, u64)>,
        limit: u32,
    ) -> PageResult<(UserId, u64), AuditEntry> {
        let sequence = audit_log::sequence.assume_not_null();
        let query = audit_log::table
            .filter(audit_log::sequence.is_not_null())
            .select(((audit_log::actor, sequence), columns_of::<AuditEntryRow>()));
        let after = after.map(|(actor, sequence)| (String::from(actor), stored(sequence)));
        let rows: Vec<Keyed<(Varchar<UserId>, Integer<u64>), AuditEntryRow>> =
            load_by!(self, limit, query, audit_log::actor, sequence, after after);
        Ok(page("audit_log", rows, limit, user_and_sequence, |row| Ok(row.into())))
    }

    async fn unchained_audit_entries(
        &mut self,
        after: Option<AuditEntryId>,
        limit: u32,
    ) -> PageResult<AuditEntryId, AuditEntry> {
        let query = audit_log::table
            .filter(audit_log::sequence.is_null())
            .select((audit_log::id, columns_of::<AuditEntryRow>()));
        let rows: Vec<Keyed<Id<AuditEntryId>, AuditEntryRow>> =
            load_by!(self, limit, query, audit_log::id, after after.map(Id));
        Ok(page("audit_log", rows, limit, id, |row| Ok(row.into())))
    }

    async fn quarter_hours(&mut self, after: Option<Timestamp>, limit: u32) -> PageResult<Timestamp, QuarterHour> {
        let query = quarter_hours::table.select((quarter_hours::starts_at, columns_of::<QuarterHourRow>()));
        let rows: Vec<Keyed<At, QuarterHourRow>> =
            load_by!(self, limit, query, quarter_hours::starts_at, after after.map(At));
        let key = |At(starts_at): At| (starts_at, starts_at.to_offset_date_time().to_string());
        Ok(page("quarter_hours", rows, limit, key, |row| Ok(row.into())))
    }

    async fn quarter_hours_final_to(&mut self) -> Result<Timestamp, StoreError> {
        let progress = quarter_hour_count::table.select(quarter_hour_count::final_to);
        let final_to = progress.first::<At>(self.connection()).await.optional().map_err(classify)?;
        Ok(final_to.map_or(Timestamp::MIN, |At(final_to)| final_to))
    }
}
