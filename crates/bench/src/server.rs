//! The server under test and the constant server, each started with its own settings and stopped with its owner.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use jangteo_testkit::{Process, TOKEN_SETTINGS, clean_command};
use tokio::process::Command;

#[derive(Clone)]
pub struct Program {
    /// The release build of `jangteo`.
    pub binary: PathBuf,
    /// Folder of the logs.
    pub logs: PathBuf,
}

pub struct Server {
    process: Process,
    address: String,
}

impl Server {
    /// The shop's server on this database, with additional settings.
    pub async fn shop(program: &Program, database_url: &str, settings: &[(String, String)]) -> Result<Self> {
        let mut command = program.command(database_url);
        command.arg("serve").env("BIND", "127.0.0.1:0").envs(settings.iter().cloned());
        let suffix: String = settings.iter().map(|(name, value)| format!("-{name}-{value}")).collect();
        Self::start(&mut command, &program.logs.join(format!("server{suffix}.log"))).await
    }

    /// The constant server: this program in another process.
    pub async fn constant(logs: &Path) -> Result<Self> {
        let mut command = clean_command(std::env::current_exe()?);
        Self::start(command.arg("constant-server"), &logs.join("constant.log")).await
    }

    async fn start(command: &mut Command, log: &Path) -> Result<Self> {
        // Ctrl-C reaches only the benchmark, which then stops its children in order.
        let process =
            Process::spawn(command.stderr(File::options().create(true).append(true).open(log)?).process_group(0))?;
        let address = process.listening().await.with_context(|| format!("see {}", log.display()))?;
        Ok(Self { process, address })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Shuts down gracefully.
    pub async fn stop(self) -> Result<()> {
        self.process.terminate();
        self.process.ended().await?;
        Ok(())
    }
}

impl Program {
    /// The program with the benchmark's settings and a clean environment.
    pub fn command(&self, database_url: &str) -> Command {
        let mut command = clean_command(&self.binary);
        command
            .env("DATABASE_URL", database_url)
            .envs(TOKEN_SETTINGS)
            .env("RATE_LIMIT", "off")
            .env("RATE_LIMIT_ANONYMOUS", "off")
            .env("CURRENCY", "KRW")
            .env("SHOP_TIME_ZONE", "Asia/Seoul")
            .env("RUST_LOG", "warn")
            .current_dir(&self.logs);
        command
    }

    /// Runs `jangteo verify`.
    pub async fn verify(&self, database_url: &str) -> Result<Books> {
        let output =
            self.command(database_url).arg("verify").output().await.context("jangteo verify does not start")?;
        if output.status.success() {
            return Ok(Books::Right);
        }
        let output = [&*String::from_utf8_lossy(&output.stdout), &*String::from_utf8_lossy(&output.stderr)].concat();
        Ok(Books::Wrong { findings: output.lines().take(100).map(str::to_owned).collect() })
    }
}

/// The result of `jangteo verify`.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Books {
    Right,
    Wrong { findings: Vec<String> },
}

impl Books {
    /// Returns the findings as an error.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Right => Ok(()),
            Self::Wrong { findings } => bail!("the books are wrong: {}", findings.join("; ")),
        }
    }
}
