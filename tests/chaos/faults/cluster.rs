//! Failures of the nodes of a database cluster, beside a plain connection to the same nodes.

use std::time::Instant;

use futures_util::future::{join_all, try_join_all};
use jangteo_testkit::{Cluster, Node};
use rand::RngExt;
use tokio::sync::watch;

use crate::arena::Arena;
use crate::faults::Notes;

/// Writes that the callers must complete after each step, more than are in flight.
const PROGRESS: usize = 40;

/// SIGKILL of the node that the servers write to. It rejoins once another node serves them.
pub async fn kills(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, writer| {
        cluster.node(writer).kill().await.expect("it runs");
        rejoin(arena, cluster, writer).await;
    })
    .await
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

/// SIGTERM and restart of each node, one after another.
pub async fn rolling_restarts(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, _| {
        for index in 0..cluster.nodes().len() {
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
    repeat(arena, count, async |cluster, writer| {
        let next = (writer + 1) % cluster.nodes().len();
        cluster.switch_over(next).await.unwrap_or_else(|error| panic!("{error:#}"));
    })
    .await
}

async fn rejoin(arena: &Arena, cluster: &Cluster, index: usize) {
    arena.after_writes(PROGRESS).await;
    cluster.rejoin(index).await.unwrap_or_else(|error| panic!("{error:#}"));
}

/// Injects the fault under load, with the index of the current writer, and records the silence during each injection.
async fn repeat(arena: &Arena, count: u64, fault: impl AsyncFn(&Cluster, usize)) -> Notes {
    let cluster = arena.cluster();
    for _ in 0..2 {
        arena.open(arena.server()).await;
    }
    arena.fill().await;
    let mut random = arena.random(1);
    let stop = watch::Sender::new(false);
    let injecting = async {
        let mut windows = Vec::new();
        for number in 1..=count {
            arena.after_writes(PROGRESS + random.random_range(0..PROGRESS)).await;
            let writer = cluster.writer_of(&arena.servers()[0]).await.expect("the metrics name the writer");
            let began = Instant::now();
            fault(cluster, writer).await;
            arena.after_writes(PROGRESS).await;
            windows.push((began, Instant::now()));
            arena.advance(number);
        }
        stop.send_replace(true);
        windows
    };
    let name = arena.shop.database().mysql_name();
    let (windows, bare) = tokio::join!(arena.under_load(injecting), cluster.insert_rows(name, stop.subscribe()));
    arena.record_silences(&windows, &bare);
    // Each server follows the writer on its own.
    let elections = join_all(arena.servers().iter().map(elections)).await;
    vec![format!("elections of a writer by each server: {}", elections.join(", "))]
}

async fn elections(server: &jangteo_testkit::Server) -> String {
    let metrics = String::from_utf8(server.anonymous().get("/metrics").await.expect(200).body).expect("UTF-8");
    let mut series = metrics.lines().filter_map(|line| line.strip_prefix("jangteo_database_writer_elections_total "));
    series.next().expect("a metric of every server on MySQL").to_owned()
}
