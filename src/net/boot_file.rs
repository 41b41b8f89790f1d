//! How far these keys have seen the state come, beside the keys: a state directory that was lost or put back from a
//! copy has not come so far.
//!
//! What must hold: the file names a run and a fact only after they are in the journal, and has its old content or all of
//! the new.
//!
//! ```text
//! boot    rejoin boot/2 NUMBER NONCE LSN CRC  decimal, hexadecimal, decimal, CRC-32C of all before it in hexadecimal
//!         rejoin boot/1 NUMBER NONCE CRC      of a program that noted no facts; read, and replaced at the start
//! ```

use std::path::Path;

use super::keys::KeysError;
use super::private_file::{Readers, read_public, sync_dir, write_new};
use crate::model::id::{Boot, Lsn, Mark};

/// The file, in the certs directory.
pub const BOOT: &str = "boot";
/// What it is.
const KIND: &str = "rejoin boot/2";
/// What it was before facts were noted.
const KIND_1: &str = "rejoin boot/1";

/// How far these keys have seen the state come; `None` before the first run.
///
/// # Errors
/// [`KeysError`] when the file cannot be read, or is not what was written.
pub fn read(certs: &Path) -> Result<Option<Mark>, KeysError> {
    let path = certs.join(BOOT);
    let Some(bytes) = read_public(&path)? else { return Ok(None) };
    parse(&bytes).map(Some).ok_or(KeysError::Damaged { path })
}

/// Writes down how far the state has come; it is on disk when this returns.
///
/// # Errors
/// [`KeysError`] as the operating system says; the old content is still there.
pub fn write(certs: &Path, mark: Mark) -> Result<(), KeysError> {
    write_new(&certs.join(BOOT), line(mark).as_bytes(), Readers::Owner)?;
    sync_dir(certs)
}

fn line(mark: Mark) -> String {
    sealed(format!("{KIND} {} {:016x} {}", mark.boot.number, mark.boot.nonce, mark.last.0))
}

fn line_1(boot: Boot) -> String {
    sealed(format!("{KIND_1} {} {:016x}", boot.number, boot.nonce))
}

fn sealed(said: String) -> String {
    let crc = crc32c::crc32c(said.as_bytes());
    format!("{said} {crc:08x}\n")
}

fn parse(bytes: &[u8]) -> Option<Mark> {
    let text = std::str::from_utf8(bytes).ok()?;
    let words = text.strip_prefix(KIND).or_else(|| text.strip_prefix(KIND_1))?;
    let mut words = words.split_ascii_whitespace();
    let boot = Boot { number: words.next()?.parse().ok()?, nonce: u64::from_str_radix(words.next()?, 16).ok()? };
    // There is one way to write each.
    if text == line_1(boot) {
        return Some(Mark { boot, last: Lsn(0) });
    }
    let mark = Mark { boot, last: Lsn(words.next()?.parse().ok()?) };
    (line(mark) == text).then_some(mark)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use std::fs;

    use super::*;

    const BOOT_7: Boot = Boot { number: 7, nonce: 0x0102_0304_0506_0708 };
    const SEEN: Mark = Mark { boot: BOOT_7, last: Lsn(90) };

    #[test]
    fn how_far_it_has_come_is_read_back_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        write(dir.path(), SEEN).unwrap();
        assert_eq!(
            fs::read_to_string(dir.path().join(BOOT)).unwrap(),
            "rejoin boot/2 7 0102030405060708 90 575bfb4a\n"
        );
        let newer = Mark { boot: Boot { number: 8, nonce: u64::MAX }, last: Lsn(u64::MAX) };
        write(dir.path(), newer).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(newer));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_of_the_first_format_is_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(BOOT), "rejoin boot/1 7 0102030405060708 c5bc6ad2\n").unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(Mark { boot: BOOT_7, last: Lsn(0) }));
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let good = line(SEEN).into_bytes();
        let path = dir.path().join(BOOT);
        let refused = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            matches!(read(dir.path()), Err(KeysError::Damaged { .. }))
        };
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(refused(&bad), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(refused(&good[..len]), "{len}");
        }
        assert!(!refused(&good));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_it_and_a_directory_that_cannot_be_written_says_so() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), SEEN).unwrap();
        assert_eq!(fs::metadata(dir.path().join(BOOT)).unwrap().permissions().mode() & 0o777, 0o600);
        let error = write(&dir.path().join("gone"), SEEN).unwrap_err();
        assert!(error.to_string().contains("boot"), "{error}");
    }
}
