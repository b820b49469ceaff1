use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Text};
use diesel::sqlite::Sqlite;
use jangteo_domain::Timestamp;
use jangteo_domain::delivery::{Delivery, DeliveryState, FailureReason};
use jangteo_domain::id::{EventId, OrderId};
use jangteo_domain::outbox::OutboxEvent;
use uuid::Uuid;

use crate::bulk::{Row, push_column};
use crate::rows::{lookups, rows};
use crate::types::{At, Code, Id, Integer, LongText, RawVarchar, TimeSql, Varchar, codes};

rows! {
    OutboxEventRow of outbox_events {
        id: Id<EventId>,
    } {
        order_id: Id<OrderId>,
        sequence: Integer<u32>,
        event_type: RawVarchar<100>,
        body: LongText,
        created_at: At,
        state: Code<DeliveryState>,
        due_at: At,
        attempts: Integer<u32>,
    }

    /// The mutable columns of a delivery.
    DeliveryProgressRow of outbox_events {
        id: Id<EventId>,
    } {
        state: Code<DeliveryState>,
        due_at: At,
        attempts: Integer<u32>,
        lease: Option<Id<Uuid>>,
        last_error: Option<Varchar<FailureReason>>,
        delivered_at: Option<At>,
    }

    DeliveryRow of outbox_events {
        id: Id<EventId>,
    } {
        order_id: Id<OrderId>,
        sequence: Integer<u32>,
        event_type: RawVarchar<100>,
        created_at: At,
        state: Code<DeliveryState>,
        due_at: At,
        attempts: Integer<u32>,
        lease: Option<Id<Uuid>>,
        last_error: Option<Varchar<FailureReason>>,
        delivered_at: Option<At>,
    }
}

lookups! {
    DeliveryOf finds DeliveryRow by "PRIMARY" { id: Id<EventId>, }
}

codes! {
    DeliveryState {
        Pending = "pending",
        Delivered = "delivered",
        Dead = "dead",
    }
}

/// `SELECT`s and locks the claimable events: the earliest pending event of each order, if it is due. Rows locked by
/// another transaction are skipped.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct Claimable {
    now: At,
    limit: i64,
}

/// A claimable event: its delivery and its body.
pub(crate) type ClaimableRow = (DeliveryRow, LongText);

impl Claimable {
    pub(crate) fn new(now: Timestamp, limit: u32) -> Self {
        Self { now: At(now), limit: limit.into() }
    }

    fn walk<'b, DB>(&'b self, out: &mut AstPass<'_, 'b, DB>, dialect: Locking) -> QueryResult<()>
    where
        DB: Backend + HasSqlType<TimeSql> + HasSqlType<BigInt>,
        At: ToSql<TimeSql, DB>,
        i64: ToSql<BigInt, DB>,
    {
        out.push_sql("SELECT ");
        for column in DeliveryRow::columns() {
            push_column(out, "due", column.name)?;
            out.push_sql(", ");
        }
        out.push_sql("due.body FROM outbox_events AS due");
        out.push_sql(dialect.by_due);
        out.push_sql(" WHERE due.state = 'pending' AND due.due_at <= ");
        out.push_bind_param::<TimeSql, _>(&self.now)?;
        out.push_sql(" AND NOT EXISTS (SELECT 1 FROM outbox_events AS earlier");
        out.push_sql(dialect.by_order);
        out.push_sql(
            " WHERE earlier.order_id = due.order_id AND earlier.sequence < due.sequence \
             AND earlier.state = 'pending') ORDER BY due.due_at, due.id LIMIT ",
        );
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(dialect.skip_locked);
        Ok(())
    }
}

impl Query for Claimable {
    type SqlType = (<DeliveryRow as Row>::SqlType, Text);
}

/// Clauses that only MySQL has; empty on SQLite.
struct Locking {
    by_due: &'static str,
    by_order: &'static str,
    skip_locked: &'static str,
}

impl QueryFragment<Mysql> for Claimable {
    /// It reads in index order and stops at the limit, so it locks only the returned rows. Any other index would sort,
    /// and lock, all due events.
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        let locking = Locking {
            by_due: " FORCE INDEX (ix_outbox_events_due)",
            by_order: " FORCE INDEX (uq_outbox_events_order_sequence)",
            skip_locked: " FOR UPDATE SKIP LOCKED",
        };
        self.walk(&mut out, locking)
    }
}

impl QueryFragment<Sqlite> for Claimable {
    /// Its transaction is the only writer.
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.walk(&mut out, Locking { by_due: "", by_order: "", skip_locked: "" })
    }
}

/// Counts pending and dead events, with the time of the oldest pending event. Ids ascend with time, so the lowest id is
/// the oldest, and only that row is read.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct CountBacklog;

impl Query for CountBacklog {
    type SqlType = (BigInt, BigInt, diesel::sql_types::Nullable<TimeSql>);
}

impl<DB: Backend> QueryFragment<DB> for CountBacklog {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql(
            "SELECT (SELECT COUNT(*) FROM outbox_events WHERE state = 'pending'), \
             (SELECT COUNT(*) FROM outbox_events WHERE state = 'dead'), \
             (SELECT created_at FROM outbox_events WHERE state = 'pending' ORDER BY id LIMIT 1)",
        );
        Ok(())
    }
}

impl From<&OutboxEvent> for OutboxEventRow {
    fn from(event: &OutboxEvent) -> Self {
        let delivery = Delivery::new(event);
        Self {
            id: Id(event.id),
            order_id: Id(event.order_id),
            sequence: Integer(event.sequence),
            event_type: RawVarchar(event.event_type.clone()),
            body: LongText(event.body.clone()),
            created_at: At(event.at),
            state: Code(delivery.state),
            due_at: At(delivery.due_at),
            attempts: Integer(delivery.attempts),
        }
    }
}

impl From<&Delivery> for DeliveryProgressRow {
    fn from(delivery: &Delivery) -> Self {
        Self {
            id: Id(delivery.event_id),
            state: Code(delivery.state),
            due_at: At(delivery.due_at),
            attempts: Integer(delivery.attempts),
            lease: delivery.lease.map(Id),
            last_error: delivery.last_error.clone().map(Varchar),
            delivered_at: delivery.delivered_at.map(At),
        }
    }
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Self {
        Self {
            event_id: row.id.0,
            order_id: row.order_id.0,
            sequence: row.sequence.0,
            event_type: row.event_type.0,
            at: row.created_at.0,
            state: row.state.0,
            due_at: row.due_at.0,
            attempts: row.attempts.0,
            lease: row.lease.map(|lease| lease.0),
            last_error: row.last_error.map(|reason| reason.0),
            delivered_at: row.delivered_at.map(|at| at.0),
        }
    }
}
