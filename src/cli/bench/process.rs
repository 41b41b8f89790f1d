//! What a process costs, as the kernel counts it: processor time to the nanosecond, resident memory, threads.

use std::collections::BTreeMap;

/// A process that is watched.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    /// Nanoseconds of each thread, also of those that have ended.
    threads: BTreeMap<u32, u64>,
}

/// What it has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Processor time in nanoseconds.
    pub(super) cpu_ns: u64,
    /// Resident memory in KiB.
    pub(super) rss_kib: u64,
    /// Threads that live.
    pub(super) threads: usize,
}

impl Process {
    pub(super) const fn new(pid: u32) -> Self {
        Self { pid, threads: BTreeMap::new() }
    }

    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Looks at it; `None` when it is gone.
    pub(super) fn look(&mut self) -> Option<Cost> {
        let mut threads = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.pid)).ok()? {
            let task = task.ok()?;
            let Some(id) = task.file_name().to_str().and_then(|id| id.parse().ok()) else { continue };
            // A thread may end between the two looks.
            let Ok(text) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
            let Some(ns) = text.split(' ').next().and_then(|ns| ns.parse().ok()) else { continue };
            self.threads.insert(id, ns);
            threads += 1;
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        Some(Cost { cpu_ns: self.threads.values().sum(), rss_kib: resident(&status)?, threads })
    }
}

fn resident(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_something_and_more_after_work() {
        let mut me = Process::new(std::process::id());
        let before = me.look().unwrap();
        assert!(before.rss_kib > 1000 && before.threads > 0, "{before:?}");
        while me.look().unwrap().cpu_ns < before.cpu_ns + 1_000_000 {}
        assert_eq!(Process::new(u32::MAX).look(), None);
        assert_eq!(resident("Name:\trejoin\nVmRSS:\t   11204 kB\n"), Some(11_204));
        assert_eq!(resident("VmRSS:\tmuch"), None);
    }
}
