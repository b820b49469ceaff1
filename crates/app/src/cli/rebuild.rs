//! `jangteo rebuild`: recomputes denormalized tables.

use std::error::Error as _;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use jangteo_domain::IdSource as _;
use jangteo_domain::command::Operation;
use jangteo_domain::statistics::{Counter, Step};
use jangteo_domain::verification::{Progress as _, rebuild_daily_sales};

use crate::backoff::retried;
use crate::cli::progress::Bar;
use crate::error_chain::chain;
use crate::settings::Settings;
use crate::startup;
use crate::system::UuidSource;

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
    print_changed(u64::try_from(changed).unwrap_or(u64::MAX));
    Ok(ExitCode::SUCCESS)
}

/// Counts the statistics again from the first payment, and prints the number of changed rows. The servers go on with the
/// count once the lease of this process has ended.
pub async fn statistics(settings: &Settings) -> anyhow::Result<ExitCode> {
    let store = startup::statistics_count(settings).await?;
    let mut counter = Counter::new(UuidSource.next_id());
    let failed = |error: jangteo_domain::StoreError| anyhow!("the statistics were not rebuilt: {}", chain(&error));
    retried(async || counter.start_over(&*store).await).await.map_err(failed)?;
    let mut rows = 0;
    loop {
        match retried(async || counter.step(&*store).await).await.map_err(failed)? {
            Step::Advanced { changed } => rows += changed,
            Step::Current { changed } => {
                print_changed(rows + changed);
                return Ok(ExitCode::SUCCESS);
            }
            Step::Leased => bail!("the statistics were not rebuilt: another process counts them, try again"),
        }
    }
}

fn print_changed(rows: impl Into<u64>) {
    let rows = rows.into();
    println!("{rows} {} changed", if rows == 1 { "row" } else { "rows" });
}
