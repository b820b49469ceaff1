//! A database of the benchmark's own: started in a folder that goes away with it, as durable as a shop's must be.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{Connection as _, QueryableByName, RunQueryDsl, SqliteConnection};
use mysql_async::OptsBuilder;
use mysql_async::prelude::Queryable;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::process::Guarded;
use crate::sql::Dialect;

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

impl Kind {
    /// Whose SQL it speaks.
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Mariadb => Dialect::MySql,
            Self::Sqlite => Dialect::Sqlite,
        }
    }
}

/// A database that runs.
pub struct Database {
    kind: Kind,
    server: Option<MariaDb>,
    // Dropped last: the server writes into it until it is stopped.
    directory: TempDir,
}

struct MariaDb {
    process: Guarded,
    port: u16,
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
const SQLITE_SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 30000;";

impl Database {
    /// Starts one whose files are in a new folder under `directory`, which should be on the disk to be measured.
    pub async fn start(kind: Kind, directory: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("database-").tempdir_in(directory)?;
        let server = match kind {
            Kind::Mariadb => Some(start_mariadb(directory.path()).await?),
            Kind::Sqlite => None,
        };
        Ok(Self { kind, server, directory })
    }

    /// Which database it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The database's process, where it has one of its own.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(|server| server.process.pid())
    }

    /// Makes an empty database of that name and returns the URL that the server reaches it by.
    pub async fn create(&self, name: &str) -> Result<String> {
        match &self.server {
            Some(server) => {
                let mut connection = connect_mysql(server.port, "mysql").await?;
                connection.query_drop(format!("DROP DATABASE IF EXISTS {name}")).await?;
                connection.query_drop(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await?;
                connection.disconnect().await?;
                Ok(format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{}/{name}", server.port))
            }
            None => Ok(format!("sqlite:{}", self.sqlite_path(name).display())),
        }
    }

    /// Removes the database of that name and gives its space back.
    pub async fn discard(&self, name: &str) -> Result<()> {
        match &self.server {
            Some(server) => {
                let mut connection = connect_mysql(server.port, "mysql").await?;
                connection.query_drop(format!("DROP DATABASE IF EXISTS {name}")).await?;
                connection.disconnect().await?;
            }
            None => {
                for suffix in ["", "-wal", "-shm"] {
                    let mut path = self.sqlite_path(name).into_os_string();
                    path.push(suffix);
                    if Path::new(&path).exists() {
                        fs::remove_file(&path)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A connection to the database of that name.
    pub async fn connect(&self, name: &str) -> Result<Connection> {
        match &self.server {
            Some(server) => {
                let mut connection = connect_mysql(server.port, name).await?;
                connection.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
                connection.query_drop("SET time_zone = '+00:00'").await?;
                Ok(Connection::MySql(connection))
            }
            None => {
                let path = self.sqlite_path(name);
                let path = path.to_str().context("a folder whose name is no text")?;
                let mut connection = SqliteConnection::establish(path)?;
                connection.batch_execute(SQLITE_SETTINGS)?;
                Ok(Connection::Sqlite(connection))
            }
        }
    }

    /// How large the files of the database of that name are.
    pub fn size_gib(&self, name: &str) -> Result<f64> {
        let bytes = match self.kind {
            Kind::Mariadb => folder_bytes(&self.directory.path().join("data").join(name))?,
            Kind::Sqlite => folder_bytes(self.directory.path())?,
        };
        Ok(bytes as f64 / f64::from(1 << 30))
    }

    /// What it is, for the report.
    pub async fn describe(&self) -> Result<Description> {
        match &self.server {
            Some(server) => {
                let mut connection = connect_mysql(server.port, "mysql").await?;
                let version: Option<String> = connection.query_first("SELECT VERSION()").await?;
                connection.disconnect().await?;
                Ok(Description {
                    version: format!("MariaDB {}", version.unwrap_or_default()),
                    durability: "every commit waits until the redo log is on the disk; no binary log".to_owned(),
                    settings: MARIADB_SETTINGS.iter().map(|setting| (*setting).to_owned()).collect(),
                })
            }
            None => Ok(Description {
                version: "SQLite, as linked into the server".to_owned(),
                durability: "every commit waits until the write-ahead log is on the disk".to_owned(),
                settings: vec![SQLITE_SETTINGS.to_owned()],
            }),
        }
    }

    /// Stops it; its files go with it.
    pub fn stop(mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), |server| server.process.stop(STOP_PATIENCE))
    }

    fn sqlite_path(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.db"))
    }
}

async fn start_mariadb(directory: &Path) -> Result<MariaDb> {
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

async fn start_mariadb_at(directory: &Path, data: &Path, init: &Path, port: u16) -> Result<MariaDb> {
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
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        process
            .check_running()
            .with_context(|| fs::read_to_string(directory.join("server.log")).unwrap_or_default())?;
        match connect_mysql(port, "mysql").await {
            Ok(connection) => {
                connection.disconnect().await?;
                return Ok(MariaDb { process, port });
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

async fn connect_mysql(port: u16, name: &str) -> Result<mysql_async::Conn> {
    let options = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .user(Some(USER))
        .pass(Some(PASSWORD))
        .db_name(Some(name))
        .max_allowed_packet(Some(256 << 20))
        .prefer_socket(false);
    Ok(mysql_async::Conn::new(options).await?)
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// A connection for plain SQL.
pub enum Connection {
    /// To MariaDB.
    MySql(mysql_async::Conn),
    /// To SQLite. Its calls block, which harms nothing: whoever holds it has nothing else to do meanwhile.
    Sqlite(SqliteConnection),
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

impl Connection {
    /// Runs one statement and throws its rows away.
    pub async fn run(&mut self, statement: &str) -> Result<()> {
        match self {
            Self::MySql(connection) => connection.query_drop(statement).await?,
            Self::Sqlite(connection) => connection.batch_execute(statement)?,
        }
        Ok(())
    }

    /// Runs the statements as one transaction.
    pub async fn run_transaction(&mut self, statements: &[String]) -> Result<()> {
        self.run(match self {
            Self::MySql(_) => "BEGIN",
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
        })
        .await?;
        for statement in statements {
            self.run(statement).await.with_context(|| statement.chars().take(200).collect::<String>())?;
        }
        self.run("COMMIT").await
    }

    /// The one number that a SELECT gives as `number`.
    pub async fn number(&mut self, select: &str) -> Result<i64> {
        match self {
            Self::MySql(connection) => connection.query_first(select).await?.context("a SELECT without a row"),
            Self::Sqlite(connection) => Ok(diesel::sql_query(select).get_result::<Number>(connection)?.number),
        }
    }

    /// Ends the connection.
    pub async fn close(self) -> Result<()> {
        match self {
            Self::MySql(connection) => connection.disconnect().await?,
            Self::Sqlite(_) => {}
        }
        Ok(())
    }
}
