//! Failures of a COMMIT in SQLite: the disk is full or has an I/O error. The server runs with a disk that fails on
//! demand, see `sqlite_commits/failing_disk.c`. SQLite writes nothing before the COMMIT, because its cache holds the
//! whole transaction, so each fault affects the COMMIT.

use std::path::{Path, PathBuf};
use std::process::Command;

use jangteo_testkit::{Server, Shop, scenarios_on_sqlite};
use serde_json::json;

use crate::effects::{Callers, Series};

scenarios_on_sqlite![
    the_outcome_of_a_commit_is_known_despite_disk_faults,
    a_rejected_write_does_not_reappear_after_a_disk_fault_and_a_crash,
    a_commit_is_never_busy,
];

/// Faults, named as in `failing_disk.c`.
const FAULTS: [&str; 3] = ["write-full", "write-error", "sync-error"];
/// Failing calls, the last first: the first of a commit; one in the middle; too many for any retry to succeed.
const PATTERNS: [(&str, &str); 3] =
    [("first", "x"), ("middle", "x..x..x..x.."), ("long", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")];

/// The failing disk of a test.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Compiles the library.
    fn new(shop: &Shop) -> Self {
        let folder = shop.database().folder().to_owned();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sqlite_commits/failing_disk.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&folder.join("failing_disk.so"), Path::new(source)])
            .args(["-ldl", "-lpthread"])
            .output();
        let compiled = compiled.expect("a C compiler, which SQLite needs as well");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Self { folder }
    }

    /// Starts a server with the library preloaded.
    async fn start(&self, shop: &Shop) -> Server {
        let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let server = shop.server().setting("LD_PRELOAD", path(&self.folder.join("failing_disk.so")));
        // Small batches for many commits, and timeouts that are never reached.
        let settings =
            [("BATCH_MAX", "4"), ("REQUEST_TIMEOUT", "30s"), ("QUEUE_WAIT_MAX", "30s"), ("RUST_LOG", "warn")];
        server.setting("FAILING_DISK", path(&self.folder)).settings(settings).start().await
    }

    /// Schedules failures.
    fn fail(&self, fault: &str, pattern: &str) {
        // Renamed, so that the library never sees a partial pattern.
        let whole = self.folder.join("pattern");
        std::fs::write(&whole, pattern).expect("a file");
        std::fs::rename(whole, self.folder.join(fault)).expect("a file");
    }

    /// Remaining calls of the pattern.
    fn left(&self, fault: &str) -> u64 {
        self.folder.join(fault).metadata().expect("a scheduled fault").len()
    }
}

async fn the_outcome_of_a_commit_is_known_despite_disk_faults(shop: Shop) {
    shop.expect_server_errors();
    let disk = Disk::new(&shop);
    let server = disk.start(&shop).await;
    let mut wrong = String::new();
    for fault in FAULTS {
        for (kind, pattern) in PATTERNS {
            for (callers, is_keyed) in Callers::ALL.into_iter().flat_map(|callers| [(callers, false), (callers, true)])
            {
                disk.fail(fault, pattern);
                let name = format!("{fault}-{kind}");
                let series = Series { shop: &shop, server: &server, name: name.clone(), callers, is_keyed };
                let tally = series.run(|| disk.left(fault) > 0).await;
                let left = disk.left(fault);
                // After an I/O error SQLite cannot determine the content of the file; on a full disk it can.
                let may_be_unknown = fault != "write-full";
                if !tally.is_consistent() || tally.unknown > 0 && !may_be_unknown || left > 0 {
                    wrong.push_str(&format!("{name}, {callers:?}, keyed {is_keyed}: {left} left, {tally}\n"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// After a failed sync, SQLite rolls back but leaves the commit in the write-ahead log. Recovery after a crash may find
/// it complete and apply it. So the server must not report that nothing happened until the log is overwritten.
async fn a_rejected_write_does_not_reappear_after_a_disk_fault_and_a_crash(shop: Shop) {
    shop.expect_server_errors();
    let disk = Disk::new(&shop);
    for fault in FAULTS {
        let server = disk.start(&shop).await;
        server.top_up(fault, 1).await;
        disk.fail(fault, &"x".repeat(10_000));
        let path = format!("/v1/users/{fault}/points/top-ups");
        let response = server.user(fault).post(path, json!({ "amount": "5" })).await;
        assert_eq!(response.status, 503, "{response}");
        assert!(disk.left(fault) < 10_000, "{fault} never occurred");
        server.kill().await;
        disk.fail(fault, "");
        let server = disk.start(&shop).await;
        let balance = server.balance(fault).await;
        let is_known = response.document()["code"] != "OUTCOME_UNKNOWN";
        assert!(balance == 1 || balance == 6 && !is_known, "{fault}: {balance} after {response}");
        server.kill().await;
    }
}

/// A COMMIT never fails with "busy". The transaction has held the write lock since `BEGIN IMMEDIATE`. A COMMIT
/// additionally requests only the read marks of an older log, to restart the log, and appends to the log if it does not
/// get them. Here all of these locks are denied, also with a reader and a completed checkpoint, and each top-up
/// succeeds at the first attempt.
async fn a_commit_is_never_busy(shop: Shop) {
    const TOP_UPS: u64 = 20;

    let disk = Disk::new(&shop);
    let server = disk.start(&shop).await;
    server.top_up("kim", 1).await;
    let mut other = shop.database().connect().await;
    let mut denied = 0;
    for _ in 0..TOP_UPS {
        // After a complete checkpoint, the next writer tries to restart the log.
        other.execute("PRAGMA wal_checkpoint(PASSIVE)").await;
        other.execute("BEGIN; SELECT COUNT(*) FROM point_entries").await;
        disk.fail("lock-busy", &"x".repeat(1_000));
        server.top_up("kim", 1).await;
        denied += 1_000 - disk.left("lock-busy");
        disk.fail("lock-busy", "");
        other.execute("ROLLBACK").await;
    }
    other.close().await;
    // The log is restarted by the first writer, which may be a background task of the server.
    assert!(denied >= TOP_UPS / 2, "{denied} locks were denied");
    assert!(!server.log().contains("database is locked"), "{}", server.log());
    assert_eq!(server.balance("kim").await, 1 + TOP_UPS as i64);
}
