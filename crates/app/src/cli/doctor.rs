//! `jangteo doctor`: the checks of the database, as text or JSON.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use jangteo_sql::doctor::{Check, State};
use serde_json::{Value, json};

use crate::settings::Settings;
use crate::startup;

/// Prints a line per check and a summary, or one JSON document. The exit code is 1 if a check is refused.
pub async fn run(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let checks = startup::examine(settings).await?;
    let text = if json { serde_json::to_string_pretty(&document(&checks))? } else { lines(&checks).join("\n") };
    // A closed pipe does not change the exit code.
    let _closed = writeln!(stdout(), "{text}");
    let is_refused = checks.iter().any(|check| matches!(check.state, State::Refused(_)));
    Ok(if is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn lines(checks: &[Check]) -> Vec<String> {
    let line = |Check { target, name, value, state }: &Check| {
        let line = format!("{:<8} {target}  {name}: {value}", state.name());
        state.advice().map_or(line.clone(), |advice| format!("{line}\n         {advice}"))
    };
    let count = |name| checks.iter().filter(|check| check.state.name() == name).count();
    let counts = ["ok", "warning", "refused", "unknown"].map(|name| format!("{} {name}", count(name)));
    checks.iter().map(line).chain([counts.join(", ")]).collect()
}

fn document(checks: &[Check]) -> Value {
    let check = |Check { target, name, value, state }: &Check| json!({ "target": target, "name": name, "value": value, "state": state.name(), "advice": state.advice() });
    json!({ "checks": checks.iter().map(check).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> [Check; 2] {
        let check =
            |name, value: &str, state| Check { target: "a:3306".to_owned(), name, value: value.to_owned(), state };
        let advice = State::Warning("set sync_binlog=1: replicas may lack writes".into());
        [check("version", "MySQL 8.0.36", State::Ok), check("sync_binlog", "0", advice)]
    }

    #[test]
    fn each_check_is_a_line_and_its_advice_another() {
        let expected = [
            "ok       a:3306  version: MySQL 8.0.36",
            "warning  a:3306  sync_binlog: 0\n         set sync_binlog=1: replicas may lack writes",
            "1 ok, 1 warning, 0 refused, 0 unknown",
        ];
        assert_eq!(lines(&checks()), expected);
    }

    #[test]
    fn the_document_has_the_same_checks() {
        let document = document(&checks());
        let first =
            json!({ "target": "a:3306", "name": "version", "value": "MySQL 8.0.36", "state": "ok", "advice": null });
        assert_eq!(document["checks"][0], first);
        assert_eq!(document["checks"][1]["advice"], "set sync_binlog=1: replicas may lack writes");
    }
}
