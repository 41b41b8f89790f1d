//! The loop between who types and the client: lines in, orders out, events to a face.
//!
//! Holds: each line gets exactly one reply; a line is read only when there is room for its order, so a script that
//! types ahead is slowed down and loses nothing; at the end of the input the answers are waited for.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Sleep;

use super::help;
use super::parse::{Line, Mistake, Secret, parse};
use crate::client::handle::{ClientError, ClientHandle, Order, Question};
use crate::model::client::command::Typed;
use crate::model::client::event::{Event, LinkState, Reply, Status};
use crate::model::limits::OUTBOX_MAX;

/// How long `exit` waits for answers where nobody watches.
const EXIT_MAX: Duration = Duration::from_secs(5);
/// How long the client may take to end.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// What was typed.
#[derive(Debug)]
pub enum Typing {
    /// A line.
    Line(String),
    /// The passwords of a command were asked for.
    Secrets(Result<Typed, Mistake>),
    /// What is no line: too long, or not UTF-8.
    Wrong(Mistake),
    /// Nothing more will be typed.
    End,
    /// Nothing more can be read.
    Failed(io::Error),
}

/// What is to be typed next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A line.
    Line,
    /// The passwords of a command.
    Secrets(Secret),
}

/// Where events are shown and lines come from.
pub trait Face {
    /// Shows an event.
    ///
    /// # Errors
    /// When the output is gone.
    fn show(&mut self, event: &Event) -> io::Result<()>;

    /// Shows where the player is, all the time.
    fn status(&mut self, _status: &Status) {}

    /// Whether a yes or no is waited for.
    fn question(&mut self, _open: bool) {}

    /// What is to be typed next.
    fn listen(&mut self, _wish: Wish) {}

    /// Whether somebody is there to be asked.
    fn at_terminal(&self) -> bool {
        false
    }

    /// Nothing is typed any more; what is shown after it stays.
    fn close(&mut self) {}
}

/// Runs until the client ends, `exit` is typed, the input ends or the output is gone; the exit code.
pub async fn run<F: Face>(handle: ClientHandle, typing: mpsc::Receiver<Typing>, face: F) -> u8 {
    run_within(EXIT_MAX, handle, typing, face).await
}

/// As [`run`], with another patience for `exit`.
async fn run_within<F: Face>(
    exit_max: Duration,
    handle: ClientHandle,
    mut typing: mpsc::Receiver<Typing>,
    face: F,
) -> u8 {
    let ClientHandle { commands, mut events, mut status, mut questions, mut end } = handle;
    let mut session = Session::new(face, status.borrow().clone());
    session.face.status(&session.status);
    session.face.listen(Wish::Line);
    let mut patience = None;
    let ending = loop {
        if session.exiting() && patience.is_none() {
            patience = Some(Box::pin(tokio::time::sleep(exit_max)));
        }
        let step = tokio::select! {
            Some(event) = events.recv() => session.event(&event),
            Ok(()) = status.changed() => session.status(status.borrow_and_update().clone()),
            Some(question) = questions.recv() => session.ask(question),
            typed = typing.recv(), if session.may_read() => session.typed(typed.unwrap_or(Typing::End)),
            permit = commands.reserve(), if !session.outgoing.is_empty() => {
                session.pass_on(permit.ok());
                Ok(())
            }
            Some(()) = run_out(&mut patience) => break Ending::Impatient,
            result = &mut end => break Ending::Client(result),
        };
        match step {
            Err(error) => break Ending::Failed(error),
            Ok(()) if session.is_done() => break Ending::Typed,
            Ok(()) => {}
        }
    };
    drop((commands, questions, typing));
    session.wind_down(ending, events, end).await
}

/// When a patience that was begun is at its end.
async fn run_out(patience: &mut Option<Pin<Box<Sleep>>>) -> Option<()> {
    patience.as_mut()?.await;
    Some(())
}

/// Why the loop has ended.
enum Ending {
    /// The client has ended by itself.
    Client(Result<Result<(), ClientError>, JoinError>),
    /// As was typed, or because nothing more was.
    Typed,
    /// `exit`, and an answer that does not come.
    Impatient,
    /// Input or output is gone.
    Failed(io::Error),
}

struct Session<F> {
    face: F,
    status: Status,
    outgoing: VecDeque<Order>,
    /// Orders passed on and not answered.
    unanswered: usize,
    question: Option<Question>,
    leaving: Option<Leaving>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    EndOfInput,
    Exit,
}

impl<F: Face> Session<F> {
    fn new(face: F, status: Status) -> Self {
        Self { face, status, outgoing: VecDeque::new(), unanswered: 0, question: None, leaving: None }
    }

    /// A person is told that too much is under way; a script is made to wait.
    fn may_read(&self) -> bool {
        let room = self.face.at_terminal() || self.unanswered < OUTBOX_MAX;
        self.leaving.is_none() && self.outgoing.is_empty() && room
    }

    fn exiting(&self) -> bool {
        self.leaving == Some(Leaving::Exit)
    }

    /// A person does not wait for answers.
    fn is_done(&self) -> bool {
        let answered = self.outgoing.is_empty() && self.unanswered == 0;
        self.leaving.is_some() && (answered || self.face.at_terminal())
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        if matches!(event, Event::Reply(_)) {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
        self.face.show(event)
    }

    fn status(&mut self, status: Status) -> io::Result<()> {
        self.face.status(&status);
        self.status = status;
        Ok(())
    }

    /// Asks a person; nobody else may decide it.
    fn ask(&mut self, question: Question) -> io::Result<()> {
        if !self.face.at_terminal() {
            let _ = question.answer.send(false);
            return Ok(());
        }
        let text = format!(
            "the server at {} was never seen here before; it has proved to be\n{}\ncompare that with what its owner \
             sees: `rejoin server` prints it",
            question.address, question.id
        );
        self.question = Some(question);
        self.face.question(true);
        self.notice("new-server", text)
    }

    fn typed(&mut self, typed: Typing) -> io::Result<()> {
        match typed {
            Typing::Line(line) => return self.line(&line),
            Typing::Secrets(Ok(typed)) => self.outgoing.push_back(Order::Typed(typed)),
            Typing::Secrets(Err(mistake)) | Typing::Wrong(mistake) => self.face.show(&mistake.event())?,
            Typing::End => self.leaving = Some(Leaving::EndOfInput),
            Typing::Failed(error) => return Err(error),
        }
        self.face.listen(Wish::Line);
        Ok(())
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        if self.question.is_some() {
            self.answer(line);
            self.face.listen(Wish::Line);
            return Ok(());
        }
        let mut wish = Wish::Line;
        match parse(line) {
            Ok(Line::Empty) => self.nudge(),
            Ok(Line::Typed(typed)) => self.outgoing.push_back(Order::Typed(typed)),
            Ok(Line::Export(file)) => self.outgoing.push_back(Order::Export(file)),
            Ok(Line::Needs(secret)) if self.face.at_terminal() => wish = Wish::Secrets(secret),
            Ok(Line::Needs(secret)) => self.face.show(&secret.missing().event())?,
            Ok(Line::Help) => self.face.show(&Event::Reply(Reply::said("help", help::text())))?,
            Ok(Line::Exit) => {
                self.leaving = Some(Leaving::Exit);
                return Ok(());
            }
            Err(mistake) => self.face.show(&mistake.event())?,
        }
        self.face.listen(wish);
        Ok(())
    }

    /// Anything but a clear yes or no leaves the question open.
    fn answer(&mut self, line: &str) {
        let yes = match line.trim().to_lowercase().as_str() {
            "y" | "yes" => true,
            "" | "n" | "no" => false,
            _ => return,
        };
        if let Some(question) = self.question.take() {
            // Gone, if the client has ended meanwhile.
            let _ = question.answer.send(yes);
        }
        self.face.question(false);
    }

    /// Enter alone, while there is no link: tries again at once, for any command does, and says where it stands.
    fn nudge(&mut self) {
        if self.face.at_terminal() && self.status.link != LinkState::Live {
            self.outgoing.push_back(Order::Typed(Typed::Status));
        }
    }

    fn pass_on(&mut self, permit: Option<mpsc::Permit<'_, Order>>) {
        // Without a permit the client has ended, and says so by itself.
        let order = self.outgoing.pop_front();
        if let Some((permit, order)) = permit.zip(order) {
            permit.send(order);
            self.unanswered += 1;
        }
    }

    async fn wind_down(
        mut self,
        ending: Ending,
        mut events: mpsc::Receiver<Event>,
        mut end: JoinHandle<Result<(), ClientError>>,
    ) -> u8 {
        self.face.close();
        self.question = None;
        let told = match ending {
            Ending::Client(result) => {
                self.show_rest(&mut events);
                return self.verdict(result);
            }
            Ending::Typed => self.farewell(),
            Ending::Impatient => self.unanswered_exit(),
            Ending::Failed(error) => Err(error),
        };
        let result = tokio::time::timeout(CLOSE_MAX, async {
            loop {
                tokio::select! {
                    Some(event) = events.recv() => drop(self.event(&event)),
                    result = &mut end => return result,
                }
            }
        });
        let code = match result.await {
            Ok(result) => {
                self.show_rest(&mut events);
                self.verdict(result)
            }
            Err(_) => EXIT_FAILED,
        };
        match told {
            Ok(0) => code,
            Ok(failed) => failed,
            // A reader that has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
            Err(_) => EXIT_FAILED,
        }
    }

    /// What the client had shown before it ended.
    fn show_rest(&mut self, events: &mut mpsc::Receiver<Event>) {
        while let Ok(event) = events.try_recv() {
            let _ = self.event(&event);
        }
    }

    fn farewell(&mut self) -> io::Result<u8> {
        let open = self.unanswered + self.outgoing.len();
        if open > 0 {
            self.notice("unanswered", format!("no answer came to {open} of your commands"))?;
        }
        let stays = self.status.user.is_some();
        let reply = if stays { Reply::said("exit", STAYS) } else { Reply::done("exit") };
        if self.exiting() || (self.face.at_terminal() && stays) {
            self.face.show(&Event::Reply(reply))?;
        }
        Ok(0)
    }

    fn unanswered_exit(&mut self) -> io::Result<u8> {
        let why = format!("no answer came to {} of your commands", self.unanswered + self.outgoing.len());
        self.face.show(&Event::Reply(Reply::refused("exit", "unanswered", why)))?;
        Ok(EXIT_FAILED)
    }

    fn verdict(&mut self, result: Result<Result<(), ClientError>, JoinError>) -> u8 {
        let (code, text) = match result {
            Ok(Ok(())) => return 0,
            Ok(Err(error)) => (error.exit_code(), error.to_string()),
            Err(error) => (EXIT_FAILED, format!("the client has failed: {error}")),
        };
        // The exit code says it as well.
        let _ = self.notice(word(code), text);
        code
    }

    fn notice(&mut self, code: &'static str, text: String) -> io::Result<()> {
        self.face.show(&Event::Notice { code, text })
    }
}

/// The stable word of a fatal error, by its exit code.
const fn word(code: u8) -> &'static str {
    match code {
        4 => "unreachable",
        5 => "trust",
        6 => "version",
        8 => "in-use",
        _ => "failed",
    }
}

const STAYS: &str = "your session stays; `rejoin play` resumes it";
const EXIT_FAILED: u8 = 1;

#[cfg(test)]
mod tests;
