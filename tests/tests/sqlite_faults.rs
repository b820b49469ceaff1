//! What can befall a file: a full disk, somebody who locks it, damage. None of it loses what was answered, each is told
//! clearly, and damage is rejected loudly.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jangteo_tests::{Call, CommandOutput, Server, Shop, eventually, sqlite_scenarios};
use serde_json::json;

sqlite_scenarios![
    puts_writes_off_while_the_disk_is_full_and_loses_none,
    puts_writes_off_while_somebody_locks_the_file,
    rejects_a_file_that_is_no_database,
    rejects_what_is_damaged_and_serves_the_rest,
];

/// More top-ups than fit into what is left of the disk.
const TOP_UPS_MAX: u32 = 5_000;

fn file(shop: &Shop) -> PathBuf {
    shop.database().url().strip_prefix("sqlite:").expect("a file").into()
}

fn top_up(server: &Server, user: &str) -> Call {
    server.user(user).post(format!("/v1/users/{user}/points/top-ups"), json!({ "amount": "5" })).key("once")
}

/// Makes the tables, and brings everything into the one file.
async fn made(shop: &Shop) {
    let server = shop.start().await;
    server.top_up("kim", 1).await;
    server.product("tea").stock(3).create().await;
    server.terminate();
    assert!(server.ended().await.success(), "{}", server.log());
    let mut connection = shop.database().connect().await;
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
    connection.close().await;
}

async fn puts_writes_off_while_the_disk_is_full_and_loses_none(shop: Shop) {
    shop.expect_server_errors();
    made(&shop).await;
    let size = file(&shop).metadata().expect("a file").len();
    // No file of the server's may grow further than this one has, and a little.
    let server = shop.server().file_size_max(size + 128 * 1024).start().await;
    let mut topped_up = 0;
    let rejected = loop {
        let answer = top_up(&server, &format!("user-{topped_up}")).await;
        if answer.status != 201 {
            break answer;
        }
        topped_up += 1;
        assert!(topped_up < TOP_UPS_MAX, "the disk never fills");
    };
    assert!(topped_up > 0, "{rejected}");
    // SQLite calls a file that must not grow an I/O error, and one of those may leave a whole transaction in the log. That
    // is ruled out by the next commit, which there is no room for either.
    assert_eq!(rejected.problem(503, "OUTCOME_UNKNOWN")["retryable"], true);
    top_up(&server, "lee").await.problem(503, "OUTCOME_UNKNOWN");
    assert_eq!(server.balance("user-0").await, 5, "reads go on");
    server.anonymous().get("/v1/products").await.expect(200);
    // Whoever was answered before is still told the same.
    assert_eq!(server.balance("lee").await, 0, "nothing happened");

    server.lift_file_size_max();
    for user in [format!("user-{topped_up}"), "lee".to_owned()] {
        let again =
            eventually("there is room again", async || Some(top_up(&server, &user).await).filter(|a| a.status == 201));
        assert_eq!(again.await.header("idempotent-replayed"), None, "it is the first time that it happens");
    }
    for user in 0..=topped_up {
        assert_eq!(server.balance(&format!("user-{user}")).await, 5, "user-{user}");
    }
    assert_eq!(server.balance("lee").await, 5);
}

async fn puts_writes_off_while_somebody_locks_the_file(shop: Shop) {
    shop.expect_server_errors();
    let server = shop.server().setting("REQUEST_TIMEOUT", "4s").start().await;
    server.top_up("kim", 1).await;
    let mut other = shop.database().connect().await;
    other.execute("BEGIN EXCLUSIVE").await;
    top_up(&server, "kim").await.problem(503, "DATABASE_UNAVAILABLE");
    assert_eq!(server.balance("kim").await, 1, "reads go on");
    other.execute("COMMIT").await;
    other.close().await;
    let topped_up =
        eventually("the lock is gone", async || Some(top_up(&server, "kim").await).filter(|a| a.status == 201));
    assert_eq!(topped_up.await.header("idempotent-replayed"), None, "nothing had happened");
    assert_eq!(server.balance("kim").await, 6);
}

/// Writes nonsense into the file.
fn damage(file: &Path, at: u64, length: usize) {
    let mut file = OpenOptions::new().write(true).open(file).expect("the database's file");
    file.seek(SeekFrom::Start(at))
        .and_then(|_| file.write_all(&vec![0xa5; length]))
        .expect("a file that can be written");
}

/// That a command says what is wrong, of which file, in a line.
fn is_rejected(output: &CommandOutput, file: &Path, what: &str) {
    assert!(output.code.is_some_and(|code| code != 0), "{output:?}");
    assert!(output.stderr.contains(&file.display().to_string()), "which file? {output:?}");
    assert!(output.stderr.contains(what) && !output.stderr.contains("panicked"), "{output:?}");
}

async fn rejects_a_file_that_is_no_database(shop: Shop) {
    shop.expect_no_books();
    made(&shop).await;
    damage(&file(&shop), 0, 100);
    for command in ["serve", "verify", "migrate", "seed"] {
        is_rejected(&shop.server().run([command]).await, &file(&shop), "file is not a database");
    }
}

async fn rejects_what_is_damaged_and_serves_the_rest(shop: Shop) {
    shop.expect_no_books();
    shop.expect_server_errors();
    made(&shop).await;
    let mut connection = shop.database().connect().await;
    let page = connection.number("rootpage", "sqlite_master WHERE name = 'point_accounts'").await;
    let page_size = connection.number("page_size", "pragma_page_size").await;
    connection.close().await;
    let (page, page_size) = (u64::try_from(page).expect("a page"), u64::try_from(page_size).expect("its size"));
    damage(&file(&shop), (page - 1) * page_size, usize::try_from(page_size).expect("a few thousand bytes"));

    is_rejected(&shop.server().run(["verify"]).await, &file(&shop), "database disk image is malformed");
    let server = shop.start().await;
    top_up(&server, "kim").await.problem(500, "INTERNAL_ERROR");
    server.user("kim").get("/v1/users/kim/points").await.problem(500, "INTERNAL_ERROR");
    server.anonymous().get("/v1/products").await.expect(200);
    assert!(server.log().contains("database disk image is malformed"), "{}", server.log());
    assert!(server.is_running().await && !server.log().contains("panicked"), "{}", server.log());
}
