//! `jangteo verify`: the verification of the books, as text or JSON.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use anyhow::anyhow;
use jangteo_domain::verification::Finding;

use crate::cli::progress::Bar;
use crate::error_chain::chain;
use crate::settings::Settings;
use crate::startup;
use crate::workers::verification;

/// Exit code of books that disagree.
const DISAGREES: u8 = 1;

/// Verifies the books and prints a line per finding and a summary, or one JSON document.
pub async fn run(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let books = startup::books(settings).await?;
    let mut bar = Bar::new();
    let shown = bar.clone();
    let mut report = |finding: &Finding| {
        if !json {
            shown.print(finding);
        }
    };
    let verified = verification::verify(&*books, &settings.retention, &mut bar, &mut report).await;
    bar.clear();
    let unreadable = |error: jangteo_domain::StoreError| {
        anyhow!("the books of {} cannot be read: {}", settings.database.display_name(), chain(&error))
    };
    let verified = verified.map_err(unreadable)?;
    let text = if json { serde_json::to_string_pretty(&verified)? } else { verified.lines().join("\n") };
    // A closed pipe does not change the exit code.
    let _closed = writeln!(stdout(), "{text}");
    Ok(if verified.agrees() { ExitCode::SUCCESS } else { ExitCode::from(DISAGREES) })
}
