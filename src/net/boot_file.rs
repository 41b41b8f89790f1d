//! The newest run that these keys have seen, beside the keys: a state directory that was lost or put back from a copy
//! does not know of it.
//!
//! What must hold: the file names a run only after that run is in the journal, and has its old content or all of the
//! new.
//!
//! ```text
//! boot    rejoin boot/1 NUMBER NONCE CRC      decimal, hexadecimal, CRC-32C of all before it in hexadecimal
//! ```

use std::path::Path;

use super::keys::KeysError;
use super::private_file::{Readers, read_public, sync_dir, write_new};
use crate::model::id::Boot;

/// The file, in the certs directory.
pub const BOOT: &str = "boot";
/// What it is.
const KIND: &str = "rejoin boot/1";

/// The newest run that these keys have seen; `None` before the first.
///
/// # Errors
/// [`KeysError`] when the file cannot be read, or is not what was written.
pub fn read(certs: &Path) -> Result<Option<Boot>, KeysError> {
    let path = certs.join(BOOT);
    let Some(bytes) = read_public(&path)? else { return Ok(None) };
    parse(&bytes).map(Some).ok_or(KeysError::Damaged { path })
}

/// Writes down the newest run; it is on disk when this returns.
///
/// # Errors
/// [`KeysError`] as the operating system says; the old content is still there.
pub fn write(certs: &Path, boot: Boot) -> Result<(), KeysError> {
    write_new(&certs.join(BOOT), line(boot).as_bytes(), Readers::Owner)?;
    sync_dir(certs)
}

fn line(boot: Boot) -> String {
    let said = format!("{KIND} {} {:016x}", boot.number, boot.nonce);
    format!("{said} {:08x}\n", crc32c::crc32c(said.as_bytes()))
}

fn parse(bytes: &[u8]) -> Option<Boot> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.strip_prefix(KIND)?.split_ascii_whitespace();
    let boot = Boot { number: words.next()?.parse().ok()?, nonce: u64::from_str_radix(words.next()?, 16).ok()? };
    // There is one way to write it.
    (line(boot) == text).then_some(boot)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use std::fs;

    use super::*;

    const SEEN: Boot = Boot { number: 7, nonce: 0x0102_0304_0506_0708 };

    #[test]
    fn the_newest_run_is_read_back_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        write(dir.path(), SEEN).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(BOOT)).unwrap(), "rejoin boot/1 7 0102030405060708 c5bc6ad2\n");
        write(dir.path(), Boot { number: 8, nonce: u64::MAX }).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(Boot { number: 8, nonce: u64::MAX }));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
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
