//! Texts of errors that the test server cannot produce. All other errors are provoked; see `docs/testing.md`.

use rstest::rstest;

use super::*;

#[rstest]
#[case(1020, "Record has changed since last read in table 'stocks'", "conflict")]
#[case(3101, "Plugin instructed the server to rollback the current transaction.", "conflict")]
#[case(9007, "Write conflict, txnStartTS=1, conflictStartTS=2 [try again later]", "conflict")]
#[case(1021, "Disk full (/tmp/#sql); waiting for someone to free some space... (errno: 28)", "unavailable")]
#[case(1026, "Error writing file './binlog.000001' (errno: 28 - No space left on device)", "unavailable")]
#[case(1040, "Too many connections", "unavailable")]
#[case(1041, "Out of memory; check if mysqld or some other process uses all available memory", "unavailable")]
#[case(1045, "Access denied for user 'shop'@'10.0.0.1' (using password: YES)", "unavailable")]
#[case(1047, "WSREP has not yet prepared node for application use", "unavailable")]
#[case(1053, "Server shutdown in progress", "unavailable")]
#[case(1203, "User shop already has more than 'max_user_connections' active connections", "unavailable")]
#[case(1226, "User 'shop' has exceeded the 'max_questions' resource (current value: 1)", "unavailable")]
#[case(1290, "The MySQL server is running with the --super-read-only option so it cannot execute this", "unavailable")]
#[case(1836, "Running in read-only mode", "unavailable")]
#[case(2006, "MySQL server has gone away", "unavailable")]
#[case(3032, "The server is currently in offline mode", "unavailable")]
#[case(3100, "Error on observer while running replication hook 'before_commit'.", "unavailable")]
#[case(
    4094,
    "All queries have been blocked while function 'group_replication_set_as_primary()' is executing.",
    "unavailable"
)]
#[case(4025, "CONSTRAINT `ck_stocks_available` failed for `shop`.`stocks`", "unexpected")]
#[case(4031, "The client was disconnected by the server because of inactivity.", "unavailable")]
#[case(1064, "You have an error in your SQL syntax", "unexpected")]
fn server_errors_are_classified(#[case] number: u32, #[case] words: &str, #[case] kind: &str) {
    let error = Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(words.to_owned()));
    assert_eq!(classify(error).kind(), kind, "{number}");
}

#[rstest]
#[case(DatabaseErrorKind::UniqueViolation, "conflict")]
#[case(DatabaseErrorKind::SerializationFailure, "conflict")]
#[case(DatabaseErrorKind::ReadOnlyTransaction, "unavailable")] // 1792
#[case(DatabaseErrorKind::ClosedConnection, "unavailable")]
#[case(DatabaseErrorKind::CheckViolation, "unexpected")] // 3819
#[case(DatabaseErrorKind::ForeignKeyViolation, "unexpected")]
#[case(DatabaseErrorKind::NotNullViolation, "unexpected")]
fn driver_errors_are_classified(#[case] error: DatabaseErrorKind, #[case] kind: &str) {
    assert_eq!(classify(Error::DatabaseError(error, Box::new("in words".to_owned()))).kind(), kind);
}
