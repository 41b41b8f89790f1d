//! `rejoin admin restore`: a copy put back.
//!
//! What must hold: nothing is lost silently. A copy made by `rejoin admin backup` ends in a whole frame, so what would
//! pass for an interrupted write in a server's own directory is damage here.

use std::path::PathBuf;

use super::desk::advise;
use super::{Admin, Code, Desk};
use crate::model::state::State;
use crate::store::{self, Note};

/// Put a copy back into an empty state directory.
#[derive(clap::Args, Clone, Debug)]
pub struct Restore {
    /// The copy, made by `rejoin admin backup`.
    dir: PathBuf,
    /// Take a copy whose end is damaged, without that end.
    #[arg(long)]
    cut_end: bool,
}

impl Restore {
    pub(super) fn run(&self, admin: &Admin, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        let server = admin.server()?;
        let copy = store::check::<State>(&*desk.disk, &self.dir, &server.0).map_err(advise)?;
        let torn = copy.notes.iter().find(|note| matches!(note, Note::TailCut { .. }));
        if let Some(Note::TailCut { file, byte, bytes }) = torn.filter(|_| !self.cut_end) {
            let (file, last) = (file.display(), copy.last.map_or(0, |last| last.0));
            writeln!(desk.out, "damage: {bytes} bytes at the end of {file}, from byte {byte} on, cannot be read")?;
            writeln!(desk.out, "nothing was restored: use another copy, or take all up to fact {last} with --cut-end")?;
            return Ok(Code::Damaged);
        }
        let report = store::restore::<State>(&*desk.disk, &self.dir, &admin.state, &server.0).map_err(advise)?;
        let (facts, state) = (report.last.map_or(0, |last| last.0), admin.state.display());
        writeln!(desk.out, "{state} holds all up to fact {facts} again")?;
        writeln!(
            desk.out,
            "what came after the copy was made is gone here: moves, matches and verdicts come back from the players' \
             clients; newer accounts and passwords do not"
        )?;
        Ok(Code::Done)
    }
}
