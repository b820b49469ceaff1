//! `jangteo doctor`: each wrong setting of a real database is reported, with the value to set.

use std::collections::BTreeMap;
use std::time::Duration;

use jangteo_testkit::{
    Backend, CommandOutput, Database, MariaDb, Shop, eventually, run_on, scenarios, scenarios_on_sqlite, shop_url,
    shop_url_of,
};
use serde_json::Value;

/// Timeout for the starts of a private server on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(300);

scenarios![examines_a_database_and_changes_nothing];

scenarios_on_sqlite![a_database_that_cannot_be_reached_is_refused];

/// The checks by name, each with its state and advice, as in `warning: set …`.
pub fn checks(output: &CommandOutput) -> BTreeMap<String, String> {
    let check = |check: &Value| (text(check, "name"), format!("{}: {}", text(check, "state"), text(check, "advice")));
    list(output).iter().map(check).collect()
}

/// The checks of one target, each with its state, value and advice, as in `ok replica, read-only: `.
fn checks_of(output: &CommandOutput, target: &str) -> BTreeMap<String, String> {
    let list = list(output);
    let of_target = list.iter().filter(|check| check["target"] == target);
    let line = |check: &Value| format!("{} {}: {}", text(check, "state"), text(check, "value"), text(check, "advice"));
    of_target.map(|check| (text(check, "name"), line(check))).collect()
}

fn list(output: &CommandOutput) -> Vec<Value> {
    let document: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    document["checks"].as_array().expect("checks").clone()
}

fn text(check: &Value, member: &str) -> String {
    check[member].as_str().unwrap_or_default().to_owned()
}

async fn examines_a_database_and_changes_nothing(shop: Shop) {
    shop.expect_no_books();
    let missing = shop.server().run(["doctor"]).await;
    if shop.backend() == Backend::Sqlite {
        assert_eq!(missing.code, Some(1), "{missing:?}");
        assert!(!shop.database().folder().join("jangteo.db").exists(), "the file was created");
    } else {
        assert_eq!(missing.code, Some(0), "{missing:?}");
    }

    assert_eq!(shop.server().run(["migrate"]).await.code, Some(0));
    let printed = shop.server().run(["doctor", "--json"]).await;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let checks = checks(&printed);
    let expected: &[&str] = match shop.backend() {
        Backend::Sqlite => &["file system", "free space", "mode", "journal_mode", "integrity"],
        Backend::Mysql => &["version", "topology", "time_zone", "lc_messages", "SYSDATE", "clock", "TLS", "writer"],
    };
    for name in expected {
        assert!(checks.contains_key(*name), "no {name}: {checks:#?}");
    }
    for (name, state) in checks.iter().filter(|(name, _)| *name != "free space") {
        // The test user has all privileges, which is a warning.
        let is_expected = state.starts_with("ok") || name == "privileges on the whole server";
        assert!(is_expected || !expected.contains(&name.as_str()), "{name}: {state}");
    }

    let connected = shop.server().run(["serve", "--check-config", "--connect"]).await;
    assert_eq!(connected.code, Some(0), "{connected:?}");
    assert!(connected.stdout.contains(" ok, ") && connected.stdout.contains(" 0 refused, "), "{connected:?}");
    let alone = shop.server().run(["serve", "--connect"]).await;
    assert!(alone.code.is_some_and(|code| code != 0), "--connect needs --check-config: {alone:?}");
}

async fn a_database_that_cannot_be_reached_is_refused(shop: Shop) {
    shop.expect_no_books();
    // Port 9 of this machine is closed.
    let server = shop.server().setting("DATABASE_URL", "mysql://shop:hush@127.0.0.1:9,localhost:9/shop");
    let printed = server.run(["doctor", "--json"]).await;
    assert_eq!(printed.code, Some(1), "{printed:?}");
    assert!(checks(&printed)["connection"].starts_with("refused: "), "{printed:?}");
    let as_text = server.run(["doctor"]).await;
    assert!(as_text.stdout.contains("0 ok, 0 warning, 2 refused"), "{as_text:?}");
    assert!(!format!("{printed:?}{as_text:?}").contains("hush"), "the output contains a password");
}

/// Wrong settings of a server, with the check and the beginning of its line.
const WRONG: [(&str, &str, &str); 8] = [
    ("--binlog-format=STATEMENT", "binlog_format", "refused: the server logs statements"),
    ("--sysdate-is-now", "SYSDATE", "refused: start the database without --sysdate-is-now"),
    ("--sync-binlog=0", "sync_binlog", "warning: set sync_binlog=1"),
    (
        "--innodb-flush-log-at-trx-commit=2",
        "innodb_flush_log_at_trx_commit",
        "warning: set innodb_flush_log_at_trx_commit=1",
    ),
    ("--innodb-doublewrite=OFF", "innodb_doublewrite", "warning: set innodb_doublewrite=ON"),
    ("--max-allowed-packet=64K", "max_allowed_packet", "warning: set max_allowed_packet"),
    ("--max-connections=12", "max_connections", "warning: raise max_connections"),
    ("--read-only", "writer", "refused: set read_only=OFF"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_setting_of_a_server_is_reported() {
    let mariadb = MariaDb::start().await.expect("a server");
    let database = Database::create_on(mariadb.url()).await.expect("a database");
    run_on(database, TIME_MAX, async |shop| {
        shop.expect_no_books();
        let url = shop_url(mariadb.port(), shop.database().mysql_name());
        let server = shop.server().setting("DATABASE_URL", &url);
        let examine = async || server.run(["doctor", "--json"]).await;

        let good = examine().await;
        assert_eq!(good.code, Some(0), "{good:?}");
        let checks_of_good = checks(&good);
        for (_, name, _) in WRONG.iter().filter(|(_, name, _)| *name != "binlog_format") {
            assert!(checks_of_good[*name].starts_with("ok"), "{name}: {checks_of_good:#?}");
        }
        assert!(checks_of_good["privileges on the whole server"].starts_with("ok"), "{checks_of_good:#?}");
        // The shop's user may not see the replication.
        let topology = &checks_of_good["topology"];
        assert!(topology.starts_with("unknown") && topology.contains("SLAVE MONITOR"), "{topology}");

        let mut settings = vec!["--log-bin=binlog"];
        settings.extend(WRONG.map(|(setting, _, _)| setting));
        mariadb.restart_with(&settings).await.expect("restarted");
        let wrong = examine().await;
        assert_eq!(wrong.code, Some(1), "{wrong:?}");
        let checks_of_wrong = checks(&wrong);
        for (setting, name, line) in WRONG {
            assert!(checks_of_wrong[name].starts_with(line), "{setting}: {checks_of_wrong:#?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_of_a_primary_and_its_replica_are_reported() {
    let (primary, replica) = MariaDb::start_with_replica().await.expect("two servers");
    let database = Database::create_on(primary.url()).await.expect("a database");
    run_on(database, TIME_MAX, async |shop| {
        shop.expect_no_books();
        let name = shop.database().mysql_name();
        let [one, other] = [&primary, &replica].map(|server| format!("127.0.0.1:{}", server.port()));
        let url = shop_url_of(&format!("{one},{other}"), name);
        let server = shop.server().setting("DATABASE_URL", url);
        let examine = async || server.run(["doctor", "--json"]).await;
        let expect = |output: &CommandOutput, target: &str, name: &str, line: &str| {
            let checks = checks_of(output, target);
            assert!(checks[name].starts_with(line), "{target} {name}, not {line}: {checks:#?}");
        };
        replica.catch_up_with(&primary).await.expect("replicated");
        let withheld = examine().await;
        assert_eq!(withheld.code, Some(0), "{withheld:?}");
        for host in [&one, &other] {
            expect(&withheld, host, "topology", "unknown single server or replica, ");
        }

        primary.execute("GRANT SLAVE MONITOR ON *.* TO shop").await.expect("granted");
        replica.catch_up_with(&primary).await.expect("replicated");
        let asynchronous = examine().await;
        assert_eq!(asynchronous.code, Some(0), "{asynchronous:?}");
        expect(&asynchronous, &one, "topology", "ok single server, writer");
        expect(&asynchronous, &one, "semi-synchronous replication", "warning off, with replicas: enable it");
        expect(&asynchronous, &other, "topology", "ok replica, read-only");
        expect(&asynchronous, "all hosts", "writer", &format!("ok {one}"));

        for statement in
            ["SET GLOBAL rpl_semi_sync_slave_enabled = ON", "STOP SLAVE IO_THREAD", "START SLAVE IO_THREAD"]
        {
            replica.execute(statement).await.expect("no error");
        }
        primary.execute("SET GLOBAL rpl_semi_sync_master_enabled = ON").await.expect("no error");
        eventually("semi-synchronous replication is seen", async || {
            checks_of(&examine().await, &one)["semi-synchronous replication"].starts_with("ok on").then_some(())
        })
        .await;

        replica.execute("SET GLOBAL read_only = OFF").await.expect("no error");
        let writable = examine().await;
        assert_eq!(writable.code, Some(0), "{writable:?}");
        expect(&writable, &other, "topology", "warning replica, writer: set read_only=ON: ");
        expect(&writable, "all hosts", "writer", &format!("warning {one}, {other}: set read_only=ON on all hosts but"));
        replica.execute("SET GLOBAL read_only = ON").await.expect("no error");

        // For reads only, a replica needs no privilege to write and no durability.
        primary.execute("CREATE USER reader IDENTIFIED BY 'reader'").await.expect("created");
        primary.execute(&format!("GRANT SELECT ON {name}.* TO reader")).await.expect("granted");
        replica.catch_up_with(&primary).await.expect("replicated");
        let server = shop.server().setting("DATABASE_URL", shop_url_of(&one, name));
        let server = server.setting("DATABASE_READ_URL", format!("mysql://reader:reader@{other}/{name}"));
        let read = server.run(["doctor", "--json"]).await;
        assert_eq!(read.code, Some(0), "{read:?}");
        expect(&read, &other, "privileges", "ok SELECT");
        assert!(!checks_of(&read, &other).contains_key("sync_binlog"), "{read:?}");

        replica.crash().await.expect("it runs");
        let alone = examine().await;
        assert_eq!(alone.code, Some(0), "{alone:?}");
        expect(&alone, &other, "connection", "warning ");
    })
    .await;
}
