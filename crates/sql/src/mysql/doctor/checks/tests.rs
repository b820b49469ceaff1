use rstest::rstest;

use super::*;
use crate::mysql::doctor::Readable;

type Pairs = &'static [(&'static str, &'static str)];

/// A server on which all guarantees hold, as MySQL and Galera report it.
const VARIABLES: Pairs = &[
    ("version", "8.0.36"),
    ("server_uuid", "a"),
    ("transaction_isolation", "READ-COMMITTED"),
    ("time_zone", "+00:00"),
    ("lc_messages", "en_US"),
    ("log_bin", "ON"),
    ("binlog_format", "ROW"),
    ("sync_binlog", "1"),
    ("binlog_error_action", "ABORT_SERVER"),
    ("innodb_flush_log_at_trx_commit", "1"),
    ("innodb_doublewrite", "ON"),
    ("max_allowed_packet", "1048576"),
    ("max_connections", "100"),
    ("read_only", "OFF"),
];
const STATUS: Pairs = &[("Ssl_cipher", "TLS_AES_256_GCM_SHA384"), ("Threads_connected", "77")];
const GALERA: Pairs = &[("wsrep_on", "ON"), ("wsrep_provider", "/lib/libgalera_smm.so"), ("wsrep_cluster_name", "c")];
const GALERA_STATUS: Pairs = &[("wsrep_cluster_status", "Primary"), ("wsrep_ready", "ON")];
const GROUP: Pairs = &[("group_replication_group_name", "g"), ("group_replication_single_primary_mode", "ON")];
const READ_ONLY: Pairs = &[("server_uuid", "b"), ("read_only", "ON")];

fn variables(base: Pairs, changes: &[(&str, &str)]) -> Variables {
    // The first value counts.
    Variables(changes.iter().chain(base).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn facts(changes: &[(&str, &str)]) -> Facts {
    Facts {
        variables: variables(VARIABLES, changes),
        status: variables(STATUS, GALERA_STATUS),
        database: "shop".to_owned(),
        grants: vec!["GRANT ALL PRIVILEGES ON `shop`.* TO `u`@`%`".to_owned()],
        is_sysdate_moving: true,
        clock: Clock { offset: 0.0, uncertainty: 0.0 },
        is_replica: Ok(false),
        replicas: Ok(0),
        member_state: Ok(Some("ONLINE".to_owned())),
    }
}

fn host(name: &str) -> Host {
    let name = name.to_owned();
    Host { name, purpose: Purpose::Write, is_local: false, is_verified: true, connections_max: 23 }
}

fn of_one(facts: Facts) -> Vec<Check> {
    evaluate(&[(host("a:3306"), Ok(facts))])
}

/// The checks that are not `Ok`, as `name state`.
fn problems(checks: &[Check]) -> Vec<String> {
    let bad = checks.iter().filter(|check| check.state != State::Ok);
    bad.map(|check| format!("{} {}", check.name, check.state.name())).collect()
}

#[rstest]
#[case::single(&[])]
#[case::no_binary_log(&[("log_bin", "OFF"), ("sync_binlog", "0"), ("binlog_error_action", "IGNORE_ERROR"), ("binlog_format", "STATEMENT")])]
#[case::galera(GALERA)]
#[case::a_group(GROUP)]
#[case::a_group_without_a_limit(&[GROUP, &[("group_replication_transaction_size_limit", "0")]].concat())]
#[case::mariadb(&[("version", "10.6.0-MariaDB")])]
#[case::oldest(&[("version", "8.0.19")])]
#[case::next(&[("version", "9.0.1-percona")])]
fn a_server_with_all_guarantees_has_no_problem(#[case] changes: &[(&str, &str)]) {
    assert_eq!(problems(&of_one(facts(changes))), [] as [String; 0]);
}

#[rstest]
#[case(&[("version", "8.0.18")], "version refused")]
#[case(&[("version", "5.7.44")], "version refused")]
#[case(&[("version", "10.5.23-MariaDB")], "version refused")]
#[case(&[("binlog_format", "STATEMENT")], "binlog_format refused")]
#[case(&[("sync_binlog", "0")], "sync_binlog warning")]
#[case(&[("sync_binlog", "100")], "sync_binlog warning")]
#[case(&[("binlog_error_action", "IGNORE_ERROR")], "binlog_error_action warning")]
#[case(&[("innodb_flush_log_at_trx_commit", "2")], "innodb_flush_log_at_trx_commit warning")]
#[case(&[("innodb_doublewrite", "OFF")], "innodb_doublewrite warning")]
#[case(&[("innodb_doublewrite", "DETECT_ONLY")], "innodb_doublewrite warning")]
#[case(&[("max_allowed_packet", "1048575")], "max_allowed_packet warning")]
#[case(&[GROUP, &[("group_replication_transaction_size_limit", "149999999")]].concat(), "group_replication_transaction_size_limit warning")]
#[case(&[("transaction_isolation", "REPEATABLE-READ")], "transaction_isolation refused")]
#[case(&[("time_zone", "SYSTEM")], "time_zone refused")]
#[case(&[("lc_messages", "ko_KR")], "lc_messages refused")]
#[case(&[("max_connections", "99")], "max_connections warning")]
#[case(&[("read_only", "ON")], "writer refused")]
#[case(&[("super_read_only", "ON")], "writer refused")]
#[case(&[("read_only", "NO_LOCK")], "writer refused")]
#[case(&[GALERA, &[("wsrep_dirty_reads", "ON")]].concat(), "wsrep_dirty_reads refused")]
#[case(&[GALERA, &[("wsrep_trx_fragment_size", "1024")]].concat(), "wsrep_trx_fragment_size refused")]
#[case(&[&[("group_replication_single_primary_mode", "OFF")][..], GROUP].concat(), "group_replication_single_primary_mode refused")]
fn a_wrong_variable_is_the_only_problem(#[case] changes: &[(&str, &str)], #[case] problem: &str) {
    let checks = of_one(facts(changes));
    assert_eq!(problems(&checks), [problem]);
    let check = checks.iter().find(|check| check.state != State::Ok).expect("a problem");
    assert!(check.state.advice().is_some_and(|advice| !advice.is_empty()));
}

#[test]
fn every_setting_that_refuses_a_connection_is_checked() {
    for refusal in &REFUSALS {
        let (name, value) = (refusal.variable, if refusal.variable == "wsrep_trx_fragment_size" { "0" } else { "ok" });
        let checks = of_one(facts(&[GALERA, GROUP, &[(name, value)]].concat()));
        assert!(checks.iter().any(|check| check.name == name), "{name}");
    }
}

#[rstest]
#[case("wsrep_cluster_status", "non-Primary")]
#[case("wsrep_ready", "OFF")]
fn a_node_outside_of_its_cluster_is_refused(#[case] name: &'static str, #[case] value: &str) {
    let status = variables(STATUS, &[&[(name, value)][..], GALERA_STATUS].concat());
    assert_eq!(problems(&of_one(Facts { status, ..facts(GALERA) })), [format!("{name} refused")]);
}

#[rstest]
#[case(Ok(Some("RECOVERING".to_owned())), "topology refused")]
#[case(Ok(None), "topology refused")]
#[case(Err("SELECT command denied".to_owned()), "topology unknown")]
fn a_member_outside_of_its_group_is_refused(#[case] member_state: Readable<Option<String>>, #[case] problem: &str) {
    assert_eq!(problems(&of_one(Facts { member_state, ..facts(GROUP) })), [problem]);
}

#[test]
fn facts_that_are_withheld_are_unknown_and_name_the_privilege() {
    let denied = "Access denied; you need (at least one of) the REPLICATION CLIENT privilege(s) for this operation";
    let withheld = Facts { is_replica: Err(denied.to_owned()), replicas: Err(denied.to_owned()), ..facts(&[]) };
    let checks = of_one(withheld);
    assert_eq!(problems(&checks), ["topology unknown", "semi-synchronous replication unknown"]);
    let unknown = checks.iter().filter(|check| check.state != State::Ok);
    assert!(
        unknown.into_iter().all(|check| check.state.advice().is_some_and(|text| text.contains("REPLICATION CLIENT")))
    );
}

#[rstest]
#[case::none(0, "OFF", &[])]
#[case::without(1, "OFF", &["semi-synchronous replication warning"])]
#[case::with(1, "ON", &[])]
fn a_commit_should_wait_for_a_replica(#[case] replicas: usize, #[case] value: &str, #[case] expected: &[&str]) {
    for name in ["Rpl_semi_sync_source_status", "Rpl_semi_sync_master_status"] {
        let status = variables(STATUS, &[(name, value)]);
        let found = problems(&of_one(Facts { replicas: Ok(replicas), status, ..facts(&[]) }));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_replica_among_the_hosts_is_one_without_a_privilege() {
    let source = (host("a:3306"), Ok(Facts { replicas: Err("denied".to_owned()), ..facts(&[]) }));
    let replica = (host("b:3306"), Ok(Facts { is_replica: Ok(true), ..facts(READ_ONLY) }));
    assert_eq!(problems(&evaluate(&[source, replica])), ["semi-synchronous replication warning"]);
}

#[test]
fn a_replica_that_accepts_writes_is_a_warning() {
    assert_eq!(problems(&of_one(Facts { is_replica: Ok(true), ..facts(&[]) })), ["topology warning"]);
}

#[test]
fn a_frozen_clock_is_refused() {
    assert_eq!(problems(&of_one(Facts { is_sysdate_moving: false, ..facts(&[]) })), ["SYSDATE refused"]);
}

#[rstest]
#[case(0.9, 0.0, &[])]
#[case(1.5, 0.6, &[])]
#[case(1.5, 0.4, &["clock warning"])]
#[case(-1.5, 0.4, &["clock warning"])]
fn clocks_differ_by_more_than_half_the_round_trip(
    #[case] offset: f64,
    #[case] uncertainty: f64,
    #[case] expected: &[&str],
) {
    assert_eq!(problems(&of_one(Facts { clock: Clock { offset, uncertainty }, ..facts(&[]) })), expected);
}

#[rstest]
#[case(-0.6, 0.6, &["clocks warning"])]
#[case(-0.4, 0.4, &[])]
fn the_hosts_clocks_are_compared_with_each_other(#[case] a: f64, #[case] b: f64, #[case] expected: &[&str]) {
    let clock = |offset| Clock { offset, uncertainty: 0.05 };
    let a = (host("a:3306"), Ok(Facts { clock: clock(a), ..facts(&[]) }));
    let b = (host("b:3306"), Ok(Facts { clock: clock(b), ..facts(READ_ONLY) }));
    assert_eq!(problems(&evaluate(&[a, b])), expected);
}

#[rstest]
#[case::verified("x", false, true, &[])]
#[case::encrypted("x", false, false, &["TLS warning"])]
#[case::plain("", false, false, &["TLS warning"])]
#[case::plain_on_this_machine("", true, false, &[])]
fn a_network_needs_verified_tls(
    #[case] cipher: &str,
    #[case] is_local: bool,
    #[case] is_verified: bool,
    #[case] expected: &[&str],
) {
    let facts = Facts { status: variables(STATUS, &[("Ssl_cipher", cipher)]), ..facts(&[]) };
    assert_eq!(problems(&evaluate(&[(Host { is_local, is_verified, ..host("a:3306") }, Ok(facts))])), expected);
}

#[rstest]
#[case::too_few("GRANT SELECT, CREATE, ALTER, DROP, INDEX, REFERENCES ON `shop`.* TO `u`@`%`", &["privileges refused"])]
#[case::no_migrations("GRANT SELECT, INSERT, UPDATE, DELETE ON `shop`.* TO `u`@`%`", &["privileges to migrate warning"])]
#[case::a_role("GRANT `r`@`%` TO `u`@`%`", &["privileges unknown", "privileges to migrate unknown"])]
#[case::too_many("GRANT ALL PRIVILEGES ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*HASH'", &["privileges on the whole server warning"])]
fn privileges_are_neither_too_few_nor_too_many(#[case] grant: &str, #[case] expected: &[&str]) {
    let checks = of_one(Facts { grants: vec![grant.to_owned()], ..facts(&[]) });
    assert_eq!(problems(&checks), expected);
    assert!(!format!("{checks:?}").contains("HASH"));
}

#[test]
fn missing_privileges_are_named() {
    let grants = vec!["GRANT SELECT, UPDATE ON `shop`.* TO `u`@`%`".to_owned()];
    let checks = of_one(Facts { grants, ..facts(&[]) });
    let check = checks.iter().find(|check| check.name == "privileges").expect("a check");
    assert!(check.state.advice().is_some_and(|advice| advice.starts_with("GRANT INSERT, DELETE ON shop.*")));
}

#[test]
fn a_host_for_reads_needs_no_durability() {
    let reading = Host { purpose: Purpose::Read, ..host("b:3306") };
    let loose = facts(&[READ_ONLY, &[("sync_binlog", "0"), ("innodb_flush_log_at_trx_commit", "0")]].concat());
    let loose = Facts { grants: vec!["GRANT SELECT ON `shop`.* TO `u`@`%`".to_owned()], ..loose };
    assert_eq!(problems(&evaluate(&[(host("a:3306"), Ok(facts(&[]))), (reading, Ok(loose))])), [] as [String; 0]);
}

#[test]
fn a_database_that_cannot_be_reached_is_refused_and_a_single_host_is_a_warning() {
    let away = |name| (host(name), Err("connection refused".to_owned()));
    assert_eq!(problems(&evaluate(&[away("a:3306"), away("b:3306")])), ["connection refused", "connection refused"]);
    assert_eq!(problems(&evaluate(&[(host("a:3306"), Ok(facts(&[]))), away("b:3306")])), ["connection warning"]);
}

#[rstest]
#[case::the_same_server(&[], &[], &[])]
#[case::two_servers(&[], &[("server_uuid", "b")], &["writer warning"])]
#[case::of_a_cluster(GALERA, &[&[("server_uuid", "b")][..], GALERA].concat(), &[])]
#[case::of_a_cluster_and_not(GALERA, &[("server_uuid", "b")], &["writer warning"])]
fn writers_agree_or_are_one(
    #[case] first: &[(&str, &str)],
    #[case] second: &[(&str, &str)],
    #[case] expected: &[&str],
) {
    let hosts = [(host("a:3306"), Ok(facts(first))), (host("b:3306"), Ok(facts(second)))];
    assert_eq!(problems(&evaluate(&hosts)), expected);
}
