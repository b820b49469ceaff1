use std::collections::BTreeMap;

use diesel::QueryResult;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::Nullable;
use jangteo_domain::id::{CouponId, OrderId, PaymentId, ProductId};
use jangteo_domain::order::{Order, OrderLine, OrderRecord, OrderStatus, PaidTerms};
use jangteo_domain::transaction::Update;
use jangteo_domain::{StoreError, UserId};

use crate::bulk::{BulkDialect, Chunk, Lookup as _, Row, push_columns, push_found, push_select_read_at};
use crate::rows::{lookups, rows};
use crate::types::{Amount, At, Code, Day, Id, Integer, RawVarchar, TimeSql, Varchar, codes};

rows! {
    /// An order without its lines.
    OrderRow of orders {
        id: Id<OrderId>,
    } {
        user_id: Varchar<UserId>,
        status: Code<OrderStatus>,
        total: Amount,
        created_at: At,
        expires_at: At,
        payment_id: Option<Id<PaymentId>>,
        discount: Option<Amount>,
        paid_amount: Option<Amount>,
        coupon_id: Option<Id<CouponId>>,
        paid_at: Option<At>,
        sales_day: Option<Day>,
        refunded: Amount,
        refunds: Integer<u32>,
    }

    OrderLineRow of order_lines {
        order_id: Id<OrderId>,
        product_id: Id<ProductId>,
    } {
        position: Integer<u32>,
        name: RawVarchar<200>,
        quantity: Integer<u32>,
        unit_price: Amount,
        discount_share: Amount,
        refunded_quantity: Integer<u32>,
    }
}

lookups! {
    OrderById finds OrderRow by "PRIMARY" { id: Id<OrderId>, }
    LinesOf finds OrderLineRow by "PRIMARY" { order_id: Id<OrderId>, }
}

codes! {
    OrderStatus {
        PendingPayment = "pending_payment",
        Paid = "paid",
        Expired = "expired",
        Cancelled = "cancelled",
        PartiallyRefunded = "partially_refunded",
        Refunded = "refunded",
    }
}

/// `SELECT`s and locks orders with their lines in one statement. Each row follows the time of its lock: one row per
/// line, or one for an order without lines.
#[derive(Debug, QueryId)]
pub(crate) struct LockOrders {
    chunk: Chunk,
}

pub(crate) type LockedOrderRow = (At, OrderRow, Option<OrderLineRow>);

impl LockOrders {
    pub(crate) fn new(orders: Chunk) -> Self {
        Self { chunk: orders }
    }
}

impl Query for LockOrders {
    type SqlType = (TimeSql, <OrderRow as Row>::SqlType, Nullable<<OrderLineRow as Row>::SqlType>);
}

impl<DB: BulkDialect> QueryFragment<DB> for LockOrders {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        push_select_read_at(&mut out);
        push_columns::<OrderRow, DB>(&mut out)?;
        out.push_sql(", ");
        push_columns::<OrderLineRow, DB>(&mut out)?;
        push_found::<OrderById, DB>(&mut out, &self.chunk)?;
        out.push_sql(" LEFT JOIN order_lines");
        DB::push_index(&mut out, LinesOf::INDEX)?;
        out.push_sql(" ON order_lines.order_id = orders.id");
        DB::push_lock(&mut out, &[OrderRow::TABLE, OrderLineRow::TABLE])
    }
}

/// Joins orders and their lines. Orders stay in the order given; lines are sorted by position.
pub(crate) fn assemble(orders: Vec<OrderRow>, lines: Vec<OrderLineRow>) -> Result<Vec<Order>, StoreError> {
    let mut lines_of: BTreeMap<OrderId, Vec<OrderLineRow>> = BTreeMap::new();
    for line in lines {
        lines_of.entry(line.order_id.0).or_default().push(line);
    }
    let with_lines = |order: OrderRow| {
        let lines = lines_of.remove(&order.id.0).unwrap_or_default();
        Ok(Order::from_stored(order.with_lines(lines)?)?)
    };
    orders.into_iter().map(with_lines).collect()
}

impl OrderRow {
    /// Joins the order and its lines, sorted by position.
    pub(crate) fn with_lines(self, mut lines: Vec<OrderLineRow>) -> Result<OrderRecord, StoreError> {
        lines.sort_by_key(|line| line.position.0);
        let paid = self.paid_terms()?;
        Ok(OrderRecord {
            id: self.id.0,
            user_id: self.user_id.0,
            status: self.status.0,
            lines: lines.into_iter().map(Into::into).collect(),
            total: self.total.0,
            created_at: self.created_at.0,
            expires_at: self.expires_at.0,
            paid,
            refunded: self.refunded.0,
            refunds: self.refunds.0,
        })
    }

    fn paid_terms(&self) -> Result<Option<PaidTerms>, StoreError> {
        match (self.payment_id, self.discount, self.paid_amount, self.paid_at, self.sales_day) {
            (None, None, None, None, None) => Ok(None),
            (Some(payment_id), Some(discount), Some(amount), Some(at), Some(sales_day)) => Ok(Some(PaidTerms {
                payment_id: payment_id.0,
                discount: discount.0,
                amount: amount.0,
                coupon_id: self.coupon_id.map(|id| id.0),
                at: at.0,
                sales_day: sales_day.0,
            })),
            (..) => Err(StoreError::corrupt("an order that is paid by half")),
        }
    }
}

impl From<&Order> for OrderRow {
    fn from(order: &Order) -> Self {
        let paid = order.paid.as_ref();
        Self {
            id: Id(order.id),
            user_id: Varchar(order.user_id.clone()),
            status: Code(order.status),
            total: Amount(order.total),
            created_at: At(order.created_at),
            expires_at: At(order.expires_at),
            payment_id: paid.map(|paid| Id(paid.payment_id)),
            discount: paid.map(|paid| Amount(paid.discount)),
            paid_amount: paid.map(|paid| Amount(paid.amount)),
            coupon_id: paid.and_then(|paid| paid.coupon_id).map(Id),
            paid_at: paid.map(|paid| At(paid.at)),
            sales_day: paid.map(|paid| Day(paid.sales_day)),
            refunded: Amount(order.refunded),
            refunds: Integer(order.refunds),
        }
    }
}

impl OrderLineRow {
    pub(crate) fn of(order: &Order) -> impl Iterator<Item = Self> {
        (0..).zip(&order.lines).map(|(position, line)| Self::new(order, position, line))
    }

    pub(crate) fn changed(order: &Update<Order>) -> impl Iterator<Item = Self> {
        let lines = (0..).zip(order.before.lines.iter().zip(&order.after.lines));
        let changed = lines.filter(|(_, (before, after))| before != after);
        changed.map(|(position, (_, line))| Self::new(&order.after, position, line))
    }

    fn new(order: &Order, position: u32, line: &OrderLine) -> Self {
        Self {
            order_id: Id(order.id),
            product_id: Id(line.product_id),
            position: Integer(position),
            name: RawVarchar(line.name.clone()),
            quantity: Integer(line.quantity),
            unit_price: Amount(line.unit_price),
            discount_share: Amount(line.discount_share),
            refunded_quantity: Integer(line.refunded_quantity),
        }
    }
}

impl From<OrderLineRow> for OrderLine {
    fn from(row: OrderLineRow) -> Self {
        Self {
            product_id: row.product_id.0,
            name: row.name.0,
            quantity: row.quantity.0,
            unit_price: row.unit_price.0,
            discount_share: row.discount_share.0,
            refunded_quantity: row.refunded_quantity.0,
        }
    }
}
