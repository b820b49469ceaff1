//! `jangteo rebuild`: recomputes denormalized tables.

use std::error::Error as _;
use std::process::ExitCode;

use anyhow::anyhow;
use jangteo_domain::command::Operation;
use jangteo_domain::verification::{Progress as _, rebuild_daily_sales};

use crate::cli::progress::Bar;
use crate::error_chain::chain;
use crate::settings::Settings;
use crate::startup;

/// Writes the search index of every product and prints their number.
pub async fn search_index(settings: &Settings) -> anyhow::Result<ExitCode> {
    startup::record(settings, Operation::RebuildSearchIndex).await?;
    let (mut bar, mut products) = (Bar::new(), 0);
    let rebuilt = startup::rebuild_search_index(settings, |count| {
        products += count;
        bar.rows(count);
    });
    let rebuilt = rebuilt.await;
    bar.clear();
    rebuilt?;
    println!("{products} {} indexed", if products == 1 { "product" } else { "products" });
    Ok(ExitCode::SUCCESS)
}

/// Recomputes the daily sales from the orders and prints the number of changed rows.
pub async fn daily_sales(settings: &Settings) -> anyhow::Result<ExitCode> {
    startup::record(settings, Operation::RebuildDailySales).await?;
    let books = startup::books(settings).await?;
    let mut bar = Bar::new();
    let rebuilt = rebuild_daily_sales(&*books, &mut bar).await;
    bar.clear();
    let changed = rebuilt.map_err(|error| {
        let cause = error.source().map_or_else(|| error.to_string(), chain);
        anyhow!("the daily sales were not rebuilt: {cause}")
    })?;
    println!("{changed} {} changed", if changed == 1 { "row" } else { "rows" });
    Ok(ExitCode::SUCCESS)
}
