//! The database under the shop: one that is started in a folder that goes away with it, as durable as a shop's must be,
//! or one that is running elsewhere.

use std::cell::RefCell;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::process::Guarded;
use crate::store;

const USER: &str = "bench";
const PASSWORD: &str = "bench";
const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Which database.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// MariaDB, over TCP on loopback.
    Mariadb,
    /// SQLite, inside the server.
    Sqlite,
}

/// A database that runs.
pub struct Database {
    server: Option<Server>,
    // Dropped last: the server writes into it until it is stopped.
    directory: TempDir,
}

/// A server of MariaDB or MySQL.
struct Server {
    options: Opts,
    /// Where it is, up to the name of a database, and what follows the name.
    url: (String, String),
    origin: Origin,
}

enum Origin {
    /// Started by the benchmark, which ends it with all that is in it.
    Started(Guarded),
    /// Somebody else's.
    Running(Guests),
}

/// Databases of the benchmark on somebody else's server: they have names that nobody else has, and go away with this.
struct Guests {
    options: Opts,
    suffix: String,
    names: RefCell<Vec<String>>,
}

impl Drop for Guests {
    fn drop(&mut self) {
        let (options, names) = (self.options.clone(), self.names.take());
        let left = names.join(", ");
        let dropping = async move {
            for name in names {
                run(&options, &format!("DROP DATABASE IF EXISTS {name}")).await?;
            }
            Ok::<_, anyhow::Error>(())
        };
        if let Err(error) = store::wait_for(dropping).and_then(|dropped| dropped) {
            eprintln!("jangteo-bench: the databases {left} may be left behind: {error:#}");
        }
    }
}

/// What the database is, for the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Description {
    /// Name and version.
    pub version: String,
    /// What a commit waits for.
    pub durability: String,
    /// Settings that matter to the figures.
    pub settings: Vec<String>,
}

const MARIADB_SETTINGS: &[&str] = &[
    "innodb_flush_log_at_trx_commit=1",
    "innodb_doublewrite=ON",
    "innodb_buffer_pool_size=4G",
    "innodb_log_file_size=1G",
    "max_connections=500",
];
/// The settings of a server that was running which matter as much.
const SETTINGS_OF_RUNNING: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', \
                                   'innodb_doublewrite', 'innodb_buffer_pool_size', 'log_bin', 'sync_binlog')";

impl Database {
    /// Starts one whose files are in a new folder under `directory`, which should be on the disk to be measured.
    pub async fn start(kind: Kind, directory: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("database-").tempdir_in(directory)?;
        let server = match kind {
            Kind::Mariadb => Some(start_mariadb(directory.path()).await?),
            Kind::Sqlite => None,
        };
        Ok(Self { server, directory })
    }

    /// Uses the server at `mysql://user:password@host:port/`, which goes on running.
    pub async fn attach(url: &str, directory: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("database-").tempdir_in(directory)?;
        let options = Opts::from_url(url)?;
        ensure!(options.db_name().is_none_or(str::is_empty), "the URL of a server names no database");
        let (address, parameters) = url.split_at(url.find('?').unwrap_or(url.len()));
        let url = (address.trim_end_matches('/').to_owned(), parameters.to_owned());
        let suffix = format!("_{:08x}", rand::random::<u32>());
        let guests = Guests { options: options.clone(), suffix, names: RefCell::default() };
        let server = Server { options, url, origin: Origin::Running(guests) };
        Ok(Self { server: Some(server), directory })
    }

    /// Which database it is.
    pub fn kind(&self) -> Kind {
        if self.server.is_some() { Kind::Mariadb } else { Kind::Sqlite }
    }

    /// The database's process, where it is one that the benchmark started.
    pub fn pid(&self) -> Option<u32> {
        self.process().map(Guarded::pid)
    }

    fn process(&self) -> Option<&Guarded> {
        match &self.server.as_ref()?.origin {
            Origin::Started(process) => Some(process),
            Origin::Running(_) => None,
        }
    }

    /// Counts what its server receives.
    pub fn meter(&self) -> Option<Meter> {
        self.server.as_ref().map(|server| Meter { options: server.options.clone() })
    }

    /// Makes an empty database of that name and returns the URL that the server reaches it by.
    pub async fn create(&self, name: &str) -> Result<String> {
        let Some(server) = &self.server else {
            return Ok(format!("sqlite:{}", self.sqlite_path(name).display()));
        };
        let name = server.name_of(name);
        run(&server.options, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await?;
        if let Origin::Running(guests) = &server.origin {
            guests.names.borrow_mut().push(name.clone());
        }
        Ok(format!("{}/{name}{}", server.url.0, server.url.1))
    }

    /// Removes the database of that name and gives its space back.
    pub async fn discard(&self, name: &str) -> Result<()> {
        if let Some(server) = &self.server {
            return run(&server.options, &format!("DROP DATABASE IF EXISTS {}", server.name_of(name))).await;
        }
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.sqlite_path(name).into_os_string();
            path.push(suffix);
            if Path::new(&path).exists() {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// How large the files of the database of that name are.
    pub fn size_gib(&self, name: &str) -> Result<f64> {
        let bytes = match self.kind() {
            Kind::Mariadb => folder_bytes(&self.directory.path().join("data").join(name))?,
            Kind::Sqlite => folder_bytes(self.directory.path())?,
        };
        Ok(bytes as f64 / f64::from(1 << 30))
    }

    /// What it is, for the report.
    pub async fn describe(&self) -> Result<Description> {
        let Some(server) = &self.server else {
            return Ok(Description {
                version: "SQLite, as linked into the server".to_owned(),
                durability: "every commit waits until the write-ahead log is on the disk".to_owned(),
                settings: vec!["as the server sets them".to_owned()],
            });
        };
        let mut connection = Conn::new(server.options.clone()).await?;
        let version: String = connection.query_first("SELECT VERSION()").await?.context("a version")?;
        let running: Vec<(String, String)> = connection.query(SETTINGS_OF_RUNNING).await?;
        connection.disconnect().await?;
        let name = if version.contains("MariaDB") { "MariaDB" } else { "MySQL" };
        let (durability, settings) = match &server.origin {
            Origin::Started(_) => (
                "every commit waits until the redo log is on the disk; no binary log",
                MARIADB_SETTINGS.iter().map(|setting| (*setting).to_owned()).collect(),
            ),
            Origin::Running(_) => (
                "a server that was running before, as durable as its settings say",
                running.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
            ),
        };
        Ok(Description { version: format!("{name} {version}"), durability: durability.to_owned(), settings })
    }

    /// What `sysbench` is told to reach the server by; `None` where the benchmark started none.
    pub fn sysbench_arguments(&self) -> Option<Vec<String>> {
        self.process()?;
        let options = &self.server.as_ref()?.options;
        Some(vec![
            format!("--mysql-host={}", options.ip_or_hostname()),
            format!("--mysql-port={}", options.tcp_port()),
            format!("--mysql-user={USER}"),
            format!("--mysql-password={PASSWORD}"),
        ])
    }

    /// Stops what the benchmark started and removes what it made.
    pub fn stop(self) -> Result<()> {
        match self.server.map(|server| server.origin) {
            Some(Origin::Started(process)) => process.stop(STOP_PATIENCE),
            Some(Origin::Running(_)) | None => Ok(()),
        }
    }

    fn sqlite_path(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.db"))
    }
}

impl Server {
    /// What the database of that name is called there.
    fn name_of(&self, name: &str) -> String {
        match &self.origin {
            Origin::Started(_) => name.to_owned(),
            Origin::Running(guests) => format!("jangteo_bench_{name}{}", guests.suffix),
        }
    }
}

/// Counts the bytes that a server of MariaDB or MySQL receives, from whomever.
#[derive(Clone)]
pub struct Meter {
    options: Opts,
}

impl Meter {
    /// Bytes so far.
    pub async fn bytes_received(&self) -> Result<u64> {
        let mut connection = Conn::new(self.options.clone()).await?;
        let row: Option<(String, u64)> = connection.query_first("SHOW GLOBAL STATUS LIKE 'Bytes_received'").await?;
        connection.disconnect().await?;
        Ok(row.context("a server counts what it receives")?.1)
    }
}

async fn run(options: &Opts, statement: &str) -> Result<()> {
    let mut connection = Conn::new(options.clone()).await?;
    connection.query_drop(statement).await?;
    Ok(connection.disconnect().await?)
}

async fn start_mariadb(directory: &Path) -> Result<Server> {
    let data = directory.join("data");
    let log = |name: &str| File::create(directory.join(name));
    let install = Command::new("mariadb-install-db")
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .arg(format!("--datadir={}", data.display()))
        .args(user_argument())
        .stdin(Stdio::null())
        .stdout(log("install.log")?)
        .stderr(log("install.error.log")?)
        .status()
        .context("mariadb-install-db does not start; the benchmark needs the package mariadb-server")?;
    if !install.success() {
        bail!("mariadb-install-db failed: {}", fs::read_to_string(directory.join("install.error.log"))?);
    }
    let init = directory.join("init.sql");
    fs::write(&init, format!("CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO {USER}@'%';\n"))?;
    // Somebody else may take the port before the server does; then it ends at once, and another port is tried.
    let mut attempts = 0;
    loop {
        attempts += 1;
        match start_mariadb_at(directory, &data, &init, free_port()?).await {
            Err(_) if attempts < 3 => {}
            outcome => return outcome,
        }
    }
}

async fn start_mariadb_at(directory: &Path, data: &Path, init: &Path, port: u16) -> Result<Server> {
    let mut command = Command::new(mariadbd());
    command
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--init-file={}", init.display()))
        .arg(format!("--port={port}"))
        // Relative to the data folder: the path of a socket must be short.
        .args(["--bind-address=127.0.0.1", "--socket=bench.sock", "--pid-file=bench.pid", "--skip-name-resolve"])
        .args(["--skip-log-bin", "--max-allowed-packet=256M", "--character-set-server=utf8mb4"])
        .args(MARIADB_SETTINGS.iter().map(|setting| format!("--{setting}")))
        .args(user_argument())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(directory.join("server.log"))?);
    let mut process = Guarded::start("mariadbd", &mut command)?;
    let options: Opts = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .user(Some(USER))
        .pass(Some(PASSWORD))
        .prefer_socket(false)
        .into();
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        process
            .check_running()
            .with_context(|| fs::read_to_string(directory.join("server.log")).unwrap_or_default())?;
        match run(&options, "DO 1").await {
            Ok(()) => {
                let url = (format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}"), String::new());
                return Ok(Server { options, url, origin: Origin::Started(process) });
            }
            Err(error) if Instant::now() > deadline => return Err(error.context("mariadbd does not answer")),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The server, which is not on everybody's path.
fn mariadbd() -> &'static Path {
    ["/usr/sbin/mariadbd", "/usr/libexec/mariadbd", "/usr/local/sbin/mariadbd"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or(Path::new("mariadbd"))
}

/// MariaDB rejects to run as root unless it is told to.
fn user_argument() -> Option<&'static str> {
    nix::unistd::geteuid().is_root().then_some("--user=root")
}

/// A port on loopback that nobody uses right now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
