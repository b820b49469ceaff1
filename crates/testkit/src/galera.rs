//! The nodes of a MariaDB Galera cluster, all writable.
//!
//! All nodes start on copies of the first one's files, so no tool for full state transfers is needed: a node that joins
//! receives only the transactions that it lacks (an incremental state transfer), unless a test discards its files.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mysql_async::prelude::Queryable;
use tokio::process::Command;

use crate::cluster::{Node, Ports};
use crate::mariadb::{self, START_MAX};

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
    // As a donor of a full transfer.
    "--wsrep-sst-auth=admin:admin",
    // Survives a crash of the node, but not of the machine.
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-log-file-size=32M",
    "--wsrep-slave-threads=2",
    "--wsrep-sst-method=incremental",
];

/// A write-set cache large enough for everything that a node misses.
const PROVIDER_OPTIONS: &str = "gcache.size=64M;pc.recovery=false";

/// A server calls `wsrep_sst_METHOD` for the state that a joining node lacks. This method transfers nothing: the joiner
/// reports the position of its files, and a donor fails that cannot send the transactions since (`--bypass`).
const TRANSFER_NOTHING: &str = r#"#!/bin/sh
role= gtid= bypass=
while [ $# -gt 0 ]; do
  case $1 in
    --role) role=$2 ;;
    --gtid) gtid=$2 ;;
    --bypass) bypass=1 ;;
  esac
  shift
done
case $role in
  joiner) echo "ready 127.0.0.1:1" && echo "$POSITION 0" ;;
  donor) [ -n "$bypass" ] && echo "done $gtid" ;;
esac
"#;

/// Common parameters of the nodes.
#[derive(Debug)]
pub(crate) struct Galera {
    provider: &'static str,
    /// Random, so that a node never joins another test's cluster.
    name: String,
    tools: PathBuf,
    /// `gcomm://` and the replication addresses of all nodes.
    address: String,
    options: String,
}

impl Galera {
    pub(crate) fn new(folder: &Path, nodes: &[Node], options: &str) -> Result<Self> {
        let tools = folder.join("tools");
        make_tools(&tools)?;
        let addresses = nodes.iter().map(Node::replication_host);
        Ok(Self {
            provider: provider()?,
            name: format!("jangteo-{:016x}", rand::random::<u64>()),
            tools,
            address: format!("gcomm://{}", addresses.collect::<Vec<_>>().join(",")),
            options: format!("{PROVIDER_OPTIONS};{options}"),
        })
    }

    /// Creates the files of all nodes and starts them.
    pub(crate) async fn start(&self, nodes: &[Node]) -> Result<()> {
        let (first, others) = nodes.split_first().context("at least one node")?;
        fs::create_dir(&first.folder)?;
        mariadb::install(&first.folder).await?;
        self.launch(first, "", &["--wsrep-new-cluster", &mariadb::init_argument(&first.folder)]).await?;
        first.shut_down().await?;
        for node in others {
            copy(&first.folder, &node.folder).context("the files of a node")?;
        }
        self.start_again(nodes).await
    }

    /// Starts a node that does not run, and waits until it is in sync.
    pub(crate) async fn rejoin(&self, node: &Node) -> Result<()> {
        if node.is_running().await? {
            return synced(node).await;
        }
        let position = self.position(node).await?;
        self.launch(node, &position, &[&format!("--wsrep-start-position={position}")]).await
    }

    /// Starts a node without its files, which receives all of another one's.
    pub(crate) async fn rejoin_empty(&self, node: &Node) -> Result<()> {
        let data = node.folder.join("data");
        fs::remove_dir_all(&data)?;
        fs::create_dir(&data)?;
        let address = format!("{}:{}", node.address, node.ports.full_transfer);
        let (method, receive) =
            (format!("--wsrep-sst-method={}", full_transfer()), format!("--wsrep-sst-receive-address={address}"));
        self.launch(node, "", &[&method, &receive]).await
    }

    /// Starts a new cluster on the node with the highest position, which the others join.
    pub(crate) async fn start_again(&self, nodes: &[Node]) -> Result<()> {
        let mut first = None;
        for node in nodes {
            let position = self.position(node).await?;
            let (_, number) = position.split_once(':').context("UUID:NUMBER")?;
            let number: i64 = number.parse()?;
            if first.as_ref().is_none_or(|(most, _, _)| number > *most) {
                first = Some((number, node, position));
            }
        }
        let (_, first, position) = first.context("at least one node")?;
        let state = first.folder.join("data/grastate.dat");
        fs::write(&state, fs::read_to_string(&state)?.replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1"))?;
        let start = format!("--wsrep-start-position={position}");
        self.launch(first, &position, &["--wsrep-new-cluster", &start]).await?;
        for node in nodes.iter().filter(|node| node.port() != first.port()) {
            self.rejoin(node).await?;
        }
        Ok(())
    }

    /// Number of members that the node sees.
    pub(crate) async fn members(node: &Node) -> Result<usize> {
        let mut connection = node.connect().await?;
        let size: Option<(String, usize)> = connection.query_first("SHOW STATUS LIKE 'wsrep_cluster_size'").await?;
        connection.disconnect().await?;
        Ok(size.context("a status of Galera")?.1)
    }

    pub(crate) async fn synchronize(node: &Node) -> Result<()> {
        let mut connection = node.connect().await?;
        connection.query_drop("SET SESSION wsrep_sync_wait = 1").await?;
        connection.query_drop("SELECT 1").await?;
        Ok(connection.disconnect().await?)
    }

    pub(crate) async fn aborted_transactions(node: &Node) -> Result<u64> {
        let mut connection = node.connect().await?;
        // Before COMMIT, and at COMMIT.
        let query = "SHOW STATUS WHERE Variable_name IN ('wsrep_local_bf_aborts', 'wsrep_local_cert_failures')";
        let rows: Vec<(String, u64)> = connection.query(query).await?;
        connection.disconnect().await?;
        Ok(rows.iter().map(|(_, count)| count).sum())
    }

    /// Starts a node with files at this position and waits until it is in sync.
    async fn launch(&self, node: &Node, position: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.command(node);
        command.args(arguments).env("POSITION", position);
        node.set_process(mariadb::start(command, &node.folder, &node.host()).await?).await;
        synced(node).await
    }

    fn command(&self, node: &Node) -> Command {
        let Ports { sql, transfer, .. } = node.ports;
        let (address, replication) = (&node.address, node.replication_host());
        let mut command = mariadb::command(&node.folder, sql);
        command
            .args(SETTINGS)
            .arg(format!("--bind-address={address}"))
            .arg(format!("--wsrep-provider={}", self.provider))
            .arg(format!("--wsrep-cluster-name={}", self.name))
            .arg(format!("--wsrep-cluster-address={}", self.address))
            .arg(format!("--wsrep-node-address={replication}"))
            .arg(format!(
                "--wsrep-provider-options={};base_port={};gmcast.listen_addr=tcp://{replication};\
                 ist.recv_addr={address}:{transfer};ist.recv_bind={address}:{transfer}",
                self.options, node.ports.replication
            ))
            .env("PATH", self.path());
        node.within_network(command)
    }

    /// The cluster's id and the number of the last transaction in the node's files, after crash recovery.
    async fn position(&self, node: &Node) -> Result<String> {
        let output = self.command(node).arg("--wsrep-recover").kill_on_drop(true).output();
        let output = tokio::time::timeout(START_MAX, output).await.context("the recovery does not end")??;
        let log = String::from_utf8_lossy(&output.stderr);
        let line = log.lines().rev().find_map(|line| line.split_once("Recovered position:"));
        let Some((_, position)) = line else { bail!("no position after the recovery:\n{log}") };
        ensure!(!position.ends_with(":-1"), "the node was never in a cluster:\n{log}");
        Ok(position.trim().to_owned())
    }

    /// `PATH` with the tools first.
    fn path(&self) -> OsString {
        let mut path = OsString::from(&self.tools);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        path
    }
}

/// The best installed method of full transfers. A donor by rsync accepts no writes meanwhile.
fn full_transfer() -> &'static str {
    if Path::new("/usr/bin/mariabackup").exists() && Path::new("/usr/bin/socat").exists() {
        "mariabackup"
    } else {
        "rsync"
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
    let script = folder.join("wsrep_sst_incremental");
    fs::write(&script, TRANSFER_NOTHING)?;
    Ok(fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?)
}

/// Waits until a node is in sync.
async fn synced(node: &Node) -> Result<()> {
    let query = async {
        loop {
            // A node that joins closes connections or rejects their queries.
            if let Ok(mut connection) = node.connect().await {
                let state: Option<(String, String)> =
                    connection.query_first("SHOW STATUS LIKE 'wsrep_local_state'").await.ok().flatten();
                // 4: synced.
                if state.is_some_and(|(_, value)| value == "4") {
                    return anyhow::Ok(connection.disconnect().await?);
                }
            }
            ensure!(node.is_running().await?, "the node exited:\n{}", mariadb::log(&node.folder));
            tokio::time::sleep(PAUSE).await;
        }
    };
    let synced = tokio::time::timeout(START_MAX, query).await;
    synced.with_context(|| format!("the node does not join:\n{}", mariadb::log(&node.folder)))?
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
