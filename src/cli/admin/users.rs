//! `rejoin admin users`: the players, most points first.

use super::{Admin, Code, Desk, date};

/// List the players.
#[derive(clap::Args, Clone, Debug)]
pub struct Users {}

impl Users {
    pub(super) fn run(&self, admin: &Admin, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        let state = desk.view(admin)?.state;
        let head = ["NAME", "POINTS", "WINS", "DRAWS", "LOSSES", "LOGGED IN", "SINCE"];
        let [name, points, wins, draws, losses, logged_in, since] = head;
        writeln!(desk.out, "{name:<32} {points:>10} {wins:>6} {draws:>6} {losses:>6}  {logged_in:<9}  {since}")?;
        for account in state.leaders() {
            let (tally, name, points) = (account.tally, &account.name, account.points());
            let (wins, draws, losses) = (tally.wins, tally.draws, tally.losses);
            let logged_in = if account.session.is_some() { "yes" } else { "no" };
            let since = date::day(account.since);
            writeln!(desk.out, "{name:<32} {points:>10} {wins:>6} {draws:>6} {losses:>6}  {logged_in:<9}  {since}")?;
        }
        Ok(Code::Done)
    }
}
