//! A two-node MariaDB Galera cluster of one test. Both nodes are writable.
//!
//! All sockets are on the loopback. The second node starts on a copy of the first one's files, so no tool for full
//! state transfers is needed; the first node sends the transactions since the copy (an incremental state transfer).

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use tempfile::TempDir;
use tokio::process::Child;

use crate::mariadb::{self, PORT_ATTEMPTS_MAX, START_MAX};

/// Paths of the replication library.
const PROVIDERS: [&str; 4] = [
    "/usr/lib/galera/libgalera_smm.so",
    "/usr/lib/galera-4/libgalera_smm.so",
    "/usr/lib64/galera-4/libgalera_smm.so",
    "/usr/lib64/galera/libgalera_smm.so",
];

/// Interval between queries of a node's state.
const PAUSE: Duration = Duration::from_millis(20);

/// Required for replication, or for a fast start of small nodes.
const SETTINGS: [&str; 8] = [
    "--wsrep-on=ON",
    "--binlog-format=ROW",
    "--innodb-autoinc-lock-mode=2",
    // No node crashes in these tests.
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=32M",
    "--wsrep-slave-threads=2",
    "--wsrep-sst-method=copied",
];

/// A write-set cache large enough for everything since the start. With these timeouts, a busy machine does not make a
/// node suspect the other.
const PROVIDER_OPTIONS: &str = "gcache.size=32M;pc.recovery=false;evs.suspect_timeout=PT30S;evs.inactive_timeout=PT60S";

/// A server calls `wsrep_sst_METHOD` for the state that a joining node lacks. This method transfers nothing: the joiner
/// already has a copy of the files and reports the position of the copy.
const TRANSFER_NOTHING: &str = r#"#!/bin/sh
role= gtid=
while [ $# -gt 0 ]; do
  case $1 in
    --role) role=$2 ;;
    --gtid) gtid=$2 ;;
  esac
  shift
done
case $role in
  joiner) echo "ready 127.0.0.1:1" && echo "$COPIED_AT 0" ;;
  donor) echo "done $gtid" ;;
esac
"#;

/// The cluster, stopped when dropped.
#[derive(Debug)]
pub struct Galera {
    nodes: [Node; 2],
    // Dropped last: the nodes write into it until they are killed.
    _folder: TempDir,
}

/// A node of the cluster.
#[derive(Debug)]
pub struct Node {
    port: u16,
    // Killed on drop.
    _process: Child,
}

impl Galera {
    /// Creates the data folders, starts both nodes and waits until they are in sync.
    ///
    /// # Errors
    /// If MariaDB or its Galera library is not installed, or a node does not start.
    pub async fn start() -> Result<Self> {
        let provider = provider()?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            match Self::try_start(provider).await {
                Ok(cluster) => return Ok(cluster),
                // Another process may have taken one of the ports.
                Err(_) if attempts < PORT_ATTEMPTS_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_start(provider: &'static str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("jangteo-galera-").tempdir()?;
        let tools = folder.path().join("tools");
        make_tools(&tools)?;
        let [first, second] = free_ports()?;
        // Random, so that a node never joins another test's cluster.
        let name = format!("jangteo-{:016x}", rand::random::<u64>());
        let launch = Launch { provider, name, tools, peer: first.replication, copied_at: String::new() };

        let (one, two) = (folder.path().join("1"), folder.path().join("2"));
        fs::create_dir(&one)?;
        mariadb::install(&one).await?;
        let mut process = launch.node(&one, &first, &["--wsrep-new-cluster", &mariadb::init_argument(&one)]).await?;
        mariadb::shut_down(&mut process, first.sql).await?;
        let launch = Launch { copied_at: position(&one)?, ..launch };
        copy(&one, &two).context("the files of the second node")?;

        let process = launch.node(&one, &first, &["--wsrep-new-cluster"]).await?;
        let one = Node { port: first.sql, _process: process };
        let process = launch.node(&two, &second, &[]).await?;
        let two = Node { port: second.sql, _process: process };
        let nodes = [one, two];
        for node in &nodes {
            wait_for(node.port, "wsrep_cluster_size", "2").await?;
        }
        Ok(Self { nodes, _folder: folder })
    }

    /// The node with index 0 or 1.
    ///
    /// # Panics
    /// For any other index.
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// Waits until each node has applied all transactions committed on the other.
    ///
    /// # Errors
    /// If a node does not respond.
    pub async fn synchronize(&self) -> Result<()> {
        for node in &self.nodes {
            let mut connection = connect(node.port).await?;
            connection.query_drop("SET SESSION wsrep_sync_wait = 1").await?;
            connection.query_drop("SELECT 1").await?;
            connection.disconnect().await?;
        }
        Ok(())
    }

    /// Number of transactions aborted because the other node committed first.
    ///
    /// # Errors
    /// If a node does not respond.
    pub async fn aborted_transactions(&self) -> Result<u64> {
        let mut sum = 0;
        for node in &self.nodes {
            let mut connection = connect(node.port).await?;
            // Before COMMIT, and at COMMIT.
            let query = "SHOW STATUS WHERE Variable_name IN ('wsrep_local_bf_aborts', 'wsrep_local_cert_failures')";
            let rows: Vec<(String, u64)> = connection.query(query).await?;
            sum += rows.iter().map(|(_, count)| count).sum::<u64>();
            connection.disconnect().await?;
        }
        Ok(sum)
    }
}

impl Node {
    /// SQL port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Administrator URL, without a database.
    pub fn url(&self) -> String {
        mariadb::url(self.port)
    }
}

struct Ports {
    sql: u16,
    replication: u16,
    transfer: u16,
}

/// Common parameters of the nodes.
struct Launch {
    provider: &'static str,
    name: String,
    tools: PathBuf,
    /// The replication port of the first node.
    peer: u16,
    /// The position of the copied files of the second node.
    copied_at: String,
}

impl Launch {
    /// Starts a node and waits until it is in sync.
    async fn node(&self, folder: &Path, ports: &Ports, settings: &[&str]) -> Result<Child> {
        let Ports { sql, replication, transfer } = ports;
        let mut command = mariadb::command(folder, *sql);
        command
            .args(SETTINGS)
            .arg(format!("--wsrep-provider={}", self.provider))
            .arg(format!("--wsrep-cluster-name={}", self.name))
            .arg(format!("--wsrep-cluster-address=gcomm://127.0.0.1:{}", self.peer))
            .arg(format!("--wsrep-node-address=127.0.0.1:{replication}"))
            .arg(format!(
                "--wsrep-provider-options={PROVIDER_OPTIONS};base_port={replication};\
                 gmcast.listen_addr=tcp://127.0.0.1:{replication};\
                 ist.recv_addr=127.0.0.1:{transfer};ist.recv_bind=127.0.0.1:{transfer}"
            ))
            .args(settings)
            .env("PATH", self.path())
            .env("COPIED_AT", &self.copied_at);
        let process = mariadb::start(command, folder, *sql).await?;
        // 4: synced.
        let synced = wait_for(*sql, "wsrep_local_state", "4").await;
        synced.with_context(|| format!("the node does not join:\n{}", mariadb::log(folder)))?;
        Ok(process)
    }

    /// `PATH` with the tools first.
    fn path(&self) -> OsString {
        let mut path = OsString::from(&self.tools);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        path
    }
}

fn provider() -> Result<&'static str> {
    let found = PROVIDERS.into_iter().find(|path| Path::new(path).exists());
    found.with_context(|| {
        format!(
            "MariaDB's Galera library is at none of {PROVIDERS:?}: install the package galera-4, as `make test` does"
        )
    })
}

fn make_tools(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    let script = folder.join("wsrep_sst_copied");
    fs::write(&script, TRANSFER_NOTHING)?;
    Ok(fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?)
}

/// Distinct ports for two nodes.
fn free_ports() -> Result<[Ports; 2]> {
    let listeners = (0..6).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    let ports = listeners.iter().map(|listener| listener.local_addr().map(|address| address.port()));
    let ports = ports.collect::<Result<Vec<_>, _>>()?;
    let node = |of: usize| Ports { sql: ports[of], replication: ports[of + 1], transfer: ports[of + 2] };
    Ok([node(0), node(3)])
}

async fn connect(port: u16) -> Result<Conn> {
    Ok(Conn::new(Opts::from_url(&mariadb::url(port))?).await?)
}

/// Waits until a status variable of the node has the value.
async fn wait_for(port: u16, variable: &str, expected: &str) -> Result<()> {
    let mut connection = connect(port).await?;
    let query = format!("SHOW STATUS LIKE '{variable}'");
    let read = async {
        loop {
            let row: Option<(String, String)> = connection.query_first(&query).await?;
            if row.is_some_and(|(_, value)| value == expected) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let read = tokio::time::timeout(START_MAX, read).await;
    read.with_context(|| format!("{variable} is not {expected} within {START_MAX:?}"))??;
    Ok(connection.disconnect().await?)
}

/// The cluster id and the number of the last transaction, which a node stores at shutdown.
fn position(folder: &Path) -> Result<String> {
    let state = fs::read_to_string(folder.join("data/grastate.dat")).context("the state of the first node")?;
    let value = |name: &str| state.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    match (value("uuid:"), value("seqno:")) {
        (Some(uuid), Some(number)) if number != "-1" => Ok(format!("{uuid}:{number}")),
        _ => bail!("the first node has no position:\n{state}"),
    }
}

/// Copies a folder recursively.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        // The cache belongs to its node and is preallocated.
        } else if entry.file_name() != "galera.cache" {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
