//! Files of the certs directory: whole or absent, and the private ones for their owner alone.
//!
//! What must hold: after a crash or a power cut a file has its old content or all of the new; a private file is
//! never, not for a moment, open to others.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::keys::KeysError;

/// A file in the certs directory larger than this is not what it should be.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Who may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Only the user that runs the server.
    Owner,
    /// Everybody on this machine.
    All,
}

impl Readers {
    #[cfg(unix)]
    const fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::All => 0o644,
        }
    }
}

/// The bytes of a private file, `None` if it does not exist. Refuses one that others may read or change.
pub(super) fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, KeysError> {
    let Some(file) = open(path)? else { return Ok(None) };
    refuse_if_wide(path, &file)?;
    read_all(path, &file).map(Some)
}

/// The bytes of a public file, `None` if it does not exist.
pub(super) fn read_public(path: &Path) -> Result<Option<Vec<u8>>, KeysError> {
    let Some(file) = open(path)? else { return Ok(None) };
    read_all(path, &file).map(|bytes| Some(bytes.to_vec()))
}

/// Writes a file that does not exist yet, and returns when its contents are durable; its name is after [`sync_dir`].
pub(super) fn write_new(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), KeysError> {
    let temporary = temporary(path);
    // A crash may have left one.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(KeysError::io(&temporary, error)),
        Ok(()) | Err(_) => {}
    }
    create(&temporary, readers)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|error| KeysError::io(&temporary, error))?;
    fs::rename(&temporary, path).map_err(|error| KeysError::io(path, error))
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), KeysError> {
    // Elsewhere a directory cannot be opened as a file.
    if !cfg!(unix) {
        return Ok(());
    }
    File::open(dir).and_then(|handle| handle.sync_all()).map_err(|error| KeysError::io(dir, error))
}

/// Makes a directory and its name durable; fine if it is there.
pub(super) fn make_dir(dir: &Path) -> Result<(), KeysError> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(|error| KeysError::io(dir, error))?;
    sync_dir(parent(dir))
}

/// Waits until no other process makes files in `dir`; the claim ends with the returned handle.
pub(super) fn claim(dir: &Path) -> Result<Option<File>, KeysError> {
    if !cfg!(unix) {
        return Ok(None);
    }
    let claim = File::open(dir).and_then(|handle| handle.lock().map(|()| handle));
    claim.map(Some).map_err(|error| KeysError::io(dir, error))
}

fn open(path: &Path) -> Result<Option<File>, KeysError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(KeysError::io(path, error)),
    }
}

fn read_all(path: &Path, file: &File) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let io = |error| KeysError::io(path, error);
    let len = file.metadata().map_err(io)?.len();
    if len > FILE_BYTES_MAX {
        return Err(KeysError::Damaged { path: path.to_owned() });
    }
    // The room is made before, because a buffer that grows leaves copies of the key behind.
    let room = usize::try_from(len).expect("bounded just above") + 64;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

#[cfg(unix)]
fn refuse_if_wide(path: &Path, file: &File) -> Result<(), KeysError> {
    use std::os::unix::fs::PermissionsExt;

    let mode = file.metadata().map_err(|error| KeysError::io(path, error))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeysError::Wide { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_if_wide(_path: &Path, _file: &File) -> Result<(), KeysError> {
    Ok(())
}

fn create(path: &Path, readers: Readers) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, readers.mode());
    #[cfg(not(unix))]
    let _ = readers;
    options.open(path)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

fn temporary(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_replaces_what_a_crash_left_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        fs::write(temporary(&path), "half").unwrap();
        write_new(&path, b"whole", Readers::All).unwrap();
        assert_eq!(read_public(&path).unwrap().unwrap(), b"whole");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_too_large_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.pub");
        File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(matches!(read_public(&path), Err(KeysError::Damaged { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        write_new(&path, b"secret", Readers::Owner).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o620, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read_private(&path).unwrap_err();
            assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(read_private(&path).unwrap().unwrap().as_slice(), b"secret");
    }
}
