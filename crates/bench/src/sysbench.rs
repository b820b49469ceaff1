//! A well-known yardstick: `sysbench oltp_write_only` on the same database server.

use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::database::Database;

const NAME: &str = "sysbench";
const PROGRAM: &str = "sysbench";
const THREADS: [usize; 2] = [16, 64];
const TABLES: &[&str] = &["oltp_write_only", "--tables=8", "--table-size=100000", "--db-driver=mysql"];

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sysbench {
    Measured(Vec<SysbenchRate>),
    Skipped { reason: String },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SysbenchRate {
    pub threads: usize,
    /// Transactions a second.
    pub per_second: f64,
}

impl Sysbench {
    pub fn skipped(reason: &str) -> Self {
        Self::Skipped { reason: reason.to_owned() }
    }

    /// The rate of the best number of threads.
    pub fn best(&self) -> Option<SysbenchRate> {
        match self {
            Self::Measured(rates) => rates.iter().copied().max_by(|a, b| a.per_second.total_cmp(&b.per_second)),
            Self::Skipped { .. } => None,
        }
    }
}

/// Runs it for `window` with each number of threads. Skipped if not installed or if the server is external.
pub async fn measure(database: &Database, window: Duration) -> Result<Sysbench> {
    let Some(server) = database.sysbench_arguments() else {
        return Ok(Sysbench::skipped("the benchmark did not start MariaDB"));
    };
    match Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).status().await {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Sysbench::skipped("not installed")),
        Err(error) => return Err(error).context("sysbench does not start"),
    }
    database.create(NAME).await?;
    run(&server, &[], "prepare").await?;
    let mut rates = Vec::new();
    for threads in THREADS {
        let plan = [format!("--threads={threads}"), format!("--time={}", window.as_secs().max(1))];
        let output = run(&server, &plan, "run").await?;
        let per_second =
            parse_rate(&output).with_context(|| format!("cannot parse the output of sysbench: {output}"))?;
        rates.push(SysbenchRate { threads, per_second });
    }
    database.discard(NAME).await?;
    Ok(Sysbench::Measured(rates))
}

async fn run(server: &[String], plan: &[String], step: &str) -> Result<String> {
    let mut command = Command::new(PROGRAM);
    command.args(TABLES).arg(format!("--mysql-db={NAME}")).args(server).args(plan).arg(step);
    let output = command.kill_on_drop(true).stdin(Stdio::null()).output().await.context("sysbench does not start")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "sysbench {step} failed: {text}{errors}");
    Ok(text)
}

/// Parses a line such as `transactions:    123456 (12345.60 per sec.)`.
fn parse_rate(output: &str) -> Option<f64> {
    let line = output.lines().find_map(|line| line.trim().strip_prefix("transactions:"))?;
    let (_, rate) = line.split_once('(')?;
    rate.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_rate_of_transactions() {
        let output = "SQL statistics:\n    queries performed:\n        read:       0\n    transactions:          \
                      12345  (1234.56 per sec.)\n    queries:     74070  (7407.36 per sec.)\n";
        assert_eq!(parse_rate(output), Some(1234.56));
        assert_eq!(parse_rate("FATAL: no such table"), None);
    }
}
