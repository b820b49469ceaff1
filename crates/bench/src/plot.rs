//! The charts.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::load::{COUPON_RUSH, HOT_PURCHASES, POINT_TOP_UPS, PRODUCT_LIST, PRODUCT_READ, SPREAD_PURCHASES, Workload};
use crate::measure::{Measurement, Target};
use crate::results::{CONSTANT_LENGTH, Growth, Run};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Colors for all kinds of color vision: Okabe and Ito, *Color Universal Design* (2008), without the yellow.
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(0, 0, 0),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];
/// Width of the legend beside a chart in pixels.
const NAMES_WIDTH: u32 = 230;

struct Line {
    name: String,
    points: Vec<(f64, f64)>,
    is_dashed: bool,
}

impl Line {
    fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, is_dashed: false }
    }

    fn dashed(self) -> Self {
        Self { is_dashed: true, ..self }
    }
}

/// Rates and latencies by number of callers.
pub fn draw_run(run: &Run, path: &Path) -> Result<()> {
    let root = SVGBackend::new(path, (1500, 900)).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let panels = root.split_evenly((2, 2));
    let [writes, latencies, reads, processor] = &panels[..] else { return Err(anyhow!("two rows of two are four")) };
    let line = |workload: &str, target, name: &str, value: &dyn Fn(&Measurement) -> f64| {
        let fits = |m: &&Measurement| m.workload == workload && m.target == target;
        Line::new(name, run.measurements.iter().filter(fits).map(|m| (m.concurrency as f64, value(m))).collect())
    };
    let rate = |workload: &str, target, name: &str| line(workload, target, name, &|m| m.per_second);
    let workloads = [SPREAD_PURCHASES, HOT_PURCHASES, COUPON_RUSH, POINT_TOP_UPS];
    let mut lines: Vec<Line> = workloads.map(|workload| rate(workload, Target::Batched, workload)).into();
    lines.push(rate(SPREAD_PURCHASES, Target::Unbatched, "purchases, BATCH_MAX=1").dashed());
    let limit = run.limit.turns.limit_per_second;
    let callers: BTreeSet<usize> = run.measurements.iter().map(|m| m.concurrency).collect();
    let limit = callers.into_iter().map(|callers| (callers as f64, limit)).collect();
    lines.push(Line::new("purchases, the database's limit", limit).dashed());
    draw(writes, "Writes a second", "callers", &lines)?;

    let purchases =
        |target, name: &str, quantile: &dyn Fn(&Measurement) -> f64| line(SPREAD_PURCHASES, target, name, quantile);
    let lines = [
        purchases(Target::Batched, "p50", &|m| m.latency.p50_ms),
        purchases(Target::Batched, "p99", &|m| m.latency.p99_ms),
        purchases(Target::Batched, "p99.9", &|m| m.latency.p999_ms),
        purchases(Target::Unbatched, "p99, BATCH_MAX=1", &|m| m.latency.p99_ms).dashed(),
    ];
    draw(latencies, "Latency of a purchase's step, ms", "callers", &lines)?;

    let constant = Workload::Constant { length: CONSTANT_LENGTH }.name();
    let lines = [
        rate(PRODUCT_LIST, Target::Batched, PRODUCT_LIST),
        rate(PRODUCT_READ, Target::Batched, PRODUCT_READ),
        rate(&constant, Target::Constant, &constant).dashed(),
    ];
    draw(reads, "Reads a second", "callers", &lines)?;

    let used = |seconds: &dyn Fn(&Measurement) -> f64, name: &str| {
        line(SPREAD_PURCHASES, Target::Batched, name, &|m| seconds(m) * 1e6 / m.done.max(1) as f64)
    };
    let lines = [
        used(&|m| m.cpu_seconds.server, "server"),
        used(&|m| m.cpu_seconds.database.unwrap_or(0.0), "database"),
        used(&|m| m.cpu_seconds.client, "load generator"),
    ];
    draw(processor, "Processor time of a purchase, µs", "callers", &lines)?;
    root.present().map_err(failed)
}

/// Rates and latencies by number of orders.
pub fn draw_growth(growth: &Growth, path: &Path) -> Result<()> {
    let root = SVGBackend::new(path, (1500, 450)).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let panels = root.split_evenly((1, 2));
    let [rates, times] = &panels[..] else { return Err(anyhow!("a row of two is two")) };
    let points: Vec<_> = growth.points.iter().filter(|point| point.orders > 0).collect();
    let orders: Vec<f64> = points.iter().map(|point| point.orders as f64).collect();
    let line = |name: &str, values: Vec<Option<f64>>| {
        let points = orders.iter().copied().zip(values);
        Line::new(name, points.filter_map(|(orders, value)| Some((orders, value?))).collect())
    };
    let all = |value: &dyn Fn(&crate::growth::GrowthPoint) -> f64| points.iter().map(|p| Some(value(p))).collect();
    let empty = growth.points.iter().find(|point| point.orders == 0).map(|point| point.purchases.per_second);
    let lines = [
        line("purchases", all(&|point| point.purchases.per_second)),
        line("purchases with no order before", vec![empty; orders.len()]).dashed(),
        line("orders expired", all(&|point| point.expired_per_second)),
        line("lists of a user's orders", all(&|point| point.user_orders.per_second)),
        line("ledgers of a user", all(&|point| point.user_entries.per_second)),
    ];
    draw(rates, "A second", "orders in the database", &lines)?;
    let lines = [
        line("orders of a user, p50 ms", all(&|point| point.user_orders.latency.p50_ms)),
        line("ledger of a user, p50 ms", all(&|point| point.user_entries.latency.p50_ms)),
        line("popular list, p50 ms", all(&|point| point.popular.latency.p50_ms)),
        line("verify, s", points.iter().map(|point| Some(point.verify_seconds)).collect()),
    ];
    draw(times, "Time", "orders in the database", &lines)?;
    root.present().map_err(failed)
}

/// A chart with logarithmic axes, x axis labels at the measured points, and a legend. Values that are not above zero
/// are omitted.
fn draw(area: &Area<'_>, title: &str, x_label: &str, lines: &[Line]) -> Result<()> {
    let points = || lines.iter().flat_map(|line| &line.points).copied().filter(|(_, y)| *y > 0.0);
    let mut xs: Vec<f64> = points().map(|(x, _)| x).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let [first, .., last] = xs[..] else {
        return Ok(()); // Fewer than two points.
    };
    let (low, high) = points().fold((f64::MAX, 0.0_f64), |(low, high), (_, y)| (low.min(y), high.max(y)));

    let (chart_area, names) = area.split_horizontally(area.dim_in_pixel().0.saturating_sub(NAMES_WIDTH));
    let mut chart = ChartBuilder::on(&chart_area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d((first..last).log_scale().with_key_points(xs), (low / 1.5..high * 1.5).log_scale())
        .map_err(failed)?;
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(WHITE.mix(0.0)).label_style(("sans-serif", 12)).x_desc(x_label);
    mesh.x_label_formatter(&|x| label(*x)).y_label_formatter(&|y| label(*y)).draw().map_err(failed)?;
    for (index, line) in lines.iter().enumerate() {
        let style = COLORS[index % COLORS.len()].stroke_width(2);
        let points = line.points.iter().copied().filter(|(_, y)| *y > 0.0);
        if line.is_dashed {
            chart.draw_series(DashedLineSeries::new(points, 6, 4, style)).map_err(failed)?;
        } else {
            chart.draw_series(LineSeries::new(points, style).point_size(3)).map_err(failed)?;
        }
        let y = 50 + 20 * i32::try_from(index)?;
        let strokes: &[_] = if line.is_dashed { &[(0, 8), (12, 20)] } else { &[(0, 20)] };
        for (from, to) in strokes {
            names.draw(&PathElement::new([(*from, y), (*to, y)], style)).map_err(failed)?;
        }
        names.draw(&Text::new(line.name.clone(), (28, y - 6), ("sans-serif", 13))).map_err(failed)?;
    }
    Ok(())
}

fn label(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e3 => format!("{}k", value / 1e3),
        value => format!("{}", (value * 1e3).round() / 1e3),
    }
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("the picture cannot be drawn: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short() {
        assert_eq!([0.25, 64.0, 12_500.0, 5e6].map(label), ["0.25", "64", "12.5k", "5M"]);
    }

    #[test]
    fn draws_lines_and_omits_values_without_a_logarithm() {
        let mut text = String::new();
        {
            let root = SVGBackend::with_string(&mut text, (400, 300)).into_drawing_area();
            let lines = [
                Line::new("rate", vec![(1.0, 10.0), (64.0, 0.0), (256.0, 900.0)]),
                Line::new("limit", vec![(1.0, 1_000.0), (256.0, 1_000.0)]).dashed(),
                Line::new("empty", Vec::new()),
            ];
            draw(&root, "Writes a second", "callers", &lines).expect("drawn");
            draw(&root, "Nothing", "callers", &[]).expect("left out");
            root.present().expect("written");
        }
        assert!(text.contains("Writes a second") && text.contains("limit") && !text.contains("Nothing"));
    }
}
