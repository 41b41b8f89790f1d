//! One event as it is written: a JSON line, and a line of `log.txt`. Pure.
//!
//! What must hold: a record is one line, whatever a client has put into it; what is written is read back the same.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::event;
use crate::model::time::WallMs;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When, by the wall clock of whoever has written it.
    pub at: WallMs,
    /// `INFO`, `WARN` or `ERROR`.
    pub level: String,
    /// Its name in the catalogue.
    pub event: String,
    /// What it says, `message` among it.
    pub fields: Map<String, Value>,
}

/// A line that is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this line is no event")]
pub struct NoRecord;

impl Record {
    /// The JSON object, without an end of line.
    #[must_use]
    pub fn json(&self) -> String {
        let own = [
            ("at", Value::from(self.at.0)),
            ("time", stamp(self.at).into()),
            ("level", self.level.as_str().into()),
            ("event", self.event.as_str().into()),
        ];
        let own = own.iter().map(|(name, value)| (*name, value));
        let all: BTreeMap<&str, &Value> =
            own.chain(self.fields.iter().map(|(name, value)| (name.as_str(), value))).collect();
        let json = serde_json::to_string(&all).expect("words and values can be written");
        // What JSON leaves as it is, a terminal may still obey.
        if !json.contains(obeyed) {
            return json;
        }
        let mut line = String::with_capacity(json.len());
        for letter in json.chars() {
            if obeyed(letter) {
                line.push_str(&format!("\\u{:04x}", u32::from(letter)));
            } else {
                line.push(letter);
            }
        }
        line
    }

    /// Reads what [`json`](Self::json) has written.
    ///
    /// # Errors
    /// [`NoRecord`] for anything else.
    pub fn parse(line: &str) -> Result<Self, NoRecord> {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else { return Err(NoRecord) };
        let at = fields.remove("at").and_then(|at| at.as_u64()).ok_or(NoRecord)?;
        fields.remove("time");
        let mut word = |name| match fields.remove(name) {
            Some(Value::String(text)) => Ok(text),
            Some(_) | None => Err(NoRecord),
        };
        let (level, event) = (word("level")?, word("event")?);
        Ok(Self { at: WallMs(at), level, event, fields })
    }

    /// The line of `log.txt`, without its end.
    #[must_use]
    pub fn text(&self) -> String {
        let sentence = match event::kind(&self.event) {
            Some(kind) => self.fill(&self.sentence(kind)),
            None => format!("{} {}", self.event, self.word("message")),
        };
        format!("[{}] {}", stamp(self.at), plain(&sentence))
    }

    /// What a field says, as text; nothing if it is not there.
    #[must_use]
    pub fn word(&self, name: &str) -> String {
        match self.fields.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }

    /// The number of a field.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.fields.get(name).and_then(Value::as_u64)
    }

    /// The sentence for what is known: a client does not write down what only the server knows, and the other way round.
    fn sentence(&self, kind: &event::Kind) -> String {
        let has = |field: &str| !self.word(field).is_empty();
        let sentence = if kind.name == event::LINK_LOST && self.word("cause") == "silence" {
            "unexpected disconnect found by heartbeat: {user} from {ip}"
        } else if kind.name == event::MATCH_SETTLED && has("outcome") {
            "match ended: {outcome} ({why}), {match_id}"
        } else if kind.name == event::MATCH_SETTLED && !has("winner") {
            "match ended: {x} ({x_ip}) and {o} ({o_ip}), no winner ({why}), settled after {plies} moves, {match_id}"
        } else if kind.name == event::OUTAGE && has("attempts") {
            "outage: {user}, {length_ms} ms, {cause}, dials {attempts}, waits {waits_ms} ms; {ended}"
        } else if kind.name == event::OUTAGE && self.word("at_least") == "true" {
            "outage: {user}, at least {length_ms} ms, {cause}; {ended}"
        } else {
            kind.text
        };
        let missing = OF_ADDRESSES.iter().filter(|(field, ..)| !has(field));
        missing.fold(sentence.to_owned(), |sentence, (_, words, short)| sentence.replace(words, short))
    }

    fn fill(&self, sentence: &str) -> String {
        let mut parts = sentence.split('{');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (field, rest) = part.split_once('}').unwrap_or((part, ""));
            let word = self.word(field);
            text.push_str(if word.is_empty() && field != "error" { "-" } else { &word });
            text.push_str(rest);
        }
        text
    }
}

/// A field, words of a sentence with it, and what is said without it.
const OF_ADDRESSES: [(&str, &str, &str); 5] = [
    ("ip", " from {ip}", ""),
    ("x_ip", "(X, {x_ip})", "(X)"),
    ("o_ip", "(O, {o_ip})", "(O)"),
    ("x_ip", " ({x_ip})", ""),
    ("o_ip", " ({o_ip})", ""),
];

/// `2026-06-20 15:50:00`, in UTC.
#[must_use]
pub fn stamp(at: WallMs) -> String {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or_default();
    let Ok(moment) = OffsetDateTime::from_unix_timestamp(seconds) else { return at.0.to_string() };
    let (date, clock) = (moment.date(), moment.time());
    format!("{date} {:02}:{:02}:{:02}", clock.hour(), clock.minute(), clock.second())
}

/// The text with everything that a terminal would obey, or that would end the line, written out.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.trim_end().chars() {
        if obeyed(letter) {
            plain.extend(letter.escape_unicode());
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// Whether a terminal does something else with it than to show it. Marks that change the direction of writing can make a
/// line read as another.
fn obeyed(letter: char) -> bool {
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(event: &str, fields: &[(&str, &str)]) -> Record {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        Record { at: WallMs(1_781_970_600_123), level: "INFO".to_owned(), event: event.to_owned(), fields }
    }

    #[test]
    fn a_line_of_the_text_log_has_the_form_it_always_had() {
        let started = record(event::LOGIN_OK, &[("user", "alice"), ("ip", "127.0.0.1")]);
        assert_eq!(started.text(), "[2026-06-20 15:50:00] login ok: alice from 127.0.0.1");
        let silent = record(event::LINK_LOST, &[("user", "bob"), ("ip", "::1"), ("cause", "silence")]);
        assert_eq!(silent.text(), "[2026-06-20 15:50:00] unexpected disconnect found by heartbeat: bob from ::1");
    }

    #[test]
    fn a_client_does_not_name_what_only_the_server_knows() {
        let text = |event: &str, fields: &[(&str, &str)]| record(event, fields).text()[22..].to_owned();
        assert_eq!(text(event::LINK_LOST, &[("user", "bob"), ("cause", "reset")]), "link lost: bob (reset)");
        let started = [("x", "alice"), ("o", "bob"), ("game", "gomoku"), ("match_id", "ab"), ("o_ip", "::1")];
        assert_eq!(text(event::MATCH_STARTED, &started), "match started: alice (X) and bob (O, ::1), gomoku, ab");
        let ended = [("outcome", "win"), ("why", "board"), ("match_id", "ab")];
        assert_eq!(text(event::MATCH_SETTLED, &ended), "match ended: win (board), ab");
        let outage = [("user", "bob"), ("length_ms", "812"), ("cause", "reset"), ("ended", "resumed")];
        assert_eq!(text(event::OUTAGE, &outage), "outage: bob, 812 ms, reset; resumed");
        let dials = [&outage[..], &[("attempts", "2"), ("waits_ms", "9 80")]].concat();
        assert_eq!(text(event::OUTAGE, &dials), "outage: bob, 812 ms, reset, dials 2, waits 9 80 ms; resumed");
        let more = [&outage[..], &[("at_least", "true")]].concat();
        assert_eq!(text(event::OUTAGE, &more), "outage: bob, at least 812 ms, reset; resumed");
    }

    #[test]
    fn whatever_a_client_says_is_one_line_that_no_terminal_obeys() {
        let evil = "a\n[2026-06-20 15:50:00] login ok: root\r\u{1b}[2J\u{202e}\u{9b}31m\0";
        let record = record(event::LOGIN_FAILED, &[("user", evil), ("ip", "10.0.0.1")]);
        for line in [record.text(), record.json()] {
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(!line.contains('\u{202e}'));
        }
        assert_eq!(Record::parse(&record.json()), Ok(record));
    }

    #[test]
    fn what_is_no_record_is_said_to_be_none() {
        for line in ["", "{", "7", "{}", "{\"at\":1}", "{\"at\":\"x\",\"level\":\"INFO\",\"event\":\"foul\"}"] {
            assert_eq!(Record::parse(line), Err(NoRecord), "{line}");
        }
    }
}
