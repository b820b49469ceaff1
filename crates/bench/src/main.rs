//! Load generator of Jangteo: starts a private database and the release server, calls it over loopback HTTP, measures
//! the yardsticks in the same run, and verifies the books at the end.
//!
//! | module | purpose |
//! |---|---|
//! | [`options`] | the command line |
//! | [`run`], [`growth`], [`footprint`], [`search`], [`office`], [`one`], [`writers`], [`limit`], [`constant`], [`sysbench`] | the measurements and the yardsticks |
//! | [`load`], [`client`] | the callers |
//! | [`shop`], [`past`], [`store`] | the data: decided by the domain's rules, written by the adapter |
//! | [`recorder`], [`answers`] | transactions recorded for replay |
//! | [`database`], [`server`] | child processes |
//! | [`mod@measure`], [`results`], [`mod@report`], [`plot`], [`machine`], [`progress`] | the report |
//!
//! Measurements use the HTTP API alone, never the server's internals. The benchmark shares the domain and the database
//! adapter with the server, so that the data comes from the same rules and the same SQL.

mod answers;
mod client;
mod constant;
mod database;
mod footprint;
mod growth;
mod limit;
mod load;
mod machine;
mod measure;
mod office;
mod one;
mod options;
mod past;
mod plot;
mod progress;
mod recorder;
mod report;
mod results;
mod run;
mod search;
mod server;
mod shop;
mod store;
mod sysbench;
mod writers;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::growth::GrowthProfile;
use crate::office::{Part, Sizes};
use crate::one::Subject;
use crate::options::{ExternalServer, Options};
use crate::results::{Growth, Results, Run};
use crate::run::Profile;
use crate::server::Books;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every workload at 1, 16, 64 and 256 callers; about 15 minutes.
    Run {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        external: ExternalServer,
    },
    /// A smoke test of the benchmark in under a minute; its numbers are not meaningful.
    Quick {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        external: ExternalServer,
    },
    /// The shop with a growing number of orders.
    Growth {
        #[command(flatten)]
        options: Options,
        /// Numbers of orders, comma-separated.
        #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000, 5_000_000])]
        orders: Vec<usize>,
    },
    /// The bytes on the disk of a purchase and of an order that expires, in two minutes; needs MariaDB.
    Footprint {
        #[command(flatten)]
        options: Options,
    },
    /// Two servers on one Galera node against two servers on two nodes, in two minutes.
    Writers {
        #[command(flatten)]
        options: Options,
    },
    /// Searches for a text in catalogs of different sizes; about 10 minutes.
    Search {
        #[command(flatten)]
        options: Options,
        /// Numbers of products, comma-separated.
        #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000])]
        products: Vec<usize>,
    },
    /// The pages of the back office, the statistics, open consoles and imports; about 30 minutes.
    Office {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        external: ExternalServer,
        /// The parts to measure, comma-separated.
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Pages, Part::Statistics, Part::Consoles, Part::Import])]
        parts: Vec<Part>,
        /// Numbers of products, comma-separated, ascending; each shop has ten times as many orders.
        #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000])]
        products: Vec<usize>,
        /// Payments that the statistics count.
        #[arg(long, default_value_t = 5_000_000)]
        payments: usize,
    },
    /// One workload alone, for tuning and profiling.
    One {
        /// The workload.
        #[arg(value_enum)]
        subject: Subject,
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        external: ExternalServer,
        /// Numbers of callers, comma-separated.
        #[arg(long, value_delimiter = ',', default_values_t = [64])]
        callers: Vec<usize>,
        /// Duration of the measurement in seconds.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// A setting of the server; repeatable.
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
        settings: Vec<(String, String)>,
    },
    /// The yardstick server.
    #[command(hide = true)]
    ConstantServer,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::ConstantServer => constant::serve().map(|()| true),
        command => bench(command),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("jangteo-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse_setting(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once('=').context("a setting is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs on one thread, so that the callers take at most one processor from the server and the database. Returns false
/// if the books are wrong or calls failed.
#[tokio::main(flavor = "current_thread")]
async fn bench(command: Command) -> Result<bool> {
    let mut terminated = signal(SignalKind::terminate())?;
    // Dropping the future stops the server and the database.
    tokio::select! {
        outcome = work(command) => outcome,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
}

async fn work(command: Command) -> Result<bool> {
    match command {
        Command::Run { options, external } => measure(&options, &external, Profile::full(options.names)).await,
        Command::Quick { options, external } => measure(&options, &external, Profile::quick(options.names)).await,
        Command::Growth { options, orders } => measure_growth(&options, &orders).await,
        Command::Footprint { options } => {
            println!("{}", footprint::run(&options.setup(None)?).await?);
            Ok(true)
        }
        Command::Writers { options } => {
            println!("{}", writers::run(&options.setup(None)?).await?);
            Ok(true)
        }
        Command::Search { options, products } => {
            println!("{}", search::run(&options.setup(None)?, &products).await?);
            Ok(true)
        }
        Command::Office { options, external, parts, products, payments } => {
            let sizes = Sizes { products, orders_of_product: 10, payments };
            office::run(&options.setup(Some(&external))?, &parts, &sizes).await?;
            Ok(true)
        }
        Command::One { subject, options, external, callers, seconds, settings } => {
            let window = Duration::from_secs(seconds);
            let setup = options.setup(Some(&external))?;
            let measured = one::run(&setup, subject, &callers, window, &settings).await?;
            println!("{}", report::measurements(&measured));
            Ok(measured.iter().all(|measurement| measurement.errors_count() == 0))
        }
        Command::ConstantServer => bail!("the constant server runs in a separate process"),
    }
}

async fn measure(options: &Options, external: &ExternalServer, profile: Profile) -> Result<bool> {
    let run = run::run(&options.setup(Some(external))?, &profile).await?;
    let is_valid = is_run_valid(&run);
    plot::draw_run(&run, &options.output.join("bench.svg"))?;
    report(options, |results| results.run = Some(run))?;
    Ok(is_valid)
}

async fn measure_growth(options: &Options, orders: &[usize]) -> Result<bool> {
    let profile = GrowthProfile::new(orders, options.names);
    let growth = growth::run(&options.setup(None)?, &profile).await?;
    let is_valid = is_growth_valid(&growth);
    plot::draw_growth(&growth, &options.output.join("growth.svg"))?;
    report(options, |results| results.growth = Some(growth))?;
    Ok(is_valid)
}

/// Updates `results.json` and prints the report.
fn report(options: &Options, change: impl FnOnce(&mut Results)) -> Result<()> {
    let path = options.output.join("results.json");
    let mut results = Results::load(&path);
    change(&mut results);
    results.save(&path)?;
    let text = report::markdown(&results);
    fs::write(path.with_extension("md"), &text)?;
    println!("{text}");
    Ok(())
}

fn is_run_valid(run: &Run) -> bool {
    let books_are_right = ![&run.books, &run.limit.books].into_iter().any(is_wrong);
    books_are_right && run.errors() == 0 && run.coupon_rushes.iter().all(results::CouponRush::is_exact)
}

fn is_growth_valid(growth: &Growth) -> bool {
    !growth.points.iter().any(|point| is_wrong(&point.books) || point.purchases.errors_count() > 0)
}

fn is_wrong(books: &Books) -> bool {
    matches!(books, Books::Wrong { .. })
}
