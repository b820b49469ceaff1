//! What the command line says of where and how to measure.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::database::{Database, Kind};
use crate::server::Program;
use crate::shop::Names;

/// The options of every measurement.
#[derive(Args)]
pub struct Options {
    /// Which database to start.
    #[arg(long, env = "DB", value_enum, default_value_t = Kind::Mariadb, ignore_case = true)]
    database: Kind,
    /// The server under test; the one beside this program unless given.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Where results, logs and the database's files go; should be on the disk to be measured.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    pub output: PathBuf,
    /// Where randomness starts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What products are called.
    #[arg(long, value_enum, default_value_t = Names::Hangul)]
    pub names: Names,
}

/// A server to use instead of one that is started.
#[derive(Args)]
pub struct Elsewhere {
    /// A running MariaDB or MySQL to use instead: databases with names of their own are made there and removed.
    #[arg(long, value_name = "mysql://USER:PASSWORD@HOST:PORT/")]
    database_url: Option<String>,
}

/// What is measured, and where its database is.
pub struct Setup {
    /// The server under test.
    pub program: Program,
    /// Where randomness starts.
    pub seed: u64,
    /// What products are called.
    pub names: Names,
    kind: Kind,
    database_url: Option<String>,
}

impl Options {
    /// With a database that is started, or with this one.
    pub fn setup(&self, elsewhere: Option<&Elsewhere>) -> Result<Setup> {
        fs::create_dir_all(&self.output).with_context(|| self.output.display().to_string())?;
        let beside = || Ok(std::env::current_exe()?.with_file_name("jangteo"));
        let binary = self.server.clone().map_or_else(beside, Ok::<_, anyhow::Error>)?;
        let binary = fs::canonicalize(&binary).with_context(|| format!("no server at {}", binary.display()))?;
        Ok(Setup {
            program: Program { binary, logs: fs::canonicalize(&self.output)? },
            seed: self.seed,
            names: self.names,
            kind: self.database,
            database_url: elsewhere.and_then(|elsewhere| elsewhere.database_url.clone()),
        })
    }
}

impl Setup {
    /// Starts the database, or finds it.
    pub async fn database(&self) -> Result<Database> {
        match &self.database_url {
            Some(url) => Database::attach(url, &self.program.logs).await,
            None => Database::start(self.kind, &self.program.logs).await,
        }
    }
}
