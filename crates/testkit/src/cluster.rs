//! Clusters of database nodes, of which a test may kill, pause, separate, shut down and restart each.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};

use crate::galera::Galera;
use crate::group_replication::GroupReplication;
use crate::mariadb::{self, PORT_ATTEMPTS_MAX};
use crate::network::{Namespaces, Network, Separation};
use crate::server::Server;

const LOOPBACK: &str = "127.0.0.1";
/// Candidates for ports. Below those of outgoing connections, which would take the port of a node while it is down.
const PORTS: std::ops::Range<u16> = 10_000..20_000;

/// Maximum time of a shutdown. A primary of Group Replication waits 50 s, which is not configurable, for transactions
/// that it sent to the group as it left.
const SHUTDOWN_MAX: Duration = Duration::from_secs(180);
/// Maximum time until a node is in sync again.
const REJOIN_MAX: Duration = Duration::from_secs(180);
/// Interval between queries of the members.
const PAUSE: Duration = Duration::from_millis(50);
/// Maximum time of an insertion by a plain connection, and of its connection attempt.
const PLAIN_MAX: Duration = Duration::from_secs(1);
/// Pause between two insertions.
const PLAIN_PAUSE: Duration = Duration::from_millis(5);

/// A cluster, killed when dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    replication: Replication,
    // Dropped last: the nodes use them until they are killed.
    namespaces: Option<Namespaces>,
    _folder: TempDir,
}

#[derive(Debug)]
enum Replication {
    Galera(Galera),
    Group(GroupReplication),
}

/// A node of a cluster.
#[derive(Debug)]
pub struct Node {
    pub(crate) address: String,
    pub(crate) ports: Ports,
    pub(crate) folder: PathBuf,
    /// Of its network.
    namespace: Option<String>,
    /// `None` before the first start.
    process: Mutex<Option<Child>>,
}

#[derive(Debug)]
pub(crate) struct Ports {
    pub sql: u16,
    pub replication: u16,
    /// For incremental state transfers of Galera.
    pub transfer: u16,
    /// For full ones.
    pub full_transfer: u16,
}

impl Cluster {
    /// Starts MariaDB nodes with Galera, all writable, and waits until they are in sync. The options of the replication
    /// library, `NAME=VALUE;…`, take precedence over those of the tests.
    ///
    /// # Errors
    /// If MariaDB or its Galera library is not installed, or a node does not start.
    pub async fn galera(network: Network, nodes: usize, options: &str) -> Result<Self> {
        Self::start(network, nodes, |folder, nodes| Ok(Replication::Galera(Galera::new(folder, nodes, options)?))).await
    }

    /// Starts MySQL nodes in Group Replication with one primary. `root` is an unpacked MySQL, 8.4 or later.
    ///
    /// # Errors
    /// If `root` has no server, or a node does not start.
    pub async fn group_replication(network: Network, nodes: usize, root: &Path) -> Result<Self> {
        Self::start(network, nodes, |_, nodes| Ok(Replication::Group(GroupReplication::new(root, nodes)?))).await
    }

    async fn start(
        network: Network,
        count: usize,
        replication: impl Fn(&Path, &[Node]) -> Result<Replication>,
    ) -> Result<Self> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let folder = tempfile::Builder::new().prefix("jangteo-cluster-").tempdir()?;
            let namespaces = match network {
                Network::Loopback => None,
                Network::Namespaces => Some(Namespaces::create(count)?),
            };
            let nodes = free_ports(count).into_iter().enumerate().map(|(index, ports)| Node {
                address: namespaces.as_ref().map_or(LOOPBACK.to_owned(), |namespaces| namespaces.address(index)),
                ports,
                folder: folder.path().join((index + 1).to_string()),
                namespace: namespaces.as_ref().map(|namespaces| namespaces.name(index)),
                process: Mutex::default(),
            });
            let nodes: Vec<Node> = nodes.collect();
            let replication = replication(folder.path(), &nodes)?;
            let started = match &replication {
                Replication::Galera(galera) => galera.start(&nodes).await,
                Replication::Group(group) => group.start(&nodes).await,
            };
            match started {
                Ok(()) => return Ok(Self { nodes, replication, namespaces, _folder: folder }),
                // Another process may have taken one of the ports.
                Err(_) if attempts < PORT_ATTEMPTS_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A node by its index.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// All nodes, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Administrator URL of all nodes, without a database.
    pub fn url(&self) -> String {
        mariadb::url(&self.hosts(0))
    }

    /// URL of a test database for the shop's unprivileged user: all nodes, `first` first.
    pub fn shop_url(&self, first: usize, database: &str) -> String {
        mariadb::shop_url_of(&self.hosts(first), database)
    }

    fn hosts(&self, first: usize) -> String {
        let (before, rest) = self.nodes.split_at(first);
        rest.iter().chain(before).map(Node::host).collect::<Vec<_>>().join(",")
    }

    /// Restarts a node that was killed or shut down, or awaits one that was resumed, until all nodes are in sync.
    ///
    /// # Errors
    /// If it does not start or join.
    pub async fn rejoin(&self, index: usize) -> Result<()> {
        let node = &self.nodes[index];
        let joining = async {
            loop {
                match &self.replication {
                    Replication::Galera(galera) => galera.rejoin(node).await?,
                    Replication::Group(group) => group.rejoin(node).await?,
                }
                // A node that was paused reports the past until it notices its exclusion, which the others know.
                if self.is_complete().await {
                    return anyhow::Ok(());
                }
                sleep(PAUSE).await;
            }
        };
        timeout(REJOIN_MAX, joining).await.context("the node does not rejoin")?
    }

    /// Whether each node sees all nodes.
    async fn is_complete(&self) -> bool {
        let members = try_join_all(self.nodes.iter().map(async |node| match &self.replication {
            Replication::Galera(_) => Galera::members(node).await,
            Replication::Group(_) => GroupReplication::members(node).await,
        }));
        members.await.is_ok_and(|members| members.iter().all(|count| *count == self.nodes.len()))
    }

    /// Restarts the cluster after the death of all nodes, from the one with the most transactions.
    ///
    /// # Errors
    /// If a node does not start or join.
    pub async fn start_again(&self) -> Result<()> {
        match &self.replication {
            Replication::Galera(galera) => galera.start_again(&self.nodes).await,
            Replication::Group(group) => group.start_again(&self.nodes).await,
        }
    }

    /// Discards the data of a node of Galera that was shut down, and restarts it with a full copy of another one's.
    ///
    /// # Errors
    /// If it does not start or join, or for Group Replication.
    pub async fn rejoin_empty(&self, index: usize) -> Result<()> {
        match &self.replication {
            Replication::Galera(galera) => galera.rejoin_empty(&self.nodes[index]).await?,
            Replication::Group(_) => bail!("not tried with Group Replication"),
        }
        self.rejoin(index).await
    }

    /// Restarts a killed node of Group Replication outside of its group, where it accepts writes.
    ///
    /// # Errors
    /// If it does not start, or for Galera.
    pub async fn start_outside(&self, index: usize) -> Result<()> {
        match &self.replication {
            Replication::Galera(_) => bail!("a node of Galera joins as it starts"),
            Replication::Group(group) => group.launch(&self.nodes[index], &[]).await,
        }
    }

    /// Makes another node the primary of Group Replication. With a limit in seconds, transactions under way are rolled
    /// back after it; without, they are waited for.
    ///
    /// # Errors
    /// If the group rejects it, or for Galera, which has no primary.
    pub async fn switch_over(&self, to: usize, limit: Option<u32>) -> Result<()> {
        match &self.replication {
            Replication::Galera(_) => bail!("all nodes of Galera are writable"),
            Replication::Group(_) => GroupReplication::switch_over(&self.nodes[to], limit).await,
        }
    }

    /// Whether the nodes have a primary: they are in Group Replication.
    pub fn has_primary(&self) -> bool {
        matches!(self.replication, Replication::Group(_))
    }

    /// Excludes silent nodes earlier than by default, until a node restarts. Galera needs some time: two nodes that suspect
    /// each other on a busy machine have no majority.
    ///
    /// # Errors
    /// If a node does not respond.
    pub async fn exclude_early(&self) -> Result<()> {
        self.execute_everywhere(match &self.replication {
            Replication::Galera(_) => "SET GLOBAL wsrep_provider_options = 'evs.suspect_timeout=PT2S'",
            Replication::Group(_) => "SET GLOBAL group_replication_member_expel_timeout = 0",
        })
        .await
    }

    /// Executes a statement on each node.
    ///
    /// # Errors
    /// If a node does not respond or rejects it.
    pub async fn execute_everywhere(&self, statement: &str) -> Result<()> {
        try_join_all(self.nodes.iter().map(|node| node.execute(statement))).await.map(drop)
    }

    /// Separates a node from others.
    ///
    /// # Errors
    /// If the nodes have no namespaces.
    pub fn separate(&self, index: usize, separation: Separation) -> Result<()> {
        self.namespaces.as_ref().context("a network of namespaces")?.separate(index, separation)
    }

    /// Ends all separations of a node.
    ///
    /// # Errors
    /// If the nodes have no namespaces.
    pub fn reconnect(&self, index: usize) -> Result<()> {
        self.namespaces.as_ref().context("a network of namespaces")?.reconnect(index)
    }

    /// The index of the node that a server writes to, by its metrics.
    pub async fn writer_of(&self, server: &Server) -> Option<usize> {
        let writer = server.database_writer().await?;
        self.nodes.iter().position(|node| node.host() == writer)
    }

    /// Waits until each node has applied all transactions committed on the others.
    ///
    /// # Errors
    /// If a node does not respond.
    pub async fn synchronize(&self) -> Result<()> {
        let synchronized = self.nodes.iter().map(async |node| match &self.replication {
            Replication::Galera(_) => Galera::synchronize(node).await,
            Replication::Group(_) => GroupReplication::synchronize(node).await,
        });
        try_join_all(synchronized).await.map(drop)
    }

    /// Number of transactions aborted because another node of Galera committed first.
    ///
    /// # Errors
    /// If a node does not respond.
    pub async fn aborted_transactions(&self) -> Result<u64> {
        Ok(try_join_all(self.nodes.iter().map(Galera::aborted_transactions)).await?.iter().sum())
    }
}

impl Node {
    /// SQL port.
    pub fn port(&self) -> u16 {
        self.ports.sql
    }

    /// `host:port` of SQL.
    pub fn host(&self) -> String {
        format!("{}:{}", self.address, self.ports.sql)
    }

    /// `host:port` of the replication.
    pub(crate) fn replication_host(&self) -> String {
        format!("{}:{}", self.address, self.ports.replication)
    }

    /// Administrator URL, without a database.
    pub fn url(&self) -> String {
        mariadb::url(&self.host())
    }

    pub(crate) async fn connect(&self) -> Result<Conn> {
        Ok(Conn::new(Opts::from_url(&self.url())?).await?)
    }

    /// Executes a statement of an administrator.
    ///
    /// # Errors
    /// If the node does not respond or rejects it.
    pub async fn execute(&self, statement: &str) -> Result<()> {
        let mut connection = self.connect().await?;
        connection.query_drop(statement).await?;
        Ok(connection.disconnect().await?)
    }

    /// The command, within the node's network.
    pub(crate) fn within_network(&self, command: Command) -> Command {
        let Some(namespace) = &self.namespace else { return command };
        let command = command.as_std();
        let mut within = Command::new("ip");
        within.args(["netns", "exec", namespace]).arg(command.get_program()).args(command.get_args());
        within.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        within
    }

    pub(crate) async fn set_process(&self, process: Child) {
        *self.process.lock().await = Some(process);
    }

    /// Whether the process runs.
    pub(crate) async fn is_running(&self) -> Result<bool> {
        match &mut *self.process.lock().await {
            Some(process) => Ok(process.try_wait()?.is_none()),
            None => Ok(false),
        }
    }

    /// Sends SIGKILL and waits for the exit.
    ///
    /// # Errors
    /// If it was never started.
    pub async fn kill(&self) -> Result<()> {
        let mut process = self.process.lock().await;
        Ok(process.as_mut().context("it was started")?.kill().await?)
    }

    /// Suspends the process, with its sockets open.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP).await
    }

    /// Continues a paused process. [`Cluster::rejoin`] awaits its return to the cluster.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT).await
    }

    /// Shuts the node down.
    ///
    /// # Errors
    /// If it does not exit in time, or exits with an error.
    pub async fn shut_down(&self) -> Result<()> {
        self.signal(Signal::SIGTERM).await?;
        let mut process = self.process.lock().await;
        let exit = process.as_mut().context("it was started")?.wait();
        let status = timeout(SHUTDOWN_MAX, exit).await.context("the node does not exit")??;
        ensure!(status.success(), "the node exited with {status}:\n{}", mariadb::log(&self.folder));
        Ok(())
    }

    async fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.lock().await;
        let id = process.as_ref().and_then(Child::id).context("the node runs")?;
        Ok(kill(Pid::from_raw(i32::try_from(id)?), signal)?)
    }
}

/// Inserts rows into a table of their own until `stop`, by a plain connection to the first host that accepts them, and
/// returns the times of the commits. `hosts` are `host:port`.
pub async fn insert_rows(hosts: &[String], database: &str, stop: watch::Receiver<bool>) -> Vec<Instant> {
    let mut commits = Vec::new();
    let mut hosts = hosts.iter().cycle();
    let mut connection = None;
    while !*stop.borrow() {
        let inserted = async {
            let connection = match &mut connection {
                Some(connection) => connection,
                None => {
                    let url = mariadb::url(hosts.next().context("a cluster has nodes")?);
                    let mut opened = Conn::new(Opts::from_url(&format!("{url}/{database}"))?).await?;
                    opened.query_drop("CREATE TABLE IF NOT EXISTS plain_rows (id SERIAL PRIMARY KEY)").await?;
                    connection.insert(opened)
                }
            };
            anyhow::Ok(connection.query_drop("INSERT INTO plain_rows VALUES ()").await?)
        };
        match timeout(PLAIN_MAX, inserted).await {
            Ok(Ok(())) => commits.push(Instant::now()),
            Ok(Err(_)) | Err(_) => connection = None,
        }
        sleep(PLAIN_PAUSE).await;
    }
    commits
}

/// Distinct ports of the nodes, free at this moment.
fn free_ports(nodes: usize) -> Vec<Ports> {
    let mut ports = BTreeSet::new();
    while ports.len() < 4 * nodes {
        let port = rand::random_range(PORTS);
        if TcpListener::bind((LOOPBACK, port)).is_ok() {
            ports.insert(port);
        }
    }
    let ports: Vec<u16> = ports.into_iter().collect();
    let ports = ports.chunks_exact(4);
    ports.map(|of| Ports { sql: of[0], replication: of[1], transfer: of[2], full_transfer: of[3] }).collect()
}
