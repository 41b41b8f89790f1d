//! The first bytes of every file: what it is, whose it is, and what it continues.
//!
//! It is written and synced before anything follows it: a file longer than its header has a good header or is damaged.

use std::path::Path;

use super::error::{Damage, StoreError};
use crate::model::id::Lsn;

/// The format this program writes, and the only one it reads: nobody uses an older one.
pub const FORMAT_VERSION: u16 = 2;
/// Size of a header.
pub const HEADER_BYTES: usize = 84;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Facts, appended.
    Journal,
    /// Pieces of a state.
    Snapshot,
    /// Retired records.
    Archive,
    /// Opaque records, appended.
    Records,
}

/// The first bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// What the file holds.
    pub(crate) kind: Kind,
    /// Whose it is.
    pub(crate) server: [u8; 32],
    /// The run of the server that made it.
    pub(crate) boot: u64,
    /// The first fact it holds or covers.
    pub(crate) first: Lsn,
    /// The last fact it covers; zero for files that grow.
    pub(crate) last: Lsn,
    /// The checksum of the last frame of facts before `first` (journal) or at `last` (snapshot).
    pub(crate) chain: u32,
    /// Mixed into every checksum of this file, so that nobody can smuggle in bytes that look like a frame.
    pub(crate) salt: u64,
}

impl Kind {
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::Journal => *b"rejoinJN",
            Self::Snapshot => *b"rejoinSN",
            Self::Archive => *b"rejoinAR",
            Self::Records => *b"rejoinRC",
        }
    }
}

impl Header {
    /// The bytes.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&self.kind.magic());
        bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&(!FORMAT_VERSION).to_le_bytes());
        bytes[12..44].copy_from_slice(&self.server);
        bytes[44..52].copy_from_slice(&self.boot.to_le_bytes());
        bytes[52..60].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[60..68].copy_from_slice(&self.last.0.to_le_bytes());
        bytes[68..72].copy_from_slice(&self.chain.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..80]);
        bytes[80..84].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads and checks the header of the file `path`, whose content is `bytes`. The version is looked at before
    /// anything else after the magic, so that its place is fixed for ever.
    pub(crate) fn read(path: &Path, bytes: &[u8], kind: Kind, server: &[u8; 32]) -> Result<Self, StoreError> {
        let damaged = |byte, why| StoreError::damaged(path, byte, why);
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else { return Err(damaged(bytes.len(), Damage::Short)) };
        if part(bytes, 0) != kind.magic() {
            return Err(damaged(0, Damage::Foreign));
        }
        let version = u16::from_le_bytes(part(bytes, 8));
        if version != !u16::from_le_bytes(part(bytes, 10)) {
            return Err(damaged(8, Damage::Header));
        }
        if version > FORMAT_VERSION {
            return Err(StoreError::NewerFormat { file: path.to_owned(), version, known: FORMAT_VERSION });
        }
        if version < FORMAT_VERSION {
            return Err(StoreError::OlderFormat { file: path.to_owned(), version, known: FORMAT_VERSION });
        }
        if crc32c::crc32c(&bytes[..80]) != u32::from_le_bytes(part(bytes, 80)) {
            return Err(damaged(0, Damage::Header));
        }
        let header = Self {
            kind,
            server: part(bytes, 12),
            boot: u64::from_le_bytes(part(bytes, 44)),
            first: Lsn(u64::from_le_bytes(part(bytes, 52))),
            last: Lsn(u64::from_le_bytes(part(bytes, 60))),
            chain: u32::from_le_bytes(part(bytes, 68)),
            salt: u64::from_le_bytes(part(bytes, 72)),
        };
        if header.server == *server {
            Ok(header)
        } else {
            let hex = |id: &[u8]| data_encoding::HEXLOWER.encode(id);
            Err(StoreError::OtherServer { file: path.to_owned(), found: hex(&header.server), expected: hex(server) })
        }
    }

    /// The header, whoever's it is.
    pub(crate) fn peek(path: &Path, bytes: &[u8], kind: Kind) -> Option<Self> {
        let server = part(bytes.first_chunk()?, 12);
        Self::read(path, bytes, kind, &server).ok()
    }

    /// The number of the file's first item: a fact's own number in files that grow, else items are counted from 1.
    pub(crate) const fn first_item(&self) -> Lsn {
        match self.kind {
            Kind::Journal | Kind::Records => self.first,
            Kind::Snapshot | Kind::Archive => Lsn(1),
        }
    }
}

/// The `N` bytes from `at`, which lie within the header.
fn part<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|offset| bytes[at + offset])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: [u8; 32] = [7; 32];

    fn header() -> Header {
        Header { kind: Kind::Snapshot, server: SERVER, boot: 3, first: Lsn(1), last: Lsn(9), chain: 0xdead, salt: 5 }
    }

    fn read(bytes: &[u8]) -> Result<Header, StoreError> {
        Header::read(Path::new("d/f"), bytes, Kind::Snapshot, &SERVER)
    }

    #[test]
    fn the_bytes_of_version_2_are_these_for_ever() {
        let hex = data_encoding::HEXLOWER.encode(&header().encode());
        let golden = "72656a6f696e534e0200fdff0707070707070707070707070707070707070707070707070707070707070707\
                      030000000000000001000000000000000900000000000000adde00000500000000000000";
        assert_eq!(hex[..160], *golden);
        assert_eq!(read(&header().encode()).unwrap(), header());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let good = header().encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(read(&bad), Err(StoreError::Damaged { .. })), "bit {bit}");
        }
        for len in 0..HEADER_BYTES {
            assert!(matches!(read(&good[..len]), Err(StoreError::Damaged { why: Damage::Short, .. })), "{len}");
        }
    }

    #[test]
    fn another_version_and_another_server_are_named() {
        let mut newer = header().encode();
        newer[8..12].copy_from_slice(&[3, 0, 0xfc, 0xff]);
        assert!(read(&newer).unwrap_err().to_string().contains("format version 3"));
        let mut older = header().encode();
        older[8..12].copy_from_slice(&[1, 0, 0xfe, 0xff]);
        assert!(read(&older).unwrap_err().to_string().contains("use rejoin 0.1"));
        let other = Header { server: [8; 32], ..header() }.encode();
        assert!(matches!(read(&other), Err(StoreError::OtherServer { .. })));
        let journal = Header { kind: Kind::Journal, ..header() }.encode();
        assert!(matches!(read(&journal), Err(StoreError::Damaged { why: Damage::Foreign, .. })));
    }
}
