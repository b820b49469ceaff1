//! `jangteo import products`: rows of a file to the catalog, through the same commands as the API.

use std::fs;
use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use jangteo_domain::{Answer, Command, Currency, Recording, Request};

use crate::error_chain::chain;
use crate::import::columns::{Columns, Field};
use crate::import::file::Sheet;
use crate::import::plan::{Effect, effect_of, plan};
use crate::import::row::ProductRow;
use crate::import::rows::{Imported, ImportedRow, rows_of};
use crate::operator;
use crate::settings::Settings;
use crate::startup::OfflineShop;

/// The rows that are compared with the catalog by one read.
const ROWS_READ: usize = 500;
/// The rows of one transaction: customers wait for its locks, and on SQLite for all of it.
const ROWS_WRITTEN: usize = 20;
/// The field of `--map` that ignores a column.
const IGNORED: &str = "-";

#[derive(Args)]
pub struct Products {
    /// The file, in UTF-8 or CP949
    file: PathBuf,
    /// Only compare the file with the catalog
    #[arg(long)]
    dry_run: bool,
    /// The field of a column, in place of the guessed one: `--map Label=name`; `--map Label=-` ignores it. Repeatable
    #[arg(long = "map", value_name = "COLUMN=FIELD", value_parser = mapping)]
    mappings: Vec<(String, Option<Field>)>,
    /// The category of rows without one
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
}

fn mapping(written: &str) -> Result<(String, Option<Field>), String> {
    let (column, field) = written.rsplit_once('=').ok_or("expected COLUMN=FIELD")?;
    let field = match field {
        IGNORED => None,
        name => Some(Field::of_name(name).ok_or_else(|| format!("the fields are {}", Field::names()))?),
    };
    Ok((column.to_owned(), field))
}

/// The number of rows by their effect.
#[derive(Default)]
struct Counts {
    created: usize,
    changed: usize,
    unchanged: usize,
    rejected: usize,
}

impl Products {
    /// Imports the rows and prints the columns, each row left out, and a summary.
    pub async fn run(self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let name = self.file.display();
        let bytes = fs::read(&self.file).with_context(|| name.to_string())?;
        let sheet = Sheet::read(&bytes).with_context(|| name.to_string())?;
        let mut columns = Columns::guess(sheet.headers.clone());
        for (column, field) in &self.mappings {
            columns.map(column, *field).with_context(|| name.to_string())?;
        }
        print(&format!("{name}: {}, columns of {}", sheet.encoding, columns.format.name()));
        for (header, field) in &columns.columns {
            print(&format!("  {header} -> {}", field.map_or_else(|| IGNORED.to_owned(), Field::name)));
        }
        let Imported { rows, errors } = rows_of(&sheet, &columns);
        let bar = bar(rows.len());
        let shop = OfflineShop::open(settings).await?;
        let rejected = errors.chunk_by(|error, next| error.line == next.line).count();
        let mut counts = Counts { rejected, ..Counts::default() };
        errors.iter().for_each(|error| left_out(&bar, &error.to_string()));
        let mut imported = Ok(());
        for chunk in rows.chunks(ROWS_READ) {
            imported = self.import(chunk, &columns, &shop, settings.rules.currency, &bar, &mut counts).await;
            if imported.is_err() {
                break;
            }
        }
        bar.finish_and_clear();
        shop.close().await;
        let Counts { created, changed, unchanged, rejected } = counts;
        let dry = if self.dry_run { " (dry run)" } else { "" };
        print(&format!("{created} created, {changed} changed, {unchanged} unchanged, {rejected} left out{dry}"));
        imported.context("import interrupted; the same command continues it")?;
        Ok(if rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn import(
        &self,
        rows: &[ImportedRow],
        columns: &Columns,
        shop: &OfflineShop,
        currency: Currency,
        bar: &ProgressBar,
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        let checked = rows.iter().map(|row| self.product(row).check(currency)).collect();
        let planned = plan(checked, &*shop.queries.products).await.map_err(|error| anyhow!(chain(&error)))?;
        let mut waiting = Vec::with_capacity(ROWS_WRITTEN);
        for (row, planned) in rows.iter().zip(planned) {
            match planned.command.filter(|_| !self.dry_run) {
                Some(command) => {
                    waiting.push((row, command));
                    if waiting.len() == ROWS_WRITTEN {
                        execute(std::mem::take(&mut waiting), columns, shop, currency, bar, counts).await?;
                    }
                }
                None => counts.add(row, planned.effect, columns, bar),
            }
        }
        execute(waiting, columns, shop, currency, bar, counts).await
    }

    fn product(&self, row: &ImportedRow) -> ProductRow {
        let mut members = row.row.clone();
        if let Some(category) = &self.category {
            members.entry("category").or_insert_with(|| category.as_str().into());
        }
        serde_json::from_value(Value::Object(members)).expect("the members of a row have its types")
    }
}

/// Executes the commands of rows in one transaction.
async fn execute(
    rows: Vec<(&ImportedRow, Command)>,
    columns: &Columns,
    shop: &OfflineShop,
    currency: Currency,
    bar: &ProgressBar,
    counts: &mut Counts,
) -> anyhow::Result<()> {
    let renderer = Arc::new(operator::ResponseBody(currency));
    let recording = Recording { idempotency: None, audited_as: Some(operator::caller()), renderer };
    let request = |command: &Command| Request { recording: Some(recording.clone()), ..Request::new(command.clone()) };
    let requests: Vec<Request> = rows.iter().map(|(_, command)| request(command)).collect();
    let begun = Instant::now();
    let answers = shop.executor.execute(&requests).await;
    shop.leave_turn(begun.elapsed()).await;
    for ((row, _), answer) in rows.iter().zip(answers) {
        match answer {
            Ok(Answer::Decided { outcome, rendered: _ }) => counts.add(row, effect_of(outcome), columns, bar),
            Ok(Answer::Replayed(_) | Answer::KeyReused) => bail!("line {}: an answer without a key", row.line),
            Err(error) => bail!("line {}: {}", row.line, chain(&error)),
        }
    }
    Ok(())
}

impl Counts {
    fn add(&mut self, row: &ImportedRow, effect: Effect, columns: &Columns, bar: &ProgressBar) {
        let line = row.line;
        let count = match effect {
            Effect::Created(_) => &mut self.created,
            Effect::Changed(_) => &mut self.changed,
            Effect::Unchanged(_) => &mut self.unchanged,
            Effect::Rejected(rejection) => {
                left_out(bar, &format!("line {line}: {rejection}"));
                &mut self.rejected
            }
            Effect::Invalid(errors) => {
                for error in errors {
                    let member = error.pointer.trim_start_matches('/').to_owned();
                    let column = column_of(&member, columns).unwrap_or(&member);
                    let reason = serde_json::to_value(error.reason).expect("a word");
                    left_out(bar, &format!("line {line}, {column}: {}", reason.as_str().unwrap_or_default()));
                }
                &mut self.rejected
            }
        };
        *count += 1;
        bar.inc(1);
    }
}

/// The header of a member of a row, such as `options/color`.
fn column_of<'a>(member: &str, columns: &'a Columns) -> Option<&'a str> {
    let name = member.split('/').next().unwrap_or_default();
    columns.header(Field::of_name(name)?)
}

/// On standard error if it is a terminal.
fn bar(rows: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} rows, {eta}");
    ProgressBar::new(rows as u64).with_style(style.expect("a template"))
}

/// Prints a row that is left out, above the bar.
fn left_out(bar: &ProgressBar, line: &str) {
    bar.suspend(|| print(line));
}

fn print(line: &str) {
    // A closed pipe is no error.
    let _closed = writeln!(stdout(), "{line}");
}
