//! Lines for people where there is no terminal: no prompt, no questions.

use std::io::{self, Write};

use super::paint::colourless;
use super::session::Face;
use super::words::Words;
use crate::model::client::event::Event;

/// Writes events in words.
#[derive(Debug)]
pub struct Plain<W> {
    output: W,
    colour: bool,
    words: Words,
}

impl<W: Write> Plain<W> {
    /// Writes there, and flushes after each event.
    #[must_use]
    pub fn new(output: W, colour: bool) -> Self {
        Self { output, colour, words: Words::default() }
    }
}

impl<W: Write> Face for Plain<W> {
    fn show(&mut self, event: &Event) -> io::Result<()> {
        for line in self.words.lines(event) {
            let line = if self.colour { line } else { colourless(&line) };
            writeln!(self.output, "{line}")?;
        }
        self.output.flush()
    }
}
