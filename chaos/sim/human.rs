//! A player at a keyboard, who outlives every process: what is typed, when, and what was shown. Pure.
//!
//! What must hold: what is typed depends on what was shown, the time and the seed alone; each command is in the history
//! once, and so is what came of it.

use std::collections::{BTreeSet, VecDeque};

use rejoin::chaos::history::{Call, End, Points, Record, Told, What};
use rejoin::model::client::command::Typed;
use rejoin::model::client::event::{Event, LinkState, Reply};
use rejoin::model::games::GameSpec;
use rejoin::model::id::Name;
use rejoin::model::password::Password;
use rejoin::store::faulty::Seeded;

/// Between the numbers of commands of a player and of somebody who stays at a device that was left.
const STAYS_OP: u64 = 1 << 32;
/// After a refusal.
const AGAIN_AFTER_MS: u64 = 150;
/// Between two looks at a table where it is the other's turn.
const WAITING_MS: u64 = 250;

/// Somebody who plays.
#[derive(Clone)]
pub(crate) struct Human {
    pub(crate) name: String,
    /// The other of the pair; nobody for one who only looks around.
    partner: Option<String>,
    /// Whether it is this one who invites.
    invites: bool,
    game: String,
    think_ms: u64,
    whims: u8,
    is_prompt: bool,
    /// Matches to be played.
    wanted: usize,
    random: Seeded,
    /// Number of the device in use, from 1, and of the newest one.
    device: u8,
    newest: u8,
    /// Next number of a command; numbers of two players differ.
    op: u64,
    step: u64,
    pending: VecDeque<(u64, Call, Typed)>,
    account: bool,
    /// Whether the client has said that it is logged in, and nothing since that it is not.
    session: bool,
    /// The right one is among these.
    passwords: Vec<String>,
    /// Every one that ever was.
    all_passwords: Vec<String>,
    next_password: u32,
    live: bool,
    invited: bool,
    table: Option<Table>,
    /// Matches begun, and neither over nor left, as far as it was shown.
    open: BTreeSet<String>,
    done: BTreeSet<String>,
    act_at_ms: u64,
    /// Somebody who has stayed at a device that its player has left: plays on, and nothing else.
    stays: bool,
}

/// The match one sits in.
#[derive(Clone, Debug)]
struct Table {
    match_id: String,
    you: String,
    ply: u16,
    turn: Option<String>,
    rows: Vec<String>,
    decided: bool,
}

/// How far a player has come; the rows of the table of faults and states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Outside,
    LoggedIn,
    Invited,
    OwnTurn,
    OthersTurn,
    Decided,
    Done,
}

impl Phase {
    pub(crate) const ALL: [Self; 7] =
        [Self::Outside, Self::LoggedIn, Self::Invited, Self::OwnTurn, Self::OthersTurn, Self::Decided, Self::Done];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::LoggedIn => "logged-in",
            Self::Invited => "invited",
            Self::OwnTurn => "own-turn",
            Self::OthersTurn => "other's",
            Self::Decided => "decided",
            Self::Done => "done",
        }
    }
}

/// How somebody plays.
pub(crate) struct Ways<'a> {
    pub(crate) game: &'a str,
    pub(crate) think_ms: u64,
    pub(crate) whims: u8,
    pub(crate) matches: u8,
    /// Whether what is typed is read before anything else is shown: only then a move off turn is surely one.
    pub(crate) is_prompt: bool,
}

impl Human {
    /// Player `number` of `players`; the even ones invite the one after them.
    pub(crate) fn new(seed: u64, number: u8, players: u8, ways: &Ways<'_>) -> Self {
        let mut random = Seeded(seed ^ (u64::from(number) + 1).wrapping_mul(0x9e37_79b9_97f4_a7c1));
        let partner = (number < players).then(|| format!("p{}", number ^ 1));
        let first = 1 + random.up_to(100) as u64;
        Self {
            name: format!("p{number}"),
            partner,
            invites: number.is_multiple_of(2),
            game: ways.game.to_owned(),
            think_ms: ways.think_ms,
            whims: ways.whims,
            is_prompt: ways.is_prompt,
            wanted: usize::from(ways.matches),
            random,
            device: 1,
            newest: 1,
            op: u64::from(number),
            step: 1000,
            pending: VecDeque::new(),
            account: false,
            session: false,
            passwords: vec![format!("secret of p{number} 0")],
            all_passwords: vec![format!("secret of p{number} 0")],
            next_password: 1,
            live: false,
            invited: false,
            table: None,
            open: BTreeSet::new(),
            done: BTreeSet::new(),
            act_at_ms: first,
            stays: false,
        }
    }

    /// Who stays at the device that this one leaves; nobody else in the world has that number.
    pub(crate) fn who_stays(&self, number: usize) -> Self {
        let (pending, passwords, all_passwords) = (VecDeque::new(), Vec::new(), Vec::new());
        let (account, invites, whims, stays) = (false, false, 0, true);
        // Numbers of its commands lie far from those of all others.
        let op = self.op + STAYS_OP * number as u64;
        Self { pending, passwords, all_passwords, account, invites, whims, stays, op, partner: None, ..self.clone() }
    }

    /// Sits down at another device while the process at this one goes on; what it was asked here and has not answered is
    /// unknown.
    pub(crate) fn leaves(&mut self, now_ms: u64, device: Option<u8>, history: &mut Vec<Record>) {
        for (op, _, _) in std::mem::take(&mut self.pending) {
            history.push(self.line(now_ms, What::Unknown { op }));
        }
        (self.live, self.table, self.invited, self.session) = (false, None, false, false);
        self.newest += u8::from(device.is_none());
        self.device = device.unwrap_or(self.newest);
    }

    /// Whether this is who has stayed at a device that was left.
    pub(crate) const fn stays(&self) -> bool {
        self.stays
    }

    /// What the device in use is called in the history.
    pub(crate) fn who(&self) -> String {
        if self.device == 1 { self.name.clone() } else { format!("{}.{}", self.name, self.device) }
    }

    /// When to call [`act`](Self::act) again, if nothing is shown before.
    pub(crate) const fn due_ms(&self) -> u64 {
        self.act_at_ms
    }

    /// Whether all that was to be played is played, and told as recorded.
    pub(crate) fn is_done(&self) -> bool {
        self.stays
            || self.partner.is_none() && self.account
            || self.partner.is_some() && self.done.len() >= self.wanted && self.open.is_empty()
    }

    /// From now on nothing more is begun.
    pub(crate) fn last_match(&mut self) {
        self.wanted = self.wanted.min(self.done.len() + self.open.len());
        self.whims = 0;
    }

    /// How far it has come, as far as it knows; `user` is who the client says is logged in.
    pub(crate) fn phase(&self, user: Option<&str>) -> Phase {
        match &self.table {
            Some(table) if table.decided => Phase::Decided,
            Some(table) if table.turn.as_deref() == Some(&table.you) => Phase::OwnTurn,
            Some(_) => Phase::OthersTurn,
            None if self.is_done() => Phase::Done,
            None if self.invited => Phase::Invited,
            None if user.is_some() => Phase::LoggedIn,
            None => Phase::Outside,
        }
    }

    /// Whether it is logged in at its device for all it knows, so that a new process there need not ask.
    pub(crate) const fn has_session(&self) -> bool {
        self.session
    }

    /// Whether it was shown the recorded result of a match.
    pub(crate) fn knows_result(&self, match_id: &str) -> bool {
        self.done.contains(match_id)
    }

    /// The match it sits in.
    pub(crate) fn match_id(&self) -> Option<&str> {
        self.table.as_ref().map(|table| table.match_id.as_str())
    }

    /// The passwords one of which is the right one, and whether there is an account for sure.
    pub(crate) fn passwords(&self) -> (&[String], bool) {
        (&self.passwords, self.account)
    }

    /// The process has begun, on the disk it had.
    pub(crate) fn started(&mut self, now_ms: u64, history: &mut Vec<Record>) {
        self.act_at_ms = self.act_at_ms.max(now_ms);
        history.push(self.line(now_ms, What::Started));
    }

    /// The process is gone; what it was asked and has not answered is unknown.
    pub(crate) fn ended(&mut self, now_ms: u64, how: End, history: &mut Vec<Record>) {
        for (op, _, _) in std::mem::take(&mut self.pending) {
            history.push(self.line(now_ms, What::Unknown { op }));
        }
        history.push(self.line(now_ms, What::Ended { how }));
        (self.live, self.table, self.invited) = (false, None, false);
    }

    /// The server has lost its state, and what was put back may be older than the newest password.
    pub(crate) fn server_is_restored(&mut self) {
        self.passwords.clone_from(&self.all_passwords);
    }

    /// It sits down at another device; the process there has not begun.
    pub(crate) const fn changes_device(&mut self) {
        self.newest += 1;
        self.device = self.newest;
        self.session = false;
    }

    /// Something was shown.
    pub(crate) fn shown(&mut self, now_ms: u64, event: &Event, history: &mut Vec<Record>) {
        if let Some(told) = told(event) {
            history.push(self.line(now_ms, What::Told { told }));
        }
        match event {
            Event::Link { state, .. } => self.live = *state == LinkState::Live,
            Event::Reply(reply) => self.answered(now_ms, reply, history),
            Event::Invited { .. } => {
                self.invited = true;
                self.hurry(now_ms);
            }
            Event::InviteClosed { .. } => self.invited = false,
            Event::Match { match_id, you, .. } => {
                let (match_id, you) = (match_id.clone(), you.clone());
                self.invited = false;
                if !self.done.contains(&match_id) {
                    self.open.insert(match_id.clone());
                }
                self.table = Some(Table { match_id, you, ply: 0, turn: None, rows: Vec::new(), decided: false });
            }
            Event::Board { match_id, ply, turn, rows, .. } => {
                if let Some(table) = self.table.as_mut().filter(|table| table.match_id == *match_id) {
                    (table.ply, table.turn, table.rows) = (*ply, turn.clone(), rows.clone());
                    // A newer grant takes the move back that had decided it, if another device had the seat by then.
                    table.decided &= turn.is_none();
                    if table.turn.as_deref() == Some(&table.you) {
                        self.act_at_ms = now_ms + 1 + self.draw(self.think_ms);
                    }
                }
            }
            Event::Result { match_id, recorded, .. } => {
                if *recorded {
                    self.open.remove(match_id);
                    self.done.insert(match_id.clone());
                }
                match self.table.take_if(|table| table.match_id == *match_id) {
                    Some(mut table) if !recorded => {
                        table.decided = true;
                        self.table = Some(table);
                    }
                    Some(_) => self.hurry(now_ms),
                    None => {}
                }
            }
            Event::Suspended { match_id, .. } | Event::Offered { match_id, .. } => {
                self.open.remove(match_id);
                drop(self.table.take_if(|table| table.match_id == *match_id));
                self.hurry(now_ms);
            }
            Event::Notice { code: "session-ended", .. } => (self.table, self.session) = (None, false),
            Event::Move { .. } | Event::Path { .. } | Event::Opponent { .. } | Event::Notice { .. } => {}
        }
    }

    fn hurry(&mut self, now_ms: u64) {
        self.act_at_ms = self.act_at_ms.min(now_ms + 1 + self.draw(self.think_ms));
    }

    fn answered(&mut self, now_ms: u64, reply: &Reply, history: &mut Vec<Record>) {
        let Some(at) = self.pending.iter().position(|(_, _, typed)| typed.word() == reply.command) else { return };
        let (op, call, _) = self.pending.remove(at).expect("it was found there");
        match (reply.ok, reply.error) {
            (true, _) => {
                history.push(self.line(now_ms, What::Ok { op }));
                self.learned(&call);
                self.hurry(now_ms);
            }
            (false, error) => {
                let error = error.unwrap_or("none").to_owned();
                self.refused(&call, &error);
                history.push(self.line(now_ms, What::Fail { op, error }));
                self.act_at_ms = now_ms + AGAIN_AFTER_MS;
            }
        }
    }

    fn learned(&mut self, call: &Call) {
        match call {
            Call::AddUser { .. } => self.account = true,
            Call::Login { password, .. } => {
                self.passwords = vec![password.clone()];
                self.session = true;
            }
            Call::Passwd { new, .. } => self.passwords = vec![new.clone()],
            Call::Leave { match_id } => {
                self.open.remove(match_id);
                self.table = None;
            }
            Call::Logout { .. } => self.table = None,
            Call::Begin { .. } | Call::Accept { .. } | Call::Send { .. } | Call::End { .. } | Call::Ask { .. } => {}
        }
    }

    fn refused(&mut self, call: &Call, error: &str) {
        match (call, error) {
            (Call::AddUser { .. }, "user-exists") => self.account = true,
            (Call::Login { password, .. }, "wrong-password") => {
                self.passwords.retain(|other| other != password);
                if self.passwords.is_empty() {
                    self.account = false;
                    self.passwords.push(password.clone());
                }
            }
            (Call::Accept { .. }, _) => self.invited = false,
            (Call::Passwd { new, .. }, _) => self.passwords.retain(|other| other != new),
            (_, _) => {}
        }
    }

    /// What it types, if it is time; `user` is who the client says is logged in.
    pub(crate) fn act(&mut self, now_ms: u64, user: Option<&str>, history: &mut Vec<Record>) -> Option<Typed> {
        if now_ms < self.act_at_ms {
            return None;
        }
        self.act_at_ms = now_ms + WAITING_MS;
        if !self.pending.is_empty() {
            return None;
        }
        let (call, typed) = self.choose(user)?;
        self.session &= !matches!(call, Call::Logout { .. });
        let op = self.op + self.step;
        self.op = op;
        history.push(self.line(now_ms, What::Invoke { op, call: call.clone() }));
        self.pending.push_back((op, call, typed.clone()));
        Some(typed)
    }

    fn choose(&mut self, user: Option<&str>) -> Option<(Call, Typed)> {
        if self.stays && self.table.is_none() {
            return None;
        }
        if user.is_none() && !self.stays {
            // Before there is a link nothing can be done about it.
            return self.live.then(|| self.enter());
        }
        match self.table.clone() {
            Some(table) => self.at_table(table),
            None => self.at_the_door(),
        }
    }

    fn enter(&mut self) -> (Call, Typed) {
        let (user, name) = (self.name.clone(), name(&self.name));
        if !self.account {
            let password = self.passwords[0].clone();
            let typed = Typed::AddUser(name, secret(&password));
            return (Call::AddUser { user, password }, typed);
        }
        let some = self.random.up_to(self.passwords.len() - 1);
        let password = self.passwords[some].clone();
        let typed = Typed::Login(name, secret(&password));
        (Call::Login { user, password }, typed)
    }

    fn at_table(&mut self, table: Table) -> Option<(Call, Typed)> {
        let own = table.turn.as_deref() == Some(&table.you);
        // Who is asked to another table while sitting at one may say yes.
        if self.invited && self.whims > 0 && self.random.up_to(3) == 0 {
            return Some(self.play_elsewhere(&table));
        }
        if !table.decided && self.random.up_to(99) < usize::from(self.whims) {
            return Some(self.whim(&table));
        }
        if table.decided || !own {
            return None;
        }
        let cells = free_cells(&table.rows);
        if cells.is_empty() {
            return None;
        }
        let (row, col) = cells[self.random.up_to(cells.len() - 1)];
        let call = Call::Send { match_id: table.match_id, ply: table.ply, row, col };
        Some((call, Typed::Send(vec![row.to_string(), col.to_string()])))
    }

    /// Something else than a move.
    fn whim(&mut self, table: &Table) -> (Call, Typed) {
        let match_id = table.match_id.clone();
        let ask = |typed: Typed| (Call::Ask { word: typed.word().to_owned() }, typed);
        match self.random.up_to(14) {
            0 => (Call::End { match_id }, Typed::End),
            1 => (Call::Leave { match_id }, Typed::Leave),
            2 => self.change_password(),
            3 => (Call::Logout { user: self.name.clone() }, Typed::Logout),
            4 | 5 => ask(Typed::Leaders),
            6 | 7 => ask(Typed::List),
            8 => ask(Typed::Delay),
            9 => ask(Typed::Board),
            10 | 11 => self.play_elsewhere(table),
            12 | 13 if self.is_prompt => self.play_anywhere(table),
            _ => ask(Typed::Status),
        }
    }

    /// Another match, of another game, with the same partner; be it by an invitation to one.
    fn play_elsewhere(&self, table: &Table) -> (Call, Typed) {
        let Some(partner) = self.partner.clone() else { return (ask_status(), Typed::Status) };
        if self.invited {
            return (Call::Accept { opponent: partner.clone() }, Typed::Accept(Some(name(&partner))));
        }
        let other = if table.rows.len() == 3 { "connect4" } else { "tictactoe" };
        let spec = GameSpec::named(other).expect("there are these games");
        (Call::Begin { opponent: partner.clone() }, Typed::Begin(name(&partner), spec))
    }

    /// A move, whoever's turn it is.
    fn play_anywhere(&mut self, table: &Table) -> (Call, Typed) {
        let cells = free_cells(&table.rows);
        let Some((row, col)) = cells.get(self.random.up_to(cells.len().max(1) - 1)).copied() else {
            return (ask_status(), Typed::Status);
        };
        let call = Call::Send { match_id: table.match_id.clone(), ply: table.ply, row, col };
        (call, Typed::Send(vec![row.to_string(), col.to_string()]))
    }

    fn change_password(&mut self) -> (Call, Typed) {
        let (old, new) = (self.passwords[0].clone(), format!("secret of {} {}", self.name, self.next_password));
        self.next_password += 1;
        let typed = Typed::Passwd(secret(&old), secret(&new));
        // Until the answer comes either may be the right one.
        self.passwords.push(new.clone());
        self.all_passwords.push(new.clone());
        (Call::Passwd { user: self.name.clone(), old, new }, typed)
    }

    fn at_the_door(&mut self) -> Option<(Call, Typed)> {
        let partner = self.partner.clone()?;
        if self.done.len() >= self.wanted {
            return None;
        }
        let call = if self.invited {
            (Call::Accept { opponent: partner.clone() }, Typed::Accept(Some(name(&partner))))
        } else if self.invites {
            let spec = GameSpec::named(&self.game).expect("plans name games that there are");
            (Call::Begin { opponent: partner.clone() }, Typed::Begin(name(&partner), spec))
        } else {
            return None;
        };
        Some(call)
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random.up_to(usize::try_from(below).unwrap_or(0)) as u64
    }

    fn line(&self, at_ms: u64, what: What) -> Record {
        Record { at_ms, who: self.who(), what }
    }
}

fn ask_status() -> Call {
    Call::Ask { word: Typed::Status.word().to_owned() }
}

/// The cells a move can be made to, as row and column from 1.
fn free_cells(rows: &[String]) -> Vec<(u16, u16)> {
    // Of the games that are played here one has six rows, and its stones fall.
    let falls = rows.len() == 6;
    let is_free = |row: usize, col: usize| rows[row].as_bytes().get(col) == Some(&b'.');
    let mut cells = Vec::new();
    for (row, text) in rows.iter().enumerate() {
        for col in 0..text.len() {
            let rests = !falls || row + 1 == rows.len() || !is_free(row + 1, col);
            if is_free(row, col) && rests {
                cells.push((u16::try_from(row + 1).expect("boards are small"), u16::try_from(col + 1).expect("so")));
            }
        }
    }
    cells
}

/// What a history keeps of something that was shown.
fn told(event: &Event) -> Option<Told> {
    let word = |value: &dyn words::Word| value.word();
    Some(match event {
        Event::Link { state, outage_ms, attempts } => {
            Told::Link { state: word(state), outage_ms: *outage_ms, attempts: *attempts }
        }
        Event::Reply(reply) => Told::Leaders {
            rows: reply
                .rows
                .as_ref()?
                .iter()
                .map(|row| Points {
                    name: row.name.as_str().to_owned(),
                    points: row.points,
                    wins: row.wins,
                    draws: row.draws,
                    losses: row.losses,
                })
                .collect(),
        },
        Event::Match { match_id, you, opponent, game } => {
            Told::Match { match_id: match_id.clone(), you: you.clone(), opponent: opponent.clone(), game: game.clone() }
        }
        Event::Board { match_id, ply, rows, .. } => {
            Told::Board { match_id: match_id.clone(), ply: *ply, rows: rows.clone() }
        }
        Event::Move { match_id, ply, by, row, col, resigns, state, acknowledged } => Told::Move {
            match_id: match_id.clone(),
            ply: *ply,
            by: by.clone(),
            row: *row,
            col: *col,
            resigns: *resigns,
            state: word(state),
            acknowledged: *acknowledged,
        },
        Event::Result { match_id, outcome, why, agreed, recorded } => Told::Result {
            match_id: match_id.clone(),
            outcome: word(outcome),
            why: why.clone(),
            agreed: *agreed,
            recorded: *recorded,
        },
        // What is offered is suspended: a match that the other has left meanwhile, as well.
        Event::Suspended { match_id, .. } | Event::Offered { match_id, .. } => {
            Told::Suspended { match_id: match_id.clone() }
        }
        Event::Path { path } => Told::Path { path: word(path) },
        Event::Notice { code, .. } => Told::Notice { code: (*code).to_owned() },
        Event::Invited { .. } | Event::InviteClosed { .. } | Event::Opponent { .. } => return None,
    })
}

/// The word a value has in JSON.
mod words {
    use rejoin::model::client::event::{LinkState, MoveState, PathKind};
    use rejoin::model::statement::Fared;

    pub(super) trait Word {
        fn word(&self) -> String;
    }

    macro_rules! words {
        ($($kind:ty { $($variant:ident => $word:literal),+ })+) => {
            $(impl Word for $kind {
                fn word(&self) -> String {
                    match self { $(Self::$variant => $word.to_owned()),+ }
                }
            })+
        };
    }

    words! {
        LinkState { Down => "down", Dialing => "dialing", Resuming => "resuming", Live => "live" }
        MoveState { Sent => "sent", Seen => "seen", Kept => "kept" }
        PathKind { Direct => "direct", Server => "server", None => "none" }
        Fared { Win => "win", Draw => "draw", Loss => "loss", Void => "void" }
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("players have good names")
}

fn secret(text: &str) -> Password {
    Password::new(text).expect("players choose good passwords")
}
