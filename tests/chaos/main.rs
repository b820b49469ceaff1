//! The chaos suite: real servers, a real database and injected faults, while callers write with idempotency keys.
//! Afterwards every write with an unknown outcome is repeated with its key, and the shop is checked against the
//! responses: an acknowledged write is present, a write without a response took effect completely or not at all, and no
//! write took effect twice.
//!
//! All random decisions derive from a printed seed. The same seed gives the same decisions but not the same
//! interleaving. The suite must never depend on luck to pass, only to find a violation.

mod arena;
mod check;
mod faults;
mod journal;
mod report;
mod silence;
mod workload;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use futures_util::FutureExt;
use jangteo_testkit::{Backend, Cluster, Database, MariaDb, Network, binary, raise_open_files_max, run_on};
use tokio::signal::unix::{SignalKind, signal};

use crate::arena::{Arena, Host};
use crate::faults::{CLUSTER_FAULTS, FAULTS, Fault, Store};
use crate::report::{Outcome, Report, Run};

/// Timeout of a fault, well above any normal duration.
const FAULT_MAX: Duration = Duration::from_secs(900);

/// Nodes of a cluster: the smallest number of which a majority survives a failure.
const NODES: usize = 3;

/// Injects faults and checks that no acknowledged write is lost and no write takes effect twice.
#[derive(Parser)]
#[command(name = "jangteo-chaos", version)]
struct Arguments {
    /// Number of injections of each fault.
    #[arg(value_enum, default_value = "full")]
    extent: Extent,
    /// Seed of the random decisions.
    #[arg(long, env = "CHAOS_SEED")]
    seed: Option<u64>,
    /// Only faults whose `NAME (DATABASE)` contains this text.
    #[arg(long, conflicts_with = "document")]
    only: Option<String>,
    /// Number of injections, where a fault has more than one.
    #[arg(long)]
    times: Option<u64>,
    /// Appends each result to this file, and does not repeat the faults that succeeded there with the same build.
    #[arg(long)]
    results: Option<PathBuf>,
    /// Writes the Markdown table between the two markers of this document.
    #[arg(long)]
    document: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Extent {
    /// A few injections of each fault, as a smoke test.
    Quick,
    /// The numbers of the published guarantees.
    Full,
    /// Failures of nodes of database clusters: MariaDB Galera, and MySQL Group Replication if `MYSQLD_ROOT` names an
    /// unpacked MySQL.
    Cluster,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    raise_open_files_max();
    binary(); // Built here if it is outdated, because a build takes longer than a fault's timeout.
    let mut terminated = signal(SignalKind::terminate())?;
    // Dropping the future stops the servers.
    tokio::select! {
        tried = try_all(&arguments) => tried,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
}

async fn try_all(arguments: &Arguments) -> Result<ExitCode> {
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("CHAOS_SEED={seed}");
    let is_of_clusters = arguments.extent == Extent::Cluster;
    let (faults, mariadb) = match arguments.extent {
        Extent::Quick | Extent::Full => (FAULTS, Some(Arc::new(MariaDb::start().await?))),
        Extent::Cluster => (CLUSTER_FAULTS, None),
    };
    let build = binary().metadata()?.modified()?.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let mut report = Report::new(build, seed, is_of_clusters);
    if let Some(results) = &arguments.results {
        report.read_results(results).with_context(|| results.display().to_string())?;
    }
    for fault in faults {
        let count = if arguments.extent == Extent::Quick { fault.quick } else { fault.full };
        let count = arguments.times.filter(|_| count > 1).unwrap_or(count);
        let is_wanted = arguments.only.as_ref().is_none_or(|only| fault.title().contains(only.as_str()));
        if count > 0 && is_wanted && !report.reuse(fault, count) {
            let started = Instant::now();
            let progress = report.begin(fault, count);
            // A failure is printed where it occurs; the remaining faults still run.
            let tried =
                AssertUnwindSafe(try_fault(fault, count, mariadb.as_ref(), seed, progress)).catch_unwind().await;
            let run = match tried {
                Ok(Ok(Some(outcome))) => Run::Completed(Box::new(outcome)),
                Ok(Ok(None)) => Run::Skipped,
                Ok(Err(error)) => {
                    println!("{error:#}");
                    Run::Failed
                }
                Err(_) => Run::Failed,
            };
            report.end(fault, count, started.elapsed(), run);
            if let Some(results) = &arguments.results {
                report.append_result(results).with_context(|| results.display().to_string())?;
            }
        }
    }
    println!("{}", report.table());
    let violations = report.violations();
    for violation in &violations {
        println!("{violation}");
    }
    if let Some(document) = &arguments.document {
        report.write_into(document).with_context(|| document.display().to_string())?;
    }
    println!("CHAOS_SEED={seed}");
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one fault on a new database, and on a new cluster; `None` without the cluster's programs or privileges.
async fn try_fault(
    fault: &Fault,
    count: u64,
    mariadb: Option<&Arc<MariaDb>>,
    seed: u64,
    progress: indicatif::ProgressBar,
) -> Result<Option<Outcome>> {
    let network = match fault.store {
        Store::Sqlite | Store::MariaDb | Store::Galera | Store::Group => Network::Loopback,
        Store::SeparableGalera | Store::SeparableGroup => Network::Namespaces,
    };
    if !network.is_available() {
        return Ok(None);
    }
    let host = match fault.store {
        Store::Sqlite => Host::Sqlite,
        Store::MariaDb => Host::MariaDb(mariadb.context("it was started")?.clone()),
        Store::Galera | Store::SeparableGalera => Host::Cluster(Box::new(Cluster::galera(network, NODES, "").await?)),
        Store::Group | Store::SeparableGroup => {
            let Some(root) = std::env::var_os("MYSQLD_ROOT") else { return Ok(None) };
            Host::Cluster(Box::new(Cluster::group_replication(network, NODES, root.as_ref()).await?))
        }
    };
    let database = match &host {
        Host::Sqlite => Database::create(Backend::Sqlite).await?,
        Host::MariaDb(mariadb) => Database::create_on(mariadb.url()).await?,
        Host::Cluster(cluster) => Database::create_on(cluster.url()).await?,
    };
    // Lives until `run_on` has verified the books and removed the database.
    let mut arena = None;
    let arena = &mut arena;
    run_on(database, FAULT_MAX, async |shop| {
        let arena = arena.insert(Arena::new(shop, host, seed, progress).await?);
        let notes = (fault.inject)(arena, count).await;
        arena.resolve().await;
        let check = arena.check().await;
        let (statistics, silences) = (arena.journal.statistics(), arena.silences());
        Ok(Some(Outcome { statistics, check, panics: arena.panics(), silences, notes }))
    })
    .await
}
