//! Purchases beside an import of products.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use comfy_table::Table;
use serde_json::json;

use crate::client::{Client, Request};
use crate::load::Endpoint;
use crate::measure::per_second;
use crate::office::past::OfficeShop;
use crate::office::turns::in_turns;
use crate::office::{Bench, STAFF, staff_token};
use crate::report;

/// Rows of a file, and of a call of the API.
const ROWS: usize = 20_000;
const ROWS_OF_CALL: usize = 100;
const WANTED: f64 = 1.5;

/// Products of an import.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Products {
    /// Each import has SKUs of its own.
    New,
    /// Each import changes the prices.
    Changed,
}

impl Products {
    /// SKU and price of a row of the import with that number.
    fn row(self, import: usize, row: usize) -> (String, usize) {
        match self {
            Self::New => (format!("NEW-{import}-{row}"), 1_000),
            Self::Changed => (format!("CHANGED-{row}"), 1_000 + import),
        }
    }
}

pub async fn measure(bench: &Bench<'_>, shop: &OfficeShop, endpoint: &Endpoint) -> Result<Table> {
    let folder = tempfile::tempdir()?;
    let import = Import { bench, shop, address: &endpoint.address, folder: folder.path(), imports: Cell::new(0) };
    let mut table = report::table(
        "beside | rows a second alone | purchases a second without | with | p99 ms of a request without | with | ratio | \
         wanted | failed without | with",
    );
    for products in [Products::New, Products::Changed] {
        bench.progress.step(format!("purchases in turns, beside an import: {products:?}"));
        if products == Products::Changed {
            import.file(products).await?;
        }
        let begun = Instant::now();
        import.file(products).await?;
        let alone = per_second(ROWS as u64, begun.elapsed().as_secs_f64());
        let work = async || import.again(async || import.file(products).await).await;
        add(&mut table, format!("`jangteo import products`, {products:?}"), alone, bench, endpoint, work).await?;

        bench.progress.step(format!("purchases in turns, beside bulk calls: {products:?}"));
        let begun = Instant::now();
        import.calls(products, ROWS / 10).await?;
        let alone = per_second(ROWS as u64 / 10, begun.elapsed().as_secs_f64());
        let work = async || import.again(async || import.calls(products, ROWS).await).await;
        add(&mut table, format!("bulk calls, {products:?}"), alone, bench, endpoint, work).await?;
    }
    report::align(&mut table, 1);
    Ok(table)
}

async fn add(
    table: &mut Table,
    name: String,
    alone: f64,
    bench: &Bench<'_>,
    endpoint: &Endpoint,
    work: impl AsyncFnMut() -> Result<Infallible>,
) -> Result<()> {
    let [without, with] = in_turns(bench, endpoint, work).await?;
    let [p99_without, p99_with] = [&without, &with].map(|side| side.latency().p99_ms);
    table.add_row([
        name,
        report::figure(alone),
        report::figure(without.per_second()),
        report::figure(with.per_second()),
        report::figure(p99_without),
        report::figure(p99_with),
        report::figure(p99_with / p99_without),
        format!("≤ {WANTED}"),
        without.failures(),
        with.failures(),
    ]);
    Ok(())
}

struct Import<'a> {
    bench: &'a Bench<'a>,
    shop: &'a OfficeShop,
    address: &'a str,
    folder: &'a Path,
    imports: Cell<usize>,
}

impl Import<'_> {
    async fn again(&self, import: impl AsyncFn() -> Result<()>) -> Result<Infallible> {
        loop {
            import().await?;
        }
    }

    fn next(&self) -> usize {
        self.imports.replace(self.imports.get() + 1)
    }

    /// Imports a file by the program.
    async fn file(&self, products: Products) -> Result<()> {
        let (import, path) = (self.next(), self.folder.join("products.csv"));
        let mut text = "sku,name,description,category,price,stock\n".to_owned();
        for row in 0..ROWS {
            let (sku, price) = products.row(import, row);
            writeln!(text, "{sku},Imported product {row},Number {row} of an import,imported,{price},1000")?;
        }
        fs::write(&path, text)?;
        let mut command = self.bench.setup.program.command(&self.shop.url);
        let ended = command.args(["import", "products"]).arg(path).kill_on_drop(true).output().await?;
        let output = String::from_utf8_lossy(&ended.stdout);
        ensure!(ended.status.success(), "{output}{}", String::from_utf8_lossy(&ended.stderr));
        let expected = format!("{ROWS} created");
        ensure!(products == Products::Changed || output.contains(&expected), "{output}");
        Ok(())
    }

    /// Imports rows by calls of the API, one after the other.
    async fn calls(&self, products: Products, rows: usize) -> Result<()> {
        let (import, token) = (self.next(), staff_token(STAFF));
        let mut client = Client::new(self.address);
        for begin in (0..rows).step_by(ROWS_OF_CALL) {
            let row = |row| {
                let (sku, price) = products.row(import, row);
                json!({
                    "sku": sku,
                    "name": format!("Imported product {row}"),
                    "description": format!("Number {row} of an import"),
                    "category": "imported",
                    "price": price.to_string(),
                    "stock": 1_000,
                })
            };
            let body = json!({ "products": (begin..begin + ROWS_OF_CALL).map(row).collect::<Vec<_>>() }).to_string();
            let path = "/v1/admin/products/bulk";
            let request = Request { method: "POST", path, token: Some(&token), body: &body, ..Request::default() };
            let response = client.send(&request).await?;
            let text = String::from_utf8_lossy(response.body);
            ensure!(response.status == 200, "{} {text}", response.status);
            let body: serde_json::Value = serde_json::from_str(&text).context("JSON")?;
            ensure!(body["rejected"] == 0, "rows are rejected: {text}");
        }
        Ok(())
    }
}
