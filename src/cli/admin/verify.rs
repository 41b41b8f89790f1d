//! `rejoin admin verify`: an exported match, checked with nothing but the server's id.
//!
//! What must hold: the file comes from anybody, so it may be of any size and hold anything; nothing of it reaches the
//! terminal unescaped, and nothing is said of it that was not signed without saying so.

mod report;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use serde::Deserialize;

use super::{Code, Desk};
use crate::client::ui::paint::plain;
use crate::model::document::{Document, FORMAT};
use crate::model::key::{PublicKey, ServerId};

/// Check a match that a player has exported, with nothing but the server's id.
#[derive(clap::Args, Clone, Debug)]
pub struct Verify {
    /// The file, written by `export` at the prompt of `rejoin play`.
    file: PathBuf,
    /// The server it must be of: its id, as after the # in its address, or its public key in hexadecimal.
    #[arg(long, value_name = "KEY|ID", value_parser = server)]
    key: Option<ServerId>,
}

/// What every document has, also of another version.
#[derive(Deserialize)]
struct Titled {
    format: String,
}

/// A whole match has at most about 1 MB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How much of what a file says is quoted.
const QUOTED_MAX: usize = 300;

impl Verify {
    pub(super) fn run(&self, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        let name = quoted(&self.file.display().to_string());
        let bytes = read(&self.file).with_context(|| format!("cannot read {name}"))?;
        let document = parse(&bytes).map_err(|why| anyhow!("{name} {}", quoted(&why)))?;
        let checked = match document.check(self.key) {
            Ok(checked) => checked,
            Err(why) => bail!("{name} is not to be trusted: {}", quoted(&why.to_string())),
        };
        for line in report::lines(&checked, self.key.is_some()) {
            writeln!(desk.out, "{}", plain(&line))?;
        }
        Ok(if checked.is_supported() { Code::Done } else { Code::Failed })
    }
}

/// The file, if it is not larger than any match.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        bail!("it is larger than {FILE_BYTES_MAX} bytes, which no exported match is");
    }
    Ok(bytes)
}

/// The document, or what the file is, as the end of a sentence.
fn parse(bytes: &[u8]) -> Result<Document, String> {
    serde_json::from_slice::<Document>(bytes).map_err(|why| match serde_json::from_slice::<Titled>(bytes) {
        Err(_) => format!("is not an exported match; `export` at the prompt of `rejoin play` writes one ({why})"),
        Ok(Titled { format }) if format == FORMAT => format!("is not whole, or was changed: {why}"),
        Ok(Titled { format }) => {
            format!("calls itself {format:?}, and this program reads {FORMAT:?}; export the match again")
        }
    })
}

/// A server by its id, with or without its address before it, or by its key.
fn server(text: &str) -> Result<ServerId, String> {
    let id = text.rsplit('#').next().unwrap_or(text);
    let by_key = || text.parse::<PublicKey>().ok().map(|key| ServerId::of(&key));
    id.parse().ok().or_else(by_key).ok_or_else(|| {
        "give the server's id, 52 letters and digits as after the # in its address, or its public key in hexadecimal"
            .to_owned()
    })
}

/// Text of any length and any letters, for a terminal.
fn quoted(text: &str) -> String {
    let mut letters = text.chars();
    let start: String = letters.by_ref().take(QUOTED_MAX).collect();
    format!("{}{}", plain(&start), if letters.next().is_some() { "…" } else { "" })
}

#[cfg(test)]
mod tests;
