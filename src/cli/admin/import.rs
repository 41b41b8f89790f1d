//! `rejoin admin import`: the accounts of an older server.
//!
//! What must hold: with one bad line nothing is imported; what is written is written in one batch as far as a frame can
//! hold it, and an import that was cut short can be repeated with `--skip-existing`.

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use anyhow::Context;
use zeroize::Zeroizing;

use super::desk::advise;
use super::roll::{self, BadLine, Row};
use super::{Admin, Code, Desk};
use crate::model::fact::Fact;
use crate::model::id::{Name, UserId};
use crate::model::limits::NAME_BYTES_MAX;
use crate::model::password::PasswordHash;
use crate::model::state::State;
use crate::model::time::Entropy;
use crate::server::hasher::Argon;
use crate::store::FRAME_BODY_BYTES_MAX;

/// Accounts in one batch, which is on the disk whole or not at all.
const BATCH_MAX: usize = 10_000;
/// An account's fact has the hash of a password (about 97 bytes), a name, and less than this of everything else.
const FACT_BYTES_MAX: usize = NAME_BYTES_MAX + 256;
const _: () = assert!(BATCH_MAX * FACT_BYTES_MAX < FRAME_BODY_BYTES_MAX);
/// Bad lines that are printed; of more only the number.
const BAD_LINES_SHOWN_MAX: usize = 100;
/// Progress is told after so many accounts.
const PROGRESS_EVERY: usize = 100;

/// Take over accounts from a file of lines NAME TAB PASSWORD TAB SCORE (the server must be stopped).
#[derive(clap::Args, Clone, Debug)]
pub struct Import {
    /// The file. If one line of it is bad nothing is imported.
    file: PathBuf,
    /// Leave out lines whose name has an account, for example after an import that was cut short.
    #[arg(long)]
    skip_existing: bool,
}

impl Import {
    pub(super) fn run(&self, admin: &Admin, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        let bytes = fs::read(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        let bytes = Zeroizing::new(bytes);
        let mut recovered = desk.recover(admin)?;
        let (rows, mut bad) = roll::read(&bytes);
        let (there, rows): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| exists(&recovered.state, &row.name));
        if !self.skip_existing {
            bad.extend(there.iter().map(|row| (row.line, BadLine::Exists { name: row.name.clone() })));
        }
        if !bad.is_empty() {
            bad.sort_by_key(|(line, _)| *line);
            self.refuse(desk, &bad)?;
            return Ok(Code::Failed);
        }
        for row in &there {
            writeln!(desk.out, "left out: {} on line {} has an account", row.name, row.line)?;
        }
        let hashes = hash_all(&rows, desk)?;
        let at = desk.clock.wall();
        let facts: Vec<Fact> = rows
            .iter()
            .zip(hashes)
            .map(|(row, password)| {
                let (name, points) = (row.name.clone(), row.points);
                Fact::AccountAdded { user: new_user(desk.entropy), name, password, origin: None, points, at }
            })
            .collect();
        for batch in facts.chunks(BATCH_MAX) {
            let repeat = "what was written before stays; repeat with --skip-existing";
            recovered.journal.append(&[batch.to_vec()]).map_err(advise).context(repeat)?;
        }
        writeln!(desk.out, "imported {} accounts; left out {}", facts.len(), there.len())?;
        Ok(Code::Done)
    }

    fn refuse(&self, desk: &mut Desk<'_>, bad: &[(usize, BadLine)]) -> anyhow::Result<()> {
        let file = self.file.display();
        for (line, why) in bad.iter().take(BAD_LINES_SHOWN_MAX) {
            writeln!(desk.out, "{file}:{line}: {why}")?;
        }
        let more = bad.len().saturating_sub(BAD_LINES_SHOWN_MAX);
        if more > 0 {
            writeln!(desk.out, "and {more} more")?;
        }
        writeln!(desk.out, "nothing was imported: correct the {} bad lines and repeat", bad.len())?;
        Ok(())
    }
}

fn exists(state: &State, name: &Name) -> bool {
    state.named(&name.key()).is_some()
}

fn new_user(entropy: &dyn Entropy) -> UserId {
    let mut id = [0; 16];
    entropy.fill(&mut id);
    UserId(id)
}

/// The hash of every password, in the order of the rows, made on all cores.
fn hash_all(rows: &[Row], desk: &mut Desk<'_>) -> anyhow::Result<Vec<PasswordHash>> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let (next, entropy) = (AtomicUsize::new(0), desk.entropy);
    let mut hashes: Vec<Option<PasswordHash>> = vec![None; rows.len()];
    thread::scope(|scope| {
        let (sender, done) = channel();
        for _ in 0..cores.min(rows.len()) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                let mut argon = Argon::default();
                while let Some((at, row)) = take(next, rows) {
                    if sender.send((at, argon.make(&row.password, entropy))).is_err() {
                        // The other end has given up.
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (count, (at, hash)) in (1..).zip(done) {
            hashes[at] = Some(hash);
            if count % PROGRESS_EVERY == 0 || count == rows.len() {
                writeln!(desk.err, "hashed {count} of {} passwords", rows.len())?;
            }
        }
        anyhow::Ok(())
    })?;
    Ok(hashes.into_iter().map(|hash| hash.expect("every row is taken once")).collect())
}

/// The next row that nobody has taken.
fn take<'a>(next: &AtomicUsize, rows: &'a [Row]) -> Option<(usize, &'a Row)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    rows.get(at).map(|row| (at, row))
}
