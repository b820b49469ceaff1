//! How fast Jangteo is, measured: a private database, the release server, callers over loopback HTTP, the yardsticks
//! in the same run, and the books checked at the end.
//!
//! | module | what it is for |
//! |---|---|
//! | [`options`] | what the command line says |
//! | [`run`], [`growth`], [`one`], [`limit`], [`constant`], [`sysbench`] | what is measured, and the yardsticks |
//! | [`load`], [`client`], [`token`] | the callers |
//! | [`shop`], [`past`], [`store`] | the shop that is measured: decided by the domain's rules, written by the adapter |
//! | [`recorder`], [`answers`] | transactions to replay without deciding them |
//! | [`database`], [`server`], [`process`] | what runs beside the benchmark, and ends with it |
//! | [`mod@measure`], [`results`], [`mod@report`], [`plot`], [`machine`], [`progress`] | the figures |
//!
//! It measures through the same door as everybody: it must never reach into the server. With the server it shares the
//! domain and the adapter of the database, so that a shop is filled by the rules and the SQL that it trades by.

mod answers;
mod client;
mod constant;
mod database;
mod growth;
mod limit;
mod load;
mod machine;
mod measure;
mod one;
mod options;
mod past;
mod plot;
mod process;
mod progress;
mod recorder;
mod report;
mod results;
mod run;
mod server;
mod shop;
mod store;
mod sysbench;
mod token;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::growth::GrowthProfile;
use crate::one::Subject;
use crate::options::{Elsewhere, Options};
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
    /// Everything at 1, 16, 64 and 256 callers; about a quarter of an hour.
    Run {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        elsewhere: Elsewhere,
    },
    /// A small run that shows in under a minute that everything works; its figures count for nothing.
    Quick {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        elsewhere: Elsewhere,
    },
    /// The shop with more and more orders behind it.
    Growth {
        #[command(flatten)]
        options: Options,
        /// Numbers of orders.
        #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000, 5_000_000])]
        orders: Vec<usize>,
    },
    /// One workload alone, to tune and to profile by.
    One {
        /// The workload.
        #[arg(value_enum)]
        subject: Subject,
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        elsewhere: Elsewhere,
        /// Numbers of callers.
        #[arg(long, value_delimiter = ',', default_values_t = [64])]
        callers: Vec<usize>,
        /// How many seconds count.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// A setting of the server; may be repeated.
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

/// Runs on one thread: the callers must not take more than one processor from those that are measured. False when the
/// books are wrong or calls failed.
#[tokio::main(flavor = "current_thread")]
async fn bench(command: Command) -> Result<bool> {
    let mut terminated = signal(SignalKind::terminate())?;
    // Dropping the work stops the server and the database.
    tokio::select! {
        outcome = work(command) => outcome,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
}

async fn work(command: Command) -> Result<bool> {
    match command {
        Command::Run { options, elsewhere } => measure(&options, &elsewhere, Profile::full(options.names)).await,
        Command::Quick { options, elsewhere } => measure(&options, &elsewhere, Profile::quick(options.names)).await,
        Command::Growth { options, orders } => measure_growth(&options, &orders).await,
        Command::One { subject, options, elsewhere, callers, seconds, settings } => {
            let window = Duration::from_secs(seconds);
            let setup = options.setup(Some(&elsewhere))?;
            let measured = one::run(&setup, subject, &callers, window, &settings).await?;
            println!("{}", report::measurements(&measured));
            Ok(measured.iter().all(|measurement| measurement.errors_count() == 0))
        }
        Command::ConstantServer => bail!("it runs on its own"),
    }
}

async fn measure(options: &Options, elsewhere: &Elsewhere, profile: Profile) -> Result<bool> {
    let run = run::run(&options.setup(Some(elsewhere))?, &profile).await?;
    let is_right = is_run_right(&run);
    plot::draw_run(&run, &options.output.join("bench.svg"))?;
    report(options, |results| results.run = Some(run))?;
    Ok(is_right)
}

async fn measure_growth(options: &Options, orders: &[usize]) -> Result<bool> {
    let profile = GrowthProfile::new(orders, options.names);
    let growth = growth::run(&options.setup(None)?, &profile).await?;
    let is_right = is_growth_right(&growth);
    plot::draw_growth(&growth, &options.output.join("growth.svg"))?;
    report(options, |results| results.growth = Some(growth))?;
    Ok(is_right)
}

/// Adds to the file and prints what it says now.
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

fn is_run_right(run: &Run) -> bool {
    let books_are_right = ![&run.books, &run.limit.books].into_iter().any(is_wrong);
    books_are_right && run.errors() == 0 && run.coupon_rushes.iter().all(results::CouponRush::is_exact)
}

fn is_growth_right(growth: &Growth) -> bool {
    !growth.points.iter().any(|point| is_wrong(&point.books) || point.purchases.errors_count() > 0)
}

fn is_wrong(books: &Books) -> bool {
    matches!(books, Books::Wrong { .. })
}
