//! A client that plays by itself: it logs in, accepts every invitation, and plays on whatever dies around it.
//!
//! What must hold: it never stands still for good. Its events are always read, a command that cannot be given yet is
//! given later, and it ends only with a reason that waiting does not mend.

mod brain;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use brain::{Brain, Step};

use super::handle::{ClientHandle, Order};
use crate::client::ClientError;
use crate::model::client::command::Typed;
use crate::model::id::Name;
use crate::model::password::Password;
use crate::model::statement::Fared;
use crate::model::time::{Clock, Entropy, Now};
use crate::ops::host::sleep_until;

/// A command that the client has no room for is given again after this.
const FULL_RETRY: Duration = Duration::from_millis(50);

/// How a bot plays.
#[derive(Clone)]
pub struct Options {
    /// As whom.
    pub user: Name,
    /// Its password.
    pub password: Password,
    /// Make the account first; fine if it is there.
    pub make_account: bool,
    /// How long it thinks about a move.
    pub think: Duration,
    /// For the thinking.
    pub clock: Arc<dyn Clock>,
    /// For choosing among equal moves.
    pub entropy: Arc<dyn Entropy>,
}

/// How a match went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// Its id.
    pub match_id: String,
    /// Against whom; unknown for a match from before this start.
    pub opponent: Option<String>,
    /// For the bot.
    pub outcome: Fared,
    /// `board`, `resigned` or `foul`.
    pub why: String,
    /// Whether the server has the verdict. Told once without, if the server is away, and once with.
    pub recorded: bool,
}

/// Why a bot ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BotError {
    /// The client has ended.
    #[error(transparent)]
    Client(Box<ClientError>),
    /// It cannot log in, and waiting does not help.
    #[error("cannot {command} as {user}: {why}")]
    Refused {
        /// `adduser` or `login`.
        command: String,
        /// As whom.
        user: Name,
        /// The stable word.
        error: &'static str,
        /// For people.
        why: String,
    },
    /// Another program has taken up the session.
    #[error("{0} plays in another program; stop one of the two")]
    Superseded(Name),
    /// The client's task was stopped or has panicked.
    #[error("the client was stopped: {0}")]
    Stopped(#[from] tokio::task::JoinError),
}

impl From<ClientError> for BotError {
    fn from(error: ClientError) -> Self {
        Self::Client(Box::new(error))
    }
}

/// Plays until the client ends. To stop it, drop this future: the client then ends as well.
///
/// # Errors
/// [`BotError`].
pub async fn run(mut handle: ClientHandle, options: Options, mut report: impl FnMut(Played)) -> Result<(), BotError> {
    let clock = Arc::clone(&options.clock);
    let mut brain = Brain::new(options);
    let mut agenda = Agenda::default();
    loop {
        tokio::select! {
            event = handle.events.recv() => {
                let Some(event) = event else { break };
                let user = handle.status.borrow().user.clone();
                for step in brain.on(&event, user.as_deref())? {
                    match step {
                        Step::Type { after, typed } => agenda.add(clock.now() + after, Errand::Type(typed)),
                        Step::Think { after } => agenda.add(clock.now() + after, Errand::Play),
                        Step::Report(played) => report(played),
                    }
                }
            }
            () = sleep_until(&*clock, agenda.due()) => {
                give(&mut agenda, &mut brain, &handle.commands, clock.now());
            }
        }
    }
    Ok(handle.end.await??)
}

/// Gives every command that is due. Never waits: a client that has no room may be waiting for its events to be read.
fn give(agenda: &mut Agenda, brain: &mut Brain, commands: &Sender<Order>, now: Now) {
    for errand in agenda.take(now) {
        let typed = match errand.clone() {
            Errand::Type(typed) => Some(typed),
            Errand::Play => brain.play(),
        };
        let Some(typed) = typed else { continue };
        if let Err(TrySendError::Full(_)) = commands.try_send(Order::Typed(typed)) {
            agenda.add(now + FULL_RETRY, errand);
        }
    }
}

/// What is to be done, and when.
#[derive(Debug, Default)]
struct Agenda {
    errands: BTreeMap<Now, Vec<Errand>>,
}

#[derive(Clone, Debug)]
enum Errand {
    Type(Typed),
    /// Play the best move of the position as it is by then.
    Play,
}

impl Agenda {
    fn add(&mut self, at: Now, errand: Errand) {
        self.errands.entry(at).or_default().push(errand);
    }

    fn due(&self) -> Now {
        self.errands.keys().next().copied().unwrap_or(Now::NEVER)
    }

    fn take(&mut self, now: Now) -> Vec<Errand> {
        let later = self.errands.split_off(&Now(now.0.saturating_add(1)));
        std::mem::replace(&mut self.errands, later).into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::model::client::event::{Event, LinkState, Reply, Status};
    use crate::ops::host::{HostClock, HostEntropy};

    /// For what must happen; a test that fails ends by it.
    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_command_that_finds_no_room_is_given_later_and_others_when_they_are_due() {
        let (commands, mut orders) = mpsc::channel(1);
        let (mut agenda, mut brain) = (Agenda::default(), Brain::new(options()));
        agenda.add(Now(10), Errand::Type(Typed::List));
        agenda.add(Now(10), Errand::Type(Typed::Leaders));
        agenda.add(Now(500), Errand::Type(Typed::Status));
        give(&mut agenda, &mut brain, &commands, Now(9));
        assert!(orders.try_recv().is_err(), "not yet");
        give(&mut agenda, &mut brain, &commands, Now(10));
        assert_eq!(agenda.due(), Now(10) + FULL_RETRY);
        for (at, word) in [(Now(10) + FULL_RETRY, "list"), (Now(500), "leaders"), (Now::NEVER, "status")] {
            let Ok(Order::Typed(typed)) = orders.try_recv() else { panic!("no order") };
            assert_eq!(typed.word(), word);
            let due = agenda.due();
            assert_eq!(due, at, "each once");
            give(&mut agenda, &mut brain, &commands, due);
        }
    }

    #[tokio::test]
    async fn it_reads_on_and_logs_in_while_the_client_has_no_room() {
        let mut fake = Fake::new();
        let bot = tokio::spawn(run(fake.handle.take().unwrap(), options(), |_| {}));
        fake.commands_fill();
        fake.say(Event::Link { state: LinkState::Live, outage_ms: None, attempts: None }).await;
        // More events than the channel holds: only a bot that goes on reading lets them all in.
        for _ in 0..100 {
            let said = fake.say(Event::Reply(Reply::done("list")));
            tokio::time::timeout(PATIENCE, said).await.expect("it reads on");
        }
        fake.orders.recv().await.unwrap();
        let order = tokio::time::timeout(PATIENCE, fake.orders.recv()).await.expect("it asks");
        let Some(Order::Typed(Typed::Login(name, _))) = order else { panic!("no login") };
        assert_eq!(name.as_str(), "bot");
        fake.end(Ok(()));
        assert!(bot.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn it_ends_with_the_reason_of_the_client() {
        let mut fake = Fake::new();
        let bot = tokio::spawn(run(fake.handle.take().unwrap(), options(), |_| {}));
        fake.end(Err(ClientError::InUse { user: Name::new("bot").unwrap() }));
        let ended = bot.await.unwrap();
        assert!(matches!(&ended, Err(BotError::Client(why)) if why.exit_code() == 8), "{ended:?}");
    }

    #[tokio::test]
    async fn a_wrong_password_ends_it() {
        let mut fake = Fake::new();
        let bot = tokio::spawn(run(fake.handle.take().unwrap(), options(), |_| {}));
        fake.say(Event::Link { state: LinkState::Live, outage_ms: None, attempts: None }).await;
        fake.orders.recv().await.unwrap();
        fake.say(Event::Reply(Reply::refused("login", "wrong-password", "wrong name or password"))).await;
        let ended = bot.await.unwrap();
        assert!(matches!(ended, Err(BotError::Refused { error: "wrong-password", .. })), "{ended:?}");
    }

    /// The other end of a handle.
    struct Fake {
        handle: Option<ClientHandle>,
        filler: mpsc::Sender<Order>,
        orders: mpsc::Receiver<Order>,
        events: Option<mpsc::Sender<Event>>,
        end: Option<tokio::sync::oneshot::Sender<Result<(), ClientError>>>,
        _status: watch::Sender<Status>,
    }

    impl Fake {
        fn new() -> Self {
            let (commands, orders) = mpsc::channel(1);
            let (events, shown) = mpsc::channel(4);
            let (_, questions) = mpsc::channel(1);
            let status = Status { user: None, link: LinkState::Down, down_ms: None, retry_ms: None, seated: None };
            let (told, status) = watch::channel(status);
            let (ended, end) = tokio::sync::oneshot::channel();
            let end = tokio::spawn(async move { end.await.unwrap() });
            let filler = commands.clone();
            let handle = Some(ClientHandle { commands, events: shown, status, questions, end });
            Self { handle, filler, orders, events: Some(events), end: Some(ended), _status: told }
        }

        fn commands_fill(&self) {
            self.filler.try_send(Order::Typed(Typed::Status)).unwrap();
        }

        async fn say(&self, event: Event) {
            self.events.as_ref().unwrap().send(event).await.unwrap();
        }

        fn end(&mut self, how: Result<(), ClientError>) {
            self.events = None;
            self.end.take().unwrap().send(how).unwrap();
        }
    }

    fn options() -> Options {
        Options {
            user: Name::new("bot").unwrap(),
            password: Password::new("password").unwrap(),
            make_account: false,
            think: Duration::ZERO,
            clock: Arc::new(HostClock::start()),
            entropy: Arc::new(HostEntropy),
        }
    }
}
