//! Isolated test databases: a temporary file, or a schema on a real server. Both are removed, even after a failed test.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use jangteo_domain::testing::batch_id;
use jangteo_domain::transaction::{Changes, FirstKeys, LockSet};
use jangteo_domain::{StoreError, UnitOfWork};
use jangteo_sql::{Database, DatabaseSettings, Dialect};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, Row};
use serde_json::Value;
use tempfile::TempDir;

/// A migrated, empty database.
pub struct TestDatabase {
    pub database: Database,
    pub settings: DatabaseSettings,
    place: Place,
}

enum Place {
    Directory(TempDir),
    Schema(Schema),
}

impl TestDatabase {
    /// In a temporary directory.
    pub async fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", file_in(&directory));
        Self::migrated(url, Place::Directory(directory)).await
    }

    /// In a schema of its own on the server of `TEST_MYSQL_URL`.
    pub async fn mysql() -> Self {
        let schema = Schema::create().await;
        Self::migrated(schema.url(), Place::Schema(schema)).await
    }

    pub async fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Mysql => Self::mysql().await,
            Dialect::Sqlite => Self::sqlite().await,
        }
    }

    async fn migrated(url: String, place: Place) -> Self {
        let settings = DatabaseSettings { pool_max: 4, write_connections: 6, ..DatabaseSettings::new(url) };
        let database = Database::open(settings.clone()).await.expect("valid settings");
        database.migrate().await.expect("migrations that run");
        Self { database, settings, place }
    }

    /// A unit of work without locks.
    pub async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        let (unit, _) = self.database.unit_of_work_factory().begin(batch_id(), &FirstKeys::default()).await?;
        Ok(unit)
    }

    /// Commits changes without updates.
    pub async fn commit(&self, changes: Changes) -> Result<(), StoreError> {
        let mut unit = self.begin().await?;
        unit.lock(&LockSet::default()).await?;
        unit.commit(changes).await
    }

    /// The rows of a query whose one column is a JSON object.
    pub async fn objects(&self, query: &str) -> Vec<Value> {
        let rows = match &self.place {
            Place::Directory(directory) => sqlite_texts(&file_in(directory), query),
            Place::Schema(schema) => schema.connect().await.query(query).await.expect("a query"),
        };
        rows.iter().map(|row: &String| serde_json::from_str(row).expect("a JSON object")).collect()
    }

    /// The steps of SQLite's plan of a query, with unbound parameters.
    pub fn plan(&self, query: &str) -> Vec<String> {
        use diesel::RunQueryDsl as _;
        let Place::Directory(directory) = &self.place else { panic!("not an SQLite database") };
        let steps = diesel::sql_query(format!("EXPLAIN QUERY PLAN {query}"));
        let steps: Vec<Step> = steps.load(&mut sqlite_connection(&file_in(directory))).expect("a plan");
        steps.into_iter().map(|step| step.detail).collect()
    }

    pub async fn number(&self, query: &str) -> i64 {
        let object = format!("SELECT CAST(JSON_OBJECT('n', ({query})) AS CHAR)");
        self.objects(&object).await[0]["n"].as_i64().expect("a number")
    }

    /// A test session on the MySQL server.
    pub async fn session(&self) -> Conn {
        match &self.place {
            Place::Directory(_) => panic!("not a MySQL database"),
            Place::Schema(schema) => schema.connect().await,
        }
    }

    /// Runs statements past the database under test.
    pub async fn execute(&self, statements: &str) {
        match &self.place {
            Place::Directory(directory) => sqlite_execute(&file_in(directory), statements),
            Place::Schema(schema) => schema.connect().await.query_drop(statements).await.expect("statements"),
        }
    }

    /// The connections to the schema; empty on SQLite.
    pub async fn processes(&self) -> Vec<Process> {
        match &self.place {
            Place::Directory(_) => Vec::new(),
            Place::Schema(schema) => schema.processes().await,
        }
    }

    /// Kills every connection to the schema; `false` on SQLite.
    pub async fn kill_connections(&self) -> bool {
        match &self.place {
            Place::Directory(_) => false,
            Place::Schema(schema) => {
                schema.kill_connections().await;
                true
            }
        }
    }

    /// An amount column in 1/10,000.
    pub fn money(&self, column: &str) -> String {
        match self.database.dialect() {
            Dialect::Mysql => format!("CAST({column} * 10000 AS SIGNED)"),
            Dialect::Sqlite => column.to_owned(),
        }
    }

    /// A time column in microseconds.
    pub fn time(&self, column: &str) -> String {
        match self.database.dialect() {
            Dialect::Mysql => format!("TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {column})"),
            Dialect::Sqlite => column.to_owned(),
        }
    }
}

/// A step of a plan.
#[derive(diesel::QueryableByName)]
struct Step {
    #[diesel(sql_type = diesel::sql_types::Text)]
    detail: String,
}

fn file_in(directory: &TempDir) -> String {
    directory.path().join("jangteo.db").display().to_string()
}

fn sqlite_connection(path: &str) -> diesel::SqliteConnection {
    use diesel::connection::SimpleConnection as _;
    let mut connection = <diesel::SqliteConnection as diesel::Connection>::establish(path).expect("a file");
    connection.batch_execute("PRAGMA busy_timeout = 5000").expect("a pragma");
    connection
}

fn sqlite_texts(path: &str, query: &str) -> Vec<String> {
    use diesel::RunQueryDsl as _;
    let rows = diesel::dsl::sql::<diesel::sql_types::Text>(query);
    rows.load(&mut sqlite_connection(path)).expect("a query")
}

fn sqlite_execute(path: &str, statements: &str) {
    use diesel::connection::SimpleConnection as _;
    sqlite_connection(path).batch_execute(statements).expect("statements");
}

/// A connection to the server.
pub struct Process {
    pub id: u64,
    /// The statement in preparation or execution; empty when idle.
    pub statement: String,
    /// A statement in preparation waits for no lock.
    pub is_preparing: bool,
}

/// A schema on a real server.
pub struct Schema {
    server: String,
    name: String,
}

impl Schema {
    /// Creates one with a unique name.
    pub async fn create() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var("TEST_MYSQL_URL").expect(
            "TEST_MYSQL_URL names the MySQL server to test on, as mysql://user:password@127.0.0.1:port with the right \
             to create databases called jangteo_test_…; `make test` starts one and sets it",
        );
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_micros();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("jangteo_test_{:x}_{now:x}_{number}", std::process::id());
        let schema = Self { server: server.trim_end_matches('/').to_owned(), name };
        // The migrations must not depend on the server's default character set.
        let create = format!("CREATE DATABASE {} CHARACTER SET latin1", schema.name);
        connect(&schema.server).await.query_drop(create).await.expect("the right to create databases");
        schema
    }

    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    pub async fn connect(&self) -> Conn {
        connect(&self.url()).await
    }

    pub async fn kill_connections(&self) {
        let mut connection = connect(&self.server).await;
        for process in self.processes().await {
            // It may have ended meanwhile.
            let _ended: Result<Vec<Row>, _> = connection.query(format!("KILL {}", process.id)).await;
        }
    }

    /// The connections to the schema. MySQL's `processlist` table fails on binary statement text, such as ids; `SHOW
    /// PROCESSLIST` does not.
    pub async fn processes(&self) -> Vec<Process> {
        let rows: Vec<Row> = connect(&self.server).await.query("SHOW FULL PROCESSLIST").await.expect("a list");
        let ours = rows.iter().filter(|row| row.get::<Option<String>, _>("db") == Some(Some(self.name.clone())));
        let process = |row: &Row| Process {
            id: row.get("Id").expect("an id"),
            statement: String::from_utf8_lossy(&row.get::<Option<Vec<u8>>, _>("Info").flatten().unwrap_or_default())
                .into_owned(),
            is_preparing: row.get::<String, _>("Command").expect("a command") == "Prepare",
        };
        ours.map(process).collect()
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let drop = async move {
            let schema = std::mem::ManuallyDrop::new(Self { server, name });
            schema.kill_connections().await;
            let drop = format!("DROP DATABASE IF EXISTS {}", schema.name);
            connect(&schema.server).await.query_drop(drop).await.expect("a database to drop");
        };
        // The test's runtime may be gone, and blocking is not allowed in it: a new runtime on a new thread.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let bounded = async { tokio::time::timeout(Duration::from_secs(20), drop).await };
        let dropped = std::thread::spawn(move || runtime.block_on(bounded));
        if !matches!(dropped.join(), Ok(Ok(()))) && !std::thread::panicking() {
            panic!("the database of the test could not be dropped");
        }
    }
}

async fn connect(url: &str) -> Conn {
    let options = Opts::from_url(url).expect("TEST_MYSQL_URL is a URL");
    let options = mysql_async::OptsBuilder::from_opts(options).prefer_socket(false);
    Conn::new(options).await.expect("the server of TEST_MYSQL_URL answers")
}
