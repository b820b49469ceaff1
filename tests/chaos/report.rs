//! The report, for the terminal and for `docs/reliability.md`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::check::Violations;
use crate::faults::{Fault, Notes};
use crate::journal::Statistics;
use crate::silence::{Silences, quantiles};

/// Markers of the table in a document.
const MARKS: [&str; 2] = ["<!-- chaos: begin -->", "<!-- chaos: end -->"];
/// Markers of the table of cluster faults.
const CLUSTER_MARKS: [&str; 2] = ["<!-- cluster: begin -->", "<!-- cluster: end -->"];

const HEADER: [&str; 10] = [
    "fault",
    "database",
    "times",
    "writes",
    "answered",
    "in doubt",
    "of them completed",
    "violations",
    "lost",
    "duplicated",
];

/// Additional columns of cluster faults: median, 95th percentile and maximum.
const CLUSTER_HEADER: [&str; 2] = ["silence of callers, s", "of a plain connection, s"];

/// Outcome of a fault.
#[derive(Serialize, Deserialize)]
pub struct Outcome {
    pub statistics: Statistics,
    pub check: Violations,
    /// Log lines of panics.
    pub panics: Vec<String>,
    pub silences: Silences,
    pub notes: Notes,
}

impl Outcome {
    fn violations(&self) -> impl Iterator<Item = String> {
        let Violations { lost, duplicated, mismatches } = &self.check;
        let kinds = [
            ("lost", lost),
            ("duplicated", duplicated),
            ("disagreement", mismatches),
            ("contradiction", &self.statistics.violations),
            ("panic", &self.panics),
        ];
        kinds.into_iter().flat_map(|(kind, list)| list.iter().map(move |item| format!("{kind}: {item}")))
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    /// Of the server's binary: results of another build are not reused.
    build: u64,
    seed: u64,
    name: String,
    database: String,
    count: u64,
    took: Duration,
    result: Run,
}

/// Whether a fault ran.
#[derive(Serialize, Deserialize)]
pub enum Run {
    Completed(Box<Outcome>),
    Failed,
    /// For lack of a database, or of the right to separate its nodes.
    Skipped,
}

impl Line {
    fn outcome(&self) -> Option<&Outcome> {
        match &self.result {
            Run::Completed(outcome) => Some(outcome),
            Run::Failed | Run::Skipped => None,
        }
    }

    fn is_ok(&self) -> bool {
        self.outcome().is_some_and(|outcome| outcome.violations().next().is_none())
    }
}

pub struct Report {
    build: u64,
    seed: u64,
    is_of_clusters: bool,
    lines: Vec<Line>,
    /// Successful lines of earlier runs.
    earlier: Vec<Line>,
    started: Option<ProgressBar>,
}

impl Report {
    /// `build` identifies the server's binary.
    pub fn new(build: u64, seed: u64, is_of_clusters: bool) -> Self {
        Self { build, seed, is_of_clusters, lines: Vec::new(), earlier: Vec::new(), started: None }
    }

    /// Reads the results of earlier runs of the same build.
    pub fn read_results(&mut self, file: &Path) -> Result<()> {
        if !file.exists() {
            return Ok(());
        }
        let lines = fs::read_to_string(file)?.lines().map(serde_json::from_str).collect::<Result<Vec<Line>, _>>()?;
        self.earlier = lines.into_iter().filter(|line| line.build == self.build && line.is_ok()).collect();
        Ok(())
    }

    /// Takes over the last result of an earlier run with at least as many injections, if there is one.
    pub fn reuse(&mut self, fault: &Fault, count: u64) -> bool {
        let is_same = |line: &Line| (&*line.name, &*line.database) == (fault.name, fault.store.name());
        let is_enough = |line: &Line| is_same(line) && line.count >= count;
        let Some(index) = self.earlier.iter().rposition(is_enough) else { return false };
        println!("done before: {}", fault.title());
        self.lines.push(self.earlier.remove(index));
        true
    }

    /// Appends the last result to the file.
    pub fn append_result(&self, file: &Path) -> Result<()> {
        let line = serde_json::to_string(self.lines.last().context("a fault has ended")?)?;
        Ok(writeln!(OpenOptions::new().create(true).append(true).open(file)?, "{line}")?)
    }

    /// Shows the progress of a fault.
    pub fn begin(&mut self, fault: &Fault, count: u64) -> ProgressBar {
        let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} {msg}");
        let bar = ProgressBar::new(count).with_style(style.expect("the template is right").progress_chars("=> "));
        bar.set_message(fault.title());
        bar.enable_steady_tick(Duration::from_millis(250));
        self.started = Some(bar.clone());
        bar
    }

    /// Records and prints the outcome of a fault.
    pub fn end(&mut self, fault: &Fault, count: u64, took: Duration, result: Run) {
        if let Some(bar) = self.started.take() {
            bar.finish_and_clear();
        }
        let verdict = match &result {
            Run::Failed => "FAILED".to_owned(),
            Run::Skipped => "not run".to_owned(),
            Run::Completed(outcome) => match outcome.violations().count() {
                0 => "ok".to_owned(),
                violations => format!("{violations} VIOLATIONS"),
            },
        };
        let (name, database) = (fault.name.to_owned(), fault.store.name().to_owned());
        let line = Line { build: self.build, seed: self.seed, name, database, count, took, result };
        println!("{verdict}: {} ({}), {} times, {:.1} s", line.name, line.database, count, took.as_secs_f64());
        for note in line.outcome().iter().flat_map(|outcome| &outcome.notes) {
            println!("    {note}");
        }
        self.lines.push(line);
    }

    pub fn table(&self) -> Table {
        let mut table = Table::new();
        let more: &[&str] = if self.is_of_clusters { &CLUSTER_HEADER } else { &[] };
        table.load_style(ASCII_MARKDOWN).set_header(HEADER.iter().chain(more));
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for line in &self.lines {
            let mut cells = vec![line.name.clone(), line.database.clone(), line.count.to_string()];
            match &line.result {
                Run::Completed(outcome) => {
                    let Outcome { statistics, check, silences, .. } = &**outcome;
                    cells.extend([
                        statistics.writes.to_string(),
                        (statistics.writes - statistics.in_doubt).to_string(),
                        statistics.in_doubt.to_string(),
                        statistics.had_completed.to_string(),
                        statistics.violations.len().to_string(),
                        (check.lost.len() + check.mismatches.len()).to_string(),
                        check.duplicated.len().to_string(),
                    ]);
                    let silences = [&silences.callers, &silences.bare].map(|of| quantiles(of));
                    cells.extend(silences.into_iter().take(more.len()));
                }
                Run::Failed => cells.push("failed".to_owned()),
                Run::Skipped => cells.push("not run".to_owned()),
            }
            table.add_row(cells);
        }
        table
    }

    pub fn violations(&self) -> Vec<String> {
        let mut violations = Vec::new();
        for line in &self.lines {
            let named = |violation: &str| format!("{} ({}): {violation}", line.name, line.database);
            match &line.result {
                Run::Completed(outcome) => violations.extend(outcome.violations().map(|violation| named(&violation))),
                Run::Failed => violations.push(named("failed")),
                Run::Skipped => {}
            }
        }
        violations
    }

    /// Replaces the table in a document.
    pub fn write_into(&self, document: &Path) -> Result<()> {
        let text = fs::read_to_string(document)?;
        let [begin, end] = if self.is_of_clusters { CLUSTER_MARKS } else { MARKS };
        let (before, rest) = text.split_once(begin).with_context(|| format!("missing marker {begin}"))?;
        let (_, after) = rest.split_once(end).with_context(|| format!("missing marker {end}"))?;
        let took: Duration = self.lines.iter().map(|line| line.took).sum();
        let notes: String = self
            .lines
            .iter()
            .filter_map(|line| Some((line, line.outcome()?)))
            .flat_map(|(line, outcome)| {
                let item = move |note: &String| format!("- {} ({}): {note}.\n", line.name, line.database);
                outcome.notes.iter().map(item)
            })
            .collect();
        let is_one_run = self.lines.iter().all(|line| line.seed == self.seed);
        let seed = if is_one_run { format!("Seed {}", self.seed) } else { "Several runs".to_owned() };
        let minutes = took.as_secs_f64() / 60.0;
        let table = self.table();
        let text =
            format!("{before}{begin}\n{seed}, {minutes:.0} minutes.\n\n{table}\n\nNotes:\n\n{notes}{end}{after}");
        Ok(fs::write(document, text)?)
    }
}
