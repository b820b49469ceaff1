//! How fast Jangteo is, measured: a private database, the release server, callers over loopback HTTP, the yardsticks
//! in the same run, and the books checked at the end.
//!
//! | module | what it is for |
//! |---|---|
//! | [`run`], [`growth`], [`one`], [`limit`], [`constant`] | what is measured, and the yardsticks |
//! | [`load`], [`client`], [`token`] | the callers |
//! | [`shop`], [`script`], [`sql`] | the shop that is measured, written down by the domain's own rules |
//! | [`database`], [`server`], [`process`] | what runs beside the benchmark, and ends with it |
//! | [`mod@measure`], [`results`], [`mod@report`], [`plot`], [`machine`], [`progress`] | the figures |
//!
//! It measures through the same door as everybody: it must never reach into the server or its libraries.

mod client;
mod constant;
mod database;
mod growth;
mod limit;
mod load;
mod machine;
mod measure;
mod one;
mod plot;
mod process;
mod progress;
mod report;
mod results;
mod run;
mod script;
mod server;
mod shop;
mod sql;
mod token;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::database::Kind;
use crate::growth::GrowthProfile;
use crate::one::Subject;
use crate::results::{Growth, Results, Run};
use crate::run::Profile;
use crate::server::{Books, Program};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything at 1, 16, 64 and 256 callers; about a quarter of an hour.
    Run(Options),
    /// A small run that shows in under a minute that everything works; its figures count for nothing.
    Quick(Options),
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

#[derive(Args)]
struct Options {
    /// Which database to start.
    #[arg(long, env = "DB", value_enum, default_value_t = Kind::Mariadb, ignore_case = true)]
    database: Kind,
    /// The server under test; the one beside this program unless given.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Where results, logs and the database's files go; should be on the disk to be measured.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    output: PathBuf,
    /// Where randomness starts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
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
        Command::Run(options) => measure(&options, Profile::full()).await,
        Command::Quick(options) => measure(&options, Profile::quick()).await,
        Command::Growth { options, orders } => measure_growth(&options, &orders).await,
        Command::One { subject, options, callers, seconds, settings } => {
            let window = Duration::from_secs(seconds);
            let program = options.program()?;
            let measured =
                one::run(options.database, &program, subject, &callers, window, &settings, options.seed).await?;
            println!("{}", report::measurements(&measured));
            Ok(measured.iter().all(|measurement| measurement.errors_count() == 0))
        }
        Command::ConstantServer => bail!("it runs on its own"),
    }
}

async fn measure(options: &Options, profile: Profile) -> Result<bool> {
    let run = run::run(options.database, &options.program()?, &profile, options.seed).await?;
    let is_right = is_run_right(&run);
    plot::draw_run(&run, &options.output.join("bench.svg"))?;
    report(options, |results| results.run = Some(run))?;
    Ok(is_right)
}

async fn measure_growth(options: &Options, orders: &[usize]) -> Result<bool> {
    let profile = GrowthProfile::new(orders);
    let growth = growth::run(options.database, &options.program()?, &profile, options.seed).await?;
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

impl Options {
    fn program(&self) -> Result<Program> {
        fs::create_dir_all(&self.output).with_context(|| self.output.display().to_string())?;
        let beside = || Ok(std::env::current_exe()?.with_file_name("jangteo"));
        let binary = self.server.clone().map_or_else(beside, Ok::<_, anyhow::Error>)?;
        let binary = fs::canonicalize(&binary).with_context(|| format!("no server at {}", binary.display()))?;
        Ok(Program { binary, logs: fs::canonicalize(&self.output)? })
    }
}
