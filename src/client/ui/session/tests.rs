//! The whole loop over pipes: lines in, orders out, events to each face.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{oneshot, watch};

use super::*;
use crate::client::ui::json::Json;
use crate::client::ui::plain::Plain;
use crate::client::ui::reader;
use crate::model::id::Name;
use crate::model::key::ServerId;
use crate::model::message::{UserRow, UserState};

#[tokio::test]
async fn a_script_reads_one_object_a_line_and_one_reply_a_command() {
    let (handle, client) = fake();
    let output = Output::default();
    let script = "login alice\nsned 1 1\n\n  list \nhelp\nexit\nlist\n";
    let run = run(handle, reader::spawn(script.as_bytes()), Json::new(output.clone()));
    let (code, orders) = tokio::join!(run, answer_all(client));
    assert_eq!((code, orders), (0, vec!["list".to_owned()]));
    let help = serde_json::to_string(&help::text()).unwrap();
    let lines = [
        r#"{"event":"reply","command":"login","ok":false,"error":"password-needed","message":"passwords are asked for at a terminal only; here type: login NAME PASSWORD"}"#,
        r#"{"event":"reply","command":"sned","ok":false,"error":"unknown-command","message":"there is no such command; did you mean send?"}"#,
        r#"{"event":"reply","command":"list","ok":true,"users":[{"name":"bob","state":"away"}]}"#,
        &format!(r#"{{"event":"reply","command":"help","ok":true,"message":{help}}}"#),
        r#"{"event":"reply","command":"exit","ok":true}"#,
    ];
    let mut written = output.lines();
    // Mistakes and help are answered at once, the others when the client has answered.
    written.sort();
    let mut expected = lines.map(str::to_owned);
    expected.sort();
    assert_eq!(written, expected);
    assert_eq!(output.lines().last().map(String::as_str), Some(lines[4]));
}

#[tokio::test]
async fn plain_lines_are_words_without_a_prompt_or_colour() {
    let (handle, client) = fake();
    let output = Output::default();
    let run = run(handle, reader::spawn(&b"begin a;b\nlist\n"[..]), Plain::new(output.clone(), false));
    let (code, _) = tokio::join!(run, answer_all(client));
    assert_eq!(code, 0);
    let lines =
        ["begin: a name is 1 to 32 of the letters A-Z a-z, digits, '_', '.' and '-'", "name  state", "bob   away"];
    assert_eq!(output.lines(), lines);
}

#[tokio::test]
async fn the_end_of_the_input_waits_for_every_answer() {
    let (handle, mut client) = fake();
    let (to, typing) = mpsc::channel(8);
    let output = Output::default();
    let task = tokio::spawn(run(handle, typing, Json::new(output.clone())));
    to.send(Typing::Line("list".to_owned())).await.unwrap();
    drop(to);
    client.orders.recv().await.unwrap();
    settle().await;
    assert_eq!(client.orders.try_recv().unwrap_err(), TryRecvError::Empty, "the client is not told to end yet");
    client.reply("list").await;
    client.leave().await;
    assert_eq!(task.await.unwrap(), 0);
    assert_eq!(output.lines().len(), 1);
}

#[tokio::test]
async fn a_script_that_types_ahead_is_slowed_down_and_loses_nothing() {
    let (handle, mut client) = fake();
    let (to, typing) = mpsc::channel(64);
    let task = tokio::spawn(run(handle, typing, Json::new(Output::default())));
    for _ in 0..40 {
        to.send(Typing::Line("list".to_owned())).await.unwrap();
    }
    drop(to);
    for _ in 0..OUTBOX_MAX {
        client.orders.recv().await.unwrap();
    }
    settle().await;
    assert_eq!(client.orders.try_recv().unwrap_err(), TryRecvError::Empty, "no more than that is under way");
    for _ in 0..OUTBOX_MAX {
        client.reply("list").await;
    }
    let mut answered = OUTBOX_MAX;
    while client.orders.recv().await.is_some() {
        client.reply("list").await;
        answered += 1;
    }
    assert_eq!(answered, 40);
    client.leave().await;
    assert_eq!(task.await.unwrap(), 0);
}

#[tokio::test]
async fn exit_does_not_wait_for_ever() {
    let (handle, mut client) = fake();
    let (to, typing) = mpsc::channel(8);
    let output = Output::default();
    let task = tokio::spawn(run_within(Duration::ZERO, handle, typing, Json::new(output.clone())));
    to.send(Typing::Line("list".to_owned())).await.unwrap();
    client.orders.recv().await.unwrap();
    to.send(Typing::Line("exit".to_owned())).await.unwrap();
    assert!(client.orders.recv().await.is_none(), "the client is told to end");
    client.leave().await;
    assert_eq!(task.await.unwrap(), 1);
    assert!(output.lines()[0].contains(r#""command":"exit","ok":false,"error":"unanswered""#));
}

#[tokio::test]
async fn a_client_that_gives_up_is_told_and_has_its_exit_code() {
    let (handle, client) = fake();
    let (_to, typing) = mpsc::channel(8);
    let output = Output::default();
    let task = tokio::spawn(run(handle, typing, Json::new(output.clone())));
    client.events.send(Event::Notice { code: "x", text: "before".to_owned() }).await.unwrap();
    let why = ClientError::Unreachable { address: "host:1".to_owned(), why: "refused".to_owned() };
    client.finish.send(Err(why)).unwrap();
    assert_eq!(task.await.unwrap(), 4);
    let lines = output.lines();
    assert_eq!(lines[0], r#"{"event":"notice","code":"x","text":"before"}"#);
    assert!(lines[1].starts_with(r#"{"event":"notice","code":"unreachable","text":"#), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let (handle, client) = fake();
    let (_to, typing) = mpsc::channel(8);
    let task = tokio::spawn(run(handle, typing, Json::new(Closed)));
    client.events.send(Event::Notice { code: "x", text: String::new() }).await.unwrap();
    client.leave().await;
    assert_eq!(task.await.unwrap(), 0);
}

#[tokio::test]
async fn nobody_but_a_person_trusts_a_new_server() {
    let (handle, client) = fake();
    let (_to, typing) = mpsc::channel(8);
    let _task = tokio::spawn(run(handle, typing, Json::new(Output::default())));
    assert!(!client.ask().await.await.unwrap());
}

#[tokio::test]
async fn a_person_is_asked_until_the_answer_is_clear() {
    for (typed, trusted) in [(&["list", "YES"][..], true), (&["y"], true), (&["no"], false), (&[""], false)] {
        let (handle, mut client) = fake();
        let (to, typing) = mpsc::channel(8);
        let person = Person::default();
        let _task = tokio::spawn(run(handle, typing, person.clone()));
        let answer = client.ask().await;
        settle().await;
        assert!(person.log().contains(&"question true".to_owned()));
        for line in typed {
            to.send(Typing::Line((*line).to_owned())).await.unwrap();
        }
        assert_eq!(answer.await.unwrap(), trusted, "{typed:?}");
        assert!(client.orders.try_recv().is_err(), "an answer is no command");
    }
}

#[tokio::test]
async fn a_person_leaves_at_once_and_hears_that_the_session_stays() {
    for last in [Typing::Line("exit".to_owned()), Typing::End] {
        let (handle, mut client) = fake();
        client.status.send_modify(|status| status.user = Some("alice".to_owned()));
        let (to, typing) = mpsc::channel(8);
        let person = Person::default();
        let task = tokio::spawn(run(handle, typing, person.clone()));
        to.send(Typing::Line("list".to_owned())).await.unwrap();
        client.orders.recv().await.unwrap();
        to.send(last).await.unwrap();
        client.leave().await;
        assert_eq!(task.await.unwrap(), 0);
        let log = person.log();
        let closed = log.iter().position(|line| line == "close").unwrap();
        assert!(log[closed + 1].contains("no answer came to 1 of your commands"), "{log:?}");
        assert!(log[closed + 2].contains("your session stays"), "{log:?}");
    }
}

#[tokio::test]
async fn a_person_is_asked_for_the_passwords_that_are_missing() {
    let (handle, mut client) = fake();
    let (to, typing) = mpsc::channel(8);
    let person = Person::default();
    let _task = tokio::spawn(run(handle, typing, person.clone()));
    to.send(Typing::Line("login alice".to_owned())).await.unwrap();
    settle().await;
    let login = Secret::Login(Name::new("alice").unwrap());
    assert!(person.log().contains(&format!("{:?}", Wish::Secrets(login.clone()))));
    to.send(Typing::Secrets(login.typed(&["secret"]))).await.unwrap();
    let Some(Order::Typed(typed)) = client.orders.recv().await else { panic!() };
    assert_eq!(typed.word(), "login");
}

#[tokio::test]
async fn enter_alone_tries_again_while_there_is_no_link() {
    let (handle, mut client) = fake();
    let (to, typing) = mpsc::channel(8);
    let _task = tokio::spawn(run(handle, typing, Person::default()));
    to.send(Typing::Line(String::new())).await.unwrap();
    let Some(Order::Typed(typed)) = client.orders.recv().await else { panic!() };
    assert_eq!(typed, Typed::Status);
    client.status.send_modify(|status| status.link = LinkState::Live);
    settle().await;
    to.send(Typing::Line(String::new())).await.unwrap();
    settle().await;
    assert!(client.orders.try_recv().is_err());
}

/// The other end of a handle.
struct Fake {
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<Event>,
    status: watch::Sender<Status>,
    questions: mpsc::Sender<Question>,
    finish: oneshot::Sender<Result<(), ClientError>>,
}

impl Fake {
    async fn reply(&self, word: &str) {
        let users = vec![UserRow { name: Name::new("bob").unwrap(), state: UserState::Away }];
        let reply = Reply { users: Some(users), ..Reply::done(word) };
        self.events.send(Event::Reply(reply)).await.unwrap();
    }

    async fn ask(&self) -> oneshot::Receiver<bool> {
        let (answer, answered) = oneshot::channel();
        let question = Question { address: "host:1".to_owned(), id: ServerId([7; 32]), answer };
        self.questions.send(question).await.unwrap();
        answered
    }

    /// As the client does when its commands are dropped.
    async fn leave(mut self) {
        while self.orders.recv().await.is_some() {}
        self.finish.send(Ok(())).unwrap();
    }
}

fn fake() -> (ClientHandle, Fake) {
    let (commands, orders) = mpsc::channel(OUTBOX_MAX);
    let (to_events, events) = mpsc::channel(64);
    let (to_questions, questions) = mpsc::channel(1);
    let start = Status { user: None, link: LinkState::Down, down_ms: None, retry_ms: None, seated: None };
    let (to_status, status) = watch::channel(start);
    let (finish, finished) = oneshot::channel();
    let end = tokio::spawn(async { finished.await.unwrap_or(Ok(())) });
    let client = Fake { orders, events: to_events, status: to_status, questions: to_questions, finish };
    (ClientHandle { commands, events, status, questions, end }, client)
}

/// Answers each order until no more come; their words.
async fn answer_all(mut client: Fake) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(order) = client.orders.recv().await {
        let Order::Typed(typed) = order else { panic!("{order:?}") };
        client.reply(typed.word()).await;
        words.push(typed.word().to_owned());
    }
    client.leave().await;
    words
}

/// Lets every task go as far as it can.
async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe whose reader is gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Somebody at a terminal; what they are shown.
#[derive(Clone, Default)]
struct Person(Arc<Mutex<Vec<String>>>);

impl Person {
    fn log(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl Face for Person {
    fn show(&mut self, event: &Event) -> io::Result<()> {
        self.note(format!("{event:?}"));
        Ok(())
    }

    fn question(&mut self, open: bool) {
        self.note(format!("question {open}"));
    }

    fn listen(&mut self, wish: Wish) {
        self.note(format!("{wish:?}"));
    }

    fn at_terminal(&self) -> bool {
        true
    }

    fn close(&mut self) {
        self.note("close".to_owned());
    }
}
