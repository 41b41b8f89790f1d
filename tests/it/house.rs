//! The house rules that no compiler checks: who may use whom, and that the model is pure.
//!
//! The source is read as text, comments and string literals left out, so a rule holds for tests inside of it as well.

use std::fs;
use std::path::{Path, PathBuf};

/// What each module may use of ours, besides itself. Design: a module uses only those above it; `wire`, `store`, `net`
/// and `ops` do not know each other, nor do `server` and `client`.
const MAY_USE: [(&str, &[&str]); 11] = [
    ("mutant", &[]),
    ("model", &[]),
    ("wire", &["model"]),
    ("store", &["model"]),
    ("net", &["model"]),
    ("ops", &["model"]),
    ("server", &["model", "wire", "store", "net", "ops"]),
    ("client", &["model", "wire", "store", "net", "ops"]),
    ("chaos", &["model", "wire", "store", "net", "ops"]),
    ("cli", &["model", "wire", "store", "net", "ops", "server", "client", "chaos"]),
    ("main", &["cli"]),
];

/// What reads a clock, draws random numbers, waits or touches the machine.
const IMPURE: [&str; 22] = [
    "Instant",
    "SystemTime",
    "UNIX_EPOCH",
    "tokio",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "std::sync",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "getrandom",
    "OsRng",
    "from_os_rng",
    "thread_rng",
    "rand::",
    "RandomState",
    "HashMap",
    "tracing",
    "println",
];

/// One broken rule.
#[derive(Debug, PartialEq)]
struct Broken {
    line: usize,
    what: String,
}

/// The rules broken by one file; `path` is relative to `src/`.
fn broken_in(path: &Path, source: &str) -> Vec<Broken> {
    let module = module_of(path);
    let mut broken = Vec::new();
    if !source.starts_with("//!") {
        broken.push(Broken { line: 1, what: "begins with no `//!` that says what must hold".to_owned() });
    }
    let code = code_of(source);
    for (line, text) in (1..).zip(code.lines()) {
        let mut tell = |what: String| broken.push(Broken { line, what });
        let used = uses(text).into_iter().chain(uses_upwards(path, text));
        for used in used.filter(|used| !may_use(&module, used)) {
            tell(format!("`{module}` may not use `{used}`"));
        }
        // The model check is no part of the model: it is run around it, and writes a table.
        let pure = module == "model" && !path.starts_with("model/check");
        for word in IMPURE.iter().filter(|word| pure && has_word(text, word)) {
            tell(format!("the model knows no `{word}`"));
        }
        if has_word(text, "unsafe") {
            tell("`unsafe`".to_owned());
        }
    }
    broken
}

/// The top module that a file belongs to.
fn module_of(path: &Path) -> String {
    let first = path.iter().next().unwrap().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn may_use(module: &str, used: &str) -> bool {
    let rule = MAY_USE.iter().find(|(name, _)| *name == module);
    let (_, allowed) = rule.unwrap_or_else(|| panic!("there is no rule for the module `{module}`"));
    // Any rule may be one that is left out.
    module == used || used == "mutant" || allowed.contains(&used)
}

/// The modules of ours that a line names from the root, also in a group of the root.
fn uses(line: &str) -> Vec<String> {
    let mut used = Vec::new();
    for root in ["crate::", "rejoin::"] {
        for (at, _) in line.match_indices(root).filter(|(at, _)| !within_word(line, *at)) {
            let rest = &line[at + root.len()..];
            let names = match rest.strip_prefix('{') {
                Some(group) => parts_of(group),
                None => vec![rest],
            };
            used.extend(names.into_iter().filter_map(ours));
        }
    }
    used
}

/// The modules of ours that a line names by climbing to the root.
fn uses_upwards(path: &Path, line: &str) -> Vec<String> {
    // In `a/b.rs` and in `a/b/mod.rs` the second `super` is the root.
    let depth = path.with_extension("").iter().filter(|part| *part != "mod").count();
    let climbs =
        line.match_indices("super::").filter(|(at, _)| !within_word(line, *at) && !line[..*at].ends_with("::"));
    let top = climbs.filter_map(|(at, _)| {
        let names = line[at..].trim_start_matches("super::");
        let steps = (line.len() - at - names.len()) / "super::".len();
        (steps >= depth).then_some(names)
    });
    top.filter_map(ours).collect()
}

/// The module of ours that a path begins with.
fn ours(path: &str) -> Option<String> {
    let name: String = path.trim().chars().take_while(|letter| is_of_word(*letter)).collect();
    MAY_USE.iter().any(|(of, _)| *of == name).then_some(name)
}

/// The parts of `a, b::{c, d}, e}…`, cut at the commas of the outermost group.
fn parts_of(group: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&group[start..at]);
                return parts;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    parts
}

const fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn within_word(line: &str, at: usize) -> bool {
    line[..at].chars().next_back().is_some_and(|before| is_of_word(before) || before == '$')
}

/// Whether `word` stands in `line` by itself.
fn has_word(line: &str, word: &str) -> bool {
    let ends = |at: usize| {
        let after = line[at + word.len()..].chars().next();
        word.ends_with(':') || !after.is_some_and(is_of_word)
    };
    line.match_indices(word).any(|(at, _)| !within_word(line, at) && ends(at))
}

/// The source without comments and without what string and character literals hold; every line stays in its place, and
/// a `use` that runs over several lines is drawn together on its first.
fn code_of(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(letter) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if letter == '"' {
            text_len(rest)
        } else if let Some(len) = raw_text_len(rest).filter(|_| !within_word(&code, code.len())) {
            len
        } else {
            letter_len(rest).unwrap_or(0)
        };
        let len = if skipped == 0 { letter.len_utf8() } else { skipped };
        if skipped == 0 {
            code.push(letter);
        } else {
            code.extend(rest[..skipped].chars().filter(|letter| *letter == '\n'));
        }
        rest = &rest[len..];
    }
    joined(&code)
}

/// The length of a string literal, with its quotes.
fn text_len(rest: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// The length of a raw string literal, if one begins here.
fn raw_text_len(rest: &str) -> Option<usize> {
    let hashes = rest.strip_prefix('r')?.chars().take_while(|letter| *letter == '#').count();
    rest[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 2;
    Some(rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()))
}

/// The length of a character literal, if one begins here and not a lifetime.
fn letter_len(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let first = inner.chars().next()?;
    if first == '\\' {
        return Some(2 + inner[2..].find('\'')? + 2);
    }
    inner[first.len_utf8()..].starts_with('\'').then_some(first.len_utf8() + 2)
}

/// Draws every group of a `use` together on the line it begins on.
fn joined(code: &str) -> String {
    let (mut lines, mut group, mut kept_back) = (Vec::new(), String::new(), 0);
    for line in code.lines() {
        let begins = line.trim_start().starts_with("use ") || line.trim_start().starts_with("pub use ");
        if group.is_empty() && (!begins || line.contains(';')) {
            lines.push(line.to_owned());
            continue;
        }
        group.push_str(line.trim());
        kept_back += 1;
        if line.contains(';') {
            lines.push(std::mem::take(&mut group));
            lines.extend(std::iter::repeat_n(String::new(), std::mem::take(&mut kept_back) - 1));
        }
    }
    lines.join("\n")
}

/// Every Rust file below `dir`.
fn files_in(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_in(&path));
        } else if path.extension() == Some("rs".as_ref()) {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn modules_use_only_those_above_them_and_the_model_is_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = files_in(&src);
    assert!(files.len() > 80, "only {} files were found", files.len());
    let mut broken = Vec::new();
    for file in files {
        let path = file.strip_prefix(&src).unwrap();
        if path == Path::new("lib.rs") {
            continue;
        }
        let found = broken_in(path, &fs::read_to_string(&file).unwrap());
        broken.extend(found.into_iter().map(|Broken { line, what }| format!("src/{}:{line}: {what}", path.display())));
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

fn broken_by(path: &str, source: &str) -> Vec<(usize, String)> {
    let source = format!("//! What must hold.\n{source}");
    broken_in(Path::new(path), &source).into_iter().map(|broken| (broken.line, broken.what)).collect()
}

#[test]
fn a_use_in_the_wrong_direction_is_found_however_it_is_written() {
    let wrong = [
        ("model/state.rs", "use crate::wire::Decoder;", "`model` may not use `wire`"),
        ("wire/frame.rs", "use crate::store::Disk;", "`wire` may not use `store`"),
        ("store/mod.rs", "fn f() { crate::net::tls::provider(); }", "`store` may not use `net`"),
        ("net/tls.rs", "pub use crate::ops::event;", "`net` may not use `ops`"),
        ("ops/log.rs", "type T = Vec<crate::store::Note>;", "`ops` may not use `store`"),
        ("server/mod.rs", "use crate::{model::id::Name, client::Store};", "`server` may not use `client`"),
        ("client/mod.rs", "use crate::server::Config;", "`client` may not use `server`"),
        ("client/ui/mod.rs", "use crate::cli;", "`client` may not use `cli`"),
        ("main.rs", "use rejoin::server::Config;", "`main` may not use `server`"),
        ("mutant.rs", "use crate::model::id::Name;", "`mutant` may not use `model`"),
        ("model/engine/login.rs", "use super::super::super::wire::frame;", "`model` may not use `wire`"),
        ("net/mod.rs", "fn f() { super::store::recover() }", "`net` may not use `store`"),
    ];
    for (path, source, what) in wrong {
        assert_eq!(broken_by(path, source), [(2, what.to_owned())], "{path}: {source}");
    }
    let over_lines =
        "use crate::{\n    model::{\n        id::Name,\n    },\n    client::Store,\n};\nuse crate::client::Store;";
    let what = "`server` may not use `client`".to_owned();
    assert_eq!(broken_by("server/mod.rs", over_lines), [(2, what.clone()), (8, what)]);
}

#[test]
fn an_impure_model_is_found() {
    let impure = [
        ("use std::time::Instant;", "Instant"),
        ("fn f() { std::time::SystemTime::now(); }", "SystemTime"),
        ("use tokio::sync::mpsc;", "tokio"),
        ("use std::fs;", "std::fs"),
        ("use std::net::{IpAddr, TcpStream};", "TcpStream"),
        ("fn f() { rand::rng(); }", "rand::"),
        ("fn f(bytes: &mut [u8]) { getrandom::fill(bytes); }", "getrandom"),
        ("use std::collections::HashMap;", "HashMap"),
    ];
    for (source, word) in impure {
        assert_eq!(broken_by("model/engine/mod.rs", source), [(2, format!("the model knows no `{word}`"))]);
        assert_eq!(broken_by("server/mod.rs", source), [], "a shell may: {source}");
    }
}

#[test]
fn unsafe_code_and_a_file_that_says_nothing_are_found() {
    assert_eq!(broken_by("net/host.rs", "\nfn f() { unsafe { g() } }"), [(3, "`unsafe`".to_owned())]);
    let silent = broken_in(Path::new("net/host.rs"), "use std::io;\n");
    assert_eq!(silent.len(), 1);
    assert!(silent[0].what.contains("`//!`"));
}

#[test]
fn what_is_allowed_or_only_said_is_not_found() {
    let fine = [
        ("model/state.rs", "use crate::model::id::Name;\nuse super::wire_name;"),
        ("model/state.rs", "/// Unlike `crate::server`, without tokio or Instant; /* unsafe */\nfn instant_win() {}"),
        ("model/state.rs", "const TEXT: &str = \"crate::wire tokio \\\" unsafe\"; // std::fs"),
        ("model/state.rs", "const TEXT: &str = r#\"tokio \" unsafe\"#; const QUOTE: char = '\"'; // unsafe"),
        ("model/state.rs", "fn f<'a>(text: &'a str) -> char { '\\'' }\n/* tokio\n unsafe */"),
        ("model/state.rs", "use rand_chacha::rand_core::Rng;\nuse std::net::IpAddr;"),
        ("server/mod.rs", "use crate::{model::id::Name, wire};\nuse crate::store::Disk;"),
        ("cli/server.rs", "use crate::server::Config;\nuse crate::client::Store;"),
        ("main.rs", "fn main() { rejoin::cli::run() }"),
        ("model/state.rs", "use crate::mutant::{Mutant, is_on};"),
        ("model/client/table.rs", "use super::super::client::table;\nuse super::server::x;"),
    ];
    for (path, source) in fine {
        assert_eq!(broken_by(path, source), [], "{path}: {source}");
    }
}
