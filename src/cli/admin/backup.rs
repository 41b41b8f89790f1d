//! `rejoin admin backup`: a copy of the state, made while the server runs.

use std::path::PathBuf;

use super::desk::advise;
use super::{Admin, Code, Desk};
use crate::model::state::State;
use crate::store;

/// Copy the state, also while the server runs.
#[derive(clap::Args, Clone, Debug)]
pub struct Backup {
    /// Where to; it must hold no state.
    dir: PathBuf,
}

impl Backup {
    pub(super) fn run(&self, admin: &Admin, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        let server = admin.server()?;
        let report = store::backup::<State>(&*desk.disk, &admin.state, &self.dir, &server.0).map_err(advise)?;
        let (facts, dir, certs) = (report.last.map_or(0, |last| last.0), self.dir.display(), admin.certs.display());
        writeln!(desk.out, "{dir} holds a copy of all up to fact {facts}, read back and found good")?;
        writeln!(desk.out, "accounts, passwords and scores exist only in the state and in such copies")?;
        writeln!(
            desk.out,
            "the keys in {certs} are not in it: copy them apart, to a place nobody else can read; without them nobody \
             can settle what was begun"
        )?;
        Ok(Code::Done)
    }
}
