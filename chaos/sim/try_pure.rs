//! Runs many worlds of the pure lane from plans of a small generator: `cargo test --test chaos -- --pure SEED COUNT`.

use std::time::{Duration, Instant};

use rejoin::store::faulty::Seeded;

use super::outcome::Coverage;
use super::plan::{DiskModel, Fault, Host, Kind, Lie, Mode, Plan};
use super::pure;

/// The arguments: `--pure SEED COUNT`, or `--pure SEED trace`.
#[allow(clippy::disallowed_methods, reason = "it measures")]
pub(crate) fn main() {
    let args: Vec<String> = std::env::args().collect();
    let Some(at) = args.iter().position(|arg| arg == "--pure") else { return };
    let seed: u64 = args.get(at + 1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    if args.get(at + 2).is_some_and(|word| word == "trace") {
        let plan = plan(seed, args.get(at + 3).map(String::as_str));
        println!("{plan:?}");
        let outcome = pure::run(&plan, true);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        println!("{:?} hash {:x} {} ms", outcome.violations, outcome.hash, outcome.simulated_ms);
        return;
    }
    let count: u64 = args.get(at + 2).and_then(|count| count.parse().ok()).unwrap_or(100);
    let only = args.get(at + 3).map(String::as_str);
    let (mut coverage, mut simulated, mut bad, mut slow) = (Coverage::default(), 0, 0_u64, (Duration::ZERO, 0));
    let began = Instant::now();
    for seed in seed..seed + count {
        let plan = plan(seed, only);
        let started = Instant::now();
        let outcome = pure::run(&plan, false);
        slow = slow.max((started.elapsed(), seed));
        simulated += outcome.simulated_ms;
        for violation in &outcome.violations {
            println!("seed {seed}: {} {}", violation.invariant, violation.why);
        }
        if !outcome.violations.is_empty() {
            bad += 1;
            println!("  {}", serde_json::to_string(&plan).unwrap());
        }
        if seed.is_multiple_of(50) && pure::run(&plan, false).hash != outcome.hash {
            println!("seed {seed}: NONDETERMINISTIC");
        }
        coverage.add(outcome.coverage);
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "{count} worlds in {took:.2} s, {:.3} ms each, {:.0} simulated s a second, {bad} with violations, slowest {slow:?}",
        took * 1000.0 / count as f64,
        simulated as f64 / 1000.0 / took
    );
    println!("faults: {:?}", coverage.faults);
    println!("sometimes: {:?}", coverage.sometimes);
    let missed: Vec<_> =
        pure::SOMETIMES.iter().filter(|what| coverage.sometimes.get(*what).is_none_or(|met| *met == 0)).collect();
    println!("never met: {missed:?}");
    let unknown: Vec<_> = coverage.sometimes.keys().filter(|what| !pure::SOMETIMES.contains(what)).collect();
    println!("met without a name: {unknown:?}");
    println!("exercised: {:?}", coverage.exercised);
}

/// A plan; `only` one kind of fault, if it is named.
pub(crate) fn plan(seed: u64, only: Option<&str>) -> Plan {
    let mut random = Seeded(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut draw = |from: u64, to: u64| from + random.next() % (to - from + 1);
    let mode = [Mode::Safety, Mode::Safety, Mode::Safety, Mode::Liveness, Mode::CrashPoint, Mode::Upgrade, Mode::Clock]
        [usize::try_from(draw(0, 6)).unwrap()];
    let mode = if only.is_some() { Mode::Safety } else { mode };
    let players = if draw(0, 9) == 0 { 4 } else { 2 };
    let heal_at_ms = draw(1_200, 3_000);
    let count = if mode == Mode::CrashPoint { 1 } else { draw(1, 5) };
    let mut faults = Vec::new();
    while faults.len() < usize::try_from(count).unwrap() {
        let at_ms = draw(50, heal_at_ms - 200);
        let mut for_ms = draw(20, 1_200);
        let kind = match mode {
            Mode::CrashPoint if draw(0, 1) == 0 => {
                Kind::AtDisk { host: host(draw(0, 2)), after: u32::try_from(draw(1, 60)).unwrap() }
            }
            Mode::CrashPoint => Kind::AtSend { host: host(draw(0, 2)), after: u32::try_from(draw(1, 40)).unwrap() },
            Mode::Clock if draw(0, 1) == 0 => kind(28 + draw(0, 1), &mut draw),
            Mode::Safety | Mode::Liveness | Mode::Upgrade | Mode::Clock => kind(draw(0, 43), &mut draw),
        };
        let endless = matches!(
            kind,
            Kind::Kill { host: Host::Server } | Kind::Partition { .. } | Kind::PlayersApart | Kind::ServerAlone
        );
        if mode == Mode::Liveness && endless {
            for_ms = u64::MAX;
        }
        if only.is_none_or(|only| only == kind.name()) {
            faults.push(Fault { at_ms, for_ms, kind });
        }
    }
    faults.sort_by_key(|fault| fault.at_ms);
    Plan {
        seed,
        mode,
        players,
        matches: u8::try_from(draw(1, 2)).unwrap(),
        game: if draw(0, 11) == 0 { "connect4" } else { "tictactoe" }.to_owned(),
        think_ms: [20, 60, 250][usize::try_from(draw(0, 2)).unwrap()],
        latency_ms: [(0, 1), (1, 5), (2, 30)][usize::try_from(draw(0, 2)).unwrap()],
        direct: draw(0, 3) > 0,
        whims: u8::try_from([0, 0, 3, 10][usize::try_from(draw(0, 3)).unwrap()]).unwrap(),
        segment_bytes: [16 << 20, 1_000, 3_000][usize::try_from(draw(0, 2)).unwrap()],
        disk: DiskModel::Faulty,
        heal_at_ms,
        faults,
    }
}

fn host(drawn: u64) -> Host {
    if drawn == 0 { Host::Server } else { Host::Player(u8::try_from(drawn - 1).unwrap()) }
}

fn kind(which: u64, draw: &mut impl FnMut(u64, u64) -> u64) -> Kind {
    let (one, player) = (host(draw(0, 2)), u8::try_from(draw(0, 1)).unwrap());
    let (from, to) = [(0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1)][usize::try_from(draw(0, 5)).unwrap()];
    let (from, to) = (host(from), host(to));
    let small = |number: u64| u32::try_from(number).unwrap();
    match which {
        0 | 1 => Kind::Kill { host: one },
        2 | 3 => Kind::PowerCut { host: one },
        4 => Kind::Silence { host: one },
        5..=7 => Kind::AtDisk { host: one, after: small(draw(1, 30)) },
        8 | 9 => Kind::AtSend { host: one, after: small(draw(1, 20)) },
        10 => Kind::RestartLoop { host: one, times: u8::try_from(draw(2, 5)).unwrap() },
        11 | 12 => Kind::Pause { host: one },
        13 => Kind::Partition { one: from, other: to },
        14 => Kind::OneWay { from, to },
        15 => Kind::PlayersApart,
        16 => Kind::ServerAlone,
        17 => Kind::Swizzle,
        18 => Kind::Hold { one: from, other: to },
        19 => Kind::LatencyStorm { ms: u16::try_from(draw(20, 400)).unwrap() },
        20 => Kind::Loss { permille: u16::try_from(draw(5, 100)).unwrap() },
        21 => Kind::SlowLink { one: from, other: to, ms: u16::try_from(draw(20, 300)).unwrap() },
        22 => Kind::BadByte { one: from, other: to },
        23 => Kind::DiskError { host: one },
        24 => Kind::DiskFull { host: one, bytes: small(draw(0, 4_000)) },
        25 => Kind::SlowSync { host: one, ms: u16::try_from(draw(20, 400)).unwrap() },
        26 | 27 => Kind::Rot { host: one },
        28 => Kind::ClockJump { host: one, seconds: i32::try_from(draw(0, 200_000)).unwrap() - 100_000 },
        29 => Kind::ClockDrift { host: one, permille: i16::try_from(draw(0, 400)).unwrap() - 200 },
        30 => Kind::WipePlayer { player },
        31 | 32 => Kind::WipeServer,
        33 => Kind::LoginStorm { others: u8::try_from(draw(1, 4)).unwrap() },
        34 => Kind::TakeDevice { player },
        35 => Kind::PlannedRestart,
        36 | 37 => Kind::TwiceDown { after: small(draw(1, 12)) },
        38 => Kind::Flap { times: u8::try_from(draw(1, 5)).unwrap() },
        39 => Kind::NewAddress { player },
        40 => Kind::Liar { player, lie: Lie::Equivocate },
        41 => Kind::Liar { player, lie: Lie::Withhold },
        42 => Kind::Liar { player, lie: Lie::Replay },
        _ => Kind::Liar { player, lie: Lie::Forge },
    }
}
