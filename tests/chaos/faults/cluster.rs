//! Failures of the nodes of a database cluster, beside a plain connection to the same nodes.

use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use jangteo_testkit::{
    Cluster, Connection, InjectionPoint, NetworkFault, Node, Plan, Proxy, Separation, Server, eventually_within,
    insert_rows,
};
use rand::RngExt;
use tokio::sync::watch;

use crate::arena::Arena;
use crate::faults::Notes;

/// Writes that the callers must complete after each step, more than are in flight.
pub const PROGRESS: usize = 40;
/// Maximum time until the servers have another writer.
const ELECTION_MAX: Duration = Duration::from_secs(60);
/// Duration of a state in which the primary accepts no sessions, or the next primary applies nothing.
const REJECTION: Duration = Duration::from_secs(2);
/// The limit of a switch-over, in seconds.
const SWITCH_OVER_LIMIT: Option<u32> = Some(1);

/// Errors of nodes, by their texts in the logs of the servers.
const ERRORS: [(u16, &str); 12] = [
    (1047, "WSREP has not yet prepared node"),
    (1053, "Server shutdown in progress"),
    (1213, "Deadlock found"),
    (1290, "running with the"),
    (1317, "Query execution was interrupted"),
    (1836, "Running in read-only mode"),
    (1927, "Connection was killed"),
    (3032, "in offline mode"),
    (3100, "Error on observer"),
    (3101, "Plugin instructed the server to rollback"),
    (4031, "disconnected by the server"),
    (4094, "group_replication_set_as_primary()"),
];

/// SIGKILL of the node that the servers write to. It rejoins once another node serves them.
pub async fn kills(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, writer| kill(arena, cluster, writer).await).await
}

/// The same, with a cluster that excludes silent nodes early.
pub async fn early_kills(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, writer| {
        cluster.exclude_early().await.expect("all nodes respond");
        kill(arena, cluster, writer).await;
    })
    .await
}

async fn kill(arena: &Arena, cluster: &Cluster, writer: usize) {
    cluster.node(writer).kill().await.expect("it runs");
    rejoin(arena, cluster, writer).await;
}

/// SIGSTOP of the node that the servers write to. It resumes once another node serves them.
pub async fn pauses(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, writer| {
        cluster.node(writer).pause().await.expect("it runs");
        arena.after_writes(PROGRESS).await;
        cluster.node(writer).resume().await.expect("it is paused");
        rejoin(arena, cluster, writer).await;
    })
    .await
}

/// SIGTERM of the node that the servers write to.
pub async fn shutdowns(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, writer| {
        cluster.node(writer).shut_down().await.expect("graceful shutdown");
        rejoin(arena, cluster, writer).await;
    })
    .await
}

/// SIGTERM and restart of each node, one after another. A primary is moved first, as its transactions under way would
/// delay its shutdown.
pub async fn rolling_restarts(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, _| {
        for index in 0..cluster.nodes().len() {
            if cluster.has_primary() && arena.writer().await == index {
                switch_over(cluster, index, None).await;
                moved_from(arena, index).await;
            }
            cluster.node(index).shut_down().await.expect("graceful shutdown");
            rejoin(arena, cluster, index).await;
        }
    })
    .await
}

/// SIGKILL of all nodes at once, and a restart with crash recovery.
pub async fn blackouts(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, _| {
        try_join_all(cluster.nodes().iter().map(Node::kill)).await.expect("all run");
        cluster.start_again().await.unwrap_or_else(|error| panic!("{error:#}"));
    })
    .await
}

/// Another node becomes the primary by command.
pub async fn switch_overs(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, writer| switch_over(cluster, writer, None).await).await
}

/// The same, with a limit of the transactions under way.
pub async fn limited_switch_overs(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, writer| switch_over(cluster, writer, SWITCH_OVER_LIMIT).await).await
}

pub async fn switch_over(cluster: &Cluster, from: usize, limit: Option<u32>) {
    let next = (from + 1) % cluster.nodes().len();
    cluster.switch_over(next, limit).await.unwrap_or_else(|error| panic!("{error:#}"));
}

/// The writer loses its connections to the other nodes, which exclude it. The servers still reach it.
pub async fn separations_from_peers(arena: &Arena, count: u64) -> Notes {
    separate(arena, count, Separation::FromPeers).await
}

/// The same, with a primary that gives up after a second and rejects the transactions under way (3100).
pub async fn resignations(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, writer| {
        let setting = "SET GLOBAL group_replication_unreachable_majority_timeout = 1";
        cluster.execute_everywhere(setting).await.expect("all nodes respond");
        separate_writer(arena, cluster, writer, Separation::FromPeers).await;
    })
    .await
}

/// The writer loses all its connections.
pub async fn separations_from_all(arena: &Arena, count: u64) -> Notes {
    separate(arena, count, Separation::FromAll).await
}

async fn separate(arena: &Arena, count: u64, separation: Separation) -> Notes {
    repeat(arena, count, async |cluster, writer| separate_writer(arena, cluster, writer, separation).await).await
}

async fn separate_writer(arena: &Arena, cluster: &Cluster, writer: usize, separation: Separation) {
    cluster.separate(writer, separation).unwrap_or_else(|error| panic!("{error:#}"));
    moved_from(arena, writer).await;
    arena.after_writes(PROGRESS).await;
    cluster.reconnect(writer).unwrap_or_else(|error| panic!("{error:#}"));
    rejoin(arena, cluster, writer).await;
}

/// The servers lose their connections to the writer, which remains in its cluster. A primary remains one until an
/// operator moves it.
pub async fn separations_from_clients(arena: &Arena, count: u64) -> Notes {
    repeat_through_proxies(arena, count, async |cluster, writer| {
        arena.proxies()[writer].freeze(true);
        if cluster.has_primary() {
            switch_over(cluster, writer, SWITCH_OVER_LIMIT).await;
        }
        moved_from(arena, writer).await;
        arena.after_writes(PROGRESS).await;
        arena.proxies()[writer].freeze(false);
    })
    .await
}

/// A COMMIT reaches a paused writer, which executes it when it resumes. Before, the servers ask the next writer about it.
pub async fn late_commits(arena: &Arena, count: u64) -> Notes {
    let mut notes = repeat_through_proxies(arena, count, async |cluster, writer| {
        let proxy = &arena.proxies()[writer];
        let point = InjectionPoint::CommitOf("point_entries");
        proxy.begin(Plan { point, fault: NetworkFault::FreezeBefore, one_in: 1, count: 1 });
        proxy.injected(1, |_| {}).await;
        cluster.node(writer).pause().await.expect("it runs");
        moved_from(arena, writer).await;
        arena.after_writes(PROGRESS).await;
        // The COMMIT is in the node's socket before it learns of its exclusion.
        proxy.freeze(false);
        cluster.node(writer).resume().await.expect("it is paused");
        rejoin(arena, cluster, writer).await;
    })
    .await;
    let mut connection = arena.shop.database().connect().await;
    let tombstones = connection.number("COUNT(*)", "commit_markers WHERE is_tombstone = 1").await;
    connection.close().await;
    notes.push(format!("commits ruled out by a tombstone: {tombstones}"));
    notes
}

/// A node loses its data, and rejoins by a full copy of another one's.
pub async fn full_transfers(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, writer| {
        let joiner = (writer + 1) % cluster.nodes().len();
        cluster.node(joiner).shut_down().await.expect("graceful shutdown");
        cluster.rejoin_empty(joiner).await.unwrap_or_else(|error| panic!("{error:#}"));
    })
    .await
}

/// SIGKILL of the primary while the others have received transactions that they cannot apply. MySQL may let the next
/// primary accept writes before it has applied them.
pub async fn stale_promotions(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, writer| {
        let setting = "SET GLOBAL group_replication_consistency = 'EVENTUAL'";
        cluster.execute_everywhere(setting).await.expect("all nodes respond");
        let database = arena.shop.database();
        let others = cluster.nodes().iter().enumerate().filter(|(index, _)| *index != writer);
        let connect = async |(_, node): (usize, &Node)| database.connect_to(&node.url()).await;
        let mut locks: Vec<Connection> = join_all(others.map(connect)).await;
        for lock in &mut locks {
            lock.execute("BEGIN").await;
            lock.number("COUNT(*)", "plain_rows").await;
        }
        // It waits for the readers, and the shop's transactions are applied after it.
        let mut connection = database.connect_to(&cluster.node(writer).url()).await;
        connection.execute("ALTER TABLE plain_rows COMMENT = 'changed'").await;
        connection.close().await;
        arena.after_writes(PROGRESS).await;
        cluster.node(writer).kill().await.expect("it runs");
        let members = "performance_schema.replication_group_members";
        eventually_within(ELECTION_MAX, "the group elects another primary", async || {
            let sizes = join_all(locks.iter_mut().map(|lock| lock.number("COUNT(*)", members))).await;
            sizes.iter().all(|size| *size == 2).then_some(())
        })
        .await;
        tokio::time::sleep(REJECTION).await;
        join_all(locks.into_iter().map(Connection::close)).await;
        rejoin(arena, cluster, writer).await;
    })
    .await
}

/// The primary accepts no sessions of ordinary users for a while (3032).
pub async fn offline_modes(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, writer| {
        let node = cluster.node(writer);
        node.execute("SET GLOBAL offline_mode = ON").await.unwrap_or_else(|error| panic!("{error:#}"));
        tokio::time::sleep(REJECTION).await;
        node.execute("SET GLOBAL offline_mode = OFF").await.unwrap_or_else(|error| panic!("{error:#}"));
    })
    .await
}

/// Waits until the servers write to another node.
pub async fn moved_from(arena: &Arena, writer: usize) {
    let failed = [arena.cluster().node(writer).host(), arena.proxies()[writer].host()];
    eventually_within(ELECTION_MAX, "the servers have another writer", async || {
        let writers = join_all(arena.servers().iter().map(Server::database_writer)).await;
        writers.iter().all(|writer| writer.as_ref().is_some_and(|writer| !failed.contains(writer))).then_some(())
    })
    .await;
}

pub async fn rejoin(arena: &Arena, cluster: &Cluster, index: usize) {
    arena.after_writes(PROGRESS).await;
    cluster.rejoin(index).await.unwrap_or_else(|error| panic!("{error:#}"));
}

/// Injects the fault under load, with the index of the current writer, and records the silence during each injection.
async fn repeat(arena: &Arena, count: u64, fault: impl AsyncFn(&Cluster, usize)) -> Notes {
    for _ in 0..2 {
        arena.open(arena.server()).await;
    }
    let hosts: Vec<String> = arena.cluster().nodes().iter().map(Node::host).collect();
    inject(arena, &hosts, count, fault).await
}

/// The same, with proxies between the nodes and the servers.
async fn repeat_through_proxies(arena: &Arena, count: u64, fault: impl AsyncFn(&Cluster, usize)) -> Notes {
    for _ in 0..2 {
        arena.open(arena.server_through_proxies()).await;
    }
    let hosts: Vec<String> = arena.proxies().iter().map(Proxy::host).collect();
    inject(arena, &hosts, count, fault).await
}

async fn inject(arena: &Arena, hosts: &[String], count: u64, fault: impl AsyncFn(&Cluster, usize)) -> Notes {
    arena.fill().await;
    let mut random = arena.random(1);
    let stop = watch::Sender::new(false);
    let injecting = async {
        let mut windows = Vec::new();
        for number in 1..=count {
            arena.after_writes(PROGRESS + random.random_range(0..PROGRESS)).await;
            let writer = arena.writer().await;
            let began = Instant::now();
            fault(arena.cluster(), writer).await;
            arena.after_writes(PROGRESS).await;
            windows.push((began, Instant::now()));
            arena.advance(number);
        }
        stop.send_replace(true);
        windows
    };
    let name = arena.shop.database().mysql_name();
    let (windows, bare) = tokio::join!(arena.under_load(injecting), insert_rows(hosts, name, stop.subscribe()));
    arena.record_silences(&windows, &bare);
    // Each server follows the writer on its own.
    let elections = join_all(arena.servers().iter().map(elections)).await;
    let log = arena.log();
    let errors = ERRORS.iter().filter(|(_, text)| log.contains(text)).map(|(number, _)| number.to_string());
    let errors: Vec<String> = errors.collect();
    let errors = if errors.is_empty() { "none".to_owned() } else { errors.join(", ") };
    vec![
        format!("elections of a writer by each server: {}", elections.join(", ")),
        format!("errors in the servers' logs: {errors}"),
    ]
}

async fn elections(server: &Server) -> String {
    let metrics = String::from_utf8(server.anonymous().get("/metrics").await.expect(200).body).expect("UTF-8");
    let mut series = metrics.lines().filter_map(|line| line.strip_prefix("jangteo_database_writer_elections_total "));
    series.next().expect("a metric of every server on MySQL").to_owned()
}
