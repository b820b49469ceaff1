//! What the server says of a commit, and what became of it, are two things: an error in reply may come from a server that
//! has committed. Callers must be told what became of it, whatever the error says.

use std::time::Duration;

use jangteo_tests::{Blow, Database, MariaDb, Moment, Plan, Proxy, ServerError, run_on, shop_url};

use crate::effects::{Callers, Series};

/// Far more than it takes: some hundred top-ups for each of the replies.
const TIME_MAX: Duration = Duration::from_secs(300);
/// One of so many commits is hit, so that what is run again gets through.
const ONE_IN: u32 = 2;
/// How many commits are hit, of callers who come one after the other or at once: more than the server makes by itself in
/// so short a time, when it deletes what is old.
const HITS: u64 = 8;
/// The errors, each with the words of a server that gives it.
const ERRORS: [ServerError; 9] = [
    // MySQL, where the binary log cannot be written and the server is about to end, and may have committed.
    error(
        1598,
        "HY000",
        "Binary logging not possible. Message: An error occurred during sync stage of the commit. \
         'binlog_error_action' is set to 'ABORT_SERVER'. Server is being stopped.",
    ),
    // Group Replication, from a hook: the group may commit what the member has given up.
    error(3100, "HY000", "Error on observer while running replication hook 'before_commit'."),
    error(3101, "40000", "Plugin instructed the server to rollback the current transaction."),
    error(1180, "HY000", "Got error 28 \"No space left on device\" during COMMIT"),
    error(1105, "HY000", "Unknown error"),
    error(1213, "40001", "Deadlock found when trying to get lock; try restarting transaction"),
    error(1205, "HY000", "Lock wait timeout exceeded; try restarting transaction"),
    error(1053, "08S01", "Server shutdown in progress"),
    // Of a proxy whose own connection was lost.
    error(2013, "HY000", "Lost connection to MySQL server during query"),
];

const fn error(number: u16, sqlstate: &'static str, message: &'static str) -> ServerError {
    ServerError { number, sqlstate, message }
}

/// What can become of a commit whose reply is an error, or is lost: it took effect, or not.
fn blows() -> Vec<(String, Blow)> {
    let told = ERRORS.iter().flat_map(|error| {
        let number = error.number;
        [(format!("{number}-committed"), Blow::ReplaceReply(*error)), (format!("{number}-not"), Blow::Reject(*error))]
    });
    let lost = [("closed-committed".to_owned(), Blow::LoseReply), ("closed-not".to_owned(), Blow::Cut)];
    told.chain(lost).collect()
}

fn is_committed(blow: Blow) -> bool {
    matches!(blow, Blow::ReplaceReply(_) | Blow::LoseReply)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_commit_is_told_whatever_the_reply_to_it_says() {
    let mariadb = MariaDb::start().await.expect("a server");
    let proxy = Proxy::start(mariadb.port(), 7).await.expect("a proxy");
    let database = Database::create_on(mariadb.url()).await.expect("a database");
    run_on(database, TIME_MAX, async |shop| {
        shop.expect_server_errors();
        let url = shop_url(proxy.port(), shop.database().mysql_name());
        // Batches are small, so that there are many commits, and nobody's time is up before the answer is there.
        let settings =
            [("BATCH_MAX", "4"), ("REQUEST_TIMEOUT", "30s"), ("QUEUE_WAIT_MAX", "30s"), ("RUST_LOG", "warn")];
        let server = shop.server().settings(settings).setting("DATABASE_URL", url).start().await;
        let mut wrong = String::new();
        for (name, blow) in blows() {
            // Of commits that took no effect there is less to say wrong.
            let callers: &[Callers] = if is_committed(blow) { &Callers::ALL } else { &[Callers::AtOnce] };
            for (callers, is_keyed) in callers.iter().flat_map(|callers| [(*callers, false), (*callers, true)]) {
                proxy.begin(Plan { moment: Moment::Commit, blow, one_in: ONE_IN, count: HITS });
                let series = Series { shop: &shop, server: &server, name: name.clone(), callers, is_keyed };
                let tally = series.run(|| proxy.fallen_so_far() < HITS).await;
                let hits = proxy.fallen_so_far();
                // The marker can be read, so nobody has to be left in doubt.
                if !tally.is_truthful() || tally.unknown > 0 || hits < HITS {
                    wrong.push_str(&format!("{name}, {callers:?}, keyed {is_keyed}: {hits} hits, {tally}\n"));
                }
            }
        }
        let verified = shop.server().run(["verify", "--json"]).await;
        assert!(wrong.is_empty() && verified.code == Some(0), "{wrong}jangteo verify: {verified:#?}");
    })
    .await;
}
