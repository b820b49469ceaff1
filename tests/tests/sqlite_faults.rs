//! Faults of the database file: a full disk, foreign locks, corruption. Acknowledged writes survive each of them, each
//! has a clear error, and a corrupt file is rejected.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jangteo_testkit::{Call, CommandOutput, Server, Shop, eventually, scenarios_on_sqlite};
use serde_json::json;

scenarios_on_sqlite![
    rejects_writes_on_a_full_disk_and_loses_none,
    rejects_writes_while_the_file_is_locked,
    rejects_a_file_that_is_not_a_database,
    rejects_requests_for_damaged_data_and_serves_the_rest,
];

/// More top-ups than fit into the remaining disk space.
const TOP_UPS_MAX: u32 = 5_000;

fn file(shop: &Shop) -> PathBuf {
    shop.database().url().strip_prefix("sqlite:").expect("a file").into()
}

fn top_up(server: &Server, user: &str) -> Call {
    server.user(user).post(format!("/v1/users/{user}/points/top-ups"), json!({ "amount": "5" })).key("once")
}

/// Creates the schema and some data, and checkpoints the log into the file.
async fn create(shop: &Shop) {
    let server = shop.start().await;
    server.top_up("kim", 1).await;
    server.product("tea").stock(3).create().await;
    server.terminate();
    assert!(server.ended().await.success(), "{}", server.log());
    let mut connection = shop.database().connect().await;
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
    connection.close().await;
}

async fn rejects_writes_on_a_full_disk_and_loses_none(shop: Shop) {
    shop.expect_server_errors();
    create(&shop).await;
    let size = file(&shop).metadata().expect("a file").len();
    // Files may grow only slightly beyond the size of the database.
    let server = shop.server().file_size_max(size + 128 * 1024).start().await;
    let mut topped_up = 0;
    let rejected = loop {
        let response = top_up(&server, &format!("user-{topped_up}")).await;
        if response.status != 201 {
            break response;
        }
        topped_up += 1;
        assert!(topped_up < TOP_UPS_MAX, "the disk never fills");
    };
    assert!(topped_up > 0, "{rejected}");
    // SQLite reports the file size limit as an I/O error, after which the log may contain the whole transaction. Only a
    // later commit could rule that out, but there is no space for it either.
    assert_eq!(rejected.problem(503, "OUTCOME_UNKNOWN")["retryable"], true);
    top_up(&server, "lee").await.problem(503, "OUTCOME_UNKNOWN");
    assert_eq!(server.balance("user-0").await, 5, "reads continue");
    server.anonymous().get("/v1/products").await.expect(200);
    assert_eq!(server.balance("lee").await, 0, "no effect");

    server.lift_file_size_max();
    for user in [format!("user-{topped_up}"), "lee".to_owned()] {
        let again = eventually("the disk has space again", async || {
            Some(top_up(&server, &user).await).filter(|a| a.status == 201)
        });
        assert_eq!(again.await.header("idempotent-replayed"), None, "the write had taken effect before");
    }
    for user in 0..=topped_up {
        assert_eq!(server.balance(&format!("user-{user}")).await, 5, "user-{user}");
    }
    assert_eq!(server.balance("lee").await, 5);
}

async fn rejects_writes_while_the_file_is_locked(shop: Shop) {
    shop.expect_server_errors();
    let server = shop.server().setting("REQUEST_TIMEOUT", "4s").start().await;
    server.top_up("kim", 1).await;
    let mut other = shop.database().connect().await;
    other.execute("BEGIN EXCLUSIVE").await;
    top_up(&server, "kim").await.problem(503, "DATABASE_UNAVAILABLE");
    assert_eq!(server.balance("kim").await, 1, "reads continue");
    other.execute("COMMIT").await;
    other.close().await;
    let topped_up =
        eventually("the lock is released", async || Some(top_up(&server, "kim").await).filter(|a| a.status == 201));
    assert_eq!(topped_up.await.header("idempotent-replayed"), None, "the write had taken effect before");
    assert_eq!(server.balance("kim").await, 6);
}

/// Overwrites bytes of the file.
fn damage(file: &Path, at: u64, length: usize) {
    let mut file = OpenOptions::new().write(true).open(file).expect("the database file");
    file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&vec![0xa5; length])).expect("written");
}

/// Asserts that a command reports an error with the name of the file.
fn assert_rejected(output: &CommandOutput, file: &Path, message: &str) {
    assert!(output.code.is_some_and(|code| code != 0), "{output:?}");
    assert!(output.stderr.contains(&file.display().to_string()), "no file name: {output:?}");
    assert!(output.stderr.contains(message) && !output.stderr.contains("panicked"), "{output:?}");
}

async fn rejects_a_file_that_is_not_a_database(shop: Shop) {
    shop.expect_no_books();
    create(&shop).await;
    damage(&file(&shop), 0, 100);
    for command in ["serve", "verify", "migrate", "seed"] {
        assert_rejected(&shop.server().run([command]).await, &file(&shop), "file is not a database");
    }
}

async fn rejects_requests_for_damaged_data_and_serves_the_rest(shop: Shop) {
    shop.expect_no_books();
    shop.expect_server_errors();
    create(&shop).await;
    let mut connection = shop.database().connect().await;
    let page = connection.number("rootpage", "sqlite_master WHERE name = 'point_accounts'").await;
    let page_size = connection.number("page_size", "pragma_page_size").await;
    connection.close().await;
    let (page, page_size) = (u64::try_from(page).expect("a page"), u64::try_from(page_size).expect("a page size"));
    damage(&file(&shop), (page - 1) * page_size, usize::try_from(page_size).expect("a few thousand bytes"));

    assert_rejected(&shop.server().run(["verify"]).await, &file(&shop), "database disk image is malformed");
    let server = shop.start().await;
    top_up(&server, "kim").await.problem(500, "INTERNAL_ERROR");
    server.user("kim").get("/v1/users/kim/points").await.problem(500, "INTERNAL_ERROR");
    server.anonymous().get("/v1/products").await.expect(200);
    assert!(server.log().contains("database disk image is malformed"), "{}", server.log());
    assert!(server.is_running().await && !server.log().contains("panicked"), "{}", server.log());
}
