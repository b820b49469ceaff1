//! A COMMIT of SQLite's that fails: a disk that is full or does not take what is written, at that very moment. The server
//! runs on a disk that fails on demand, see `sqlite_commits/failing_disk.c`: SQLite writes nothing before the COMMIT, as
//! its cache holds all of a transaction, so it is the COMMIT that meets each of these faults.

use std::path::{Path, PathBuf};
use std::process::Command;

use jangteo_tests::{Server, Shop, sqlite_scenarios};
use serde_json::json;

use crate::effects::{Callers, Series};

sqlite_scenarios![
    what_became_of_a_commit_is_told_whatever_the_disk_did,
    what_was_denied_as_the_disk_failed_does_not_come_back_after_a_crash,
    a_commit_is_never_busy,
];

/// What the disk can do, as `failing_disk.c` calls it.
const FAULTS: [&str; 3] = ["write-full", "write-error", "sync-error"];
/// Which calls fail, the last first: the first of a commit; one in the middle; so many that no attempt gets through.
const PATTERNS: [(&str, &str); 3] =
    [("first", "x"), ("middle", "x..x..x..x.."), ("long", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")];

/// The disk of a test.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Compiles it.
    fn new(shop: &Shop) -> Self {
        let folder = shop.database().folder().to_owned();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sqlite_commits/failing_disk.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&folder.join("failing_disk.so"), Path::new(source)])
            .args(["-ldl", "-lpthread"])
            .output();
        let compiled = compiled.expect("there is a compiler, as SQLite has been compiled");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Self { folder }
    }

    /// Starts a server on it.
    async fn start(&self, shop: &Shop) -> Server {
        let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let server = shop.server().setting("LD_PRELOAD", path(&self.folder.join("failing_disk.so")));
        // Batches are small, so that there are many commits, and nobody's time is up before the answer is there.
        let settings =
            [("BATCH_MAX", "4"), ("REQUEST_TIMEOUT", "30s"), ("QUEUE_WAIT_MAX", "30s"), ("RUST_LOG", "warn")];
        server.setting("FAILING_DISK", path(&self.folder)).settings(settings).start().await
    }

    /// Lets calls fail.
    fn fail(&self, fault: &str, pattern: &str) {
        // It is there as a whole, or not yet.
        let whole = self.folder.join("pattern");
        std::fs::write(&whole, pattern).expect("a file");
        std::fs::rename(whole, self.folder.join(fault)).expect("a file");
    }

    /// How many calls are still to come that pass or fail as the pattern says.
    fn left(&self, fault: &str) -> u64 {
        self.folder.join(fault).metadata().expect("it was made").len()
    }
}

async fn what_became_of_a_commit_is_told_whatever_the_disk_did(shop: Shop) {
    shop.expect_server_errors();
    let disk = Disk::new(&shop);
    let server = disk.start(&shop).await;
    let mut wrong = String::new();
    for fault in FAULTS {
        for (what, pattern) in PATTERNS {
            for (callers, is_keyed) in Callers::ALL.into_iter().flat_map(|callers| [(callers, false), (callers, true)])
            {
                disk.fail(fault, pattern);
                let name = format!("{fault}-{what}");
                let series = Series { shop: &shop, server: &server, name: name.clone(), callers, is_keyed };
                let tally = series.run(|| disk.left(fault) > 0).await;
                let left = disk.left(fault);
                // After an I/O error what is in the file is more than SQLite itself can tell; not so where it was full.
                let may_be_unknown = fault != "write-full";
                if !tally.is_truthful() || tally.unknown > 0 && !may_be_unknown || left > 0 {
                    wrong.push_str(&format!("{name}, {callers:?}, keyed {is_keyed}: {left} left, {tally}\n"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Where the log was written and could not be synced, SQLite rolls back and leaves the commit in the file, as far as it
/// got: whoever opens the database after a crash finds it whole and takes it for committed. So nothing may be said to
/// have not happened until something else stands in its place.
async fn what_was_denied_as_the_disk_failed_does_not_come_back_after_a_crash(shop: Shop) {
    shop.expect_server_errors();
    let disk = Disk::new(&shop);
    for fault in FAULTS {
        let server = disk.start(&shop).await;
        server.top_up(fault, 1).await;
        disk.fail(fault, &"x".repeat(10_000));
        let path = format!("/v1/users/{fault}/points/top-ups");
        let answer = server.user(fault).post(path, json!({ "amount": "5" })).await;
        assert_eq!(answer.status, 503, "{answer}");
        assert!(disk.left(fault) < 10_000, "{fault} never came");
        server.kill().await;
        disk.fail(fault, "");
        let server = disk.start(&shop).await;
        let balance = server.balance(fault).await;
        let is_known = answer.document()["code"] != "OUTCOME_UNKNOWN";
        assert!(balance == 1 || balance == 6 && !is_known, "{fault}: {balance} after {answer}");
        server.kill().await;
    }
}

/// Of all that SQLite may answer a COMMIT, "busy" is what cannot be had here. The transaction has the one lock to write
/// since `BEGIN IMMEDIATE`; what a COMMIT asks for beyond that are the marks of readers of an older log, to begin the log
/// anew, and where it does not get them it goes on with the log as it is. So every lock that it asks for is denied here,
/// with a reader and the end of a checkpoint in between as well, and each top-up takes effect at the first attempt.
async fn a_commit_is_never_busy(shop: Shop) {
    const TOP_UPS: u64 = 20;

    let disk = Disk::new(&shop);
    let server = disk.start(&shop).await;
    server.top_up("kim", 1).await;
    let mut other = shop.database().connect().await;
    let mut denied = 0;
    for _ in 0..TOP_UPS {
        // Once all of the log is in the database, the next to write wants to begin it anew.
        other.execute("PRAGMA wal_checkpoint(PASSIVE)").await;
        other.execute("BEGIN; SELECT COUNT(*) FROM point_entries").await;
        disk.fail("lock-busy", &"x".repeat(1_000));
        server.top_up("kim", 1).await;
        denied += 1_000 - disk.left("lock-busy");
        disk.fail("lock-busy", "");
        other.execute("ROLLBACK").await;
    }
    other.close().await;
    // The log is begun anew by whoever writes first, which may be the server's own work now and then.
    assert!(denied >= TOP_UPS / 2, "{denied} locks were denied");
    assert!(!server.log().contains("database is locked"), "{}", server.log());
    assert_eq!(server.balance("kim").await, 1 + TOP_UPS as i64);
}
