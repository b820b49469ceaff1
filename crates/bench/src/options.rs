//! The command line options of all measurements.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::database::{Database, Kind};
use crate::server::Program;
use crate::shop::Names;

#[derive(Args)]
pub struct Options {
    /// The database to start.
    #[arg(long, env = "DB", value_enum, default_value_t = Kind::Mariadb, ignore_case = true)]
    database: Kind,
    /// The server under test; default: `jangteo` next to this program.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Folder of results, logs and database files; should be on the disk under test.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    pub output: PathBuf,
    /// Seed of the random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Language of the product names.
    #[arg(long, value_enum, default_value_t = Names::Hangul)]
    pub names: Names,
}

/// A database server that the benchmark does not start.
#[derive(Args)]
pub struct ExternalServer {
    /// A running MariaDB or MySQL to use; the benchmark creates its own databases there and drops them at the end.
    #[arg(long, value_name = "mysql://USER:PASSWORD@HOST:PORT/")]
    database_url: Option<String>,
}

/// The server under test and its database.
pub struct Setup {
    pub program: Program,
    pub seed: u64,
    pub names: Names,
    kind: Kind,
    database_url: Option<String>,
}

impl Options {
    pub fn setup(&self, external: Option<&ExternalServer>) -> Result<Setup> {
        fs::create_dir_all(&self.output).with_context(|| self.output.display().to_string())?;
        let beside = || Ok(std::env::current_exe()?.with_file_name("jangteo"));
        let binary = self.server.clone().map_or_else(beside, Ok::<_, anyhow::Error>)?;
        let binary = fs::canonicalize(&binary).with_context(|| format!("no server at {}", binary.display()))?;
        Ok(Setup {
            program: Program { binary, logs: fs::canonicalize(&self.output)? },
            seed: self.seed,
            names: self.names,
            kind: self.database,
            database_url: external.and_then(|external| external.database_url.clone()),
        })
    }
}

impl Setup {
    /// Starts the database or connects to the external server.
    pub async fn database(&self) -> Result<Database> {
        match &self.database_url {
            Some(url) => Database::attach(url, &self.program.logs).await,
            None => Database::start(self.kind, &self.program.logs).await,
        }
    }
}
