//! The server: the real engine on the real state, with both players' connections open.

use std::hash::{DefaultHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::Mutant;
use super::cast::{MATCH, USERS, first_grant, key_of, names, seat_of, server_key};
use crate::model::decide::{self, Points};
use crate::model::engine::{self, Effect, Engine, Settings};
use crate::model::evidence::{Evidence, Keeper};
use crate::model::fact::Fact;
use crate::model::game::Match;
use crate::model::games::Seat;
use crate::model::id::{Boot, ConnId, Lsn, RequestSeq, Run, SessionId};
use crate::model::key::{ServerId, Signature};
use crate::model::message::{Command, Have, KeeperMessage, Proofs, ResumeRequest, ToClient};
use crate::model::password::PasswordHash;
use crate::model::replay::Replay;
use crate::model::sign::{Signed, Verified};
use crate::model::state::State;
use crate::model::statement::{Entry, Grant, Promise, Ruling};
use crate::model::time::{Now, WallMs};

/// The server at one moment, with a number that tells it from every other.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) it: Arc<Engine>,
    pub(super) print: u64,
    /// Whether the verdict is what the evidence says, the points are what the verdict says, and every entry held has the
    /// signature of its seat in its epoch.
    pub(super) sound: Result<(), &'static str>,
}

/// What reaches the server, by which player's connection.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Keeper(Seat, KeeperMessage),
    Stored(Seat, Ruling),
    /// The device asks for its seat.
    TakeSeat(usize),
    Restart,
}

/// What comes of it.
#[derive(Clone, Debug)]
pub(super) struct Stepped {
    pub(super) server: Server,
    pub(super) out: Vec<(Seat, ToClient)>,
}

/// A server that knows the players and no match.
fn founded() -> State {
    let mut state = State::default();
    let mut apply = |fact: Fact| state.apply(&fact).unwrap();
    let server = ServerId::of(&server_key().public());
    apply(Fact::Booted { boot: Boot { number: 1, nonce: 1 }, server, at: WallMs(0) });
    for (at, name) in names().into_iter().enumerate() {
        let (user, password) = (USERS[at], PasswordHash::new(String::new()));
        apply(Fact::AccountAdded { user, name, password, origin: None, points: 0, at: WallMs(0) });
        let device = key_of(10 + at).public();
        apply(Fact::LoggedIn { session: session(at), user, device, at: WallMs(0) });
    }
    state
}

fn session(at: usize) -> SessionId {
    SessionId([u8::try_from(at).unwrap() + 1; 16])
}

const fn conn(seat: Seat) -> ConnId {
    ConnId(1 + seat.index() as u64)
}

impl Server {
    /// With the match just granted.
    pub(super) fn granted() -> Self {
        let mut state = founded();
        state.apply(&Fact::MatchStarted { grant: first_grant().body }).unwrap();
        Self::of(start(state, false))
    }

    /// That has lost all but the accounts.
    pub(super) fn wiped() -> Self {
        Self::of(start(founded(), false))
    }

    /// That was restored to this state, and knows it.
    pub(super) fn restored(&self) -> Self {
        Self::of(start(self.it.state().clone(), true))
    }

    fn of(engine: Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.picture(MATCH, &mut hasher);
        Self { print: hasher.finish(), sound: sound(engine.state()), it: Arc::new(engine) }
    }

    /// The match, while it is not filed away.
    pub(super) fn game(&self) -> Option<&Match> {
        self.it.state().game(MATCH)
    }

    /// The standing verdict.
    pub(super) fn ruling(&self) -> Option<Ruling> {
        self.it.state().settled(MATCH).map(|settled| settled.ruling)
    }

    /// How much it holds.
    pub(super) fn have(&self) -> Have {
        let of = self.game().map(|of| (of.grant().epoch, of.evidence.chain.head()));
        let (epoch, head) = of.unwrap_or((0, crate::model::statement::Base::NONE));
        Have { match_id: MATCH, epoch, head }
    }

    /// Carries an input out, with signatures checked as the connection does.
    pub(super) fn step(&self, input: &Input, mutant: Option<Mutant>) -> Stepped {
        let mut engine = (*self.it).clone();
        let mut out = Vec::new();
        match input {
            Input::Restart => {
                engine = start(engine.state().clone(), false);
            }
            Input::Keeper(seat, message) => {
                self.mutate(&mut engine, message, mutant, &mut out);
                if let Some(input) = self.checked(*seat, message) {
                    out.extend(feed(&mut engine, input));
                }
            }
            Input::Stored(seat, ruling) => {
                let input = engine::Input::Stored { conn: conn(*seat), match_id: MATCH, ruling: *ruling };
                out.extend(feed(&mut engine, input));
            }
            Input::TakeSeat(who) => {
                let seq = RequestSeq(engine.lsns().0.0 + 1);
                let command = Command::TakeSeat { match_id: MATCH, key: key_of(*who).public() };
                out.extend(feed(&mut engine, engine::Input::Request { conn: conn(seat_of(*who)), seq, command }));
                if mutant == Some(Mutant::GrantsUnasked) {
                    let of = engine.state().game(MATCH).cloned();
                    out.extend(of.and_then(|of| forced(&of)).map(|fact| grant(&mut engine, fact)).unwrap_or_default());
                }
            }
        }
        let recovering = engine.state().game(MATCH).filter(|of| of.recovering);
        if let Some(of) = recovering.filter(|_| mutant == Some(Mutant::RecoveringSaysHeld)) {
            let held = Signed::by(&server_key(), &of.grant().server, of.evidence.held());
            let message = KeeperMessage::Held { keeper: Keeper::Server, held };
            out.push((Seat::X, ToClient::Keeper(message)));
        }
        Stepped { server: Self::of(engine), out }
    }

    /// Rules left out, to see that they are needed.
    fn mutate(
        &self,
        engine: &mut Engine,
        message: &KeeperMessage,
        mutant: Option<Mutant>,
        out: &mut Vec<(Seat, ToClient)>,
    ) {
        let (Some(of), KeeperMessage::Promise(promise)) = (self.game(), message) else { return };
        let mut of = of.clone();
        match mutant {
            Some(Mutant::RecoveringGrants) => of.recovering = false,
            Some(Mutant::GrantsAfterVerdict) if of.ruling.is_some() => {
                out.extend(forced(&of).map(|fact| grant(engine, fact)).unwrap_or_default());
                return;
            }
            _ => return,
        }
        let promise = Verified::from_disk(promise.clone());
        let stays = Seat::BOTH.into_iter().find(|seat| of.asked[seat.index()].is_none());
        if let Some(fact) = stays.and_then(|seat| decide::regrant(&of, Some((seat, &promise)))) {
            out.extend(grant(engine, fact));
        }
    }

    fn checked(&self, seat: Seat, message: &KeeperMessage) -> Option<engine::Input> {
        let conn = conn(seat);
        match message.clone() {
            KeeperMessage::Have(have) => Some(engine::Input::Have { conn, have }),
            KeeperMessage::Entries(some) => {
                let grants = granted(some.grants)?;
                let entries: Option<Vec<_>> =
                    some.entries.into_iter().map(|entry| self.authentic(entry, &grants)).collect();
                // As a connection that was never told of that epoch.
                Some(match entries {
                    Some(entries) => engine::Input::Entries { conn, match_id: MATCH, grants, entries },
                    None => engine::Input::Ungranted { conn, match_id: MATCH },
                })
            }
            KeeperMessage::Held { held, .. } => {
                let (_, held) = self.signed(held.body.epoch, &held)?;
                Some(engine::Input::Held { conn, held })
            }
            KeeperMessage::Evidence(Proofs { grants, fouls, .. }) => {
                let grants = granted(grants)?;
                let pair = |foul: crate::model::statement::Foul| {
                    Some([self.authentic(foul.first, &grants)?, self.authentic(foul.second, &grants)?])
                };
                let pairs = fouls.into_iter().filter_map(pair).collect();
                Some(engine::Input::Proofs { conn, match_id: MATCH, pairs })
            }
            KeeperMessage::Promise(promise) => {
                let (seat, promise) = self.signed::<Promise>(promise.body.epoch.checked_sub(1)?, &promise)?;
                Some(engine::Input::Promise { conn, seat, promise })
            }
            KeeperMessage::Verdict(_) => None,
        }
    }

    fn authentic(&self, entry: Signed<Entry>, grants: &[Verified<Grant>]) -> Option<Verified<Entry>> {
        let (epoch, seat) = (entry.body.epoch, entry.body.seat);
        let shown = grants.iter().map(Verified::body).find(|grant| grant.epoch == epoch);
        let shown = shown.map(|grant| grant.keys[seat.index()]);
        let key = shown.or_else(|| self.game()?.evidence.chain.key_of(epoch, seat).copied())?;
        entry.verify(&key, &first_grant().body.server).ok()
    }

    fn signed<T: crate::model::sign::Statement + Clone>(
        &self,
        epoch: u32,
        signed: &Signed<T>,
    ) -> Option<(Seat, Verified<T>)> {
        let chain = &self.game()?.evidence.chain;
        let by = |seat: Seat| {
            let key = chain.key_of(epoch, seat)?;
            Some((seat, signed.clone().verify(key, &chain.grant().server).ok()?))
        };
        Seat::BOTH.into_iter().find_map(by)
    }
}

/// The grant that would be given if nothing had to be asked.
fn forced(of: &Match) -> Option<Fact> {
    let now = of.grant();
    let keys = [0, 1].map(|at| of.asked[at].unwrap_or(now.keys[at]));
    (keys != now.keys).then(|| Fact::Regranted {
        grant: Grant { epoch: now.epoch + 1, base: of.evidence.chain.head(), keys, ..now.clone() },
    })
}

/// Gives a grant and sends it to both.
fn grant(engine: &mut Engine, fact: Fact) -> Vec<(Seat, ToClient)> {
    engine.force(vec![fact]);
    let grant = engine.state().game(MATCH).unwrap().grant().clone();
    let sealed = Signed::by(&server_key(), &grant.server.clone(), grant);
    let entries = crate::model::message::Entries { match_id: MATCH, grants: vec![sealed], entries: Vec::new() };
    flush(engine);
    vec![(Seat::X, ToClient::Keeper(KeeperMessage::Entries(entries)))]
}

fn granted(grants: Vec<Signed<Grant>>) -> Option<Vec<Verified<Grant>>> {
    let key = server_key().public();
    grants.into_iter().map(|grant| grant.verify(&key, &ServerId::of(&key)).ok()).collect()
}

/// A run on this state, with both players' sessions taken up again.
fn start(state: State, lost: bool) -> Engine {
    let number = state.head().boot.number + 1;
    let server = ServerId::of(&server_key().public());
    let mut engine = Engine::new(Settings::default(), server, state, Lsn(0), [0; 32]);
    let boot = Boot { number, nonce: number };
    feed(&mut engine, engine::Input::Booted(boot));
    if lost {
        feed(&mut engine, engine::Input::StateLost);
    }
    for seat in Seat::BOTH {
        let (conn, run) = (conn(seat), Run(1));
        feed(&mut engine, engine::Input::Opened { conn, ip: IpAddr::V4(Ipv4Addr::LOCALHOST), run });
        let seen = (Boot { number: 0, nonce: 0 }, Lsn(0));
        let request = ResumeRequest { session: session(seat.index()), signature: Signature::EMPTY, seen };
        feed(&mut engine, engine::Input::Resume { conn, request });
        feed(&mut engine, engine::Input::ResumeChecked { conn, good: true });
    }
    engine
}

fn flush(engine: &mut Engine) {
    let (appended, flushed) = engine.lsns();
    if appended > flushed {
        engine.handle(Now(0), WallMs(0), engine::Input::Flushed(appended));
    }
}

/// Gives an input, syncs, and takes what is sent, signed.
fn feed(engine: &mut Engine, input: engine::Input) -> Vec<(Seat, ToClient)> {
    engine.handle(Now(0), WallMs(0), input);
    flush(engine);
    let mut sent = Vec::new();
    while let Some(effect) = engine.poll_effect() {
        if let Effect::Send { conn, mut message } = effect {
            message.seal(&server_key(), &ServerId::of(&server_key().public()));
            let to = Seat::BOTH.into_iter().find(|seat| self::conn(*seat) == conn).unwrap();
            sent.push((to, *message));
        }
    }
    assert!(engine.is_quiet(), "all that was decided is on disk and sent");
    sent
}

fn sound(state: &State) -> Result<(), &'static str> {
    let settled = state.settled(MATCH).map(|settled| settled.ruling);
    if let Some(of) = state.game(MATCH) {
        if of.ruling != of.evidence.verdict() {
            return Err("the verdict is not what the evidence says");
        }
        if of.ruling != settled {
            return Err("the recorded verdict is another one");
        }
        let chain = &of.evidence.chain;
        for entry in chain.entries_from(0) {
            let key = chain.key_of(entry.body().epoch, entry.body().seat);
            if key.is_none_or(|key| entry.signed().clone().verify(key, &chain.grant().server).is_err()) {
                return Err("a key writes into an epoch that is not its own");
            }
        }
    }
    for seat in Seat::BOTH {
        let points = settled.map_or(0, |ruling| Points::default().of(ruling.fared(seat)));
        if state.account(USERS[seat.index()]).map(|account| account.tally.points) != Some(points) {
            return Err("the points are not those of the standing verdict");
        }
    }
    Ok(())
}

impl Input {
    /// The same for the same input.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Keeper(seat, message) => {
                super::item::digest((11, seat, super::client::Input::Keeper(message.clone()).number()))
            }
            Self::Stored(seat, ruling) => super::item::digest((12, seat, super::ruling_number(Some(*ruling)))),
            Self::TakeSeat(who) => super::item::digest((13, who)),
            Self::Restart => super::item::digest(14),
        }
    }
}

/// What the server holds of the match, while it is not filed away.
pub(super) fn evidence(server: &Server) -> Option<&Evidence> {
    server.game().map(|of| &of.evidence)
}
