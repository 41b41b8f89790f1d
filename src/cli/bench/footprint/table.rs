//! The numbers of the three experiments beside those of the old system.

use std::fmt::Write;

use anyhow::Context;

use super::sampler::Sample;
use super::{Experiment, Run};

/// One experiment: what each number was in every run.
pub(super) struct Row {
    experiment: Experiment,
    measures: Vec<(&'static str, Measured)>,
}

/// Mean and spread.
#[derive(Clone, Copy, Debug)]
struct Measured {
    mean: f64,
    /// The standard deviation of the runs.
    spread: f64,
}

/// Headers of IP and TCP with timestamps, as the loopback interface counts them.
const HEADER_BYTES: u64 = 52;

impl Row {
    pub(super) fn of(experiment: Experiment, runs: &[Run]) -> anyhow::Result<Self> {
        let mut columns: Vec<(&'static str, Vec<f64>)> = Vec::new();
        for run in runs {
            for (at, (name, value)) in numbers(experiment, run)?.into_iter().enumerate() {
                match columns.get_mut(at) {
                    Some((_, values)) => values.push(value),
                    None => columns.push((name, vec![value])),
                }
            }
        }
        let measures = columns.into_iter().map(|(name, values)| (name, Measured::of(&values))).collect();
        Ok(Self { experiment, measures })
    }
}

/// What one run gave.
fn numbers(experiment: Experiment, run: &Run) -> anyhow::Result<Vec<(&'static str, f64)>> {
    let at = |seconds: f64| run.samples.iter().rfind(|sample| sample.at <= seconds).context("there are samples");
    let (first, last): (&Sample, &Sample) = (at(run.from)?, at(run.to)?);
    let cpu = |who: usize| -> anyhow::Result<f64> {
        let (before, after) = first.costs[who].zip(last.costs[who]).context("it is gone")?;
        Ok((after.cpu_ns - before.cpu_ns) as f64 / 1e9 / (last.at - first.at) * 100.0)
    };
    let rss = |who: usize| last.costs[who].map(|cost| cost.rss_kib as f64 * 1024.0 / 1e6).context("it is gone");
    let threads = |who: usize| last.costs[who].map(|cost| cost.threads as f64).context("it is gone");
    let mut numbers = vec![(SERVER_CPU, cpu(0)?), (SERVER_RSS, rss(0)?), (SERVER_THREADS, threads(0)?)];
    if experiment != Experiment::ServerAlone {
        numbers.push((CLIENT_CPU, f64::midpoint(cpu(1)?, cpu(2)?)));
        numbers.push((CLIENT_RSS, f64::midpoint(rss(1)?, rss(2)?)));
        numbers.push((CLIENT_THREADS, f64::midpoint(threads(1)?, threads(2)?)));
        let (before, after) = (first.arrived, last.arrived);
        let wire = |bytes: u64, segments: u64| (bytes + segments * HEADER_BYTES) as f64;
        numbers.push((LOGIN_BYTES, wire(before.bytes, before.segments)));
        let (bytes, segments) = (after.bytes - before.bytes, after.segments - before.segments);
        if experiment == Experiment::TwoIdle {
            numbers.push((IDLE_BYTES, wire(bytes, segments) / (last.at - first.at)));
        } else {
            numbers.push((MATCH_BYTES, wire(bytes, segments)));
            numbers.push((MATCH_PAYLOAD, bytes as f64));
        }
    }
    Ok(numbers)
}

const SERVER_CPU: &str = "server CPU, % of a core";
const SERVER_RSS: &str = "server memory (RSS), MB";
const SERVER_THREADS: &str = "server threads";
const CLIENT_CPU: &str = "client CPU, % of a core";
const CLIENT_RSS: &str = "client memory (RSS), MB";
const CLIENT_THREADS: &str = "client threads";
const LOGIN_BYTES: &str = "connect, account, login of both, bytes";
const IDLE_BYTES: &str = "heartbeats, bytes a second";
const MATCH_BYTES: &str = "the match of five moves, bytes";
const MATCH_PAYLOAD: &str = "the same without TCP/IP headers, bytes";

/// What the old system was measured to cost, as far as it was.
fn old(experiment: Experiment, measure: &str) -> &'static str {
    match (experiment, measure) {
        (Experiment::ServerAlone, SERVER_CPU) => "0.0",
        (Experiment::ServerAlone, SERVER_RSS) => "17.6",
        (Experiment::ServerAlone, SERVER_THREADS) => "1",
        (Experiment::TwoIdle, SERVER_CPU) => "0.05",
        (Experiment::TwoIdle | Experiment::TwoInMatch, SERVER_RSS) => "18.4",
        (Experiment::TwoIdle | Experiment::TwoInMatch, SERVER_THREADS) => "5",
        (Experiment::TwoIdle | Experiment::TwoInMatch, CLIENT_RSS) => "18.0",
        (Experiment::TwoIdle, CLIENT_THREADS) => "2",
        (Experiment::TwoInMatch, CLIENT_THREADS) => "4",
        (Experiment::TwoIdle | Experiment::TwoInMatch, LOGIN_BYTES) => "9251",
        (Experiment::TwoIdle, IDLE_BYTES) => "33",
        (Experiment::TwoInMatch, MATCH_BYTES) => "24908",
        _ => "-",
    }
}

impl Measured {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let spread = if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 };
        Self { mean, spread }
    }
}

pub(super) fn text(rows: &[Row], seconds: u32) -> String {
    let mut text = String::new();
    for Row { experiment, measures } in rows {
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n{:<40} {:>10} {:>10} {:>10}", experiment.title(), "mean", "spread", "old system");
        for (name, Measured { mean, spread }) in measures {
            let digits = if mean.abs() < 1.0 { 3 } else { 1 };
            let old = old(*experiment, name);
            let _ = writeln!(text, "{name:<40} {mean:>10.digits$} {spread:>10.digits$} {old:>10}");
        }
    }
    let _ = writeln!(
        text,
        "\nMeasured over {seconds} s after everybody was there. Bytes are those that arrived at sockets of these \
         processes, with {HEADER_BYTES} bytes of headers\na packet where nothing else is said; the direct path between \
         the two clients is in them. The old system's match is from the\ninvitation to 2 s after the end, its \
         connect and login without TLS on most of it. After the first password the server's memory\nhas one arena of \
         19 MiB for each hashing thread."
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_spread_are_those_of_the_runs() {
        let Measured { mean, spread } = Measured::of(&[1.0, 2.0, 3.0]);
        assert!((mean - 2.0).abs() < 1e-9 && (spread - 1.0).abs() < 1e-9);
        assert!(Measured::of(&[5.0]).spread.abs() < 1e-9);
    }
}
