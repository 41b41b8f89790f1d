//! A disk whose power can be cut: a file system of its own in a file, mounted through a loop device. Needs root.
//!
//! What a program has written and not synced is in the kernel's memory and not in the file. So the file, as it is while
//! everybody who writes there stands still, is what such a disk holds when the power goes; it is copied, the processes are
//! killed, and the copy is mounted in its place – the file system then recovers from its own journal, as after any power
//! cut. What this cannot show is a disk that loses what it was told to keep, or tears what was not flushed: every block
//! that the kernel has handed over is there.
//!
//! What must hold: the copy is of one moment (it is compared with the file after it was made); and a cut counts when a
//! file that was written just before it, and not synced, is gone.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, bail, ensure};

/// A file system in a file.
pub(super) struct PowerDisk {
    /// Where it is mounted.
    dir: PathBuf,
    /// The file that holds it.
    image: PathBuf,
    /// The file as it was when the power went.
    cut: Option<PathBuf>,
    cuts: u32,
}

/// Room for the files of one process.
const BYTES: u64 = 32 << 20;
/// Written just before the power goes.
const UNSYNCED: &str = "unsynced";
/// The kernel itself would write what it holds every 5 seconds.
const OPTIONS: &str = "loop,noatime,commit=300";
/// Copies until one is of a single moment; the kernel has little to write while nobody runs.
const COPIES_MAX: usize = 20;

impl PowerDisk {
    /// Whether this machine allows it: tried once, in a directory of its own.
    pub(super) fn is_possible() -> Result<(), String> {
        static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
        let tried = || {
            if !rustix::process::geteuid().is_root() {
                return Err("needs root, to mount a file system that is in a file".to_owned());
            }
            Self::try_it().map_err(|why| format!("{why:#}"))
        };
        TRIED.get_or_init(tried).clone()
    }

    fn try_it() -> anyhow::Result<()> {
        let home = tempfile::Builder::new().prefix("rejoin-chaos-").tempdir()?;
        let mut disk = Self::make(&home.path().join("disk"))?;
        disk.cut()?;
        ensure!(disk.restore()?, "what was not synced was still there");
        Ok(())
    }

    /// A new one, mounted at `dir`; the files that hold it are beside that.
    ///
    /// # Errors
    /// When there is no room, no `mkfs.ext4`, or no right to mount.
    pub(super) fn make(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)?;
        let image = dir.with_extension("0");
        File::create(&image)?.set_len(BYTES)?;
        // All of it at once, so that the kernel has nothing to finish later.
        let whole = "lazy_itable_init=0,lazy_journal_init=0";
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-E", whole]).arg(&image))?;
        mount(&image, dir)?;
        Ok(Self { dir: dir.to_owned(), image, cut: None, cuts: 0 })
    }

    /// The power goes: call it while nobody who writes there runs.
    ///
    /// # Errors
    /// When the file cannot be copied.
    pub(super) fn cut(&mut self) -> anyhow::Result<()> {
        fs::write(self.dir.join(UNSYNCED), UNSYNCED)?;
        self.cuts += 1;
        let cut = self.dir.with_extension(self.cuts.to_string());
        for _ in 0..COPIES_MAX {
            fs::copy(&self.image, &cut)?;
            if is_same(&self.image, &cut)? {
                self.cut = Some(cut);
                return Ok(());
            }
        }
        bail!("{} does not stand still", self.image.display())
    }

    /// The power is back: the disk is as it was when it went. Whether what was not synced is gone. Call it when nobody has
    /// a file open there.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub(super) fn restore(&mut self) -> anyhow::Result<bool> {
        let cut = self.cut.take().context("the power is on")?;
        unmount(&self.dir)?;
        fs::remove_file(&self.image)?;
        mount(&cut, &self.dir)?;
        self.image = cut;
        Ok(!self.dir.join(UNSYNCED).exists())
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps it until then; the guardian has killed them or is about to.
        let _ = unmount(&self.dir).or_else(|_| unmount_later(&self.dir));
    }
}

fn mount(image: &Path, dir: &Path) -> anyhow::Result<()> {
    run(Command::new("mount").args(["-t", "ext4", "-o", OPTIONS]).arg(image).arg(dir))
}

fn unmount(dir: &Path) -> anyhow::Result<()> {
    run(Command::new("umount").arg(dir))
}

/// Takes it out of sight now, and away when its last file is closed.
pub(super) fn unmount_later(dir: &Path) -> anyhow::Result<()> {
    run(Command::new("umount").arg("--lazy").arg(dir))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{name} cannot be started"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {}", said.trim());
    Ok(())
}

fn is_same(one: &Path, other: &Path) -> anyhow::Result<bool> {
    const PIECE: usize = 1 << 20;
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut of_one, mut of_other) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let most = one.read(&mut of_one)?;
        if most == 0 {
            return Ok(other.read(&mut of_other)? == 0);
        }
        if other.read_exact(&mut of_other[..most]).is_err() || of_one[..most] != of_other[..most] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_was_synced_is_there_after_the_power_went_and_the_rest_is_not() {
        if let Err(why) = PowerDisk::is_possible() {
            assert!(!why.is_empty());
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("disk");
        let mut disk = PowerDisk::make(&dir).unwrap();
        for round in 0..3_u8 {
            let mut kept = File::create(dir.join("kept")).unwrap();
            kept.write_all(&[round; 100]).unwrap();
            kept.sync_all().unwrap();
            File::open(&dir).unwrap().sync_all().unwrap();
            kept.write_all(&[9; 100]).unwrap();
            disk.cut().unwrap();
            drop(kept);
            assert!(disk.restore().unwrap());
            assert_eq!(fs::read(dir.join("kept")).unwrap(), [round; 100]);
        }
    }

    #[test]
    fn a_copy_that_is_not_the_same_is_seen() {
        let home = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| home.path().join(name));
        for (of_one, of_other, same) in [
            (&b"abc"[..], &b"abc"[..], true),
            (b"abc", b"abd", false),
            (b"abc", b"abcd", false),
            (b"abc", b"ab", false),
        ] {
            fs::write(&one, of_one).unwrap();
            fs::write(&other, of_other).unwrap();
            assert_eq!(is_same(&one, &other).unwrap(), same);
        }
    }
}
