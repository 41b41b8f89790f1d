//! The file of an import: a line for each account, `NAME<tab>PASSWORD<tab>SCORE`.
//!
//! What must hold: every bad line is named by its number with a reason, and no reason quotes anything that may be a
//! password.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::model::id::{BadName, Name, NameKey};
use crate::model::limits::PASSWORD_BYTES_MAX;
use crate::model::password::Password;

/// What some editors put before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One account of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its line, from 1.
    pub(super) line: usize,
    /// Its name.
    pub(super) name: Name,
    /// Its password, in clear.
    pub(super) password: Password,
    /// Its points.
    pub(super) points: u32,
}

/// Why a line cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadLine {
    /// Not text.
    #[error("it is not UTF-8")]
    NotText,
    /// Too few or too many parts.
    #[error("it has {0} fields; NAME<tab>PASSWORD<tab>SCORE is needed")]
    Fields(usize),
    /// The first part.
    #[error("{0}")]
    Name(#[from] BadName),
    /// The second part is empty.
    #[error("the password is empty")]
    NoPassword,
    /// The second part is too long.
    #[error("the password has more than {PASSWORD_BYTES_MAX} bytes")]
    LongPassword,
    /// The third part.
    #[error("the score is not a whole number from 0 to {}", u32::MAX)]
    Score,
    /// The name was there before.
    #[error("{name} is the name on line {first} already (names are the same in any case)")]
    Twice {
        /// The name.
        name: Name,
        /// The line before.
        first: usize,
    },
    /// The server has such an account.
    #[error("{name} has an account already (names are the same in any case); --skip-existing leaves such lines out")]
    Exists {
        /// The name.
        name: Name,
    },
}

/// The rows of a file, and its bad lines. Empty lines are passed over.
pub(super) fn read(bytes: &[u8]) -> (Vec<Row>, Vec<(usize, BadLine)>) {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut names: BTreeMap<NameKey, usize> = BTreeMap::new();
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            continue;
        }
        match row(line, text) {
            Ok(row) => match names.entry(row.name.key()) {
                Entry::Vacant(free) => {
                    free.insert(line);
                    rows.push(row);
                }
                Entry::Occupied(first) => bad.push((line, BadLine::Twice { name: row.name, first: *first.get() })),
            },
            Err(why) => bad.push((line, why)),
        }
    }
    (rows, bad)
}

fn row(line: usize, text: &[u8]) -> Result<Row, BadLine> {
    let text = std::str::from_utf8(text).map_err(|_| BadLine::NotText)?;
    let fields: Vec<&str> = text.split('\t').collect();
    let [name, password, score] = fields[..] else { return Err(BadLine::Fields(fields.len())) };
    let name = Name::new(name)?;
    if password.is_empty() {
        return Err(BadLine::NoPassword);
    }
    let password = Password::new(password).ok_or(BadLine::LongPassword)?;
    let digits = !score.is_empty() && score.bytes().all(|byte| byte.is_ascii_digit());
    let points = score.parse().ok().filter(|_| digits).ok_or(BadLine::Score)?;
    Ok(Row { line, name, password, points })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;

    #[test]
    fn lines_of_any_system_are_read_and_passwords_taken_as_they_are() {
        let (rows, bad) = read(b"\xef\xbb\xbfalice\t a b \t5\r\n\nBob\tx\t0\ncarol\t\xf0\x9f\x8e\xb2\x00\t4294967295");
        assert_eq!(bad, []);
        let seen: Vec<_> =
            rows.iter().map(|row| (row.line, row.name.as_str(), row.password.expose(), row.points)).collect();
        assert_eq!(seen, [(1, "alice", " a b ", 5), (3, "Bob", "x", 0), (4, "carol", "🎲\0", u32::MAX)]);
    }

    #[test]
    fn every_bad_line_is_named_with_its_reason() {
        let long = format!("x\t{}\t1", "p".repeat(PASSWORD_BYTES_MAX + 1));
        let name = || Name::new("ALICE").unwrap();
        let lines: [(&[u8], BadLine); 13] = [
            (b"only", BadLine::Fields(1)),
            (b"two\tfields", BadLine::Fields(2)),
            (b"a\tb\tc\t4", BadLine::Fields(4)),
            (b"\t\t", BadLine::Name(BadName)),
            (b"a b\tp\t1", BadLine::Name(BadName)),
            (b"x\t\t1", BadLine::NoPassword),
            (long.as_bytes(), BadLine::LongPassword),
            (b"x\tp\t", BadLine::Score),
            (b"x\tp\t-1", BadLine::Score),
            (b"x\tp\t+1", BadLine::Score),
            (b"x\tp\t4294967296", BadLine::Score),
            (b"\xff\tp\t1", BadLine::NotText),
            (b"ALICE\tp\t1", BadLine::Twice { name: name(), first: 1 }),
        ];
        let mut text = b"alice\tp\t1".to_vec();
        for (line, _) in &lines {
            text.push(b'\n');
            text.extend_from_slice(line);
        }
        let (rows, bad) = read(&text);
        assert_eq!(rows.len(), 1);
        let expected: Vec<_> = (2..).zip(lines.into_iter().map(|(_, why)| why)).collect();
        assert_eq!(bad, expected);
    }

    #[test]
    fn no_reason_quotes_what_may_be_a_password() {
        let (_, bad) =
            read(b"alice hunter2hunter2 5\nalice\thunter2hunter2\nbob\thunter2hunter2\tx\nhunter2 hunter2\tx\t1");
        assert_eq!(bad.len(), 4);
        assert!(bad.iter().all(|(_, why)| !why.to_string().contains("hunter2")));
    }
}
