//! `rejoin admin repair`: what is damaged, what a repair costs, and with `--yes` the repair.

use super::desk::advise;
use super::{Admin, Code, Desk};
use crate::model::state::State;
use crate::store;

/// Say what a repair would do, or do it (the server must be stopped).
#[derive(clap::Args, Clone, Debug)]
pub struct Repair {
    /// Do it.
    #[arg(long)]
    yes: bool,
}

impl Repair {
    pub(super) fn run(&self, admin: &Admin, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        let settings = desk.settings(admin)?;
        desk.must_exist(admin)?;
        desk.must_be_free(admin)?;
        if !self.yes {
            let plan = store::plan_repair::<State>(&*desk.disk, &admin.state, &settings).map_err(advise)?;
            write!(desk.out, "{}", lines(&plan))?;
            if plan.damage.is_empty() {
                return Ok(Code::Done);
            }
            writeln!(
                desk.out,
                "nothing was changed; to do it: rejoin admin repair --yes --state {}",
                admin.state.display()
            )?;
            return Ok(Code::Damaged);
        }
        let (plan, originals) = store::repair::<State>(&*desk.disk, &admin.state, &settings).map_err(advise)?;
        write!(desk.out, "{}", lines(&plan))?;
        if let Some(folder) = originals {
            writeln!(desk.out, "done; the originals are in {}", folder.display())?;
            writeln!(
                desk.out,
                "in matches that are still known, lost moves and verdicts come back from the players' clients; lost \
                 matches, accounts and passwords do not"
            )?;
        }
        Ok(Code::Done)
    }
}

/// The plan, ending in a line end.
fn lines(plan: &store::Plan) -> String {
    format!("{}\n", plan.to_string().trim_end())
}
