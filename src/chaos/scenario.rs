//! A scenario: what is played, what breaks when, and what must hold, from a file.
//!
//! ```toml
//! about = "the server is killed in the middle of a move"
//!
//! [steady_state]              # before the first fault and after the last
//! playing = 2                 # matches under way
//! within = "5 s"
//!
//! [[workload]]
//! pairs = 2
//! game = "tictactoe"
//! think = "50 ms"
//!
//! [[fault]]
//! at = "2 s"                  # after the steady state was reached
//! for = "800 ms"
//! kind = "kill"
//! target = "server"
//!
//! [bounds]
//! recovery_p99 = "1 s"
//! ```
//!
//! What must hold: a file is understood as a whole or not at all, and an error says where and what would be right.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// All of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in a line.
    pub about: String,
    /// What holds while nothing is broken.
    #[serde(default)]
    pub steady_state: SteadyState,
    /// Who plays what; all at once.
    #[serde(rename = "workload")]
    pub workloads: Vec<Workload>,
    /// What breaks.
    #[serde(rename = "fault", default)]
    pub faults: Vec<Step>,
    /// What must hold in the end, beside the invariants.
    #[serde(default)]
    pub bounds: Bounds,
}

/// What holds while nothing is broken: faults wait for it, and it must come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SteadyState {
    /// Matches under way at least; all of them without it.
    pub playing: Option<u16>,
    /// How long it may take to get there.
    pub within: Span,
}

/// Pairs of players.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// How many pairs; each plays match after match.
    pub pairs: u16,
    /// What they play.
    #[serde(default = "tictactoe")]
    pub game: String,
    /// How long they think about a move.
    #[serde(default)]
    pub think: Span,
    /// Whether they may reach each other directly.
    #[serde(default = "yes")]
    pub direct: bool,
}

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// After the steady state was reached.
    pub at: Span,
    /// Until it is undone: a killed process is started again, a link repaired.
    #[serde(rename = "for", default)]
    pub lasts: Span,
    /// What.
    pub kind: Fault,
    /// Whom.
    #[serde(default)]
    pub target: Target,
    /// How often, one after the other, each as long as `for` and as long between.
    #[serde(default = "once")]
    pub times: u16,
    /// For kinds that need it: the n-th operation, bytes, permille, seconds.
    pub amount: Option<i64>,
}

/// What must hold in the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// 99 of 100 come back so soon after what broke is whole again.
    pub recovery_p99: Option<Span>,
    /// All do.
    pub recovery_max: Option<Span>,
    /// Matches that are finished, at least.
    pub finished: Option<u32>,
    /// New moves that each pair is shown while there is no server, at least.
    pub alone: Option<u32>,
    /// Invariants that the run must have put to the test: a run that does not is no proof of what the scenario is about.
    pub exercised: Vec<String>,
}

/// A length of time, written `800 ms`, `1.5 s`, `2 min`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// Whom a fault strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The server.
    #[default]
    Server,
    /// One player's process, from 0.
    Client(u16),
    /// Both players of a pair, from 0.
    Pair(u16),
    /// Every player.
    Clients,
    /// Everybody.
    All,
    /// The way between one player and the server.
    Link(u16),
    /// The ways between the players and the server.
    Links,
    /// The direct way between the players of a pair, from 0.
    Path(u16),
    /// The direct ways.
    Direct,
}

macro_rules! faults {
    ($($variant:ident $word:literal $text:literal),+ $(,)?) => {
        /// What can be done to real processes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Fault { $(#[doc = $text] $variant),+ }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As it is written in a scenario.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// What it does, in a line.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

faults! {
    Kill "kill" "`kill -9`; started again when the time is over",
    Pause "pause" "SIGSTOP, then SIGCONT: a laptop's lid is closed",
    PlannedRestart "planned-restart" "asked to stop in order, and started again",
    RestartLoop "restart-loop" "killed again and again, as soon as it is back",
    KillAtSync "kill-at-sync" "killed at its `amount`-th fdatasync",
    KillAtRename "kill-at-rename" "killed as the `amount`-th file of a snapshot gets its name",
    Cut "cut" "connections are closed in order",
    Reset "reset" "connections are reset",
    HalfOpen "half-open" "one end is reset, the other is told nothing",
    Wall "wall" "nothing gets through, either way, and nobody is told",
    OneWayUp "one-way-up" "nothing gets through from the players to the server",
    OneWayDown "one-way-down" "nothing gets through from the server to the players",
    Delay "delay" "everything takes `amount` milliseconds more",
    Jitter "jitter" "everything takes up to `amount` milliseconds more",
    Trickle "trickle" "`amount` bytes a second",
    ChangedBytes "changed-bytes" "one byte in `amount` is changed",
    Refuse "refuse" "new connections are reset",
    DiskFull "disk-full" "the disk has no room left",
    ReadOnly "read-only" "the disk can be read only",
    DiskError "disk-error" "the `amount`-th fdatasync fails",
    Descriptors "descriptors" "no more than `amount` open files",
    SlowCpu "slow-cpu" "`amount` of 1,000 parts of a processor",
    LittleMemory "little-memory" "no more than `amount` MiB of memory",
    ClockJump "clock-jump" "the wall clock jumps by `amount` seconds",
    Damage "damage" "one bit of the journal is turned while the server is down, and put back once that was named",
    Zeroes "zeroes" "`amount` bytes of the journal are zero while the server is down, and put back once that was named",
    Deleted "deleted" "the journal is deleted while the server is down, and put back once its loss was named",
    Truncate "truncate" "the journal loses its last `amount` bytes while the server is down",
    OlderState "older-state" "an older copy of the state is put back while the process is down",
    Wipe "wipe" "killed, and all its files are gone",
    PowerCut "power-cut" "the power goes: what was not synced is lost",
    NewAddress "new-address" "the player's machine gets another address, and its first one back",
    Apart "apart" "machines are kept apart: by link, by path, or one from all others",
    ApartOneWay "apart-one-way" "the same for what players send to the server, the first of a pair to the second, or a machine to all",
    Upgrade "upgrade" "killed, and another program is started on its state",
}

impl Default for SteadyState {
    fn default() -> Self {
        // Who sits in no match learns of a dead connection after 15 s.
        Self { playing: None, within: Span(Duration::from_secs(20)) }
    }
}

fn tictactoe() -> String {
    "tictactoe".to_owned()
}

const fn yes() -> bool {
    true
}

const fn once() -> u16 {
    1
}

impl FromStr for Scenario {
    type Err = toml::de::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let scenario: Self = toml::from_str(text)?;
        if scenario.workloads.iter().all(|workload| workload.pairs == 0) {
            return Err(toml::de::Error::custom("nobody plays: a [[workload]] with pairs = 1 or more is needed"));
        }
        let pairs: u16 = scenario.workloads.iter().map(|workload| workload.pairs).sum();
        for (number, step) in scenario.faults.iter().enumerate() {
            let there = match step.target {
                Target::Client(client) | Target::Link(client) => client < 2 * pairs,
                Target::Pair(pair) | Target::Path(pair) => pair < pairs,
                Target::Server | Target::Clients | Target::All | Target::Links | Target::Direct => true,
            };
            if !there {
                let why = format!("[[fault]] {}: there is no {}: {pairs} pairs play", number + 1, step.target);
                return Err(toml::de::Error::custom(why));
            }
            if !step.kind.suits(step.target) {
                let why = format!("[[fault]] {}: {} cannot strike {}: {TARGETS}", number + 1, step.kind, step.target);
                return Err(toml::de::Error::custom(why));
            }
            if step.kind.about().contains("`amount`") && step.amount.is_none() {
                let why = format!("[[fault]] {}: {} needs an amount: {}", number + 1, step.kind, step.kind.about());
                return Err(toml::de::Error::custom(why));
            }
        }
        let any = |holds: fn(Fault) -> bool| scenario.faults.iter().find(|step| holds(step.kind)).map(|step| step.kind);
        if let (Some(way), Some(network)) = (any(Fault::breaks_ways), any(Fault::needs_networks)) {
            let why =
                format!("{way} and {network} cannot be in one scenario: machines of their own have no proxy between");
            return Err(toml::de::Error::custom(why));
        }
        Ok(scenario)
    }
}

impl Fault {
    /// Whether it breaks ways and not processes: a proxy does it.
    #[must_use]
    pub const fn breaks_ways(self) -> bool {
        matches!(
            self,
            Self::Cut
                | Self::Reset
                | Self::HalfOpen
                | Self::Wall
                | Self::OneWayUp
                | Self::OneWayDown
                | Self::Delay
                | Self::Jitter
                | Self::Trickle
                | Self::ChangedBytes
                | Self::Refuse
        )
    }

    /// Whether it needs a network of its own for each process.
    #[must_use]
    pub const fn needs_networks(self) -> bool {
        matches!(self, Self::NewAddress | Self::Apart | Self::ApartOneWay)
    }

    /// Whether it can strike there at all: what happens to a process does not happen to a way.
    const fn suits(self, target: Target) -> bool {
        let is_way = matches!(target, Target::Link(_) | Target::Links | Target::Path(_) | Target::Direct);
        !is_way || self.breaks_ways() || matches!(self, Self::Apart | Self::ApartOneWay)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(self.word())
    }
}

/// What can be written for a time.
const SPANS: &str = "a time is written like 800 ms, 1.5 s or 2 min";
/// What can be written for a target.
const TARGETS: &str = "a target is server, client N, pair N, clients, all, link N, links, path N or direct";

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is no time: {SPANS}");
        let (number, unit) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let seconds = match unit.trim() {
            "ms" => number / 1_000.0,
            "s" => number,
            "min" => number * 60.0,
            _ => return Err(wrong()),
        };
        Duration::try_from_secs_f64(seconds).map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        match ms {
            0..1_000 => write!(to, "{ms} ms"),
            _ => write!(to, "{} s", self.0.as_secs_f64()),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is no target: {TARGETS}");
        let number = |word: &str| word.parse().map_err(|_| wrong());
        match text.split_whitespace().collect::<Vec<_>>()[..] {
            ["server"] => Ok(Self::Server),
            ["clients"] => Ok(Self::Clients),
            ["all"] => Ok(Self::All),
            ["links"] => Ok(Self::Links),
            ["direct"] => Ok(Self::Direct),
            ["client", word] => number(word).map(Self::Client),
            ["pair", word] => number(word).map(Self::Pair),
            ["link", word] => number(word).map(Self::Link),
            ["path", word] => number(word).map(Self::Path),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => to.write_str("server"),
            Self::Client(number) => write!(to, "client {number}"),
            Self::Pair(number) => write!(to, "pair {number}"),
            Self::Clients => to.write_str("clients"),
            Self::All => to.write_str("all"),
            Self::Link(number) => write!(to, "link {number}"),
            Self::Links => to.write_str("links"),
            Self::Path(number) => write!(to, "path {number}"),
            Self::Direct => to.write_str("direct"),
        }
    }
}

macro_rules! as_text {
    ($($kind:ty),+) => {
        $(impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        })+
    };
}

as_text!(Span, Target);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;

    const GOOD: &str = r#"
about = "the server is killed"
[steady_state]
playing = 2
within = "5 s"
[[workload]]
pairs = 2
think = "50 ms"
[[fault]]
at = "2 s"
for = "800 ms"
kind = "kill"
target = "server"
[[fault]]
at = "4 s"
kind = "delay"
target = "link 3"
amount = 200
[bounds]
recovery_p99 = "1 s"
"#;

    #[test]
    fn a_file_is_what_it_says() {
        let scenario: Scenario = GOOD.parse().unwrap();
        assert_eq!(scenario.steady_state.within, Span(Duration::from_secs(5)));
        assert_eq!((scenario.workloads[0].pairs, &*scenario.workloads[0].game), (2, "tictactoe"));
        assert_eq!((scenario.faults[0].kind, scenario.faults[0].lasts.0), (Fault::Kill, Duration::from_millis(800)));
        assert_eq!((scenario.faults[1].target, scenario.faults[1].amount), (Target::Link(3), Some(200)));
        assert_eq!(scenario.bounds.recovery_p99, Some(Span(Duration::from_secs(1))));
    }

    #[test]
    fn whatever_is_wrong_is_said_with_what_would_be_right() {
        for (from, to, says) in [
            ("kind = \"kill\"", "kind = \"kil\"", "unknown variant `kil`"),
            ("\"800 ms\"", "\"800\"", SPANS),
            ("\"800 ms\"", "\"-1 s\"", SPANS),
            ("\"server\"", "\"servers\"", TARGETS),
            ("link 3", "link 4", "there is no link 4: 2 pairs play"),
            ("amount = 200", "", "delay needs an amount"),
            ("\"server\"", "\"path 0\"", "kill cannot strike path 0"),
            ("link 3", "path 2", "there is no path 2: 2 pairs play"),
            ("kind = \"kill\"", "kind = \"apart\"", "delay and apart cannot be in one scenario"),
            ("pairs = 2", "pairs = 0", "nobody plays"),
            ("playing = 2", "plaing = 2", "unknown field `plaing`"),
            ("at = \"2 s\"", "", "missing field `at`"),
        ] {
            let error = GOOD.replace(from, to).parse::<Scenario>().unwrap_err().to_string();
            assert!(error.contains(says), "{from} -> {to}: {error}");
        }
    }

    #[test]
    fn times_and_targets_are_written_as_they_are_read() {
        for text in ["0 ms", "800 ms", "1.5 s", "120 s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("2 min".parse::<Span>().unwrap(), "120 s".parse().unwrap());
        for text in ["server", "client 1", "pair 0", "clients", "all", "link 2", "links", "path 1", "direct"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn every_kind_has_the_word_it_is_read_by() {
        for fault in Fault::ALL {
            assert_eq!(serde_json::to_string(fault).unwrap(), format!("\"{fault}\""));
        }
    }
}
