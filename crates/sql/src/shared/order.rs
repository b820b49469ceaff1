use std::collections::BTreeMap;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::{AsyncConnection as _, RunQueryDsl};
use futures_util::FutureExt as _;
use jangteo_domain::StoreError;
use jangteo_domain::id::{OrderId, RefundId};
use jangteo_domain::order::{DueOrder, Order, OrderFilter, OrderQueries, OrderStatus};
use jangteo_domain::page::{AsOf, Page};
use jangteo_domain::payment::Refund;

use super::store::{Failure, Now, Store, now};
use super::{Conn, Db};
use crate::bulk::{Find, READ_BYTES_MAX, chunks};
use crate::rows::order::{LinesOf, OrderLineRow, OrderRow, assemble};
use crate::rows::payment::{RefundLineRow, RefundRow};
use crate::schema::{order_lines, orders, refund_lines, refunds};
use crate::types::{At, Coded as _, Id, before, before_id};

fn lines_of(orders: &[OrderRow]) -> Vec<LinesOf> {
    orders.iter().map(|order| LinesOf { order_id: order.id }).collect()
}

#[async_trait]
impl OrderQueries for Store {
    async fn find(&self, id: OrderId) -> Result<AsOf<Option<Order>>, StoreError> {
        let found = self.read(move |connection| {
            async move {
                // One statement, so an order and its lines are of one snapshot.
                let order = orders::table
                    .left_join(order_lines::table.on(order_lines::order_id.eq(orders::id)))
                    .filter(orders::id.eq(Id(id)))
                    .select((Now, OrderRow::as_select(), Option::<OrderLineRow>::as_select()));
                let rows = order.load::<(At, OrderRow, Option<OrderLineRow>)>(connection).await?;
                let now = match &rows[..] {
                    [(At(now), ..), ..] => *now,
                    [] => now(connection).await?,
                };
                Ok((now, rows))
            }
            .boxed()
        });
        let (now, rows) = found.await?;
        let (orders, lines): (Vec<_>, Vec<_>) = rows.into_iter().map(|(_, order, line)| (order, line)).unzip();
        let order = orders.into_iter().take(1).collect();
        let lines = lines.into_iter().flatten().collect();
        Ok(AsOf { now, value: assemble(order, lines)?.pop() })
    }

    async fn list(&self, filter: &OrderFilter, page: &Page<OrderId>) -> Result<AsOf<Vec<Order>>, StoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        // A user reads the own orders as they are.
        let may_lag = filter.user_id.is_none();
        self.read_if(may_lag, move |connection| {
            async move {
                let ids = filter.id_range();
                let mut orders = orders::table
                    .filter(orders::id.ge(Id(*ids.start())))
                    .filter(orders::id.le(Id(*ids.end())))
                    .filter(orders::id.lt(before_id(page.after)))
                    .order(orders::id.desc())
                    .limit(page.limit.into())
                    .select(OrderRow::as_select())
                    .into_boxed::<Db>();
                if let Some(user_id) = filter.user_id {
                    orders = orders.filter(orders::user_id.eq(String::from(user_id)));
                }
                if let Some(status) = filter.status {
                    orders = orders.filter(orders::status.eq(status.code()));
                }
                if let Some(from) = filter.from {
                    orders = orders.filter(orders::created_at.ge(At(from)));
                }
                if let Some(to) = filter.to {
                    orders = orders.filter(orders::created_at.lt(At(to)));
                }
                load(connection, orders).await
            }
            .boxed()
        })
        .await
    }

    async fn refunds(&self, order_id: OrderId, page: &Page<u32>) -> Result<Vec<Refund>, StoreError> {
        let page = page.clone();
        let read = self.read(move |connection| {
            async move {
                let refunds = refunds::table
                    .filter(refunds::order_id.eq(Id(order_id)))
                    .filter(refunds::sequence.lt(before(page.after.map(u64::from))))
                    .order(refunds::sequence.desc())
                    .limit(page.limit.into())
                    .select(RefundRow::as_select());
                let refunds: Vec<RefundRow> = refunds.load(connection).await?;
                // Refunds never change, so a second statement sees the same.
                let lines = refund_lines::table
                    .filter(refund_lines::refund_id.eq_any(refunds.iter().map(|refund| refund.id)))
                    .order((refund_lines::refund_id.asc(), refund_lines::product_id.asc()))
                    .select(RefundLineRow::as_select());
                let lines: Vec<RefundLineRow> = lines.load(connection).await?;
                Ok((refunds, lines))
            }
            .boxed()
        });
        let (refunds, lines) = read.await?;
        let mut lines_of: BTreeMap<RefundId, Vec<RefundLineRow>> = BTreeMap::new();
        for line in lines {
            lines_of.entry(line.refund_id.0).or_default().push(line);
        }
        let whole = |refund: RefundRow| {
            let lines = lines_of.remove(&refund.id.0).unwrap_or_default();
            refund.with_lines(lines)
        };
        refunds.into_iter().map(whole).collect()
    }

    async fn due(&self, after: Option<DueOrder>, limit: u32) -> Result<Vec<DueOrder>, StoreError> {
        let due = self.read_in_background(move |connection| {
            async move {
                let now = now(connection).await?;
                let mut due = orders::table
                    .filter(orders::status.eq(OrderStatus::PendingPayment.code()))
                    .filter(orders::expires_at.le(At(now)))
                    .order((orders::expires_at.asc(), orders::id.asc()))
                    .limit(limit.into())
                    .select((orders::expires_at, orders::id))
                    .into_boxed::<Db>();
                if let Some(DueOrder { expires_at, id }) = after {
                    let is_behind = orders::expires_at.gt(At(expires_at)).or(orders::id.gt(Id(id)));
                    due = due.filter(orders::expires_at.ge(At(expires_at)).and(is_behind));
                }
                Ok(due.load::<(At, Id<OrderId>)>(connection).await?)
            }
            .boxed()
        });
        Ok(due.await?.into_iter().map(|(At(expires_at), Id(id))| DueOrder { expires_at, id }).collect())
    }
}

type BoxedOrders = orders::BoxedQuery<'static, Db, diesel::dsl::SqlTypeOf<diesel::dsl::AsSelect<OrderRow, Db>>>;

/// Reads orders and their lines in one snapshot.
async fn load(connection: &mut Conn, orders: BoxedOrders) -> Result<AsOf<Vec<Order>>, Failure> {
    connection
        .transaction(async |connection| {
            let now = now(connection).await?;
            let orders: Vec<OrderRow> = orders.load(connection).await?;
            let mut lines = Vec::new();
            for chunk in chunks(lines_of(&orders), READ_BYTES_MAX) {
                lines.append(&mut Find::<LinesOf>::new(chunk).load(connection).await?);
            }
            Ok(AsOf { now, value: assemble(orders, lines)? })
        })
        .await
}
