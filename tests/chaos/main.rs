//! The chaos suite: a real server, a real database, and everything between and around them that can break, while callers
//! write with keys. Afterwards every write that nobody knows of is repeated with its key, and what callers were told is
//! held against what the shop holds: an acknowledged write is there, one without an answer happened wholly or not at
//! all, and none happened twice.
//!
//! It decides at random from a seed, which it prints: the same seed makes the same decisions, though not the same
//! interleaving, which is the machine's. It must never depend on luck to pass, only to find something.

mod arena;
mod check;
mod faults;
mod journal;
mod report;
mod workload;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use futures_util::FutureExt;
use jangteo_tests::{Backend, Database, MariaDb, binary, raise_open_files_max, run_on};
use tokio::signal::unix::{SignalKind, signal};

use crate::arena::Arena;
use crate::faults::{FAULTS, Fault};
use crate::report::{Outcome, Report};

/// No fault takes as long; one that does hangs.
const FAULT_MAX: Duration = Duration::from_secs(900);

/// Breaks whatever a shop stands on, and proves that nothing is lost and nothing happens twice.
#[derive(Parser)]
#[command(name = "jangteo-chaos", version)]
struct Arguments {
    /// How often each fault strikes.
    #[arg(value_enum, default_value = "full")]
    extent: Extent,
    /// Makes the same decisions as another run.
    #[arg(long, env = "CHAOS_SEED")]
    seed: Option<u64>,
    /// Only faults whose name holds this.
    #[arg(long, conflicts_with = "document")]
    only: Option<String>,
    /// Writes the table, as Markdown, between the two marks of this document.
    #[arg(long)]
    document: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Extent {
    /// A few of each: that all of it works.
    Quick,
    /// As many as the promises are made for.
    Full,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    raise_open_files_max();
    binary(); // Built here where its sources are younger, which takes longer than any fault may.
    let mut terminated = signal(SignalKind::terminate())?;
    // What is left in the middle ends its servers as it goes.
    tokio::select! {
        tried = try_all(&arguments) => tried,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
}

async fn try_all(arguments: &Arguments) -> Result<ExitCode> {
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("CHAOS_SEED={seed}");
    let mariadb = Arc::new(MariaDb::start().await?);
    let mut report = Report::new(seed);
    for fault in FAULTS {
        let count = match arguments.extent {
            Extent::Quick => fault.quick,
            Extent::Full => fault.full,
        };
        let is_wanted = arguments.only.as_ref().is_none_or(|only| fault.name.contains(only.as_str()));
        if count > 0 && is_wanted {
            let begun = Instant::now();
            let progress = report.begin(fault, count);
            // Whatever fails says so itself; the others are still worth trying.
            let tried = AssertUnwindSafe(try_fault(fault, count, &mariadb, seed, progress)).catch_unwind().await;
            report.end(fault, count, begun.elapsed(), tried.ok().and_then(Result::ok));
        }
    }
    println!("{}", report.table());
    let complaints = report.complaints();
    for complaint in &complaints {
        println!("{complaint}");
    }
    if let Some(document) = &arguments.document {
        report.write_into(document).with_context(|| document.display().to_string())?;
    }
    println!("CHAOS_SEED={seed}");
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tries one fault on a fresh database.
async fn try_fault(
    fault: &Fault,
    count: u64,
    mariadb: &Arc<MariaDb>,
    seed: u64,
    progress: indicatif::ProgressBar,
) -> Result<Outcome> {
    let database = match fault.backend {
        Backend::Mysql => Database::create_on(mariadb.url()).await?,
        Backend::Sqlite => Database::create(Backend::Sqlite).await?,
    };
    run_on(database, FAULT_MAX, async |shop| {
        let arena = Arena::new(shop.clone(), mariadb.clone(), seed, progress).await?;
        let notes = (fault.strike)(&arena, count).await;
        arena.record().await;
        let check = arena.check().await;
        Ok(Outcome { figures: arena.journal.statistics(), check, panics: arena.panics(), notes })
        // The books are verified by whoever owns the shop, which fails where there is a finding.
    })
    .await
}
