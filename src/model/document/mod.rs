//! A match as a document for others: everything that was signed, so that whoever knows the server can check it.
//!
//! Beside the fields of each statement stand the bytes that were signed (`signed`) and the signature, in hexadecimal:
//! Ed25519 over kind, server id and the postcard encoding of the body. What holds: every field but the two names is
//! made of what was signed, so a document can be made again from what its signatures say, and compared.

mod check;
#[cfg(test)]
pub(crate) mod fixture;

pub use check::{Checked, Place, Why, Wrong};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::evidence::{Evidence, Keeper};
use super::games::{GameSpec, Seat};
use super::id::Name;
use super::key::{PublicKey, ServerId};
use super::sign::{self, Signed, Statement};
use super::statement::{Act, Base, Entry, Foul, Grant, Held, Ruling, Verdict};

/// What a document of this shape calls itself.
pub const FORMAT: &str = "rejoin match/2";
/// The order of receipts.
const KEEPERS: [Keeper; 3] = [Keeper::Player(Seat::X), Keeper::Player(Seat::O), Keeper::Server];

/// All that one keeper holds about a match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`FORMAT`].
    pub format: String,
    /// The match.
    #[serde(rename = "match")]
    pub match_id: String,
    /// Who granted and settles it.
    pub server: ServerPage,
    /// The word of whoever wrote the document: a grant names accounts, not names.
    pub names: Seats<Name>,
    /// The rules.
    pub game: GamePage,
    /// By epoch.
    pub grants: Vec<GrantPage>,
    /// The longest valid chain.
    pub entries: Vec<EntryPage>,
    /// The longest of each keeper.
    pub receipts: Vec<HeldPage>,
    /// The first proof against each seat.
    pub fouls: Vec<FoulPage>,
    /// What the server has said last.
    pub verdict: Option<VerdictPage>,
}

/// Something of each seat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seats<T> {
    /// Of X.
    #[serde(rename = "X")]
    pub x: T,
    /// Of O.
    #[serde(rename = "O")]
    pub o: T,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerPage {
    /// The hash of its key, in base32.
    pub id: String,
    /// Its public key.
    pub key: String,
}

/// The rules of a match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GamePage {
    /// What people call it.
    pub name: String,
    /// The family of rules.
    pub family: String,
    /// Their version.
    pub version: u16,
    /// Their parameters.
    pub params: String,
}

/// The end of a stretch of entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasePage {
    /// How many.
    pub plies: u16,
    /// Hash of the last.
    pub head: String,
}

/// A grant, signed by the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantPage {
    /// Its server.
    pub server: String,
    /// Its match.
    #[serde(rename = "match")]
    pub match_id: String,
    /// Grows when a seat's key changes.
    pub epoch: u32,
    /// Where it takes over.
    pub base: BasePage,
    /// The accounts.
    pub users: Seats<String>,
    /// What signs for each seat.
    pub keys: Seats<String>,
    /// The rules.
    pub game: GamePage,
    /// Milliseconds since 1970.
    pub settle_by: u64,
    /// Of the statement.
    pub kind: String,
    /// The bytes that were signed.
    pub signed: String,
    /// Over them.
    pub signature: String,
}

/// An entry, signed by the key of its seat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryPage {
    /// Its match.
    #[serde(rename = "match")]
    pub match_id: String,
    /// Of its grant.
    pub epoch: u32,
    /// From 0.
    pub ply: u16,
    /// Who acts.
    pub seat: String,
    /// What.
    pub act: ActPage,
    /// Hash of what came before.
    pub prev: String,
    /// The player's word for when, in milliseconds since 1970.
    pub at: u64,
    /// Of the statement.
    pub kind: String,
    /// The bytes that were signed.
    pub signed: String,
    /// Over them.
    pub signature: String,
}

/// What a player does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActPage {
    /// The bytes of a move of the game.
    Play(String),
    /// Gives up.
    Resign,
}

/// A receipt, signed by its keeper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldPage {
    /// `X`, `O` or `server`; what was signed says it by its signature alone.
    pub keeper: String,
    /// Its match.
    #[serde(rename = "match")]
    pub match_id: String,
    /// Of the newest grant known to the keeper.
    pub epoch: u32,
    /// Number of entries held.
    pub plies: u16,
    /// Hash of the last.
    pub head: String,
    /// Of the statement.
    pub kind: String,
    /// The bytes that were signed.
    pub signed: String,
    /// Over them.
    pub signature: String,
}

/// Two entries of one seat at one ply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoulPage {
    /// The one stored first.
    pub first: EntryPage,
    /// The other.
    pub second: EntryPage,
}

/// A verdict, signed by the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictPage {
    /// Its match.
    #[serde(rename = "match")]
    pub match_id: String,
    /// Of the newest grant it rests on; 0 if it was said after the match had been filed away.
    pub epoch: u32,
    /// `board`, `resigned`, `foul` or `void`.
    pub ruling: String,
    /// Who resigned or fouled.
    pub by: Option<String>,
    /// Who has won.
    pub winner: Option<String>,
    /// Of the statement.
    pub kind: String,
    /// The bytes that were signed.
    pub signed: String,
    /// Over them.
    pub signature: String,
}

impl Document {
    /// The document of what a keeper holds; all of it must be signed.
    #[must_use]
    pub fn of(
        evidence: &Evidence,
        names: &[Name; 2],
        server_key: &PublicKey,
        verdict: Option<&Signed<Verdict>>,
    ) -> Self {
        let chain = &evidence.chain;
        let grant = chain.grant();
        let server = &grant.server;
        let held = KEEPERS.into_iter().zip(&evidence.receipts);
        Self {
            format: FORMAT.to_owned(),
            match_id: grant.match_id.to_string(),
            server: ServerPage { id: server.to_string(), key: server_key.to_string() },
            names: Seats::of(names.clone()),
            game: GamePage::of(&grant.game),
            grants: chain.grants().iter().map(|grant| GrantPage::of(server, grant)).collect(),
            entries: chain.entries_from(0).iter().map(|entry| EntryPage::of(server, entry.signed())).collect(),
            receipts: held
                .filter_map(|(keeper, held)| held.as_ref().map(|held| HeldPage::of(server, keeper, held.signed())))
                .collect(),
            fouls: evidence.fouls.iter().flatten().map(|foul| FoulPage::of(server, foul)).collect(),
            verdict: verdict.map(|verdict| VerdictPage::of(server, verdict)),
        }
    }
}

impl<T> Seats<T> {
    fn of([x, o]: [T; 2]) -> Self {
        Self { x, o }
    }
}

impl GamePage {
    fn of(game: &GameSpec) -> Self {
        let GameSpec { family, version, params } = game;
        Self { name: game.name(), family: family.clone(), version: *version, params: HEXLOWER.encode(params) }
    }
}

impl GrantPage {
    fn of(server: &ServerId, grant: &Signed<Grant>) -> Self {
        let Grant { server: of, match_id, epoch, base, users, keys, game, settle_by } = &grant.body;
        let [kind, signed, signature] = seal(server, grant);
        let Base { plies, head } = *base;
        Self {
            server: of.to_string(),
            match_id: match_id.to_string(),
            epoch: *epoch,
            base: BasePage { plies, head: head.to_string() },
            users: Seats::of(users.map(|user| user.to_string())),
            keys: Seats::of(keys.map(|key| key.to_string())),
            game: GamePage::of(game),
            settle_by: settle_by.0,
            kind,
            signed,
            signature,
        }
    }
}

impl EntryPage {
    fn of(server: &ServerId, entry: &Signed<Entry>) -> Self {
        let Entry { match_id, epoch, ply, seat, act, prev, at } = &entry.body;
        let [kind, signed, signature] = seal(server, entry);
        let act = match act {
            Act::Play(play) => ActPage::Play(HEXLOWER.encode(play.as_bytes())),
            Act::Resign => ActPage::Resign,
        };
        Self {
            match_id: match_id.to_string(),
            epoch: *epoch,
            ply: *ply,
            seat: seat.to_string(),
            act,
            prev: prev.to_string(),
            at: at.0,
            kind,
            signed,
            signature,
        }
    }
}

impl HeldPage {
    fn of(server: &ServerId, keeper: Keeper, held: &Signed<Held>) -> Self {
        let Held { match_id, epoch, plies, head } = held.body;
        let [kind, signed, signature] = seal(server, held);
        Self {
            keeper: keeper_word(keeper),
            match_id: match_id.to_string(),
            epoch,
            plies,
            head: head.to_string(),
            kind,
            signed,
            signature,
        }
    }
}

impl FoulPage {
    fn of(server: &ServerId, foul: &Foul) -> Self {
        Self { first: EntryPage::of(server, &foul.first), second: EntryPage::of(server, &foul.second) }
    }
}

impl VerdictPage {
    fn of(server: &ServerId, verdict: &Signed<Verdict>) -> Self {
        let Verdict { match_id, epoch, ruling } = verdict.body;
        let [kind, signed, signature] = seal(server, verdict);
        let (word, by) = match ruling {
            Ruling::Foul { by } => ("foul", Some(by)),
            Ruling::Resigned { by } => ("resigned", Some(by)),
            Ruling::Void => ("void", None),
            Ruling::Board { .. } => ("board", None),
        };
        Self {
            match_id: match_id.to_string(),
            epoch,
            ruling: word.to_owned(),
            by: by.map(|seat| seat.to_string()),
            winner: ruling.winner().map(|seat| seat.to_string()),
            kind,
            signed,
            signature,
        }
    }
}

/// The kind, the bytes that were signed, and the signature.
fn seal<T: Statement>(server: &ServerId, statement: &Signed<T>) -> [String; 3] {
    let bytes = sign::bytes(server, &statement.body);
    [T::KIND.to_owned(), HEXLOWER.encode(&bytes), statement.signature.to_string()]
}

fn keeper_word(keeper: Keeper) -> String {
    match keeper {
        Keeper::Player(seat) => seat.to_string(),
        Keeper::Server => "server".to_owned(),
    }
}
