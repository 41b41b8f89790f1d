//! System calls of a process that are made to fail, by `strace`.
//!
//! What must hold: the process goes on untouched once it is let go.
#![allow(clippy::wildcard_enum_match_arm, reason = "of the many kinds of faults each place carries out a few")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use super::guard::Guardian;
use crate::chaos::scenario::Fault;

/// A tracer at work.
pub(super) struct Traced {
    child: Child,
    log: PathBuf,
}

/// What a tracer writes beside a call that it made fail.
const INJECTED: &str = "(INJECTED)";

impl Traced {
    /// Whether there is a tracer, and it may trace.
    pub(super) fn is_possible() -> Result<(), String> {
        let there = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            return Err("strace is not installed".to_owned());
        }
        let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
        if rustix::process::geteuid().is_root() || matches!(scope.trim(), "" | "0") {
            Ok(())
        } else {
            Err("strace may not attach: root, or kernel.yama.ptrace_scope = 0, is needed".to_owned())
        }
    }

    /// Begins to make calls fail.
    ///
    /// # Errors
    /// When the tracer cannot be started.
    pub(super) fn start(
        of: Pid,
        kind: Fault,
        amount: i64,
        state: &Path,
        guardian: &mut Guardian,
    ) -> anyhow::Result<Self> {
        let log = state.with_file_name(format!("strace-{}.log", of.as_raw_nonzero()));
        let (calls, inject) = match kind {
            Fault::KillAtSync => ("fdatasync,fsync", format!("signal=KILL:when={amount}")),
            Fault::KillAtRename => ("rename,renameat,renameat2", format!("signal=KILL:when={amount}")),
            Fault::DiskError => ("fdatasync,fsync", format!("error=EIO:when={amount}")),
            Fault::ReadOnly => ("write,pwrite64,ftruncate,fallocate", "error=EROFS".to_owned()),
            // A full disk still lets a file become shorter.
            _ => ("write,pwrite64,fallocate", "error=ENOSPC".to_owned()),
        };
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-p", &of.as_raw_nonzero().to_string(), "-o"]).arg(&log);
        // Only the files: the same calls write to sockets.
        if matches!(kind, Fault::DiskFull | Fault::ReadOnly) {
            for entry in std::fs::read_dir(state)?.filter_map(Result::ok) {
                command.arg("-P").arg(entry.path());
            }
        }
        command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{inject}")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn();
        let child = child.context("strace cannot be started")?;
        guardian.runs(Pid::from_child(&child));
        Ok(Self { child, log })
    }

    /// Ends it; whether it has made a call fail.
    pub(super) fn let_go(mut self, guardian: &mut Guardian) -> bool {
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.child.wait();
        guardian.ended(pid);
        std::fs::read_to_string(&self.log).is_ok_and(|log| log.contains(INJECTED))
    }
}
