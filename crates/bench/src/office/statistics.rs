//! The count of the statistics from nothing, and the purchases beside it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use comfy_table::Table;
use jangteo_domain::Timestamp;
use jangteo_domain::id::{BatchId, IdSource as _, OrderId, PaymentId, UserId};
use jangteo_domain::money::Money;
use jangteo_domain::payment::Payment;
use jangteo_domain::transaction::{Appended, Changes, FirstKeys, LockSet};

use crate::client::{Client, Request};
use crate::load::{Dataset, Endpoint};
use crate::measure::{Latencies, Target, per_second};
use crate::office::past::{rfc3339, wait_until_counted};
use crate::office::turns::in_turns;
use crate::office::{Bench, STAFF, staff_token};
use crate::past::Clock;
use crate::server::Server;
use crate::shop::{self, History, Shop, Size};
use crate::{report, store};

const NAME: &str = "statistics";
const AMOUNT: i64 = 550;
/// Payments of a transaction.
const BATCH: usize = 5_000;
const CALLS: usize = 50;

pub async fn measure(bench: &Bench<'_>, payments: usize) -> Result<Table> {
    let Bench { setup, database, progress } = bench;
    progress.step(format!("writing {payments} payments"));
    let url = database.create(NAME).await?;
    let adapter = store::open_new(&url).await?;
    let now = shop::now()?;
    let size = Size { users: 10_000, products: 1_000, names: setup.names };
    let shop = Shop::open_in(&adapter, size, now).await?;
    store::on_threads(pay(adapter.clone(), payments, now)).await??;

    let mut table = report::table("measure | found");
    let mut add = |measure: String, found: String| {
        table.add_row([measure, found]);
    };
    let mut add_count = |of: &str, took: Duration| {
        let rate = per_second(payments as u64, took.as_secs_f64());
        add(
            format!("{of}: {payments} payments"),
            format!("{} s, {} a second", report::figure(took.as_secs_f64()), report::figure(rate)),
        );
    };
    progress.step("counting");
    let server = Server::shop(&setup.program, &url, &[]).await?;
    add_count("count by a server, which pauses half of the time", wait_until_counted(server.address(), now).await?);
    check(server.address(), now, payments).await?;
    let endpoint = Endpoint::new(&server, Target::Batched, database, Rc::new(Dataset::new(&shop)));
    // Another process waits for the lock of SQLite in vain, where a server is busy.
    let failures = Cell::new(0);
    let recount = async || {
        loop {
            let mut command = setup.program.command(&url);
            let ended = command.args(["rebuild", "statistics"]).kill_on_drop(true).output().await?;
            failures.set(failures.get() + u32::from(!ended.status.success()));
        }
    };
    let begun = Instant::now();
    let mut command = setup.program.command(&url);
    let rebuilt = command.args(["rebuild", "statistics"]).output().await?;
    ensure!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    add_count("`jangteo rebuild statistics`", begun.elapsed());
    for (by, days) in [("hour", 1), ("hour", 40), ("day", 90), ("day", 360)] {
        let latencies = query(server.address(), by, days, now).await?.summary();
        let [p50, p99] = [latencies.p50_ms, latencies.p99_ms].map(report::figure);
        add(format!("`GET /v1/admin/statistics`, {days} days by {by}"), format!("p50 {p50} ms, p99 {p99} ms"));
    }
    progress.step("purchases in turns, with and without a count");
    let [alone, beside] = in_turns(bench, &endpoint, recount).await?;
    add("purchases a second".to_owned(), report::figure(alone.per_second()));
    add("the same while all is counted again".to_owned(), report::figure(beside.per_second()));
    for (name, side) in [("failed purchases", &alone), ("the same while all is counted again", &beside)] {
        add(name.to_owned(), side.failures());
    }
    add("counts that failed".to_owned(), failures.get().to_string());
    add("ratio".to_owned(), report::figure(beside.ratio_to(&alone)));
    server.stop().await?;
    drop(adapter);
    database.discard(NAME).await?;
    report::align(&mut table, 1);
    Ok(table)
}

/// Payments of a year, without their orders.
async fn pay(adapter: jangteo_sql::Database, payments: usize, now: Timestamp) -> Result<()> {
    let ids = Clock::new(now);
    let user_id: UserId = "user-000000".parse()?;
    let amount = Money::from_units(AMOUNT).context("in range")?;
    // The last one is old enough to be final.
    let end = now.saturating_sub(time::Duration::hours(1));
    let at = |index: usize| end.saturating_sub(History::LENGTH * ((payments - index) as f64 / payments as f64));
    let payment = |index| {
        let paid_at = at(index);
        Payment {
            id: PaymentId::from(ids.next_id_at(paid_at)),
            order_id: OrderId::from(ids.next_id_at(paid_at)),
            user_id: user_id.clone(),
            total: amount,
            discount: Money::default(),
            amount,
            coupon_id: None,
            balance_after: amount,
            paid_at,
            sales_day: paid_at.to_offset_date_time().date(),
        }
    };
    for begin in (0..payments).step_by(BATCH) {
        let payments = (begin..payments.min(begin + BATCH)).map(payment).collect();
        let appended = Appended { payments, ..Appended::default() };
        let (mut unit, _) = adapter.unit_of_work_factory().begin(BatchId::next(&ids), &FirstKeys::default()).await?;
        unit.lock(&LockSet::default()).await?;
        unit.commit(Changes { appended, ..Changes::default() }).await?;
    }
    Ok(())
}

/// Every payment is counted.
async fn check(address: &str, now: Timestamp, payments: usize) -> Result<()> {
    let body = get(&mut Client::new(address), &path("day", 370, now)?).await?;
    let body: serde_json::Value = serde_json::from_slice(&body)?;
    let counted: u64 =
        body["data"].as_array().context("periods")?.iter().filter_map(|day| day["orders"].as_u64()).sum();
    ensure!(counted == payments as u64, "{counted} of {payments} payments are counted");
    Ok(())
}

async fn query(address: &str, by: &str, days: i64, now: Timestamp) -> Result<Latencies> {
    let (mut client, mut latencies) = (Client::new(address), Latencies::default());
    let path = path(by, days, now)?;
    for _ in 0..CALLS {
        let begun = Instant::now();
        get(&mut client, &path).await?;
        latencies.record(begun.elapsed());
    }
    Ok(latencies)
}

fn path(by: &str, days: i64, now: Timestamp) -> Result<String> {
    let from = rfc3339(now.saturating_sub(time::Duration::days(days)))?;
    Ok(format!("/v1/admin/statistics?by={by}&from={from}&to={}", rfc3339(now)?))
}

async fn get(client: &mut Client, path: &str) -> Result<Vec<u8>> {
    let token = staff_token(STAFF);
    let response = client.send(&Request::get(path, Some(&token))).await?;
    ensure!(response.status == 200, "{path}: {} {}", response.status, String::from_utf8_lossy(response.body));
    Ok(response.body.to_vec())
}
