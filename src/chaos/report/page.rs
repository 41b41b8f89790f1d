//! The page: one file, nothing fetched, readable in light and dark and by a screen reader.

use std::fmt::Write as _;

use super::timeline;
use super::{INVARIANTS, Outage, Report, STATES, Standing, Verdict, quantile};

/// The whole page.
#[must_use]
pub fn html(report: &Report) -> String {
    let name = escaped(&report.name);
    let (word, class) = match report.verdict() {
        Verdict::Held => ("HELD", "pass"),
        Verdict::Violated => ("VIOLATED", "fail"),
        Verdict::Inconclusive => ("INCONCLUSIVE", "not-exercised"),
    };
    let mut out = String::new();
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>{name}: {word}</title><style>{STYLE}</style></head><body><main>\
         <h1>{name} <strong class=\"badge {class}\">{word}</strong></h1><p>{}</p>",
        escaped(&report.about)
    );
    summary(&mut out, report);
    out.push_str("<h2>What happened</h2>");
    out.push_str(LEGEND);
    out.push_str(&timeline::svg(report));
    invariants(&mut out, report);
    recoveries(&mut out, report);
    outages(&mut out, report);
    matrix(&mut out, report);
    skipped(&mut out, report);
    let _ = writeln!(
        out,
        "<h2>Again</h2><p>Seed {}. To run it again:</p><pre><code>{}</code></pre><p class=\"small\">{} · {}</p>\
         </main></body></html>",
        report.seed,
        escaped(&report.command),
        escaped(&report.machine),
        escaped(&report.began)
    );
    out
}

/// Text that is safe in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

fn summary(out: &mut String, report: &Report) {
    let figures = report.figures();
    let outages = report.outages();
    let over = outages.iter().filter(|outage| outage.over).count();
    let back = quantile(&report.back_ms(), 990).map_or_else(|| "–".to_owned(), |ms| format!("{ms} ms"));
    let lost = report.verdicts.violations.iter().filter(|violation| violation.invariant == "I1").count();
    let seconds = report.length_ms as f64 / 1_000.0;
    out.push_str("<dl class=\"figures\">");
    for (value, what) in [
        (lost.to_string(), "acknowledged moves lost or changed"),
        (figures.acknowledged.to_string(), "moves acknowledged"),
        (figures.finished.to_string(), "matches recorded"),
        (figures.faults.to_string(), "faults that struck"),
        (format!("{over} of {}", outages.len()), "outages that ended by themselves"),
        (back, "after the fault, 99 of 100 links were live within"),
        (format!("{seconds:.1} s"), "run"),
    ] {
        let _ = write!(out, "<div><dt>{what}</dt><dd>{value}</dd></div>");
    }
    out.push_str("</dl>");
}

fn invariants(out: &mut String, report: &Report) {
    out.push_str("<h2>What was proved</h2><table><thead><tr><th>Invariant</th><th>Promise</th><th>Standing</th></tr></thead><tbody>");
    for (invariant, promise) in INVARIANTS {
        let (standing, why) = report.standing(invariant);
        row(out, invariant, promise, standing, &why);
    }
    let others = report.verdicts.violations.iter();
    for other in others.filter(|violation| INVARIANTS.iter().all(|(name, _)| *name != violation.invariant)) {
        row(out, &other.invariant, "", Standing::Fail, &[&other.why]);
    }
    for (bound, measured, holds) in &report.bounds {
        let standing = if *holds { Standing::Pass } else { Standing::Fail };
        row(out, "bound", bound, standing, &[measured]);
    }
    out.push_str("</tbody></table>");
}

fn row(out: &mut String, name: &str, promise: &str, standing: Standing, why: &[&str]) {
    let (word, class) = match standing {
        Standing::Pass => ("PASS", "pass"),
        Standing::Fail => ("FAIL", "fail"),
        Standing::NotExercised => ("NOT EXERCISED", "not-exercised"),
    };
    let _ = write!(
        out,
        "<tr class=\"{}\"><th scope=\"row\">{}</th><td>{}",
        row_class(standing),
        escaped(name),
        escaped(promise)
    );
    for reason in why {
        let _ = write!(out, "<div class=\"why\">{}</div>", escaped(reason));
    }
    let _ = write!(out, "</td><td><strong class=\"badge {class}\">{word}</strong></td></tr>");
}

const fn row_class(standing: Standing) -> &'static str {
    match standing {
        Standing::Fail => "failed",
        Standing::Pass | Standing::NotExercised => "fine",
    }
}

/// Bars of the histogram end at these many milliseconds.
const BARS_MS: [u64; 11] = [25, 50, 100, 200, 300, 500, 750, 1_000, 2_000, 5_000, u64::MAX];

fn recoveries(out: &mut String, report: &Report) {
    let lengths = report.recoveries_ms();
    out.push_str("<h2>How long it took to come back</h2>");
    if lengths.is_empty() {
        out.push_str("<p>Nobody was away.</p>");
        return;
    }
    let figure = |permille| quantile(&lengths, permille).unwrap_or(0);
    let _ = write!(
        out,
        "<p>{} outages, from the loss of the link until it was live: p50 {} ms, p90 {} ms, p99 {} ms, longest {} ms. \
         The time for which the fault itself kept them away is part of it.</p>",
        lengths.len(),
        figure(500),
        figure(900),
        figure(990),
        figure(1_000)
    );
    let mut from = 0;
    let counts = BARS_MS.map(|to| {
        let count = lengths.iter().filter(|length| (from..to).contains(*length)).count();
        from = to;
        count
    });
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let label = "Histogram of the outages' lengths";
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 720 190\" role=\"img\" aria-label=\"{label}\" class=\"histogram\"><title>{label}</title>"
    );
    for (bar, (to, count)) in BARS_MS.into_iter().zip(counts).enumerate() {
        let (x, high) = (10.0 + 64.0 * bar as f64, 130.0 * count as f64 / most as f64);
        let name = match to {
            u64::MAX => "more".to_owned(),
            0..1_000 => format!("&lt; {to} ms"),
            1_000.. => format!("&lt; {} s", to / 1_000),
        };
        let _ = write!(
            out,
            "<g><rect x=\"{x}\" y=\"{:.1}\" width=\"54\" height=\"{high:.1}\" class=\"bar\"/><title>{count} {name}</title>\
             <text x=\"{}\" y=\"{:.1}\" class=\"tick\">{count}</text><text x=\"{}\" y=\"178\" class=\"tick\">{name}</text></g>",
            155.0 - high,
            x + 27.0,
            149.0 - high,
            x + 27.0
        );
    }
    out.push_str("</svg>");
}

/// Rows of the table; the picture and the histogram show all.
const OUTAGES_MAX: usize = 60;

fn outages(out: &mut String, report: &Report) {
    let outages = report.outages();
    if outages.is_empty() {
        return;
    }
    let shown = outages.len().min(OUTAGES_MAX);
    let _ = write!(
        out,
        "<details><summary>Each outage with its cause, dials and waits ({shown} of {})</summary><table class=\"matrix\"><thead>\
         <tr><th>From</th><th>Who</th><th>Away</th><th>Cause</th><th>Dials</th><th>Waits before them</th></tr></thead><tbody>",
        outages.len()
    );
    for outage in &outages[..shown] {
        let length_ms = outage.to_ms - outage.from_ms;
        let logged = logged(report, outage);
        let (cause, waits) = logged.map_or(("", ""), |logged| (&*logged.cause, &*logged.waits_ms));
        let waits = if waits.is_empty() { "–".to_owned() } else { format!("{} ms", waits.replace(' ', ", ")) };
        let _ = write!(
            out,
            "<tr><td>{:.3} s</td><th scope=\"row\">{}</th><td>{length_ms} ms{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            outage.from_ms as f64 / 1_000.0,
            escaped(&outage.who),
            if outage.over { "" } else { ", not back" },
            if cause.is_empty() { "–".to_owned() } else { escaped(cause) },
            outage.attempts.map_or_else(|| "–".to_owned(), |dials| dials.to_string()),
            escaped(&waits)
        );
    }
    out.push_str("</tbody></table></details>");
}

/// What the player's own log says of an outage that it was shown: the nearest of its length with as many dials.
fn logged<'a>(report: &'a Report, outage: &Outage) -> Option<&'a crate::chaos::finals::Outage> {
    let length_ms = outage.to_ms - outage.from_ms;
    let apart = |logged: &crate::chaos::finals::Outage| logged.length_ms.map(|of| of.abs_diff(length_ms));
    let late = report.finals.figures.late_ms;
    let same = |logged: &&crate::chaos::finals::Outage| {
        logged.who == outage.who && logged.attempts == outage.attempts && apart(logged).is_some_and(|of| of <= late)
    };
    report.finals.figures.outages.iter().filter(same).min_by_key(|logged| apart(logged))
}

fn matrix(out: &mut String, report: &Report) {
    let matrix = report.matrix();
    if matrix.is_empty() {
        return;
    }
    let mut faults: Vec<&String> = matrix.keys().map(|(fault, _)| fault).collect();
    faults.dedup();
    out.push_str(
        "<h2>What struck when</h2><p>Players in each state when a fault struck; empty cells were not tried.</p>",
    );
    out.push_str("<table class=\"matrix\"><thead><tr><th>Fault</th>");
    STATES.iter().for_each(|state| {
        let _ = write!(out, "<th>{state}</th>");
    });
    out.push_str("</tr></thead><tbody>");
    for fault in faults {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escaped(fault));
        for state in STATES {
            match matrix.get(&(fault.clone(), state)) {
                Some(count) => {
                    let _ = write!(out, "<td>{count}</td>");
                }
                None => out.push_str("<td class=\"empty\">–</td>"),
            }
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table>");
}

fn skipped(out: &mut String, report: &Report) {
    if report.skipped.is_empty() {
        return;
    }
    out.push_str("<h2>Skipped</h2><p>These faults were not possible on this machine, so the run is no proof against them.</p><ul>");
    for (fault, why) in &report.skipped {
        let _ = write!(out, "<li><strong>{}</strong>: {}</li>", escaped(fault), escaped(why));
    }
    out.push_str("</ul>");
}

const LEGEND: &str = "<p class=\"legend\"><span class=\"key run\"></span> runs <span class=\"key fault\"></span> fault \
    <span class=\"key outage\"></span> away <span class=\"key lost\"></span> away for good \
    <span class=\"key move\"></span> move <span class=\"key kept\"></span> acknowledged \
    <span class=\"key result\"></span> result <span class=\"key end\"></span> end of a process</p>";

const STYLE: &str = "
:root { color-scheme: light dark; --ink: light-dark(#1c1f24, #e6e8eb); --soft: light-dark(#5a6270, #a3abb8);
  --paper: light-dark(#fff, #14171c); --line: light-dark(#e3e6ea, #2a2f38); --run: light-dark(#8a94a6, #667085);
  --fault: light-dark(#f7d8b5, #5a3a14); --fault-ink: light-dark(#7a4300, #ffc98a); --outage: light-dark(#c2410c, #fb923c);
  --move: light-dark(#8fb4e8, #3f6fb5); --kept: light-dark(#1857b6, #8ebcff); --result: light-dark(#15803d, #4ade80);
  --bad: light-dark(#b42318, #ff8a80); }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.badge { font-size: .8rem; padding: .15rem .5rem; border-radius: .3rem; white-space: nowrap; border: 1px solid currentColor; }
.pass { color: var(--result); } .fail { color: var(--bad); } .not-exercised { color: var(--soft); }
.figures { display: flex; flex-wrap: wrap; gap: .8rem 2rem; } .figures div { display: flex; flex-direction: column-reverse; }
.figures dd { font-size: 1.5rem; font-variant-numeric: tabular-nums; margin: 0; } .figures dt { color: var(--soft); font-size: .85rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.matrix td { font-variant-numeric: tabular-nums; } .empty { color: var(--soft); }
.why, .small, .legend { color: var(--soft); font-size: .9rem; } .why { overflow-wrap: anywhere; }
.failed .why { color: var(--bad); } summary { cursor: pointer; color: var(--soft); margin: 1rem 0 .4rem; } details td { font-variant-numeric: tabular-nums; }
h1 .badge { vertical-align: .2em; margin-left: .4rem; }
pre { background: var(--line); padding: .7rem; border-radius: .4rem; overflow-x: auto; }
svg { width: 100%; height: auto; display: block; } .histogram { max-width: 45rem; }
svg text { fill: var(--soft); font-size: 11px; } svg .who { fill: var(--ink); font-size: 13px; } svg .tick { text-anchor: middle; }
.grid { stroke: var(--line); } line.run { stroke: var(--run); stroke-width: 3; }
rect.fault { fill: var(--fault); opacity: .8; } rect.fault.wide { opacity: .4; } svg .fault-name { fill: var(--fault-ink); font-size: 10px; }
rect.outage { fill: var(--outage); } rect.lost { fill: var(--bad); } rect.bar { fill: var(--kept); }
circle.move { fill: var(--move); } circle.kept { fill: var(--kept); } circle.result { fill: var(--result); } circle.end { fill: var(--bad); }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; vertical-align: -.05rem; margin-left: .8rem; }
.key.run { background: var(--run); height: .2rem; vertical-align: .2rem; } .key.fault { background: var(--fault); } .key.outage { background: var(--outage); }
.key.lost, .key.end { background: var(--bad); } .key.move { background: var(--move); } .key.kept { background: var(--kept); } .key.result { background: var(--result); }
.key.move, .key.kept, .key.result, .key.end { border-radius: 50%; }
";

#[cfg(test)]
mod tests {
    use super::super::super::history::{End, Record, Told, What};
    use super::*;

    #[test]
    fn nothing_that_was_told_becomes_a_part_of_the_page() {
        let evil = "<script>alert('x')</script>\"&".to_owned();
        let line = |at_ms, what| Record { at_ms, who: evil.clone(), what };
        let told = Told::Move {
            match_id: evil.clone(),
            ply: 0,
            by: evil.clone(),
            row: None,
            col: None,
            resigns: false,
            state: evil.clone(),
            acknowledged: true,
        };
        let report = Report {
            name: evil.clone(),
            about: evil.clone(),
            command: evil.clone(),
            machine: evil.clone(),
            began: evil.clone(),
            length_ms: 10,
            history: vec![
                line(0, What::Started),
                line(1, What::Told { told }),
                line(2, What::Fault { fault: evil.clone(), on: true }),
                line(3, What::Ended { how: End::Killed }),
            ],
            skipped: vec![(evil.clone(), evil.clone())],
            bounds: vec![(evil.clone(), evil, false)],
            ..Report::default()
        };
        let page = html(&report);
        assert!(!page.contains("<script") && page.matches("&lt;script&gt;").count() >= 9);
        for tag in ["svg", "table", "main", "ul", "g", "dl"] {
            let (opened, closed) =
                (page.matches(&format!("<{tag}")).count(), page.matches(&format!("</{tag}>")).count());
            assert!(opened >= closed && closed > 0, "{tag}: {opened} {closed}");
        }
        assert!(!page.contains("http"), "nothing is fetched");
    }
}
