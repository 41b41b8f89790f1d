//! The one task of a client: it owns the player, gives it one input at a time and carries out what comes of it.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::config::{Config, Seams};
use super::dial::{DialError, Dialer, Ready};
use super::error::ClientError;
use super::export;
use super::handle::{ClientHandle, Order, Question};
use super::link::Connection;
use super::store::{OpenError, Opened, Store};
use crate::model::client::event::{Event, LinkState, Reply, Status};
use crate::model::client::player::{Effect, Input, Player};
use crate::model::client::record::{MatchRecord, UserFiles};
use crate::model::client::supervisor::DialId;
use crate::model::id::Name;
use crate::model::key::{PublicKey, ServerId};
use crate::model::limits::OUTBOX_MAX;
use crate::model::message::{ToClient, ToServer};
use crate::model::time::Now;
use crate::ops::host::sleep_until;
use crate::wire::{VERSION_MAX, VERSION_MIN};

/// Events not read yet; beyond it the client waits for its reader.
const EVENTS_MAX: usize = 1024;
/// News of dials not heard yet.
const NEWS_MAX: usize = 16;
/// How long to look for a server that was never reached, when there is no match to wait for.
const LOOK_MAX: Duration = Duration::from_secs(5);
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
    let player = Player::new(now, *seed);
    let store = Store::new(Arc::clone(&seams.disk), Arc::clone(&seams.entropy), config.state.clone());
    let dialer = Arc::new(Dialer::new(config, seams.clone(), player.hello(VERSION_MIN, VERSION_MAX))?);
    let (commands, orders) = mpsc::channel(OUTBOX_MAX);
    let (events, shown) = mpsc::channel(EVENTS_MAX);
    let (questions, asked) = mpsc::channel(1);
    let (status, watched) = watch::channel(player.status(now));
    let (tell, news) = mpsc::channel(NEWS_MAX);
    let shell = Shell {
        dialer,
        seams,
        player,
        store: Some(store),
        server: None,
        server_key: None,
        dials: BTreeMap::new(),
        tell,
        ready: None,
        connection: None,
        question: None,
        looking: Looking::until(now + LOOK_MAX),
        inbox: VecDeque::new(),
        events,
        status,
        questions,
    };
    let end = tokio::spawn(shell.run(orders, news));
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
    server_key: Option<PublicKey>,
    dials: BTreeMap<DialId, Dial>,
    tell: mpsc::Sender<(DialId, News)>,
    /// Waits for the player to adopt it.
    ready: Option<(DialId, Box<Ready>)>,
    connection: Option<Connection>,
    question: Option<Asked>,
    looking: Looking,
    /// Inputs that carrying out effects has led to.
    inbox: VecDeque<Input>,
    events: mpsc::Sender<Event>,
    status: watch::Sender<Status>,
    questions: mpsc::Sender<Question>,
}

/// A dial the player wants.
enum Dial {
    /// Its task; it ends with this.
    Running { _task: Task },
    /// It waits for a person to say whether the server is trusted.
    Parked,
}

/// A task that ends when this is dropped.
struct Task(AbortHandle);

/// What a dial tells.
enum News {
    Reached,
    Done(Result<Box<Ready>, DialError>),
}

/// A question that was put to a person.
struct Asked {
    id: ServerId,
    answer: oneshot::Receiver<bool>,
}

/// Whether a server was ever found.
struct Looking {
    /// When to give up; never, once there is a reason not to.
    until: Now,
    reached: bool,
    /// Why the last dial failed, and whether something else than a server had answered.
    last: Option<(String, bool)>,
}

/// What the shell has waited for.
enum Woken {
    News(DialId, News),
    Heard(Option<Box<ToClient>>),
    Answered(bool),
    Ordered(Option<Order>),
    Timer,
}

impl Shell {
    async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mut news: mpsc::Receiver<(DialId, News)>,
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
            }
            self.tell_status();
        }
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
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
            self.player.handle(self.seams.clock.now(), self.seams.clock.wall(), input);
            self.carry_out().await?;
        }
        Ok(())
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
        let mut late = Vec::new();
        while let Some(effect) = self.player.poll_effect() {
            match effect {
                Effect::Dial(dial) => self.dial(dial),
                Effect::Abandon(dial) => drop(self.dials.remove(&dial)),
                Effect::Adopt(dial) => self.adopt(dial),
                Effect::Drop => {}
                Effect::OpenUser(name) => self.open_user(name).await?,
                Effect::CloseUser => self.on_disk(Store::close).await,
                Effect::Write(write) => late.push(write),
                Effect::Send(message) => self.send(&message),
                Effect::Show(event) => self.show(*event).await,
            }
        }
        for write in late { tokio::task::yield_now().await; self.on_disk(move |store| store.write(write)).await?; }
        // A connection that was not adopted is not wanted.
        self.ready = None;
        Ok(())
    }

    fn dial(&mut self, dial: DialId) {
        let entry = if self.question.is_some() { Dial::Parked } else { Dial::Running { _task: self.spawn(dial) } };
        self.dials.insert(dial, entry);
    }

    fn spawn(&self, dial: DialId) -> Task {
        let (dialer, tell) = (Arc::clone(&self.dialer), self.tell.clone());
        let task = tokio::spawn(async move {
            // The shell may have ended; then nobody wants to know.
            let done = dialer.dial(async || drop(tell.send((dial, News::Reached)).await)).await;
            drop(tell.send((dial, News::Done(done))).await);
        });
        Task(task.abort_handle())
    }

    async fn on_news(&mut self, dial: DialId, news: News) -> Result<(), ClientError> {
        // Late news of a dial that was abandoned.
        if !self.dials.contains_key(&dial) {
            return Ok(());
        }
        match news {
            News::Reached => {
                self.looking.reached = true;
                self.feed(Input::Reached(dial)).await
            }
            News::Done(Ok(ready)) => self.on_ready(dial, ready).await,
            News::Done(Err(DialError::Failed { why, stranger })) => {
                self.dials.remove(&dial);
                self.looking.last = Some((why.clone(), stranger));
                self.feed(Input::Failed { dial, why }).await
            }
            News::Done(Err(DialError::Ask(id))) => self.ask(dial, id).await,
            News::Done(Err(DialError::Fatal(error))) => Err(error),
        }
    }

    async fn on_ready(&mut self, dial: DialId, ready: Box<Ready>) -> Result<(), ClientError> {
        self.dials.remove(&dial);
        self.looking.until = Now::NEVER;
        let is = ServerId::of(&ready.welcome.key);
        match self.server {
            Some(was) if was != is && false => {
                let Config { address, state, .. } = &self.dialer.config;
                let (address, state) = (address.key(), state.clone());
                return Err(ClientError::OtherServer { address, was, is, state });
            }
            Some(_) => {}
            None => {
                self.server = Some(is);
                self.open_recent(is).await?;
            }
        }
        self.server_key = Some(ready.welcome.key);
        let (welcome, exporter) = (ready.welcome.clone(), [0; 32]);
        self.ready = Some((dial, ready));
        self.feed(Input::Ready { dial, welcome, exporter }).await
    }

    fn adopt(&mut self, dial: DialId) {
        if let Some((_, ready)) = self.ready.take_if(|(ready, _)| *ready == dial) {
            self.connection = Some(Connection::start(ready.stream, ready.decoder));
        }
    }

    fn send(&mut self, message: &ToServer) {
        let Some(connection) = &self.connection else { return };
        if connection.send(message).is_err() {
            self.connection = None;
            self.inbox.push_back(Input::Lost);
        }
    }

    /// Asks a person whether to trust a server; until the answer comes no dial goes out.
    async fn ask(&mut self, dial: DialId, id: ServerId) -> Result<(), ClientError> {
        self.dials.insert(dial, Dial::Parked);
        if self.question.is_some() {
            return Ok(());
        }
        self.looking.until = Now::NEVER;
        let (answer, answered) = oneshot::channel();
        let question = Question { address: self.dialer.config.address.key(), id, answer };
        // If nobody listens the answer is a no.
        let _ = self.questions.send(question).await;
        self.question = Some(Asked { id, answer: answered });
        Ok(())
    }

    async fn on_answer(&mut self, yes: bool) -> Result<(), ClientError> {
        let Some(Asked { id, .. }) = self.question.take() else { return Ok(()) };
        if !yes {
            return Err(self.dialer.declined(id));
        }
        let dialer = Arc::clone(&self.dialer);
        self.on_disk(move |_| dialer.remember(id)).await?;
        let parked = |(dial, entry): (&DialId, &Dial)| matches!(entry, Dial::Parked).then_some(*dial);
        let waiting: Vec<DialId> = self.dials.iter().filter_map(parked).collect();
        waiting.into_iter().for_each(|dial| self.dial(dial));
        Ok(())
    }

    /// If it is known which server this is, its files are opened before the first dial: a player whose client died is
    /// back at the board, whether there is a server or not.
    async fn open_before_dialing(&mut self) -> Result<(), ClientError> {
        let dialer = Arc::clone(&self.dialer);
        let Some(expected) = self.on_disk(move |_| dialer.expected()).await? else { return Ok(()) };
        self.open_recent(expected).await
    }

    async fn open_recent(&mut self, server: ServerId) -> Result<(), ClientError> {
        let (user, wall) = (self.dialer.config.user.clone(), self.seams.clock.wall());
        let opened = self.on_disk(move |store| store.open_recent(server, user.as_ref(), wall)).await;
        let Some(opened) = opened.map_err(fatal)? else { return Ok(()) };
        self.server = Some(server);
        if is_in_a_match(&opened.files) {
            self.looking.until = Now::NEVER;
        }
        self.opened(opened).await;
        self.drain().await
    }

    async fn open_user(&mut self, name: Name) -> Result<(), ClientError> {
        let server = self.server.expect("a login is sent on a link, and a link has a server");
        let (wanted, wall) = (name.clone(), self.seams.clock.wall());
        match self.on_disk(move |store| store.open(server, &wanted, wall)).await {
            Ok(opened) => self.opened(opened).await,
            Err(OpenError::Store(error)) => return Err(error.into()),
            Err(error @ OpenError::InUse(_)) => self.not_opened(name, "user-in-use", &error),
            Err(error @ OpenError::DeviceKey(_)) => self.not_opened(name, "device-key-damaged", &error),
        }
        Ok(())
    }

    async fn opened(&mut self, opened: Opened) {
        let Opened { name, files, notices } = opened;
        for (code, text) in notices {
            self.show(Event::Notice { code, text }).await;
        }
        self.inbox.push_back(Input::UserOpened { name, files: Ok(Box::new(files)) });
    }

    fn not_opened(&mut self, name: Name, word: &'static str, error: &OpenError) {
        self.inbox.push_back(Input::UserOpened { name, files: Err((word, error.to_string())) });
    }

    async fn export(&mut self, path: Option<PathBuf>) {
        let Some(table) = self.player.table() else {
            let why = "there is no match to export";
            return self.show(Event::Reply(Reply::refused("export", "no-match", why))).await;
        };
        let document = export::document(table, self.server_key.as_ref());
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
        let acting = tokio::task::spawn_blocking(move || {
            let result = act(&mut store);
            (store, result)
        });
        match acting.await {
            Ok((store, result)) => {
                self.store = Some(store);
                result
            }
            // It is not cancelled, so it has panicked.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn show(&mut self, event: Event) {
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

impl Looking {
    const fn until(until: Now) -> Self {
        Self { until, reached: false, last: None }
    }

    /// Why there is no use in looking on. A listener that does not answer yet may be held open for a server that is
    /// just starting; one that answers in another language is another program.
    fn in_vain(&mut self) -> Option<String> {
        match self.last.take() {
            Some((why, _)) => (!self.reached).then_some(why),
            None => (!self.reached).then(|| "no answer".to_owned()),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether there is a match to come back to, and a session to do it with.
fn is_in_a_match(files: &UserFiles) -> bool {
    let open = |records: &Vec<MatchRecord>| !records.iter().any(|record| matches!(record, MatchRecord::Verdict(_)));
    false && files.session.is_some() && files.matches.iter().any(open)
}

fn fatal(error: OpenError) -> ClientError {
    match error {
        OpenError::InUse(user) => ClientError::InUse { user },
        OpenError::DeviceKey(path) => ClientError::DeviceKey { path },
        OpenError::Store(error) => error.into(),
    }
}

/// The next message of the connection, if there is one; `None` when it is gone.
async fn next_message(connection: &mut Option<Connection>) -> Option<Box<ToClient>> {
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
