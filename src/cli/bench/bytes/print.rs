//! The bytes of a match as a table.

use super::{Flow, Handshake, Part, Report, Sum};
use crate::cli::bench::machine::Loopback;

/// The old system's match from the invitation to two seconds after the end, with TCP/IP headers.
const OLD_BYTES: [(&str, usize); 3] =
    [("invitation to board", 23_599), ("moves to verdict", 1_101), ("all, and 2 s more", 24_908)];

pub(super) fn print(report: &Report) {
    let Report { machine, matches, with_server, with_opponent, connect, rounds, idle_seconds, idle } = report;
    println!("{machine}");
    println!("{matches} matches of five moves, tictactoe; a server and two clients, direct path, loopback");
    for (with, handshake) in [("the server", with_server), ("the opponent", with_opponent)] {
        let Handshake { group, dialing, dialed } = handshake;
        let (out, back, all) = (dialing.1, dialed.1, handshake.bytes());
        println!("one handshake with {with:12} {out:6} out  {back:6} back  {all:6} bytes ({group})");
    }
    println!("\nbytes of TLS records, median of the matches (least to most)");
    println!(
        "                       messages              probes        handshakes               all   with headers (packets)"
    );
    let all = |parts: &[Part; 3]| parts[0].clone().and(&parts[1]).and(&parts[2]);
    let to_verdict = |parts: &[Part; 3]| parts[0].clone().and(&parts[1]);
    print_line("invitation to board", &rounds.iter().map(|parts| parts[0].clone()).collect::<Vec<_>>());
    print_line("moves to verdict", &rounds.iter().map(|parts| parts[1].clone()).collect::<Vec<_>>());
    print_line("invitation to verdict", &rounds.iter().map(to_verdict).collect::<Vec<_>>());
    print_line("all, and 2 s more", &rounds.iter().map(all).collect::<Vec<_>>());
    print_line("two clients log in", std::slice::from_ref(connect));
    println!("headers are those of TCP/IP, and of all that went over the loopback interface meanwhile");
    for (what, bytes) in OLD_BYTES {
        println!("the old system: {what:21} {bytes:6} bytes with headers");
    }
    let Some(whole) = rounds.iter().map(to_verdict).reduce(|one, two| one.and(&two)) else { return };
    print_flows("invitation to verdict, mean of a match", &whole, |bytes| mean(bytes, *matches));
    print_kinds(&whole, *matches);
    let seconds = usize::try_from(*idle_seconds).unwrap_or(usize::MAX);
    let what = format!("a minute of waiting in a match, from {seconds} s");
    print_flows(&what, idle, |bytes| mean(bytes * 60, seconds));
    if let Some(Loopback { bytes, packets }) = idle.loopback {
        let per_minute = |count: u64| count * 60 / (*idle_seconds).max(1);
        println!("with headers: {} bytes in {} packets a minute", per_minute(bytes), per_minute(packets));
    }
}

fn print_line(what: &str, parts: &[Part]) {
    let column = |of: fn(&Part) -> usize| {
        let mut all: Vec<usize> = parts.iter().map(of).collect();
        all.sort_unstable();
        let median = all.get(all.len() / 2).copied().unwrap_or_default();
        let (least, most) = (all.first().copied().unwrap_or_default(), all.last().copied().unwrap_or_default());
        format!("{median:6} ({least}-{most})")
    };
    let headers =
        column(|part| part.loopback.map_or(0, |loopback| usize::try_from(loopback.bytes).unwrap_or(usize::MAX)));
    let packets =
        column(|part| part.loopback.map_or(0, |loopback| usize::try_from(loopback.packets).unwrap_or(usize::MAX)));
    println!(
        "{what:22} {:>18} {:>18} {:>18} {:>18}   {headers} in {packets}",
        column(|part| part.sum().messages),
        column(|part| part.sum().probes),
        column(|part| part.sum().handshakes),
        column(|part| part.sum().all()),
    );
}

fn print_flows(what: &str, part: &Part, share: impl Fn(usize) -> f64) {
    println!("\n{what}:");
    println!("                 messages    probes  handshakes       all");
    let line = |name: &str, sum: Sum| {
        let Sum { messages, probes, handshakes } = sum;
        let [messages, probes, handshakes, all] = [messages, probes, handshakes, sum.all()].map(&share);
        println!("{name:14} {messages:10.0} {probes:9.0} {handshakes:11.0} {all:9.0}");
    };
    for (flow, sum) in &part.flows {
        let name = match flow {
            Flow::XToServer => "X to server",
            Flow::ServerToX => "server to X",
            Flow::OToServer => "O to server",
            Flow::ServerToO => "server to O",
            Flow::XToO => "X to O",
            Flow::OToX => "O to X",
        };
        line(name, *sum);
    }
    line("all", part.sum());
    let (records, conns) = (share(part.records), share(part.peer_conns));
    println!(
        "{records:.1} TLS records of 22 bytes besides their content; {conns:.1} connections dialled between the players"
    );
}

fn print_kinds(whole: &Part, matches: usize) {
    println!("\nframes without TLS, by kind, mean of a match:");
    println!("                         count     bytes");
    let mut kinds: Vec<_> = whole.kinds.iter().collect();
    kinds.sort_by_key(|(_, (_, bytes))| std::cmp::Reverse(*bytes));
    for (kind, (count, bytes)) in kinds {
        println!("{kind:22} {:7.1} {:9.0}", mean(*count, matches), mean(*bytes, matches));
    }
}

#[allow(clippy::cast_precision_loss, reason = "far fewer than 2^52 bytes")]
fn mean(sum: usize, of: usize) -> f64 {
    sum as f64 / of.max(1) as f64
}
