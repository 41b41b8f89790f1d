//! A typed line becomes a command, or a mistake that says how to type it.
//!
//! Holds: no line panics; the words of a mistake are stable; a line that could hold a password is told by
//! [`may_be_remembered`], typing errors included.

use std::path::PathBuf;

use super::help;
use crate::model::client::command::Typed;
use crate::model::client::event::{Event, Reply};
use crate::model::games::GameSpec;
use crate::model::id::Name;
use crate::model::limits::PASSWORD_BYTES_MIN;
use crate::model::password::Password;
use crate::model::refusal::Refusal;

/// The longest line taken, in bytes: two passwords of the longest kind fit.
pub const LINE_BYTES_MAX: usize = 4096;
/// Words of a move that are passed on to the game.
const MOVE_WORDS_MAX: usize = 8;
/// Commands that may hold a password.
const SECRET_WORDS: [&str; 3] = ["adduser", "login", "passwd"];

/// A line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Nothing.
    Empty,
    /// A command for the client.
    Typed(Typed),
    /// `export [FILE]`
    Export(Option<PathBuf>),
    /// A command without its passwords.
    Needs(Secret),
    /// `help`
    Help,
    /// `exit`
    Exit,
}

/// A command whose passwords are still to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// `adduser NAME`: the new one, twice.
    AddUser(Name),
    /// `login NAME`: once.
    Login(Name),
    /// `passwd`: the old one, then the new one twice.
    Passwd,
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its first word.
    pub command: String,
    /// A stable word.
    pub error: &'static str,
    /// A sentence.
    pub message: String,
}

/// Understands one line.
///
/// # Errors
/// [`Mistake`] for an unknown command, too few or too many words, a bad name, game or password.
pub fn parse(line: &str) -> Result<Line, Mistake> {
    let mut words = line.split_whitespace();
    let Some(word) = words.next() else { return Ok(Line::Empty) };
    let words: Vec<&str> = words.collect();
    let typed = |typed| Ok(Line::Typed(typed));
    match (word, &words[..]) {
        ("adduser", [named]) => Ok(Line::Needs(Secret::AddUser(name(word, named)?))),
        ("adduser", [named, new]) => typed(Typed::AddUser(name(word, named)?, chosen(word, new)?)),
        ("login", [named]) => Ok(Line::Needs(Secret::Login(name(word, named)?))),
        ("login", [named, secret]) => typed(Typed::Login(name(word, named)?, password(word, secret)?)),
        ("passwd", []) => Ok(Line::Needs(Secret::Passwd)),
        ("passwd", [old, new]) => typed(Typed::Passwd(password(word, old)?, chosen(word, new)?)),
        ("begin", [named]) => typed(Typed::Begin(name(word, named)?, game(word, GAME_DEFAULT)?)),
        ("begin", [named, of]) => typed(Typed::Begin(name(word, named)?, game(word, of)?)),
        ("accept", []) => typed(Typed::Accept(None)),
        ("accept", [named]) => typed(Typed::Accept(Some(name(word, named)?))),
        ("decline", []) => typed(Typed::Decline(None)),
        ("decline", [named]) => typed(Typed::Decline(Some(name(word, named)?))),
        ("send", [_, ..]) if words.len() <= MOVE_WORDS_MAX => {
            typed(Typed::Send(words.iter().map(|&part| part.to_owned()).collect()))
        }
        ("export", []) => Ok(Line::Export(None)),
        // A path may hold blanks.
        ("export", _) => Ok(Line::Export(Some(PathBuf::from(after_first_word(line))))),
        ("logout", []) => typed(Typed::Logout),
        ("leaders", []) => typed(Typed::Leaders),
        ("list", []) => typed(Typed::List),
        ("board", []) => typed(Typed::Board),
        ("delay", []) => typed(Typed::Delay),
        ("end", []) => typed(Typed::End),
        ("leave", []) => typed(Typed::Leave),
        ("rematch", []) => typed(Typed::Rematch),
        ("status", []) => typed(Typed::Status),
        ("help", _) => Ok(Line::Help),
        ("exit", []) => Ok(Line::Exit),
        (_, words) => Err(misfit(word, words)),
    }
}

/// Whether a line may enter the history: only if it is certain that it holds no password. A mistyped `login` does
/// not, so no unknown command is remembered.
#[must_use]
pub fn may_be_remembered(line: &str) -> bool {
    let word = line.split_whitespace().next();
    word.is_some_and(|word| help::command(word).is_some() && !SECRET_WORDS.contains(&word))
}

impl Secret {
    /// What is asked, in this order; a new password is asked for twice.
    #[must_use]
    pub fn questions(&self) -> Vec<String> {
        match self {
            Self::AddUser(name) => vec![format!("New password for {name}: "), "The same again: ".to_owned()],
            Self::Login(name) => vec![format!("Password for {name}: ")],
            Self::Passwd => ["Old password: ", "New password: ", "The same again: "].map(str::to_owned).to_vec(),
        }
    }

    /// The first word of the command.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::AddUser(_) => "adduser",
            Self::Login(_) => "login",
            Self::Passwd => "passwd",
        }
    }

    /// The command, with the answers to [`questions`](Self::questions).
    ///
    /// # Errors
    /// [`Mistake`] if the two new passwords differ, one is of a wrong length, or an answer is missing.
    pub fn typed(self, answers: &[&str]) -> Result<Typed, Mistake> {
        let word = self.word();
        Ok(match (self, answers) {
            (Self::AddUser(_) | Self::Passwd, [.., new, again]) if new != again => {
                return Err(Mistake::new(word, "passwords-differ", "the two passwords differ; nothing was changed"));
            }
            (Self::AddUser(name), [new, _]) => Typed::AddUser(name, chosen(word, new)?),
            (Self::Login(name), [secret]) => Typed::Login(name, password(word, secret)?),
            (Self::Passwd, [old, new, _]) => Typed::Passwd(password(word, old)?, chosen(word, new)?),
            (missing @ (Self::AddUser(_) | Self::Login(_) | Self::Passwd), _) => return Err(missing.missing()),
        })
    }

    /// What is said where nobody can be asked.
    #[must_use]
    pub fn missing(&self) -> Mistake {
        let usage = match self {
            Self::AddUser(_) => "adduser NAME PASSWORD",
            Self::Login(_) => "login NAME PASSWORD",
            Self::Passwd => "passwd OLD NEW",
        };
        let message = format!("passwords are asked for at a terminal only; here type: {usage}");
        Mistake::new(self.word(), "password-needed", message)
    }
}

impl Mistake {
    /// Names the command, the stable word and the sentence.
    #[must_use]
    pub fn new(command: &str, error: &'static str, message: impl Into<String>) -> Self {
        Self { command: command.to_owned(), error, message: message.into() }
    }

    /// As the reply to the command that it is not.
    #[must_use]
    pub fn event(self) -> Event {
        Event::Reply(Reply::refused(&self.command, self.error, self.message))
    }
}

/// A line whose words fit no command.
fn misfit(word: &str, words: &[&str]) -> Mistake {
    let Some(usage) = help::command(word) else { return unknown(word) };
    let (error, why) = if words.len() < usage.words.split_whitespace().count() {
        ("missing-words", "words are missing")
    } else {
        ("extra-words", "there are too many words")
    };
    let hint = if SECRET_WORDS.contains(&word) && error == "extra-words" {
        "; a password with blanks cannot stand on the line, leave it out and you are asked for it"
    } else {
        ""
    };
    Mistake::new(word, error, format!("{why}; type: {}{hint}", usage.line()))
}

fn unknown(word: &str) -> Mistake {
    let distance = |usage: &&help::Usage| strsim::damerau_levenshtein(usage.word, &word.to_lowercase());
    let nearest = help::COMMANDS.iter().min_by_key(distance);
    // One slip in three letters is a slip; more is another word.
    let near = nearest.filter(|usage| distance(usage) <= (usage.word.len() / 3).max(1));
    let message = match near {
        Some(usage) => format!("there is no such command; did you mean {}?", usage.word),
        None => "there is no such command; help lists them all".to_owned(),
    };
    Mistake::new(word, "unknown-command", message)
}

fn name(word: &str, text: &str) -> Result<Name, Mistake> {
    Name::new(text).map_err(|why| Mistake::new(word, "bad-name", why.to_string()))
}

fn game(word: &str, text: &str) -> Result<GameSpec, Mistake> {
    GameSpec::named(text).map_err(|why| Mistake::new(word, Refusal::UnknownGame.word(), why.to_string()))
}

fn password(word: &str, text: &str) -> Result<Password, Mistake> {
    Password::new(text).ok_or_else(|| bad_password(word))
}

/// A password that is about to be set.
fn chosen(word: &str, text: &str) -> Result<Password, Mistake> {
    if text.len() < PASSWORD_BYTES_MIN { Err(bad_password(word)) } else { password(word, text) }
}

fn bad_password(word: &str) -> Mistake {
    Mistake::new(word, Refusal::BadPassword.word(), Refusal::BadPassword.to_string())
}

fn after_first_word(line: &str) -> &str {
    line.trim().split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim())
}

const GAME_DEFAULT: &str = "tictactoe";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;

    #[test]
    fn every_command_is_understood() {
        let alice = Name::new("alice").unwrap();
        let (old, new) = (Password::new("old").unwrap(), Password::new("secret123").unwrap());
        let table = [
            ("adduser alice secret123", Typed::AddUser(alice.clone(), new.clone())),
            ("login alice old", Typed::Login(alice.clone(), old.clone())),
            ("passwd old secret123", Typed::Passwd(old, new)),
            ("logout", Typed::Logout),
            ("  leaders ", Typed::Leaders),
            ("list", Typed::List),
            ("begin alice", Typed::Begin(alice.clone(), GameSpec::named("tictactoe").unwrap())),
            ("begin alice 7x6x4g", Typed::Begin(alice.clone(), GameSpec::named("connect4").unwrap())),
            ("accept", Typed::Accept(None)),
            ("accept alice", Typed::Accept(Some(alice.clone()))),
            ("decline", Typed::Decline(None)),
            ("decline alice", Typed::Decline(Some(alice))),
            ("send 1\t2", Typed::Send(vec!["1".to_owned(), "2".to_owned()])),
            ("send 4", Typed::Send(vec!["4".to_owned()])),
            ("board", Typed::Board),
            ("delay", Typed::Delay),
            ("end", Typed::End),
            ("leave", Typed::Leave),
            ("rematch", Typed::Rematch),
            ("status", Typed::Status),
        ];
        for (line, typed) in table {
            assert_eq!(parse(line), Ok(Line::Typed(typed.clone())), "{line}");
            assert_eq!(line.split_whitespace().next(), Some(typed.word()));
            assert!(help::command(typed.word()).is_some(), "{line} lacks its help");
        }
        assert_eq!(parse("export"), Ok(Line::Export(None)));
        assert_eq!(parse("export  my game.json "), Ok(Line::Export(Some("my game.json".into()))));
        assert_eq!(parse("help"), Ok(Line::Help));
        assert_eq!(parse("help send"), Ok(Line::Help));
        assert_eq!(parse("exit"), Ok(Line::Exit));
        assert_eq!(parse(" \t"), Ok(Line::Empty));
    }

    #[test]
    fn a_command_without_its_password_needs_one() {
        let alice = Name::new("alice").unwrap();
        assert_eq!(parse("adduser alice"), Ok(Line::Needs(Secret::AddUser(alice.clone()))));
        assert_eq!(parse("login alice"), Ok(Line::Needs(Secret::Login(alice))));
        assert_eq!(parse("passwd"), Ok(Line::Needs(Secret::Passwd)));
    }

    #[test]
    fn answers_to_the_questions_make_the_command() {
        let alice = Name::new("alice").unwrap();
        let secret = |text| Password::new(text).unwrap();
        let cases = [
            (Secret::AddUser(alice.clone()), &["with blanks", "with blanks"][..], "adduser"),
            (Secret::Login(alice.clone()), &["x"][..], "login"),
            (Secret::Passwd, &["x", "12345678", "12345678"][..], "passwd"),
        ];
        for (asked, answers, word) in cases {
            assert_eq!(asked.questions().len(), answers.len());
            assert_eq!(asked.typed(answers).unwrap().word(), word);
        }
        let login = Secret::Login(alice.clone()).typed(&["pass"]);
        assert_eq!(login, Ok(Typed::Login(alice.clone(), secret("pass"))));
        assert_eq!(
            Secret::AddUser(alice.clone()).typed(&["12345678", "12345679"]).unwrap_err().error,
            "passwords-differ"
        );
        assert_eq!(Secret::Passwd.typed(&["old", "12345678", "12345679"]).unwrap_err().error, "passwords-differ");
        assert_eq!(Secret::AddUser(alice.clone()).typed(&["1234567", "1234567"]).unwrap_err().error, "bad-password");
        assert_eq!(Secret::Login(alice).typed(&[]).unwrap_err().error, "password-needed");
    }

    #[test]
    fn mistakes_have_a_stable_word_and_say_what_to_type() {
        let long = "x".repeat(1025);
        let table = [
            ("frobnicate", "unknown-command", "help lists them all"),
            ("sned 1 1", "unknown-command", "did you mean send?"),
            ("Login alice", "unknown-command", "did you mean login?"),
            ("borad", "unknown-command", "did you mean board?"),
            ("send", "missing-words", "type: send ROW COL"),
            ("begin", "missing-words", "type: begin NAME [GAME]"),
            ("adduser", "missing-words", "type: adduser NAME [PASSWORD]"),
            ("passwd old", "missing-words", "type: passwd [OLD NEW]"),
            ("send 1 2 3 4 5 6 7 8 9", "extra-words", "type: send ROW COL"),
            ("list all", "extra-words", "type: list"),
            ("exit now", "extra-words", "type: exit"),
            ("login alice my pass", "extra-words", "leave it out"),
            ("begin a;b", "bad-name", "a name is 1 to 32"),
            ("begin alice chess", "unknown-game", "try tictactoe"),
            ("adduser alice short", "bad-password", "8 to 1024"),
            ("passwd secret123 short", "bad-password", "8 to 1024"),
            (&format!("login alice {long}"), "bad-password", "8 to 1024"),
        ];
        for (line, error, part) in table {
            let mistake = parse(line).unwrap_err();
            assert_eq!(mistake.error, error, "{line}");
            assert!(mistake.message.contains(part), "{line}: {}", mistake.message);
            assert_eq!(Some(mistake.command.as_str()), line.split_whitespace().next());
        }
    }

    #[test]
    fn no_line_that_may_hold_a_password_is_remembered() {
        for line in ["list", " send 1 1", "begin bob"] {
            assert!(may_be_remembered(line), "{line}");
        }
        let secret = ["login alice x", " adduser a b", "passwd a b", "logni alice x", "LOGIN alice x", "secret123", ""];
        for line in secret {
            assert!(!may_be_remembered(line), "{line}");
        }
    }

    #[test]
    fn the_longest_passwords_fit_a_line() {
        use crate::model::limits::PASSWORD_BYTES_MAX;
        const { assert!("passwd  \n".len() + 2 * PASSWORD_BYTES_MAX <= LINE_BYTES_MAX) };
    }
}
