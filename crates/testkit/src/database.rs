//! A fresh database for each test, and a plain connection to it that shares no code with the adapters under test.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use diesel::connection::SimpleConnection;
use diesel::{Connection as _, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use serde_json::Value;
use tempfile::TempDir;

use crate::poll::eventually;

/// InnoDB caches its transaction and lock tables until they have not been queried for 0.1 s: see "Persistence and
/// Consistency of InnoDB Transaction and Locking Information" in the MySQL manual.
pub const INNODB_FRESH_AFTER: Duration = Duration::from_millis(110);

/// Maximum time of a connection attempt. A paused node accepts a connection and never responds.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The database of a test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    /// A file in a temporary folder.
    Sqlite,
    /// A separate database on the server of `TEST_MYSQL_URL`.
    Mysql,
}

/// The database of one test, until [`Database::remove`].
#[derive(Debug)]
pub struct Database {
    place: Place,
    /// Files of the test, removed with the database.
    folder: TempDir,
}

#[derive(Debug)]
enum Place {
    Sqlite { file: PathBuf },
    Mysql { server: String, name: String },
}

impl Database {
    /// Creates an empty database.
    ///
    /// # Errors
    /// For MySQL if `TEST_MYSQL_URL` is unset or invalid: a test that cannot run must fail, not be skipped.
    pub async fn create(backend: Backend) -> Result<Self> {
        match backend {
            Backend::Sqlite => {
                let folder = folder()?;
                Ok(Self { place: Place::Sqlite { file: folder.path().join("jangteo.db") }, folder })
            }
            Backend::Mysql => Self::create_on(mysql_server()?).await,
        }
    }

    /// Creates an empty database on a MySQL server, `mysql://USER:PASSWORD@HOST:PORT`, or on a cluster, with its hosts
    /// separated by commas.
    ///
    /// # Errors
    /// If the server does not respond or rejects the statement.
    pub async fn create_on(server: String) -> Result<Self> {
        let name = format!("jangteo_test_{:016x}", rand::random::<u64>());
        admin(&server, &format!("CREATE DATABASE {name}")).await?;
        Ok(Self { place: Place::Mysql { server, name }, folder: folder()? })
    }

    /// The kind of the database.
    pub fn backend(&self) -> Backend {
        match self.place {
            Place::Sqlite { .. } => Backend::Sqlite,
            Place::Mysql { .. } => Backend::Mysql,
        }
    }

    /// Value of `DATABASE_URL`.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Sqlite { file } => format!("sqlite:{}", file.display()),
            Place::Mysql { server, name } => format!("{server}/{name}"),
        }
    }

    /// Folder for files of the test.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Name on the MySQL server.
    ///
    /// # Panics
    /// On SQLite.
    pub fn mysql_name(&self) -> &str {
        match &self.place {
            Place::Sqlite { .. } => panic!("not a MySQL database"),
            Place::Mysql { name, .. } => name,
        }
    }

    /// Opens a separate connection for the test.
    ///
    /// # Panics
    /// If the database cannot be reached.
    pub async fn connect(&self) -> Connection {
        match &self.place {
            Place::Sqlite { file } => {
                let mut connection =
                    SqliteConnection::establish(&file.display().to_string()).expect("the database file can be opened");
                connection.batch_execute("PRAGMA busy_timeout = 10000").expect("a pragma");
                Connection::Sqlite(connection)
            }
            Place::Mysql { server, name } => {
                let connection = writer_connection(server, Some(name)).await;
                Connection::Mysql(connection.expect("the test database server responds"))
            }
        }
    }

    /// Opens a separate connection to one host of a cluster, by its URL without a database.
    ///
    /// # Panics
    /// On SQLite, or if the host cannot be reached.
    pub async fn connect_to(&self, host: &str) -> Connection {
        Connection::Mysql(host_connection(host, Some(self.mysql_name())).await.expect("the host responds"))
    }

    /// Kills all connections to the database, as a failover does. Does nothing on SQLite.
    pub async fn kill_connections(&self) {
        let Place::Mysql { server, name } = &self.place else { return };
        for host in hosts(server) {
            // A node of a cluster may be down.
            let Ok(mut connection) = host_connection(&host, None).await else { continue };
            for id in connections_to(name, &mut connection).await {
                // A connection that has already closed is fine.
                let _gone = connection.query_drop(format!("KILL {id}")).await;
            }
            connection.disconnect().await.expect("disconnected");
        }
    }

    /// Number of open transactions in the MySQL database, on all its hosts.
    pub async fn open_transactions(&self) -> u64 {
        let Place::Mysql { server, name } = &self.place else { return 0 };
        let mut open = 0;
        for host in hosts(server) {
            let mut connection = host_connection(&host, None).await.expect("the test database server responds");
            tokio::time::sleep(INNODB_FRESH_AFTER).await;
            let ids = connections_to(name, &mut connection).await;
            // There is no connection 0, and an SQL list must not be empty.
            let count = format!(
                "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_mysql_thread_id IN (0{})",
                ids.iter().map(|id| format!(", {id}")).collect::<String>()
            );
            let counted: Option<u64> = connection.query_first(count).await.expect("the open transactions");
            open += counted.expect("a count");
            connection.disconnect().await.expect("disconnected");
        }
        open
    }

    /// Removes the database, once it is unused.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub async fn remove(&self) -> Result<()> {
        if let Place::Mysql { server, name } = &self.place {
            self.kill_connections().await;
            admin(server, &format!("DROP DATABASE IF EXISTS {name}")).await?;
        }
        std::fs::remove_dir_all(self.folder.path()).context("cannot remove the temporary folder")
    }
}

fn folder() -> Result<TempDir> {
    tempfile::Builder::new().prefix("jangteo-test-").tempdir().context("no temporary folder")
}

/// URL of the MySQL test server, without a database.
fn mysql_server() -> Result<String> {
    let url = std::env::var("TEST_MYSQL_URL").context(
        "TEST_MYSQL_URL is not set: the tests on MySQL need a server whose user may create databases, as in \
         mysql://user:password@127.0.0.1:3306",
    )?;
    let url = url.trim_end_matches('/').to_owned();
    let options = Opts::from_url(&url).context("TEST_MYSQL_URL is not a mysql:// URL")?;
    ensure!(options.db_name().is_none(), "TEST_MYSQL_URL must not name a database: each test creates its own");
    Ok(url)
}

/// Ids of the connections to the database. `SHOW PROCESSLIST`, because `information_schema.PROCESSLIST` fails on
/// statements with binary data, such as ids.
async fn connections_to(name: &str, connection: &mut Conn) -> Vec<u64> {
    let processes: Vec<mysql_async::Row> = connection.query("SHOW PROCESSLIST").await.expect("the process list");
    let ours =
        processes.iter().filter(|process| process.get::<Option<String>, _>("db").flatten().as_deref() == Some(name));
    ours.map(|process| process.get("Id").expect("an id")).collect()
}

/// The URL of each host of a server's or a cluster's URL.
fn hosts(server: &str) -> Vec<String> {
    let Some((login, hosts)) = server.rsplit_once('@') else { return vec![server.to_owned()] };
    hosts.split(',').map(|host| format!("{login}@{host}")).collect()
}

async fn host_connection(host: &str, database: Option<&str>) -> Result<Conn> {
    let options = OptsBuilder::from_opts(Opts::from_url(host)?).db_name(database).prefer_socket(false);
    let connected = tokio::time::timeout(CONNECT_MAX, Conn::new(options)).await;
    connected.context("timed out").and_then(|connected| Ok(connected?)).context("the test database does not respond")
}

/// A connection to the first host that accepts writes.
async fn writer_connection(server: &str, database: Option<&str>) -> Result<Conn> {
    let hosts = hosts(server);
    if let [host] = &hosts[..] {
        return host_connection(host, database).await;
    }
    for host in &hosts {
        let Ok(mut connection) = host_connection(host, database).await else { continue };
        if connection.query_first("SELECT @@GLOBAL.read_only").await? == Some(0) {
            return Ok(connection);
        }
        connection.disconnect().await?;
    }
    bail!("no host of the test database accepts writes")
}

async fn admin(server: &str, statement: &str) -> Result<()> {
    let mut connection = writer_connection(server, None).await?;
    connection.query_drop(statement).await.with_context(|| format!("rejected by the server: {statement}"))?;
    connection.disconnect().await.context("cannot disconnect")
}

/// A plain connection to the database of a test.
#[expect(missing_docs, reason = "the names are clear")]
pub enum Connection {
    Sqlite(SqliteConnection),
    Mysql(Conn),
}

#[derive(QueryableByName)]
struct JsonRow {
    #[diesel(sql_type = sql_types::Text)]
    row_columns: String,
}

#[derive(QueryableByName)]
struct PlanStep {
    #[diesel(sql_type = sql_types::Text)]
    detail: String,
}

/// A column of a query.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// An integer or text.
    Plain(&'static str),
    /// A binary id, read as hexadecimal text.
    Id(&'static str),
    /// An amount, read in ten-thousandths.
    Money(&'static str),
    /// A day, read as text.
    Day(&'static str),
}

impl Column {
    fn expression(self, backend: Backend) -> String {
        match (self, backend) {
            (Self::Plain(name), _) | (Self::Money(name), Backend::Sqlite) => name.to_owned(),
            // HEX of NULL is an empty text in SQLite.
            (Self::Id(name), _) => format!("NULLIF(HEX({name}), '')"),
            (Self::Money(name), Backend::Mysql) => format!("CAST({name} * 10000 AS SIGNED)"),
            (Self::Day(name), Backend::Sqlite) => format!("CAST({name} AS TEXT)"),
            (Self::Day(name), Backend::Mysql) => format!("CAST({name} AS CHAR)"),
        }
    }
}

/// Reads the columns of a row in order.
#[derive(Debug)]
pub struct Row(std::vec::IntoIter<Value>);

impl Row {
    fn next(&mut self) -> Value {
        self.0.next().expect("no more columns than requested")
    }

    /// Reads a text.
    ///
    /// # Panics
    /// On another type.
    pub fn text(&mut self) -> String {
        self.optional_text().expect("text, not null")
    }

    /// Reads a text or NULL.
    ///
    /// # Panics
    /// On another type.
    pub fn optional_text(&mut self) -> Option<String> {
        match self.next() {
            Value::String(text) => Some(text),
            Value::Null => None,
            other => panic!("no text: {other}"),
        }
    }

    /// Reads an integer.
    ///
    /// # Panics
    /// On another type.
    pub fn number(&mut self) -> i64 {
        let value = self.next();
        value.as_i64().unwrap_or_else(|| panic!("no integer: {value}"))
    }
}

impl Connection {
    /// The kind of the database.
    pub fn backend(&self) -> Backend {
        match self {
            Self::Sqlite(_) => Backend::Sqlite,
            Self::Mysql(_) => Backend::Mysql,
        }
    }

    /// Queries columns of a table (or `table WHERE …`). The databases return a row as a JSON array, so that both share
    /// one reader.
    ///
    /// # Panics
    /// If the database rejects the query, or a column has another type.
    pub async fn rows<T>(&mut self, table: &str, columns: &[Column], read: impl Fn(&mut Row) -> T) -> Vec<T> {
        let backend = self.backend();
        let columns: Vec<String> = columns.iter().map(|column| column.expression(backend)).collect();
        let query = format!("SELECT JSON_ARRAY({}) AS row_columns FROM {table}", columns.join(", "));
        let rows: Vec<String> = match self {
            Self::Sqlite(connection) => {
                let rows = sql_query(&query).load::<JsonRow>(connection);
                let rows = rows.unwrap_or_else(|error| panic!("{query}: {error}"));
                rows.into_iter().map(|row| row.row_columns).collect()
            }
            Self::Mysql(connection) => {
                connection.query(&query).await.unwrap_or_else(|error| panic!("{query}: {error}"))
            }
        };
        let parse = |row: String| serde_json::from_str::<Vec<Value>>(&row).expect("valid JSON");
        rows.into_iter().map(|row| read(&mut Row(parse(row).into_iter()))).collect()
    }

    /// Queries one number.
    ///
    /// # Panics
    /// If the query is rejected or does not return one row.
    pub async fn number(&mut self, expression: &'static str, table: &str) -> i64 {
        let rows = self.rows(table, &[Column::Plain(expression)], Row::number).await;
        assert_eq!(rows.len(), 1, "{expression} from {table}");
        rows[0]
    }

    /// Opens a connection to a server by its URL.
    ///
    /// # Panics
    /// If the server cannot be reached.
    pub async fn open(url: &str) -> Self {
        Self::Mysql(host_connection(url, None).await.expect("the server responds"))
    }

    /// Evaluates an expression to text.
    ///
    /// # Panics
    /// On SQLite, or if the server rejects the expression.
    pub async fn text(&mut self, expression: &str) -> String {
        let Self::Mysql(connection) = self else { panic!("not a MySQL database") };
        let text = connection.query_first(format!("SELECT CAST({expression} AS CHAR)")).await;
        text.unwrap_or_else(|error| panic!("{expression}: {error}")).expect("a row")
    }

    /// Waits until a connection of the MySQL server waits for a row lock, and returns the connection's id.
    ///
    /// # Panics
    /// If there is none within 30 seconds.
    pub async fn lock_wait(&mut self) -> i64 {
        eventually("a lock wait", async || {
            tokio::time::sleep(INNODB_FRESH_AFTER).await;
            let columns = [Column::Plain("trx_mysql_thread_id")];
            let waits = "information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'";
            self.rows(waits, &columns, Row::number).await.first().copied()
        })
        .await
    }

    /// The steps of a query's plan, one a line.
    ///
    /// # Panics
    /// On MySQL, whose plans depend on the rows, or if the database rejects the query.
    pub async fn plan(&mut self, query: &str) -> String {
        let Self::Sqlite(connection) = self else { panic!("not an SQLite database") };
        let steps = sql_query(format!("EXPLAIN QUERY PLAN {query}")).load::<PlanStep>(connection);
        let steps = steps.unwrap_or_else(|error| panic!("{query}: {error}"));
        steps.into_iter().map(|step| step.detail).collect::<Vec<_>>().join("\n")
    }

    /// Executes a statement.
    ///
    /// # Panics
    /// If the database rejects it.
    pub async fn execute(&mut self, statement: &str) {
        self.try_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Executes a statement that may be rejected.
    ///
    /// # Errors
    /// The database's error.
    pub async fn try_execute(&mut self, statement: &str) -> Result<()> {
        match self {
            Self::Sqlite(connection) => connection.batch_execute(statement)?,
            Self::Mysql(connection) => connection.query_drop(statement).await?,
        }
        Ok(())
    }

    /// Closes the connection.
    pub async fn close(self) {
        match self {
            Self::Sqlite(_) => {}
            Self::Mysql(connection) => connection.disconnect().await.expect("disconnected"),
        }
    }
}
