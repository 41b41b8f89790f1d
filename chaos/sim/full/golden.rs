//! The state that an earlier version has written, for worlds that begin with an upgrade.

use std::path::Path;

use rejoin::store::Disk;
use rejoin::store::faulty::FaultyDisk;

use super::machine::SERVER_STATE;

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../tests/it/golden/state-v2/", $name)))),+]
    };
}

/// The files of format version 2.
const FILES: &[(&str, &[u8])] = files![
    "archive-00000000000000000001-00000000000000000013.arc",
    "archive-00000000000000000014-00000000000000000047.arc",
    "journal-00000000000000000014.log",
    "journal-00000000000000000021.log",
    "journal-00000000000000000027.log",
    "journal-00000000000000000031.log",
    "journal-00000000000000000036.log",
    "journal-00000000000000000040.log",
    "journal-00000000000000000046.log",
    "journal-00000000000000000048.log",
    "snapshot-00000000000000000013.snap",
    "snapshot-00000000000000000047.snap",
];

/// What the key of that server was made from.
pub(super) const SERVER_KEY: [u8; 32] = [1; 32];

/// A disk with that state on it.
pub(super) fn disk() -> FaultyDisk {
    let disk = FaultyDisk::new();
    let put = |(name, bytes): &(&str, &[u8])| {
        let mut file = disk.create(&Path::new(SERVER_STATE).join(name))?;
        file.append(bytes)?;
        file.sync()
    };
    let written = disk.create_dir(Path::new(SERVER_STATE)).and_then(|()| FILES.iter().try_for_each(put));
    written.and_then(|()| disk.sync_dir(Path::new(SERVER_STATE))).expect("a disk without faults works");
    disk
}
