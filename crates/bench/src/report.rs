//! The report: Markdown tables for the terminal and for the documentation.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use crate::growth::GrowthPoint;
use crate::measure::{Measurement, Target};
use crate::results::{Bound, Circumstances, Growth, Ratios, Results, Run, TargetCheck};
use crate::server::Books;
use crate::sysbench::{Sysbench, SysbenchRate};

pub fn markdown(results: &Results) -> String {
    let mut text = String::new();
    if let Some(run) = &results.run {
        add_run(&mut text, run, &results.ratios);
    }
    if let Some(growth) = &results.growth {
        add_growth(&mut text, growth);
    }
    add(&mut text, "## Targets", &targets_table(&results.targets));
    text
}

fn add(text: &mut String, title: &str, body: &dyn std::fmt::Display) {
    writeln!(text, "{title}\n\n{body}\n").expect("writing to a string does not fail");
}

fn add_run(text: &mut String, run: &Run, ratios: &Ratios) {
    add(text, "## Circumstances", &circumstances(&run.circumstances));
    let explanation = "A purchase is two calls, an order and its payment; latencies are of a call. Callers wait for a \
                       response before the next request (a closed loop): the quantiles describe this number of \
                       callers and are not corrected for coordinated omission. Processor time is in microseconds of \
                       one processor for each unit of work.";
    add(text, "## Measurements", &format!("{explanation}\n\n{}", measurements(&run.measurements)));
    let single = &run.single_caller;
    let single = format!(
        "One caller, both servers in turns: p50 of a purchase step is {} ms with batches and {} ms with BATCH_MAX=1.",
        figure(single.batched.p50_ms),
        figure(single.unbatched.p50_ms),
    );
    add(text, "## A single caller", &single);
    let reads = &run.reads;
    let reads = format!(
        "{} callers in turns, {} times: {} product pages a second, {} products, {} constants of 16 bytes.",
        reads.callers,
        reads.turns,
        figure(reads.product_list_per_second),
        figure(reads.product_per_second),
        figure(reads.constant_per_second),
    );
    add(text, "## Reads beside a constant", &reads);
    let explanation = "Recorded transactions of batches, replayed through the server's adapter without HTTP and \
                       decisions. A transaction places orders and pays for as many.";
    let turns = &run.limit.turns;
    let turns = format!(
        "The best configuration and the server in turns, {} times: {} purchases a second through the adapter alone; \
         over HTTP {} with {} callers, {} of a single product, and {} with {} callers.",
        turns.turns,
        figure(turns.limit_per_second),
        figure(turns.purchases_per_second),
        turns.callers,
        figure(turns.hot_purchases_per_second),
        figure(turns.purchases_of_more_per_second),
        turns.more_callers,
    );
    add(text, "## The database's own limit", &format!("{explanation}\n\n{}\n\n{turns}", limit_table(run)));
    add(text, "## Beside sysbench", &sysbench(run, ratios));
    if let Some(bytes) = ratios.database_bytes_of_a_purchase {
        add(
            text,
            "## The SQL of a purchase",
            &format!("The database receives {} bytes for a purchase.", figure(bytes)),
        );
    }
    let mut books =
        format!("After the load: {}. After the replay: {}.", verified(&run.books), verified(&run.limit.books));
    for rush in &run.coupon_rushes {
        write!(
            books,
            "\nCoupon rush, {:?}, {} callers: {} of {} coupons received, {} issued{}.",
            rush.target,
            rush.concurrency,
            rush.given,
            rush.quantity,
            rush.issued,
            if rush.is_exact() { "" } else { ", WRONG" },
        )
        .expect("writing to a string does not fail");
    }
    add(text, "## The books", &books);
}

fn sysbench(run: &Run, ratios: &Ratios) -> String {
    let rates = match &run.sysbench {
        Sysbench::Measured(rates) => rates,
        Sysbench::Skipped { reason } => return format!("`sysbench` was skipped: {reason}."),
    };
    let rate = |rate: &SysbenchRate| format!("{} with {} threads", figure(rate.per_second), rate.threads);
    format!(
        "`sysbench oltp_write_only` (8 tables of 100,000 rows) on the same database server: {} transactions a second. \
         Purchases a second to the best rate: {}.",
        rates.iter().map(rate).collect::<Vec<_>>().join(", "),
        ratios.purchases_to_sysbench.map_or_else(|| "–".to_owned(), figure),
    )
}

fn circumstances(circumstances: &Circumstances) -> String {
    let Circumstances { started_at, machine, database, profile, size, warm_up_seconds, window_seconds, seed } =
        circumstances;
    format!(
        "{started_at}, {} ({} processors, {} GiB, Linux {}, load average before {}). {}: {}; {}. {} users, {} \
         products with {:?} names. Each measurement: {warm_up_seconds} s warm-up, {window_seconds} s window. Seed \
         {seed}, profile `{profile}`. Server, database and load generator share the processors.",
        machine.processor,
        machine.processors,
        machine.memory_gib,
        machine.kernel,
        machine.load_average_before,
        database.version,
        database.durability,
        database.settings.join(", "),
        size.users,
        size.products,
        size.names,
    )
}

fn verified(books: &Books) -> String {
    match books {
        Books::Right => "`jangteo verify` has no findings".to_owned(),
        Books::Wrong { findings } => format!("`jangteo verify` HAS FINDINGS:\n{}\n", findings.join("\n")),
    }
}

/// An empty table; the header's cells are separated by ` | `.
pub fn table(header: &str) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header.split(" | "));
    table
}

/// Right-aligns the numbers: all columns after the first `texts`.
pub fn align(table: &mut Table, texts: usize) {
    for column in table.column_iter_mut().skip(texts) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

pub fn measurements(measurements: &[Measurement]) -> Table {
    let mut table = table(
        "workload | server | callers | a second | p50 ms | p99 ms | p99.9 ms | errors | \
         server µs | database µs | client µs | peak MiB",
    );
    for m in measurements {
        let target = match m.target {
            Target::Batched => "default",
            Target::Unbatched => "BATCH_MAX=1",
            Target::Constant => "constant",
        };
        let cpu = |seconds: f64| figure(if m.done > 0 { seconds * 1e6 / m.done as f64 } else { 0.0 });
        table.add_row([
            m.workload.clone(),
            target.to_owned(),
            m.concurrency.to_string(),
            figure(m.per_second),
            figure(m.latency.p50_ms),
            figure(m.latency.p99_ms),
            figure(m.latency.p999_ms),
            errors(m),
            cpu(m.cpu_seconds.server),
            m.cpu_seconds.database.map_or_else(|| "–".to_owned(), cpu),
            cpu(m.cpu_seconds.client),
            figure(m.server_memory_peak_mib),
        ]);
    }
    align(&mut table, 2);
    table
}

fn errors(measurement: &Measurement) -> String {
    let labels: Vec<_> = measurement.errors.iter().map(|(label, count)| format!("{count} × {label}")).collect();
    if labels.is_empty() { "0".to_owned() } else { labels.join(", ").replace('|', "/") }
}

fn limit_table(run: &Run) -> Table {
    let mut table = table("purchases a transaction | connections | purchases a second | ");
    for tried in &run.limit.tried {
        let is_best = (tried.batch, tried.connections) == (run.limit.best.batch, run.limit.best.connections);
        table.add_row([
            tried.batch.to_string(),
            tried.connections.to_string(),
            figure(tried.per_second),
            if is_best { "the best" } else { "" }.to_owned(),
        ]);
    }
    align(&mut table, 0);
    table
}

fn add_growth(text: &mut String, growth: &Growth) {
    let mut table = table(
        "orders | purchases/s | p99 ms | in turns: purchases/s | fresh shop | orders of a user, p50 ms | ledger of a user, p50 ms | \
         popular list, p50 ms | expired/s | verify s | database GiB | filled in s",
    );
    for point in &growth.points {
        let GrowthPoint { orders, purchases, turns, user_orders, user_entries, popular, .. } = point;
        table.add_row([
            orders.to_string(),
            figure(purchases.per_second),
            figure(purchases.latency.p99_ms),
            figure(turns.grown_per_second),
            figure(turns.fresh_per_second),
            figure(user_orders.latency.p50_ms),
            figure(user_entries.latency.p50_ms),
            figure(popular.latency.p50_ms),
            figure(point.expired_per_second),
            figure(point.verify_seconds),
            figure(point.database_gib),
            figure(point.fill_seconds),
        ]);
    }
    align(&mut table, 0);
    let circumstances = circumstances(&growth.circumstances);
    let books: Vec<_> =
        growth.points.iter().map(|point| format!("{}: {}", point.orders, verified(&point.books))).collect();
    add(text, "## Growth", &format!("{circumstances}\n\n{table}\n\nThe books, by orders: {}.", books.join("; ")));
}

fn targets_table(targets: &[TargetCheck]) -> Table {
    let mut table = table("target | bound | result | met");
    for target in targets {
        table.add_row([
            target.name.clone(),
            match target.wanted {
                Bound::AtLeast(bound) => format!("≥ {bound}"),
                Bound::AtMost(bound) => format!("≤ {bound}"),
            },
            target.found.map_or_else(|| "–".to_owned(), figure),
            target.met.map_or("–", |met| if met { "yes" } else { "no" }).to_owned(),
        ]);
    }
    align(&mut table, 1);
    table
}

/// Three significant digits, the precision of a run; whole numbers from 100.
pub fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let figures = [12_550.4, 100.0, 99.94, 1.236, 0.0123].map(figure);
        assert_eq!(figures, ["12550", "100", "99.9", "1.24", "0.012"]);
    }
}
