//! Lines from a pipe or a file, read by a thread of its own: a read that blocks holds nothing up.
//!
//! Holds: no line takes more than [`LINE_BYTES_MAX`] of memory; a line that cannot be taken gets its answer like any
//! other.

use std::io::{self, BufRead, BufReader, Read};
use std::thread;

use tokio::sync::mpsc;

use super::parse::{LINE_BYTES_MAX, Mistake};
use super::session::Typing;

/// Reads lines until the end. They are taken one by one: what is not wanted yet stays unread.
pub fn spawn(input: impl Read + Send + 'static) -> mpsc::Receiver<Typing> {
    let (to, typing) = mpsc::channel(1);
    // Without the thread nothing could be typed; dropping `to` ends the input at once.
    let _ = thread::Builder::new().name("lines".to_owned()).spawn(move || {
        let mut input = BufReader::new(input);
        while let Some(typed) = next(&mut input) {
            if to.blocking_send(typed).is_err() {
                break;
            }
        }
    });
    typing
}

/// The next line, or `None` at the end of the input.
fn next(input: &mut impl BufRead) -> Option<Typing> {
    let mut line = Vec::new();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    match input.by_ref().take(limit).read_until(b'\n', &mut line) {
        Err(error) => return Some(Typing::Failed(error)),
        Ok(0) => return None,
        Ok(_) => {}
    }
    if line.last() != Some(&b'\n') && line.len() == LINE_BYTES_MAX {
        if let Err(error) = skip_line(input) {
            return Some(Typing::Failed(error));
        }
        let why = format!("a line has at most {LINE_BYTES_MAX} bytes");
        return Some(Typing::Wrong(Mistake::new("", "line-too-long", why)));
    }
    Some(match String::from_utf8(line) {
        Ok(line) => Typing::Line(line),
        Err(_) => Typing::Wrong(Mistake::new("", "not-utf8", "a line is UTF-8 text")),
    })
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    input.skip_until(b'\n').map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one_and_the_last_needs_no_end() {
        assert_eq!(read(b"list\r\nboard"), ["list\r\n", "board"]);
        assert_eq!(read(b""), [""; 0]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_told() {
        let fits = [b"x".repeat(LINE_BYTES_MAX - 1), b"\nlist\n".to_vec()].concat();
        assert_eq!(read(&fits)[1], "list\n");
        let long = [b"x".repeat(3 * LINE_BYTES_MAX), b"\nlist\n".to_vec()].concat();
        assert_eq!(read(&long), ["line-too-long", "list\n"]);
    }

    #[test]
    fn what_is_not_text_is_told() {
        assert_eq!(read(b"login \xff\nlist\n"), ["not-utf8", "list\n"]);
    }

    fn read(mut bytes: &[u8]) -> Vec<String> {
        let said = |typed| match typed {
            Typing::Line(line) => line,
            Typing::Wrong(mistake) => mistake.error.to_owned(),
            Typing::Secrets(_) | Typing::End | Typing::Failed(_) => panic!("{typed:?}"),
        };
        std::iter::from_fn(|| next(&mut bytes)).map(said).collect()
    }
}
