//! Facts about the hosts of both URLs, read without the pools and the election: a refused server can be examined too.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use mysql_async::prelude::{FromRow, Queryable as _};
use mysql_async::{Conn, Error, Opts, Row};
use tokio::time::timeout;

use super::server::Variables;
use super::{WRITE_SESSION, hosts, hosts_of, session_options};
use crate::DatabaseSettings;
use crate::doctor::Check;
use crate::error::OpenError;

mod checks;
mod grants;

/// Upper bound of the connection to one host and of all queries.
const READ_MAX: Duration = Duration::from_secs(10);
/// Connections besides the lanes and the reads: marker queries, claims, outcomes, overdue orders, heartbeats.
const OTHER_CONNECTIONS: u32 = 5;

/// A host, as the settings name it.
#[derive(Debug, Clone)]
struct Host {
    /// `host:port`.
    name: String,
    purpose: Purpose,
    /// On this machine: no network in between.
    is_local: bool,
    /// Whether its certificate is verified.
    is_verified: bool,
    /// Upper bound of this process's connections to it.
    connections_max: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Of `DATABASE_URL`: it may become the writer.
    Write,
    /// Of `DATABASE_READ_URL`.
    Read,
}

/// A fact, or the server's reason to withhold it, which names the missing privilege.
type Readable<T> = Result<T, String>;

/// The facts about a host.
struct Facts {
    /// Of a session of Jangteo.
    variables: Variables,
    status: Variables,
    database: String,
    /// They may contain the hash of a password.
    grants: Vec<String>,
    is_sysdate_moving: bool,
    clock: Clock,
    is_replica: Readable<bool>,
    replicas: Readable<usize>,
    /// The state in Group Replication.
    member_state: Readable<Option<String>>,
}

/// The offset of a host's clock from this machine's, in seconds.
#[derive(Debug, Clone, Copy)]
struct Clock {
    offset: f64,
    /// Half of the round trip.
    uncertainty: f64,
}

pub(crate) async fn examine(settings: &DatabaseSettings, now: fn() -> SystemTime) -> Result<Vec<Check>, OpenError> {
    let (writers, readers) = hosts_of(settings)?;
    let readers_max = settings.pool_max + settings.search_pool_max;
    let connections_max = settings.write_connections + OTHER_CONNECTIONS + readers_max;
    let writers = writers.into_iter().map(|options| (Host::of(&options, Purpose::Write, connections_max), options));
    let readers = readers.into_iter().map(|options| (Host::of(&options, Purpose::Read, readers_max), options));
    let examined = writers.chain(readers).map(async |(host, options)| (host, read(&options, now).await));
    Ok(checks::evaluate(&join_all(examined).await))
}

impl Host {
    fn of(options: &Opts, purpose: Purpose, connections_max: u32) -> Self {
        Self {
            name: hosts::name(options),
            purpose,
            is_local: hosts::is_local(options),
            is_verified: options.ssl_opts().is_some_and(|tls| !tls.accept_invalid_certs()),
            connections_max,
        }
    }
}

/// The facts, or the reason why they cannot be read.
async fn read(options: &Opts, now: fn() -> SystemTime) -> Result<Facts, String> {
    let reading = async {
        let mut connection = Conn::new(session_options(options, &WRITE_SESSION)).await?;
        let facts = read_facts(&mut connection, options.db_name().unwrap_or_default().to_owned(), now).await?;
        connection.disconnect().await?;
        Ok::<Facts, Error>(facts)
    };
    let read = timeout(READ_MAX, reading).await.map_err(|_| format!("no answer within {} s", READ_MAX.as_secs()))?;
    read.map_err(|error| error.to_string())
}

async fn read_facts(connection: &mut Conn, database: String, now: fn() -> SystemTime) -> Result<Facts, Error> {
    let variables = Variables(connection.query("SHOW VARIABLES").await?);
    let status = Variables(connection.query("SHOW STATUS").await?);
    // MariaDB counts its replicas without a privilege.
    let replicas = match status.value("Slaves_connected").and_then(|count| count.parse().ok()) {
        Some(count) => Ok(count),
        None => rows(connection, &["SHOW REPLICAS", "SHOW SLAVE HOSTS"]).await?.map(|rows: Vec<Row>| rows.len()),
    };
    let sources: Readable<Vec<Row>> = rows(connection, &["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"]).await?;
    let member =
        "SELECT member_state FROM performance_schema.replication_group_members WHERE member_id = @@server_uuid";
    let member_state: Readable<Vec<String>> =
        if variables.is_group_member() { rows(connection, &[member]).await? } else { Ok(Vec::new()) };
    Ok(Facts {
        is_sysdate_moving: is_sysdate_moving(connection).await?,
        clock: clock(connection, now).await?,
        grants: connection.query("SHOW GRANTS").await?,
        is_replica: sources.map(|sources| !sources.is_empty()),
        member_state: member_state.map(|states| states.into_iter().next()),
        variables,
        status,
        database,
        replicas,
    })
}

/// The rows of the first statement that the server's version knows, or its reason to withhold them.
async fn rows<R: FromRow + Send + 'static>(
    connection: &mut Conn,
    statements: &[&str],
) -> Result<Readable<Vec<R>>, Error> {
    const SYNTAX_ERROR: u16 = 1064;
    let mut reason = String::new();
    for statement in statements {
        match connection.query(*statement).await {
            Ok(rows) => return Ok(Ok(rows)),
            Err(Error::Server(error)) => {
                reason = error.message;
                if error.code != SYNTAX_ERROR {
                    break;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Err(reason))
}

async fn is_sysdate_moving(connection: &mut Conn) -> Result<bool, Error> {
    let text = "SELECT CAST(SYSDATE(6) AS CHAR), SLEEP(0.01), CAST(SYSDATE(6) AS CHAR)";
    let times: Option<(String, i64, String)> = connection.query_first(text).await?;
    Ok(times.is_some_and(|(before, _, after)| before != after))
}

async fn clock(connection: &mut Conn, now: fn() -> SystemTime) -> Result<Clock, Error> {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let sent = seconds(now());
    let time: Option<f64> = connection.query_first("SELECT UNIX_TIMESTAMP(SYSDATE(6)) + 0e0").await?;
    let received = seconds(now());
    let time = time.unwrap_or_default();
    Ok(Clock { offset: time - f64::midpoint(sent, received), uncertainty: (received - sent) / 2.0 })
}
