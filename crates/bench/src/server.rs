//! The server under test and the constant server, each started with its own settings and stopped with its owner.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::oneshot;

use crate::process::ChildProcess;
use crate::token;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Program {
    /// The release build of `jangteo`.
    pub binary: PathBuf,
    /// Folder of the logs.
    pub logs: PathBuf,
}

pub struct Server {
    process: ChildProcess,
    address: String,
}

impl Server {
    /// The shop's server on this database, with additional settings.
    pub async fn shop(program: &Program, database_url: &str, settings: &[(String, String)]) -> Result<Self> {
        let mut command = program.command(database_url);
        command.arg("serve").env("BIND", "127.0.0.1:0").envs(settings.iter().cloned());
        let suffix: String = settings.iter().map(|(name, value)| format!("-{name}-{value}")).collect();
        Self::start("jangteo serve", &mut command, &program.logs.join(format!("server{suffix}.log"))).await
    }

    /// The constant server: this program in another process.
    pub async fn constant(logs: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("constant-server");
        Self::start("the constant server", &mut command, &logs.join("constant.log")).await
    }

    async fn start(name: &'static str, command: &mut Command, log: &Path) -> Result<Self> {
        let log_file = File::create(log)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file.try_clone()?);
        let mut process = ChildProcess::start(name, command)?;
        let stdout = process.child().stdout.take().context("the output is piped")?;
        let address = tokio::time::timeout(START_TIMEOUT, read_address(stdout, log_file));
        match address.await {
            Ok(Ok(address)) => Ok(Self { process, address }),
            Ok(Err(_)) => bail!("{name} exited before it listened; see {}", log.display()),
            Err(_) => bail!("{name} did not listen within {START_TIMEOUT:?}; see {}", log.display()),
        }
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Shuts down gracefully.
    pub fn stop(self) -> Result<()> {
        self.process.stop(STOP_TIMEOUT)
    }
}

/// Copies the output to the log on a separate thread and extracts the address.
fn read_address(stdout: ChildStdout, mut log: File) -> oneshot::Receiver<String> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut sender = Some(sender);
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // A failed write to the log must not stop the thread: an unread pipe would block the server.
            let _ = writeln!(log, "{line}");
            if let Some(address) = parse_address(&line)
                && let Some(sender) = sender.take()
            {
                let _ = sender.send(address.to_owned());
            }
        }
    });
    receiver
}

fn parse_address(line: &str) -> Option<&str> {
    let (_, url) = line.split_once("listening on http://")?;
    url.split([' ', '/']).next().filter(|address| !address.is_empty())
}

impl Program {
    /// The program with the benchmark's settings and a clean environment.
    fn command(&self, database_url: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME" || name == "TMPDIR"))
            .env("DATABASE_URL", database_url)
            .envs(token::server_settings())
            .env("RATE_LIMIT", "off")
            .env("CURRENCY", "KRW")
            .env("SHOP_TIME_ZONE", "Asia/Seoul")
            .env("RUST_LOG", "warn")
            .current_dir(&self.logs);
        command
    }

    /// Runs `jangteo verify`.
    pub fn verify(&self, database_url: &str) -> Result<Books> {
        let output = self.command(database_url).arg("verify").output().context("jangteo verify does not start")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extracts_the_address_from_the_line() {
        assert_eq!(parse_address("listening on http://127.0.0.1:4711"), Some("127.0.0.1:4711"));
        assert_eq!(parse_address("INFO listening on http://[::1]:80/ now"), Some("[::1]:80"));
        assert_eq!(parse_address("listening on port 80"), None);
    }
}
