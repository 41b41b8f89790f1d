//! A network of its own for each process, joined by a router: their addresses can change, and they can be kept apart.
//!
//! ```text
//!  server ── eth0 ══ v0 ─┐
//!  player 0 ── eth0 ══ v1 ─ router      a rule of the router drops what one machine sends to another
//!  player 1 ── eth0 ══ v2 ─┘
//! ```
//!
//! Each network namespace has no name and is held by one process, which waits for the end of its input: when the run is
//! gone, whatever ended it, the last process of a namespace is gone soon, and the kernel takes the namespace and its
//! interfaces away. Root makes them as they are; others make a user namespace around them first, where that is allowed.
//!
//! What must hold: nothing of the machine's own network is touched.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, bail, ensure};
use rustix::process::Pid;

use super::stage::SERVER;
use crate::chaos::scenario::{Fault, Target};

/// All networks of a run.
pub(super) struct Network {
    router: Holder,
    /// By index: the server's, then the players'.
    machines: Vec<Holder>,
    /// Whether each is at its second address.
    moved: Vec<bool>,
}

/// A process that does nothing but be in a namespace.
struct Holder {
    child: Child,
}

/// What one machine sends to another is dropped; `None`: to or from everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    from: Option<usize>,
    to: Option<usize>,
}

/// What was counted in the networks of some machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Segments that had to be sent again.
    pub(super) again: u64,
    /// Connections that are open from the present address.
    pub(super) open: u64,
}

/// Machines have a number in the second byte of their addresses.
const MACHINES_MAX: usize = 100;
const FIRST: usize = 100;
/// Rules of the router, one number for each strike; well before the table of routes.
const RULES_FROM: usize = 1_000;

impl Network {
    /// Whether this machine allows it: tried once, with two machines that are kept apart.
    pub(super) fn is_possible() -> Result<(), String> {
        static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
        TRIED.get_or_init(|| Self::try_it().map_err(|why| format!("{why:#}"))).clone()
    }

    fn try_it() -> anyhow::Result<()> {
        let mut network = Self::make(2, |_| {})?;
        let blocks = [Block { from: Some(0), to: Some(1) }];
        ensure!(network.passes(blocks[0]), "a router of its own does not pass anything on");
        network.block(0, &blocks, true)?;
        ensure!(!network.passes(blocks[0]), "a rule of the router does not drop anything");
        network.move_machine(1, true)
    }

    /// Makes so many machines; `guardian` hears of each process that holds one.
    ///
    /// # Errors
    /// When a tool is missing or the system refuses.
    pub(super) fn make(machines: usize, mut guardian: impl FnMut(Pid)) -> anyhow::Result<Self> {
        ensure!(machines <= MACHINES_MAX, "there are addresses for {MACHINES_MAX} machines");
        let router = Holder::start(unshare())?;
        guardian(router.pid());
        let mut network = Self { router, machines: Vec::new(), moved: vec![false; machines] };
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        run(network.router.enter().args(["sh", "-c", forward]), "")?;
        let mut lines = "link set lo up\n".to_owned();
        for machine in 0..machines {
            let mut command = network.router.enter_user();
            command.args(["unshare", "--net", "cat"]);
            let holder = Holder::start(command)?;
            guardian(holder.pid());
            let (net, pid) = (FIRST + machine, holder.pid().as_raw_nonzero());
            let _ = write!(
                lines,
                "link add v{machine} type veth peer name eth0 netns {pid}\naddr add 10.{net}.1.1/24 dev v{machine}\n\
                 addr add 10.{net}.2.1/24 dev v{machine}\nlink set v{machine} up\n"
            );
            network.machines.push(holder);
        }
        run(&mut network.router.ip(), &lines)?;
        for (machine, holder) in network.machines.iter().enumerate() {
            let net = FIRST + machine;
            let lines = format!(
                "link set lo up\naddr add 10.{net}.1.2/24 dev eth0\nlink set eth0 up\nroute add default via 10.{net}.1.1\n"
            );
            run(&mut holder.ip(), &lines)?;
        }
        Ok(network)
    }

    /// Where a machine is reached at first.
    pub(super) fn addr(machine: usize) -> std::net::Ipv4Addr {
        let net = u8::try_from(FIRST + machine).unwrap_or(u8::MAX);
        std::net::Ipv4Addr::new(10, net, 1, 2)
    }

    /// A command that runs a program on a machine.
    pub(super) fn on(&self, machine: usize, program: &Path) -> Command {
        let mut command = self.machines[machine].enter();
        command.arg(program);
        command
    }

    /// Gives a machine its second address and takes the first away, or the other way round.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn move_machine(&mut self, machine: usize, moved: bool) -> anyhow::Result<()> {
        let net = FIRST + machine;
        let (new, old) = if moved { (2, 1) } else { (1, 2) };
        let lines = format!(
            "addr add 10.{net}.{new}.2/24 dev eth0\nroute replace default via 10.{net}.{new}.1\n\
             addr del 10.{net}.{old}.2/24 dev eth0\n"
        );
        self.moved[machine] = moved;
        run(&mut self.machines[machine].ip(), &lines)
    }

    /// Begins or ends to drop what machines send to each other.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn block(&self, strike: usize, blocks: &[Block], on: bool) -> anyhow::Result<()> {
        let verb = if on { "add" } else { "del" };
        let mut lines = String::new();
        for Block { from, to } in blocks {
            let _ = write!(lines, "rule {verb} pref {}", RULES_FROM + strike);
            let _ = from.map(|from| write!(lines, " iif v{from}"));
            let _ = to.map(|to| write!(lines, " to 10.{}.0.0/16", FIRST + to));
            lines.push_str(" blackhole\n");
        }
        run(&mut self.router.ip(), &lines)
    }

    /// Whether the router would pass on what goes this way; with everybody at one end, what the first other one sends.
    pub(super) fn passes(&self, Block { from, to }: Block) -> bool {
        let other = |than: Option<usize>| usize::from(than == Some(0));
        let (from, to) = (from.unwrap_or_else(|| other(to)), to.unwrap_or_else(|| other(from)));
        let at = |machine: usize| format!("10.{}.{}.2", FIRST + machine, if self.moved[machine] { 2 } else { 1 });
        let mut command = self.router.enter();
        command.args(["ip", "route", "get", &at(to), "from", &at(from), "iif", &format!("v{from}")]);
        run(&mut command, "").is_ok()
    }

    /// What was counted on a machine so far.
    pub(super) fn counted(&self, machine: usize) -> Counted {
        let read = |name: &str| {
            let path = format!("/proc/{}/net/{name}", self.machines[machine].pid().as_raw_nonzero());
            std::fs::read_to_string(path).unwrap_or_default()
        };
        let third = if self.moved[machine] { 2 } else { 1 };
        let addr = u32::from_le_bytes([10, u8::try_from(FIRST + machine).unwrap_or(u8::MAX), third, 2]);
        Counted { again: sent_again(&read("snmp")), open: open_from(&read("tcp"), &format!("{addr:08X}")) }
    }
}

/// What a fault of networks drops, of players of so many pairs.
pub(super) fn blocks(kind: Fault, target: Target, pairs: usize) -> Vec<Block> {
    let one = |from: Option<usize>, to: Option<usize>| {
        let back = (kind == Fault::Apart).then_some(Block { from: to, to: from });
        std::iter::once(Block { from, to }).chain(back)
    };
    let way = |player: usize| one(Some(player + 1), Some(SERVER));
    let path = |pair: usize| one(Some(2 * pair + 1), Some(2 * pair + 2));
    let machine = |machine: usize| one(Some(machine), None);
    match target {
        Target::Link(player) => way(player.into()).collect(),
        Target::Links => (0..2 * pairs).flat_map(way).collect(),
        Target::Path(pair) => path(pair.into()).collect(),
        Target::Direct => (0..pairs).flat_map(path).collect(),
        Target::Server | Target::Client(_) | Target::Pair(_) | Target::Clients | Target::All => {
            (0..=2 * pairs).filter(|who| target.strikes(*who)).flat_map(machine).collect()
        }
    }
}

/// `RetransSegs` of `/proc/net/snmp`, where a line of names is followed by one of values.
fn sent_again(text: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut both = names.split_whitespace().zip(values.split_whitespace());
    both.find(|(name, _)| *name == "RetransSegs").and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// Established connections of `/proc/net/tcp` from an address, which is written there as the kernel has it.
fn open_from(text: &str, addr: &str) -> u64 {
    const ESTABLISHED: &str = "01";
    let is_one = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().unwrap_or_default();
        local.split(':').next() == Some(addr) && fields.nth(1) == Some(ESTABLISHED)
    };
    text.lines().filter(is_one).count() as u64
}

impl Holder {
    /// Starts it, and waits until it is where it shall be.
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        let mut holder = Self { child };
        let mut line = String::new();
        if let (Some(to), Some(from)) = (&mut holder.child.stdin, &mut holder.child.stdout) {
            // `cat` answers once everything before it is done.
            let _ = to.write_all(b"here\n");
            let _ = BufReader::new(from).read_line(&mut line);
        }
        if line.is_empty() {
            let mut said = String::new();
            let _ = holder.child.stderr.take().map(|mut from| std::io::Read::read_to_string(&mut from, &mut said));
            bail!("no network namespace can be made: {}", said.trim());
        }
        Ok(holder)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Into its network, for what follows in the arguments.
    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid().as_raw_nonzero().to_string(), "--net"]);
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command
    }

    /// Into its user namespace, if it has one of its own.
    fn enter_user(&self) -> Command {
        if is_root() {
            return Command::new("env");
        }
        let mut command = Command::new("nsenter");
        let pid = self.pid().as_raw_nonzero().to_string();
        command.args(["--target", &pid, "--user", "--preserve-credentials"]);
        command
    }

    fn ip(&self) -> Command {
        let mut command = self.enter();
        command.args(["ip", "-batch", "-"]);
        command
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Holds a namespace for a router.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "cat"]);
    command
}

/// Runs a tool to its end, with these lines as its input.
fn run(command: &mut Command, lines: &str) -> anyhow::Result<()> {
    let name = command.get_args().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut to) = child.stdin.take() {
        // Who does not read its input says why on standard error.
        let _ = to.write_all(lines.as_bytes());
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {}", said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;

    #[test]
    fn who_is_kept_apart_follows_from_the_target() {
        let block = |from, to| Block { from, to };
        let both = |from, to| vec![block(from, to), block(to, from)];
        for (kind, target, expected) in [
            (Fault::Apart, "path 1", both(Some(3), Some(4))),
            (Fault::ApartOneWay, "path 0", vec![block(Some(1), Some(2))]),
            (Fault::Apart, "link 2", both(Some(3), Some(0))),
            (Fault::ApartOneWay, "client 0", vec![block(Some(1), None)]),
            (Fault::Apart, "server", both(Some(0), None)),
        ] {
            assert_eq!(blocks(kind, target.parse().unwrap(), 2), expected, "{target}");
        }
        assert_eq!(blocks(Fault::ApartOneWay, Target::Links, 2).len(), 4);
        assert_eq!(blocks(Fault::Apart, Target::Direct, 2).len(), 4);
    }

    #[test]
    fn the_kernel_s_tables_are_read() {
        let snmp = "Ip: Forwarding\nIp: 1\nTcp: RtoMin RetransSegs InErrs\nTcp: 200 7 0\n";
        assert_eq!([sent_again(snmp), sent_again("")], [7, 0]);
        let tcp = "  sl  local_address rem_address   st tx_queue\n\
                   0: 0201650A:A1B2 0201640A:2800 01 00000000\n\
                   1: 0201650A:A1B3 0201640A:2800 06 00000000\n\
                   2: 0202650A:A1B4 0201640A:2800 01 00000000\n";
        assert_eq!([open_from(tcp, "0201650A"), open_from(tcp, "0202650A"), open_from("", "0201650A")], [1, 1, 0]);
    }

    #[test]
    fn machines_are_kept_apart_one_way_and_move() {
        if let Err(why) = Network::is_possible() {
            assert!(!why.is_empty());
            return;
        }
        let mut network = Network::make(3, |_| {}).unwrap();
        let (there, back) = (Block { from: Some(1), to: Some(2) }, Block { from: Some(2), to: Some(1) });
        network.block(4, &[there], true).unwrap();
        assert_eq!([network.passes(there), network.passes(back)], [false, true]);
        network.move_machine(2, true).unwrap();
        assert!(!network.passes(there), "a new address is no way around it");
        network.block(4, &[there], false).unwrap();
        assert!(network.passes(there));
        let alone = blocks(Fault::Apart, Target::Client(0), 1);
        network.block(5, &alone, true).unwrap();
        assert!(alone.iter().all(|block| !network.passes(*block)));
        assert!(network.passes(Block { from: Some(2), to: Some(0) }));
        network.move_machine(2, false).unwrap();
        assert_eq!(network.counted(2), Counted::default());
    }
}
