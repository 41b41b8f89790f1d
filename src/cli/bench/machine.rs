//! On what was measured.

use std::fmt;
use std::thread::available_parallelism;

use serde::Serialize;

/// The machine, and how busy it is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    cores: usize,
    /// As the operating system calls it.
    cpu: Option<String>,
    release_build: bool,
    /// Processes that wanted to run in the last minute, those of the bench included.
    load: Option<String>,
}

impl Machine {
    /// This one, now.
    pub(super) fn here() -> Self {
        let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = std::fs::read_to_string("/proc/loadavg").ok();
        Self {
            cores: available_parallelism().map_or(1, usize::from),
            cpu: model.map(|(_, name)| name.to_owned()),
            release_build: !cfg!(debug_assertions),
            load: load.and_then(|load| Some(load.split_once(' ')?.0.to_owned())),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, cpu, release_build, load } = self;
        let build = if *release_build { "release" } else { "debug" };
        let cpu = cpu.as_deref().unwrap_or("unknown");
        write!(to, "{cores} cores ({cpu}), {build} build, load {}", load.as_deref().unwrap_or("unknown"))
    }
}

/// What has gone over the loopback interface of this network namespace, headers included, as the system counts it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Loopback {
    pub(super) bytes: u64,
    pub(super) packets: u64,
}

impl Loopback {
    /// All since the interface was made; none where the system does not say.
    pub(super) fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/net/dev").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let columns = text.lines().find_map(|line| line.trim().strip_prefix("lo:"))?;
        let mut columns = columns.split_whitespace().map_while(|column| column.parse().ok());
        Some(Self { bytes: columns.next()?, packets: columns.next()? })
    }

    /// What came since then.
    pub(super) const fn since(self, before: Self) -> Self {
        Self { bytes: self.bytes.saturating_sub(before.bytes), packets: self.packets.saturating_sub(before.packets) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_counters_are_found_among_the_others() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets errs|bytes packets errs\n  \
                    eth0: 9 8 0 7 6 0\n    lo: 1234 56 0 1234 56 0\n";
        let found = Loopback::parse(text).unwrap();
        assert_eq!((found.bytes, found.packets), (1234, 56));
        assert!(Loopback::parse("nothing").is_none());
    }
}
