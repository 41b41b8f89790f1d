//! One world, as options and a list of faults: all that a run depends on, beside the program itself.
//!
//! What must hold: a plan that is written down and read again is the same world. A seed expands to a plan by `swarm`; a
//! regression is a plan in a file, and survives changes of `swarm`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// All that a world is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// What the world draws its chances from.
    pub(crate) seed: u64,
    /// What it is about.
    pub(crate) mode: Mode,
    /// Where it looks most.
    #[serde(default)]
    pub(crate) focus: Focus,
    /// Players; an even number, each pair plays among itself.
    pub(crate) players: u8,
    /// Matches each pair plays.
    pub(crate) matches: u8,
    /// `tictactoe`, `connect4`, `gomoku`.
    pub(crate) game: String,
    /// How long a player thinks about a move, at most.
    pub(crate) think_ms: u64,
    /// How long a message travels, from and to.
    pub(crate) latency_ms: (u64, u64),
    /// Whether players can reach each other.
    pub(crate) direct: bool,
    /// Of 100 times that a player could move: how often something else is typed (`list`, `leave`, `end`, `passwd` …).
    pub(crate) whims: u8,
    /// Bytes after which the server begins another segment; small ones make snapshots.
    pub(crate) segment_bytes: u64,
    /// Which simulated disk the server has.
    pub(crate) disk: DiskModel,
    /// Faults strike until then; then all are healed, but those that are for good.
    pub(crate) heal_at_ms: u64,
    /// In the order of their times.
    pub(crate) faults: Vec<Fault>,
}

/// What a world is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Faults at random; then everything heals.
    Safety,
    /// Faults at random; then a core heals and the rest stays broken for good.
    Liveness,
    /// One kill, at a certain operation of a disk or a certain send.
    CrashPoint,
    /// The server starts from files that an earlier version has written.
    Upgrade,
    /// Clocks jump and drift.
    Clock,
}

/// What a world does more of than of anything else, so that what is rare everywhere is common in some worlds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Focus {
    /// Everything alike.
    #[default]
    Broad,
    /// Whatever the seed draws of these; no plan has it.
    Any,
    /// Players change devices in mid-match, and the ones they leave go on.
    Seats,
    /// The server comes back from a copy, between changes of devices.
    Recovery,
    /// Power cuts and errors of disks, with many small segments and snapshots.
    Disks,
    /// Moves that one keeper alone has, and match files that have lost their end.
    Keepers,
    /// Links that are silent, cut short, or taken up again; servers that come and go.
    Links,
    /// A player who lies, and may change devices.
    Liars,
    /// Players who type everything that there is to type, in several matches.
    Whims,
}

impl Focus {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Broad => "broad",
            Self::Any => "any",
            Self::Seats => "seats",
            Self::Recovery => "recovery",
            Self::Disks => "disks",
            Self::Keepers => "keepers",
            Self::Links => "links",
            Self::Liars => "liars",
            Self::Whims => "whims",
        }
    }
}

/// Which simulated disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DiskModel {
    /// `rejoin::store::faulty`.
    Faulty,
    /// The simulated file system of the network's simulator.
    Turmoil,
}

/// Something that breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// When.
    pub(crate) at_ms: u64,
    /// For how long, where it has a length: until a killed process is started again, a link repaired. `u64::MAX` is for
    /// good.
    pub(crate) for_ms: u64,
    /// What.
    pub(crate) kind: Kind,
}

/// A machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Host {
    /// The server's.
    Server,
    /// A player's: the device that the player sits at.
    Player(u8),
    /// A device that the player has left, and that goes on.
    Left(u8),
}

/// What a liar does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Lie {
    /// Signs another entry at a ply it has signed.
    Equivocate,
    /// Shows nobody its newest entry.
    Withhold,
    /// Says again what it has said before.
    Replay,
    /// Signs with a key that is not in the grant.
    Forge,
    /// Goes on signing with the key that its seat had before it was moved.
    Stale,
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub(crate) enum Kind {
    /// `kill -9`: what was written is there; connections are reset. Started again after `for_ms`.
    Kill { host: Host },
    /// The power goes: of what was not synced, a part is lost, perhaps torn.
    PowerCut { host: Host },
    /// The power goes, and nobody hears a reset.
    Silence { host: Host },
    /// The power goes in the middle of the `after`-th operation of its disk from then on.
    AtDisk { host: Host, after: u32 },
    /// It is killed right after its `after`-th send from then on.
    AtSend { host: Host, after: u32 },
    /// Killed and started `times` times in short order.
    RestartLoop { host: Host, times: u8 },
    /// No time for the process.
    Pause { host: Host },
    /// Nothing goes between two, either way.
    Partition { one: Host, other: Host },
    /// Nothing goes from one to the other.
    OneWay { from: Host, to: Host },
    /// No player reaches another directly.
    PlayersApart,
    /// Nobody reaches the server.
    ServerAlone,
    /// One link after the other is cut, and they come back in another order.
    Swizzle,
    /// What is sent waits, and comes all at once.
    Hold { one: Host, other: Host },
    /// Everything takes up to this long.
    LatencyStorm { ms: u16 },
    /// Of 1,000 messages, so many are lost (which breaks the connection).
    Loss { permille: u16 },
    /// One link is slow, both ways.
    SlowLink { one: Host, other: Host, ms: u16 },
    /// A byte of what passes is changed.
    BadByte { one: Host, other: Host },
    /// The next operation of its disk fails, once.
    DiskError { host: Host },
    /// Its disk takes only so many more bytes.
    DiskFull { host: Host, bytes: u32 },
    /// A sync takes this long.
    SlowSync { host: Host, ms: u16 },
    /// A byte of an old file is changed while the process is down.
    Rot { host: Host },
    /// The wall clock jumps.
    ClockJump { host: Host, seconds: i32 },
    /// The clock runs this much too fast or too slow, in parts of a thousand.
    ClockDrift { host: Host, permille: i16 },
    /// The player's disk is gone, and the process; it begins anew on an empty one and logs in.
    WipePlayer { player: u8 },
    /// The server's disk is gone; a copy of the accounts, and the keys, are put back.
    WipeServer,
    /// The copy that is put back then is taken now, if the server has a match; without this as soon as all players are
    /// logged in.
    CopyServer,
    /// So many others log in at once.
    LoginStorm { others: u8 },
    /// The player goes on at another device; the first is shut.
    TakeDevice { player: u8 },
    /// The player goes on at another device. The first cannot reach the server for so long, and somebody there plays on.
    LeaveDevice { player: u8 },
    /// The player sits down again at the device that was left.
    ReturnDevice { player: u8 },
    /// The power of the player goes as soon as one other keeper has heard of its next move. For so long nobody can reach
    /// that keeper.
    HeardByOne { player: u8 },
    /// The player's last move, and what came after it, are gone from its match file; the process as well, and for so long
    /// the next one reaches nobody.
    LostEnd { player: u8 },
    /// Somebody who has listened says again what the player has resumed its session with.
    ReplayResume { player: u8 },
    /// For so long each link of the player to the server breaks soon after it is live.
    CutShort { player: u8, ms: u16 },
    /// The server is asked to stop in order.
    PlannedRestart,
    /// The server is killed, and its power goes again in the `after`-th operation of its disk as it recovers.
    TwiceDown { after: u32 },
    /// The direct links come and go so many times.
    Flap { times: u8 },
    /// The player's machine gets another address.
    NewAddress { player: u8 },
    /// The player cheats from then on.
    Liar { player: u8, lie: Lie },
}

impl Kind {
    /// One of each.
    pub(crate) const SAMPLES: &[Self] = &[
        Self::Kill { host: Host::Server },
        Self::PowerCut { host: Host::Server },
        Self::Silence { host: Host::Server },
        Self::AtDisk { host: Host::Server, after: 1 },
        Self::AtSend { host: Host::Server, after: 1 },
        Self::RestartLoop { host: Host::Server, times: 2 },
        Self::Pause { host: Host::Server },
        Self::Partition { one: Host::Server, other: Host::Player(0) },
        Self::OneWay { from: Host::Server, to: Host::Player(0) },
        Self::PlayersApart,
        Self::ServerAlone,
        Self::Swizzle,
        Self::Hold { one: Host::Server, other: Host::Player(0) },
        Self::LatencyStorm { ms: 1 },
        Self::Loss { permille: 1 },
        Self::SlowLink { one: Host::Server, other: Host::Player(0), ms: 1 },
        Self::BadByte { one: Host::Server, other: Host::Player(0) },
        Self::DiskError { host: Host::Server },
        Self::DiskFull { host: Host::Server, bytes: 1 },
        Self::SlowSync { host: Host::Server, ms: 1 },
        Self::Rot { host: Host::Server },
        Self::ClockJump { host: Host::Server, seconds: 1 },
        Self::ClockDrift { host: Host::Server, permille: 1 },
        Self::WipePlayer { player: 0 },
        Self::WipeServer,
        Self::CopyServer,
        Self::LoginStorm { others: 1 },
        Self::TakeDevice { player: 0 },
        Self::LeaveDevice { player: 0 },
        Self::ReturnDevice { player: 0 },
        Self::HeardByOne { player: 0 },
        Self::LostEnd { player: 0 },
        Self::ReplayResume { player: 0 },
        Self::CutShort { player: 0, ms: 1 },
        Self::PlannedRestart,
        Self::TwiceDown { after: 1 },
        Self::Flap { times: 1 },
        Self::NewAddress { player: 0 },
        Self::Liar { player: 0, lie: Lie::Equivocate },
        Self::Liar { player: 0, lie: Lie::Withhold },
        Self::Liar { player: 0, lie: Lie::Replay },
        Self::Liar { player: 0, lie: Lie::Forge },
        Self::Liar { player: 0, lie: Lie::Stale },
    ];

    /// Whether all hosts it names are there in a world of so many players.
    pub(crate) fn fits(&self, players: u8) -> bool {
        let there = |host: Host| match host {
            Host::Server => true,
            Host::Player(player) | Host::Left(player) => player < players,
        };
        match *self {
            Self::Kill { host }
            | Self::PowerCut { host }
            | Self::Silence { host }
            | Self::AtDisk { host, .. }
            | Self::AtSend { host, .. }
            | Self::RestartLoop { host, .. }
            | Self::Pause { host }
            | Self::DiskError { host }
            | Self::DiskFull { host, .. }
            | Self::SlowSync { host, .. }
            | Self::Rot { host }
            | Self::ClockJump { host, .. }
            | Self::ClockDrift { host, .. } => there(host),
            Self::Partition { one, other }
            | Self::Hold { one, other }
            | Self::SlowLink { one, other, .. }
            | Self::BadByte { one, other } => there(one) && there(other),
            Self::OneWay { from, to } => there(from) && there(to),
            Self::WipePlayer { player }
            | Self::TakeDevice { player }
            | Self::LeaveDevice { player }
            | Self::ReturnDevice { player }
            | Self::HeardByOne { player }
            | Self::LostEnd { player }
            | Self::ReplayResume { player }
            | Self::CutShort { player, .. }
            | Self::NewAddress { player }
            | Self::Liar { player, .. } => player < players,
            Self::PlayersApart
            | Self::ServerAlone
            | Self::Swizzle
            | Self::LatencyStorm { .. }
            | Self::Loss { .. }
            | Self::WipeServer
            | Self::CopyServer
            | Self::LoginStorm { .. }
            | Self::PlannedRestart
            | Self::TwiceDown { .. }
            | Self::Flap { .. } => true,
        }
    }

    /// Whether it is in worlds without a focus.
    pub(crate) const fn is_usual(&self) -> bool {
        !matches!(
            self,
            Self::LeaveDevice { .. }
                | Self::ReturnDevice { .. }
                | Self::CopyServer
                | Self::HeardByOne { .. }
                | Self::LostEnd { .. }
                | Self::ReplayResume { .. }
                | Self::CutShort { .. }
                | Self::Liar { lie: Lie::Stale, .. }
        )
    }

    /// Its name, without its details.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::PowerCut { .. } => "power-cut",
            Self::Silence { .. } => "silence",
            Self::AtDisk { .. } => "at-disk",
            Self::AtSend { .. } => "at-send",
            Self::RestartLoop { .. } => "restart-loop",
            Self::Pause { .. } => "pause",
            Self::Partition { .. } => "partition",
            Self::OneWay { .. } => "one-way",
            Self::PlayersApart => "players-apart",
            Self::ServerAlone => "server-alone",
            Self::Swizzle => "swizzle",
            Self::Hold { .. } => "hold",
            Self::LatencyStorm { .. } => "latency-storm",
            Self::Loss { .. } => "loss",
            Self::SlowLink { .. } => "slow-link",
            Self::BadByte { .. } => "bad-byte",
            Self::DiskError { .. } => "disk-error",
            Self::DiskFull { .. } => "disk-full",
            Self::SlowSync { .. } => "slow-sync",
            Self::Rot { .. } => "rot",
            Self::ClockJump { .. } => "clock-jump",
            Self::ClockDrift { .. } => "clock-drift",
            Self::WipePlayer { .. } => "wipe-player",
            Self::WipeServer => "wipe-server",
            Self::CopyServer => "copy-server",
            Self::LoginStorm { .. } => "login-storm",
            Self::TakeDevice { .. } => "take-device",
            Self::LeaveDevice { .. } => "leave-device",
            Self::ReturnDevice { .. } => "return-device",
            Self::HeardByOne { .. } => "heard-by-one",
            Self::LostEnd { .. } => "lost-end",
            Self::ReplayResume { .. } => "replay-resume",
            Self::CutShort { .. } => "cut-short",
            Self::PlannedRestart => "planned-restart",
            Self::TwiceDown { .. } => "twice-down",
            Self::Flap { .. } => "flap",
            Self::NewAddress { .. } => "new-address",
            Self::Liar { lie: Lie::Equivocate, .. } => "liar-equivocates",
            Self::Liar { lie: Lie::Withhold, .. } => "liar-withholds",
            Self::Liar { lie: Lie::Replay, .. } => "liar-replays",
            Self::Liar { lie: Lie::Forge, .. } => "liar-forges",
            Self::Liar { lie: Lie::Stale, .. } => "liar-signs-for-an-old-epoch",
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => to.write_str("server"),
            Self::Player(number) => write!(to, "p{number}"),
            Self::Left(number) => write!(to, "left p{number}"),
        }
    }
}
