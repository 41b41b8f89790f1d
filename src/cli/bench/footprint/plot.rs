//! CPU, memory and bytes over time, one picture an experiment, all its runs in it.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

use super::sampler::Sample;
use super::{Experiment, Run};

const SIZE: (u32, u32) = (900, 960);
const SERVER: RGBColor = RGBColor(0, 90, 160);
const CLIENTS: RGBColor = RGBColor(200, 90, 0);
const BYTES: RGBColor = RGBColor(60, 120, 60);

/// A line: its name, which comes once, its colour and its points.
struct Curve {
    name: Option<&'static str>,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

/// Draws an experiment.
pub(super) fn draw(path: &Path, experiment: Experiment, runs: &[Run]) -> anyhow::Result<()> {
    let failed = |error: &dyn std::fmt::Display| anyhow!("cannot draw {}: {error}", path.display());
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    let area = area.titled(experiment.title(), ("sans-serif", 24)).map_err(|error| failed(&error))?;
    let panels = area.split_evenly((3, 1));
    let what = [
        ("CPU in steps of 0.1 s", "% of a core", of_processes(runs, cpu)),
        ("memory (RSS)", "MB", of_processes(runs, rss)),
        ("bytes arrived so far, without headers", "bytes", of_bytes(runs)),
    ];
    for (panel, (title, unit, curves)) in panels.iter().zip(what) {
        chart(panel, title, unit, curves).map_err(|error| failed(&error))?;
    }
    area.present().map_err(|error| failed(&error))
}

type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn chart<'a>(
    panel: &Panel<'a>,
    title: &str,
    unit: &str,
    curves: Vec<Curve>,
) -> Result<(), Box<dyn std::error::Error + 'a>> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let right = points().map(|(at, _)| *at).fold(1.0, f64::max);
    let top = points().map(|(_, value)| *value).fold(0.0, f64::max) * 1.35;
    let top = if top > 0.0 { top } else { 1.0 };
    let mut chart = ChartBuilder::on(panel)
        .caption(title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(32)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    // Steps below one have their decimals, thousands have none.
    let number = |value: &f64| if top < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") };
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("seconds since the start").y_desc(unit).y_label_formatter(&number).light_line_style(WHITE).draw()?;
    for Curve { name, colour, points } in curves {
        let drawn = chart.draw_series(LineSeries::new(points, colour.stroke_width(1)))?;
        if let Some(name) = name {
            drawn.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        }
    }
    // Away from the corners: curves jump at the left, and grow to the right.
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperMiddle)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}

/// What is drawn of one process.
type Value = fn(&[Sample], usize) -> Vec<(f64, f64)>;

fn of_processes(runs: &[Run], value: Value) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for (who, name, colour) in [(0, "server", SERVER), (1, "clients", CLIENTS), (2, "clients", CLIENTS)] {
        for run in runs {
            let points = value(&run.samples, who);
            let named = curves.iter().any(|curve| curve.name == Some(name));
            if !points.is_empty() {
                curves.push(Curve { name: (!named).then_some(name), colour, points });
            }
        }
    }
    curves
}

fn cpu(samples: &[Sample], who: usize) -> Vec<(f64, f64)> {
    let share = |pair: &[Sample]| {
        let [before, after] = pair else { return None };
        let (from, to) = before.costs[who].zip(after.costs[who])?;
        let ns = to.cpu_ns.saturating_sub(from.cpu_ns) as f64;
        // Two looks may come close together.
        let length = (after.at - before.at).max(0.01);
        Some((after.at, ns / 1e9 / length * 100.0))
    };
    samples.windows(2).filter_map(share).collect()
}

fn rss(samples: &[Sample], who: usize) -> Vec<(f64, f64)> {
    samples.iter().filter_map(|sample| Some((sample.at, sample.costs[who]?.rss_kib as f64 * 1024.0 / 1e6))).collect()
}

fn of_bytes(runs: &[Run]) -> Vec<Curve> {
    let name = |number: usize| (number == 0).then_some("all sockets");
    let points = |run: &Run| run.samples.iter().map(|sample| (sample.at, sample.arrived.bytes as f64)).collect();
    runs.iter()
        .enumerate()
        .map(|(number, run)| Curve { name: name(number), colour: BYTES, points: points(run) })
        .collect()
}
