//! The network of a world: machines with addresses, links between them, connections over the links.
//!
//! What must hold: bytes of a connection come in the order they were sent, once; a link that is cut loses nothing, because
//! TCP sends again what was not confirmed, it only comes later; whoever has no power hears and says nothing; all delays
//! come from the seed. The simulator's own TCP does not send again and takes a lost SYN for a refusal, so only its
//! machines and their time are used.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use rejoin::store::faulty::{FaultyDisk, Seeded};

/// The number of a machine.
pub(super) type MachineId = usize;

/// A handle of the network.
#[derive(Clone)]
pub(super) struct Wires(Arc<Mutex<Fabric>>);

/// All of the network.
pub(super) struct Fabric {
    pub(super) random: Seeded,
    pub(super) machines: Vec<Machine>,
    links: BTreeMap<(MachineId, MachineId), Link>,
    pub(super) conns: BTreeMap<u64, Conn>,
    last_conn: u64,
    /// Microseconds that a message takes, from and to.
    usual: (u64, u64),
    storm: Option<u64>,
    /// Of 1,000 messages, so many break their connection.
    pub(super) loss: u16,
    /// Time at the beginning of the tick.
    tick_us: u64,
    /// Nobody's turn: the driver acts.
    outside: bool,
    /// While a process dies: the ends it lets go of.
    dying: Option<Vec<(u64, usize)>>,
    /// Of everything that was sent.
    pub(super) hash: u64,
    pub(super) met: Met,
}

/// What was met on the way.
#[derive(Clone, Debug, Default)]
pub(super) struct Met {
    pub(super) cut_in_handshake: bool,
    pub(super) bad_bytes: u64,
    pub(super) lost: u64,
    /// By machine and second.
    pub(super) dials: BTreeMap<(MachineId, u64), u32>,
    /// Passwords seen in clear.
    pub(super) leaks: u64,
}

/// A machine on the network.
pub(super) struct Machine {
    pub(super) ip: IpAddr,
    /// It has no power.
    pub(super) dark: bool,
    /// Its process gets no time.
    pub(super) frozen: bool,
    pub(super) disk: Option<FaultyDisk>,
    pub(super) listeners: BTreeMap<u16, Listening>,
    next_port: u16,
    pub(super) sends: u64,
    /// The process dies after this send.
    pub(super) last_send: Option<u64>,
    waiting: Vec<Waker>,
}

/// A listening socket.
#[derive(Default)]
pub(super) struct Listening {
    pub(super) backlog: VecDeque<u64>,
    pub(super) waker: Option<Waker>,
}

/// One direction between two machines.
#[derive(Clone, Debug, Default)]
struct Link {
    /// By how many faults it is cut.
    cuts: u32,
    slow_us: Option<u64>,
    /// The next bytes that pass are changed.
    bad_byte: bool,
}

/// A connection.
pub(super) struct Conn {
    pub(super) ends: [End; 2],
    /// Messages so far.
    messages: u32,
    /// Something on the way has given up on it: nothing passes any more.
    mute: bool,
}

/// One end of a connection.
pub(super) struct End {
    pub(super) machine: MachineId,
    pub(super) addr: SocketAddr,
    inbox: VecDeque<Piece>,
    pub(super) waker: Option<Waker>,
    /// Whoever waits for room in the other's inbox.
    writer: Option<Waker>,
    finished: bool,
    gone: bool,
    eof: bool,
    reset: bool,
    /// What it has sent last was not confirmed, and nobody is there to do it.
    unanswered: bool,
}

/// Something on its way.
struct Piece {
    due_us: u64,
    what: What,
}

enum What {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// What a reader gets.
pub(super) enum Read {
    Some,
    End,
    Reset,
    /// Not before this moment.
    Later(u64),
    Nothing,
}

/// It waits until something is mended.
const HELD: u64 = u64::MAX;
/// Bytes on their way, at most; the writer waits.
const WINDOW: usize = 256 * 1024;
/// TCP sends again what was lost in a cut, this long after it is mended at most.
const AGAIN_US_MAX: usize = 200_000;
/// A connection on which too much is lost breaks within this.
const BREAKS_US_MAX: usize = 1_500_000;
/// A TLS handshake takes this many messages.
const HANDSHAKE_MESSAGES: u32 = 4;
/// What all passwords of a world begin with.
const SECRET: &[u8] = b"secret of p";

impl Wires {
    pub(super) fn new(seed: u64, latency_ms: (u64, u64)) -> Self {
        let usual = (latency_ms.0 * 1000, latency_ms.1.max(latency_ms.0) * 1000);
        Self(Arc::new(Mutex::new(Fabric {
            random: Seeded(seed ^ 0x77_69_72_65_73),
            machines: Vec::new(),
            links: BTreeMap::new(),
            conns: BTreeMap::new(),
            last_conn: 0,
            usual,
            storm: None,
            loss: 0,
            tick_us: 0,
            outside: true,
            dying: None,
            hash: 0xcbf2_9ce4_8422_2325,
            met: Met::default(),
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Fabric> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fabric {
    /// A new machine.
    pub(super) fn add(&mut self, ip: IpAddr, disk: Option<FaultyDisk>) -> MachineId {
        self.machines.push(Machine {
            ip,
            dark: false,
            frozen: false,
            disk,
            listeners: BTreeMap::new(),
            next_port: 40_000,
            sends: 0,
            last_send: None,
            waiting: Vec::new(),
        });
        self.machines.len() - 1
    }

    /// A tick begins, or is over.
    pub(super) fn tick(&mut self, now_us: u64, outside: bool) {
        (self.tick_us, self.outside) = (now_us, outside);
    }

    pub(super) fn now_us(&self) -> u64 {
        if self.outside {
            return self.tick_us;
        }
        let elapsed = turmoil::sim_elapsed().map(|elapsed| u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
        elapsed.unwrap_or(self.tick_us)
    }

    pub(super) fn at(&self, ip: IpAddr) -> Option<MachineId> {
        self.machines.iter().position(|machine| machine.ip == ip)
    }

    /// Whether what one sends gets nowhere.
    pub(super) fn is_cut(&self, from: MachineId, to: MachineId) -> bool {
        self.links.get(&(from, to)).is_some_and(|link| link.cuts > 0)
    }

    /// Whether the process there has come to its end, though nobody has told it yet.
    pub(super) fn is_finished(&self, machine: MachineId) -> bool {
        let of = &self.machines[machine];
        of.dark
            || of.disk.as_ref().is_some_and(FaultyDisk::is_dead)
            || of.last_send.is_some_and(|last| of.sends >= last)
    }

    pub(super) fn cut(&mut self, from: MachineId, to: MachineId) {
        self.links.entry((from, to)).or_default().cuts += 1;
        // What is on its way is lost, and will be sent again.
        self.each(from, to, |piece| piece.due_us = HELD);
    }

    pub(super) fn mend(&mut self, from: MachineId, to: MachineId, all_at_once: bool) {
        let link = self.links.entry((from, to)).or_default();
        link.cuts = link.cuts.saturating_sub(1);
        self.set_free(from, to, all_at_once);
    }

    pub(super) fn slow(&mut self, from: MachineId, to: MachineId, ms: Option<u64>) {
        self.links.entry((from, to)).or_default().slow_us = ms.map(|ms| ms * 1000);
    }

    pub(super) fn storm(&mut self, ms: Option<u64>) {
        self.storm = ms.map(|ms| ms * 1000);
    }

    pub(super) fn bad_byte(&mut self, from: MachineId, to: MachineId, on: bool) {
        self.links.entry((from, to)).or_default().bad_byte = on;
    }

    /// Stops a process, or lets it go on.
    pub(super) fn freeze(&mut self, machine: MachineId, frozen: bool) {
        self.machines[machine].frozen = frozen;
        if frozen {
            return;
        }
        for other in 0..self.machines.len() {
            self.set_free(machine, other, true);
        }
        let of = &mut self.machines[machine];
        of.waiting.drain(..).for_each(Waker::wake);
        of.listeners.values_mut().filter_map(|listening| listening.waker.take()).for_each(Waker::wake);
    }

    /// The power is back, or was never gone: whoever still speaks to a process that is not there any more hears it.
    pub(super) fn power_on(&mut self, machine: MachineId) {
        let of = &mut self.machines[machine];
        (of.dark, of.last_send) = (false, None);
        self.answer_for_the_dead(machine);
    }

    /// The machine gets another address; its connections lead nowhere.
    pub(super) fn renumber(&mut self, machine: MachineId, ip: IpAddr) {
        self.machines[machine].ip = ip;
        for conn in self.conns.values_mut() {
            if conn.ends.iter().any(|end| end.machine == machine) {
                conn.mute = true;
                conn.ends.iter_mut().flat_map(|end| &mut end.inbox).for_each(|piece| piece.due_us = HELD);
            }
        }
    }

    /// Whether two machines have a connection that leads nowhere, have not noticed, and have no better one.
    pub(super) fn is_deceived(&self, one: MachineId, other: MachineId) -> bool {
        let of = |conn: &&Conn| conn.ends.iter().all(|end| [one, other].contains(&end.machine));
        let held = |conn: &Conn| conn.ends.iter().filter(|end| !end.gone).count();
        let mut between = self.conns.values().filter(of).filter(|conn| held(conn) > 0).peekable();
        between.peek().is_some() && between.all(|conn| conn.mute || held(conn) == 1)
    }

    pub(super) fn delay_us(&mut self, from: MachineId, to: MachineId) -> u64 {
        let slow = self.links.get(&(from, to)).and_then(|link| link.slow_us);
        let (least, most) = match (slow, self.storm) {
            (Some(slow), _) => (slow, slow),
            (None, Some(storm)) => (self.usual.0, storm.max(self.usual.0)),
            (None, None) => self.usual,
        };
        least + self.random.up_to(usize::try_from(most - least).unwrap_or(0)) as u64
    }

    pub(super) fn free_port(&mut self, machine: MachineId) -> u16 {
        let of = &mut self.machines[machine];
        of.next_port = if of.next_port == u16::MAX { 40_000 } else { of.next_port + 1 };
        of.next_port
    }

    /// Connects the ends; the other side finds it at its listener.
    pub(super) fn connect(&mut self, ends: [(MachineId, SocketAddr); 2]) -> u64 {
        self.last_conn += 1;
        let end = |(machine, addr)| End {
            machine,
            addr,
            inbox: VecDeque::new(),
            waker: None,
            writer: None,
            finished: false,
            gone: false,
            eof: false,
            reset: false,
            unanswered: false,
        };
        self.conns.insert(self.last_conn, Conn { ends: ends.map(end), messages: 0, mute: false });
        self.last_conn
    }

    /// Takes bytes from a writer: how many, or `None` if it must wait.
    pub(super) fn write(
        &mut self,
        id: u64,
        side: usize,
        bytes: &[u8],
        waker: &Waker,
    ) -> std::io::Result<Option<usize>> {
        let Some(conn) = self.conns.get_mut(&id) else { return Err(std::io::ErrorKind::BrokenPipe.into()) };
        let (from, to) = (conn.ends[side].machine, conn.ends[1 - side].machine);
        if conn.ends[side].reset || conn.ends[side].finished {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        let waits: usize = conn.ends[1 - side].inbox.iter().map(Piece::len).sum();
        if waits > WINDOW {
            conn.ends[side].writer = Some(waker.clone());
            return Ok(None);
        }
        if self.is_finished(from) {
            return Ok(Some(bytes.len()));
        }
        self.machines[from].sends += 1;
        self.tap(from, to, bytes);
        let mut bytes = bytes.to_vec();
        self.spoil(from, to, &mut bytes);
        self.lose(id);
        let len = bytes.len();
        self.send(id, side, What::Bytes(bytes));
        Ok(Some(len))
    }

    /// No more will be written.
    pub(super) fn finish(&mut self, id: u64, side: usize) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let first = !std::mem::replace(&mut conn.ends[side].finished, true);
        if first && !conn.ends[side].reset {
            self.send(id, side, What::Fin);
        }
    }

    pub(super) fn read(&mut self, id: u64, side: usize, to: &mut tokio::io::ReadBuf<'_>, waker: &Waker) -> Read {
        let now = self.now_us();
        let Some(conn) = self.conns.get_mut(&id) else { return Read::Reset };
        let (end, other) = conn.both(side);
        end.waker = Some(waker.clone());
        if self.machines[end.machine].frozen {
            self.machines[end.machine].waiting.push(waker.clone());
            return Read::Nothing;
        }
        if end.eof {
            return Read::End;
        }
        let Some(piece) = end.inbox.front_mut() else { return if end.reset { Read::Reset } else { Read::Nothing } };
        if piece.due_us > now {
            return if piece.due_us == HELD { Read::Nothing } else { Read::Later(piece.due_us - now) };
        }
        match &mut piece.what {
            What::Bytes(bytes) => {
                let count = bytes.len().min(to.remaining());
                to.put_slice(&bytes[..count]);
                bytes.drain(..count);
                if bytes.is_empty() {
                    end.inbox.pop_front();
                }
                if let Some(writer) = other.writer.take() {
                    writer.wake();
                }
                Read::Some
            }
            What::Fin => {
                end.inbox.pop_front();
                end.eof = true;
                Read::End
            }
            What::Reset => {
                end.inbox.clear();
                end.reset = true;
                Read::Reset
            }
        }
    }

    /// A process dies.
    pub(super) fn begin_death(&mut self) {
        self.dying = Some(Vec::new());
    }

    /// It is dead. A runtime drops its tasks in an order that hangs on how many there were before in this program, so
    /// what they let go of is put in order here.
    pub(super) fn end_death(&mut self) {
        let mut ends = self.dying.take().unwrap_or_default();
        ends.sort_unstable();
        ends.into_iter().for_each(|(id, side)| self.close(id, side));
    }

    /// A process has let go of its end.
    pub(super) fn close(&mut self, id: u64, side: usize) {
        if let Some(ends) = &mut self.dying {
            ends.push((id, side));
            return;
        }
        let now = self.now_us();
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let end = &mut conn.ends[side];
        let unread = end.inbox.iter().any(|piece| piece.due_us <= now && matches!(piece.what, What::Bytes(_)));
        (end.gone, end.waker, end.writer) = (true, None, None);
        let (finished, reset) = (end.finished, end.reset);
        end.inbox.clear();
        self.met.cut_in_handshake |= conn.messages < HANDSHAKE_MESSAGES && !finished;
        if conn.ends[1 - side].gone {
            self.conns.remove(&id);
        } else if unread && !reset {
            self.send(id, side, What::Reset);
        } else if !finished && !reset {
            self.send(id, side, What::Fin);
        }
    }

    /// Puts something on its way.
    fn send(&mut self, id: u64, side: usize, what: What) {
        let conn = &self.conns[&id];
        let (from, to) = (conn.ends[side].machine, conn.ends[1 - side].machine);
        if self.is_finished(from) {
            return;
        }
        if conn.ends[1 - side].gone {
            let hears = !self.machines[to].dark && !self.is_cut(from, to) && !self.is_cut(to, from) && !conn.mute;
            if hears {
                let back = self.delay_us(from, to) + self.delay_us(to, from);
                self.push(id, side, back, What::Reset);
            } else if let Some(conn) = self.conns.get_mut(&id) {
                conn.ends[side].unanswered = true;
            }
            return;
        }
        let delay = self.delay_us(from, to);
        self.push(id, 1 - side, delay, what);
    }

    /// Puts something into an inbox, behind all that is there.
    fn push(&mut self, id: u64, side: usize, delay_us: u64, what: What) {
        let now = self.now_us();
        let Some(conn) = self.conns.get(&id) else { return };
        let (from, to) = (conn.ends[1 - side].machine, conn.ends[side].machine);
        let held = conn.mute || self.is_cut(from, to) || self.machines[from].frozen;
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.messages += 1;
        let end = &mut conn.ends[side];
        let last = end.inbox.back().map_or(0, |piece| piece.due_us);
        let due_us = if held { HELD } else { (now + delay_us).max(last) };
        end.inbox.push_back(Piece { due_us, what });
        if let Some(waker) = end.waker.take() {
            waker.wake();
        }
    }

    /// What was held goes on its way, in its order.
    fn set_free(&mut self, from: MachineId, to: MachineId, all_at_once: bool) {
        if self.is_cut(from, to) || self.machines[from].frozen || from == to {
            return;
        }
        let again = if all_at_once { 0 } else { self.random.up_to(AGAIN_US_MAX) as u64 };
        let due = self.now_us() + self.delay_us(from, to) + again;
        self.each(from, to, |piece| piece.due_us = if piece.due_us == HELD { due } else { piece.due_us.max(due) });
        self.answer_for_the_dead(to);
    }

    /// Everything on its way from one to the other.
    fn each(&mut self, from: MachineId, to: MachineId, mut change: impl FnMut(&mut Piece)) {
        for conn in self.conns.values_mut().filter(|conn| !conn.mute) {
            for side in 0..2 {
                let (end, other) = conn.both(side);
                if end.machine == to && other.machine == from && !end.inbox.is_empty() {
                    end.inbox.iter_mut().for_each(&mut change);
                    if let Some(waker) = end.waker.take() {
                        waker.wake();
                    }
                }
            }
        }
    }

    /// Resets the connections whose other end was on this machine, as its kernel does when they speak again.
    fn answer_for_the_dead(&mut self, machine: MachineId) {
        let mut resets = Vec::new();
        for (id, conn) in &self.conns {
            for side in 0..2 {
                let (end, dead) = (&conn.ends[side], &conn.ends[1 - side]);
                let cut = self.is_cut(end.machine, machine) || self.is_cut(machine, end.machine) || conn.mute;
                if dead.machine == machine && dead.gone && end.unanswered && !cut && !self.machines[machine].dark {
                    resets.push((*id, side));
                }
            }
        }
        for (id, side) in resets {
            let delay = self.random.up_to(AGAIN_US_MAX) as u64;
            self.push(id, side, delay, What::Reset);
        }
    }

    fn tap(&mut self, from: MachineId, to: MachineId, bytes: &[u8]) {
        let head = [from as u64, to as u64, self.now_us(), bytes.len() as u64];
        let head = head.iter().flat_map(|number| number.to_le_bytes());
        for byte in head.chain(bytes.iter().copied()) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.met.leaks += u64::from(bytes.windows(SECRET.len()).any(|part| part == SECRET));
    }

    fn spoil(&mut self, from: MachineId, to: MachineId, bytes: &mut [u8]) {
        let Some(link) = self.links.get_mut(&(from, to)).filter(|link| link.bad_byte && !bytes.is_empty()) else {
            return;
        };
        link.bad_byte = false;
        let at = self.random.up_to(bytes.len() - 1);
        bytes[at] ^= 1 << self.random.up_to(7);
        self.met.bad_bytes += 1;
    }

    /// No connection breaks any more, and both ends hear of those that have.
    pub(super) fn lose_no_more(&mut self) {
        self.loss = 0;
        let now = self.now_us();
        let breaks = |piece: &&mut Piece| matches!(piece.what, What::Reset) && piece.due_us != HELD;
        for end in self.conns.values_mut().flat_map(|conn| &mut conn.ends) {
            end.inbox.iter_mut().filter(breaks).for_each(|piece| piece.due_us = piece.due_us.min(now));
            if let Some(waker) = end.waker.take() {
                waker.wake();
            }
        }
    }

    /// By chance, the connection is broken: nothing passes, and some time later both ends hear it.
    fn lose(&mut self, id: u64) {
        if self.loss == 0 || self.random.up_to(999) >= usize::from(self.loss) || self.conns[&id].mute {
            return;
        }
        self.met.lost += 1;
        for side in 0..2 {
            let delay = self.random.up_to(BREAKS_US_MAX) as u64;
            self.push(id, side, delay, What::Reset);
        }
    }
}

impl Conn {
    fn both(&mut self, side: usize) -> (&mut End, &mut End) {
        let [first, second] = &mut self.ends;
        if side == 0 { (first, second) } else { (second, first) }
    }
}

impl Piece {
    fn len(&self) -> usize {
        match &self.what {
            What::Bytes(bytes) => bytes.len(),
            What::Fin | What::Reset => 0,
        }
    }
}
