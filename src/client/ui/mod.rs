//! What a person sees and types, and what a script reads and writes.
//!
//! ```text
//! parse   a line -> a command              words, reply, board   an event -> lines for people
//! help    the commands, described          state_line            the status -> the prompt
//! session the loop: lines in, orders out, events to a face; the same in all three modes
//! face    json: a line an event · plain: lines, no terminal · prompt: a live prompt
//! ```
//!
//! Holds: parsing and wording are pure; a command is answered once; nothing typed waits for the screen.

pub mod board;
pub mod editor;
pub mod help;
pub mod json;
pub mod paint;
pub mod parse;
pub mod plain;
pub mod prompt;
pub mod reader;
pub mod reply;
pub mod session;
pub mod state_line;
pub mod words;

use std::io::{self, IsTerminal};

use crate::client::handle::ClientHandle;

/// Lets a person or a script use the client until one of the two ends; the exit code. `json`: one JSON object a line
/// on standard output; else a prompt at a terminal, and plain lines elsewhere.
///
/// # Errors
/// When the terminal cannot be taken over.
pub async fn run(handle: ClientHandle, json: bool) -> io::Result<u8> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    if json {
        return Ok(session::run(handle, reader::spawn(stdin), json::Json::new(stdout)).await);
    }
    if is_interactive() {
        let status = handle.status.borrow().clone();
        let (prompt, typing) = prompt::Prompt::start(status)?;
        return Ok(session::run(handle, typing, prompt).await);
    }
    let colour = paint::wanted(&stdout);
    Ok(session::run(handle, reader::spawn(stdin), plain::Plain::new(stdout, colour)).await)
}

/// Whether somebody can be asked: standard input and output are both a terminal.
#[must_use]
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}
