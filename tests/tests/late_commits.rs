//! A node of Galera loses its clients, but not its peers, while a COMMIT is on its way to it. The server asks the other
//! node about the commit before it takes effect, or after.

use std::time::Duration;

use jangteo_testkit::{
    Cluster, Column, Connection, Database, InjectionPoint, Network, NetworkFault, Plan, Proxy, eventually, run_on,
    shop_url_of,
};
use serde_json::json;

/// Timeout of four servers, one after another.
const TEST_MAX: Duration = Duration::from_secs(240);
/// With these timeouts, a busy machine does not make a node suspect the other.
const STEADY: &str = "evs.suspect_timeout=PT30S;evs.inactive_timeout=PT60S";

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_arrives_late_has_one_effect() {
    let cluster = Cluster::galera(Network::Loopback, 2, STEADY).await.unwrap_or_else(|error| panic!("{error:#}"));
    let database = Database::create_on(cluster.url()).await.expect("a database");
    let cut_off = Proxy::start(cluster.node(0).port(), 7).await.expect("a proxy");
    run_on(database, TEST_MAX, async |shop| {
        shop.expect_server_errors();
        let hosts = format!("{},{}", cut_off.host(), cluster.node(1).host());
        let url = shop_url_of(&hosts, shop.database().mysql_name());
        let mut nodes = [
            shop.database().connect_to(&cluster.node(0).url()).await,
            shop.database().connect_to(&cluster.node(1).url()).await,
        ];
        let mut tombstones = 0;
        let faults = [NetworkFault::FreezeBefore, NetworkFault::FreezeAfter];
        let cases = faults.into_iter().flat_map(|fault| [(fault, false), (fault, true)]);
        for (case, (fault, is_keyed)) in cases.enumerate() {
            // A new server prefers the node that is cut off next.
            let settings = [("DATABASE_URL", url.as_str()), ("REQUEST_TIMEOUT", "30s"), ("QUEUE_WAIT_MAX", "30s")];
            let server = shop.server().settings(settings).start().await;
            let user = format!("saver-{case}");
            let call = server.user(&user).post(format!("/v1/users/{user}/points/top-ups"), json!({ "amount": "7" }));
            let call = if is_keyed { call.key(&user) } else { call };
            cut_off.begin(Plan { point: InjectionPoint::CommitOf("point_entries"), fault, one_in: 1, count: 1 });
            let response = call.clone().await;
            let name = format!("{fault:?}, keyed {is_keyed}");
            assert_eq!(response.status, 201, "{name}: {response}");
            assert_eq!(cut_off.injected_so_far(), 1, "{name}");
            assert_eq!(server.database_writer().await, Some(cluster.node(1).host()), "{name}");

            // The COMMIT that was held back reaches its node.
            cut_off.freeze(false);
            eventually("all transactions end", async || (shop.database().open_transactions().await == 0).then_some(()))
                .await;
            cluster.synchronize().await.expect("both nodes respond");
            tombstones += i64::from(fault == NetworkFault::FreezeBefore);
            for node in &mut nodes {
                assert_eq!(entries_of(node, &user).await, [7], "{name}");
                assert_eq!(
                    node.number("COUNT(*)", "commit_markers WHERE is_tombstone = 1").await,
                    tombstones,
                    "{name}"
                );
            }
            if is_keyed {
                let repeated = call.await;
                assert_eq!((repeated.status, &repeated.body), (201, &response.body), "{name}");
            }
            server.kill().await;
        }
        for node in nodes {
            node.close().await;
        }
    })
    .await;
}

/// The amounts in a user's ledger.
async fn entries_of(node: &mut Connection, user: &str) -> Vec<i64> {
    let table = format!("point_entries WHERE user_id = '{user}'");
    node.rows(&table, &[Column::Money("amount")], |row| row.number() / 10_000).await
}
