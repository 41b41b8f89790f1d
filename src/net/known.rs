//! The servers a client has met: the text of its `known_servers` file.
//!
//! One `host:port server-id` a line; empty lines and those that begin with `#` are the user's own and stay where
//! they are. What must hold: one address has one id; what is formatted parses to the same.

use std::fmt;

use super::address::{Address, BadAddress};
use crate::model::key::{BadServerId, ServerId};

/// The file's contents. Reading and writing the file is the caller's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownServers(Vec<Line>);

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}; correct or remove it")]
pub struct BadLine {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: BadLineWhy,
}

/// What is wrong with a line of `known_servers`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadLineWhy {
    /// It is not two words.
    #[error("not an address and a server id")]
    Words,
    /// Its first word is no address.
    #[error(transparent)]
    Address(#[from] BadAddress),
    /// Its second word is no id.
    #[error(transparent)]
    Id(#[from] BadServerId),
    /// A line before it names the same address.
    #[error("the address stands on a line before it already")]
    Twice,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// A comment or an empty line.
    Other(String),
    /// A server, by [`Address::key`].
    Server(String, ServerId),
}

impl KnownServers {
    /// Reads the text of the file; a file that does not exist is an empty text.
    ///
    /// # Errors
    /// [`BadLine`] for the first line that cannot be read: guessing would mean trusting.
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let mut known = Self::default();
        for (line, text) in (1..).zip(text.lines()) {
            let parsed = parse_line(text).map_err(|why| BadLine { line, why })?;
            if let Line::Server(key, _) = &parsed
                && known.by_key(key).is_some()
            {
                return Err(BadLine { line, why: BadLineWhy::Twice });
            }
            known.0.push(parsed);
        }
        Ok(known)
    }

    /// The id the server at this address had.
    #[must_use]
    pub fn get(&self, address: &Address) -> Option<ServerId> {
        self.by_key(&address.key())
    }

    /// Remembers the server at this address, in place of the one before.
    pub fn insert(&mut self, address: &Address, id: ServerId) {
        let key = address.key();
        for line in &mut self.0 {
            match line {
                Line::Server(known, old) if *known == key => {
                    *old = id;
                    return;
                }
                Line::Server(..) | Line::Other(_) => {}
            }
        }
        self.0.push(Line::Server(key, id));
    }

    fn by_key(&self, key: &str) -> Option<ServerId> {
        self.0.iter().find_map(|line| match line {
            Line::Server(known, id) if known == key => Some(*id),
            Line::Server(..) | Line::Other(_) => None,
        })
    }
}

/// The text of the file.
impl fmt::Display for KnownServers {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| match line {
            Line::Other(text) => writeln!(to, "{text}"),
            Line::Server(key, id) => writeln!(to, "{key} {id}"),
        })
    }
}

fn parse_line(text: &str) -> Result<Line, BadLineWhy> {
    if text.trim().is_empty() || text.trim_start().starts_with('#') {
        return Ok(Line::Other(text.to_owned()));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let [address, id] = words[..] else { return Err(BadLineWhy::Words) };
    let address: Address = address.parse()?;
    if address.id.is_some() {
        return Err(BadLineWhy::Words);
    }
    Ok(Line::Server(address.key(), id.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn servers_are_found_by_any_spelling_of_their_address() {
        let (one, two) = (ServerId([1; 32]), ServerId([2; 32]));
        let known = KnownServers::parse(&format!("# mine\n\nExample.org {one}\n[0::1]:4000\t{two}\n")).unwrap();
        assert_eq!(known.get(&at("example.ORG:3000")), Some(one));
        assert_eq!(known.get(&at("[::1]:4000")), Some(two));
        assert_eq!(known.get(&at("example.org:4000")), None);
    }

    #[test]
    fn inserting_replaces_in_place_and_keeps_the_users_lines() {
        let (one, two) = (ServerId([1; 32]), ServerId([2; 32]));
        let mut known = KnownServers::parse(&format!("# mine\na:3000 {one}\n\n# end")).unwrap();
        known.insert(&at("A"), two);
        known.insert(&at("b:1"), one);
        let text = known.to_string();
        assert_eq!(text, format!("# mine\na:3000 {two}\n\n# end\nb:1 {one}\n"));
        assert_eq!(KnownServers::parse(&text), Ok(known));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let id = ServerId([1; 32]);
        for (text, line, why) in [
            (format!("\na {id} b"), 2, BadLineWhy::Words),
            (format!("a#{id} {id}"), 1, BadLineWhy::Words),
            ("a".to_owned(), 1, BadLineWhy::Words),
            (format!("a:x {id}"), 1, BadLineWhy::Address(BadAddress::Port("x".to_owned()))),
            ("a k7".to_owned(), 1, BadLineWhy::Id(BadServerId)),
            (format!("a {id}\nA:3000 {id}"), 2, BadLineWhy::Twice),
        ] {
            assert_eq!(KnownServers::parse(&text), Err(BadLine { line, why }), "{text:?}");
        }
    }
}
