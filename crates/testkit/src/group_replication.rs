//! The nodes of a MySQL Group Replication group with one primary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::process::Command;

use crate::cluster::{Node, Ports};
use crate::mariadb;

/// Maximum time until a node is a member. It receives and applies what it missed.
const JOIN_MAX: Duration = Duration::from_secs(150);
/// Interval between queries of a node's state.
const PAUSE: Duration = Duration::from_millis(50);

/// Required for replication, or for a fast start of small nodes. Timeouts of the group are MySQL's own.
const SETTINGS: [&str; 15] = [
    "--mysqlx=OFF",
    "--skip-name-resolve=ON",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    // Survives a crash of the node, but not of the machine.
    "--innodb-flush-log-at-trx-commit=2",
    "--sync-binlog=0",
    "--innodb-buffer-pool-size=64M",
    "--innodb-redo-log-capacity=64M",
    "--max-connections=500",
    "--plugin-load-add=group_replication.so",
    "--loose-group-replication-start-on-boot=OFF",
    "--loose-group-replication-recovery-get-public-key=ON",
    // A node that was expelled waits for `rejoin`.
    "--loose-group-replication-autorejoin-tries=0",
    // A new primary reads its own past.
    "--loose-group-replication-consistency=BEFORE_ON_PRIMARY_FAILOVER",
    "--loose-group-replication-paxos-single-leader=OFF",
];

/// Otherwise a node that is restarted accepts writes until it is in its group, which then lacks them.
const READ_ONLY: &str = "--super-read-only=ON";

/// Users and the channel by which a node recovers, on each node by itself.
const INIT: &str = "SET sql_log_bin = 0;\n\
    CREATE USER admin IDENTIFIED BY 'admin';\n\
    GRANT ALL ON *.* TO admin WITH GRANT OPTION;\n\
    CREATE USER shop IDENTIFIED BY 'shop';\n\
    GRANT ALL ON `jangteo\\_test\\_%`.* TO shop;\n\
    CHANGE REPLICATION SOURCE TO SOURCE_USER = 'admin', SOURCE_PASSWORD = 'admin' \
    FOR CHANNEL 'group_replication_recovery';\n";

/// Common parameters of the nodes.
#[derive(Debug)]
pub(crate) struct GroupReplication {
    root: PathBuf,
    /// Random, so that a node never joins another test's group.
    name: String,
    /// The replication addresses of all nodes.
    seeds: String,
}

impl GroupReplication {
    pub(crate) fn new(root: &Path, nodes: &[Node]) -> Result<Self> {
        let program = server(root);
        ensure!(program.exists(), "{} does not exist: set MYSQLD_ROOT to an unpacked MySQL", program.display());
        let seeds = nodes.iter().map(Node::replication_host);
        Ok(Self {
            root: root.to_owned(),
            name: format!("5a0b0f5e-0000-4000-8000-{:012x}", rand::random::<u64>() >> 16),
            seeds: seeds.collect::<Vec<_>>().join(","),
        })
    }

    /// Creates the files of all nodes and starts them.
    pub(crate) async fn start(&self, nodes: &[Node]) -> Result<()> {
        for node in nodes {
            fs::create_dir(&node.folder)?;
            fs::create_dir(node.folder.join("tmp"))?;
            let script = node.folder.join("init.sql");
            fs::write(&script, INIT)?;
            let output = self.command(node).arg("--initialize-insecure").stdin(Stdio::null()).output().await?;
            ensure!(output.status.success(), "mysqld: {}", String::from_utf8_lossy(&output.stderr));
            self.launch(node, &[&format!("--init-file={}", script.display())]).await?;
        }
        self.form(nodes).await
    }

    /// Starts a node that does not run, and waits until it is a member.
    pub(crate) async fn rejoin(&self, node: &Node) -> Result<()> {
        if !node.is_running().await? {
            self.launch(node, &[READ_ONLY]).await?;
        }
        join(node).await
    }

    /// Starts all nodes, and a new group on the one with the most transactions, which the others join.
    pub(crate) async fn start_again(&self, nodes: &[Node]) -> Result<()> {
        for node in nodes {
            self.launch(node, &[READ_ONLY]).await?;
        }
        self.form(nodes).await
    }

    async fn form(&self, nodes: &[Node]) -> Result<()> {
        let mut first: Option<(&Node, String)> = None;
        for node in nodes {
            let mut connection = node.connect().await?;
            // Executed, and received but not yet executed.
            let query = "SELECT CONCAT_WS(',', @@GLOBAL.gtid_executed, (SELECT received_transaction_set FROM \
                         performance_schema.replication_connection_status WHERE \
                         channel_name = 'group_replication_applier'))";
            let has: String = connection.query_first(query).await?.context("a row")?;
            let is_ahead = match &first {
                Some((_, most)) => {
                    let query = "SELECT GTID_SUBSET(?, ?) AND NOT GTID_SUBSET(?, ?)";
                    let ahead: Option<bool> = connection.exec_first(query, (most, &has, &has, most)).await?;
                    ahead == Some(true)
                }
                None => true,
            };
            if is_ahead {
                first = Some((node, has));
            }
            connection.disconnect().await?;
        }
        let (first, _) = first.context("at least one node")?;
        let mut connection = first.connect().await?;
        connection.query_drop("SET GLOBAL group_replication_bootstrap_group = ON").await?;
        connection.query_drop("START GROUP_REPLICATION").await?;
        connection.query_drop("SET GLOBAL group_replication_bootstrap_group = OFF").await?;
        connection.disconnect().await?;
        for node in nodes {
            join(node).await?;
        }
        Ok(())
    }

    pub(crate) async fn switch_over(to: &Node, limit: Option<u32>) -> Result<()> {
        let limit = limit.map(|limit| format!(", {limit}")).unwrap_or_default();
        to.execute(&format!("SELECT group_replication_set_as_primary(@@GLOBAL.server_uuid{limit})")).await
    }

    /// Number of members in sync that the node sees.
    pub(crate) async fn members(node: &Node) -> Result<usize> {
        let mut connection = node.connect().await?;
        let query = "SELECT COUNT(*) FROM performance_schema.replication_group_members WHERE member_state = 'ONLINE'";
        let members: Option<usize> = connection.query_first(query).await?;
        connection.disconnect().await?;
        members.context("a count")
    }

    pub(crate) async fn synchronize(node: &Node) -> Result<()> {
        let mut connection = node.connect().await?;
        connection.query_drop("SET SESSION group_replication_consistency = 'BEFORE'").await?;
        connection.query_drop("SELECT 1 FROM mysql.user LIMIT 1").await?;
        Ok(connection.disconnect().await?)
    }

    pub(crate) async fn launch(&self, node: &Node, arguments: &[&str]) -> Result<()> {
        let mut command = self.command(node);
        command.args(arguments);
        node.set_process(mariadb::start(command, &node.folder, &node.host()).await?).await;
        Ok(())
    }

    fn command(&self, node: &Node) -> Command {
        let Ports { sql, .. } = node.ports;
        let (program, usr) = (server(&self.root), self.root.join("usr"));
        // The unpacked packages of a distribution, with the loader and the libraries that they depend on.
        let libraries = usr.join("lib/x86_64-linux-gnu");
        let loader = libraries.join("ld-linux-x86-64.so.2");
        let mut command = if loader.exists() {
            let mut command = Command::new(&loader);
            command.arg("--library-path").arg(&libraries).arg("--argv0").arg(&program).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        command.arg("--no-defaults");
        if usr.exists() {
            command
                .arg(format!("--basedir={}", usr.display()))
                .arg(format!("--plugin-dir={}", usr.join("lib/mysql/plugin").display()))
                .arg(format!("--lc-messages-dir={}", usr.join("share/mysql").display()))
                .arg(format!("--character-sets-dir={}", usr.join("share/mysql/charsets").display()));
        } else {
            command.arg(format!("--basedir={}", self.root.display()));
        }
        command
            .arg(format!("--datadir={}", node.folder.join("data").display()))
            .arg(format!("--tmpdir={}", node.folder.join("tmp").display()))
            .arg(format!("--secure-file-priv={}", node.folder.join("tmp").display()))
            .arg(format!("--bind-address={}", node.address))
            .arg(format!("--report-host={}", node.address))
            .arg(format!("--port={sql}"))
            .arg(format!("--report-port={sql}"))
            // Relative to the data folder: the path of a socket must be short.
            .args(["--socket=mysqld.sock", "--pid-file=mysqld.pid"])
            .args(SETTINGS)
            .arg(format!("--server-id={sql}"))
            .arg(format!("--loose-group-replication-group-name={}", self.name))
            .arg(format!("--loose-group-replication-local-address={}", node.replication_host()))
            .arg(format!("--loose-group-replication-group-seeds={}", self.seeds))
            .args(mariadb::user_argument());
        node.within_network(command)
    }
}

/// The server in an archive of MySQL, or in the unpacked packages of a distribution.
fn server(root: &Path) -> PathBuf {
    let archived = root.join("bin/mysqld");
    if archived.exists() { archived } else { root.join("usr/sbin/mysqld") }
}

/// Waits until a node is online.
async fn join(node: &Node) -> Result<()> {
    let joining = async {
        // A node that has just been excluded closes connections.
        while !is_online(node).await.unwrap_or(false) {
            ensure!(node.is_running().await?, "the node exited");
            tokio::time::sleep(PAUSE).await;
        }
        anyhow::Ok(())
    };
    let joined = tokio::time::timeout(JOIN_MAX, joining).await;
    let joined = joined.context("the node does not join in time").and_then(|joined| joined);
    joined.with_context(|| format!("the node does not join:\n{}", mariadb::log(&node.folder)))
}

/// Whether a node is a member that accepts queries. Starts its replication if it is not in a group.
async fn is_online(node: &Node) -> Result<bool> {
    let mut connection = node.connect().await?;
    let state = state(&mut connection).await?;
    if matches!(state.as_str(), "OFFLINE" | "ERROR") {
        connection.query_drop("STOP GROUP_REPLICATION").await?;
        // Set on a node that was excluded.
        connection.query_drop("SET GLOBAL offline_mode = OFF").await?;
        // Rejected while the group has not yet excluded the node's former process.
        connection.query_drop("START GROUP_REPLICATION").await?;
    }
    connection.disconnect().await?;
    Ok(state == "ONLINE")
}

async fn state(connection: &mut Conn) -> Result<String> {
    let query = "SELECT member_state FROM performance_schema.replication_group_members \
                 WHERE member_id = @@GLOBAL.server_uuid";
    Ok(connection.query_first(query).await?.unwrap_or_else(|| "OFFLINE".to_owned()))
}
