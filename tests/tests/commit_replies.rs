//! The reply to a COMMIT and its outcome are independent: a server may respond with an error after it has committed.
//! Callers must receive the actual outcome, regardless of the reply.

use std::time::Duration;

use jangteo_testkit::{Database, InjectionPoint, MariaDb, NetworkFault, Plan, Proxy, ServerError, run_on, shop_url};

use crate::effects::{Callers, Series};

/// Timeout for some hundred top-ups for each reply, with a wide margin.
const TIME_MAX: Duration = Duration::from_secs(300);
/// One in this many commits is affected, so that retries succeed.
const ONE_IN: u32 = 2;
/// Affected commits of each series, more than the background deletions commit during a series.
const HITS: u64 = 8;
/// Errors with authentic messages.
const ERRORS: [ServerError; 9] = [
    // MySQL cannot write its binary log and is about to stop. The transaction may be committed.
    error(
        1598,
        "HY000",
        "Binary logging not possible. Message: An error occurred during sync stage of the commit. \
         'binlog_error_action' is set to 'ABORT_SERVER'. Server is being stopped.",
    ),
    // Group Replication: the group may commit a transaction that the member has abandoned.
    error(3100, "HY000", "Error on observer while running replication hook 'before_commit'."),
    error(3101, "40000", "Plugin instructed the server to rollback the current transaction."),
    error(1180, "HY000", "Got error 28 \"No space left on device\" during COMMIT"),
    error(1105, "HY000", "Unknown error"),
    error(1213, "40001", "Deadlock found when trying to get lock; try restarting transaction"),
    error(1205, "HY000", "Lock wait timeout exceeded; try restarting transaction"),
    error(1053, "08S01", "Server shutdown in progress"),
    // From a proxy that lost its own connection.
    error(2013, "HY000", "Lost connection to MySQL server during query"),
];

const fn error(number: u16, sqlstate: &'static str, message: &'static str) -> ServerError {
    ServerError { number, sqlstate, message }
}

/// Faults of the reply, for commits with and without effect.
fn faults() -> Vec<(String, NetworkFault)> {
    let errors = ERRORS.iter().flat_map(|error| {
        let number = error.number;
        [
            (format!("{number}-committed"), NetworkFault::ReplaceReply(*error)),
            (format!("{number}-not"), NetworkFault::Reject(*error)),
        ]
    });
    let lost = [("closed-committed".to_owned(), NetworkFault::LoseReply), ("closed-not".to_owned(), NetworkFault::Cut)];
    errors.chain(lost).collect()
}

fn is_committed(fault: NetworkFault) -> bool {
    matches!(fault, NetworkFault::ReplaceReply(_) | NetworkFault::LoseReply)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_of_a_commit_is_known_regardless_of_its_reply() {
    let mariadb = MariaDb::start().await.expect("a server");
    let proxy = Proxy::start(mariadb.port(), 7).await.expect("a proxy");
    let database = Database::create_on(mariadb.url()).await.expect("a database");
    run_on(database, TIME_MAX, async |shop| {
        shop.expect_server_errors();
        let url = shop_url(proxy.port(), shop.database().mysql_name());
        // Small batches for many commits, and timeouts that are never reached.
        let settings =
            [("BATCH_MAX", "4"), ("REQUEST_TIMEOUT", "30s"), ("QUEUE_WAIT_MAX", "30s"), ("RUST_LOG", "warn")];
        let server = shop.server().settings(settings).setting("DATABASE_URL", url).start().await;
        let mut wrong = String::new();
        for (name, fault) in faults() {
            // Commits without effect need fewer kinds of callers.
            let callers: &[Callers] = if is_committed(fault) { &Callers::ALL } else { &[Callers::AtOnce] };
            for (callers, is_keyed) in callers.iter().flat_map(|callers| [(*callers, false), (*callers, true)]) {
                proxy.begin(Plan { point: InjectionPoint::Commit, fault, one_in: ONE_IN, count: HITS });
                let series = Series { shop: &shop, server: &server, name: name.clone(), callers, is_keyed };
                let tally = series.run(|| proxy.injected_so_far() < HITS).await;
                let hits = proxy.injected_so_far();
                // The marker is readable, so no outcome is unknown.
                if !tally.is_consistent() || tally.unknown > 0 || hits < HITS {
                    wrong.push_str(&format!("{name}, {callers:?}, keyed {is_keyed}: {hits} hits, {tally}\n"));
                }
            }
        }
        let verified = shop.server().run(["verify", "--json"]).await;
        assert!(wrong.is_empty() && verified.code == Some(0), "{wrong}jangteo verify: {verified:#?}");
    })
    .await;
}
