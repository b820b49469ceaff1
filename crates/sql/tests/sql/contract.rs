//! The store contract, on both dialects.

use std::sync::Arc;

use async_trait::async_trait;
use jangteo_domain::delivery::EventQueue;
use jangteo_domain::money::Money;
use jangteo_domain::order::RefundedLine;
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::payment::{Payment, Refund};
use jangteo_domain::retention::Pruning;
use jangteo_domain::statistics::StatisticsCount;
use jangteo_domain::time::{Date, Timestamp};
use jangteo_domain::verification::{BooksFactory, VerificationRuns};
use jangteo_domain::{Queries, UnitOfWorkFactory, UserId};
use jangteo_domain_testing::contract::{Concurrency, StoreHarness, TransactionHarness};
use jangteo_sql::Dialect;
use serde_json::Value;
use uuid::Uuid;

use crate::server::TestDatabase;

struct Harness(TestDatabase);

#[async_trait]
impl TransactionHarness for Harness {
    fn factory(&self) -> Arc<dyn UnitOfWorkFactory> {
        self.0.database.unit_of_work_factory()
    }

    fn concurrency(&self) -> Concurrency {
        match self.0.database.dialect() {
            Dialect::Mysql => Concurrency::RowLocks,
            Dialect::Sqlite => Concurrency::SingleWriter,
        }
    }

    async fn break_connections(&self) -> bool {
        self.0.kill_connections().await
    }
}

#[async_trait]
impl StoreHarness for Harness {
    fn queries(&self) -> Queries {
        self.0.database.queries()
    }

    fn event_queue(&self) -> Arc<dyn EventQueue> {
        self.0.database.event_queue()
    }

    fn pruning(&self) -> Arc<dyn Pruning> {
        self.0.database.pruning()
    }

    fn books(&self) -> Arc<dyn BooksFactory> {
        self.0.database.books()
    }

    fn verification_runs(&self) -> Arc<dyn VerificationRuns> {
        self.0.database.verification_runs()
    }

    fn statistics_count(&self) -> Arc<dyn StatisticsCount> {
        self.0.database.statistics_count()
    }

    async fn payments(&self) -> Vec<Payment> {
        let [total, discount, amount, balance_after] =
            ["total", "discount", "amount", "balance_after"].map(|column| self.0.money(column));
        let paid_at = self.0.time("paid_at");
        let query = format!(
            "SELECT CAST(JSON_OBJECT('id', HEX(id), 'order_id', HEX(order_id), 'user_id', user_id, 'total', {total}, \
             'discount', {discount}, 'amount', {amount}, 'coupon_id', HEX(coupon_id), 'balance_after', {balance_after}, \
             'paid_at', {paid_at}, 'sales_day', CAST(sales_day AS CHAR)) AS CHAR) FROM payments ORDER BY id"
        );
        let payment = |row: &Value| Payment {
            id: uuid(&row["id"]).into(),
            order_id: uuid(&row["order_id"]).into(),
            user_id: user(&row["user_id"]),
            total: money(&row["total"]),
            discount: money(&row["discount"]),
            amount: money(&row["amount"]),
            // SQLite's hex() of NULL is empty.
            coupon_id: row["coupon_id"].as_str().filter(|id| !id.is_empty()).map(|_| uuid(&row["coupon_id"]).into()),
            balance_after: money(&row["balance_after"]),
            paid_at: time(&row["paid_at"]),
            sales_day: date(&row["sales_day"]),
        };
        self.0.objects(&query).await.iter().map(payment).collect()
    }

    async fn refunds(&self) -> Vec<Refund> {
        let (amount, at) = (self.0.money("amount"), self.0.time("created_at"));
        let query = format!(
            "SELECT CAST(JSON_OBJECT('id', HEX(id), 'order_id', HEX(order_id), 'sequence', sequence, 'amount', {amount}, \
             'restocked', restocked, 'reason', reason, 'at', {at}) AS CHAR) FROM refunds ORDER BY id"
        );
        let lines = format!(
            "SELECT CAST(JSON_OBJECT('refund_id', HEX(refund_id), 'product_id', HEX(product_id), 'quantity', quantity, \
             'amount', {amount}) AS CHAR) FROM refund_lines ORDER BY refund_id, product_id"
        );
        let lines = self.0.objects(&lines).await;
        let line = |line: &Value| RefundedLine {
            product_id: uuid(&line["product_id"]).into(),
            quantity: count(&line["quantity"]),
            amount: money(&line["amount"]),
        };
        let refund = |row: &Value| Refund {
            id: uuid(&row["id"]).into(),
            order_id: uuid(&row["order_id"]).into(),
            sequence: count(&row["sequence"]),
            amount: money(&row["amount"]),
            restocked: row["restocked"] == 1,
            reason: row["reason"].as_str().expect("a text").to_owned().try_into().expect("a reason"),
            lines: lines.iter().filter(|line| line["refund_id"] == row["id"]).map(line).collect(),
            at: time(&row["at"]),
        };
        self.0.objects(&query).await.iter().map(refund).collect()
    }

    async fn outbox_events(&self) -> Vec<OutboxEvent> {
        let at = self.0.time("created_at");
        let query = format!(
            "SELECT CAST(JSON_OBJECT('id', HEX(id), 'order_id', HEX(order_id), 'sequence', sequence, 'type', event_type, \
             'body', body, 'at', {at}) AS CHAR) FROM outbox_events ORDER BY id"
        );
        let event = |row: &Value| OutboxEvent {
            order_id: uuid(&row["order_id"]).into(),
            sequence: count(&row["sequence"]),
            id: uuid(&row["id"]).into(),
            event_type: row["type"].as_str().expect("a text").to_owned(),
            body: row["body"].as_str().expect("a text").to_owned(),
            at: time(&row["at"]),
        };
        self.0.objects(&query).await.iter().map(event).collect()
    }
}

fn uuid(value: &Value) -> Uuid {
    Uuid::try_parse(value.as_str().expect("an id")).expect("an id")
}

fn user(value: &Value) -> UserId {
    value.as_str().expect("a user").parse().expect("a user")
}

fn count(value: &Value) -> u32 {
    value.as_u64().and_then(|count| count.try_into().ok()).expect("a small number")
}

fn money(value: &Value) -> Money {
    value.as_i64().and_then(Money::from_ten_thousandths).expect("an amount")
}

fn time(value: &Value) -> Timestamp {
    value.as_i64().and_then(Timestamp::from_unix_microseconds).expect("a time")
}

fn date(value: &Value) -> Date {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    Date::parse(value.as_str().expect("a day"), format).expect("a day")
}

mod sqlite {
    use super::*;

    jangteo_domain_testing::transaction_contract!(async { Harness(TestDatabase::sqlite().await) });
    jangteo_domain_testing::store_contract!(async { Harness(TestDatabase::sqlite().await) });
}

mod mysql {
    use super::*;

    jangteo_domain_testing::transaction_contract!(async { Harness(TestDatabase::mysql().await) });
    jangteo_domain_testing::store_contract!(async { Harness(TestDatabase::mysql().await) });
}
