use std::collections::BTreeMap;

use async_trait::async_trait;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncConnection as _, RunQueryDsl};
use futures_util::FutureExt as _;
use jangteo_domain::StoreError;
use jangteo_domain::id::{OrderId, ProductId, RefundId};
use jangteo_domain::order::{DueOrder, Order, OrderFilter, OrderQueries, OrderStatus, OrderTrail};
use jangteo_domain::page::{AsOf, Page};
use jangteo_domain::payment::Refund;

use super::store::{Failure, Now, Store, now};
use super::{Conn, Db, IS_CLOSED};
use crate::bulk::{Find, READ_BYTES_MAX, chunks};
use crate::rows::order::{LinesOf, OrderLineRow, OrderRow, assemble};
use crate::rows::outbox::DeliveryRow;
use crate::rows::payment::{RefundLineRow, RefundRow};
use crate::rows::point::PointEntryRow;
use crate::rows::stock::StockMovementRow;
use crate::schema::{order_lines, orders, outbox_events, point_entries, refund_lines, refunds, stock_movements};
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
                let mut orders =
                    orders::table.order(orders::id.desc()).select(OrderRow::as_select()).into_boxed::<Db>();
                orders = match filter.product_id {
                    // Its lines are in the order of the list; the orders are found one by one.
                    Some(product_id) => {
                        let found = with_product(connection, product_id, &filter, &page).await?;
                        orders.filter(orders::id.eq_any(found))
                    }
                    None => orders.limit(page.limit.into()),
                };
                orders = orders
                    .filter(orders::id.ge(Id(*ids.start())))
                    .filter(orders::id.le(Id(*ids.end())))
                    .filter(orders::id.lt(before_id(page.after)));
                if let Some(status) = filter.status {
                    let is_found_by_others = filter.user_id.is_some() || filter.product_id.is_some();
                    orders = match status {
                        OrderStatus::PendingPayment if !is_found_by_others => {
                            orders.filter(orders::status.eq(status.code()))
                        }
                        OrderStatus::Expired
                        | OrderStatus::Cancelled
                        | OrderStatus::PartiallyRefunded
                        | OrderStatus::Refunded
                            if !is_found_by_others =>
                        {
                            orders.filter(orders::status.eq(status.code())).filter(sql::<Bool>(IS_CLOSED))
                        }
                        // Out of sight of the index of the status: the orders of a user or a product are fewer, and SQLite
                        // would sort all paid orders, of which the newest are near.
                        _ => {
                            orders.filter(sql::<Bool>("COALESCE(orders.status, '') = ").bind::<Text, _>(status.code()))
                        }
                    };
                }
                if let Some(user_id) = filter.user_id {
                    orders = orders.filter(orders::user_id.eq(String::from(user_id)));
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
        let refunds = self.read(move |connection| refunds_of(connection, order_id, page.after, page.limit).boxed());
        refunds.await
    }

    async fn trail(&self, id: OrderId, limit: u32) -> Result<AsOf<Option<OrderTrail>>, StoreError> {
        self.read(move |connection| {
            async move { connection.transaction(async |connection| trail(connection, id, limit).await).await }.boxed()
        })
        .await
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

/// The ids of a page of the orders with a line of the product, filtered.
async fn with_product(
    connection: &mut Conn,
    product_id: ProductId,
    filter: &OrderFilter,
    page: &Page<OrderId>,
) -> Result<Vec<Id<OrderId>>, Failure> {
    let ids = filter.id_range();
    let mut lines = order_lines::table
        .inner_join(orders::table.on(orders::id.eq(order_lines::order_id)))
        .filter(order_lines::product_id.eq(Id(product_id)))
        .filter(order_lines::order_id.ge(Id(*ids.start())))
        .filter(order_lines::order_id.le(Id(*ids.end())))
        .filter(order_lines::order_id.lt(before_id(page.after)))
        .order(order_lines::order_id.desc())
        .limit(page.limit.into())
        .select(order_lines::order_id)
        .into_boxed::<Db>();
    if let Some(user_id) = &filter.user_id {
        lines = lines.filter(orders::user_id.eq(user_id.to_string()));
    }
    if let Some(status) = filter.status {
        lines = lines.filter(orders::status.eq(status.code()));
    }
    if let Some(from) = filter.from {
        lines = lines.filter(orders::created_at.ge(At(from)));
    }
    if let Some(to) = filter.to {
        lines = lines.filter(orders::created_at.lt(At(to)));
    }
    Ok(lines.load(connection).await?)
}

/// The refunds of an order with their lines, newest first.
async fn refunds_of(
    connection: &mut Conn,
    order_id: OrderId,
    after: Option<u32>,
    limit: u32,
) -> Result<Vec<Refund>, Failure> {
    let refunds = refunds::table
        .filter(refunds::order_id.eq(Id(order_id)))
        .filter(refunds::sequence.lt(before(after.map(u64::from))))
        .order(refunds::sequence.desc())
        .limit(limit.into())
        .select(RefundRow::as_select());
    let refunds: Vec<RefundRow> = refunds.load(connection).await?;
    // Refunds never change, so a second statement sees the same.
    let lines = refund_lines::table
        .filter(refund_lines::refund_id.eq_any(refunds.iter().map(|refund| refund.id)))
        .order((refund_lines::refund_id.asc(), refund_lines::product_id.asc()))
        .select(RefundLineRow::as_select());
    let lines: Vec<RefundLineRow> = lines.load(connection).await?;
    let mut lines_of: BTreeMap<RefundId, Vec<RefundLineRow>> = BTreeMap::new();
    for line in lines {
        lines_of.entry(line.refund_id.0).or_default().push(line);
    }
    let whole = |refund: RefundRow| {
        let lines = lines_of.remove(&refund.id.0).unwrap_or_default();
        refund.with_lines(lines)
    };
    Ok(refunds.into_iter().map(whole).collect::<Result<_, _>>()?)
}

/// An order and its rows, in the snapshot of a transaction.
async fn trail(connection: &mut Conn, id: OrderId, limit: u32) -> Result<AsOf<Option<OrderTrail>>, Failure> {
    let now = now(connection).await?;
    let order = orders::table.find(Id(id)).select(OrderRow::as_select());
    let Some(order) = order.first(connection).await.optional()? else { return Ok(AsOf { now, value: None }) };
    let lines = order_lines::table.filter(order_lines::order_id.eq(Id(id))).select(OrderLineRow::as_select());
    let lines: Vec<OrderLineRow> = lines.load(connection).await?;
    let events = outbox_events::table
        .filter(outbox_events::order_id.eq(Id(id)))
        .order(outbox_events::sequence.desc())
        .limit(limit.into())
        .select(DeliveryRow::as_select());
    let events: Vec<DeliveryRow> = events.load(connection).await?;
    let movements = stock_movements::table
        .filter(stock_movements::order_id.eq(Id(id)))
        .order(stock_movements::id.desc())
        .limit(limit.into())
        .select(StockMovementRow::as_select());
    let movements: Vec<StockMovementRow> = movements.load(connection).await?;
    let entries = point_entries::table
        .filter(point_entries::order_id.eq(Id(id)))
        .order(point_entries::id.desc())
        .limit(limit.into())
        .select(PointEntryRow::as_select());
    let entries: Vec<PointEntryRow> = entries.load(connection).await?;
    let refunds = refunds_of(connection, id, None, limit).await?;
    let order = assemble(vec![order], lines)?.pop();
    let value = order.map(|order| OrderTrail {
        order,
        refunds,
        events: events.into_iter().map(Into::into).collect(),
        movements: movements.into_iter().map(Into::into).collect(),
        entries: entries.into_iter().map(Into::into).collect(),
    });
    Ok(AsOf { now, value })
}
