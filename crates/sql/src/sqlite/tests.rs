//! Errors of SQLite, provoked for real. Full disks and damaged files are provoked in `tests`.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use diesel::Connection as _;
use rstest::rstest;
use tempfile::TempDir;

use super::*;

fn file_in(folder: &TempDir) -> PathBuf {
    folder.path().join("shop.db")
}

fn connect(path: &Path) -> SqliteConnection {
    SqliteConnection::establish(&path.display().to_string()).expect("a file")
}

/// A file with a table of several pages.
fn filled(folder: &TempDir) -> SqliteConnection {
    let mut connection = connect(&file_in(folder));
    let rows = "WITH RECURSIVE row(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM row WHERE n < 100)";
    let text = format!(
        "CREATE TABLE things (thing UNIQUE CHECK (thing <> 'odd')); INSERT INTO things {rows} SELECT randomblob(400) FROM row"
    );
    connection.batch_execute(&text).expect("a table");
    connection
}

fn overwrite(file: &mut File, at: u64) {
    file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&[0xff; 4096])).expect("a file that can be written");
}

#[rstest]
#[case::duplicate("INSERT INTO things VALUES ('one'), ('one')", "conflict")]
#[case::broken_check("INSERT INTO things VALUES ('odd')", "unexpected")]
#[case::no_such_table("INSERT INTO nothing VALUES (1)", "unexpected")]
#[case::full("PRAGMA max_page_count = 1; INSERT INTO things SELECT randomblob(100000)", "unavailable")]
#[case::read_only("PRAGMA query_only = ON; DELETE FROM things", "unavailable")]
fn reads_what_a_statement_fails_with(#[case] statements: &str, #[case] kind: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let error = filled(&folder).batch_execute(statements).expect_err("it fails");
    assert_eq!(classify(error).kind(), kind);
}

#[test]
fn another_writer_is_a_conflict() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut one = filled(&folder);
    one.batch_execute("BEGIN EXCLUSIVE").expect("the lock");
    let error = connect(&file_in(&folder)).batch_execute("DELETE FROM things").expect_err("it is locked");
    assert_eq!(classify(error).kind(), "conflict");
}

#[rstest]
#[case("", "")]
#[case("file:", "")]
#[case("file:", "?mode=rwc")]
fn a_new_file_and_its_log_are_private(#[case] scheme: &str, #[case] parameters: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file_in(&folder);
    create(&format!("{scheme}{}{parameters}", path.display()));
    let mut connection = connect(&path);
    connection.batch_execute("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").expect("a table");
    let files = std::fs::read_dir(folder.path()).expect("a folder").map(|file| file.expect("a file"));
    let modes: Vec<u32> = files.map(|file| file.metadata().expect("its metadata").permissions().mode()).collect();
    assert_eq!(modes, [0o100_600; 3], "the file, its log and its index");
}

#[test]
fn a_file_that_must_exist_is_not_created() {
    let folder = tempfile::tempdir().expect("a folder");
    create(&format!("file:{}?mode=ro", file_in(&folder).display()));
    assert!(!file_in(&folder).exists());
}

#[rstest]
#[case::the_header(0)]
#[case::the_root_of_the_table(4096)]
fn a_damaged_file_is_corrupt(#[case] at: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    drop(filled(&folder));
    overwrite(&mut OpenOptions::new().write(true).open(file_in(&folder)).expect("a file"), at);
    let error = connect(&file_in(&folder)).batch_execute("UPDATE things SET thing = thing").expect_err("it is damaged");
    assert_eq!(classify(error).kind(), "corrupt");
}

#[test]
fn a_long_read_leaves_no_long_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let [mut writer, mut reader] = [filled(&folder), connect(&file_in(&folder))];
    writer.batch_execute(SETUP).expect("a setup");
    let log_size = || std::fs::metadata(folder.path().join("shop.db-wal")).expect("a log").len();
    reader.batch_execute("BEGIN; SELECT count(*) FROM things").expect("a read");
    writer.batch_execute("INSERT INTO things VALUES (zeroblob(80 << 20))").expect("a long log");
    assert!(log_size() > 80 << 20);
    reader.batch_execute("COMMIT").expect("the end of the read");
    // The first commit checkpoints the log, the second one begins it again.
    writer.batch_execute("INSERT INTO things VALUES ('one'); INSERT INTO things VALUES ('two')").expect("two commits");
    assert!(log_size() <= 64 << 20, "{}", log_size());
}

#[test]
fn no_connection_to_a_file_that_is_no_database_is_corrupt() {
    let no_connection_after =
        |cause: &str| no_connection(NoConnection { waited: Duration::ZERO, cause: Some(cause.to_owned()) }).kind();
    assert_eq!(no_connection_after("file is not a database"), "corrupt");
    assert_eq!(no_connection_after("database is locked"), "unavailable");
}

#[test]
fn only_a_commit_that_has_written_rows_settles_what_the_log_may_hold() {
    let failed = |text: &str| Err(Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(text.to_owned())));
    let server = Server::default();
    for harmless in ["database or disk is full", "database is locked"] {
        server.note(&failed(harmless), true);
        assert!(!server.is_in_doubt(), "{harmless}");
    }
    server.note(&failed("disk I/O error"), true);
    for (committed, has_rows, in_doubt) in
        [(failed("database or disk is full"), true, true), (Ok(()), false, true), (Ok(()), true, false)]
    {
        server.note(&committed, has_rows);
        assert_eq!(server.is_in_doubt(), in_doubt, "{committed:?}");
    }
}
