//! Purchases beside 200 users of the back office, each with a page open that reads every second.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use comfy_table::Table;
use futures_util::future::try_join_all;

use crate::client::{Client, Request};
use crate::load::Endpoint;
use crate::measure::Latencies;
use crate::office::past::{OfficeShop, rfc3339};
use crate::office::turns::in_turns;
use crate::office::{Bench, staff_token};
use crate::report;

const CONSOLES: usize = 200;
/// From a response to the next read, as in the console.
const INTERVAL: Duration = Duration::from_secs(1);
const WANTED: f64 = 0.95;

/// A page and its reads.
type Page = (&'static str, Vec<String>);

/// The reads of all consoles.
#[derive(Default)]
struct Reads {
    latencies: Latencies,
    count: u64,
    unchanged: u64,
    /// Of the turns with consoles.
    seconds: f64,
}

pub async fn measure(bench: &Bench<'_>, shop: &OfficeShop, endpoint: &Endpoint) -> Result<Table> {
    let mut table = report::table(
        "page of 200 consoles | reads a second | not modified % | p50 ms | p99 ms | purchases a second without | with | \
         median ratio | wanted | processor µs of server and database for each without | with | ratio | \
         p99 ms of a purchase without | with | failed without | with",
    );
    let pages = pages(shop)?;
    let overview = pages[..1].to_vec();
    for (name, pages) in [("overview", overview), ("all pages, in equal parts", pages)] {
        bench.progress.step(format!("purchases in turns, beside 200 consoles: {name}"));
        let reads = RefCell::new(Reads::default());
        let address = &endpoint.address;
        let work = async || {
            let open = (0..CONSOLES).map(|index| console(address, index, &pages[index % pages.len()].1, &reads));
            // Also of a turn that is dropped.
            let _turn = Turn(&reads, Instant::now());
            match try_join_all(open).await?.first() {
                Some(never) => match *never {},
                None => std::future::pending().await,
            }
        };
        let [alone, beside] = in_turns(bench, endpoint, work).await?;
        let Reads { latencies, count, unchanged, seconds } = reads.into_inner();
        let read = latencies.summary();
        table.add_row([
            name.to_owned(),
            report::figure(count as f64 / seconds),
            report::figure(100.0 * unchanged as f64 / count as f64),
            report::figure(read.p50_ms),
            report::figure(read.p99_ms),
            report::figure(alone.per_second()),
            report::figure(beside.per_second()),
            report::figure(beside.ratio_to(&alone)),
            format!("≥ {WANTED}"),
            report::figure(alone.cpu_per_purchase()),
            report::figure(beside.cpu_per_purchase()),
            report::figure(beside.cpu_per_purchase() / alone.cpu_per_purchase()),
            report::figure(alone.latency().p99_ms),
            report::figure(beside.latency().p99_ms),
            alone.failures(),
            beside.failures(),
        ]);
    }
    report::align(&mut table, 1);
    Ok(table)
}

/// Adds its duration when it is dropped.
struct Turn<'a>(&'a RefCell<Reads>, Instant);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().seconds += self.1.elapsed().as_secs_f64();
    }
}

/// The reads of the console's pages.
fn pages(shop: &OfficeShop) -> Result<Vec<Page>> {
    let [from, to] = [shop.now, shop.now.saturating_add(shop.day)].map(rfc3339);
    let (user, order, campaign) = (shop.user(OfficeShop::BUSY), shop.order, shop.campaign);
    let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    Ok(vec![
        (
            "overview",
            vec![
                "/v1/admin/overview".to_owned(),
                "/v1/products/popular?days=3&limit=5".to_owned(),
                format!("/v1/admin/statistics?by=hour&from={}&to={}", from?, to?),
            ],
        ),
        ("products", paths(&["/v1/admin/products"])),
        ("orders", paths(&["/v1/admin/orders"])),
        ("order", vec![format!("/v1/orders/{order}"), format!("/v1/admin/orders/{order}/timeline")]),
        ("campaigns", paths(&["/v1/coupon-campaigns"])),
        (
            "campaign",
            vec![
                format!("/v1/coupon-campaigns/{campaign}"),
                format!("/v1/admin/coupon-campaigns/{campaign}/coupons?status=all"),
            ],
        ),
        (
            "user",
            vec![
                format!("/v1/users/{user}/points"),
                format!("/v1/users/{user}/points/entries"),
                format!("/v1/users/{user}/orders"),
                format!("/v1/users/{user}/coupons?status=all"),
            ],
        ),
        ("events", paths(&["/v1/admin/events?status=pending"])),
        ("books", paths(&["/v1/admin/verifications"])),
        ("audit log", paths(&["/v1/admin/audit-log"])),
    ])
}

/// Reads until it is dropped. A browser sends the tag of a response that it has stored.
async fn console(address: &str, index: usize, paths: &[String], reads: &RefCell<Reads>) -> Result<Infallible> {
    let token = staff_token(&format!("staff-{index:03}"));
    let mut client = Client::new(address);
    let mut tags: Vec<Option<String>> = vec![None; paths.len()];
    tokio::time::sleep(INTERVAL / u32::try_from(CONSOLES)? * u32::try_from(index)?).await;
    loop {
        for (path, tag) in paths.iter().zip(&mut tags) {
            let begun = Instant::now();
            let request = Request {
                known_tag: tag.as_deref(),
                cache_control: Some("max-age=1"),
                ..Request::get(path, Some(&token))
            };
            let response = client.send(&request).await?;
            let status = response.status;
            ensure!(
                status == 200 || status == 304 && tag.is_some(),
                "{path}: {status} {}",
                String::from_utf8_lossy(response.body)
            );
            let mut reads = reads.borrow_mut();
            reads.latencies.record(begun.elapsed());
            reads.count += 1;
            reads.unchanged += u64::from(status == 304);
            drop(reads);
            *tag = client.tag().map(str::to_owned);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
