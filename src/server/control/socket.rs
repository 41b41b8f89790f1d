//! The socket's file, and who may use it.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use tokio::net::UnixStream;

/// Listens at `path` in `state`, with mode 0600 from the first moment that anybody can find it: it is made in a
/// directory of its own that only this user can enter, and put in the place of what is there.
pub(super) fn listen(state: &Path, path: &Path) -> io::Result<UnixListener> {
    let hidden = tempfile::Builder::new().prefix(".c").rand_bytes(4).tempdir_in(state)?;
    let made = hidden.path().join("s");
    let listener = UnixListener::bind(&made)?;
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&made, path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The user and process id of a caller who is this user, or root.
pub(super) fn trusted(stream: &UnixStream) -> Option<(u32, i32)> {
    let caller = stream.peer_cred().ok()?;
    let us = rustix::process::geteuid().as_raw();
    let known = caller.uid() == us || caller.uid() == 0;
    known.then(|| (caller.uid(), caller.pid().unwrap_or(0)))
}
