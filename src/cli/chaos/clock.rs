//! Wall clocks that can jump: a process asks `libfaketime`, which looks into a file.
//!
//! What must hold: only the wall clock jumps, and only for the processes of the run; a jump counts when the process has
//! looked into the file since.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// Where systems keep the library.
const PLACES: [&str; 6] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.so.1",
    "/usr/lib64/libfaketime.so.1",
];

/// The clock of one process.
pub(super) struct FalseClock {
    file: PathBuf,
}

impl FalseClock {
    /// Whether the library is there.
    pub(super) fn is_possible() -> Result<(), String> {
        library().map(|_| ()).ok_or_else(|| "libfaketime is not installed (package faketime)".to_owned())
    }

    /// One that is right so far.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub(super) fn set_up(file: PathBuf) -> std::io::Result<Self> {
        let clock = Self { file };
        clock.jump(0)?;
        Ok(clock)
    }

    /// Makes a process that is about to be started ask it.
    pub(super) fn give_to(&self, command: &mut Command) {
        let Some(library) = library() else { return };
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &self.file).env("FAKETIME_NO_CACHE", "1");
        // Two names, by the library's age.
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    }

    /// It is so many seconds wrong from now on.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub(super) fn jump(&self, seconds: i64) -> std::io::Result<()> {
        // In one step: who looks in between would find nothing.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{seconds:+}s\n"))?;
        fs::rename(next, &self.file)
    }

    /// Whether the process has looked since the last jump, as far as the file system notes it.
    pub(super) fn was_looked_at(&self) -> bool {
        let at = |meta: &fs::Metadata| ((meta.atime(), meta.atime_nsec()), (meta.mtime(), meta.mtime_nsec()));
        fs::metadata(&self.file).is_ok_and(|meta| {
            let (read, written) = at(&meta);
            read > written
        })
    }
}

fn library() -> Option<&'static str> {
    PLACES.into_iter().find(|place| Path::new(place).exists())
}
