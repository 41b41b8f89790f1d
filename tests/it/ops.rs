//! The operations listener of a real server: metrics, health, the page and its stream.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rejoin::model::time::{Clock, Now};
use rejoin::net::host::HostNet;
use rejoin::net::seam::Net;
use rejoin::ops::host::HostClock;
use rejoin::server::ops::{Ops, http};
use serde_json::Value;

use crate::rig::{Line, unstarted};
use crate::seed::people::{PASSWORD, Pair, Player, X_WINS, home};
use crate::seed::server::{Server, program};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that is looked at, and where.
fn watched(dir: &std::path::Path) -> (Server, SocketAddr) {
    let mut server = Server::start_with(dir, &["--ops", "127.0.0.1:0"]);
    let line = server.said("a page to look at: http://");
    let addr = line.split_once("http://").unwrap().1.trim_end_matches('/').parse().unwrap();
    (server, addr)
}

/// What a request gives: its head and its body.
fn ask(addr: SocketAddr, head: &str) -> (String, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{head}\r\nConnection: close\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn get(addr: SocketAddr, path: &str) -> (String, String) {
    ask(addr, &format!("GET {path} HTTP/1.1\r\nHost: {addr}"))
}

/// The files of the page that one of them names.
fn named(text: &str) -> Vec<String> {
    let quoted = text.split('"').skip(1).step_by(2);
    let own = |word: &&str| word.starts_with('/') || word.starts_with("./");
    let file = |word: &str| {
        let name = word.trim_start_matches('.');
        let is_file = [".js", ".css", ".svg", "LICENSE"].iter().any(|end| name.ends_with(end));
        is_file.then(|| name.to_owned())
    };
    quoted.filter(own).filter_map(file).collect()
}

/// The number of a sample.
fn sample(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
pub(crate) fn what_is_counted_is_what_has_happened_and_every_name_of_an_alert_is_exported() {
    let home = home();
    let (mut server, addr) = watched(home.path());
    let mut carol = Player::join(&server, "carol");
    let mut pair = Pair::join(&server);
    pair.play(&[(1, 1)]);
    assert_eq!(carol.refused(&format!("adduser alice {PASSWORD}")), "user-exists");
    let [alice, bob] = pair.of("alice");
    bob.kill();
    alice.opponent("away");
    let (head, text) = get(addr, "/metrics");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("openmetrics-text"), "{head}");
    assert_eq!(sample(&text, "rejoin_ready"), 1.0);
    assert_eq!(sample(&text, "rejoin_run"), 1.0);
    assert_eq!(sample(&text, "rejoin_connections"), 2.0);
    assert_eq!(sample(&text, "rejoin_sessions{state=\"live\"}"), 2.0);
    assert_eq!(sample(&text, "rejoin_sessions{state=\"away\"}"), 1.0);
    assert_eq!(sample(&text, "rejoin_matches{state=\"active\"}"), 1.0);
    assert_eq!(sample(&text, "rejoin_refusals_total{kind=\"user-exists\"}"), 1.0);
    assert!(sample(&text, "rejoin_journal_sync_seconds_count") >= 3.0);
    assert!(sample(&text, "rejoin_frame_bytes_total{direction=\"in\"}") > 500.0);
    assert!(sample(&text, "rejoin_journal_bytes") > 100.0);
    assert!(sample(&text, "rejoin_queue_max{queue=\"inputs\"}") >= 1.0);
    assert!(sample(&text, "rejoin_resident_bytes") > 1e6);
    assert!(sample(&text, "rejoin_engine_lag_seconds") < 2.0);
    bob.start_again();
    bob.live();
    let mut stream = Stream::open(addr);
    let of_bob = |event: &Value| event["user"] == "bob" && event["attempts"].as_u64() >= Some(1);
    stream.until("outage-told", |event| of_bob(event) && event["cause"] == "started" && event["waits_ms"].is_string());
    let (_, text) = get(addr, "/metrics");
    assert_eq!(sample(&text, "rejoin_outage_seconds_count{cause=\"reset\"}"), 1.0);
    assert_eq!(sample(&text, "rejoin_resume_seconds_count"), 1.0);
    let alerts = include_str!("../../docs/alerts.yml");
    assert!(are_exported(alerts, &text) > 5);
    assert!(are_exported(include_str!("../../docs/monitoring.md"), &text) > 5);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server/ops/page");
    for asset in std::fs::read_dir(page).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        are_exported(&String::from_utf8_lossy(&std::fs::read(asset).unwrap()), &text);
    }
    let words = include_str!("../../src/model/refusal.rs");
    let kinds: Vec<&str> = alerts.split("kind=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(!kinds.is_empty());
    for kind in kinds {
        assert!(words.contains(&format!("=> \"{kind}\",")), "{kind} is no refusal");
    }
    pair.leave();
    carol.leave();
    server.stop();
}

/// Every metric that a text names is exported; how many it names.
fn are_exported(rules: &str, metrics: &str) -> usize {
    let of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let exported: BTreeSet<&str> = metrics.lines().map(|line| line.split([' ', '{']).next().unwrap()).collect();
    let named: BTreeSet<&str> =
        rules.split(|letter| !of_name(letter)).filter(|word| word.starts_with("rejoin_")).collect();
    for name in &named {
        assert!(exported.contains(name), "{name} is not exported");
    }
    named.len()
}

#[test]
fn health_is_told_and_nobody_is_let_in_under_another_name() {
    let home = home();
    let (mut server, addr) = watched(home.path());
    assert_eq!(get(addr, "/healthz").1, "ok\n");
    // Its start is on disk before it answers anybody.
    Player::join(&server, "alice").leave();
    assert_eq!(get(addr, "/readyz").1, "ready\n");
    for (request, code) in [
        ("GET / HTTP/1.1\r\nHost: evil.example", "403"),
        ("GET /nothing HTTP/1.1\r\nHost: localhost", "404"),
        ("GET /../../etc/passwd HTTP/1.1\r\nHost: localhost", "404"),
        ("POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0", "405"),
        ("GET / HTTP/1.1\r\nHost: localhost", "200"),
    ] {
        let (head, _) = ask(addr, request);
        assert!(head.starts_with(&format!("HTTP/1.1 {code} ")), "{request}: {head}");
    }
    server.stop();
}

#[test]
fn a_server_that_drains_lives_and_is_not_ready() {
    let home = home();
    let (mut server, addr) = watched(home.path());
    let mut pair = Pair::join(&server);
    assert_eq!(get(addr, "/readyz").1, "ready\n");
    let mut command = program();
    command.args(["admin", "drain", "--json", "--state"]).arg(home.path().join("state"));
    let mut draining = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(draining.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("draining"), "{said}");
    let (head, _) = get(addr, "/readyz");
    assert!(head.starts_with("HTTP/1.1 503 "), "a match is under way: {head}");
    assert!(get(addr, "/healthz").0.starts_with("HTTP/1.1 200 "));
    assert_eq!(sample(&get(addr, "/metrics").1, "rejoin_ready"), 0.0);
    pair.play(&X_WINS);
    pair.x_has_won();
    assert!(server.ended().success() && draining.wait().unwrap().success());
}

#[tokio::test]
async fn a_server_that_recovers_lives_and_is_not_ready() {
    let home = home();
    let ops = Arc::new(Ops::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = tokio::spawn(http::serve(listener, Arc::clone(&ops)));
    let ask = |path: &'static str| async move {
        let asked = tokio::task::spawn_blocking(move || get(addr, path).0).await.unwrap();
        asked.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!([ask("/healthz").await, ask("/readyz").await], ["200", "503"], "nothing is recovered yet");
    let recovered = unstarted(home.path()).with_ops(ops);
    assert_eq!([ask("/healthz").await, ask("/readyz").await], ["200", "503"], "it does not serve yet");
    let listener = HostNet.listen("127.0.0.1:0".parse().unwrap(), 16).await.unwrap();
    let running = recovered.spawn(listener).unwrap();
    // Who is welcomed is served.
    Line::over(tokio::net::TcpStream::connect(running.addr).await.unwrap()).await.hello().await;
    assert_eq!([ask("/healthz").await, ask("/readyz").await], ["200", "200"]);
    running.stop(Duration::ZERO).await.unwrap();
    assert_eq!([ask("/healthz").await, ask("/readyz").await], ["200", "503"], "it has stopped");
    serving.abort();
}

#[test]
fn the_page_asks_for_nothing_from_elsewhere_and_holds_nothing_inline() {
    let home = home();
    let (mut server, addr) = watched(home.path());
    let (_, html) = get(addr, "/");
    let mut paths: BTreeSet<String> = ["/".to_owned()].into();
    let mut unread = vec![html];
    // Everything that the page names, and what that names.
    while let Some(text) = unread.pop() {
        for path in named(&text) {
            if paths.insert(path.clone()) {
                unread.push(get(addr, &path).1);
            }
        }
    }
    assert!(paths.len() > 12 && paths.contains("/timeline.js") && paths.contains("/uplot/LICENSE"), "{paths:?}");
    for path in &paths {
        let (head, body) = get(addr, path);
        let head = head.to_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{path}: {head}");
        assert!(
            head.contains("content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';"),
            "{head}"
        );
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        // The name of a namespace, and where uPlot comes from, in its first line.
        let foreign = body.replace("http://www.w3.org/2000/svg", "").replace("https://github.com/leeoniya/uPlot", "");
        for word in ["http:", "https:", "//cdn", "innerHTML", "style=", "onclick", "<style"] {
            assert!(!foreign.contains(word), "{path} has {word}");
        }
    }
    server.stop();
}

#[test]
fn the_stream_tells_what_was_and_what_comes_also_after_a_restart() {
    let home = home();
    let (mut server, addr) = watched(home.path());
    let mut alice = Player::join(&server, "alice");
    let mut stream = Stream::open(addr);
    stream.until("login-ok", |event| event["user"] == "alice");
    let bob = Player::join(&server, "bob");
    stream.until("login-ok", |event| event["user"] == "bob");
    alice.heard.forget();
    server.kill();
    alice.link("down");
    assert!(stream.ends());
    let addr = {
        let (again, addr) = watched_on(&server);
        server = again;
        addr
    };
    alice.live();
    let mut stream = Stream::open(addr);
    stream.until("login-ok", |event| event["user"] == "alice");
    stream.until("server-started", |event| event["last_run"] == "failed");
    stream.until("outage", |event| event["user"] == "alice" && event["cause"] == "restart");
    let now: Value = serde_json::from_str(&get(addr, "/api/now").1).unwrap();
    assert_eq!((&now["ready"], &now["boot"]), (&true.into(), &2.into()));
    let users: Vec<&str> =
        now["sessions"].as_array().unwrap().iter().map(|row| row["user"].as_str().unwrap()).collect();
    assert_eq!(users.len(), 2, "{users:?}");
    bob.leave();
    alice.leave();
    server.stop();
}

#[test]
fn one_match_is_shown_with_its_boards_and_with_who_is_known_to_hold_what() {
    let home = home();
    let (mut server, addr) = watched(home.path());
    let mut pair = Pair::join(&server);
    pair.play(&X_WINS[..3]);
    let now: Value = serde_json::from_str(&get(addr, "/api/now").1).unwrap();
    let id = now["matches"][0]["match"].as_str().unwrap().to_owned();
    let look = || -> Value { serde_json::from_str(&get(addr, &format!("/api/match/{id}")).1).unwrap() };
    // A move may be with the opponent before it is with the server.
    let of = (0..1_000).map(|_look| look()).find(|of| of["kept"] == 3).expect("the server has them soon");
    assert_eq!(of["names"], serde_json::json!([pair.seats[0].name, pair.seats[1].name]));
    assert_eq!((&of["game"], &of["turn"]), (&"tictactoe".into(), &"O".into()));
    assert_eq!((&of["known"][0], &of["here"]), (&3.into(), &serde_json::json!([true, true])));
    // O has signed the second move; its receipt for the third may have gone to X alone.
    assert!(of["known"][1] == 2 || of["known"][1] == 3, "{of}");
    assert_eq!(of["start"], serde_json::json!(["...", "...", "..."]));
    assert_eq!(of["plays"][2]["board"], serde_json::json!(["XX.", "O..", "..."]));
    assert_eq!((&of["plays"][1]["seat"], &of["plays"][1]["cell"]), (&"O".into(), &serde_json::json!([2, 1])));
    pair.seats[1].kill();
    pair.seats[0].opponent("away");
    assert_eq!(look()["here"], serde_json::json!([true, false]));
    for (path, code) in [("/api/match/12", "400"), ("/api/match/00000000000000000000000000000000", "404")] {
        let (head, _) = get(addr, path);
        assert!(head.starts_with(&format!("HTTP/1.1 {code} ")), "{path}: {head}");
    }
    pair.seats[1].start_again();
    pair.seats[1].live();
    pair.leave();
    server.stop();
}

#[test]
fn a_match_that_is_over_is_shown_whole_and_after_a_restart_with_its_result() {
    let home = home();
    let (mut server, addr) = watched(home.path());
    let mut pair = Pair::join(&server);
    pair.play(&X_WINS);
    pair.x_has_won();
    let look = |addr| get(addr, &format!("/api/match/{}", pair.match_id));
    let filed = |_look| {
        let of: Value = serde_json::from_str(&look(addr).1).unwrap();
        (of["filed"] == true).then_some(of)
    };
    let of = (0..1_000).find_map(filed).expect("both have the verdict soon");
    assert_eq!((&of["verdict"]["winner"], &of["active"]), (&"X".into(), &false.into()));
    assert_eq!((&of["told"], of["plays"].as_array().unwrap().len()), (&serde_json::json!([true, true]), X_WINS.len()));
    assert_eq!(of["plays"][4]["board"], serde_json::json!(["XXX", "OO.", "..."]));
    server.stop();
    let (mut server, addr) = watched_on(&server);
    let (head, sentence) = look(addr);
    assert!(head.starts_with("HTTP/1.1 410 "), "{head}");
    let [x, o] = pair.seats.each_ref().map(|player| player.name.as_str());
    assert_eq!(
        sentence.trim_end(),
        format!(
            "{x} (X) against {o} (O): this match has ended, {x} has won (board). What was played is in the archive."
        )
    );
    pair.leave();
    server.stop();
}

/// The same server again, on its port, and where it is looked at then.
fn watched_on(server: &Server) -> (Server, SocketAddr) {
    let mut again = server.again_with(&["--ops", "127.0.0.1:0"]);
    let line = again.said("a page to look at: http://");
    let addr = line.split_once("http://").unwrap().1.trim_end_matches('/').parse().unwrap();
    (again, addr)
}

/// The stream of events, as a browser reads it.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /api/events HTTP/1.1\r\nHost: {addr}\r\n\r\n").unwrap();
        Self(BufReader::new(stream))
    }

    /// Waits for an event of that name that fits.
    fn until(&mut self, name: &str, fits: impl Fn(&Value) -> bool) {
        let mut line = String::new();
        let clock = HostClock::start();
        while self.0.read_line(&mut line).unwrap() > 0 {
            assert!(clock.now().since(Now(0)) < PATIENCE, "no {name} has come");
            let event: Option<Value> = line.strip_prefix("data: ").and_then(|json| serde_json::from_str(json).ok());
            if event.is_some_and(|event| event["event"] == name && fits(&event)) {
                return;
            }
            line.clear();
        }
        panic!("the stream has ended before {name}");
    }

    /// Whether it has ended.
    fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = self.0.read_to_end(&mut rest);
        true
    }
}
