//! `office`: the pages of the back office in shops of different sizes, the count of the statistics, and the cost of open
//! consoles and of imports for customers.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::Table;
use jangteo_testkit::token;

use crate::database::Database;
use crate::options::Setup;
use crate::progress::Progress;

mod consoles;
mod import;
mod pages;
mod past;
mod statistics;
mod turns;

/// The user of the back office.
const STAFF: &str = "staff-000";
/// Callers that buy while consoles are open and products are imported.
const CALLERS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Part {
    /// The latency of every page, in shops of each size.
    Pages,
    /// The count of payments by quarter of an hour.
    Statistics,
    /// Purchases beside 200 open consoles.
    Consoles,
    /// Purchases beside imports of products.
    Import,
}

/// The sizes of the shops.
pub struct Sizes {
    /// Products of each shop, ascending.
    pub products: Vec<usize>,
    /// Orders for each product.
    pub orders_of_product: usize,
    /// Payments that the statistics count.
    pub payments: usize,
}

/// Measures the parts, and prints a table for each.
pub async fn run(setup: &Setup, parts: &[Part], sizes: &Sizes) -> Result<()> {
    let progress = Progress::new(Duration::from_mins(15));
    let database = setup.database().await?;
    let bench = Bench { setup, database: &database, progress: &progress };
    let add = |title: &str, table: Table| println!("## {title}\n\n{table}\n");
    let is_measured = |part| parts.contains(&part);
    if is_measured(Part::Statistics) {
        add("Statistics", statistics::measure(&bench, sizes.payments).await?);
    }
    // The other parts share the largest shop, as it takes minutes to fill.
    let with_largest = [is_measured(Part::Consoles), is_measured(Part::Import)];
    if is_measured(Part::Pages) || with_largest.contains(&true) {
        let mut latencies = Vec::new();
        for (index, &products) in sizes.products.iter().enumerate() {
            let is_largest = index + 1 == sizes.products.len();
            if !is_measured(Part::Pages) && !is_largest {
                continue;
            }
            let shop = past::OfficeShop::fill(&bench, products, products * sizes.orders_of_product).await?;
            let server = shop.serve(&bench).await?;
            if is_measured(Part::Pages) {
                latencies.push((products, pages::measure(&bench, &shop, &server).await?));
            }
            // One for both, as its keys are unique.
            let endpoint = shop.endpoint(&bench, &server);
            if is_largest && with_largest[0] {
                add("Consoles", consoles::measure(&bench, &shop, &endpoint).await?);
            }
            if is_largest && with_largest[1] {
                add("Imports", import::measure(&bench, &shop, &endpoint).await?);
            }
            server.stop().await?;
            drop(shop);
            database.discard(past::NAME).await?;
        }
        if is_measured(Part::Pages) {
            add("Pages", pages::table(&latencies, sizes.orders_of_product));
        }
    }
    database.stop().await?;
    progress.finish();
    Ok(())
}

struct Bench<'a> {
    setup: &'a Setup,
    database: &'a Database,
    progress: &'a Progress,
}

/// A token of the back office.
fn staff_token(user: &str) -> String {
    token(user, Some("admin"))
}
