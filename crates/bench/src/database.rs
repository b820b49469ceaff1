//! The database under test: started in a temporary folder with durable commits, or an external server.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use diesel::{Connection as _, RunQueryDsl as _, SqliteConnection};
use jangteo_testkit::MariaDb;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::store;

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// MariaDB, over TCP on loopback.
    Mariadb,
    /// SQLite, inside the server.
    Sqlite,
}

pub struct Database {
    server: Option<Server>,
    // Dropped last: the server writes into it until it is stopped.
    directory: TempDir,
}

/// A MariaDB or MySQL server.
struct Server {
    options: Opts,
    /// The URL before the database name, and after it.
    url: (String, String),
    origin: Origin,
}

enum Origin {
    /// Started by the benchmark and stopped with it.
    Started(Box<MariaDb>),
    /// External; only the benchmark's own databases are dropped.
    Running(ExternalDatabases),
}

/// Databases of the benchmark on an external server: their names are unique, and they are dropped with this value.
struct ExternalDatabases {
    options: Opts,
    suffix: String,
    names: RefCell<Vec<String>>,
}

impl Drop for ExternalDatabases {
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

/// A table's rows, and the bytes of its file with all indexes.
#[derive(Clone, Copy, Default)]
pub struct TableSize {
    pub rows: u64,
    pub bytes: u64,
}

impl TableSize {
    pub fn since(self, before: Self) -> Self {
        Self { rows: self.rows.saturating_sub(before.rows), bytes: self.bytes.saturating_sub(before.bytes) }
    }
}

/// Description of the database for the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Description {
    pub version: String,
    /// Durability guarantee of a commit.
    pub durability: String,
    /// Settings that affect performance.
    pub settings: Vec<String>,
}

const MARIADB_SETTINGS: &[&str] = &[
    "innodb_flush_log_at_trx_commit=1",
    "innodb_doublewrite=ON",
    "innodb_buffer_pool_size=4G",
    "innodb_log_file_size=1G",
    "max_connections=500",
    "max_allowed_packet=256M",
];
/// The settings to report for an external server.
const SETTINGS_OF_RUNNING: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', \
                                   'innodb_doublewrite', 'innodb_buffer_pool_size', 'log_bin', 'sync_binlog')";

impl Database {
    /// Starts a database with its files in a new folder under `directory`, which should be on the disk under test.
    pub async fn start(kind: Kind, directory: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("database-").tempdir_in(directory)?;
        let server = match kind {
            Kind::Mariadb => {
                let mariadb = MariaDb::start_in(directory.path(), MARIADB_SETTINGS).await?;
                let url = (mariadb.url(), String::new());
                Some(Server { options: Opts::from_url(&url.0)?, url, origin: Origin::Started(Box::new(mariadb)) })
            }
            Kind::Sqlite => None,
        };
        Ok(Self { server, directory })
    }

    /// Uses the external server at `mysql://user:password@host:port/`.
    pub async fn attach(url: &str, directory: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("database-").tempdir_in(directory)?;
        let options = Opts::from_url(url)?;
        ensure!(options.db_name().is_none_or(str::is_empty), "the URL of a server names no database");
        let (address, parameters) = url.split_at(url.find('?').unwrap_or(url.len()));
        let url = (address.trim_end_matches('/').to_owned(), parameters.to_owned());
        let suffix = format!("_{:08x}", rand::random::<u32>());
        let databases = ExternalDatabases { options: options.clone(), suffix, names: RefCell::default() };
        let server = Server { options, url, origin: Origin::Running(databases) };
        Ok(Self { server: Some(server), directory })
    }

    pub fn kind(&self) -> Kind {
        if self.server.is_some() { Kind::Mariadb } else { Kind::Sqlite }
    }

    /// The database process, if the benchmark started one.
    pub fn pid(&self) -> Option<u32> {
        self.mariadb()?.process_id()
    }

    fn mariadb(&self) -> Option<&MariaDb> {
        match &self.server.as_ref()?.origin {
            Origin::Started(mariadb) => Some(mariadb),
            Origin::Running(_) => None,
        }
    }

    /// A counter of the bytes received; `None` for SQLite.
    pub fn meter(&self) -> Option<Meter> {
        self.server.as_ref().map(|server| Meter { options: server.options.clone() })
    }

    /// Creates an empty database and returns its URL for the server.
    pub async fn create(&self, name: &str) -> Result<String> {
        let Some(server) = &self.server else { return Ok(format!("sqlite:{}", self.sqlite_path(name).display())) };
        let name = server.name_of(name);
        run(&server.options, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await?;
        if let Origin::Running(databases) = &server.origin {
            databases.names.borrow_mut().push(name.clone());
        }
        Ok(format!("{}/{name}{}", server.url.0, server.url.1))
    }

    /// Drops the database and frees its space.
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

    pub fn size_gib(&self, name: &str) -> Result<f64> {
        let bytes = match self.mariadb() {
            Some(mariadb) => folder_bytes(&mariadb.data_folder().join(name))?,
            None => folder_bytes(self.directory.path())?,
        };
        Ok(bytes as f64 / f64::from(1 << 30))
    }

    /// The size of each table of MariaDB.
    pub async fn table_sizes(&self, name: &str) -> Result<BTreeMap<String, TableSize>> {
        let (Some(server), Some(mariadb)) = (&self.server, self.mariadb()) else {
            bail!("the sizes of tables are those of a MariaDB that the benchmark starts");
        };
        let folder = mariadb.data_folder().join(name);
        let mut connection = Conn::new(server.options.clone()).await?;
        let tables: Vec<String> = connection.query(format!("SHOW TABLES FROM {name}")).await?;
        let mut sizes = BTreeMap::new();
        for table in tables {
            let rows = connection.query_first(format!("SELECT COUNT(*) FROM {name}.{table}")).await?;
            let rows = rows.context("a count")?;
            let bytes = fs::metadata(folder.join(format!("{table}.ibd")))?.len();
            sizes.insert(table, TableSize { rows, bytes });
        }
        connection.disconnect().await?;
        Ok(sizes)
    }

    /// Drops the search index of a new database, so that it is filled faster. On SQLite there is no faster way.
    pub async fn drop_search_index(&self, name: &str) -> Result<()> {
        self.alter_search_index(name, "DROP INDEX ix_product_search_grams").await
    }

    pub async fn create_search_index(&self, name: &str) -> Result<()> {
        self.alter_search_index(name, "ADD FULLTEXT INDEX ix_product_search_grams (grams)").await
    }

    async fn alter_search_index(&self, name: &str, change: &str) -> Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        run(&server.options, &format!("ALTER TABLE {}.product_search_grams {change}", server.name_of(name))).await
    }

    /// The size of the search index with its words. Of a started server or SQLite.
    pub fn search_index_bytes(&self, name: &str) -> Result<u64> {
        match self.mariadb() {
            Some(mariadb) => {
                let is_index = |file: &str| file.starts_with("FTS_") || file.starts_with("product_search_grams");
                files_bytes(&mariadb.data_folder().join(name), is_index)
            }
            None => {
                let mut connection = SqliteConnection::establish(&self.sqlite_path(name).display().to_string())?;
                let bytes = diesel::dsl::sql::<diesel::sql_types::BigInt>(
                    "SELECT CAST(SUM(pgsize) AS INTEGER) FROM dbstat WHERE aggregate = TRUE \
                     AND (name GLOB 'product_search_[ir]*' OR name GLOB '*_product_search_rows_*')",
                );
                Ok(u64::try_from(bytes.get_result::<i64>(&mut connection)?)?)
            }
        }
    }

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
                "an external server, as durable as its settings specify",
                running.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
            ),
        };
        Ok(Description { version: format!("{name} {version}"), durability: durability.to_owned(), settings })
    }

    /// The connection arguments for `sysbench`; `None` unless the benchmark started the server.
    pub fn sysbench_arguments(&self) -> Option<Vec<String>> {
        self.mariadb()?;
        let options = &self.server.as_ref()?.options;
        Some(vec![
            format!("--mysql-host={}", options.ip_or_hostname()),
            format!("--mysql-port={}", options.tcp_port()),
            format!("--mysql-user={}", options.user()?),
            format!("--mysql-password={}", options.pass()?),
        ])
    }

    /// Stops the database if the benchmark started it, and removes its files.
    pub async fn stop(self) -> Result<()> {
        match self.server.map(|server| server.origin) {
            Some(Origin::Started(mariadb)) => mariadb.stop().await,
            Some(Origin::Running(_)) | None => Ok(()),
        }
    }

    fn sqlite_path(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.db"))
    }
}

impl Server {
    /// The name of the database on the server.
    fn name_of(&self, name: &str) -> String {
        match &self.origin {
            Origin::Started(_) => name.to_owned(),
            Origin::Running(databases) => format!("jangteo_bench_{name}{}", databases.suffix),
        }
    }
}

/// Counts the bytes that a MariaDB or MySQL server receives from all clients.
#[derive(Clone)]
pub struct Meter {
    options: Opts,
}

impl Meter {
    pub async fn bytes_received(&self) -> Result<u64> {
        let mut connection = Conn::new(self.options.clone()).await?;
        let row: Option<(String, u64)> = connection.query_first("SHOW GLOBAL STATUS LIKE 'Bytes_received'").await?;
        connection.disconnect().await?;
        Ok(row.context("the server reports no Bytes_received")?.1)
    }
}

async fn run(options: &Opts, statement: &str) -> Result<()> {
    let mut connection = Conn::new(options.clone()).await?;
    connection.query_drop(statement).await?;
    Ok(connection.disconnect().await?)
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    files_bytes(folder, |_| true)
}

fn files_bytes(folder: &Path, counts: impl Fn(&str) -> bool) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if counts(&entry.file_name().to_string_lossy()) {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}
