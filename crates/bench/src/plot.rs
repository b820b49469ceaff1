//! The pictures.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::load::{COUPON_RUSH, HOT_PURCHASES, POINT_CHARGES, PRODUCT_LIST, PRODUCT_READ, SPREAD_PURCHASES, Workload};
use crate::measure::{Measurement, Target};
use crate::results::{CONSTANT_LENGTH, Growth, Run};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A line of a chart: its name and its points.
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

/// Rates and latencies by the number of callers.
pub fn draw_run(run: &Run, path: &Path) -> Result<()> {
    let root = SVGBackend::new(path, (1200, 900)).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let panels = root.split_evenly((2, 2));
    let [writes, latencies, reads, processor] = &panels[..] else {
        return Err(anyhow!("two rows of two are four"));
    };
    let callers: Vec<f64> = run.measurements.iter().map(|m| m.concurrency as f64).collect();
    let range = callers.iter().copied().fold(f64::MAX, f64::min)..callers.iter().copied().fold(1.0, f64::max);

    let line = |workload: &str, target, name: &str, value: &dyn Fn(&Measurement) -> f64| {
        let fits = |m: &&Measurement| m.workload == workload && m.target == target;
        Line::new(name, run.measurements.iter().filter(fits).map(|m| (m.concurrency as f64, value(m))).collect())
    };
    let rate = |workload: &str, target, name: &str| line(workload, target, name, &|m| m.per_second);
    let workloads = [SPREAD_PURCHASES, HOT_PURCHASES, COUPON_RUSH, POINT_CHARGES];
    let mut lines: Vec<Line> = workloads.map(|workload| rate(workload, Target::Batched, workload)).into();
    lines.push(rate(SPREAD_PURCHASES, Target::Unbatched, "purchases, BATCH_MAX=1").dashed());
    let limit = run.limit.turns.limit_per_second;
    let limit = vec![(range.start, limit), (range.end, limit)];
    lines.push(Line::new("purchases, the database's own limit", limit).dashed());
    draw(writes, "Writes a second", "callers", range.clone(), &lines)?;

    let purchases =
        |target, name: &str, quantile: &dyn Fn(&Measurement) -> f64| line(SPREAD_PURCHASES, target, name, quantile);
    let lines = [
        purchases(Target::Batched, "p50", &|m| m.latency.p50_ms),
        purchases(Target::Batched, "p99", &|m| m.latency.p99_ms),
        purchases(Target::Batched, "p99.9", &|m| m.latency.p999_ms),
        purchases(Target::Unbatched, "p99, BATCH_MAX=1", &|m| m.latency.p99_ms).dashed(),
    ];
    draw(latencies, "Latency of a purchase's step, ms", "callers", range.clone(), &lines)?;

    let constant = Workload::Constant { length: CONSTANT_LENGTH }.name();
    let lines = [
        rate(PRODUCT_LIST, Target::Batched, PRODUCT_LIST),
        rate(PRODUCT_READ, Target::Batched, PRODUCT_READ),
        rate(&constant, Target::Constant, &constant).dashed(),
    ];
    draw(reads, "Reads a second", "callers", range.clone(), &lines)?;

    let used = |seconds: &dyn Fn(&Measurement) -> f64, name: &str| {
        line(SPREAD_PURCHASES, Target::Batched, name, &|m| seconds(m) * 1e6 / m.done.max(1) as f64)
    };
    let lines = [
        used(&|m| m.cpu_seconds.server, "server"),
        used(&|m| m.cpu_seconds.database.unwrap_or(0.0), "database"),
        used(&|m| m.cpu_seconds.client, "load generator"),
    ];
    draw(processor, "Processor time of a purchase, µs", "callers", range, &lines)?;
    root.present().map_err(failed)
}

/// How everything grows with the orders, as a multiple of what it was with the fewest.
pub fn draw_growth(growth: &Growth, path: &Path) -> Result<()> {
    let root = SVGBackend::new(path, (1200, 450)).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let panels = root.split_evenly((1, 2));
    let [rates, times] = &panels[..] else {
        return Err(anyhow!("a row of two is two"));
    };
    let points: Vec<_> = growth.points.iter().filter(|point| point.orders > 0).collect();
    let orders: Vec<f64> = points.iter().map(|point| point.orders as f64).collect();
    let range = orders.iter().copied().fold(f64::MAX, f64::min)..orders.iter().copied().fold(1.0, f64::max);
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
    draw(rates, "A second", "orders in the database", range.clone(), &lines)?;
    let lines = [
        line("orders of a user, p50 ms", all(&|point| point.user_orders.latency.p50_ms)),
        line("ledger of a user, p50 ms", all(&|point| point.user_entries.latency.p50_ms)),
        line("popular list, p50 ms", all(&|point| point.popular.latency.p50_ms)),
        line("verify, s", points.iter().map(|point| Some(point.verify_seconds)).collect()),
    ];
    draw(times, "Time", "orders in the database", range, &lines)?;
    root.present().map_err(failed)
}

/// A chart with logarithmic axes; what is not above zero has no place on one and is left out.
fn draw(area: &Area<'_>, title: &str, x_label: &str, x: Range<f64>, lines: &[Line]) -> Result<()> {
    let values = || lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y).filter(|y| *y > 0.0);
    let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
    if high <= 0.0 {
        return Ok(()); // Nothing was measured.
    }
    let x = if x.start < x.end { x } else { x.start / 2.0..x.end * 2.0 };
    let y = (low / 1.5)..(high * 4.0); // Room above the lines for their names.
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(x.log_scale(), y.log_scale())
        .map_err(failed)?;
    configure(&mut chart, x_label)?;
    for (index, line) in lines.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let style = color.stroke_width(2);
        let points = line.points.iter().copied().filter(|(_, y)| *y > 0.0);
        let drawn = if line.is_dashed {
            chart.draw_series(DashedLineSeries::new(points.clone(), 6, 4, style))
        } else {
            chart.draw_series(LineSeries::new(points.clone(), style).point_size(3))
        };
        let drawn = drawn.map_err(failed)?;
        drawn.label(&line.name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 12))
        .draw()
        .map_err(failed)
}

fn configure<'a, X, Y>(chart: &mut ChartContext<'a, SVGBackend<'_>, Cartesian2d<X, Y>>, x_label: &str) -> Result<()>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(WHITE.mix(0.0)).label_style(("sans-serif", 12)).x_desc(x_label);
    mesh.x_label_formatter(&|x| label(*x)).y_label_formatter(&|y| label(*y)).draw().map_err(failed)
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
    fn draws_lines_and_leaves_out_what_has_no_logarithm() {
        let mut text = String::new();
        {
            let root = SVGBackend::with_string(&mut text, (400, 300)).into_drawing_area();
            let lines = [
                Line::new("rate", vec![(1.0, 10.0), (64.0, 0.0), (256.0, 900.0)]),
                Line::new("limit", vec![(1.0, 1_000.0), (256.0, 1_000.0)]).dashed(),
                Line::new("empty", Vec::new()),
            ];
            draw(&root, "Writes a second", "callers", 1.0..256.0, &lines).expect("drawn");
            draw(&root, "Nothing", "callers", 1.0..1.0, &[]).expect("left out");
            root.present().expect("written");
        }
        assert!(text.contains("Writes a second") && text.contains("limit") && !text.contains("Nothing"));
    }
}
