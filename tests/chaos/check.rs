//! The check: what the callers were told is held against what the shop holds, exactly.
//!
//! Every write has been answered for good by then. So each effect in the database must be one that somebody was told of,
//! and each that somebody was told of must be there. What somebody was told and is not there is *lost*; what is there and
//! nobody was told of happened *twice*, or without being asked for. Then balances, stocks, orders and campaigns are
//! recomputed from the answers alone and compared with what the shop says of them.

use std::collections::{BTreeMap, BTreeSet};

use jangteo_tests::{Column, Connection};
use serde_json::Value;

use crate::arena::{Arena, KEYLESS, Keyless, token};
use crate::journal::{Entry, Operation};

/// What the check found; nothing, if all promises were kept.
#[derive(Clone, Debug, Default)]
pub struct Reckoning {
    /// Somebody was told of it, and it is not there.
    pub lost: Vec<String>,
    /// It is there, and nobody was told of it.
    pub twice: Vec<String>,
    /// What the shop says is not what follows from its answers.
    pub disagreements: Vec<String>,
}

impl Reckoning {
    /// Compares what is there with what was told.
    fn compare(&mut self, what: &str, there: Vec<String>, told: Vec<String>) {
        let (there, told) = (counted(there), counted(told));
        let ids: BTreeSet<&String> = there.keys().chain(told.keys()).collect();
        for id in ids {
            let count = |of: &BTreeMap<String, i64>| of.get(id).copied().unwrap_or_default();
            let more = count(&there) - count(&told);
            let list = if more < 0 { &mut self.lost } else { &mut self.twice };
            list.extend((0..more.abs()).map(|_| format!("{what} {id}")));
        }
    }

    fn agree(&mut self, what: impl FnOnce() -> String, shop: &Value, told: &Value) {
        if shop != told {
            self.disagreements.push(format!("{}: the shop says {shop}, its answers come to {told}", what()));
        }
    }
}

fn counted(ids: Vec<String>) -> BTreeMap<String, i64> {
    let mut counted = BTreeMap::new();
    for id in ids {
        *counted.entry(id).or_default() += 1;
    }
    counted
}

/// What follows from the answers.
#[derive(Default)]
struct Expected {
    /// Ids of what was made, by kind.
    ids: BTreeMap<&'static str, Vec<String>>,
    balances: BTreeMap<String, i64>,
    stocks: BTreeMap<String, i64>,
    campaigns: BTreeMap<String, Campaign>,
    orders: BTreeMap<String, Order>,
    descriptions: BTreeMap<String, (String, Vec<String>)>,
    revoked: BTreeSet<String>,
}

#[derive(Default)]
struct Campaign {
    quantity: i64,
    issued: i64,
}

/// An order, as its answers tell of it.
#[derive(Default)]
struct Order {
    user_id: String,
    /// Pieces by product.
    lines: BTreeMap<String, i64>,
    paid: Option<i64>,
    is_cancelled: bool,
    is_expired: bool,
    /// Pieces that came back by refunds.
    refunded: BTreeMap<String, i64>,
    refunded_amount: i64,
    /// Refunds that somebody was told of; a cancellation is one more where anything was left to give back.
    refunds: i64,
}

impl Order {
    fn pieces_left(&self) -> i64 {
        self.lines.values().sum::<i64>() - self.refunded.values().sum::<i64>()
    }

    fn status(&self) -> &'static str {
        match (self.paid, self.is_cancelled) {
            _ if self.is_expired => "expired",
            (None, true) => "cancelled",
            (None, false) => "pending_payment",
            (Some(_), true) => "refunded",
            (Some(_), false) if self.pieces_left() == 0 => "refunded",
            (Some(_), false) if self.refunds > 0 => "partially_refunded",
            (Some(_), false) => "paid",
        }
    }

    /// Refunds in the books: a paid order that is cancelled is refunded what is left of it.
    fn refunds_stored(&self) -> i64 {
        self.refunds + i64::from(self.paid.is_some() && self.is_cancelled)
    }

    /// One that it was paid, and one for each refund.
    fn events(&self) -> i64 {
        i64::from(self.paid.is_some()) + self.refunds_stored()
    }
}

impl Expected {
    fn of(entries: &[Entry], expired: &BTreeSet<String>) -> Self {
        let mut told = Self::default();
        for entry in entries {
            let answer = entry.told.as_ref().expect("every write was answered for good");
            if answer.is_success() {
                told.apply(entry, &answer.document());
            }
        }
        for (order_id, order) in &mut told.orders {
            order.is_expired = expired.contains(order_id);
            let balance = told.balances.entry(order.user_id.clone()).or_default();
            *balance -= order.paid.unwrap_or_default();
            *balance += if order.is_cancelled { order.paid.unwrap_or_default() } else { order.refunded_amount };
            for (product, quantity) in &order.lines {
                let stock = told.stocks.entry(product.clone()).or_default();
                *stock -= quantity;
                if order.is_cancelled || order.is_expired {
                    *stock += quantity - order.refunded.get(product).copied().unwrap_or_default();
                }
            }
        }
        told
    }

    fn apply(&mut self, entry: &Entry, answer: &Value) {
        let write = &entry.write;
        if write.user_id.is_none() {
            self.note("audit log", format!("{:?}", write.deed));
        }
        match write.deed {
            Operation::TopUpPoints | Operation::AdjustPoints => {
                self.note("ledger entry", id(answer, "entry_id"));
                *self.balances.entry(text(answer, "user_id")).or_default() += amount(answer, "amount");
            }
            Operation::AdjustStock => {
                self.note("stock movement", id(answer, "movement_id"));
                *self.stocks.entry(text(answer, "product_id")).or_default() += number(answer, "quantity");
            }
            Operation::CreateProduct => {
                self.note("product", id(answer, "product_id"));
                self.stocks.entry(text(answer, "product_id")).or_default();
            }
            Operation::ChangeProduct => {
                let (at, description) = (text(answer, "updated_at"), text(answer, "description"));
                let latest = self.descriptions.entry(text(answer, "product_id")).or_default();
                // Two changes of one transaction have one time; then either may be the last.
                if at > latest.0 {
                    *latest = (at.clone(), Vec::new());
                }
                if at == latest.0 {
                    latest.1.push(description);
                }
            }
            Operation::CreateCampaign => {
                self.note("campaign", id(answer, "campaign_id"));
                self.campaign(answer);
            }
            Operation::ChangeCampaign => self.campaign(answer),
            Operation::IssueCoupon => {
                self.note("coupon", id(answer, "coupon_id"));
                self.campaigns.entry(text(answer, "campaign_id")).or_default().issued += 1;
            }
            Operation::RevokeCoupon => {
                self.revoked.insert(id(answer, "coupon_id"));
            }
            Operation::PlaceOrder => {
                self.note("order", id(answer, "order_id"));
                let order = self.order(answer);
                order.user_id = text(answer, "user_id");
                for line in answer["lines"].as_array().expect("lines") {
                    *order.lines.entry(text(line, "product_id")).or_default() += number(line, "quantity");
                }
            }
            Operation::PayOrder => {
                self.note("payment", id(answer, "payment_id"));
                self.order(answer).paid = Some(amount(answer, "amount"));
            }
            Operation::CancelOrder => self.order(answer).is_cancelled = true,
            Operation::RefundOrder => {
                self.note("refund", id(answer, "refund_id"));
                let is_restocked = answer["restock"] == true;
                let lines = answer["lines"].as_array().expect("lines").clone();
                for line in &lines {
                    let (product, quantity) = (text(line, "product_id"), number(line, "quantity"));
                    *self.order(answer).refunded.entry(product.clone()).or_default() += quantity;
                    *self.stocks.entry(product).or_default() += if is_restocked { quantity } else { 0 };
                }
                let order = self.order(answer);
                order.refunds += 1;
                order.refunded_amount += amount(answer, "amount");
            }
            Operation::RedeliverEvent => {}
        }
    }

    fn note(&mut self, what: &'static str, id: String) {
        self.ids.entry(what).or_default().push(id);
    }

    fn order(&mut self, answer: &Value) -> &mut Order {
        self.orders.entry(text(answer, "order_id")).or_default()
    }

    /// The quantity only ever rises, so the largest is the last.
    fn campaign(&mut self, answer: &Value) {
        let campaign = self.campaigns.entry(text(answer, "campaign_id")).or_default();
        campaign.quantity = campaign.quantity.max(number(answer, "quantity"));
    }

    fn take(&mut self, what: &'static str) -> Vec<String> {
        self.ids.remove(what).unwrap_or_default()
    }
}

fn text(document: &Value, member: &str) -> String {
    document[member].as_str().unwrap_or_else(|| panic!("no {member:?} in {document}")).to_owned()
}

/// An id as the databases write it.
fn id(document: &Value, member: &str) -> String {
    plain(&text(document, member))
}

fn plain(id: &str) -> String {
    id.replace('-', "").to_lowercase()
}

fn amount(document: &Value, member: &str) -> i64 {
    text(document, member).parse().unwrap_or_else(|error| panic!("{member:?} in {document}: {error}"))
}

fn number(document: &Value, member: &str) -> i64 {
    document[member].as_i64().unwrap_or_else(|| panic!("no number {member:?} in {document}"))
}

async fn ids(connection: &mut Connection, table: &str, column: &'static str) -> Vec<String> {
    connection.rows(table, &[Column::Id(column)], |row| row.text().to_lowercase()).await
}

impl Arena {
    /// Holds what was told against what is there.
    pub async fn check(&self) -> Reckoning {
        let entries = self.journal.read();
        let mut told = Expected::of(&entries, &self.expired());
        let mut found = Reckoning::default();
        let mut connection = self.shop.database().connect().await;
        self.compare_effects(&mut connection, &mut told, &mut found).await;
        connection.close().await;
        self.compare_states(&told, &mut found).await;
        found
    }

    /// Each effect is one that somebody was told of, and each that somebody was told of is there.
    async fn compare_effects(&self, connection: &mut Connection, told: &mut Expected, found: &mut Reckoning) {
        let effects = [
            ("ledger entry", "point_entries WHERE kind IN ('top_up', 'adjustment') AND user_id <> 'keyless'"),
            ("stock movement", "stock_movements WHERE kind = 'adjustment'"),
            ("product", "products"),
            ("campaign", "coupon_campaigns"),
            ("coupon", "coupons"),
            ("order", "orders"),
            ("payment", "payments"),
        ];
        for (what, table) in effects {
            found.compare(what, ids(connection, table, "id").await, told.take(what));
        }
        let per_order = |count: fn(&Order) -> i64| {
            let orders = told.orders.iter();
            orders.flat_map(|(id, order)| (0..count(order)).map(move |_| plain(id))).collect::<Vec<_>>()
        };
        found.compare(
            "refund of order",
            ids(connection, "refunds", "order_id").await,
            per_order(Order::refunds_stored),
        );
        found.compare("event of order", ids(connection, "outbox_events", "order_id").await, per_order(Order::events));
        let refunds: BTreeSet<String> = ids(connection, "refunds", "id").await.into_iter().collect();
        let lost = told.take("refund").into_iter().filter(|refund| !refunds.contains(refund));
        found.lost.extend(lost.map(|refund| format!("refund {refund}")));
        let revoked = ids(connection, "coupons WHERE state = 'revoked'", "id").await;
        found.compare("revocation of coupon", revoked, told.revoked.iter().cloned().collect());
        self.compare_keyless(connection, found).await;
        let audited = connection.number("COUNT(*)", "audit_log").await;
        let expected = told.take("audit log").len() as i64;
        found.agree(|| "lines of the audit log".to_owned(), &audited.into(), &expected.into());
    }

    /// A top-up without a key took effect once if somebody was told so, and at most once otherwise.
    async fn compare_keyless(&self, connection: &mut Connection, found: &mut Reckoning) {
        let table = format!("point_entries WHERE user_id = '{KEYLESS}'");
        let amounts = connection.rows(&table, &[Column::Money("amount")], |row| row.number() / 10_000).await;
        let (mut there, mut told) = (Vec::new(), Vec::new());
        for (amount, known) in self.keyless() {
            let times = amounts.iter().filter(|there| **there == amount).count();
            let expected = match known {
                Keyless::Happened => 1,
                Keyless::DidNot => 0,
                Keyless::Unknown => times.min(1),
            };
            there.extend((0..times).map(|_| amount.to_string()));
            told.extend((0..expected).map(|_| amount.to_string()));
        }
        found.compare("top-up without a key of", there, told);
    }

    /// What the shop says of everything is what follows from its answers.
    async fn compare_states(&self, told: &Expected, found: &mut Reckoning) {
        let server = self.servers().first().expect("a server is up").clone();
        let admin = server.bearer(token(None));
        // What is not there is a problem document, which agrees with nothing.
        let read = async |path: String| admin.get(path).await.document();
        for (user_id, balance) in &told.balances {
            let points = read(format!("/v1/users/{user_id}/points")).await;
            found.agree(|| format!("balance of {user_id}"), &points["balance"], &balance.to_string().into());
        }
        for (product_id, stock) in &told.stocks {
            let product = read(format!("/v1/products/{product_id}")).await;
            found.agree(|| format!("stock of {product_id}"), &product["available"], &(*stock).into());
            if let Some((_, descriptions)) = told.descriptions.get(product_id) {
                let is_last = descriptions.iter().any(|description| product["description"] == **description);
                found.agree(|| format!("last change of {product_id}"), &is_last.into(), &true.into());
            }
        }
        for (campaign_id, expected) in &told.campaigns {
            let campaign = read(format!("/v1/coupon-campaigns/{campaign_id}")).await;
            found.agree(|| format!("issued of {campaign_id}"), &campaign["issued"], &expected.issued.into());
            found.agree(|| format!("quantity of {campaign_id}"), &campaign["quantity"], &expected.quantity.into());
        }
        for (order_id, expected) in &told.orders {
            let order = read(format!("/v1/orders/{order_id}")).await;
            found.agree(|| format!("status of order {order_id}"), &order["status"], &expected.status().into());
        }
    }
}
