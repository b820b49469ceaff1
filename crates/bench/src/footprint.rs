//! `footprint`: the bytes on the disk of a purchase, and of an order that expires, table by table.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use comfy_table::Table;

use crate::database::{Database, TableSize};
use crate::load::{self, Dataset, Endpoint, Plan, Workload};
use crate::measure::Target;
use crate::options::Setup;
use crate::progress::Progress;
use crate::report;
use crate::server::{Program, Server};
use crate::shop::{self, Shop, Size};
use crate::store;

const CALLERS: usize = 64;
const WINDOW: Duration = Duration::from_secs(20);
const EXPIRING: usize = 50_000;
/// Overdue orders of a user, below the server's limit of open orders.
const EXPIRING_OF_USER: usize = 10;
const EXPIRY_TIMEOUT: Duration = Duration::from_secs(300);

/// Measures both kinds of orders, each in a new shop. The tables include their indexes.
pub async fn run(setup: &Setup) -> Result<Table> {
    let Setup { program, seed, names, .. } = setup;
    let progress = Progress::new(WINDOW * 3);
    let database = setup.database().await?;
    let size = Size { users: 10_000, products: 1_000, names: *names };
    let mut table = report::table("of | table | rows | bytes a row | bytes of each");

    let plan = Plan { concurrency: CALLERS, warm_up: Duration::ZERO, window: WINDOW, seed: *seed };
    let purchased = Stage { database: &database, program, size, name: "purchased" };
    let purchase = async |shop: &Shop, server: &Server, _: &jangteo_sql::Database| {
        progress.step("purchases");
        let endpoint = Endpoint::new(server, Target::Batched, &database, Rc::new(Dataset::new(shop)));
        Ok(load::run(&endpoint, &Workload::SpreadPurchases, plan, &progress).await?.tally.done)
    };
    purchased.measure("a purchase", purchase, &mut table).await?;

    let expired = Stage { name: "expired", ..purchased };
    let expire = async |shop: &Shop, _: &Server, adapter: &jangteo_sql::Database| {
        progress.step("orders expire");
        shop.place_overdue(EXPIRING, EXPIRING_OF_USER, shop::now()?).await?;
        let started_at = Instant::now();
        while !adapter.queries().orders.due(None, 1).await?.is_empty() {
            ensure!(started_at.elapsed() < EXPIRY_TIMEOUT, "orders do not expire");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(EXPIRING as u64)
    };
    expired.measure("an order that expires", expire, &mut table).await?;

    report::align(&mut table, 2);
    database.stop().await?;
    progress.finish();
    Ok(table)
}

#[derive(Clone, Copy)]
struct Stage<'a> {
    database: &'a Database,
    program: &'a Program,
    size: Size,
    name: &'static str,
}

impl Stage<'_> {
    /// Adds a line for each table that grew, and one for their sum.
    async fn measure(
        self,
        of: &str,
        work: impl AsyncFnOnce(&Shop, &Server, &jangteo_sql::Database) -> Result<u64>,
        table: &mut Table,
    ) -> Result<()> {
        let url = self.database.create(self.name).await?;
        let adapter = store::open_new(&url).await?;
        let shop = Shop::open_in(&adapter, self.size, shop::now()?).await?;
        let before = self.sizes().await?;
        let server = Server::shop(self.program, &url, &[]).await?;
        let count = work(&shop, &server, &adapter).await?;
        server.stop().await?;
        drop(adapter);
        self.program.verify(&url).await?.check()?;
        let mut sum = 0.0;
        for (name, after) in self.sizes().await? {
            let TableSize { rows, bytes } = after.since(before.get(&name).copied().unwrap_or_default());
            let each = bytes as f64 / count as f64;
            sum += each;
            if rows > 0 {
                let of_row = report::figure(bytes as f64 / rows as f64);
                table.add_row([of.to_owned(), name, rows.to_string(), of_row, report::figure(each)]);
            }
        }
        table.add_row([of.to_owned(), "together".to_owned(), count.to_string(), String::new(), report::figure(sum)]);
        self.database.discard(self.name).await
    }

    async fn sizes(self) -> Result<BTreeMap<String, TableSize>> {
        self.database.table_sizes(self.name).await
    }
}
