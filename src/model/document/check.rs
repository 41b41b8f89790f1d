//! Whether a document is what its signatures say. It comes from anybody: nothing in it is believed before it is checked.
//!
//! What must hold: whoever reads the fields of a document that passed reads what was signed, and nothing else; only
//! the two names are the writer's word.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::Serialize;

use super::{Document, EntryPage, FORMAT, FoulPage, GrantPage, HeldPage, KEEPERS, VerdictPage, keeper_word};
use crate::model::evidence::{Evidence, Keeper};
use crate::model::games::Seat;
use crate::model::id::{MatchId, Name};
use crate::model::key::{PublicKey, ServerId, Signature};
use crate::model::sign::{self, Signed, Statement, Unreadable, Verified};
use crate::model::statement::{Base, Entry, Foul, Grant, Held, Ruling, Verdict};
use crate::model::transcript::Unplayable;

/// A document whose every field was signed by whom it should be, and what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Whose signatures were taken for the server's.
    pub server: ServerId,
    /// The word of whoever wrote the document.
    pub names: [Name; 2],
    /// What was signed, replayed.
    pub evidence: Evidence,
    /// What the server has said last. The evidence need not say the same: see [`Checked::is_supported`].
    pub verdict: Option<Verified<Verdict>>,
}

/// Why a document is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It calls itself something else.
    #[error("it calls itself {0:?}, and this program reads {FORMAT:?}")]
    Format(String),
    /// It is not of the server that is asked for.
    #[error("it is of the server {is}, not of {asked}")]
    OtherServer {
        /// By the key in the document.
        is: ServerId,
        /// The one that was asked for.
        asked: ServerId,
    },
    /// There is nothing to begin with.
    #[error("there is no grant in it, so there is no match")]
    NoGrant,
    /// A part that is not that of a statement, or not where it stands.
    #[error("{0}")]
    Field(Differs),
    /// One statement.
    #[error("{place}: {why}")]
    In {
        /// Which.
        place: Place,
        /// What is wrong with it.
        why: Why,
    },
}

/// A statement by its place in the document, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In `grants`.
    Grant(usize),
    /// In `entries`.
    Entry(usize),
    /// In `receipts`.
    Receipt(usize),
    /// In `fouls`, the first of two entries.
    FoulFirst(usize),
    /// In `fouls`, the second of two entries.
    FoulSecond(usize),
    /// In `fouls`, both entries together.
    Foul(usize),
    /// The `verdict`.
    Verdict,
}

/// What is wrong with a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// `signed` or `signature` cannot be read.
    #[error("`{field}` is not {what} in lower-case hexadecimal")]
    Hex {
        /// Which of the two.
        field: &'static str,
        /// What it should be.
        what: &'static str,
    },
    /// The signed bytes are not a statement of this kind.
    #[error("what was signed cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
    /// It was made under another server.
    #[error("it was signed for the server {0}, not for this one")]
    OtherServer(ServerId),
    /// The field that people read is not what was signed.
    #[error("{0}")]
    Field(Differs),
    /// It is of another match.
    #[error("it is of the match {0}, not of this one")]
    OtherMatch(MatchId),
    /// There is no grant of its epoch.
    #[error("it is of epoch {0}, and no grant of that epoch is in the file")]
    NoGrant(u32),
    /// The signature is not the one it needs.
    #[error("the signature is not by the key of {}", keeper_name(*by))]
    Signature {
        /// Who should have signed.
        by: Keeper,
    },
    /// The first grant goes on from something.
    #[error("it goes on from a grant that is not in the file")]
    NotFirst,
    /// The game is not known.
    #[error("it is of a game that this program does not know")]
    UnknownGame,
    /// It drops entries that are in the file.
    #[error("it takes over after {base} moves, and the file has {held} before it")]
    Drops {
        /// Where it takes over.
        base: u16,
        /// Entries before it.
        held: u16,
    },
    /// The rules or the chain are against it.
    #[error("it cannot come here: {0}")]
    Unplayable(#[from] Unplayable),
    /// A receipt for something else.
    #[error("it is for {plies} moves that are not those in the file")]
    Unfitting {
        /// For how many.
        plies: u16,
    },
    /// A receipt by a key that has lost its seat since.
    #[error("it is by a key that does not speak for {0} any more")]
    OldKey(Seat),
    /// Two entries that are no foul.
    #[error("the two entries prove nothing: they must be two different ones of one player for one move")]
    NoFoul,
}

/// A field that says one thing where another was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {said}, and by what was signed it is {signed}")]
pub struct Differs {
    field: String,
    said: String,
    signed: String,
}

impl Document {
    /// Checks everything: each statement's bytes, fields and signature; that the entries can be played one after the
    /// other; that receipts and proofs fit. Without `asked` the key in the document is believed, so that only its
    /// consistency is shown.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn check(&self, asked: Option<ServerId>) -> Result<Checked, Wrong> {
        if self.format != FORMAT {
            return Err(Wrong::Format(self.format.clone()));
        }
        let checker = Checker::new(self, asked)?;
        let mut evidence = checker.chain(self)?;
        for (number, page) in (1..).zip(&self.receipts) {
            let (slot, held) = checker.receipt(&evidence, page).map_err(at(Place::Receipt(number)))?;
            evidence.receipts[slot] = Some(held);
        }
        for (number, page) in (1..).zip(&self.fouls) {
            evidence.convict(checker.foul(&evidence, page, number)?);
        }
        let verdict = self
            .verdict
            .as_ref()
            .map(|page| checker.verdict(&evidence, page))
            .transpose()
            .map_err(at(Place::Verdict))?;
        let names = [self.names.x.clone(), self.names.o.clone()];
        let signed = Self::of(&evidence, &names, &checker.key, verdict.as_ref().map(Verified::signed));
        same(self, &signed).map_err(Wrong::Field)?;
        Ok(Checked { server: checker.server, names, evidence, verdict })
    }
}

impl Checked {
    /// What the server has said, if it has.
    #[must_use]
    pub fn ruling(&self) -> Option<Ruling> {
        self.verdict.as_ref().map(|verdict| verdict.body().ruling)
    }

    /// Whether the evidence says what the server says; true while the server has said nothing.
    #[must_use]
    pub fn is_supported(&self) -> bool {
        self.ruling().is_none_or(|ruling| self.evidence.verdict() == Some(ruling))
    }
}

/// What every statement is held against.
struct Checker {
    server: ServerId,
    key: PublicKey,
}

impl Checker {
    fn new(document: &Document, asked: Option<ServerId>) -> Result<Self, Wrong> {
        let no_key = |_| {
            let said = text(&document.server.key);
            Wrong::Field(Differs { field: "server.key".to_owned(), said, signed: "a key in hexadecimal".to_owned() })
        };
        let key: PublicKey = document.server.key.parse().map_err(no_key)?;
        let server = ServerId::of(&key);
        match asked {
            Some(asked) if asked != server => Err(Wrong::OtherServer { is: server, asked }),
            Some(_) | None => Ok(Self { server, key }),
        }
    }

    /// The grants and entries, played one after the other.
    fn chain(&self, document: &Document) -> Result<Evidence, Wrong> {
        let mut grants = Vec::new();
        for (number, page) in (1..).zip(&document.grants) {
            let place = Place::Grant(number);
            grants.push((place, self.grant(page).map_err(at(place))?));
        }
        let mut grants = grants.into_iter().peekable();
        let (place, first) = grants.next().ok_or(Wrong::NoGrant)?;
        if first.body().base != Base::NONE {
            return Err(at(place)(Why::NotFirst));
        }
        let mut evidence = Evidence::new(first.into_signed()).map_err(|_| at(place)(Why::UnknownGame))?;
        for (number, page) in (1..).zip(&document.entries) {
            let place = Place::Entry(number);
            let entry = open(self.server, page, &page.signed, &page.signature, EntryPage::of).map_err(at(place))?;
            while let Some((place, grant)) = grants.next_if(|(_, grant)| grant.body().epoch <= entry.body.epoch) {
                regrant(&mut evidence, &grant).map_err(at(place))?;
            }
            let entry = self.entry(&evidence, entry).map_err(at(place))?;
            grow(&mut evidence, entry).map_err(at(place))?;
        }
        for (place, grant) in grants {
            regrant(&mut evidence, &grant).map_err(at(place))?;
        }
        Ok(evidence)
    }

    fn grant(&self, page: &GrantPage) -> Result<Verified<Grant>, Why> {
        let grant = open(self.server, page, &page.signed, &page.signature, GrantPage::of)?;
        if grant.body.server != self.server {
            return Err(Why::OtherServer(grant.body.server));
        }
        self.by_server(grant)
    }

    /// The entry, signed by its seat's key of its epoch.
    fn entry(&self, evidence: &Evidence, entry: Signed<Entry>) -> Result<Verified<Entry>, Why> {
        let Entry { match_id, epoch, seat, .. } = entry.body;
        of_match(evidence, match_id)?;
        let key = evidence.chain.key_of(epoch, seat).ok_or(Why::NoGrant(epoch))?;
        entry.verify(key, &self.server).map_err(|_| Why::Signature { by: Keeper::Player(seat) })
    }

    /// A receipt, and its keeper's place.
    fn receipt(&self, evidence: &Evidence, page: &HeldPage) -> Result<(usize, Verified<Held>), Why> {
        let slot = KEEPERS.iter().position(|keeper| keeper_word(*keeper) == page.keeper).ok_or_else(|| {
            let (said, signed) = (text(&page.keeper), "X, O or server".to_owned());
            Why::Field(Differs { field: "keeper".to_owned(), said, signed })
        })?;
        let keeper = KEEPERS[slot];
        let make = |server: &ServerId, held: &Signed<Held>| HeldPage::of(server, keeper, held);
        let held = open(self.server, page, &page.signed, &page.signature, make)?;
        let Held { match_id, epoch, plies, head } = held.body;
        of_match(evidence, match_id)?;
        let chain = &evidence.chain;
        let held = match keeper {
            Keeper::Server => self.by_server(held)?,
            Keeper::Player(seat) => {
                let key = chain.key_of(epoch, seat).ok_or(Why::NoGrant(epoch))?;
                let held = held.verify(key, &self.server).map_err(|_| Why::Signature { by: keeper })?;
                if *key != chain.grant().keys[seat.index()] {
                    return Err(Why::OldKey(seat));
                }
                held
            }
        };
        if chain.holds(epoch, Base { plies, head }) { Ok((slot, held)) } else { Err(Why::Unfitting { plies }) }
    }

    fn foul(&self, evidence: &Evidence, page: &FoulPage, number: usize) -> Result<Foul, Wrong> {
        let one = |page: &EntryPage| {
            let entry = open(self.server, page, &page.signed, &page.signature, EntryPage::of)?;
            self.entry(evidence, entry).map(Verified::into_signed)
        };
        let first = one(&page.first).map_err(at(Place::FoulFirst(number)))?;
        let second = one(&page.second).map_err(at(Place::FoulSecond(number)))?;
        let foul = Foul { first, second };
        if Evidence::proves(&foul) { Ok(foul) } else { Err(at(Place::Foul(number))(Why::NoFoul)) }
    }

    fn verdict(&self, evidence: &Evidence, page: &VerdictPage) -> Result<Verified<Verdict>, Why> {
        let verdict = open(self.server, page, &page.signed, &page.signature, VerdictPage::of)?;
        of_match(evidence, verdict.body.match_id)?;
        self.by_server(verdict)
    }

    fn by_server<T: Statement>(&self, statement: Signed<T>) -> Result<Verified<T>, Why> {
        statement.verify(&self.key, &self.server).map_err(|_| Why::Signature { by: Keeper::Server })
    }
}

/// The statement that was signed, if the page made of it is the one that people read. Its signature is not checked yet.
fn open<T: Statement, P: PartialEq + Serialize>(
    server: ServerId,
    page: &P,
    signed: &str,
    signature: &str,
    make: impl Fn(&ServerId, &Signed<T>) -> P,
) -> Result<Signed<T>, Why> {
    let bad = |field, what| Why::Hex { field, what };
    let bytes = HEXLOWER.decode(signed.as_bytes()).map_err(|_| bad("signed", "a statement"))?;
    let signature: Signature = signature.parse().map_err(|_| bad("signature", "64 bytes"))?;
    let (under, body) = sign::read(&bytes)?;
    if under != server {
        return Err(Why::OtherServer(under));
    }
    let statement = Signed { body, signature };
    same(page, &make(&server, &statement)).map_err(Why::Field)?;
    Ok(statement)
}

fn regrant(evidence: &mut Evidence, grant: &Verified<Grant>) -> Result<(), Why> {
    let (base, held) = (grant.body().base.plies, evidence.chain.plies());
    if base < held {
        return Err(Why::Drops { base, held });
    }
    Ok(evidence.regrant(grant)?)
}

/// Takes the next entry, and nothing but the next.
fn grow(evidence: &mut Evidence, entry: Verified<Entry>) -> Result<(), Why> {
    let merge = evidence.merge(&[], &[entry]);
    if let Some(why) = merge.refused {
        return Err(why.into());
    }
    if merge.adopt.is_empty() {
        return Err(Unplayable::Gap { want: evidence.chain.plies() }.into());
    }
    Ok(evidence.take(&merge)?)
}

fn of_match(evidence: &Evidence, match_id: MatchId) -> Result<(), Why> {
    if match_id == evidence.chain.grant().match_id { Ok(()) } else { Err(Why::OtherMatch(match_id)) }
}

fn at(place: Place) -> impl Fn(Why) -> Wrong {
    move |why| Wrong::In { place, why }
}

/// Fails with the first field in which two pages differ.
fn same<P: PartialEq + Serialize>(said: &P, signed: &P) -> Result<(), Differs> {
    if said == signed {
        return Ok(());
    }
    let json = |page: &P| serde_json::to_value(page).expect("a page is made of text, numbers and lists");
    Err(difference(String::new(), &json(said), &json(signed)))
}

fn difference(field: String, said: &serde_json::Value, signed: &serde_json::Value) -> Differs {
    use serde_json::Value::{Array, Object};
    let inner = |name: &str| if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
    if let (Object(a), Object(b)) = (said, signed)
        && let Some((name, said, signed)) =
            a.iter().filter_map(|(name, said)| Some((name, said, b.get(name)?))).find(|(_, a, b)| a != b)
    {
        return difference(inner(name), said, signed);
    }
    if let (Array(a), Array(b)) = (said, signed) {
        if let Some((number, (said, signed))) = (1..).zip(a.iter().zip(b)).find(|(_, (a, b))| a != b) {
            return difference(inner(&format!("{number}")), said, signed);
        }
        let count = |list: &Vec<_>| format!("{} long", list.len());
        return Differs { field, said: count(a), signed: count(b) };
    }
    Differs { field, said: said.to_string(), signed: signed.to_string() }
}

/// A text as it stands in the document.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn keeper_name(keeper: Keeper) -> String {
    match keeper {
        Keeper::Player(seat) => seat.to_string(),
        Keeper::Server => "the server".to_owned(),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant(number) => write!(to, "grant {number}"),
            Self::Entry(number) => write!(to, "entry {number}"),
            Self::Receipt(number) => write!(to, "receipt {number}"),
            Self::FoulFirst(number) => write!(to, "the first entry of foul {number}"),
            Self::FoulSecond(number) => write!(to, "the second entry of foul {number}"),
            Self::Foul(number) => write!(to, "foul {number}"),
            Self::Verdict => to.write_str("the verdict"),
        }
    }
}

#[cfg(test)]
mod tests;
