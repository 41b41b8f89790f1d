//! What has gone over the TCP sockets of some processes, as the kernel counts it for each of them.
//!
//! What must hold: only sockets that these processes hold are counted, so whatever else the machine does is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// Bytes and segments that have arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrived {
    /// Without headers.
    pub(super) bytes: u64,
    /// Those without data too.
    pub(super) segments: u64,
}

/// The kernel's numbers, also of sockets that are closed by now.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    last: BTreeMap<u32, Arrived>,
}

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const REQUEST_ALL: u16 = 0x301;
/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `IPPROTO_TCP`, and `INET_DIAG_INFO` as attribute and as the bit that asks for it.
const TCP: u8 = 6;
const INFO: u16 = 2;
const WANT_INFO: u8 = 1 << (INFO - 1);
/// Bytes of `nlmsghdr`, `inet_diag_req_v2` and `inet_diag_msg`.
const HEAD: usize = 16;
const REQUEST: usize = 56;
const MESSAGE: usize = 72;
/// Where the inode is in an `inet_diag_msg`.
const INODE_AT: usize = 68;
/// Where `tcpi_bytes_received` and `tcpi_segs_in` are in a `tcp_info`.
const BYTES_AT: usize = 128;
const SEGMENTS_AT: usize = 140;

impl Sockets {
    /// Looks at the sockets of these processes; all that has arrived at them since the first look.
    pub(super) fn look(&mut self, pids: &[u32]) -> io::Result<Arrived> {
        let ours: BTreeSet<u32> = pids.iter().flat_map(|pid| inodes(*pid)).collect();
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            for (inode, arrived) in dump(family)? {
                if ours.contains(&inode) {
                    self.last.insert(inode, arrived);
                }
            }
        }
        let sum = |all: Arrived, one: &Arrived| Arrived {
            bytes: all.bytes + one.bytes,
            segments: all.segments + one.segments,
        };
        Ok(self.last.values().fold(Arrived::default(), sum))
    }
}

/// The sockets that a process holds.
fn inodes(pid: u32) -> Vec<u32> {
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let inode = |target: std::path::PathBuf| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    targets.filter_map(inode).collect()
}

/// All TCP sockets of a family in this network namespace.
fn dump(family: AddressFamily) -> io::Result<Vec<(u32, Arrived)>> {
    let socket: OwnedFd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
    let mut request = vec![0; HEAD + REQUEST];
    let len = u32::try_from(request.len()).expect("it is short");
    request[..4].copy_from_slice(&len.to_ne_bytes());
    request[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&REQUEST_ALL.to_ne_bytes());
    request[HEAD] = u8::try_from(family.as_raw()).expect("families are small numbers");
    request[HEAD + 1] = TCP;
    request[HEAD + 2] = WANT_INFO;
    // In whatever state.
    request[HEAD + 4..HEAD + 8].copy_from_slice(&u32::MAX.to_ne_bytes());
    sendto(&socket, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut found = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (count, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        if read_messages(&buffer[..count], &mut found)? {
            return Ok(found);
        }
    }
}

/// Reads the messages of one datagram; whether they were the last.
fn read_messages(mut bytes: &[u8], found: &mut Vec<(u32, Arrived)>) -> io::Result<bool> {
    while let (Some(len), Some(kind)) = (u32_at(bytes, 0), u16_at(bytes, 4)) {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let Some(message) = bytes.get(HEAD..len) else { return Err(io::ErrorKind::InvalidData.into()) };
        match kind {
            DONE => return Ok(true),
            ERROR => return Err(io::ErrorKind::PermissionDenied.into()),
            _ => found.extend(read_socket(message)),
        }
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// One socket: its inode, and what the kernel has counted for it.
fn read_socket(message: &[u8]) -> Option<(u32, Arrived)> {
    let inode = u32_at(message, INODE_AT)?;
    let mut attributes = message.get(MESSAGE..)?;
    loop {
        let (len, kind) = (usize::from(u16_at(attributes, 0)?), u16_at(attributes, 2)?);
        let value = attributes.get(4..len)?;
        if kind == INFO {
            let bytes = value.get(BYTES_AT..BYTES_AT + 8)?.try_into().ok()?;
            let segments = u64::from(u32_at(value, SEGMENTS_AT)?);
            return Some((inode, Arrived { bytes: u64::from_ne_bytes(bytes), segments }));
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_arrives_at_sockets_of_this_process_is_counted_also_when_they_are_closed() {
        let mut sockets = Sockets::default();
        let me = [std::process::id()];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        let before = sockets.look(&me).unwrap();
        one.write_all(&[7; 1000]).unwrap();
        other.read_exact(&mut [0; 1000]).unwrap();
        let after = sockets.look(&me).unwrap();
        // Other tests have sockets in this process as well.
        assert!(after.bytes >= before.bytes + 1000, "{before:?} {after:?}");
        assert!(after.segments > before.segments);
        drop((one, other));
        assert!(sockets.look(&me).unwrap().bytes >= after.bytes, "what is closed is not forgotten");
    }

    #[test]
    fn sockets_of_others_are_not_counted_and_damaged_answers_are_no_panic() {
        assert_eq!(Sockets::default().look(&[]).unwrap(), Arrived::default());
        assert_eq!(read_socket(&[0; 80]), None);
        assert!(read_messages(&[255; 40], &mut Vec::new()).is_err());
        assert!(!read_messages(&[], &mut Vec::new()).unwrap());
    }
}
