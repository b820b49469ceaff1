//! Clusters of database nodes on the loopback, of which a test may kill, pause, shut down and restart each.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};

use crate::galera::Galera;
use crate::group_replication::GroupReplication;
use crate::mariadb::{self, PORT_ATTEMPTS_MAX};
use crate::server::Server;

/// Candidates for ports. Below those of outgoing connections, which would take the port of a node while it is down.
const PORTS: std::ops::Range<u16> = 10_000..20_000;

/// Maximum time of a shutdown. MySQL in Group Replication takes up to a minute.
const SHUTDOWN_MAX: Duration = Duration::from_secs(180);
/// Maximum time until a node is in sync again.
const REJOIN_MAX: Duration = Duration::from_secs(120);
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
    // Dropped last: the nodes write into it until they are killed.
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
    pub(crate) ports: Ports,
    pub(crate) folder: PathBuf,
    /// `None` before the first start.
    process: Mutex<Option<Child>>,
}

#[derive(Debug)]
pub(crate) struct Ports {
    pub sql: u16,
    pub replication: u16,
    /// For incremental state transfers of Galera.
    pub transfer: u16,
}

impl Cluster {
    /// Starts MariaDB nodes with Galera, all writable, and waits until they are in sync. The options of the replication
    /// library, `NAME=VALUE;…`, take precedence over those of the tests.
    ///
    /// # Errors
    /// If MariaDB or its Galera library is not installed, or a node does not start.
    pub async fn galera(nodes: usize, options: &str) -> Result<Self> {
        Self::start(nodes, |folder, nodes| Ok(Replication::Galera(Galera::new(folder, nodes, options)?))).await
    }

    /// Starts MySQL nodes in Group Replication with one primary. `root` is an unpacked MySQL, 8.4 or later.
    ///
    /// # Errors
    /// If `root` has no server, or a node does not start.
    pub async fn group_replication(nodes: usize, root: &Path) -> Result<Self> {
        Self::start(nodes, |_, nodes| Ok(Replication::Group(GroupReplication::new(root, nodes)?))).await
    }

    async fn start(count: usize, replication: impl Fn(&Path, &[Node]) -> Result<Replication>) -> Result<Self> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let folder = tempfile::Builder::new().prefix("jangteo-cluster-").tempdir()?;
            let nodes = free_ports(count).into_iter().zip(1..).map(|(ports, number)| {
                let folder = folder.path().join(number.to_string());
                Node { ports, folder, process: Mutex::default() }
            });
            let nodes: Vec<Node> = nodes.collect();
            let replication = replication(folder.path(), &nodes)?;
            let started = match &replication {
                Replication::Galera(galera) => galera.start(&nodes).await,
                Replication::Group(group) => group.start(&nodes).await,
            };
            match started {
                Ok(()) => return Ok(Self { nodes, replication, _folder: folder }),
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

    /// Makes another node the primary of Group Replication.
    ///
    /// # Errors
    /// If the group rejects it, or for Galera, which has no primary.
    pub async fn switch_over(&self, to: usize) -> Result<()> {
        match &self.replication {
            Replication::Galera(_) => anyhow::bail!("all nodes of Galera are writable"),
            Replication::Group(group) => group.switch_over(&self.nodes[to]).await,
        }
    }

    /// The index of the node that a server writes to, by its metrics.
    pub async fn writer_of(&self, server: &Server) -> Option<usize> {
        let metrics = String::from_utf8(server.anonymous().get("/metrics").await.expect(200).body).expect("UTF-8");
        let series = metrics.lines().filter_map(|line| line.strip_prefix("jangteo_database_writer{host=\""));
        let writer = series.filter_map(|line| line.strip_suffix("\"} 1")).next()?;
        self.nodes.iter().position(|node| node.host() == writer)
    }

    /// Inserts rows into a table of their own until `stop`, by a plain connection to the first node that accepts them, and
    /// returns the times of the commits.
    pub async fn insert_rows(&self, database: &str, stop: watch::Receiver<bool>) -> Vec<Instant> {
        let mut commits = Vec::new();
        let mut node = self.nodes.iter().cycle();
        let mut connection = None;
        while !*stop.borrow() {
            let inserted = async {
                let connection = match &mut connection {
                    Some(connection) => connection,
                    None => {
                        let url = format!("{}/{database}", node.next().context("a cluster has nodes")?.url());
                        let mut opened = Conn::new(Opts::from_url(&url)?).await?;
                        let table = "CREATE TABLE IF NOT EXISTS plain_rows (id SERIAL PRIMARY KEY)";
                        opened.query_drop(table).await?;
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
    /// SQL port on the loopback.
    pub fn port(&self) -> u16 {
        self.ports.sql
    }

    /// `host:port` of SQL.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.ports.sql)
    }

    /// Administrator URL, without a database.
    pub fn url(&self) -> String {
        mariadb::url(&self.host())
    }

    pub(crate) async fn connect(&self) -> Result<Conn> {
        Ok(Conn::new(Opts::from_url(&self.url())?).await?)
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

/// Distinct ports of the nodes, free at this moment.
fn free_ports(nodes: usize) -> Vec<Ports> {
    let mut ports = BTreeSet::new();
    while ports.len() < 3 * nodes {
        let port = rand::random_range(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.insert(port);
        }
    }
    let ports: Vec<u16> = ports.into_iter().collect();
    ports.chunks_exact(3).map(|of| Ports { sql: of[0], replication: of[1], transfer: of[2] }).collect()
}
