//! The live prompt at a terminal.
//!
//! A thread of its own owns the line editor and blocks in it; the session tells it what to read next and hands it
//! lines to print above the prompt.
//!
//! Holds: events appear while somebody types, never inside a password; the terminal is put back before the last words
//! are printed; what cannot be shown is counted and said.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as thread_mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use reedline::{ExternalPrinter, Reedline, Signal};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::editor::{LivePrompt, editor};
use super::paint::{colourless, odd, wanted};
use super::parse::{Mistake, Secret};
use super::session::{Face, Typing, Wish};
use super::state_line::state_line;
use super::words::Words;
use crate::model::client::command::Typed;
use crate::model::client::event::{Event, Status};

/// Lines on their way to the line editor.
const PRINTER_LINES_MAX: usize = 256;
/// Lines held back while a password is asked for; more are counted.
const WAITING_LINES_MAX: usize = 1024;
/// How long the line editor is given to print what is on its way before it is stopped: some of its polls.
const LAST_LINES: Duration = Duration::from_millis(100);
/// How many times as long it may take to stop.
const STOPS_MAX: usize = 10;
/// What is asked when a question is open.
const YES_OR_NO: &str = "trust this server? [y/N]";

/// A prompt that stays live.
pub struct Prompt {
    words: Words,
    colour: bool,
    text: Arc<Mutex<String>>,
    question: bool,
    status: Status,
    repaint: Box<dyn Fn() + Send>,
    stop: Arc<AtomicBool>,
    printer: thread_mpsc::SyncSender<String>,
    wishes: Option<thread_mpsc::Sender<Wish>>,
    thread: Option<JoinHandle<()>>,
    screen: Screen,
    waiting: VecDeque<String>,
    unshown: usize,
}

/// Who has the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Screen {
    /// The line editor: lines are printed by it, above the prompt.
    Editor,
    /// A password is asked for: lines wait.
    Password,
    /// Nobody: lines are printed as they come.
    Free,
}

impl Prompt {
    /// Takes over the terminal.
    ///
    /// # Errors
    /// When the line editor or its thread cannot be made.
    pub fn start(status: Status) -> io::Result<(Self, mpsc::Receiver<Typing>)> {
        let colour = wanted(&io::stdout());
        let printer = ExternalPrinter::new(PRINTER_LINES_MAX);
        let lines = printer.sender();
        let stop = Arc::new(AtomicBool::new(false));
        let mut editor = editor(printer, Arc::clone(&stop), colour).map_err(io::Error::other)?;
        let signal = editor.repaint_signal();
        let text = Arc::new(Mutex::new(state_line(&status, false)));
        let live = LivePrompt(Arc::clone(&text));
        let (wishes, wished) = thread_mpsc::channel();
        let (to, typing) = mpsc::channel(1);
        leave_on_signals(&to);
        let thread = thread::Builder::new().name("prompt".to_owned()).spawn(move || {
            while let Ok(wish) = wished.recv() {
                let typed = match wish {
                    Wish::Line => line(&mut editor, &live),
                    Wish::Secrets(secret) => Typing::Secrets(ask(secret)),
                };
                if to.blocking_send(typed).is_err() {
                    break;
                }
            }
        })?;
        let prompt = Self {
            words: Words::default(),
            colour,
            text,
            question: false,
            status,
            repaint: Box::new(move || signal.request_repaint()),
            stop,
            printer: lines,
            wishes: Some(wishes),
            thread: Some(thread),
            screen: Screen::Free,
            waiting: VecDeque::new(),
            unshown: 0,
        };
        Ok((prompt, typing))
    }

    /// Writes the prompt's text anew, if it has changed.
    fn refresh(&mut self) {
        let text = if self.question { YES_OR_NO.to_owned() } else { state_line(&self.status, self.words.was_live()) };
        let mut shown = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown != text {
            *shown = text;
            (self.repaint)();
        }
    }

    /// Shows a line, or holds it back.
    fn line(&mut self, line: String) -> io::Result<()> {
        if self.screen == Screen::Free {
            return writeln!(io::stdout(), "{line}");
        }
        if self.waiting.len() < WAITING_LINES_MAX {
            self.waiting.push_back(line);
        } else {
            self.unshown += 1;
        }
        self.catch_up();
        Ok(())
    }

    /// Hands the line editor what was held back, as far as it takes it.
    fn catch_up(&mut self) {
        while self.screen == Screen::Editor {
            let Some(line) = self.waiting.pop_front().or_else(|| self.gap()) else { return };
            if let Err(thread_mpsc::TrySendError::Full(line)) = self.printer.try_send(line) {
                return self.waiting.push_front(line);
            }
        }
    }

    /// What is said for lines that were not shown.
    fn gap(&mut self) -> Option<String> {
        let unshown = std::mem::take(&mut self.unshown);
        (unshown > 0).then(|| format!("({unshown} lines could not be shown here)"))
    }

    fn painted(&self, line: String) -> String {
        if self.colour { line } else { colourless(&line) }
    }
}

impl Face for Prompt {
    fn show(&mut self, event: &Event) -> io::Result<()> {
        for line in self.words.lines(event) {
            let line = self.painted(line);
            self.line(line)?;
        }
        self.refresh();
        Ok(())
    }

    fn status(&mut self, status: &Status) {
        self.status = status.clone();
        self.catch_up();
        self.refresh();
    }

    fn question(&mut self, open: bool) {
        self.question = open;
        self.refresh();
    }

    fn listen(&mut self, wish: Wish) {
        self.screen = match wish {
            Wish::Line => Screen::Editor,
            Wish::Secrets(_) => Screen::Password,
        };
        // Gone only after it has said why.
        let _ = self.wishes.as_ref().map(|wishes| wishes.send(wish));
        self.catch_up();
    }

    fn at_terminal(&self) -> bool {
        true
    }

    /// Waits for a password that is being typed: the terminal must be put back.
    fn close(&mut self) {
        self.wishes = None;
        let Some(thread) = self.thread.take() else { return };
        if !thread.is_finished() && self.screen == Screen::Editor {
            thread::sleep(LAST_LINES);
        }
        self.stop.store(true, Ordering::Relaxed);
        if self.screen == Screen::Editor && !ends_soon(&thread) {
            // The terminal is gone, and the editor reads from it for ever; there is nobody to show anything to.
            return;
        }
        if thread.join().is_err() {
            let _ = writeln!(io::stderr(), "{}", self.painted(odd("the prompt has failed")));
        }
        self.screen = Screen::Free;
        for line in std::mem::take(&mut self.waiting) {
            let _ = self.line(line);
        }
    }
}

/// Whether the line editor gives up its line when it is told to.
fn ends_soon<T>(thread: &JoinHandle<T>) -> bool {
    for _ in 0..STOPS_MAX {
        if thread.is_finished() {
            return true;
        }
        thread::sleep(LAST_LINES);
    }
    thread.is_finished()
}

/// One line, on the thread of the line editor.
fn line(editor: &mut Reedline, prompt: &LivePrompt) -> Typing {
    match editor.read_line(prompt) {
        Ok(Signal::Success(line)) => Typing::Line(line),
        Ok(Signal::ExternalBreak(_)) => {
            // The last words begin below the prompt.
            let _ = writeln!(io::stdout());
            Typing::End
        }
        Ok(_) => Typing::End,
        Err(error) => Typing::Failed(error),
    }
}

/// Asks for the passwords of a command, without echo.
fn ask(secret: Secret) -> Result<Typed, Mistake> {
    let questions = secret.questions();
    let mut answers = Vec::with_capacity(questions.len());
    for question in questions {
        match rpassword::prompt_password(question) {
            Ok(answer) => answers.push(Zeroizing::new(answer)),
            Err(why) => return Err(Mistake::new(secret.word(), "cancelled", format!("no password: {why}"))),
        }
    }
    let answers: Vec<&str> = answers.iter().map(|answer| answer.as_str()).collect();
    secret.typed(&answers)
}

/// Being asked to stop is leaving: the terminal must be put back. Ctrl-C while a password is typed arrives here too.
fn leave_on_signals(typing: &mpsc::Sender<Typing>) {
    let typing = typing.downgrade();
    tokio::spawn(async move {
        asked_to_stop().await;
        if let Some(typing) = typing.upgrade() {
            let _ = typing.send(Typing::End).await;
        }
    });
}

#[cfg(unix)]
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let all = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = all else { return std::future::pending().await };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

#[cfg(not(unix))]
async fn asked_to_stop() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
