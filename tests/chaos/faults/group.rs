//! States of Group Replication in which a member must not be used, each with its lines of `jangteo doctor`.

use jangteo_testkit::{Cluster, CommandOutput, Node, ServerBuilder, shop_url_of};
use serde_json::Value;

use crate::arena::Arena;
use crate::faults::Notes;
use crate::faults::cluster::{PROGRESS, moved_from, rejoin};

/// Makes the member's own state readable by the shop's user.
const GRANT: &str = "GRANT SELECT ON performance_schema.replication_group_members TO shop";

/// The primary leaves its group, and an operator makes it writable. It can rejoin only if no server has written to it.
pub async fn departures(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, writer| {
        let node = cluster.node(writer);
        execute(node, GRANT).await;
        for statement in ["STOP GROUP_REPLICATION", "SET GLOBAL super_read_only = OFF", "SET GLOBAL read_only = OFF"] {
            execute(node, statement).await;
        }
        moved_from(arena, writer).await;
        arena.after_writes(PROGRESS).await;
        let examined = examine(&alone(arena, node)).await;
        expect(&examined, &node.host(), "topology", "refused Group Replication, OFFLINE, writer");
        rejoin(arena, cluster, writer).await;
    })
    .await
}

/// The primary is killed, and restarts outside of its group, where it accepts writes. It can rejoin only if no server
/// has written to it.
pub async fn restarts_outside(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, writer| {
        let node = cluster.node(writer);
        execute(node, GRANT).await;
        cluster.exclude_early().await.expect("all nodes respond");
        node.kill().await.expect("it runs");
        cluster.start_outside(writer).await.unwrap_or_else(|error| panic!("{error:#}"));
        moved_from(arena, writer).await;
        arena.after_writes(PROGRESS).await;
        let alone = alone(arena, node);
        refused(&alone, "the server is outside of its group").await;
        expect(&examine(&alone).await, &node.host(), "topology", "refused Group Replication, ");
        rejoin(arena, cluster, writer).await;
    })
    .await
}

/// The group becomes one with several primaries, and returns to one.
pub async fn several_primaries(arena: &Arena, count: u64) -> Notes {
    repeat(arena, count, async |cluster, writer| {
        let node = cluster.node(writer);
        execute(node, "REVOKE IF EXISTS SELECT ON performance_schema.replication_group_members FROM shop").await;
        let server = arena.server();
        let withheld = examine(&server).await;
        expect(&withheld, &node.host(), "topology", "unknown Group Replication, writer");
        execute(node, GRANT).await;
        cluster.synchronize().await.expect("all nodes respond");
        healthy(cluster, writer, &examine(&server).await);

        execute(node, "SET GLOBAL group_replication_transaction_size_limit = 1000000").await;
        let limited = examine(&server).await;
        execute(node, "SET GLOBAL group_replication_transaction_size_limit = DEFAULT").await;
        expect(&limited, &node.host(), "group_replication_transaction_size_limit", "warning 1000000");

        execute(node, "SELECT group_replication_switch_to_multi_primary_mode()").await;
        let several = examine(&server).await;
        for node in cluster.nodes() {
            expect(&several, &node.host(), "group_replication_single_primary_mode", "refused OFF");
        }
        refused(&server, "group_replication_single_primary_mode=ON").await;
        execute(node, "SELECT group_replication_switch_to_single_primary_mode(@@GLOBAL.server_uuid)").await;
        healthy(cluster, writer, &examine(&server).await);
    })
    .await
}

fn healthy(cluster: &Cluster, writer: usize, examined: &CommandOutput) {
    assert_eq!(examined.code, Some(0), "{examined:?}");
    for (index, node) in cluster.nodes().iter().enumerate() {
        let role = if index == writer { "writer" } else { "read-only" };
        expect(examined, &node.host(), "topology", &format!("ok Group Replication, ONLINE, {role}"));
        expect(examined, &node.host(), "group_replication_consistency", "ok BEFORE_ON_PRIMARY_FAILOVER");
        expect(examined, &node.host(), "group_replication_single_primary_mode", "ok ON");
        expect(examined, &node.host(), "group_replication_transaction_size_limit", "ok 150000000");
    }
    expect(examined, "all hosts", "writer", &format!("ok {}", cluster.node(writer).host()));
}

/// Two servers under load, of which the fault hits the writer.
async fn repeat(arena: &Arena, count: u64, fault: impl AsyncFn(&Cluster, usize)) -> Notes {
    for _ in 0..2 {
        arena.open(arena.server()).await;
    }
    arena.fill().await;
    let injecting = async {
        for number in 1..=count {
            arena.after_writes(PROGRESS).await;
            fault(arena.cluster(), arena.writer().await).await;
            arena.after_writes(PROGRESS).await;
            arena.advance(number);
        }
    };
    arena.under_load(injecting).await;
    Notes::new()
}

/// A server that knows this node only.
fn alone(arena: &Arena, node: &Node) -> ServerBuilder {
    arena.server().setting("DATABASE_URL", shop_url_of(&node.host(), arena.shop.database().mysql_name()))
}

async fn execute(node: &Node, statement: &str) {
    node.execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:#}"));
}

async fn examine(server: &ServerBuilder) -> CommandOutput {
    server.run(["doctor", "--json"]).await
}

/// Expects a check, written as its state and value, to begin with `line`.
#[track_caller]
fn expect(examined: &CommandOutput, target: &str, name: &str, line: &str) {
    let document: Value =
        serde_json::from_str(&examined.stdout).unwrap_or_else(|error| panic!("{error}: {examined:?}"));
    let checks = document["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["target"] == target && check["name"] == name);
    let text = |member: &str| check.and_then(|check| check[member].as_str()).unwrap_or_default();
    let found = format!("{} {}", text("state"), text("value"));
    assert!(found.starts_with(line), "{target} {name}: {found}, not {line}: {examined:?}");
}

/// Expects that no connection is made, for this reason.
async fn refused(server: &ServerBuilder, reason: &str) {
    let output = server.run(["verify"]).await;
    assert!(output.code == Some(2) && output.stderr.contains(reason), "not {reason}: {output:?}");
}
