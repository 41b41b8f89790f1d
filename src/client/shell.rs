//! The one task of a client: it owns the player, gives it one input at a time and carries out what comes of it.

mod dialing;
mod looking;
mod meeting;
mod users;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::config::{Config, Seams};
use super::dial::{Dialer, Ready};
use super::error::ClientError;
use super::export;
use super::handle::{ClientHandle, Order, Question};
use super::link::Connection;
use super::log::Log;
use super::store::Store;
use crate::model::client::event::{Event, LinkState, Reply, Status};
use crate::model::client::player::{Effect, Input, Player};
use crate::model::client::supervisor::DialId;
use crate::model::key::ServerId;
use crate::model::limits::OUTBOX_MAX;
use crate::model::message::{ToClient, ToServer};
use crate::model::time::Now;
use crate::ops::host::sleep_until;
use crate::ops::work;
use crate::wire::{VERSION_MAX, VERSION_MIN};
use dialing::{Asked, Dial, News};
use looking::Looking;
use meeting::{Meeting, PeerNews};

/// Events not read yet; beyond it the client waits for its reader.
const EVENTS_MAX: usize = 1024;
/// News of dials not heard yet.
const NEWS_MAX: usize = 16;
/// How long to look for a server that was never reached, when there is no match to wait for.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// What the opponent has said is heard before silence is found, but not for longer than this.
const PEERS_FIRST: Duration = Duration::from_millis(100);
/// How often the status is told anew while its times run.
const STATUS_EVERY: Duration = Duration::from_millis(250);

/// Starts a client. Call it inside a runtime.
///
/// # Errors
/// [`ClientError`] when the authority's file or TLS cannot be used; all else ends the client later.
pub fn start(config: Config, seams: Seams) -> Result<ClientHandle, ClientError> {
    let now = seams.clock.now();
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    seams.entropy.fill(&mut *seed);
    let player = Player::new(now, *seed, config.direct);
    let log = Log::new(now, &config.address.key());
    let store = Store::new(Arc::clone(&seams.disk), Arc::clone(&seams.entropy), config.state.clone());
    let (commands, orders) = mpsc::channel(OUTBOX_MAX);
    let (events, shown) = mpsc::channel(EVENTS_MAX);
    let (questions, asked) = mpsc::channel(1);
    let (status, watched) = watch::channel(player.status(now));
    let (tell, news) = mpsc::channel(NEWS_MAX);
    let (meeting, peers) = Meeting::new(&config, seams.clone());
    let dialer = Arc::new(Dialer::new(config, seams.clone(), player.hello(VERSION_MIN, VERSION_MAX))?);
    let shell = Shell {
        dialer,
        seams,
        player,
        store: Some(store),
        server: None,
        dials: BTreeMap::new(),
        tell,
        ready: None,
        connection: None,
        question: None,
        meeting,
        looking: Looking::until(now + LOOK_MAX),
        inbox: VecDeque::new(),
        events,
        status,
        questions,
        log,
    };
    let end = tokio::spawn(shell.run(orders, news, peers));
    Ok(ClientHandle { commands, events: shown, status: watched, questions: asked, end })
}

struct Shell {
    dialer: Arc<Dialer>,
    seams: Seams,
    player: Player,
    /// Away while a blocking thread uses it.
    store: Option<Store>,
    /// The one server whose files may be open here; set for good by the first that was found.
    server: Option<ServerId>,
    dials: BTreeMap<DialId, Dial>,
    tell: mpsc::Sender<(DialId, News)>,
    /// Waits for the player to adopt it.
    ready: Option<(DialId, Box<Ready>)>,
    connection: Option<Connection<ToClient>>,
    meeting: Meeting,
    question: Option<Asked>,
    looking: Looking,
    /// Inputs that carrying out effects has led to.
    inbox: VecDeque<Input>,
    events: mpsc::Sender<Event>,
    status: watch::Sender<Status>,
    questions: mpsc::Sender<Question>,
    log: Log,
}

/// What the shell has waited for.
enum Woken {
    News(DialId, News),
    Heard(Option<Box<ToClient>>),
    Answered(bool),
    Ordered(Option<Order>),
    Timer,
    Peer(PeerNews),
}

impl Shell {
    async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mut news: mpsc::Receiver<(DialId, News)>,
        mut peers: mpsc::Receiver<PeerNews>,
    ) -> Result<(), ClientError> {
        self.open_before_dialing().await?;
        loop {
            let due = self.due();
            // In this order: what has come is heard before silence is found.
            let woken = tokio::select! {
                biased;
                Some((dial, told)) = news.recv() => Woken::News(dial, told),
                heard = next_message(&mut self.connection) => Woken::Heard(heard),
                yes = next_answer(&mut self.question) => Woken::Answered(yes),
                order = orders.recv() => Woken::Ordered(order),
                // An opponent who never stops talking holds up nothing but itself.
                () = sleep_until(&*self.seams.clock, due + PEERS_FIRST) => Woken::Timer,
                Some(told) = peers.recv() => Woken::Peer(told),
                () = sleep_until(&*self.seams.clock, due) => Woken::Timer,
            };
            match woken {
                Woken::News(dial, told) => self.on_news(dial, told).await?,
                Woken::Heard(Some(message)) => self.feed(Input::Message(message)).await?,
                Woken::Heard(None) => {
                    self.connection = None;
                    self.feed(Input::Lost).await?;
                }
                Woken::Answered(yes) => self.on_answer(yes).await?,
                Woken::Ordered(Some(Order::Typed(typed))) => self.feed(Input::Typed(typed)).await?,
                Woken::Ordered(Some(Order::Export(path))) => self.export(path).await,
                Woken::Ordered(None) => break,
                Woken::Timer => self.on_timer().await?,
                Woken::Peer(told) => self.on_peer_news(told).await?,
            }
            self.tell_status();
        }
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
        self.meeting.close().await;
        Ok(())
    }

    fn due(&self) -> Now {
        let live = self.status.borrow().link == LinkState::Live;
        let tick = if live { Now::NEVER } else { self.seams.clock.now() + STATUS_EVERY };
        self.player.poll_timeout().min(self.looking.until).min(tick)
    }

    /// One input, and all that follows from it.
    async fn feed(&mut self, input: Input) -> Result<(), ClientError> {
        self.inbox.push_back(input);
        self.drain().await
    }

    /// The inputs that wait, one after the other.
    async fn drain(&mut self) -> Result<(), ClientError> {
        while let Some(input) = self.inbox.pop_front() {
            self.note(&input);
            self.player.handle(self.seams.clock.now(), self.seams.clock.wall(), input);
            self.carry_out().await?;
            // After all that the match needs.
            if let Some(outage) = self.log.outage() {
                self.send(&ToServer::Outage(outage));
            }
        }
        Ok(())
    }

    /// What the log has to know of an input.
    fn note(&mut self, input: &Input) {
        let now = self.seams.clock.now();
        if let Input::Message(message) = input {
            self.log.heard(now, message);
        } else if matches!(input, Input::Lost) {
            self.log.broke();
        }
    }

    async fn on_timer(&mut self) -> Result<(), ClientError> {
        let now = self.seams.clock.now();
        if self.looking.until <= now {
            self.looking.until = Now::NEVER;
            if let Some(why) = self.looking.in_vain() {
                return Err(ClientError::Unreachable { address: self.dialer.config.address.key(), why });
            }
        }
        self.player.handle_timeout(now, self.seams.clock.wall());
        self.carry_out().await?;
        self.drain().await
    }

    /// Does what the player wants, in its order, each before the next.
    async fn carry_out(&mut self) -> Result<(), ClientError> {
        while let Some(effect) = self.player.poll_effect() {
            match effect {
                Effect::Dial(dial) => {
                    self.log.dialled(self.seams.clock.now());
                    self.dial(dial);
                }
                Effect::Abandon(dial) => drop(self.dials.remove(&dial)),
                Effect::Adopt(dial) => self.adopt(dial),
                Effect::Drop => {
                    self.log.dropped(self.seams.clock.now());
                    self.connection = None;
                }
                Effect::OpenUser(name) => self.open_user(name).await?,
                Effect::CloseUser => self.on_disk(Store::close).await,
                Effect::Write(write) => self.on_disk(move |store| store.write(write)).await?,
                Effect::Send(message) => self.send(&message),
                Effect::Show(event) => self.show(*event).await,
                Effect::Meet(meet) => self.meet(meet.map(|meet| *meet)).await,
                Effect::PeerDial(dial, addr) => self.meeting.dial(dial, addr),
                Effect::PeerAbandon(dial) => self.meeting.abandon(dial),
                Effect::PeerSend(conn, message) => {
                    if !self.meeting.send(conn, &message) {
                        self.inbox.push_back(Input::PeerLost(conn));
                    }
                }
                Effect::PeerDrop(conn) => self.meeting.drop_conn(conn),
            }
        }
        // A connection that was not adopted is not wanted.
        self.ready = None;
        Ok(())
    }

    fn send(&mut self, message: &ToServer) {
        self.log.sent(message);
        let Some(connection) = &self.connection else { return };
        if connection.send(message).is_err() {
            self.connection = None;
            self.inbox.push_back(Input::Lost);
        }
    }

    async fn export(&mut self, path: Option<PathBuf>) {
        let Some(table) = self.player.table() else {
            let why = "there is no match to export";
            return self.show(Event::Reply(Reply::refused("export", "no-match", why))).await;
        };
        let document = export::document(table);
        let path = path.unwrap_or_else(|| PathBuf::from(format!("match-{}.json", table.id())));
        let (disk, to) = (Arc::clone(&self.seams.disk), path.clone());
        let reply = match self.on_disk(move |_| export::write(&*disk, &to, &document)).await {
            Ok(()) => Reply { file: Some(path.display().to_string()), ..Reply::done("export") },
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let why = format!("{} is there already, and is not written over", path.display());
                Reply::refused("export", "file-exists", why)
            }
            Err(error) => Reply::refused("export", "cannot-write", format!("cannot write {}: {error}", path.display())),
        };
        self.show(Event::Reply(reply)).await;
    }

    /// Runs `act` on a thread that may block, and waits for it.
    async fn on_disk<T: Send + 'static>(&mut self, act: impl FnOnce(&mut Store) -> T + Send + 'static) -> T {
        let mut store = self.store.take().expect("it is given back below, and calls come one after the other");
        let acting = work::done(&*self.seams.worker, move || {
            let result = act(&mut store);
            (store, result)
        });
        match acting.await {
            Ok((store, result)) => {
                self.store = Some(store);
                result
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    async fn show(&mut self, event: Event) {
        self.log.shown(&event);
        // A reader that is gone wants to see nothing.
        let _ = self.events.send(event).await;
    }

    fn tell_status(&self) {
        let status = self.player.status(self.seams.clock.now());
        self.status.send_if_modified(|told| {
            let changed = *told != status;
            *told = status;
            changed
        });
    }
}

/// The next message of the connection, if there is one; `None` when it is gone.
async fn next_message(connection: &mut Option<Connection<ToClient>>) -> Option<Box<ToClient>> {
    match connection {
        Some(connection) => connection.next().await,
        None => std::future::pending().await,
    }
}

/// The answer to the question, if there is one.
async fn next_answer(question: &mut Option<Asked>) -> bool {
    match question {
        Some(asked) => (&mut asked.answer).await.unwrap_or(false),
        None => std::future::pending().await,
    }
}
