//! The books: whether the tables of a shop agree with each other.
//!
//! It reads every table in one state and adds everything up again, by its own arithmetic and with none of the code under
//! test. Amounts are whole ten-thousandths, ids hexadecimal text.

use std::collections::{BTreeMap, BTreeSet};

use crate::database::Column::{Day, Id, Money, Plain};
use crate::database::Connection;

/// Everything that is wrong with the books, in words; to be called in a transaction that sees one state.
///
/// # Panics
/// When a table or column is missing.
pub async fn findings(connection: &mut Connection) -> Vec<String> {
    let books = Books::read(connection).await;
    let mut findings = Findings::default();
    books.check_ledger(&mut findings);
    books.check_stock(&mut findings);
    books.check_orders(&mut findings);
    books.check_payments(&mut findings);
    books.check_refunds(&mut findings);
    books.check_coupons(&mut findings);
    books.check_events(&mut findings);
    books.check_sales(&mut findings);
    findings.0
}

#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn check(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.0.push(finding());
        }
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, found: T, expected: T, what: impl FnOnce() -> String) {
        if found != expected {
            self.0.push(format!("{} is {found:?}, not {expected:?}", what()));
        }
    }
}

struct Account {
    user_id: String,
    balance: i64,
    entries: i64,
    open_orders: i64,
}

struct Entry {
    user_id: String,
    sequence: i64,
    kind: String,
    amount: i64,
    balance_after: i64,
    order_id: Option<String>,
}

struct Stock {
    product_id: String,
    available: i64,
    movements: i64,
}

struct Movement {
    product_id: String,
    sequence: i64,
    quantity: i64,
    available_after: i64,
    kind: String,
    order_id: Option<String>,
}

struct Order {
    user_id: String,
    status: String,
    total: i64,
    discount: i64,
    paid_amount: i64,
    refunded: i64,
}

struct Line {
    order_id: String,
    product_id: String,
    quantity: i64,
    unit_price: i64,
    discount_share: i64,
    refunded_quantity: i64,
}

struct Payment {
    order_id: String,
    user_id: String,
    total: i64,
    discount: i64,
    amount: i64,
    coupon_id: Option<String>,
    balance_after: i64,
    sales_day: String,
}

struct Refund {
    id: String,
    order_id: String,
    sequence: i64,
    amount: i64,
    restocked: bool,
}

struct RefundLine {
    refund_id: String,
    product_id: String,
    quantity: i64,
    amount: i64,
}

struct Campaign {
    quantity: i64,
    issued: i64,
}

struct Coupon {
    id: String,
    campaign_id: String,
    user_id: String,
    state: String,
    order_id: Option<String>,
}

struct Event {
    order_id: String,
    sequence: i64,
    event_type: String,
}

struct Books {
    accounts: Vec<Account>,
    entries: Vec<Entry>,
    stocks: Vec<Stock>,
    movements: Vec<Movement>,
    orders: BTreeMap<String, Order>,
    lines: Vec<Line>,
    payments: Vec<Payment>,
    refunds: Vec<Refund>,
    refund_lines: Vec<RefundLine>,
    campaigns: BTreeMap<String, Campaign>,
    coupons: Vec<Coupon>,
    events: Vec<Event>,
    /// Pieces and revenue by day and product.
    sales: BTreeMap<(String, String), (i64, i64)>,
}

impl Books {
    async fn read(connection: &mut Connection) -> Self {
        let accounts = connection.rows(
            "point_accounts",
            &[Plain("user_id"), Money("balance"), Plain("entries"), Plain("open_orders")],
            |row| Account {
                user_id: row.text(),
                balance: row.number(),
                entries: row.number(),
                open_orders: row.number(),
            },
        );
        let accounts = accounts.await;
        let entries = connection.rows(
            "point_entries ORDER BY user_id, sequence",
            &[
                Plain("user_id"),
                Plain("sequence"),
                Plain("kind"),
                Money("amount"),
                Money("balance_after"),
                Id("order_id"),
            ],
            |row| Entry {
                user_id: row.text(),
                sequence: row.number(),
                kind: row.text(),
                amount: row.number(),
                balance_after: row.number(),
                order_id: row.optional_text(),
            },
        );
        let entries = entries.await;
        let stocks = connection.rows("stocks", &[Id("product_id"), Plain("available"), Plain("movements")], |row| {
            Stock { product_id: row.text(), available: row.number(), movements: row.number() }
        });
        let stocks = stocks.await;
        let movements = connection.rows(
            "stock_movements ORDER BY product_id, sequence",
            &[
                Id("product_id"),
                Plain("sequence"),
                Plain("quantity"),
                Plain("available_after"),
                Plain("kind"),
                Id("order_id"),
            ],
            |row| Movement {
                product_id: row.text(),
                sequence: row.number(),
                quantity: row.number(),
                available_after: row.number(),
                kind: row.text(),
                order_id: row.optional_text(),
            },
        );
        let movements = movements.await;
        let orders = connection.rows(
            "orders",
            &[
                Id("id"),
                Plain("user_id"),
                Plain("status"),
                Money("total"),
                Money("COALESCE(discount, 0)"),
                Money("COALESCE(paid_amount, 0)"),
                Money("refunded"),
            ],
            |row| {
                let id = row.text();
                let order = Order {
                    user_id: row.text(),
                    status: row.text(),
                    total: row.number(),
                    discount: row.number(),
                    paid_amount: row.number(),
                    refunded: row.number(),
                };
                (id, order)
            },
        );
        let orders = orders.await.into_iter().collect();
        let lines = connection.rows(
            "order_lines",
            &[
                Id("order_id"),
                Id("product_id"),
                Plain("quantity"),
                Money("unit_price"),
                Money("discount_share"),
                Plain("refunded_quantity"),
            ],
            |row| Line {
                order_id: row.text(),
                product_id: row.text(),
                quantity: row.number(),
                unit_price: row.number(),
                discount_share: row.number(),
                refunded_quantity: row.number(),
            },
        );
        let lines = lines.await;
        let payments = connection.rows(
            "payments",
            &[
                Id("order_id"),
                Plain("user_id"),
                Money("total"),
                Money("discount"),
                Money("amount"),
                Id("coupon_id"),
                Money("balance_after"),
                Day("sales_day"),
            ],
            |row| Payment {
                order_id: row.text(),
                user_id: row.text(),
                total: row.number(),
                discount: row.number(),
                amount: row.number(),
                coupon_id: row.optional_text(),
                balance_after: row.number(),
                sales_day: row.text(),
            },
        );
        let payments = payments.await;
        let refunds = connection.rows(
            "refunds",
            &[Id("id"), Id("order_id"), Plain("sequence"), Money("amount"), Plain("restocked + 0")],
            |row| Refund {
                id: row.text(),
                order_id: row.text(),
                sequence: row.number(),
                amount: row.number(),
                restocked: row.number() != 0,
            },
        );
        let refunds = refunds.await;
        let refund_lines = connection.rows(
            "refund_lines",
            &[Id("refund_id"), Id("product_id"), Plain("quantity"), Money("amount")],
            |row| RefundLine {
                refund_id: row.text(),
                product_id: row.text(),
                quantity: row.number(),
                amount: row.number(),
            },
        );
        let refund_lines = refund_lines.await;
        let campaigns = connection.rows("coupon_campaigns", &[Id("id"), Plain("quantity"), Plain("issued")], |row| {
            (row.text(), Campaign { quantity: row.number(), issued: row.number() })
        });
        let campaigns = campaigns.await.into_iter().collect();
        let coupons = connection.rows(
            "coupons",
            &[Id("id"), Id("campaign_id"), Plain("user_id"), Plain("state"), Id("order_id")],
            |row| Coupon {
                id: row.text(),
                campaign_id: row.text(),
                user_id: row.text(),
                state: row.text(),
                order_id: row.optional_text(),
            },
        );
        let coupons = coupons.await;
        let events = connection.rows(
            "outbox_events ORDER BY order_id, sequence",
            &[Id("order_id"), Plain("sequence"), Plain("event_type")],
            |row| Event { order_id: row.text(), sequence: row.number(), event_type: row.text() },
        );
        let events = events.await;
        let sales = connection.rows(
            "daily_sales",
            &[Day("day"), Id("product_id"), Plain("quantity"), Money("revenue")],
            |row| ((row.text(), row.text()), (row.number(), row.number())),
        );
        let sales = sales.await.into_iter().collect();
        Self {
            accounts,
            entries,
            stocks,
            movements,
            orders,
            lines,
            payments,
            refunds,
            refund_lines,
            campaigns,
            coupons,
            events,
            sales,
        }
    }

    fn lines_of<'a>(&'a self, order_id: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.order_id == order_id)
    }

    /// Each ledger runs from zero to its account's balance, without a gap.
    fn check_ledger(&self, findings: &mut Findings) {
        let mut by_user: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in &self.entries {
            by_user.entry(&entry.user_id).or_default().push(entry);
        }
        for account in &self.accounts {
            let user = &account.user_id;
            let ledger = by_user.remove(user.as_str()).unwrap_or_default();
            findings.check(account.balance >= 0, || format!("the balance of {user} is negative: {}", account.balance));
            findings.equal(account.entries, count(&ledger), || format!("the count of the entries of {user}"));
            let mut balance = 0;
            for (entry, sequence) in ledger.iter().zip(1..) {
                findings.equal(entry.sequence, sequence, || format!("the place of an entry of {user}"));
                balance += entry.amount;
                findings
                    .equal(entry.balance_after, balance, || format!("the balance of {user} after entry {sequence}"));
                findings.check(entry.balance_after >= 0, || format!("{user} was below zero after entry {sequence}"));
                let sign_fits = match entry.kind.as_str() {
                    "charge" => entry.amount > 0,
                    "payment" => entry.amount <= 0,
                    "refund" => entry.amount >= 0,
                    "adjustment" => true,
                    _ => false,
                };
                findings
                    .check(sign_fits, || format!("entry {sequence} of {user}: a {} of {}", entry.kind, entry.amount));
                let has_order = matches!(entry.kind.as_str(), "payment" | "refund");
                findings
                    .equal(entry.order_id.is_some(), has_order, || format!("an order of entry {sequence} of {user}"));
            }
            findings.equal(account.balance, balance, || format!("the balance of {user} by its ledger"));
        }
        for user in by_user.keys() {
            findings.0.push(format!("there are entries of {user}, but no account"));
        }
    }

    /// Each stock is the sum of its movements, without a gap.
    fn check_stock(&self, findings: &mut Findings) {
        let mut by_product: BTreeMap<&str, Vec<&Movement>> = BTreeMap::new();
        for movement in &self.movements {
            by_product.entry(&movement.product_id).or_default().push(movement);
        }
        for stock in &self.stocks {
            let product = &stock.product_id;
            let moved = by_product.remove(product.as_str()).unwrap_or_default();
            findings.check(stock.available >= 0, || format!("the stock of {product} is negative: {}", stock.available));
            findings.equal(stock.movements, count(&moved), || format!("the count of the movements of {product}"));
            let mut available = 0;
            for (movement, sequence) in moved.iter().zip(1..) {
                findings.equal(movement.sequence, sequence, || format!("the place of a movement of {product}"));
                available += movement.quantity;
                findings.equal(movement.available_after, available, || format!("{product} after movement {sequence}"));
                findings.check(available >= 0, || format!("{product} was below zero after movement {sequence}"));
            }
            findings.equal(stock.available, available, || format!("the stock of {product} by its movements"));
        }
        for product in by_product.keys() {
            findings.0.push(format!("there are movements of {product}, but no stock"));
        }
    }

    /// Each order holds its pieces once and gives them back once, as its status says; each total is its lines'.
    fn check_orders(&self, findings: &mut Findings) {
        let mut moved: BTreeMap<(&str, &str, &str), Vec<i64>> = BTreeMap::new();
        for movement in self.movements.iter().filter(|movement| movement.kind != "adjustment") {
            let Some(order_id) = &movement.order_id else {
                findings.0.push(format!("a {} of {} names no order", movement.kind, movement.product_id));
                continue;
            };
            findings.check(self.orders.contains_key(order_id), || format!("a movement names order {order_id}: none"));
            moved.entry((order_id, &movement.product_id, &movement.kind)).or_default().push(movement.quantity);
        }
        let restocked = self.restocked();
        let mut open: BTreeMap<&str, i64> = BTreeMap::new();
        for (id, order) in &self.orders {
            let lines: Vec<&Line> = self.lines_of(id).collect();
            findings.check(!lines.is_empty(), || format!("order {id} has no lines"));
            let total: i64 = lines.iter().map(|line| line.unit_price * line.quantity).sum();
            findings.equal(order.total, total, || format!("the total of order {id}"));
            if order.status == "pending_payment" {
                *open.entry(&order.user_id).or_default() += 1;
            }
            for line in lines {
                let product = &line.product_id;
                let pieces =
                    |kind: &'static str, quantity: i64| (kind, Vec::from_iter((quantity != 0).then_some(quantity)));
                let refunded = restocked.get(&(id.as_str(), product.as_str())).cloned().unwrap_or_default();
                let expected = [
                    pieces("hold", -line.quantity),
                    pieces("expiry", if order.status == "expired" { line.quantity } else { 0 }),
                    pieces("cancellation", if order.status == "cancelled" { line.quantity } else { 0 }),
                    ("refund", refunded),
                ];
                for (kind, expected) in expected {
                    let found = moved.remove(&(id, product, kind)).unwrap_or_default();
                    findings.equal(found, expected, || {
                        format!("the {kind} of {product} for the {} order {id}", order.status)
                    });
                }
                findings.check((0..=line.quantity).contains(&line.refunded_quantity), || {
                    format!(
                        "{} of {} pieces of {product} in order {id} are refunded",
                        line.refunded_quantity, line.quantity
                    )
                });
            }
        }
        for ((order, product, kind), quantities) in moved {
            findings.0.push(format!("order {order} has a {kind} of {product} without a line: {quantities:?}"));
        }
        for account in &self.accounts {
            let expected = open.remove(account.user_id.as_str()).unwrap_or_default();
            findings.equal(account.open_orders, expected, || format!("the open orders of {}", account.user_id));
        }
        for user in open.keys() {
            findings.0.push(format!("there are open orders of {user}, but no account that counts them"));
        }
    }

    /// The pieces that refunds brought back, by order and product, in the order of the refunds.
    fn restocked(&self) -> BTreeMap<(&str, &str), Vec<i64>> {
        let mut refunds: Vec<&Refund> = self.refunds.iter().filter(|refund| refund.restocked).collect();
        refunds.sort_by_key(|refund| refund.sequence);
        let mut restocked: BTreeMap<_, Vec<i64>> = BTreeMap::new();
        for refund in refunds {
            for line in self.refund_lines.iter().filter(|line| line.refund_id == refund.id) {
                restocked.entry((refund.order_id.as_str(), line.product_id.as_str())).or_default().push(line.quantity);
            }
        }
        restocked
    }

    /// A paid order has one payment and one debit, and no other has any.
    fn check_payments(&self, findings: &mut Findings) {
        for (id, order) in &self.orders {
            let payments: Vec<&Payment> = self.payments.iter().filter(|payment| payment.order_id == *id).collect();
            let debits: Vec<&Entry> = self.entries_of(id, "payment");
            let paid = is_paid(&order.status);
            findings.equal(payments.len(), paid.into(), || {
                format!("the count of payments of the {} order {id}", order.status)
            });
            findings
                .equal(debits.len(), paid.into(), || format!("the count of debits of the {} order {id}", order.status));
            findings.equal(
                (order.discount, order.paid_amount),
                payments.first().map_or((0, 0), |payment| (payment.discount, payment.amount)),
                || format!("discount and amount of order {id} by its payment"),
            );
            let shares: i64 = self.lines_of(id).map(|line| line.discount_share).sum();
            findings.equal(shares, order.discount, || format!("the sum of the shares of the discount of order {id}"));
            for line in self.lines_of(id) {
                let line_total = line.unit_price * line.quantity;
                findings
                    .check((0..=line_total).contains(&line.discount_share), || format!("a share in order {id} is off"));
            }
            for payment in payments {
                findings.equal(&payment.user_id, &order.user_id, || format!("who paid order {id}"));
                findings.equal(payment.total, order.total, || format!("the total of the payment of order {id}"));
                findings
                    .equal(payment.amount, payment.total - payment.discount, || format!("the amount of order {id}"));
                for debit in &debits {
                    findings.equal(debit.amount, -payment.amount, || format!("the debit of order {id}"));
                    findings.equal(&debit.user_id, &payment.user_id, || format!("whose points paid order {id}"));
                    findings
                        .equal(debit.balance_after, payment.balance_after, || format!("the balance after order {id}"));
                }
            }
        }
        for payment in self.payments.iter().filter(|payment| !self.orders.contains_key(&payment.order_id)) {
            findings.0.push(format!("a payment is for order {}, which is not there", payment.order_id));
        }
    }

    fn entries_of(&self, order_id: &str, kind: &str) -> Vec<&Entry> {
        let of_order = |entry: &&Entry| entry.kind == kind && entry.order_id.as_deref() == Some(order_id);
        self.entries.iter().filter(of_order).collect()
    }

    /// What comes back is at most what was paid, to the unit, and each refund has one credit.
    fn check_refunds(&self, findings: &mut Findings) {
        for refund in &self.refunds {
            let lines = self.refund_lines.iter().filter(|line| line.refund_id == refund.id);
            let amount: i64 = lines.map(|line| line.amount).sum();
            findings.equal(refund.amount, amount, || format!("refund {} by its lines", refund.id));
            findings.check(self.orders.contains_key(&refund.order_id), || format!("refund {} has no order", refund.id));
        }
        for (id, order) in &self.orders {
            let mut refunds: Vec<&Refund> = self.refunds.iter().filter(|refund| refund.order_id == *id).collect();
            refunds.sort_by_key(|refund| refund.sequence);
            let sequences: Vec<i64> = refunds.iter().map(|refund| refund.sequence).collect();
            findings
                .equal(sequences, (1..).take(refunds.len()).collect(), || format!("the places of the refunds of {id}"));
            let refunded: i64 = refunds.iter().map(|refund| refund.amount).sum();
            findings.check(refunded <= order.paid_amount, || {
                format!("order {id}: {refunded} of {} is refunded", order.paid_amount)
            });
            findings.equal(order.refunded, refunded, || format!("what is refunded of order {id}"));
            let mut credits: Vec<i64> = self.entries_of(id, "refund").iter().map(|entry| entry.amount).collect();
            let mut amounts: Vec<i64> = refunds.iter().map(|refund| refund.amount).collect();
            credits.sort_unstable();
            amounts.sort_unstable();
            findings.equal(credits, amounts, || format!("the credits of order {id}"));
            let mut pieces: BTreeMap<&str, i64> = BTreeMap::new();
            for refund in &refunds {
                for line in self.refund_lines.iter().filter(|line| line.refund_id == refund.id) {
                    *pieces.entry(&line.product_id).or_default() += line.quantity;
                }
            }
            let mut whole = true;
            for line in self.lines_of(id) {
                let refunded = pieces.remove(line.product_id.as_str()).unwrap_or_default();
                findings.equal(line.refunded_quantity, refunded, || format!("refunded pieces in order {id}"));
                whole &= refunded == line.quantity;
            }
            findings
                .check(pieces.is_empty(), || format!("order {id}: pieces are refunded that it never had: {pieces:?}"));
            findings.equal(order.status == "refunded", whole, || format!("that order {id} is wholly refunded"));
            let partly = !whole && !refunds.is_empty();
            findings
                .equal(order.status == "partially_refunded", partly, || format!("that order {id} is partly refunded"));
            findings.check(!whole || refunded == order.paid_amount, || {
                format!("order {id} came back whole, its money did not")
            });
        }
    }

    /// Each campaign issued as many as it counts, one to a user; each used coupon paid for one order.
    fn check_coupons(&self, findings: &mut Findings) {
        let mut issued: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for coupon in &self.coupons {
            let first = issued.entry(&coupon.campaign_id).or_default().insert(&coupon.user_id);
            findings.check(first, || format!("{} has two coupons of campaign {}", coupon.user_id, coupon.campaign_id));
            let is_used = coupon.state == "used";
            findings.equal(coupon.order_id.is_some(), is_used, || format!("that coupon {} names an order", coupon.id));
            if let Some(order_id) = &coupon.order_id {
                let payment = self.payments.iter().find(|payment| payment.order_id == *order_id);
                let fits = payment.is_some_and(|payment| {
                    payment.coupon_id.as_deref() == Some(&coupon.id) && payment.user_id == coupon.user_id
                });
                findings.check(fits, || format!("coupon {} says that it paid for order {order_id}", coupon.id));
            }
        }
        for payment in &self.payments {
            let Some(coupon_id) = &payment.coupon_id else {
                findings.equal(payment.discount, 0, || {
                    format!("the discount of order {} without a coupon", payment.order_id)
                });
                continue;
            };
            // The coupon of an order that was refunded whole may be usable again, and used for another one.
            let order_ended = self.orders.get(&payment.order_id).is_some_and(|order| order.status == "refunded");
            let used = self.coupons.iter().any(|coupon| {
                coupon.id == *coupon_id && (order_ended || coupon.order_id.as_ref() == Some(&payment.order_id))
            });
            findings.check(used, || format!("order {} was paid with coupon {coupon_id}, unused", payment.order_id));
        }
        for (id, campaign) in &self.campaigns {
            let users = issued.remove(id.as_str()).unwrap_or_default();
            findings.equal(campaign.issued, count(&users), || format!("the coupons issued of campaign {id}"));
            findings
                .check(campaign.issued <= campaign.quantity, || format!("campaign {id} issued more than there were"));
        }
        for campaign in issued.keys() {
            findings.0.push(format!("there are coupons of campaign {campaign}, which is not there"));
        }
    }

    /// A paid order has its event, each refund one more, in this order.
    fn check_events(&self, findings: &mut Findings) {
        let mut by_order: BTreeMap<&str, Vec<(i64, &str)>> = BTreeMap::new();
        for event in &self.events {
            by_order.entry(&event.order_id).or_default().push((event.sequence, &event.event_type));
        }
        for (id, order) in &self.orders {
            let refunds = self.refunds.iter().filter(|refund| refund.order_id == *id).count();
            let paid = is_paid(&order.status).then_some("jangteo.order.paid.v1");
            let refunded = std::iter::repeat_n("jangteo.order.refunded.v1", refunds);
            let expected: Vec<(i64, &str)> = (1..).zip(paid.into_iter().chain(refunded)).collect();
            let found = by_order.remove(id.as_str()).unwrap_or_default();
            findings.equal(found, expected, || format!("the events of the {} order {id}", order.status));
        }
        for order in by_order.keys() {
            findings.0.push(format!("there are events of order {order}, which is not there"));
        }
    }

    /// The daily sales are what the paid lines add up to, net of refunds, on the day that was stored with the payment.
    fn check_sales(&self, findings: &mut Findings) {
        let mut expected: BTreeMap<(String, String), (i64, i64)> = BTreeMap::new();
        for payment in &self.payments {
            let mut add = |product_id: &str, quantity: i64, revenue: i64| {
                let sold = expected.entry((payment.sales_day.clone(), product_id.to_owned())).or_default();
                *sold = (sold.0 + quantity, sold.1 + revenue);
            };
            for line in self.lines_of(&payment.order_id) {
                add(&line.product_id, line.quantity, line.unit_price * line.quantity - line.discount_share);
            }
            for refund in self.refunds.iter().filter(|refund| refund.order_id == payment.order_id) {
                for line in self.refund_lines.iter().filter(|line| line.refund_id == refund.id) {
                    add(&line.product_id, -line.quantity, -line.amount);
                }
            }
        }
        findings.equal(&self.sales, &expected, || "the daily sales".to_owned());
    }
}

fn is_paid(status: &str) -> bool {
    matches!(status, "paid" | "partially_refunded" | "refunded")
}

fn count<'a, T: 'a>(items: impl IntoIterator<Item = &'a T>) -> i64 {
    i64::try_from(items.into_iter().count()).expect("a count")
}
