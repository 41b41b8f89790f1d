//! The searches as tests.
#![allow(clippy::print_stderr, reason = "what was found is to be read")]

use super::{Found, Row, rows};

/// What the table begins with.
const HEAD: &str = "\
# The model check

The keeper protocol (`protocol.md`), searched breadth first over the real code: `client::table`, the engine, `State`,
`decide`, `evidence`, `transcript`. `src/model/check/` says what may happen and what must hold. Written by

```text
cargo test --release --lib model::check -- --ignored
```

`ROW=words` searches the rows whose names have these words, `STATES=n` gives each row n steps; neither writes this file.
`cargo test --lib model::check` searches small rows whole, and rules left out, each of which must be missed.

A row that is not exhausted was given up after so many steps; nothing was found up to that depth.

| row | states | depth | result |
|---|---|---|---|
";

fn report(found: &Found) {
    let how = if found.exhausted { "exhausted" } else { "not exhausted" };
    eprintln!("{}: {} states, depth {}, {how}, decided {}", found.name, found.states, found.depth, found.decided);
    if let Some((why, steps)) = &found.violation {
        eprintln!("  {why}:");
        steps.iter().for_each(|step| eprintln!("    {step}"));
    }
}

fn line(found: &Found) -> String {
    let result = match &found.violation {
        Some((why, steps)) => format!("**no**: {why}: {}", steps.join("; ")),
        None if found.exhausted => "exhausted, clean".to_owned(),
        None => "not exhausted, clean so far".to_owned(),
    };
    format!("| {} | {} | {} | {result} |\n", found.name, found.states, found.depth)
}

fn search(rows: Vec<Row>) -> Vec<Found> {
    let pick = std::env::var("ROW").unwrap_or_default();
    let max = std::env::var("STATES").ok().and_then(|max| max.parse().ok());
    let rows = rows.into_iter().filter(|row| row.name.contains(&pick));
    rows.map(|row| {
        let found = Row { states_max: max.unwrap_or(row.states_max), ..row }.search();
        report(&found);
        found
    })
    .collect()
}

#[test]
fn nothing_goes_wrong_in_the_short_rows() {
    for found in search(rows::short()) {
        assert_eq!(found.violation, None, "{}", found.name);
        assert!(found.exhausted, "{}", found.name);
    }
}

#[test]
fn every_rule_that_is_left_out_is_missed() {
    for found in search(rows::mutants()) {
        assert!(found.violation.is_some(), "{}", found.name);
    }
}

#[test]
#[ignore = "takes long; writes docs/model-check.md"]
fn nothing_goes_wrong_in_the_long_rows() {
    let mut all = search(rows::short());
    all.extend(search(rows::long()));
    if std::env::var_os("ROW").is_none() && std::env::var_os("STATES").is_none() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/model-check.md");
        let old = std::fs::read_to_string(path).unwrap_or_default();
        // What is said about the table is written by people.
        let notes = old.split_once("\n## ").map_or_else(String::new, |(_, notes)| format!("\n## {notes}"));
        let lines: String = all.iter().map(line).collect();
        std::fs::write(path, format!("{HEAD}{lines}{notes}")).unwrap();
    }
    for found in all.iter().filter(|found| !found.limit) {
        assert_eq!(found.violation, None, "{}", found.name);
    }
}
