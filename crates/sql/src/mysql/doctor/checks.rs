//! The evaluation of the facts: pure, so that each wrong setting is a row of a test.

use std::collections::BTreeSet;

use super::grants::Grants;
use super::{Clock, Facts, Host, Purpose};
use crate::doctor::{Advice, Check, Checks, State, refused, warning};
use crate::mysql::privileges::{OnTable, SERVING};
use crate::mysql::server::{Identity, REFUSALS, Variables};

const MYSQL_MIN: [u32; 3] = [8, 0, 19];
const MARIADB_MIN: [u32; 3] = [10, 6, 0];
const PACKET_BYTES_MIN: u64 = 1 << 20;
/// The default of `group_replication_transaction_size_limit`, in bytes. No batch reaches it.
const GROUP_TRANSACTION_BYTES_MIN: u64 = 150_000_000;
/// Upper bound of the differences between clocks, in seconds.
const CLOCKS_MAX: f64 = 1.0;
const READ_PRIVILEGES: [&str; 1] = ["SELECT"];
const WRITE_PRIVILEGES: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];
const MIGRATION_PRIVILEGES: [&str; 5] = ["CREATE", "ALTER", "DROP", "INDEX", "REFERENCES"];
/// On the whole server.
const EXCESSIVE_PRIVILEGES: [&str; 5] = ["ALL PRIVILEGES", "SUPER", "READ_ONLY ADMIN", "CONNECTION_ADMIN", "FILE"];

/// A host with its facts, or the reason why it cannot be examined.
pub(super) type Examined = (Host, Result<Facts, String>);

/// The checks of each host, and those of all hosts together.
pub(super) fn evaluate(hosts: &[Examined]) -> Vec<Check> {
    let mut list: Vec<Check> = hosts.iter().flat_map(|(host, facts)| host_checks(host, facts, hosts)).collect();
    let mut all = Checks::of("all hosts");
    writers(&mut all, hosts);
    clocks(&mut all, hosts);
    list.extend(all.into_list());
    list
}

fn host_checks(host: &Host, facts: &Result<Facts, String>, hosts: &[Examined]) -> Vec<Check> {
    let mut checks = Checks::of(&host.name);
    match facts {
        Ok(facts) => {
            version(&mut checks, &facts.variables);
            topology(&mut checks, facts);
            apply(&mut checks, &facts.variables, &SESSION_RULES);
            if host.purpose == Purpose::Write {
                refusals(&mut checks, &facts.variables);
                apply(&mut checks, &facts.variables, &WRITE_RULES);
                semi_sync(&mut checks, facts, hosts);
            }
            sysdate(&mut checks, facts.is_sysdate_moving);
            clock(&mut checks, facts.clock);
            transport(&mut checks, host, &facts.status);
            grants(&mut checks, host.purpose, facts);
            connections(&mut checks, host, facts);
        }
        Err(reason) => {
            let same = hosts.iter().filter(|(other, _)| other.purpose == host.purpose);
            let advice = "start the host, or correct the URL; until then it cannot take over";
            let is_last = same.into_iter().all(|(_, facts)| facts.is_err());
            checks.add("connection", reason.as_str(), if is_last { refused(advice) } else { warning(advice) });
        }
    }
    checks.into_list()
}

fn version(checks: &mut Checks, variables: &Variables) {
    let text = variables.value("version").unwrap_or_default();
    let (system, min) = if variables.is_mariadb() { ("MariaDB", MARIADB_MIN) } else { ("MySQL", MYSQL_MIN) };
    let numbers = text.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    let is_supported = numbers.take(3).collect::<Vec<_>>().as_slice() >= &min[..];
    let [major, minor, patch] = min;
    let otherwise = refused(format!("upgrade to {system} {major}.{minor}.{patch} or later"));
    checks.require("version", format!("{system} {text}"), is_supported, otherwise);
}

fn topology(checks: &mut Checks, facts: &Facts) {
    let Facts { variables, status, is_replica, member_state, .. } = facts;
    let role = if is_read_only(variables) { "read-only" } else { "writer" };
    let mut add = |kind: &str, state| checks.add("topology", format!("{kind}, {role}"), state);
    if variables.replicates_by_wsrep() {
        add("Galera", State::Ok);
        for (name, expected) in [("wsrep_cluster_status", "Primary"), ("wsrep_ready", "ON")] {
            let value = status.value(name).unwrap_or("unknown");
            let otherwise = refused("restore the node's connection to its cluster; until then it rejects all queries");
            checks.require(name, value, status.is(name, expected), otherwise);
        }
    } else if variables.is_group_member() {
        let advice = "start Group Replication on the member; until then it does not take part in the group";
        match member_state {
            Ok(Some(state)) if state == "ONLINE" => add("Group Replication, ONLINE", State::Ok),
            Ok(state) => {
                let state = state.as_deref().unwrap_or("not a member");
                add(&format!("Group Replication, {state}"), refused(advice));
            }
            Err(reason) => add("Group Replication", unreadable(reason)),
        }
        if let Some(consistency) = variables.value("group_replication_consistency") {
            let enough = format!("{consistency}; each value is sufficient, as commit markers are claimed by a write");
            checks.add("group_replication_consistency", enough, State::Ok);
        }
    } else {
        match is_replica {
            Ok(true) if !is_read_only(variables) => {
                let advice = "set read_only=ON: rows written here are missing on the source, and replication stops at \
                              the first conflict";
                add("replica", warning(advice));
            }
            Ok(true) => add("replica", State::Ok),
            Ok(false) => add("single server", State::Ok),
            Err(reason) => add("single server or replica", unreadable(reason)),
        }
    }
}

fn is_read_only(variables: &Variables) -> bool {
    let is_on = |name| variables.given(name).is_some_and(|value| !["OFF", "0"].contains(&value));
    ["read_only", "super_read_only", "innodb_read_only"].into_iter().any(is_on)
}

/// An unknown state: the server's text names the missing privilege.
fn unreadable(reason: &str) -> State {
    State::Unknown(format!("grant the missing privilege to see it ({reason})").into())
}

/// A variable with the values on which the guarantees hold. A server without the variable gets no check.
struct Rule {
    variable: &'static str,
    holds: fn(&Variables, &str) -> bool,
    otherwise: fn(Advice) -> State,
    advice: &'static str,
}

const DROPPED: &str = "connect without the proxy that drops the settings of a session";

/// Variables that each session sets itself: only a proxy in between changes them.
const SESSION_RULES: [Rule; 4] = [
    Rule {
        variable: "transaction_isolation",
        holds: |_, value| value == "READ-COMMITTED",
        otherwise: State::Refused,
        advice: DROPPED,
    },
    Rule {
        variable: "tx_isolation",
        holds: |_, value| value == "READ-COMMITTED",
        otherwise: State::Refused,
        advice: DROPPED,
    },
    Rule { variable: "time_zone", holds: |_, value| value == "+00:00", otherwise: State::Refused, advice: DROPPED },
    Rule { variable: "lc_messages", holds: |_, value| value == "en_US", otherwise: State::Refused, advice: DROPPED },
];

const WRITE_RULES: [Rule; 6] = [
    Rule {
        variable: "innodb_flush_log_at_trx_commit",
        holds: |_, value| value == "1",
        otherwise: State::Warning,
        advice: "set innodb_flush_log_at_trx_commit=1: a crash of the machine loses acknowledged writes of about a \
                 second",
    },
    Rule {
        variable: "sync_binlog",
        holds: |variables, value| value == "1" || !variables.is("log_bin", "ON"),
        otherwise: State::Warning,
        advice: "set sync_binlog=1: after a crash of the machine the binary log, and with it every replica, may lack \
                 acknowledged writes",
    },
    Rule {
        variable: "binlog_error_action",
        holds: |variables, value| value != "IGNORE_ERROR" || !variables.is("log_bin", "ON"),
        otherwise: State::Warning,
        advice: "set binlog_error_action=ABORT_SERVER: after an error of the binary log, no replica gets the writes \
                 that the server still acknowledges",
    },
    Rule {
        variable: "innodb_doublewrite",
        holds: |_, value| !["OFF", "0", "DETECT_ONLY"].contains(&value),
        otherwise: State::Warning,
        advice: "set innodb_doublewrite=ON: a page that is half written at a power failure cannot be restored",
    },
    Rule {
        variable: "max_allowed_packet",
        holds: |_, value| value.parse().is_ok_and(|bytes: u64| bytes >= PACKET_BYTES_MIN),
        otherwise: State::Warning,
        advice: "set max_allowed_packet=16M, at least 1M: a command with a larger row is rejected",
    },
    Rule {
        variable: "group_replication_transaction_size_limit",
        holds: |_, value| value.parse().is_ok_and(|bytes: u64| bytes == 0 || bytes >= GROUP_TRANSACTION_BYTES_MIN),
        otherwise: State::Warning,
        advice: "set group_replication_transaction_size_limit=150000000: the group rejects a larger batch as it does \
                 writes at a failure (3100), so its callers get 503 although the database is available",
    },
];

fn apply(checks: &mut Checks, variables: &Variables, rules: &[Rule]) {
    for Rule { variable, holds, otherwise, advice } in rules {
        if let Some(value) = variables.value(variable) {
            checks.require(variable, value, holds(variables, value), otherwise(Advice::Borrowed(advice)));
        }
    }
}

/// The settings with which every connection is refused.
fn refusals(checks: &mut Checks, variables: &Variables) {
    for refusal in &REFUSALS {
        let concerns = match refusal.variable {
            name if name.starts_with("wsrep_") => variables.replicates_by_wsrep(),
            name if name.starts_with("group_replication_") => variables.is_group_member(),
            _ => variables.is("log_bin", "ON"),
        };
        if let Some(value) = variables.value(refusal.variable).filter(|_| concerns) {
            checks.require(refusal.variable, value, !(refusal.applies)(variables), refused(refusal.reason));
        }
    }
}

/// Checks that a commit waits for a replica, where there are replicas.
fn semi_sync(checks: &mut Checks, facts: &Facts, hosts: &[Examined]) {
    let Facts { variables, status, replicas, .. } = facts;
    if variables.replicates_by_wsrep() || variables.is_group_member() || is_read_only(variables) {
        return;
    }
    let is_replica = |facts: &Facts| facts.is_replica == Ok(true) && is_read_only(&facts.variables);
    let has_replica_hosts = hosts.iter().any(|(_, facts)| facts.as_ref().is_ok_and(is_replica));
    let is_on = ["Rpl_semi_sync_source_status", "Rpl_semi_sync_master_status"].iter().any(|name| status.is(name, "ON"));
    let name = "semi-synchronous replication";
    let advice = "enable it (rpl_semi_sync_source_enabled or rpl_semi_sync_master_enabled): a promoted replica may lack \
                  the last acknowledged writes";
    match replicas {
        _ if is_on => checks.add(name, "on", State::Ok),
        Ok(0) if !has_replica_hosts => checks.add(name, "off, no replica", State::Ok),
        Err(reason) if !has_replica_hosts => checks.add(name, "off", unreadable(reason)),
        Ok(_) | Err(_) => checks.add(name, "off, with replicas", warning(advice)),
    }
}

fn sysdate(checks: &mut Checks, is_moving: bool) {
    let otherwise = refused(
        "start the database without --sysdate-is-now: deadlines are compared with the time before a lock wait instead \
         of after it",
    );
    checks.require("SYSDATE", if is_moving { "moves" } else { "stands still" }, is_moving, otherwise);
}

fn clock(checks: &mut Checks, Clock { offset, uncertainty }: Clock) {
    let otherwise =
        warning("synchronize the clocks: deadlines use the database's clock, the expiry of tokens this machine's");
    let value = format!("{offset:+.3} s ± {uncertainty:.3} s");
    checks.require("clock", value, offset.abs() - uncertainty <= CLOCKS_MAX, otherwise);
}

fn transport(checks: &mut Checks, host: &Host, status: &Variables) {
    match status.given("Ssl_cipher") {
        Some(cipher) => {
            let otherwise = warning("set DATABASE_TLS=verify: a man in the middle reads and changes all data");
            checks.require("TLS", cipher, host.is_verified, otherwise);
        }
        None if host.is_local => checks.add("TLS", "off, on this machine", State::Ok),
        None => checks.add("TLS", "off", warning("set DATABASE_TLS=verify: the network reads and changes all data")),
    }
}

fn grants(checks: &mut Checks, purpose: Purpose, facts: &Facts) {
    let grants = Grants::of(&facts.grants, &facts.database);
    let require =
        |checks: &mut Checks, name, privileges: &[&'static str], otherwise: fn(Advice) -> State, lost: &str| {
            let missing = grants.missing(privileges).join(", ");
            if missing.is_empty() {
                checks.add(name, privileges.join(", "), State::Ok);
                return;
            }
            let advice = format!("GRANT {missing} ON {}.*: {lost}", facts.database);
            // The privileges may come from a role, or table by table.
            let state = if grants.has_others() { State::Unknown(advice.into()) } else { otherwise(advice.into()) };
            checks.add(name, format!("without {missing}"), state);
        };
    let read_tables = SERVING.map(|(table, _)| (table, &READ_PRIVILEGES[..]));
    let (privileges, tables, lost): (&[&'static str], &[OnTable], &str) = match purpose {
        Purpose::Read => (&READ_PRIVILEGES, &read_tables, "reads fail"),
        Purpose::Write => (&WRITE_PRIVILEGES, &SERVING, "requests fail"),
    };
    // Of grants on single tables only those on all tables are enough.
    let is_by_table = grants.has_tables() && !grants.missing(privileges).is_empty();
    if is_by_table {
        by_table(checks, &grants.missing_on_tables(tables), lost);
    } else {
        require(checks, "privileges", privileges, State::Refused, lost);
    }
    if purpose == Purpose::Read {
        return;
    }
    if is_by_table && grants.missing(&MIGRATION_PRIVILEGES).len() == MIGRATION_PRIVILEGES.len() {
        checks.add("privileges to migrate", "none: another user migrates, with AUTO_MIGRATE=false", State::Ok);
    } else {
        let lost = "only another user can migrate";
        require(checks, "privileges to migrate", &MIGRATION_PRIVILEGES, State::Warning, lost);
    }
    let excessive = grants.global(&EXCESSIVE_PRIVILEGES).join(", ");
    let advice = format!(
        "REVOKE {excessive} ON *.*: read_only may not stop this user's writes, and its password gives access to more \
         than the shop"
    );
    let value = if excessive.is_empty() { "none" } else { excessive.as_str() };
    checks.require("privileges on the whole server", value, excessive.is_empty(), warning(advice));
}

fn by_table(checks: &mut Checks, missing: &[String], lost: &str) {
    if missing.is_empty() {
        checks.add("privileges", "those of `jangteo grants`, by table", State::Ok);
    } else {
        let advice = format!("execute the statements of `jangteo grants USER`: {lost}");
        checks.add("privileges", format!("without {}", missing.join("; ")), refused(advice));
    }
}

fn connections(checks: &mut Checks, host: &Host, facts: &Facts) {
    let number = |variables: &Variables, name| variables.value(name)?.parse::<u32>().ok();
    let max = number(&facts.variables, "max_connections");
    let (Some(max), Some(open)) = (max, number(&facts.status, "Threads_connected")) else { return };
    let (free, needed) = (max.saturating_sub(open), host.connections_max);
    let otherwise = warning(
        "raise max_connections, or lower DATABASE_POOL_MAX: requests wait for a connection and fail, unless this \
         server's own are among the open ones",
    );
    checks.require("max_connections", format!("{max}, {free} free, {needed} needed"), free >= needed, otherwise);
}

/// Checks that the hosts of `DATABASE_URL` have one writer, or writers that agree.
fn writers(checks: &mut Checks, hosts: &[Examined]) {
    let reached = hosts.iter().filter(|(host, _)| host.purpose == Purpose::Write);
    let reached: Vec<_> = reached.filter_map(|(host, facts)| Some((host, facts.as_ref().ok()?))).collect();
    if reached.is_empty() {
        return;
    }
    // One of each server: two names may lead to the same one.
    let (mut servers, mut writers) = (BTreeSet::new(), Vec::new());
    for (host, facts) in reached.iter().filter(|(_, facts)| !is_read_only(&facts.variables)) {
        let Identity { server, group } = facts.variables.identity();
        if servers.insert(server) {
            writers.push((&host.name, group));
        }
    }
    let groups: Vec<_> = writers.iter().map(|(_, group)| group).collect();
    let agree = groups.len() == 1
        || groups.first().is_some_and(|group| group.is_some()) && groups.windows(2).all(|pair| pair[0] == pair[1]);
    let names = writers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    if writers.is_empty() {
        checks.add("writer", "none", refused("set read_only=OFF on one host: all writes fail"));
    } else {
        let advice = "set read_only=ON on all hosts but one: after an election, the writes are divided between hosts \
                      that do not share them";
        checks.require("writer", names, agree, warning(advice));
    }
}

/// Compares the clocks of the hosts: at an election, deadlines move by their difference.
fn clocks(checks: &mut Checks, hosts: &[Examined]) {
    let clocks: Vec<Clock> =
        hosts.iter().filter_map(|(_, facts)| facts.as_ref().ok()).map(|facts| facts.clock).collect();
    if clocks.len() < 2 {
        return;
    }
    // The largest difference between two hosts, and its certain part.
    let bound = |value: fn(&Clock) -> f64| {
        let values = || clocks.iter().map(value);
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
    };
    let (first, last) = bound(|clock| clock.offset);
    let (earliest_end, _) = bound(|clock| clock.offset + clock.uncertainty);
    let (_, latest_begin) = bound(|clock| clock.offset - clock.uncertainty);
    let otherwise = warning("synchronize the hosts' clocks: at an election, deadlines move by the difference");
    checks.require(
        "clocks",
        format!("{:.3} s apart", last - first),
        latest_begin - earliest_end <= CLOCKS_MAX,
        otherwise,
    );
}

#[cfg(test)]
mod tests;
