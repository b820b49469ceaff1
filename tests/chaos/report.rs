//! What was tried and what came of it, for people and for `docs/reliability.md`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use jangteo_tests::Backend;

use crate::check::Reckoning;
use crate::faults::{Fault, Notes};
use crate::journal::Statistics;

/// Where the table stands in a document: between these two lines.
const MARKS: [&str; 2] = ["<!-- chaos: begin -->", "<!-- chaos: end -->"];

const HEADER: [&str; 10] = [
    "fault",
    "database",
    "times",
    "writes",
    "answered",
    "in doubt",
    "of them had happened",
    "untrue answers",
    "lost",
    "twice",
];

/// What came of a fault.
pub struct Outcome {
    /// What was said of the writes.
    pub figures: Statistics,
    /// What became of them.
    pub check: Reckoning,
    /// Lines of servers that panicked.
    pub panics: Vec<String>,
    /// What is to be said beside.
    pub notes: Notes,
}

impl Outcome {
    fn complaints(&self) -> impl Iterator<Item = String> {
        let Reckoning { lost, twice, disagreements } = &self.check;
        let kinds = [
            ("lost", lost),
            ("twice", twice),
            ("disagreement", disagreements),
            ("untrue", &self.figures.violations),
            ("panic", &self.panics),
        ];
        kinds.into_iter().flat_map(|(kind, list)| list.iter().map(move |what| format!("{kind}: {what}")))
    }
}

struct Line {
    name: &'static str,
    database: &'static str,
    count: u64,
    took: Duration,
    /// `None` when it could not be tried to its end.
    outcome: Option<Outcome>,
}

/// All that was tried.
pub struct Report {
    seed: u64,
    lines: Vec<Line>,
    begun: Option<ProgressBar>,
}

impl Report {
    pub fn new(seed: u64) -> Self {
        Self { seed, lines: Vec::new(), begun: None }
    }

    /// Shows that a fault is tried now.
    pub fn begin(&mut self, fault: &Fault, count: u64) -> ProgressBar {
        let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} {msg}");
        let bar = ProgressBar::new(count).with_style(style.expect("the template is right").progress_chars("=> "));
        bar.set_message(format!("{} ({})", fault.name, database(fault)));
        bar.enable_steady_tick(Duration::from_millis(250));
        self.begun = Some(bar.clone());
        bar
    }

    /// Notes what came of it.
    pub fn end(&mut self, fault: &Fault, count: u64, took: Duration, outcome: Option<Outcome>) {
        if let Some(bar) = self.begun.take() {
            bar.finish_and_clear();
        }
        let verdict = match &outcome {
            None => "FAILED".to_owned(),
            Some(outcome) => match outcome.complaints().count() {
                0 => "kept".to_owned(),
                complaints => format!("BROKEN {complaints} times"),
            },
        };
        let line = Line { name: fault.name, database: database(fault), count, took, outcome };
        println!("{verdict}: {} ({}), {} times, {:.1} s", line.name, line.database, count, took.as_secs_f64());
        for note in line.outcome.iter().flat_map(|outcome| &outcome.notes) {
            println!("    {note}");
        }
        self.lines.push(line);
    }

    /// The figures of all faults.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header(HEADER);
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for line in &self.lines {
            let mut cells = vec![line.name.to_owned(), line.database.to_owned(), line.count.to_string()];
            match &line.outcome {
                Some(Outcome { figures, check, .. }) => cells.extend([
                    figures.writes.to_string(),
                    (figures.writes - figures.in_doubt).to_string(),
                    figures.in_doubt.to_string(),
                    figures.had_happened.to_string(),
                    figures.violations.len().to_string(),
                    (check.lost.len() + check.disagreements.len()).to_string(),
                    check.twice.len().to_string(),
                ]),
                None => cells.push("failed".to_owned()),
            }
            table.add_row(cells);
        }
        table
    }

    /// Everything that must not be.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for line in &self.lines {
            let told = |what: &str| format!("{} ({}): {what}", line.name, line.database);
            match &line.outcome {
                Some(outcome) => complaints.extend(outcome.complaints().map(|complaint| told(&complaint))),
                None => complaints.push(told("not tried to its end")),
            }
        }
        complaints
    }

    /// Puts the table into a document, in place of the one of before.
    pub fn write_into(&self, document: &Path) -> Result<()> {
        let text = fs::read_to_string(document)?;
        let [begin, end] = MARKS;
        let (before, rest) = text.split_once(begin).with_context(|| format!("there is no {begin}"))?;
        let (_, after) = rest.split_once(end).with_context(|| format!("there is no {end}"))?;
        let took: Duration = self.lines.iter().map(|line| line.took).sum();
        let notes: String = self
            .lines
            .iter()
            .filter_map(|line| Some((line, line.outcome.as_ref()?)))
            .flat_map(|(line, outcome)| {
                let told = move |note: &String| format!("- {} ({}): {note}.\n", line.name, line.database);
                outcome.notes.iter().map(told)
            })
            .collect();
        let seed = self.seed;
        let minutes = took.as_secs_f64() / 60.0;
        let table = self.table();
        let text = format!(
            "{before}{begin}\nSeed {seed}, {minutes:.0} minutes.\n\n{table}\n\nBeside the figures:\n\n{notes}{end}{after}"
        );
        Ok(fs::write(document, text)?)
    }
}

fn database(fault: &Fault) -> &'static str {
    match fault.backend {
        Backend::Mysql => "MariaDB",
        Backend::Sqlite => "SQLite",
    }
}
