//! The check: compares the state of the shop with the state that follows from the responses.
//!
//! Every write has a definite response by then. Each effect in the database must have a response, and each response its
//! effect. A response without its effect is *lost*; an effect without a response is *duplicated*. Balances, stocks,
//! orders and campaigns are recomputed from the responses alone and compared with the shop's.

use std::collections::{BTreeMap, BTreeSet};

use jangteo_testkit::{Column, Connection};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arena::{Arena, KEYLESS, Keyless, token};
use crate::journal::{Entry, Operation};

/// The violations found by the check.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Violations {
    /// Acknowledged effects that are missing.
    pub lost: Vec<String>,
    /// Effects without an acknowledgment.
    pub duplicated: Vec<String>,
    /// State that does not follow from the responses.
    pub mismatches: Vec<String>,
}

impl Violations {
    /// Compares the observed ids with the acknowledged ones.
    fn compare(&mut self, kind: &str, observed: Vec<String>, expected: Vec<String>) {
        let (observed, expected) = (counted(observed), counted(expected));
        let ids: BTreeSet<&String> = observed.keys().chain(expected.keys()).collect();
        for id in ids {
            let count = |of: &BTreeMap<String, i64>| of.get(id).copied().unwrap_or_default();
            let more = count(&observed) - count(&expected);
            let list = if more < 0 { &mut self.lost } else { &mut self.duplicated };
            list.extend((0..more.abs()).map(|_| format!("{kind} {id}")));
        }
    }

    fn agree(&mut self, name: impl FnOnce() -> String, observed: &Value, expected: &Value) {
        if observed != expected {
            self.mismatches.push(format!("{}: observed {observed}, expected {expected}", name()));
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

/// The state that follows from the responses.
#[derive(Default)]
struct Expected {
    /// Created ids, by kind.
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

/// An order according to its responses.
#[derive(Default)]
struct Order {
    user_id: String,
    /// Quantity by product.
    lines: BTreeMap<String, i64>,
    paid: Option<i64>,
    is_cancelled: bool,
    is_expired: bool,
    /// Refunded quantity by product.
    refunded: BTreeMap<String, i64>,
    refunded_amount: i64,
    /// Acknowledged refunds. A cancellation is another one if anything was left to refund.
    refunds: i64,
}

impl Order {
    fn remaining_quantity(&self) -> i64 {
        self.lines.values().sum::<i64>() - self.refunded.values().sum::<i64>()
    }

    fn status(&self) -> &'static str {
        match (self.paid, self.is_cancelled) {
            _ if self.is_expired => "expired",
            (None, true) => "cancelled",
            (None, false) => "pending_payment",
            (Some(_), true) => "refunded",
            (Some(_), false) if self.remaining_quantity() == 0 => "refunded",
            (Some(_), false) if self.refunds > 0 => "partially_refunded",
            (Some(_), false) => "paid",
        }
    }

    /// Refunds in the database: the cancellation of a paid order refunds the remainder.
    fn refunds_stored(&self) -> i64 {
        self.refunds + i64::from(self.paid.is_some() && self.is_cancelled)
    }

    /// One event for the payment and one for each refund.
    fn events(&self) -> i64 {
        i64::from(self.paid.is_some()) + self.refunds_stored()
    }
}

impl Expected {
    fn of(entries: &[Entry], expired: &BTreeSet<String>) -> Self {
        let mut expected = Self::default();
        for entry in entries {
            let response = entry.response.as_ref().expect("every write has a definite response");
            if response.is_success() {
                expected.apply(entry, &response.document());
            }
        }
        for (order_id, order) in &mut expected.orders {
            order.is_expired = expired.contains(order_id);
            let balance = expected.balances.entry(order.user_id.clone()).or_default();
            *balance -= order.paid.unwrap_or_default();
            *balance += if order.is_cancelled { order.paid.unwrap_or_default() } else { order.refunded_amount };
            for (product, quantity) in &order.lines {
                let stock = expected.stocks.entry(product.clone()).or_default();
                *stock -= quantity;
                if order.is_cancelled || order.is_expired {
                    *stock += quantity - order.refunded.get(product).copied().unwrap_or_default();
                }
            }
        }
        expected
    }

    fn apply(&mut self, entry: &Entry, response: &Value) {
        let write = &entry.write;
        if write.user_id.is_none() {
            self.record("audit log", format!("{:?}", write.operation));
        }
        match write.operation {
            Operation::TopUpPoints | Operation::AdjustPoints => {
                self.record("ledger entry", id(response, "entry_id"));
                *self.balances.entry(text(response, "user_id")).or_default() += amount(response, "amount");
            }
            Operation::AdjustStock => {
                self.record("stock movement", id(response, "movement_id"));
                *self.stocks.entry(text(response, "product_id")).or_default() += number(response, "quantity");
            }
            Operation::CreateProduct => {
                self.record("product", id(response, "product_id"));
                self.stocks.entry(text(response, "product_id")).or_default();
            }
            Operation::ChangeProduct => {
                let (at, description) = (text(response, "updated_at"), text(response, "description"));
                let latest = self.descriptions.entry(text(response, "product_id")).or_default();
                // Changes of one transaction have the same time; any of them may be the last.
                if at > latest.0 {
                    *latest = (at.clone(), Vec::new());
                }
                if at == latest.0 {
                    latest.1.push(description);
                }
            }
            Operation::CreateCampaign => {
                self.record("campaign", id(response, "campaign_id"));
                self.campaign(response);
            }
            Operation::ChangeCampaign => self.campaign(response),
            Operation::IssueCoupon => {
                self.record("coupon", id(response, "coupon_id"));
                self.campaigns.entry(text(response, "campaign_id")).or_default().issued += 1;
            }
            Operation::RevokeCoupon => {
                self.revoked.insert(id(response, "coupon_id"));
            }
            Operation::PlaceOrder => {
                self.record("order", id(response, "order_id"));
                let order = self.order(response);
                order.user_id = text(response, "user_id");
                for line in response["lines"].as_array().expect("lines") {
                    *order.lines.entry(text(line, "product_id")).or_default() += number(line, "quantity");
                }
            }
            Operation::PayOrder => {
                self.record("payment", id(response, "payment_id"));
                self.order(response).paid = Some(amount(response, "amount"));
            }
            Operation::CancelOrder => self.order(response).is_cancelled = true,
            Operation::RefundOrder => {
                self.record("refund", id(response, "refund_id"));
                let is_restocked = response["restock"] == true;
                let lines = response["lines"].as_array().expect("lines").clone();
                for line in &lines {
                    let (product, quantity) = (text(line, "product_id"), number(line, "quantity"));
                    *self.order(response).refunded.entry(product.clone()).or_default() += quantity;
                    *self.stocks.entry(product).or_default() += if is_restocked { quantity } else { 0 };
                }
                let order = self.order(response);
                order.refunds += 1;
                order.refunded_amount += amount(response, "amount");
            }
            Operation::RedeliverEvent => {}
        }
    }

    fn record(&mut self, kind: &'static str, id: String) {
        self.ids.entry(kind).or_default().push(id);
    }

    fn order(&mut self, response: &Value) -> &mut Order {
        self.orders.entry(text(response, "order_id")).or_default()
    }

    /// The quantity only increases, so the largest is the last.
    fn campaign(&mut self, response: &Value) {
        let campaign = self.campaigns.entry(text(response, "campaign_id")).or_default();
        campaign.quantity = campaign.quantity.max(number(response, "quantity"));
    }

    fn take(&mut self, kind: &'static str) -> Vec<String> {
        self.ids.remove(kind).unwrap_or_default()
    }
}

fn text(document: &Value, member: &str) -> String {
    document[member].as_str().unwrap_or_else(|| panic!("no {member:?} in {document}")).to_owned()
}

/// An id in the format of the databases.
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
    /// Compares the expected state with the observed state.
    pub async fn check(&self) -> Violations {
        let entries = self.journal.read();
        let mut expected = Expected::of(&entries, &self.expired());
        let mut violations = Violations::default();
        let mut connection = self.shop.database().connect().await;
        self.compare_effects(&mut connection, &mut expected, &mut violations).await;
        connection.close().await;
        self.compare_states(&expected, &mut violations).await;
        violations
    }

    /// Each effect has a response, and each response its effect.
    async fn compare_effects(&self, connection: &mut Connection, expected: &mut Expected, violations: &mut Violations) {
        let effects = [
            ("ledger entry", "point_entries WHERE kind IN ('top_up', 'adjustment') AND user_id <> 'keyless'"),
            ("stock movement", "stock_movements WHERE kind = 'adjustment'"),
            ("product", "products"),
            ("campaign", "coupon_campaigns"),
            ("coupon", "coupons"),
            ("order", "orders"),
            ("payment", "payments"),
        ];
        for (kind, table) in effects {
            violations.compare(kind, ids(connection, table, "id").await, expected.take(kind));
        }
        let per_order = |count: fn(&Order) -> i64| {
            let orders = expected.orders.iter();
            orders.flat_map(|(id, order)| (0..count(order)).map(move |_| plain(id))).collect::<Vec<_>>()
        };
        violations.compare(
            "refund of order",
            ids(connection, "refunds", "order_id").await,
            per_order(Order::refunds_stored),
        );
        violations.compare(
            "event of order",
            ids(connection, "outbox_events", "order_id").await,
            per_order(Order::events),
        );
        let refunds: BTreeSet<String> = ids(connection, "refunds", "id").await.into_iter().collect();
        let lost = expected.take("refund").into_iter().filter(|refund| !refunds.contains(refund));
        violations.lost.extend(lost.map(|refund| format!("refund {refund}")));
        let revoked = ids(connection, "coupons WHERE state = 'revoked'", "id").await;
        violations.compare("revocation of coupon", revoked, expected.revoked.iter().cloned().collect());
        self.compare_keyless(connection, violations).await;
        let audited = connection.number("COUNT(*)", "audit_log").await;
        let expected = expected.take("audit log").len() as i64;
        violations.agree(|| "lines of the audit log".to_owned(), &audited.into(), &expected.into());
    }

    /// An acknowledged top-up without a key has one effect, any other at most one.
    async fn compare_keyless(&self, connection: &mut Connection, violations: &mut Violations) {
        let table = format!("point_entries WHERE user_id = '{KEYLESS}'");
        let amounts = connection.rows(&table, &[Column::Money("amount")], |row| row.number() / 10_000).await;
        let (mut observed, mut acknowledged) = (Vec::new(), Vec::new());
        for (amount, known) in self.keyless() {
            let times = amounts.iter().filter(|stored| **stored == amount).count();
            let expected = match known {
                Keyless::Applied => 1,
                Keyless::NotApplied => 0,
                Keyless::Unknown => times.min(1),
            };
            observed.extend((0..times).map(|_| amount.to_string()));
            acknowledged.extend((0..expected).map(|_| amount.to_string()));
        }
        violations.compare("top-up without a key of", observed, acknowledged);
    }

    /// Compares the API's state with the expected state.
    async fn compare_states(&self, expected: &Expected, violations: &mut Violations) {
        let server = self.servers().first().expect("a server is up").clone();
        let admin = server.bearer(token(None));
        // A missing resource is a problem document, which never equals the expected value.
        let read = async |path: String| admin.get(path).await.document();
        for (user_id, balance) in &expected.balances {
            let points = read(format!("/v1/users/{user_id}/points")).await;
            violations.agree(|| format!("balance of {user_id}"), &points["balance"], &balance.to_string().into());
        }
        for (product_id, stock) in &expected.stocks {
            let product = read(format!("/v1/products/{product_id}")).await;
            violations.agree(|| format!("stock of {product_id}"), &product["available"], &(*stock).into());
            if let Some((_, descriptions)) = expected.descriptions.get(product_id) {
                let is_last = descriptions.iter().any(|description| product["description"] == **description);
                violations.agree(|| format!("last change of {product_id}"), &is_last.into(), &true.into());
            }
        }
        for (campaign_id, expected) in &expected.campaigns {
            let campaign = read(format!("/v1/coupon-campaigns/{campaign_id}")).await;
            violations.agree(|| format!("issued of {campaign_id}"), &campaign["issued"], &expected.issued.into());
            violations.agree(|| format!("quantity of {campaign_id}"), &campaign["quantity"], &expected.quantity.into());
        }
        for (order_id, expected) in &expected.orders {
            let order = read(format!("/v1/orders/{order_id}")).await;
            violations.agree(|| format!("status of order {order_id}"), &order["status"], &expected.status().into());
        }
    }
}
