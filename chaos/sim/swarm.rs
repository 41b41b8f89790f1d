//! A seed becomes a plan: which kinds of faults there are in this world, how many, and when.
//!
//! What must hold: a plan never breaks more than the promise covers. Of one match at most one keeper is lost for good,
//! and a player who lies counts as the one that is lost.
#![allow(clippy::wildcard_enum_match_arm, reason = "most kinds are drawn alike")]

use rejoin::store::faulty::Seeded;

use super::plan::{DiskModel, Fault, Focus, Host, Kind, Lie, Mode, Plan};

/// Faults in one world, at most.
const FAULTS_MAX: usize = 7;
/// For good.
pub(crate) const FOR_GOOD: u64 = u64::MAX;
/// Points of a match at which crash-point plans kill.
pub(crate) const CRASH_POINTS: u32 = 160;

/// The plan of a seed, for so many players: the usual one, or one with a focus.
pub(crate) fn plan(seed: u64, players: u8, focus: Option<Focus>) -> Plan {
    let mut draw = Draw(Seeded(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ u64::from(players)));
    let mode = match draw.below(100) {
        0..=54 => Mode::Safety,
        55..=69 => Mode::Liveness,
        70..=81 => Mode::CrashPoint,
        82..=88 => Mode::Upgrade,
        _ => Mode::Clock,
    };
    let kinds = if focus.is_some() { [USUAL, RARE].concat() } else { USUAL.to_vec() };
    let focus = focus.map_or(Focus::Broad, |focus| {
        let drawn = draw.focus();
        if focus == Focus::Any { drawn } else { focus }
    });
    let slow = draw.one_in(5);
    let game = if draw.one_in(6) { "connect4" } else { "tictactoe" };
    let mut plan = Plan {
        seed,
        mode,
        focus,
        players,
        matches: 1 + u8::from(game == "tictactoe" && draw.one_in(3)),
        game: game.to_owned(),
        think_ms: draw.pick(&[20, 60, 150, 300]),
        latency_ms: if slow { (20, 120) } else { (1, 1 + draw.below(25)) },
        direct: !draw.one_in(8),
        whims: if draw.one_in(3) { 4 } else { 0 },
        segment_bytes: draw.pick(&[600, 2_000, 16 << 20]),
        disk: if draw.one_in(4) { DiskModel::Turmoil } else { DiskModel::Faulty },
        heal_at_ms: 2_000 + draw.below(5_000),
        faults: Vec::new(),
    };
    plan.faults = match (focus, mode) {
        (Focus::Broad, Mode::CrashPoint) => vec![crash_point(&mut draw, &plan)],
        (Focus::Broad, Mode::Safety | Mode::Liveness | Mode::Upgrade | Mode::Clock) => swarm(&mut draw, &plan, &kinds),
        (_, _) => focused(&mut draw, &mut plan),
    };
    plan.faults.sort_by_key(|fault| fault.at_ms);
    plan
}

/// Worlds that do more of one thing.
fn focused(draw: &mut Draw, plan: &mut Plan) -> Vec<Fault> {
    plan.mode = Mode::Safety;
    plan.heal_at_ms = 4_000 + draw.below(4_000);
    match plan.focus {
        Focus::Broad | Focus::Any => Vec::new(),
        Focus::Seats => seats(draw, plan),
        Focus::Recovery => recovery(draw, plan),
        Focus::Disks => {
            (plan.matches, plan.segment_bytes) = (1 + draw.few(4), draw.pick(&[600, 1_200]));
            (plan.game, plan.think_ms) = ("tictactoe".to_owned(), draw.pick(&[20, 60]));
            some_of(draw, plan, DISKS)
        }
        Focus::Keepers => keepers(draw, plan),
        Focus::Links => some_of(draw, plan, LINKS),
        Focus::Liars => {
            let player = draw.player(plan);
            let lie =
                draw.pick(&[Lie::Equivocate, Lie::Equivocate, Lie::Withhold, Lie::Replay, Lie::Forge, Lie::Stale]);
            let at_ms = 500 + draw.below(1_500);
            let mut faults = vec![Fault { at_ms, for_ms: FOR_GOOD, kind: Kind::Liar { player, lie } }];
            if lie == Lie::Stale || draw.one_in(4) {
                let kind = Kind::LeaveDevice { player };
                faults.push(Fault { at_ms: at_ms + 100 + draw.below(800), for_ms: 3_000, kind });
            }
            faults.extend(some_of(draw, plan, LIARS));
            faults
        }
        Focus::Whims => {
            (plan.whims, plan.matches) = (draw.pick(&[10, 25, 40]), 1 + draw.few(3));
            (plan.game, plan.think_ms) = ("tictactoe".to_owned(), draw.pick(&[60, 150]));
            some_of(draw, plan, WHIMS)
        }
    }
}

/// A few faults of some kinds.
fn some_of(draw: &mut Draw, plan: &Plan, kinds: &[Make]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut lost = Lost::default();
    for _ in 0..1 + draw.below(5) {
        let which = usize::try_from(draw.below(kinds.len() as u64)).expect("a small number");
        let kind = kinds[which](draw, plan);
        if lost.allows(&kind, plan) {
            let at_ms = 200 + draw.below(plan.heal_at_ms - 300);
            faults.push(Fault { at_ms, for_ms: length(draw, &kind), kind });
        }
    }
    faults
}

/// A player leaves a device in mid-match, which plays on; news between the server and the other one are slow, or come late.
fn seats(draw: &mut Draw, plan: &mut Plan) -> Vec<Fault> {
    (plan.game, plan.think_ms) = (draw.pick(&["tictactoe", "connect4"]).to_owned(), draw.pick(&[20, 60, 150]));
    plan.direct = true;
    let player = draw.player(plan);
    let other = Host::Player(player ^ 1);
    let at_ms = 600 + draw.below(1_500);
    let mut faults = vec![Fault { at_ms, for_ms: 1_500 + draw.below(4_000), kind: Kind::LeaveDevice { player } }];
    if draw.one_in(2) {
        // What the two have played without the server comes to it only now.
        let for_ms = 300 + draw.below(1_500);
        let at_ms = (at_ms + draw.below(400)).saturating_sub(300);
        faults.push(Fault { at_ms, for_ms, kind: Kind::Partition { one: other, other: Host::Server } });
    }
    if draw.one_in(2) {
        let kind = Kind::SlowLink { one: other, other: Host::Server, ms: draw.pick(&[80, 250, 400]) };
        faults.push(Fault { at_ms: at_ms + 500, for_ms: 4_000, kind });
    }
    if draw.one_in(2) {
        let kind = Kind::SlowSync { host: Host::Server, ms: draw.pick(&[20, 150, 600]) };
        faults.push(Fault { at_ms: at_ms + 200, for_ms: 4_000, kind });
    }
    if draw.one_in(3) {
        let at_ms = at_ms + 1_500 + draw.below(2_000);
        faults.push(Fault { at_ms, for_ms: 1_000 + draw.below(1_500), kind: Kind::ReturnDevice { player } });
    }
    faults.extend(some_of(draw, plan, SEATS).into_iter().take(1));
    faults.retain(|fault| fault.at_ms + 100 < plan.heal_at_ms);
    faults
}

/// Several times what a player has played last is with one other keeper alone, or gone from its own disk.
fn keepers(draw: &mut Draw, plan: &mut Plan) -> Vec<Fault> {
    (plan.game, plan.think_ms) = ("connect4".to_owned(), draw.pick(&[20, 60, 150]));
    let mut faults = Vec::new();
    for _ in 0..1 + draw.below(2) {
        let player = draw.player(plan);
        let kind = if draw.one_in(2) { Kind::HeardByOne { player } } else { Kind::LostEnd { player } };
        let at_ms = 500 + draw.below(2_500);
        faults.push(Fault { at_ms, for_ms: draw.pick(&[400, 900, 2_500]) + draw.below(300), kind });
    }
    faults.extend(some_of(draw, plan, KEEPERS).into_iter().take(1));
    faults
}

/// A player changes devices, and the server comes back from a copy that is older than that, while what the player has done
/// last is known to the new device alone. In half of the worlds who plays at the device that was left is kept from the
/// server until the end: with the session that the copy knows it would keep the new one from logging in.
fn recovery(draw: &mut Draw, plan: &mut Plan) -> Vec<Fault> {
    if draw.one_in(2) {
        return older_copy(draw, plan);
    }
    (plan.game, plan.think_ms) = ("connect4".to_owned(), draw.pick(&[20, 60, 150]));
    plan.heal_at_ms = 7_000 + draw.below(3_000);
    // A password that is newer than the copy lets nobody in.
    plan.whims = 0;
    let player = draw.player(plan);
    let other = Host::Player(player ^ 1);
    let leaves_at = 700 + draw.below(1_000);
    let wiped_at = leaves_at + 1_600 + draw.below(1_500);
    let mut faults = vec![
        Fault { at_ms: leaves_at, for_ms: plan.heal_at_ms - leaves_at - 1, kind: Kind::LeaveDevice { player } },
        Fault { at_ms: wiped_at, for_ms: 20 + draw.below(300), kind: Kind::WipeServer },
    ];
    let hidden = Fault {
        at_ms: wiped_at - draw.below(600),
        for_ms: draw.pick(&[300, 900, 1_500, 2_500]),
        kind: Kind::Partition { one: other, other: Host::Server },
    };
    if !draw.one_in(4) {
        faults.push(hidden);
        faults.push(Fault { kind: Kind::PlayersApart, ..hidden });
    }
    faults
}

/// The same, with a copy of the running match, and who plays at the device that was left reaches the server before the new
/// one does, with the session that the copy knows. (It was left before it could win: a server that has lost state settles
/// what is decided.)
fn older_copy(draw: &mut Draw, plan: &mut Plan) -> Vec<Fault> {
    (plan.game, plan.think_ms, plan.whims) = ("connect4".to_owned(), 300, 0);
    (plan.latency_ms, plan.direct) = ((1, 1 + draw.below(25)), true);
    let player = draw.player(plan);
    let other = Host::Player(player ^ 1);
    let leaves_at = 700 + draw.below(500);
    let wiped_at = leaves_at + 2_000 + draw.below(1_500);
    let down_ms = 20 + draw.below(300);
    plan.heal_at_ms = wiped_at + down_ms + 2_500 + draw.below(2_500);
    let hidden_at = wiped_at - draw.below(600);
    let back_at = |draw: &mut Draw| wiped_at + down_ms + draw.pick(&[0, 100, 400, 1_200]) + draw.below(100);
    let to_server = |of: Host| Kind::Partition { one: of, other: Host::Server };
    let heals_at = plan.heal_at_ms;
    let fault = |at_ms: u64, until_ms: u64, kind: Kind| Fault { at_ms, for_ms: until_ms - at_ms, kind };
    let mut faults = vec![
        fault(leaves_at - draw.below(150), heals_at, Kind::CopyServer),
        fault(leaves_at, wiped_at + draw.below(500), Kind::LeaveDevice { player }),
        fault(hidden_at, back_at(draw), to_server(other)),
        fault(hidden_at, heals_at - 1, Kind::PlayersApart),
        fault(wiped_at, wiped_at + down_ms, Kind::WipeServer),
        // A little late: what is on its way to the server that is about to go has come.
        fault(wiped_at + 5, heals_at - 1, to_server(Host::Player(player))),
    ];
    if draw.one_in(2) {
        // It does not hear from the opponent either that the seat is moved.
        let kind = Kind::Partition { one: Host::Left(player), other };
        faults.push(fault(leaves_at + 1, heals_at - 1, kind));
    }
    faults
}

fn crash_point(draw: &mut Draw, plan: &Plan) -> Fault {
    let host = draw.host(plan);
    let after = 1 + u32::try_from(draw.below(u64::from(CRASH_POINTS))).expect("a small number");
    let kind = if draw.one_in(3) { Kind::AtSend { host, after } } else { Kind::AtDisk { host, after } };
    Fault { at_ms: 0, for_ms: 100 + draw.below(1_500), kind }
}

fn swarm(draw: &mut Draw, plan: &Plan, all: &[Make]) -> Vec<Fault> {
    // Each world has some kinds only: what always comes together hides what it does alone.
    let mut kinds: Vec<usize> = (0..all.len()).filter(|_| draw.one_in(4)).collect();
    if plan.mode == Mode::Clock {
        kinds.retain(|_| draw.one_in(2));
        kinds.extend([CLOCK_JUMP, CLOCK_DRIFT]);
    }
    if kinds.is_empty() {
        kinds.push(usize::try_from(draw.below(all.len() as u64)).expect("a small number"));
    }
    let count = 1 + usize::try_from(draw.below(FAULTS_MAX as u64)).expect("a small number");
    let mut faults = Vec::new();
    let mut lost = Lost::default();
    for _ in 0..count {
        let which = kinds[usize::try_from(draw.below(kinds.len() as u64)).expect("a small number")];
        let kind = all[which](draw, plan);
        if !lost.allows(&kind, plan) {
            continue;
        }
        let at_ms = 200 + draw.below(plan.heal_at_ms - 300);
        let for_ms = length(draw, &kind);
        faults.push(Fault { at_ms, for_ms, kind });
    }
    if plan.mode == Mode::Liveness {
        faults.push(for_good(draw, plan));
    }
    faults
}

/// What stays broken in a liveness world: a core can still play.
fn for_good(draw: &mut Draw, plan: &Plan) -> Fault {
    let kind = match draw.below(4) {
        0 => Kind::PlayersApart,
        1 => Kind::ServerAlone,
        2 => Kind::Kill { host: Host::Server },
        _ => Kind::Partition { one: Host::Player(0), other: Host::Player(1) },
    };
    // Nobody can be introduced to anybody before there is a match.
    Fault { at_ms: plan.heal_at_ms - draw.below(plan.heal_at_ms / 3), for_ms: FOR_GOOD, kind }
}

/// Losses so far, by pair.
#[derive(Default)]
struct Lost {
    server: bool,
    pairs: Vec<u8>,
}

impl Lost {
    fn allows(&mut self, kind: &Kind, plan: &Plan) -> bool {
        let pair = match kind {
            Kind::WipeServer => {
                let fine = !self.server && self.pairs.is_empty();
                self.server |= fine;
                return fine;
            }
            Kind::WipePlayer { player }
            | Kind::TakeDevice { player }
            | Kind::LeaveDevice { player }
            | Kind::LostEnd { player }
            | Kind::Liar { player, .. } => player / 2,
            Kind::Rot { host: Host::Player(player) } => player / 2,
            // The server's files come back from a copy, of which only accounts are sure to be in an upgrade.
            Kind::Rot { host: Host::Server } => return plan.mode != Mode::Upgrade,
            _ => return true,
        };
        let fine = !self.server && !self.pairs.contains(&pair);
        if fine {
            self.pairs.push(pair);
        }
        fine
    }
}

fn length(draw: &mut Draw, kind: &Kind) -> u64 {
    match kind {
        Kind::Pause { .. } | Kind::Hold { .. } => draw.pick(&[50, 400, 1_500, 4_000]),
        Kind::Flap { .. } | Kind::RestartLoop { .. } | Kind::Swizzle => 300 + draw.below(2_000),
        _ => draw.pick(&[20, 100, 300, 1_000, 2_500]) + draw.below(200),
    }
}

type Make = fn(&mut Draw, &Plan) -> Kind;

/// How each kind is drawn.
const USUAL: &[Make] = &[
    |draw, plan| Kind::ClockJump {
        host: draw.host(plan),
        seconds: draw.pick(&[-86_400, -90, -1, 2, 3_600, 40_000_000]),
    },
    |draw, plan| Kind::ClockDrift { host: draw.host(plan), permille: draw.pick(&[-200, -20, 5, 50, 250]) },
    |draw, plan| Kind::Kill { host: draw.host(plan) },
    |draw, plan| Kind::PowerCut { host: draw.host(plan) },
    |_, _| Kind::PowerCut { host: Host::Server },
    |draw, plan| Kind::Silence { host: draw.host(plan) },
    |draw, plan| Kind::AtDisk { host: draw.host(plan), after: 1 + draw.small(40) },
    |draw, plan| Kind::AtSend { host: draw.host(plan), after: 1 + draw.small(30) },
    |draw, plan| Kind::RestartLoop { host: draw.host(plan), times: 2 + draw.few(4) },
    |draw, plan| Kind::Pause { host: draw.host(plan) },
    |draw, plan| {
        let (one, other) = draw.two(plan);
        Kind::Partition { one, other }
    },
    |draw, plan| {
        let (from, to) = draw.two(plan);
        Kind::OneWay { from, to }
    },
    |_, _| Kind::PlayersApart,
    |_, _| Kind::ServerAlone,
    |_, _| Kind::Swizzle,
    |draw, plan| {
        let (one, other) = draw.two(plan);
        Kind::Hold { one, other }
    },
    |draw, _| Kind::LatencyStorm { ms: draw.pick(&[100, 300, 900]) },
    |draw, _| Kind::Loss { permille: draw.pick(&[5, 30, 150]) },
    |draw, plan| {
        let (one, other) = draw.two(plan);
        Kind::SlowLink { one, other, ms: draw.pick(&[80, 250, 700]) }
    },
    |draw, plan| {
        let (one, other) = draw.two(plan);
        Kind::BadByte { one, other }
    },
    |draw, plan| Kind::DiskError { host: draw.host(plan) },
    |draw, plan| Kind::DiskFull { host: draw.host(plan), bytes: draw.small(3_000) },
    |draw, plan| Kind::SlowSync { host: draw.host(plan), ms: draw.pick(&[20, 150, 600]) },
    |draw, plan| Kind::Rot { host: draw.host(plan) },
    |draw, plan| Kind::WipePlayer { player: draw.player(plan) },
    |_, _| Kind::WipeServer,
    |draw, _| Kind::LoginStorm { others: 3 + draw.few(6) },
    |draw, plan| Kind::TakeDevice { player: draw.player(plan) },
    |_, _| Kind::PlannedRestart,
    |draw, _| Kind::TwiceDown { after: 1 + draw.small(25) },
    |draw, _| Kind::Flap { times: 2 + draw.few(6) },
    |draw, plan| Kind::NewAddress { player: draw.player(plan) },
    |draw, plan| Kind::Liar { player: draw.player(plan), lie: Lie::Equivocate },
    |draw, plan| Kind::Liar { player: draw.player(plan), lie: draw.pick(&[Lie::Withhold, Lie::Replay, Lie::Forge]) },
];
/// What is in the worlds with a focus too.
const RARE: &[Make] = &[
    |draw, plan| Kind::LeaveDevice { player: draw.player(plan) },
    |draw, plan| Kind::ReplayResume { player: draw.player(plan) },
    |draw, plan| Kind::CutShort { player: draw.player(plan), ms: draw.pick(&[1, 30, 200]) },
    |draw, plan| Kind::Liar { player: draw.player(plan), lie: Lie::Stale },
];
const DISKS: &[Make] = &[
    |draw, plan| Kind::PowerCut { host: draw.host(plan) },
    |_, _| Kind::PowerCut { host: Host::Server },
    |_, _| Kind::PowerCut { host: Host::Server },
    |draw, plan| Kind::Kill { host: draw.host(plan) },
    |draw, plan| Kind::AtDisk { host: draw.host(plan), after: 1 + draw.small(60) },
    |_, _| Kind::PlannedRestart,
    |draw, _| Kind::TwiceDown { after: 1 + draw.small(25) },
    |draw, plan| Kind::DiskError { host: draw.host(plan) },
    |draw, plan| Kind::Rot { host: draw.host(plan) },
];
const KEEPERS: &[Make] = &[
    |draw, plan| Kind::Kill { host: draw.host(plan) },
    |_, _| Kind::PowerCut { host: Host::Server },
    |_, _| Kind::PlayersApart,
    |_, _| Kind::ServerAlone,
    |draw, _| Kind::LatencyStorm { ms: draw.pick(&[100, 300]) },
];
const LINKS: &[Make] = &[
    |draw, plan| Kind::CutShort { player: draw.player(plan), ms: draw.pick(&[1, 5, 30, 200]) },
    |draw, plan| Kind::ReplayResume { player: draw.player(plan) },
    |draw, plan| {
        let (one, other) = draw.two(plan);
        Kind::Partition { one, other }
    },
    |draw, plan| {
        let (from, to) = draw.two(plan);
        Kind::OneWay { from, to }
    },
    |draw, plan| Kind::Silence { host: draw.host(plan) },
    |draw, plan| Kind::Pause { host: draw.host(plan) },
    |_, _| Kind::PlayersApart,
    |_, _| Kind::ServerAlone,
    |_, _| Kind::Swizzle,
    |draw, plan| Kind::RestartLoop { host: draw.host(plan), times: 2 + draw.few(4) },
    |draw, plan| Kind::NewAddress { player: draw.player(plan) },
];
const LIARS: &[Make] = &[
    |draw, plan| Kind::Kill { host: draw.host(plan) },
    |draw, plan| {
        let (one, other) = draw.two(plan);
        Kind::Partition { one, other }
    },
    |_, _| Kind::PlayersApart,
    |_, _| Kind::ServerAlone,
    |_, _| Kind::PowerCut { host: Host::Server },
];
const WHIMS: &[Make] = &[
    |draw, plan| Kind::Kill { host: draw.host(plan) },
    |draw, plan| Kind::PowerCut { host: draw.host(plan) },
    |draw, plan| Kind::AtSend { host: draw.host(plan), after: 1 + draw.small(30) },
    |_, _| Kind::PlannedRestart,
    |_, _| Kind::ServerAlone,
    |draw, _| Kind::LatencyStorm { ms: draw.pick(&[100, 300]) },
];
const SEATS: &[Make] = &[
    |draw, plan| Kind::Kill { host: draw.host(plan) },
    |draw, plan| {
        let (one, other) = draw.two(plan);
        Kind::Partition { one, other }
    },
    |draw, _| Kind::LatencyStorm { ms: draw.pick(&[100, 300]) },
    |_, _| Kind::PowerCut { host: Host::Server },
];
const CLOCK_JUMP: usize = 0;
const CLOCK_DRIFT: usize = 1;

struct Draw(Seeded);

impl Draw {
    fn below(&mut self, below: u64) -> u64 {
        self.0.next() % below.max(1)
    }

    fn small(&mut self, below: u32) -> u32 {
        u32::try_from(self.below(u64::from(below))).expect("it is below")
    }

    fn few(&mut self, below: u8) -> u8 {
        u8::try_from(self.below(u64::from(below))).expect("it is below")
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.0.up_to(some.len() - 1)]
    }

    fn focus(&mut self) -> Focus {
        match self.below(100) {
            0..=45 => Focus::Broad,
            46..=51 => Focus::Keepers,
            52..=59 => Focus::Seats,
            60..=67 => Focus::Recovery,
            68..=75 => Focus::Disks,
            76..=83 => Focus::Links,
            84..=91 => Focus::Liars,
            _ => Focus::Whims,
        }
    }

    fn player(&mut self, plan: &Plan) -> u8 {
        self.few(plan.players)
    }

    /// Often the server: all depends on it.
    fn host(&mut self, plan: &Plan) -> Host {
        if self.one_in(2) { Host::Server } else { Host::Player(self.player(plan)) }
    }

    /// Two that talk to each other.
    fn two(&mut self, plan: &Plan) -> (Host, Host) {
        let player = self.player(plan);
        let other = if self.one_in(2) { Host::Server } else { Host::Player(player ^ 1) };
        let pair = (Host::Player(player), other);
        if self.one_in(2) { pair } else { (pair.1, pair.0) }
    }
}
