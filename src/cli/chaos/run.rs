//! `rejoin chaos run`: one scenario, or many, against real processes.
//!
//! What must hold: held, violated and inconclusive are told apart, by words and by the exit code; what was skipped or
//! missed is said, and never counts as held.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use indicatif::ProgressBar;

use super::bounds::bounds;
use super::doctor;
use super::foreign::{Foreign, Victim};
use super::library::{self, Named};
use super::player::Player;
use super::stage::{Around, Stage};
use super::words::{bar, date, line, plan, why};
use crate::chaos::oracle;
use crate::chaos::report::{Report, Verdict, html};
use crate::chaos::scenario::{Fault, Scenario, Span, Step};
use crate::model::time::{Clock, Entropy, ms};
use crate::net::address::Address;
use crate::ops::host::{HostClock, HostEntropy};

/// Break real processes by a scenario, and judge what is left
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// Names of scenarios (see `rejoin chaos list`) or files; all of the list without any
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// A selection of the list that takes two minutes and needs no rights
    #[arg(long, conflicts_with = "scenarios")]
    short: bool,
    /// What all chances are drawn from; drawn anew without it
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How often each is run, each time with the next seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: u32,
    /// All of it takes no longer: what is not over then is inconclusive
    #[arg(long, value_name = "TIME", default_value = "60 min")]
    max_duration: Span,
    /// Write report.html and report.json here, in a directory for each run if there are several
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Leave the files of every run where they are, logs among them, and say where; those of a violated run stay anyway
    #[arg(long)]
    keep: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Play at a server that is there already, through proxies; nothing of its machine is touched
    #[arg(long, value_name = "HOST:PORT[#ID]")]
    target: Option<Address>,
    /// A process of the target, on this machine, that may be struck: whoever watches over it starts it again
    #[arg(long, requires = "target", conflicts_with = "unit")]
    pid: Option<i32>,
    /// The same by the name of its systemd unit
    #[arg(long, value_name = "NAME", requires = "target")]
    unit: Option<String>,
    /// What an `upgrade` replaces: an older program of this name, whose server is started first
    #[arg(long, value_name = "PROGRAM", conflicts_with = "target")]
    old: Option<PathBuf>,
    /// Set this for the processes that are started: the server and the players
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
}

/// What came of all of it.
#[derive(Debug, Default)]
struct Tally {
    held: u32,
    violated: u32,
    inconclusive: u32,
    /// Faults that this machine does not allow.
    skipped: u32,
}

/// The exit codes: held, violated, inconclusive.
const HELD: u8 = 0;
const VIOLATED: u8 = 1;
pub(super) const INCONCLUSIVE: u8 = 2;
/// What is about the server's own files, of which those of others cannot be read.
const AT_THE_SERVER: [&str; 7] = ["I4", "I5", "I7", "I10", "I11", "I13", "I14"];
/// The faults may take so much longer than their times.
const FAULTS_SPARE: Duration = Duration::from_secs(60);

impl Run {
    /// Runs what was asked for.
    ///
    /// # Errors
    /// When a scenario cannot be read, or nothing can be run at all.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let scenarios = if self.short { library::short()? } else { library::find(&self.scenarios)? };
        let first = self.seed.unwrap_or_else(|| {
            let mut bytes = [0; 4];
            HostEntropy.fill(&mut bytes);
            u64::from(u32::from_le_bytes(bytes))
        });
        if self.dry_run {
            scenarios.iter().for_each(|named| print!("{}", plan(named)));
            return Ok(ExitCode::SUCCESS);
        }
        let runs = scenarios.len() * usize::try_from(self.repeat)?;
        let clock = HostClock::start();
        let mut tally = Tally::default();
        for named in &scenarios {
            for seed in (first..).take(usize::try_from(self.repeat)?) {
                let left = self.max_duration.0.saturating_sub(Duration::from_millis(clock.now().0));
                let (report, files) =
                    if left.is_zero() { (late(named, seed), None) } else { self.once(named, seed, left)? };
                self.write(&report, runs)?;
                tally.count(&report);
                println!("{}", line(&report));
                why(&report).iter().for_each(|why| println!("    {why}"));
                files.iter().for_each(|dir| println!("    files in {}", dir.display()));
            }
        }
        println!("{}", tally.line());
        Ok(ExitCode::from(tally.code()))
    }

    /// One scenario, once; and where its files are, if they stay.
    fn once(&self, named: &Named, seed: u64, left: Duration) -> anyhow::Result<(Report, Option<PathBuf>)> {
        // On this thread: a server dies with the thread that started it.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let home = tempfile::Builder::new().prefix("rejoin-chaos-").tempdir()?;
        let bar = bar(named);
        let played =
            runtime.block_on(async { tokio::time::timeout(left, self.play(named, seed, home.path(), &bar)).await });
        bar.finish_and_clear();
        let mut report = match played {
            Ok(played) => played?,
            Err(_) => late(named, seed),
        };
        let files = self.keeps(&report).then(|| home.keep());
        if let Some(dir) = &files {
            report.machine = format!("{}; files in {}", report.machine, dir.display());
        }
        Ok((report, files))
    }

    async fn play(&self, named: &Named, seed: u64, home: &Path, bar: &ProgressBar) -> anyhow::Result<Report> {
        let scenario = &named.scenario;
        let foreign = self.foreign()?;
        let (steps, skipped) = possible(scenario, foreign.as_ref(), self.old.is_some());
        let mut report = blank(named, seed);
        if let Some(foreign) = &foreign {
            let _ = write!(report.command, " --target {}", foreign.address);
        }
        let is_foreign = foreign.is_some();
        report.skipped = skipped;
        if steps.is_empty() && !scenario.faults.is_empty() {
            return Ok(report);
        }
        let around = Around { env: self.env.clone(), foreign, old: self.old.clone() };
        let mut stage = Stage::set_up(home.to_owned(), scenario, seed, around).await?;
        let playing = usize::from(scenario.steady_state.playing.unwrap_or(u16::MAX)).min(stage.players.len() / 2);
        // Matches are short: who has sat in one since then plays, also between two.
        let steady = |stage: &Stage, since: &[u64]| {
            let plays = |(player, since): &(&Player, &u64)| {
                player.asks && player.live && (player.seat.is_some() || player.seats > **since)
            };
            let playing_now = stage.players.iter().zip(since).filter(plays).count();
            stage.players.iter().all(|player| player.logged_in) && playing_now >= playing
        };
        let seats = |stage: &Stage| stage.players.iter().map(|player| player.seats).collect::<Vec<_>>();
        let none = seats(&stage);
        if !stage.until(scenario.steady_state.within.0, |stage| steady(stage, &none)).await? {
            report.skipped.push(("steady state".to_owned(), format!("not reached: {}", stage.whereabouts())));
            return Ok(report);
        }
        if steps.iter().any(|step| step.kind == Fault::OlderState) {
            super::damage::copy_dir(&stage.server.state, &stage.home.join("older"))?;
        }
        stage.plan_faults(&steps);
        let last = steps.iter().map(Step::end).max().unwrap_or_default();
        stage.progress(named, bar, last);
        stage.watch(bar, last + FAULTS_SPARE).await?;
        stage.heal_all().await?;
        let before = seats(&stage);
        let again = stage.until(scenario.steady_state.within.0, |stage| steady(stage, &before)).await?;
        let closed = stage.close().await?;
        let whereabouts = if closed { String::new() } else { stage.whereabouts() };
        let doors = stage.stop_all().await?;
        report.length_ms = stage.now_ms();
        report.finals = stage.finals(doors)?;
        report.history = std::mem::take(&mut stage.history);
        for (step, at_ms) in stage.strikes.missed() {
            report.skipped.push((step.kind.to_string(), format!("tried at {at_ms} ms, and was not seen to strike")));
        }
        report.verdicts = oracle::judge(&report.history, &report.finals);
        // Where no log could be read, nobody has counted on how many connections a session was live, or seen an outage.
        if !stage.sessions_were_looked_at() {
            report.verdicts.exercised.remove("I7");
        }
        if report.finals.figures.outages.is_empty() {
            report.verdicts.exercised.remove("I12");
        }
        if is_foreign {
            let unseen = |invariant: &str| AT_THE_SERVER.contains(&invariant);
            report.verdicts.exercised.retain(|invariant| !unseen(invariant));
            report.verdicts.violations.retain(|found| !unseen(&found.invariant));
        }
        report.bounds = bounds(&report, scenario, &stage);
        report.bounds.push(("the steady state is reached again after the last fault".to_owned(), String::new(), again));
        report.bounds.push(("every match is over and recorded in the end".to_owned(), whereabouts, closed));
        if self.keeps(&report) {
            stage.keep_files()?;
        }
        Ok(report)
    }

    /// Whether the files of a run stay.
    fn keeps(&self, report: &Report) -> bool {
        self.keep || report.verdict() == Verdict::Violated
    }

    fn foreign(&self) -> anyhow::Result<Option<Foreign>> {
        let Some(address) = self.target.clone() else { return Ok(None) };
        let victim = match (self.pid, &self.unit) {
            (Some(pid), _) => Some(Victim::process(pid)?),
            (None, Some(unit)) => Some(Victim::unit(unit)?),
            (None, None) => None,
        };
        Ok(Some(Foreign { address, victim }))
    }

    fn write(&self, report: &Report, runs: usize) -> anyhow::Result<()> {
        let Some(dir) = &self.report else { return Ok(()) };
        let dir = if runs == 1 { dir.clone() } else { dir.join(format!("{}-{}", report.name, report.seed)) };
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        std::fs::write(dir.join("report.html"), html(report))?;
        std::fs::write(dir.join("report.json"), serde_json::to_vec_pretty(report)?)?;
        Ok(())
    }
}

impl Stage {
    /// Until all faults are over, with a line of what is broken.
    async fn watch(&mut self, bar: &ProgressBar, most: Duration) -> anyhow::Result<()> {
        let begin = self.now_ms();
        let mut said = String::new();
        while !self.strikes.is_over() && self.now_ms() < begin + ms(most) {
            let (active, over) = (self.strikes.active(), self.strikes.is_over());
            let broken = if active.is_empty() { "all is well".to_owned() } else { active.join(", ") };
            bar.set_position(self.now_ms() - begin);
            bar.set_message(broken.clone());
            if broken != said && bar.is_hidden() {
                eprintln!("  {:6.1} s  {broken}", self.now_ms() as f64 / 1_000.0);
            }
            said = broken;
            // The line is drawn anew at every change, and often enough to be seen moving.
            let same = |stage: &Self| stage.strikes.active() != active || stage.strikes.is_over() != over;
            self.until(REDRAW, same).await?;
        }
        Ok(())
    }

    fn progress(&self, named: &Named, bar: &ProgressBar, last: Duration) {
        bar.set_length(ms(last));
        bar.set_prefix(named.name.clone());
    }

    /// Where everybody is, for people.
    fn whereabouts(&self) -> String {
        let mut text = String::new();
        for player in &self.players {
            let link = if player.live { "live" } else { "no link" };
            let login = if player.logged_in { "logged in" } else { "not logged in" };
            let seat = if player.seat.is_some() { "in a match" } else { "in no match" };
            let waits: Vec<&str> = player.pending.iter().map(|(_, word)| word.as_str()).collect();
            let _ = write!(text, "{} is {link}, {login}, {seat}, waits for {waits:?}; ", player.device);
        }
        text
    }
}

const REDRAW: Duration = Duration::from_millis(200);

impl Step {
    /// When it is over.
    fn end(&self) -> Duration {
        self.at.0 + self.lasts.0 * (2 * u32::from(self.times.max(1)) - 1)
    }
}

impl Tally {
    fn count(&mut self, report: &Report) {
        self.skipped += u32::try_from(report.skipped.len()).unwrap_or(u32::MAX);
        match report.verdict() {
            Verdict::Held => self.held += 1,
            Verdict::Violated => self.violated += 1,
            Verdict::Inconclusive => self.inconclusive += 1,
        }
    }

    fn line(&self) -> String {
        let Self { held, violated, inconclusive, skipped } = self;
        format!(
            "{held} held, {violated} violated, {inconclusive} inconclusive; {skipped} faults skipped or not seen to strike"
        )
    }

    const fn code(&self) -> u8 {
        match (self.violated, self.inconclusive) {
            (0, 0) => HELD,
            (0, _) => INCONCLUSIVE,
            _ => VIOLATED,
        }
    }
}

/// The faults that this machine allows, and the others with the reason.
fn possible(scenario: &Scenario, foreign: Option<&Foreign>, is_old_named: bool) -> (Vec<Step>, Vec<(String, String)>) {
    let (mut steps, mut skipped) = (Vec::new(), Vec::new());
    for step in &scenario.faults {
        let here = doctor::allows(step.kind, Some(step.target)).map(|_| ());
        let here = match here {
            Ok(()) if step.kind == Fault::Upgrade && !is_old_named => Err("--old names no program".to_owned()),
            here => here,
        };
        match here.and_then(|()| foreign.map_or(Ok(()), |foreign| foreign.allows(step.kind, step.target))) {
            Ok(()) => steps.push(step.clone()),
            Err(why) => skipped.push((step.kind.to_string(), why)),
        }
    }
    (steps, skipped)
}

fn blank(named: &Named, seed: u64) -> Report {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let system = rustix::system::uname();
    Report {
        name: named.name.clone(),
        about: named.scenario.about.clone(),
        command: format!("rejoin chaos run {} --seed {seed}", named.typed),
        seed,
        machine: format!(
            "{cores} processors, {} {}, rejoin {}",
            system.sysname().to_string_lossy(),
            system.release().to_string_lossy(),
            env!("CARGO_PKG_VERSION")
        ),
        began: date(HostClock::start().wall().0 / 1_000),
        ..Report::default()
    }
}

fn late(named: &Named, seed: u64) -> Report {
    let mut report = blank(named, seed);
    report.skipped.push(("everything".to_owned(), "the time given with --max-duration was over".to_owned()));
    report
}

/// `NAME=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is needed")?;
    Ok((name.to_owned(), value.to_owned()))
}
