//! The simulation: whole worlds from a seed, which break in every way there is a name for, heal, and are judged.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it tells what it finds")]

mod sim;

use std::time::Duration;

use rejoin::store::faulty::Seeded;
use sim::full;
use sim::outcome::{Coverage, Outcome};
use sim::plan::{DiskModel, Fault, Host, Kind, Mode, Plan};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `--full SEED COUNT [KIND] [--trace] [--players N]`
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(at) = args.iter().position(|arg| arg == "--full") else { return };
    let number = |at: usize, or: u64| args.get(at).and_then(|arg| arg.parse().ok()).unwrap_or(or);
    let (first, count) = (number(at + 1, 1), number(at + 2, 1));
    let word = |name: &str| args.iter().position(|arg| arg == name);
    let players = word("--players").map_or(2, |at| number(at + 1, 2) as u8);
    let kind = word("--kind").and_then(|at| args.get(at + 1)).map_or("", String::as_str);
    let trace = word("--trace").is_some();
    let (before, mut all, mut simulated, mut hashes) = (cpu(), Coverage::default(), 0, 0u64);
    let mut bad = 0;
    for seed in first..first + count {
        let mode = if word("--upgrade").is_some() { Mode::Upgrade } else { Mode::Safety };
        let disk = if word("--other-disk").is_some() { DiskModel::Turmoil } else { DiskModel::Faulty };
        let plan = Plan { mode, disk, ..plan(seed, players, kind) };
        let run = |plan: Plan| std::thread::spawn(move || full::run(&plan, trace));
        let again = word("--check").is_some().then(|| run(plan.clone()));
        let outcome: Outcome = run(plan).join().unwrap();
        if again.is_some_and(|again| again.join().unwrap().hash != outcome.hash) {
            println!("seed {seed}: NOT THE SAME TWICE");
            bad += 1;
        }
        outcome.trace.iter().for_each(|line| println!("{line}"));
        for violation in &outcome.violations {
            println!("seed {seed}: {}: {}", violation.invariant, violation.why);
        }
        bad += u64::from(!outcome.violations.is_empty());
        if count <= 40 {
            println!("seed {seed}: {} ms, hash {:016x}", outcome.simulated_ms, outcome.hash);
        }
        simulated += outcome.simulated_ms;
        hashes = hashes.rotate_left(7) ^ outcome.hash;
        all.add(outcome.coverage);
    }
    let took = (cpu() - before).as_secs_f64();
    println!("faults {:?}", all.faults);
    println!("sometimes {:#?}", all.sometimes);
    println!(
        "{count} worlds, {bad} bad, hash {hashes:016x}: {:.1} ms a world, {:.0} simulated s each, {:.0} simulated s/s",
        took * 1000.0 / count as f64,
        simulated as f64 / 1000.0 / count as f64,
        simulated as f64 / 1000.0 / took
    );
}

/// What this process has used of the processors.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn plan(seed: u64, players: u8, only: &str) -> Plan {
    let mut random = Seeded(seed);
    let mut faults: Vec<Fault> = (0..1 + random.up_to(4)).map(|_| fault(&mut random, players, only)).collect();
    faults.sort_by_key(|fault| fault.at_ms);
    Plan {
        seed,
        mode: Mode::Safety,
        players,
        matches: 2,
        game: ["tictactoe", "connect4"][random.up_to(1)].to_owned(),
        think_ms: 150,
        latency_ms: (1, 20),
        direct: random.up_to(3) > 0,
        whims: 3,
        segment_bytes: 700,
        disk: DiskModel::Faulty,
        heal_at_ms: 9_000,
        faults,
    }
}

fn fault(random: &mut Seeded, players: u8, only: &str) -> Fault {
    loop {
        let kind = kind(random, players);
        if kind.name().starts_with(only) {
            let at_ms = 300 + random.up_to(6000) as u64;
            return Fault { at_ms, for_ms: 100 + random.up_to(2500) as u64, kind };
        }
    }
}

fn kind(random: &mut Seeded, players: u8) -> Kind {
    let mut host = || {
        let number = random.up_to(usize::from(players));
        if number == 0 { Host::Server } else { Host::Player(number as u8 - 1) }
    };
    let (one, other) = (host(), host());
    let other = if one == other { if one == Host::Server { Host::Player(0) } else { Host::Server } } else { other };
    let (host, player) = (one, random.up_to(usize::from(players) - 1) as u8);
    let after = 1 + random.up_to(60) as u32;
    match random.up_to(34) {
        0 => Kind::Kill { host },
        1 => Kind::PowerCut { host },
        2 => Kind::Silence { host },
        3 => Kind::AtDisk { host, after },
        4 => Kind::AtSend { host, after },
        5 => Kind::RestartLoop { host, times: 3 },
        6 => Kind::Pause { host },
        7 => Kind::Partition { one, other },
        8 => Kind::OneWay { from: one, to: other },
        9 => Kind::PlayersApart,
        10 => Kind::ServerAlone,
        11 => Kind::Swizzle,
        12 => Kind::Hold { one, other },
        13 => Kind::LatencyStorm { ms: 300 },
        14 => Kind::Loss { permille: 20 },
        15 => Kind::SlowLink { one, other, ms: 150 },
        16 => Kind::BadByte { one, other },
        17 => Kind::DiskError { host },
        18 => Kind::DiskFull { host, bytes: 500 },
        19 => Kind::SlowSync { host, ms: 80 },
        20 => Kind::Rot { host },
        21 => Kind::ClockJump { host, seconds: -4000 },
        22 => Kind::ClockDrift { host, permille: 30 },
        23 => Kind::WipePlayer { player },
        24 => Kind::WipeServer,
        25 => Kind::LoginStorm { others: 8 },
        26 => Kind::TakeDevice { player },
        27 => Kind::PlannedRestart,
        28 => Kind::TwiceDown { after: 1 + after / 4 },
        29 => Kind::Flap { times: 4 },
        30 => Kind::NewAddress { player },
        31 => Kind::Liar { player, lie: sim::plan::Lie::Equivocate },
        32 => Kind::Liar { player, lie: sim::plan::Lie::Replay },
        33 => Kind::Liar { player, lie: sim::plan::Lie::Withhold },
        _ => Kind::Liar { player, lie: sim::plan::Lie::Forge },
    }
}
