//! A fresh database for each test, and a plain connection to it that shares no code with the adapters under test.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use diesel::connection::SimpleConnection;
use diesel::{Connection as _, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use serde_json::Value;
use tempfile::TempDir;

/// Who asks InnoDB again within 0.1 s for its transactions or its locks is answered what it was answered before, however
/// often: see "Persistence and Consistency of InnoDB Transaction and Locking Information" in the MySQL manual.
pub const INNODB_FRESH_AFTER: Duration = Duration::from_millis(110);

/// Which database a test runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    /// A file in a temporary folder.
    Sqlite,
    /// A database of its own on the server of `TEST_MYSQL_URL`.
    Mysql,
}

/// One test's database. [`Database::remove`] takes it away again.
#[derive(Debug)]
pub struct Database {
    place: Place,
    /// A folder for whatever belongs to the test; it goes with the database.
    folder: TempDir,
}

#[derive(Debug)]
enum Place {
    Sqlite { file: PathBuf },
    Mysql { server: String, name: String },
}

impl Database {
    /// Makes an empty database.
    ///
    /// # Errors
    /// For MySQL when `TEST_MYSQL_URL` is unset or wrong: a test that cannot run must fail, not be skipped.
    pub async fn create(backend: Backend) -> Result<Self> {
        match backend {
            Backend::Sqlite => {
                let folder = folder()?;
                Ok(Self { place: Place::Sqlite { file: folder.path().join("jangteo.db") }, folder })
            }
            Backend::Mysql => Self::create_on(mysql_server()?).await,
        }
    }

    /// Makes an empty database on that MySQL server, `mysql://USER:PASSWORD@HOST:PORT`.
    ///
    /// # Errors
    /// When the server does not answer, or rejects.
    pub async fn create_on(server: String) -> Result<Self> {
        let name = format!("jangteo_test_{:016x}", rand::random::<u64>());
        admin(&server, &format!("CREATE DATABASE {name}")).await?;
        Ok(Self { place: Place::Mysql { server, name }, folder: folder()? })
    }

    /// Which kind it is.
    pub fn backend(&self) -> Backend {
        match self.place {
            Place::Sqlite { .. } => Backend::Sqlite,
            Place::Mysql { .. } => Backend::Mysql,
        }
    }

    /// Its address, as the setting `DATABASE_URL` takes it.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Sqlite { file } => format!("sqlite:{}", file.display()),
            Place::Mysql { server, name } => format!("{server}/{name}"),
        }
    }

    /// The test's own folder.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The name of the MySQL database.
    ///
    /// # Panics
    /// On SQLite.
    pub fn mysql_name(&self) -> &str {
        match &self.place {
            Place::Sqlite { .. } => panic!("not a MySQL database"),
            Place::Mysql { name, .. } => name,
        }
    }

    /// Opens a connection of the test's own.
    ///
    /// # Panics
    /// When the database cannot be reached.
    pub async fn connect(&self) -> Connection {
        match &self.place {
            Place::Sqlite { file } => {
                let mut connection =
                    SqliteConnection::establish(&file.display().to_string()).expect("the database file can be opened");
                connection.batch_execute("PRAGMA busy_timeout = 10000").expect("a pragma");
                Connection::Sqlite(connection)
            }
            Place::Mysql { server, name } => {
                let options = OptsBuilder::from_opts(Opts::from_url(server).expect("checked when it was created"));
                let options = options.db_name(Some(name)).prefer_socket(false);
                Connection::Mysql(Conn::new(options).await.expect("the database server of the tests answers"))
            }
        }
    }

    /// Ends every connection to the database but this one's own, as a failover does. On SQLite nothing happens.
    pub async fn kill_connections(&self) {
        let Place::Mysql { server, name } = &self.place else { return };
        let mut connection = server_connection(server).await.expect("the database server of the tests answers");
        let ids = connections_to(name, &mut connection).await;
        for id in ids {
            // One that has gone by itself meanwhile is as good as killed.
            let _gone = connection.query_drop(format!("KILL {id}")).await;
        }
        connection.disconnect().await.expect("a clean end");
    }

    /// How many transactions are open in the MySQL database.
    pub async fn open_transactions(&self) -> u64 {
        let Place::Mysql { server, name } = &self.place else { return 0 };
        let mut connection = server_connection(server).await.expect("the database server of the tests answers");
        tokio::time::sleep(INNODB_FRESH_AFTER).await;
        let ids = connections_to(name, &mut connection).await;
        // There is no connection 0, and a list must not be empty.
        let count = format!(
            "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_mysql_thread_id IN (0{})",
            ids.iter().map(|id| format!(", {id}")).collect::<String>()
        );
        let open = connection.query_first(count).await.expect("the open transactions");
        connection.disconnect().await.expect("a clean end");
        open.expect("a count")
    }

    /// Takes the database away. To be called once nothing uses it any more.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn remove(&self) -> Result<()> {
        if let Place::Mysql { server, name } = &self.place {
            self.kill_connections().await;
            admin(server, &format!("DROP DATABASE IF EXISTS {name}")).await?;
        }
        std::fs::remove_dir_all(self.folder.path()).context("the temporary folder cannot be removed")
    }
}

fn folder() -> Result<TempDir> {
    tempfile::Builder::new().prefix("jangteo-test-").tempdir().context("no temporary folder")
}

/// The address of the MySQL server for tests, without a database.
fn mysql_server() -> Result<String> {
    let url = std::env::var("TEST_MYSQL_URL").context(
        "TEST_MYSQL_URL is not set: the tests on MySQL need a server whose user may create databases, as in \
         mysql://user:password@127.0.0.1:3306",
    )?;
    let url = url.trim_end_matches('/').to_owned();
    let options = Opts::from_url(&url).context("TEST_MYSQL_URL is no mysql:// address")?;
    ensure!(options.db_name().is_none(), "TEST_MYSQL_URL must not name a database: each test makes its own");
    Ok(url)
}

/// The ids of the connections to that database. MySQL's table of processes fails where one of them executes what is not
/// text, as ids are not; its list does not.
async fn connections_to(name: &str, connection: &mut Conn) -> Vec<u64> {
    let processes: Vec<mysql_async::Row> = connection.query("SHOW PROCESSLIST").await.expect("the process list");
    let ours =
        processes.iter().filter(|process| process.get::<Option<String>, _>("db").flatten().as_deref() == Some(name));
    ours.map(|process| process.get("Id").expect("an id")).collect()
}

async fn server_connection(server: &str) -> Result<Conn> {
    let options = OptsBuilder::from_opts(Opts::from_url(server)?).prefer_socket(false);
    Conn::new(options).await.context("the server of TEST_MYSQL_URL does not answer")
}

async fn admin(server: &str, statement: &str) -> Result<()> {
    let mut connection = server_connection(server).await?;
    connection.query_drop(statement).await.with_context(|| format!("rejected by the server: {statement}"))?;
    connection.disconnect().await.context("a clean end")
}

/// A plain connection to a test's database.
pub enum Connection {
    /// To a file.
    Sqlite(SqliteConnection),
    /// To a server.
    Mysql(Conn),
}

#[derive(QueryableByName)]
struct JsonRow {
    #[diesel(sql_type = sql_types::Text)]
    row_columns: String,
}

/// A column to read.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// An integer or text, as it is.
    Plain(&'static str),
    /// A binary id, as hexadecimal text.
    Id(&'static str),
    /// An amount, in ten-thousandths.
    Money(&'static str),
    /// A day, as text.
    Day(&'static str),
}

impl Column {
    fn expression(self, backend: Backend) -> String {
        match (self, backend) {
            (Self::Plain(name), _) | (Self::Money(name), Backend::Sqlite) => name.to_owned(),
            // SQLite makes an empty text of an absent id.
            (Self::Id(name), _) => format!("NULLIF(HEX({name}), '')"),
            (Self::Money(name), Backend::Mysql) => format!("CAST({name} * 10000 AS SIGNED)"),
            (Self::Day(name), Backend::Sqlite) => format!("CAST({name} AS TEXT)"),
            (Self::Day(name), Backend::Mysql) => format!("CAST({name} AS CHAR)"),
        }
    }
}

/// Takes a row's columns one after the other.
#[derive(Debug)]
pub struct Row(std::vec::IntoIter<Value>);

impl Row {
    fn next(&mut self) -> Value {
        self.0.next().expect("as many columns as were asked for")
    }

    /// The next column, which is text.
    ///
    /// # Panics
    /// When it is not.
    pub fn text(&mut self) -> String {
        self.optional_text().expect("text, not null")
    }

    /// The next column, which is text or null.
    ///
    /// # Panics
    /// When it is not.
    pub fn optional_text(&mut self) -> Option<String> {
        match self.next() {
            Value::String(text) => Some(text),
            Value::Null => None,
            other => panic!("no text: {other}"),
        }
    }

    /// The next column, which is an integer.
    ///
    /// # Panics
    /// When it is not.
    pub fn number(&mut self) -> i64 {
        let value = self.next();
        value.as_i64().unwrap_or_else(|| panic!("no integer: {value}"))
    }
}

impl Connection {
    /// Which kind of database it is.
    pub fn backend(&self) -> Backend {
        match self {
            Self::Sqlite(_) => Backend::Sqlite,
            Self::Mysql(_) => Backend::Mysql,
        }
    }

    /// Reads these columns of a table (or `table WHERE …`). Both databases can put a row into a JSON array, so that one
    /// reader serves them.
    ///
    /// # Panics
    /// When the database rejects the query, or `read` takes a column for what it is not.
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
        let parse = |row: String| serde_json::from_str::<Vec<Value>>(&row).expect("the database writes JSON");
        rows.into_iter().map(|row| read(&mut Row(parse(row).into_iter()))).collect()
    }

    /// One number.
    ///
    /// # Panics
    /// When the query is rejected, or answers anything but one row.
    pub async fn number(&mut self, expression: &'static str, table: &str) -> i64 {
        let rows = self.rows(table, &[Column::Plain(expression)], Row::number).await;
        assert_eq!(rows.len(), 1, "{expression} from {table}");
        rows[0]
    }

    /// Runs a statement.
    ///
    /// # Panics
    /// When the database rejects it.
    pub async fn execute(&mut self, statement: &str) {
        self.try_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Runs a statement that the database may reject.
    ///
    /// # Errors
    /// What the database says.
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
            Self::Mysql(connection) => connection.disconnect().await.expect("a clean end"),
        }
    }
}
