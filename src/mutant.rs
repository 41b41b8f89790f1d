//! Rules left out, for the simulation to miss: broken builds behind the feature `mutants`, never for use.
//!
//! What must hold: without the feature every question is answered `false` when the program is built, and nothing of this
//! is reached when it runs. With it one rule at most is left out, chosen once, before the first question. Any module may
//! ask; `docs/mutants.md` says who should notice.

use std::fmt;
#[cfg(feature = "mutants")]
use std::sync::OnceLock;

/// Declares the rules with their names.
macro_rules! mutants {
    ($($(#[doc = $says:literal])+ $mutant:ident = $name:literal,)+) => {
        /// A rule that is left out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant {
            $($(#[doc = $says])+ $mutant,)+
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$mutant,)+];

            /// The name it is chosen by.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$mutant => $name,)+
                }
            }

            /// What breaks, and which promise with it.
            #[must_use]
            pub const fn says(self) -> &'static str {
                match self {
                    $(Self::$mutant => concat!($($says),+).trim_ascii_start(),)+
                }
            }
        }
    };
}

// The bytes on the disk.
mutants! {
    /// An append returns before its bytes are synced: what was acknowledged is lost with the power.
    SyncSkipped = "sync-skipped",
    /// A sync that failed counts as one that went well: what was acknowledged may never reach the disk.
    SyncErrorIgnored = "sync-error-ignored",
    /// The names of journal segments, snapshots and match files are not synced: a file is gone with the power.
    StoreNamesNotSynced = "store-names-not-synced",
    /// The names of a client's session, offers and device key are not synced: it does not come back by itself.
    ClientNamesNotSynced = "client-names-not-synced",
    /// A torn tail is not cut before the first append: what is acknowledged after it cannot be read again.
    TornTailKept = "torn-tail-kept",
    /// The checksum of a frame is not checked: damage is answered as truth.
    FrameChecksumUnchecked = "frame-checksum-unchecked",
    /// Rot before good frames is cut like a torn tail: acknowledged facts go with it, and nobody is told.
    RotTakenForTorn = "rot-taken-for-torn",
    /// Each fact of a batch is in a frame of its own: a crash leaves half of a decision.
    BatchTorn = "batch-torn",
    /// Segments are removed before the snapshot that replaces them is there: a crash between loses the state.
    SegmentsDroppedEarly = "segments-dropped-early",
    /// A snapshot is not synced before the segments go: the power takes what both held.
    SnapshotNotSynced = "snapshot-not-synced",
    /// A snapshot has no verdicts: what was settled is settled, and scored, again.
    VerdictsNotInSnapshot = "verdicts-not-in-snapshot",
    /// Nothing is removed after a snapshot: the state directory grows without bound.
    NothingPruned = "nothing-pruned",

    // The server's runs.

    /// What rests on a fact leaves before the fact is on disk: what was acknowledged is lost in a crash.
    AckBeforeSync = "ack-before-sync",
    /// A run has the number of the one before: an older state cannot be told from the newest.
    BootNotRaised = "boot-not-raised",
    /// Up-time begins at nothing in each run: a time runs backwards.
    UptimeForgotten = "uptime-forgotten",
    /// A server that has lost state does not notice it: it goes on from the older state as if it were the newest.
    LossUnnoticed = "loss-unnoticed",
    /// A server that has lost state gives receipts before it has heard both seats.
    ReceiptWhileRecovering = "receipt-while-recovering",
    /// A server that has lost state changes keys before it has heard both seats.
    GrantWhileRecovering = "grant-while-recovering",
    /// To a server that has lost state the holder of an older key speaks for the seat.
    StaleHaveCounts = "stale-have-counts",

    // Accounts and sessions.

    /// A request that comes again is carried out again: what was done is told as refused.
    RequestsDoneTwice = "requests-done-twice",
    /// The answers given are forgotten when the server starts: the same, but only over a restart.
    AnswersForgotten = "answers-forgotten",
    /// Answers are remembered for ever: a session grows without bound.
    AnswersUnbounded = "answers-unbounded",
    /// A new password is acknowledged, and the old one stays.
    OldPasswordStays = "old-password-stays",
    /// A logout is written down nowhere: after a restart the player is logged in again.
    LogoutForgotten = "logout-forgotten",
    /// A new login, or a new password, leaves the session before it as it is: an old device may come back.
    OldSessionKept = "old-session-kept",
    /// The signature of a resume counts for nothing: one that was heard before, for another nonce, is let in.
    ReplayedResumeTaken = "replayed-resume-taken",
    /// The connection before is not closed when a session is taken up anew: it is live on two.
    TwoConnectionsLive = "two-connections-live",
    /// A client writes a new session down some seconds after it was told of it: a crash logs the player out.
    SessionWrittenLate = "session-written-late",

    // Matches at the server.

    /// Who sits in a match may begin another one.
    OneMatchUnchecked = "one-match-unchecked",
    /// A player who leaves has lost: a word, and no signed entry, decides the match.
    LeavingLoses = "leaving-loses",
    /// A history that is delivered again is scored again.
    VerdictScoredAgain = "verdict-scored-again",
    /// A corrected verdict leaves the points of the one before where they are.
    CorrectionScoredTwice = "correction-scored-twice",
    /// The server keeps the moves of one player from the other.
    NotForwarded = "not-forwarded",

    // Evidence, at all three keepers.

    /// Entries of an epoch that has ended are taken: an owner that was replaced writes.
    StaleEpochTaken = "stale-epoch-taken",
    /// A seat's key changes without the opponent's promise: moves that only the opponent has are dropped.
    PromiseSkipped = "promise-skipped",
    /// Of two different entries the later takes the place of the one that was stored first: a shown move changes.
    SecondEntryKept = "second-entry-kept",
    /// Two different entries of one seat at one ply are no foul: who lies gets away with it.
    FoulDropped = "foul-dropped",
    /// The same entry twice is a foul: the honest are convicted.
    DuplicateConvicts = "duplicate-convicts",
    /// An entry need not be by the seat whose turn it is.
    TurnUnchecked = "turn-unchecked",
    /// An entry need not follow the one before it: the chain breaks.
    PrevUnchecked = "prev-unchecked",

    // A player's client as a keeper.

    /// Entries and receipts are sent before they are on the disk: who crashes there has signed what it does not have.
    SendBeforeSync = "send-before-sync",
    /// The opponent's moves are not written down, and receipts are given for them.
    MovesOfOthersNotWritten = "moves-of-others-not-written",
    /// A match key is kept outside the match file: who has lost the file signs the same ply again.
    KeyOutsideTheFile = "key-outside-the-file",
    /// After a start moves are signed before another keeper has said what it holds: one that was lost is signed again.
    SignsUnanswered = "signs-unanswered",
    /// A player's own moves are not taken back from the other keepers: who has lost them is stuck.
    OwnEntriesRefused = "own-entries-refused",
    /// After a promise entries of the epoch that ends are taken: they are shown, and then dropped.
    TakesAfterPromise = "takes-after-promise",
    /// After a promise entries are signed: they are shown, and then dropped.
    SignsAfterPromise = "signs-after-promise",
    /// Resigning off turn is signed at once, at the other's ply.
    ResignsOffTurn = "resigns-off-turn",
    /// What another keeper lacks is not sent to it: what was played while the server was down stays with the players.
    LacksNotSent = "lacks-not-sent",
    /// The server's verdict is shown as recorded without the evidence for it.
    VerdictBelieved = "verdict-believed",
    /// A result is shown as recorded before the server has given a verdict.
    RecordedEarly = "recorded-early",
    /// A move is shown as kept before the server's receipt is here.
    KeptEarly = "kept-early",
    /// A decided match is let go before the server has told its verdict: it may never be settled.
    DecidedDropped = "decided-dropped",

    // Links.

    /// Players who can reach each other stop when the server is down.
    DirectNeedsServer = "direct-needs-server",
    /// The waits between dials begin anew after every link, however short: who is thrown out at once is back at once.
    BackOffResetEarly = "back-off-reset-early",
    /// The waits between dials do not grow: a server that is down is stormed.
    NoBackOff = "no-back-off",
    /// The longest wait between dials is 2 s while there is something to lose.
    BackOffCapWrong = "back-off-cap-wrong",
    /// A dial that has lost the race is not abandoned: when its time is over it takes the link with it.
    AbandonedDialKept = "abandoned-dial-kept",
    /// A client waits for a silent server for ever.
    SilenceIgnoredByClient = "silence-ignored-by-client",
    /// The server waits for a silent client for ever.
    SilenceIgnoredByServer = "silence-ignored-by-server",
    /// Players wait for each other's dead connections for ever.
    SilenceIgnoredBetweenPlayers = "silence-ignored-between-players",
}

impl Mutant {
    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mutant| mutant.name() == name)
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

/// Whether this rule is left out.
#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn is_on(_: Mutant) -> bool {
    false
}

/// The rule that is left out in this process, if any.
#[cfg(feature = "mutants")]
static CHOSEN: OnceLock<Option<Mutant>> = OnceLock::new();
/// Names it for a process that chooses none itself, so that any test can be run against a mutant.
#[cfg(feature = "mutants")]
pub const VARIABLE: &str = "MUTANT";

/// A rule cannot be left out.
#[cfg(feature = "mutants")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotChosen {
    /// There is none of that name.
    #[error("there is no mutant {0}")]
    Unknown(String),
    /// A question was answered already, or another one was chosen.
    #[error("a mutant is chosen once, before anything runs")]
    Late,
}

/// Leaves a rule out in all of this process. Call it first of all.
///
/// # Errors
/// [`NotChosen`]; nothing has changed.
#[cfg(feature = "mutants")]
pub fn choose(name: &str) -> Result<Mutant, NotChosen> {
    let mutant = Mutant::from_name(name).ok_or_else(|| NotChosen::Unknown(name.to_owned()))?;
    if *CHOSEN.get_or_init(|| Some(mutant)) == Some(mutant) { Ok(mutant) } else { Err(NotChosen::Late) }
}

/// Whether this rule is left out.
///
/// # Panics
/// If nobody has chosen, and [`VARIABLE`] names none that there is: whoever has mistyped it would believe in a test that
/// tests nothing.
#[cfg(feature = "mutants")]
#[must_use]
pub fn is_on(mutant: Mutant) -> bool {
    let named = || {
        let name = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())?;
        Some(Mutant::from_name(&name).expect("MUTANT names a mutant"))
    };
    *CHOSEN.get_or_init(named) == Some(mutant)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// `AckBeforeSync` is `ack-before-sync`.
    fn kebab(mutant: Mutant) -> String {
        let letters = format!("{mutant:?}");
        let part = |(at, letter): (usize, char)| {
            let dash = (at > 0 && letter.is_ascii_uppercase()).then_some('-');
            dash.into_iter().chain([letter.to_ascii_lowercase()])
        };
        letters.chars().enumerate().flat_map(part).collect()
    }

    #[test]
    fn every_mutant_is_known_by_its_own_name_and_says_what_breaks() {
        let names: BTreeSet<&str> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        assert_eq!(names.len(), Mutant::ALL.len());
        for mutant in Mutant::ALL {
            assert_eq!(mutant.name(), kebab(*mutant));
            assert_eq!(Mutant::from_name(mutant.name()), Some(*mutant));
            assert!(mutant.says().ends_with('.'), "{mutant}: {}", mutant.says());
        }
        assert_eq!(Mutant::from_name("no-such-mutant"), None);
    }

    #[test]
    fn the_table_has_every_mutant_once_and_no_other() {
        let table = include_str!("../docs/mutants.md");
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let named: Vec<&str> = rows.map(|(name, _)| name).collect();
        let all: Vec<&str> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        assert_eq!(named, all);
    }

    #[cfg(not(feature = "mutants"))]
    #[test]
    fn without_the_feature_no_rule_is_left_out() {
        assert!(Mutant::ALL.iter().all(|mutant| !is_on(*mutant)));
    }
    #[cfg(feature = "mutants")]
    #[test]
    fn a_name_that_is_none_leaves_nothing_out() {
        let name = "no-such-mutant".to_owned();
        assert_eq!(choose(&name), Err(NotChosen::Unknown(name)));
        let on = Mutant::ALL.iter().filter(|mutant| is_on(**mutant)).count();
        assert_eq!(on, usize::from(std::env::var_os(VARIABLE).is_some()), "one at most");
    }
}
