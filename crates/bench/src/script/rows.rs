//! What each table's rows look like as plain SQL: the columns of the migrations, nothing else.

use jangteo_domain::id::ProductId;
use jangteo_domain::idempotency::IdempotencyRecord;
use jangteo_domain::order::{Order, OrderLine, OrderStatus};
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::payment::{Payment, Refund};
use jangteo_domain::point::{EntryKind, PointAccount, PointEntry};
use jangteo_domain::product::{OptionName, OptionValue, Product, ProductStatus};
use jangteo_domain::sales::SaleCounted;
use jangteo_domain::stock::{MovementKind, Stock, StockMovement};

use crate::sql::{Dialect, OnDuplicate, Row, insert};

pub fn accounts(dialect: Dialect, accounts: &[PointAccount]) -> Vec<String> {
    let columns = "user_id, balance, entries, hash, open_orders, updated_at";
    let changed = ["balance", "entries", "hash", "open_orders", "updated_at"];
    let assign = OnDuplicate::Assign { key: "user_id", columns: &changed };
    insert(dialect, "point_accounts", columns, assign, accounts, |row, account| {
        row.text(account.user_id.as_str()).money(account.balance).integer(account.entries).bytes(&account.hash);
        row.integer(account.open_orders).optional(account.updated_at, Row::time);
    })
}

pub fn point_entries(dialect: Dialect, entries: &[PointEntry]) -> Vec<String> {
    let columns = "id, user_id, sequence, kind, amount, balance_after, order_id, created_at, hash";
    insert(dialect, "point_entries", columns, OnDuplicate::Fail, entries, |row, entry| {
        let kind = match entry.kind {
            EntryKind::TopUp => "top_up",
            EntryKind::Payment => "payment",
            EntryKind::Refund => "refund",
            EntryKind::Adjustment => "adjustment",
        };
        row.id(entry.id.uuid()).text(entry.user_id.as_str()).integer(entry.sequence).text(kind);
        row.money(entry.amount).money(entry.balance_after).optional(entry.order_id, |row, id| row.id(id.uuid()));
        row.time(entry.at).bytes(&entry.hash);
    })
}

pub fn products(dialect: Dialect, products: &[Product]) -> Vec<String> {
    let columns = "id, name, description, category, options, item_group_id, price, status, created_at, updated_at";
    let mut statements = insert(dialect, "products", columns, OnDuplicate::Fail, products, |row, product| {
        let details = &product.details;
        let options = serde_json::to_string(&details.options).expect("options are a map of text");
        let status = match details.status {
            ProductStatus::OnSale => "on_sale",
            ProductStatus::Hidden => "hidden",
            ProductStatus::Discontinued => "discontinued",
        };
        row.id(product.id.uuid()).text(details.name.as_str()).text(details.description.as_str());
        row.text(details.category.as_str()).text(&options);
        row.optional(details.item_group_id.as_ref(), |row, id| row.text(id.as_str()));
        row.money(details.price.get()).text(status);
        row.time(product.created_at).time(product.updated_at);
    });
    let options: Vec<(ProductId, &OptionName, &OptionValue)> = products
        .iter()
        .flat_map(|product| product.details.options.iter().map(|(name, value)| (product.id, name, value)))
        .collect();
    let columns = "product_id, name, value";
    statements.extend(insert(dialect, "product_options", columns, OnDuplicate::Fail, &options, |row, option| {
        let (product_id, name, value) = option;
        row.id(product_id.uuid()).text(name.as_str()).text(value.as_str());
    }));
    let columns = "product_id, search_text";
    statements.extend(insert(dialect, "product_search_texts", columns, OnDuplicate::Fail, products, |row, product| {
        let details = &product.details;
        let text = format!("{}\n{}", details.name.as_str(), details.description.as_str()).to_lowercase();
        row.id(product.id.uuid()).text(&text);
    }));
    statements
}

pub fn stocks(dialect: Dialect, stocks: &[Stock]) -> Vec<String> {
    let assign = OnDuplicate::Assign { key: "product_id", columns: &["available", "movements"] };
    insert(dialect, "stocks", "product_id, available, movements", assign, stocks, |row, stock| {
        row.id(stock.product_id.uuid()).integer(stock.available).integer(stock.movements);
    })
}

pub fn stock_movements(dialect: Dialect, movements: &[StockMovement]) -> Vec<String> {
    let columns = "id, product_id, sequence, quantity, available_after, kind, order_id, reason, created_at";
    insert(dialect, "stock_movements", columns, OnDuplicate::Fail, movements, |row, movement| {
        let kind = match movement.kind {
            MovementKind::Adjustment => "adjustment",
            MovementKind::Reservation => "reservation",
            MovementKind::Expiry => "expiry",
            MovementKind::Cancellation => "cancellation",
            MovementKind::Refund => "refund",
        };
        row.id(movement.id.uuid()).id(movement.product_id.uuid()).integer(movement.sequence);
        row.integer(movement.quantity).integer(movement.available_after).text(kind);
        row.optional(movement.order_id, |row, id| row.id(id.uuid()));
        row.optional(movement.reason.as_ref(), |row, reason| row.text(reason.as_str())).time(movement.at);
    })
}

const ORDER_COLUMNS: &str = "id, user_id, status, total, created_at, expires_at, payment_id, discount, paid_amount, \
                             coupon_id, paid_at, sales_day, refunded, refunds";

fn write_order(row: &mut Row<'_>, order: &Order) {
    let status = match order.status {
        OrderStatus::PendingPayment => "pending_payment",
        OrderStatus::Paid => "paid",
        OrderStatus::Expired => "expired",
        OrderStatus::Cancelled => "cancelled",
        OrderStatus::PartiallyRefunded => "partially_refunded",
        OrderStatus::Refunded => "refunded",
    };
    let paid = order.paid.as_ref();
    row.id(order.id.uuid()).text(order.user_id.as_str()).text(status).money(order.total);
    row.time(order.created_at).time(order.expires_at);
    row.optional(paid, |row, paid| row.id(paid.payment_id.uuid()));
    row.optional(paid, |row, paid| row.money(paid.discount)).optional(paid, |row, paid| row.money(paid.amount));
    row.optional(paid.and_then(|paid| paid.coupon_id), |row, id| row.id(id.uuid()));
    row.optional(paid, |row, paid| row.time(paid.at)).optional(paid, |row, paid| row.date(paid.sales_day));
    row.money(order.refunded).integer(order.refunds);
}

/// New orders with their lines.
pub fn orders(dialect: Dialect, orders: &[Order]) -> Vec<String> {
    let mut statements = insert(dialect, "orders", ORDER_COLUMNS, OnDuplicate::Fail, orders, write_order);
    let columns = "order_id, product_id, position, name, quantity, unit_price, discount_share, refunded_quantity";
    let lines: Vec<(&Order, usize, &OrderLine)> = orders
        .iter()
        .flat_map(|order| order.lines.iter().enumerate().map(move |(position, line)| (order, position, line)))
        .collect();
    statements.extend(insert(
        dialect,
        "order_lines",
        columns,
        OnDuplicate::Fail,
        &lines,
        |row, (order, position, line)| {
            row.id(order.id.uuid()).id(line.product_id.uuid()).integer(*position as i128).text(&line.name);
            row.integer(line.quantity)
                .money(line.unit_price)
                .money(line.discount_share)
                .integer(line.refunded_quantity);
        },
    ));
    statements
}

/// How far orders that are there have come.
pub fn changed_orders(dialect: Dialect, orders: &[Order]) -> Vec<String> {
    let changed =
        ["status", "payment_id", "discount", "paid_amount", "coupon_id", "paid_at", "sales_day", "refunded", "refunds"];
    let assign = OnDuplicate::Assign { key: "id", columns: &changed };
    insert(dialect, "orders", ORDER_COLUMNS, assign, orders, write_order)
}

pub fn payments(dialect: Dialect, payments: &[Payment]) -> Vec<String> {
    let columns = "id, order_id, user_id, total, discount, amount, coupon_id, balance_after, paid_at, sales_day";
    insert(dialect, "payments", columns, OnDuplicate::Fail, payments, |row, payment| {
        row.id(payment.id.uuid()).id(payment.order_id.uuid()).text(payment.user_id.as_str());
        row.money(payment.total).money(payment.discount).money(payment.amount);
        row.optional(payment.coupon_id, |row, id| row.id(id.uuid()));
        row.money(payment.balance_after).time(payment.paid_at).date(payment.sales_day);
    })
}

/// Refunds with their lines.
pub fn refunds(dialect: Dialect, refunds: &[Refund]) -> Vec<String> {
    let columns = "id, order_id, sequence, amount, restocked, reason, created_at";
    let mut statements = insert(dialect, "refunds", columns, OnDuplicate::Fail, refunds, |row, refund| {
        row.id(refund.id.uuid()).id(refund.order_id.uuid()).integer(refund.sequence).money(refund.amount);
        row.integer(i8::from(refund.restocked)).text(refund.reason.as_str()).time(refund.at);
    });
    let lines: Vec<_> =
        refunds.iter().flat_map(|refund| refund.lines.iter().map(move |line| (refund.id, line))).collect();
    let columns = "refund_id, product_id, quantity, amount";
    statements.extend(insert(dialect, "refund_lines", columns, OnDuplicate::Fail, &lines, |row, (refund_id, line)| {
        row.id(refund_id.uuid()).id(line.product_id.uuid()).integer(line.quantity).money(line.amount);
    }));
    statements
}

pub fn daily_sales(dialect: Dialect, sales: &[SaleCounted]) -> Vec<String> {
    let add = OnDuplicate::Add { key: "day, product_id", columns: &["quantity", "revenue"] };
    insert(dialect, "daily_sales", "day, product_id, quantity, revenue", add, sales, |row, sale| {
        row.date(sale.day).id(sale.product_id.uuid()).integer(sale.quantity).money(sale.revenue);
    })
}

pub fn outbox_events(dialect: Dialect, state: &str, events: &[OutboxEvent]) -> Vec<String> {
    let columns = "id, order_id, sequence, event_type, body, created_at, state, due_at, attempts";
    insert(dialect, "outbox_events", columns, OnDuplicate::Fail, events, |row, event| {
        let body = serde_json::to_string(&event.data).expect("an event's data is plain JSON");
        row.id(event.id.uuid()).id(event.order_id.uuid()).integer(event.sequence).text(event.data.event_type());
        row.text(&body).time(event.at).text(state).time(event.at).integer(i8::from(state == "delivered"));
    })
}

pub fn idempotency_keys(dialect: Dialect, records: &[IdempotencyRecord]) -> Vec<String> {
    let columns = "created_at, request_key, fingerprint, outcome";
    insert(dialect, "idempotency_keys", columns, OnDuplicate::Fail, records, |row, record| {
        let outcome = serde_json::to_string(&record.outcome).expect("an outcome is plain JSON");
        row.time(record.at).bytes(&record.claim.key.0).bytes(&record.claim.fingerprint.0).text(&outcome);
    })
}
