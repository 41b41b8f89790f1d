//! What a run says to people: lines, bars, dates.

use std::fmt::Write as _;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use super::doctor;
use super::library::Named;
use crate::chaos::report::{Report, Verdict, quantile};

/// What came of a run, in a line.
pub(super) fn line(report: &Report) -> String {
    let word = match report.verdict() {
        Verdict::Held => "held",
        Verdict::Violated => "VIOLATED",
        Verdict::Inconclusive => "inconclusive",
    };
    let figures = report.figures();
    let back = report.back_ms();
    let recovery = match (quantile(&back, 500), quantile(&back, 990), back.last()) {
        (Some(p50), Some(p99), Some(most)) => format!("; back after p50 {p50} p99 {p99} max {most} ms"),
        _ => String::new(),
    };
    format!(
        "{word:12} {:22} seed {:<10} {} faults, {} moves acknowledged, {} matches{recovery}",
        report.name, report.seed, figures.faults, figures.acknowledged, figures.finished
    )
}

/// Why it did not hold.
pub(super) fn why(report: &Report) -> Vec<String> {
    const LINES_MAX: usize = 12;
    let found = violations(report).into_iter();
    let bounds = { report.bounds.iter() }.filter(|(_, _, holds)| !holds);
    let bounds = bounds.map(|(name, measured, _)| format!("not so: {name} {measured}"));
    let skipped = report.skipped.iter().map(|(fault, why)| format!("skipped: {fault}: {why}"));
    found.chain(bounds).chain(skipped).take(LINES_MAX).collect()
}

/// What the oracle has found, a line each.
pub(super) fn violations(report: &Report) -> Vec<String> {
    report.verdicts.violations.iter().map(|found| format!("{}: {}", found.invariant, found.why)).collect()
}

/// What a scenario would do.
pub(super) fn plan(named: &Named) -> String {
    let scenario = &named.scenario;
    let mut text = format!("{}: {}\n", named.name, scenario.about);
    for workload in &scenario.workloads {
        let direct = if workload.direct { "" } else { ", only by the server" };
        let _ = writeln!(text, "  {} pairs play {}{direct}", workload.pairs, workload.game);
    }
    for step in &scenario.faults {
        let allowed = doctor::allows(step.kind, Some(step.target));
        let skip = allowed.err().map_or_else(String::new, |why| format!("  (skipped: {why})"));
        let _ = writeln!(
            text,
            "  {:>8}  {} {} for {}, {} times{skip}",
            step.at.to_string(),
            step.kind,
            step.target,
            step.lasts,
            step.times
        );
    }
    text
}

/// A bar, or on no terminal a line.
pub(super) fn bar(named: &Named) -> ProgressBar {
    let bar = ProgressBar::new(1);
    if !std::io::stderr().is_terminal() {
        eprintln!("{}: {}", named.name, named.scenario.about);
    }
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {elapsed} {msg}");
    style.into_iter().for_each(|style| bar.set_style(style.progress_chars("=> ")));
    bar
}

/// A moment for people, from the seconds since 1970 (Howard Hinnant's `civil_from_days`).
pub(super) fn date(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let (hour, minute) = (of_day / 3_600, of_day / 60 % 60);
    format!("{}-{month:02}-{day:02} {hour:02}:{minute:02} UTC", year + era * 400 + next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_for_people() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_795_471_544, "2026-11-23 22:05 UTC"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }
}
