//! Text on its way to a terminal: a little colour, and nothing that the terminal would obey.
//!
//! Holds: whatever comes from the network passes [`plain`]; colour adds to words and never stands for them.

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};

/// Whether colour is for this stream: not away from a terminal, not with `NO_COLOR`.
#[must_use]
pub fn wanted(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// Good news.
#[must_use]
pub fn good(text: &str) -> String {
    format!("\x1b[32m{text}\x1b[0m")
}

/// What the player should look at.
#[must_use]
pub fn odd(text: &str) -> String {
    format!("\x1b[33m{text}\x1b[0m")
}

/// What may be passed over.
#[must_use]
pub fn faint(text: &str) -> String {
    format!("\x1b[2m{text}\x1b[0m")
}

/// What the player is to act on.
#[must_use]
pub fn strong(text: &str) -> String {
    format!("\x1b[1m{text}\x1b[0m")
}

/// The text without colour.
#[must_use]
pub fn colourless(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// The text with every letter spelled out that a terminal would obey or that would turn the order of the others.
#[must_use]
pub fn plain(text: &str) -> String {
    let obeyed = |letter: char| letter.is_control() || TURNERS.contains(&letter);
    let spelled = |letter: char| match obeyed(letter) {
        true => letter.escape_unicode().to_string(),
        false => letter.to_string(),
    };
    text.chars().map(spelled).collect()
}

/// Marks that turn the direction of writing, and line ends beyond ASCII.
const TURNERS: [char; 14] = [
    '\u{061c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}',
    '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_the_net_reaches_the_terminal_as_a_command() {
        assert_eq!(plain("bob\x1b[2J\n\u{9b}31m\u{202e}é"), "bob\\u{1b}[2J\\u{a}\\u{9b}31m\\u{202e}é");
    }

    #[test]
    fn colour_comes_off_again() {
        for painted in [good("x"), odd("x"), faint("x"), strong("x")] {
            assert_eq!(colourless(&painted), "x");
            assert_ne!(painted, "x");
        }
    }
}
