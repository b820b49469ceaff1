//! A replica that is promoted without a group may lack the last commits of its primary, which may come back with them. A
//! commit without a reply is known if the replica has its marker. Otherwise its outcome is unknown, and it is not ruled out;
//! a retry with the key finds out.

use std::time::Duration;

use jangteo_testkit::{
    Database, InjectionPoint, MariaDb, NetworkFault, Plan, Proxy, Response, Server, Shop, run_on, shop_url_of,
};
use serde_json::json;

const TEST_MAX: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_replica_knows_a_commit_that_it_has() {
    promote(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_replica_does_not_rule_out_a_commit_that_it_lacks() {
    promote(false).await;
}

async fn promote(has_commits: bool) {
    let (primary, replica) = MariaDb::start_with_replica().await.expect("two servers");
    let database = Database::create_on(format!("{},127.0.0.1:{}", primary.url(), replica.port())).await.expect("one");
    run_on(database, TEST_MAX, async |shop| {
        shop.expect_server_errors();
        // A server for each of two commits at once.
        let [keyless, keyed] =
            [Cut::start(&shop, &primary, &replica).await, Cut::start(&shop, &primary, &replica).await];
        replica.catch_up_with(&primary).await.expect("replicated");
        if !has_commits {
            replica.execute("STOP SLAVE").await.expect("stopped");
        }
        let promoting = async {
            for cut in [&keyless, &keyed] {
                cut.proxy.injected(1, |_| {}).await;
            }
            if has_commits {
                replica.catch_up_with(&primary).await.expect("replicated");
            }
            primary.crash().await.expect("it runs");
            replica.promote().await.expect("promoted");
        };
        let (one, other, ()) = tokio::join!(keyless.top_up(None), keyed.top_up(Some("key")), promoting);
        for (response, cut) in [(one, &keyless), (other, &keyed)] {
            if has_commits {
                assert_eq!(response.status, 201, "{response}");
            } else {
                response.problem(503, "OUTCOME_UNKNOWN");
            }
            let writer = cut.server.database_writer().await;
            assert_eq!(writer, Some(format!("127.0.0.1:{}", replica.port())), "it could ask the replica");
        }
        let mut promoted = shop.database().connect().await;
        assert_eq!(promoted.number("COUNT(*)", "commit_markers WHERE is_tombstone = 1").await, 0);
        let entries = 2 * i64::from(has_commits);
        assert_eq!(promoted.number("COUNT(*)", "point_entries").await, entries);

        let retried = keyed.top_up(Some("key")).await;
        assert_eq!(retried.status, 201, "{retried}");
        assert_eq!(retried.header("idempotent-replayed").is_some(), has_commits);
        assert_eq!(promoted.number("COUNT(*)", "point_entries").await, if has_commits { 2 } else { 1 });
        promoted.close().await;
    })
    .await;
}

/// A server that reaches the primary through a proxy, which withholds the reply to the first top-up's COMMIT.
struct Cut {
    server: Server,
    proxy: Proxy,
}

impl Cut {
    async fn start(shop: &Shop, primary: &MariaDb, replica: &MariaDb) -> Self {
        let proxy = Proxy::start(primary.port(), 7).await.expect("a proxy");
        let hosts = format!("{},127.0.0.1:{}", proxy.host(), replica.port());
        let url = shop_url_of(&hosts, shop.database().mysql_name());
        let settings = [("DATABASE_URL", url.as_str()), ("REQUEST_TIMEOUT", "30s"), ("QUEUE_WAIT_MAX", "30s")];
        let server = shop.server().settings(settings).start().await;
        let (point, fault) = (InjectionPoint::CommitOf("point_entries"), NetworkFault::FreezeAfter);
        proxy.begin(Plan { point, fault, one_in: 1, count: 1 });
        Self { server, proxy }
    }

    async fn top_up(&self, key: Option<&str>) -> Response {
        let user = if key.is_some() { "keyed" } else { "keyless" };
        let call = self.server.user(user).post(format!("/v1/users/{user}/points/top-ups"), json!({ "amount": "7" }));
        key.map_or_else(|| call.clone(), |key| call.clone().key(key)).await
    }
}
