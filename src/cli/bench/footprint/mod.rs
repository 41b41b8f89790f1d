//! What the server and its clients cost while nothing, or one match, goes on: the three experiments of the old system,
//! each in processes of its own.

mod cast;
mod plot;
mod sampler;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use self::cast::{Client, Server};
use self::sampler::{Role, Sample, Sampler};
use super::machine::Machine;

/// What server and clients cost: CPU, memory and bytes of a server alone, with two clients, with two in a match
#[derive(Debug, clap::Args)]
pub(super) struct Footprint {
    /// Seconds of each experiment, after everybody is there
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// How often each is repeated
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Write the samples as CSV and the plots as SVG there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Experiment {
    ServerAlone,
    TwoIdle,
    TwoInMatch,
}

/// One repetition.
struct Run {
    samples: Vec<Sample>,
    /// Seconds from the start of the server to the moment from which on it is measured, and to its end.
    from: f64,
    to: f64,
}

/// Moves that X wins with the last one.
const CELLS: [[u16; 2]; 5] = [[1, 1], [2, 1], [1, 2], [2, 2], [1, 3]];
/// What a start leaves behind is over after this.
const SETTLED_AFTER: Duration = Duration::from_millis(500);

impl Experiment {
    const ALL: [Self; 3] = [Self::ServerAlone, Self::TwoIdle, Self::TwoInMatch];

    const fn title(self) -> &'static str {
        match self {
            Self::ServerAlone => "server alone",
            Self::TwoIdle => "two clients, idle",
            Self::TwoInMatch => "two clients in a match",
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::ServerAlone => "server-alone",
            Self::TwoIdle => "two-idle",
            Self::TwoInMatch => "two-in-match",
        }
    }
}

impl Footprint {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let machine = Machine::here();
        println!("{machine}");
        let mut rows = Vec::new();
        for experiment in Experiment::ALL {
            let runs = (0..self.repeat.max(1)).map(|_| self.once(experiment)).collect::<anyhow::Result<Vec<_>>>()?;
            if let Some(out) = &self.out {
                std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
                write_csv(&out.join(experiment.file()).with_extension("csv"), &runs)?;
                plot::draw(&out.join(experiment.file()).with_extension("svg"), experiment, &runs)?;
            }
            rows.push(table::Row::of(experiment, &runs)?);
        }
        let text = table::text(&rows, self.seconds);
        print!("{text}");
        if let Some(out) = &self.out {
            std::fs::write(out.join("table.txt"), format!("{machine}\n{text}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn once(&self, experiment: Experiment) -> anyhow::Result<Run> {
        let length = Duration::from_secs(u64::from(self.seconds));
        let home = tempfile::tempdir()?;
        let sampler = Sampler::start();
        let mut server = Server::start(home.path())?;
        sampler.watch(Role::Server, server.pid());
        server.ready()?;
        let mut clients = Vec::new();
        if experiment != Experiment::ServerAlone {
            for (name, role) in [("alice", Role::One), ("bob", Role::Other)] {
                let client = Client::start(home.path(), name, server.address())?;
                sampler.watch(role, client.pid());
                clients.push(client);
            }
            for client in &mut clients {
                client.join()?;
            }
        }
        std::thread::sleep(SETTLED_AFTER);
        let from = sampler.mark();
        if experiment == Experiment::TwoInMatch {
            play(&mut clients, length, &sampler, from)?;
        }
        sampler.sleep_until(from + length.as_secs_f64());
        let to = sampler.mark();
        let samples = sampler.stop();
        drop(clients);
        drop(server);
        Ok(Run { samples, from, to })
    }
}

/// One match, its moves spread over the time; the last sixth is after the verdict.
fn play(clients: &mut [Client], length: Duration, sampler: &Sampler, from: f64) -> anyhow::Result<()> {
    let [one, other] = clients else { anyhow::bail!("there are two") };
    let seat = Client::seat(one, other)?;
    let [x, o] = if seat == "X" { [one, other] } else { [other, one] };
    let parts = (CELLS.len() + 1) as f64;
    for (number, [row, col]) in CELLS.into_iter().enumerate() {
        sampler.sleep_until(from + length.as_secs_f64() * (number + 1) as f64 / parts);
        let [mover, waiting] = if number % 2 == 0 { [&mut *x, &mut *o] } else { [&mut *o, &mut *x] };
        mover.done(&format!("send {row} {col}"))?;
        waiting.until("the move", |event| event["event"] == "board" && event["ply"] == number + 1)?;
    }
    for player in [x, o] {
        player.until("the verdict", |event| event["event"] == "result" && event["recorded"] == true)?;
    }
    Ok(())
}

fn write_csv(path: &Path, runs: &[Run]) -> anyhow::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    write!(file, "run,seconds,measured")?;
    for who in ["server", "client1", "client2"] {
        write!(file, ",{who}_cpu_ms,{who}_rss_kib,{who}_threads")?;
    }
    writeln!(file, ",bytes,packets")?;
    for (number, run) in (1..).zip(runs) {
        for Sample { at, costs, arrived } in &run.samples {
            let measured = u8::from((run.from..=run.to).contains(at));
            write!(file, "{number},{at:.3},{measured}")?;
            for cost in costs {
                match cost {
                    Some(cost) => {
                        let ms = cost.cpu_ns as f64 / 1e6;
                        write!(file, ",{ms:.3},{},{}", cost.rss_kib, cost.threads)?;
                    }
                    None => write!(file, ",,,")?,
                }
            }
            writeln!(file, ",{},{}", arrived.bytes, arrived.segments)?;
        }
    }
    Ok(file.flush()?)
}
