//! The picture: a lane for each process over time.
//!
//! What must hold: everything is placed by its time in the history; colours come from the page, so that light and dark
//! are one picture; whatever is told by colour is told by a title too.
#![allow(clippy::wildcard_enum_match_arm, reason = "of all that can happen each place looks at a few kinds")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::history::{End, Told, What};
use super::page::escaped;
use super::{Outage, Report};

const WIDTH: f64 = 1_200.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 20.0;
const LANE: f64 = 40.0;
const TOP: f64 = 30.0;
/// At most so many marks on the axis.
const TICKS_MAX: u64 = 12;
/// Lanes that are drawn; a picture of a thousand shows nothing.
const LANES_MAX: usize = 40;

/// A fault, from when it struck until it was over.
struct Band<'a> {
    fault: &'a str,
    who: &'a str,
    from_ms: u64,
    to_ms: u64,
}

/// The picture as SVG.
pub(super) fn svg(report: &Report) -> String {
    let lanes = lanes(report);
    let bands = bands(report);
    let height = TOP + LANE * (lanes.len() as f64 + 1.0) + 34.0;
    let end_ms = report.length_ms.max(1);
    let x = |at_ms: u64| LEFT + (WIDTH - LEFT - RIGHT) * (at_ms.min(end_ms) as f64 / end_ms as f64);
    let y = |lane: usize| TOP + LANE * (lane as f64 + 1.0);
    let mut out = String::new();
    let title = "Every process over time: when it ran, what broke, when it was away, and the moves";
    let _ = write!(
        out,
        r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}" class="timeline"><title>{title}</title>"#
    );
    for at_ms in ticks(end_ms) {
        let (at, bottom) = (x(at_ms), height - 30.0);
        let _ = write!(out, r#"<line x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{bottom}" class="grid"/>"#);
        let seconds = at_ms as f64 / 1_000.0;
        let _ = write!(out, r#"<text x="{at:.1}" y="{:.1}" class="tick">{seconds} s</text>"#, height - 12.0);
    }
    for band in &bands {
        let (from, to) = (x(band.from_ms), x(band.to_ms).max(x(band.from_ms) + 2.0));
        let lane = lanes.iter().position(|lane| *lane == band.who);
        let (top, high) = lane.map_or((TOP, y(0) - TOP), |lane| (y(lane), LANE));
        let name = escaped(band.fault);
        let length = band.to_ms - band.from_ms;
        // What breaks the ways of all is about every lane of a player.
        if lane.is_none() {
            let (top, high) = (y(1), LANE * (lanes.len() as f64 - 1.0));
            let wide = to - from;
            let _ = write!(
                out,
                r#"<rect x="{from:.1}" y="{top:.1}" width="{wide:.1}" height="{high:.1}" class="fault wide"/>"#
            );
        }
        let _ = write!(
            out,
            r#"<g><rect x="{from:.1}" y="{top:.1}" width="{:.1}" height="{high:.1}" class="fault"/><title>{name}, {length} ms</title>"#,
            to - from
        );
        let _ =
            write!(out, r#"<text x="{:.1}" y="{:.1}" class="fault-name">{name}</text></g>"#, from + 3.0, top + 11.0);
    }
    for (lane, who) in lanes.iter().enumerate() {
        let middle = y(lane) + LANE / 2.0;
        let name = escaped(who);
        let _ = write!(out, r#"<text x="8" y="{:.1}" class="who">{name}</text>"#, middle + 4.0);
        for (from_ms, to_ms) in runs(report, who) {
            let (from, to) = (x(from_ms), x(to_ms));
            let _ = write!(
                out,
                r#"<line x1="{from:.1}" x2="{to:.1}" y1="{middle}" y2="{middle}" class="run"><title>{name} runs</title></line>"#
            );
        }
        for outage in report.outages().iter().filter(|outage| outage.who == *who) {
            draw_outage(&mut out, outage, &x, middle);
        }
        for (at_ms, class, what) in dots(report, who) {
            let at = x(at_ms);
            let _ = write!(
                out,
                r#"<circle cx="{at:.1}" cy="{middle}" r="3.2" class="{class}"><title>{}</title></circle>"#,
                escaped(&what)
            );
        }
    }
    out.push_str("</svg>");
    out
}

fn draw_outage(out: &mut String, outage: &Outage, x: &dyn Fn(u64) -> f64, middle: f64) {
    let (from, to) = (x(outage.from_ms), x(outage.to_ms));
    let length = outage.to_ms - outage.from_ms;
    let dials = outage.attempts.map_or_else(String::new, |attempts| format!(", {attempts} dials"));
    let how = if outage.over { "back" } else { "not back" };
    let class = if outage.over { "outage" } else { "outage lost" };
    let _ = write!(
        out,
        r#"<g><rect x="{from:.1}" y="{:.1}" width="{:.1}" height="9" rx="2" class="{class}"/><title>away {length} ms{dials}, {how}</title>"#,
        middle + 5.0,
        (to - from).max(2.0)
    );
    let _ = write!(out, r#"<text x="{:.1}" y="{:.1}" class="length">{length} ms</text></g>"#, to + 3.0, middle + 13.0);
}

/// The server first, then the players by name.
fn lanes(report: &Report) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for record in &report.history {
        let player = !matches!(record.what, What::Fault { .. });
        if player && record.who != "server" && !names.contains(&record.who.as_str()) && record.who != "driver" {
            names.push(&record.who);
        }
    }
    names.sort_by_key(|name| (name.len(), *name));
    names.truncate(LANES_MAX - 1);
    names.insert(0, "server");
    names
}

fn bands(report: &Report) -> Vec<Band<'_>> {
    let mut open = BTreeMap::<(&str, &str), u64>::new();
    let mut bands = Vec::new();
    for record in &report.history {
        let What::Fault { fault, on } = &record.what else { continue };
        let key = (fault.as_str(), record.who.as_str());
        match on {
            true => {
                open.entry(key).or_insert(record.at_ms);
            }
            false => {
                if let Some(from_ms) = open.remove(&key) {
                    bands.push(Band { fault, who: &record.who, from_ms, to_ms: record.at_ms });
                }
            }
        }
    }
    bands.extend(open.into_iter().map(|((fault, who), from_ms)| Band { fault, who, from_ms, to_ms: report.length_ms }));
    bands.sort_by_key(|band| band.from_ms);
    bands
}

/// When a process ran.
fn runs(report: &Report, who: &str) -> Vec<(u64, u64)> {
    let (mut from, mut runs) = (None, Vec::new());
    for record in report.history.iter().filter(|record| record.who == who) {
        match record.what {
            What::Started => from = from.or(Some(record.at_ms)),
            What::Ended { .. } => runs.extend(from.take().map(|from| (from, record.at_ms))),
            _ => {}
        }
    }
    runs.extend(from.map(|from| (from, report.length_ms)));
    runs
}

/// Moves, results and ends of a process.
fn dots(report: &Report, who: &str) -> Vec<(u64, &'static str, String)> {
    let of = report.history.iter().filter(|record| record.who == who);
    let dot = |record: &super::Record| {
        let (class, what) = match &record.what {
            What::Told { told: Told::Move { ply, by, state, acknowledged, .. } } => {
                let class = if *acknowledged { "move kept" } else { "move" };
                (class, format!("move {ply} by {by}: {state}"))
            }
            What::Told { told: Told::Result { outcome, why, recorded, .. } } => {
                let recorded = if *recorded { "recorded" } else { "not recorded yet" };
                ("result", format!("{outcome} ({why}), {recorded}"))
            }
            What::Ended { how } => {
                let how = match how {
                    End::Killed => "killed",
                    End::PowerCut => "its power went",
                    End::Stopped => "stopped in order",
                    End::Failed => "ended by itself",
                    End::Wiped => "lost with its disk",
                };
                ("end", how.to_owned())
            }
            _ => return None,
        };
        let seconds = record.at_ms as f64 / 1_000.0;
        Some((record.at_ms, class, format!("{seconds:.3} s: {what}")))
    };
    of.filter_map(dot).collect()
}

/// Round times for the axis.
fn ticks(end_ms: u64) -> Vec<u64> {
    let steps = [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000, 120_000, 300_000, 600_000, 3_600_000];
    let step = steps.into_iter().find(|step| end_ms / step <= TICKS_MAX).unwrap_or(end_ms.max(1));
    (0..=end_ms / step).map(|number| number * step).collect()
}
