//! `jangteo verify`: the proof of the books, for people and for machines.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use anyhow::anyhow;
use jangteo_domain::verification::Finding;

use crate::cli::progress::Bar;
use crate::settings::Settings;
use crate::startup;
use crate::telemetry::chain;
use crate::workers::verification;

/// There are findings.
const DISAGREES: u8 = 1;

/// Verifies the books: a line for each finding as it comes and a summary, or one JSON document.
pub async fn run(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let books = startup::books(settings).await?;
    let mut bar = Bar::new();
    let shown = bar.clone();
    let mut report = |finding: &Finding| {
        if !json {
            shown.say(finding);
        }
    };
    let verified = verification::verify(&*books, &settings.retention, &mut bar, &mut report).await;
    bar.clear();
    let unread = |error: jangteo_domain::StoreError| {
        anyhow!("the books of {} cannot be read: {}", settings.database.called(), chain(&error))
    };
    let verified = verified.map_err(unread)?;
    let text = if json { serde_json::to_string_pretty(&verified)? } else { verified.lines().join("\n") };
    // Whoever stopped reading still gets the exit code.
    let _unread = writeln!(stdout(), "{text}");
    Ok(if verified.agrees() { ExitCode::SUCCESS } else { ExitCode::from(DISAGREES) })
}
