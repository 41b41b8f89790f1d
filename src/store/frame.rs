//! Frames: bytes to and from checked, chained, numbered lists of items. Pure.
//!
//! A frame is good by itself if its length is possible and its checksum, which also covers the file's salt, is right.
//! [`walk`] asks for more: each frame continues the one before it. A frame of no items closes the file for good.

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use super::error::{Damage, StoreError};
use super::header::{HEADER_BYTES, Header};
use crate::model::id::Lsn;
use crate::mutant::{Mutant, is_on};

/// Size of a frame's head: length, checksum, run of the server, first number, checksum of the frame before.
pub const FRAME_HEAD_BYTES: usize = 28;
/// The largest body of a frame.
pub const FRAME_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Room for the count before the items of a body.
const COUNT_BYTES_MAX: usize = 10;
/// What the items of one frame may take.
pub(crate) const FRAME_ITEMS_BYTES_MAX: usize = FRAME_BODY_BYTES_MAX - COUNT_BYTES_MAX;

/// A good frame within the bytes of its file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// Where it begins in the file.
    pub(crate) at: usize,
    /// The run of the server that wrote it.
    pub(crate) boot: u64,
    /// The number of its first item.
    pub(crate) first: Lsn,
    /// How many items; none in the closing frame.
    pub(crate) count: u64,
    /// Its checksum.
    pub(crate) crc: u32,
    /// The checksum it says the frame before has.
    pub(crate) before: u32,
    /// The count and the items: what postcard calls a sequence.
    pub(crate) body: &'a [u8],
    /// The items, one after the other.
    pub(crate) items: &'a [u8],
}

/// Where a frame stands: what the writer knows and the reader checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The salt of the file.
    pub(crate) salt: u64,
    /// The run of the server.
    pub(crate) boot: u64,
    /// The number of the first item.
    pub(crate) first: Lsn,
    /// The checksum of the frame before.
    pub(crate) before: u32,
}

/// The items of the closing frame: how much the file holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seal {
    frames: u64,
    items: u64,
}

/// How the bytes of a file end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a good frame; more may be appended.
    Open,
    /// With the closing frame.
    Sealed,
    /// With bytes that are no frame and no frame after them: a write that was interrupted.
    Torn {
        /// The first bad byte.
        at: usize,
        /// What is wrong there.
        why: Damage,
    },
    /// Something else follows what does not fit: damage.
    Rotten {
        /// The first bad byte.
        at: usize,
        /// What is wrong there.
        why: Damage,
    },
}

/// What a file holds after its header, up to the first byte that does not fit.
#[derive(Debug)]
pub(crate) struct Walked<'a> {
    /// The frames of items, without the closing one.
    pub(crate) frames: Vec<Frame<'a>>,
    /// What comes after the last good frame.
    pub(crate) end: End,
    /// Where the next frame would stand.
    pub(crate) next: Place,
    /// How many bytes are good.
    pub(crate) good: usize,
}

impl<'a> Frame<'a> {
    /// The frame that begins at `at`, if a good one does.
    pub(crate) fn read(bytes: &'a [u8], at: usize, salt: u64) -> Result<Self, Damage> {
        let rest = bytes.get(at..).ok_or(Damage::Short)?;
        let (head, rest) = rest.split_first_chunk::<FRAME_HEAD_BYTES>().ok_or(Damage::Short)?;
        let len = u32::from_le_bytes(part(head, 0));
        let body_len = usize::try_from(len).map_err(|_| Damage::Length(len))?;
        if !(1..=FRAME_BODY_BYTES_MAX).contains(&body_len) {
            return Err(Damage::Length(len));
        }
        let body = rest.get(..body_len).ok_or(Damage::Short)?;
        let crc = u32::from_le_bytes(part(head, 4));
        if checksum(salt, head, &[body]) != crc && !is_on(Mutant::FrameChecksumUnchecked) {
            return Err(Damage::Checksum);
        }
        let (count, items) = postcard::take_from_bytes::<u64>(body).map_err(|_| Damage::Undecodable)?;
        let boot = u64::from_le_bytes(part(head, 8));
        let first = Lsn(u64::from_le_bytes(part(head, 16)));
        Ok(Self { at, boot, first, count, crc, before: u32::from_le_bytes(part(head, 24)), body, items })
    }

    /// The byte after it.
    pub(crate) const fn end(&self) -> usize {
        self.at + FRAME_HEAD_BYTES + self.body.len()
    }

    /// The number of its last item.
    pub(crate) const fn last(&self) -> Lsn {
        Lsn(self.first.0.saturating_add(self.count).saturating_sub(1))
    }
}

/// Appends the frame of `count` items, already encoded one after the other, and returns its checksum.
pub(crate) fn encode(to: &mut Vec<u8>, place: Place, count: u64, items: &[u8]) -> Result<u32, StoreError> {
    let too_large = || StoreError::TooLarge { bytes: items.len(), max: FRAME_ITEMS_BYTES_MAX };
    if items.len() > FRAME_ITEMS_BYTES_MAX {
        return Err(too_large());
    }
    let mut room = [0; COUNT_BYTES_MAX];
    let count = postcard::to_slice(&count, &mut room).map_err(|error| StoreError::Encode(error.to_string()))?;
    let len = u32::try_from(count.len() + items.len()).map_err(|_| too_large())?;
    let mut head = [0; FRAME_HEAD_BYTES];
    head[0..4].copy_from_slice(&len.to_le_bytes());
    head[8..16].copy_from_slice(&place.boot.to_le_bytes());
    head[16..24].copy_from_slice(&place.first.0.to_le_bytes());
    head[24..28].copy_from_slice(&place.before.to_le_bytes());
    let crc = checksum(place.salt, &head, &[count, items]);
    head[4..8].copy_from_slice(&crc.to_le_bytes());
    to.extend_from_slice(&head);
    to.extend_from_slice(count);
    to.extend_from_slice(items);
    Ok(crc)
}

/// Appends the closing frame of a file that holds `frames` frames with `items` items.
pub(crate) fn encode_seal(to: &mut Vec<u8>, place: Place, frames: u64, items: u64) -> Result<u32, StoreError> {
    encode(to, place, 0, &encoded(&Seal { frames, items })?)
}

/// The bytes of one item.
pub(crate) fn encoded<T: Serialize>(item: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_stdvec(item).map_err(|error| StoreError::Encode(error.to_string()))
}

/// Appends one item to others.
pub(crate) fn encode_item<T: Serialize + ?Sized>(to: &mut Vec<u8>, item: &T) -> Result<(), StoreError> {
    postcard::serialize_with_flavor(item, Tail(to)).map_err(|error| StoreError::Encode(error.to_string()))
}

/// Puts what is encoded at the end of others, run by run; postcard's own way to extend takes every byte by itself.
struct Tail<'a>(&'a mut Vec<u8>);

impl Flavor for Tail<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// All items of a frame, and nothing left over.
pub(crate) fn decode<T: for<'de> Deserialize<'de>>(frame: &Frame<'_>) -> Result<Vec<T>, Damage> {
    match postcard::take_from_bytes::<Vec<T>>(frame.body) {
        Ok((items, [])) => Ok(items),
        Ok(_) | Err(_) => Err(Damage::Undecodable),
    }
}

/// Reads the frames that follow the header.
pub(crate) fn walk<'a>(bytes: &'a [u8], header: &Header) -> Walked<'a> {
    let next = Place { salt: header.salt, boot: header.boot, first: header.first_item(), before: header.chain };
    let mut walked = Walked { frames: Vec::new(), end: End::Open, next, good: HEADER_BYTES };
    while walked.good < bytes.len() {
        match step(bytes, header, &mut walked) {
            Ok(true) => {}
            Ok(false) => return walked,
            Err(end) => {
                walked.end = end;
                return walked;
            }
        }
    }
    walked
}

/// The first good frame that begins after the bad byte `at`. Only numbers that can follow `next` are looked at, which
/// keeps the search fast: a fact takes at least one byte.
pub(crate) fn find_after<'a>(bytes: &'a [u8], at: usize, next: &Place) -> Option<Frame<'a>> {
    let numbers = next.first.0..=next.first.0.saturating_add(bytes.len() as u64);
    let possible = |at: &usize| {
        let first = bytes.get(at + 16..).and_then(<[u8]>::first_chunk::<8>);
        first.is_some_and(|first| numbers.contains(&u64::from_le_bytes(*first)))
    };
    (at + 1..bytes.len()).filter(possible).find_map(|at| Frame::read(bytes, at, next.salt).ok())
}

/// Takes the next frame; `false` after the closing one.
fn step<'a>(bytes: &'a [u8], header: &Header, walked: &mut Walked<'a>) -> Result<bool, End> {
    let at = walked.good;
    let next = walked.next;
    let frame = match Frame::read(bytes, at, next.salt) {
        Ok(frame) => frame,
        Err(why) if why != Damage::Undecodable && find_after(bytes, at, &next).is_none() => {
            return Err(End::Torn { at, why });
        }
        Err(why) if is_on(Mutant::RotTakenForTorn) => return Err(End::Torn { at, why }),
        Err(why) => return Err(End::Rotten { at, why }),
    };
    follows(&frame, &next).map_err(|why| End::Rotten { at, why })?;
    if frame.count > 0 {
        walked.next.boot = frame.boot;
        walked.next.first = Lsn(next.first.0.checked_add(frame.count).ok_or(End::Rotten { at, why: Damage::Seal })?);
        walked.next.before = frame.crc;
        walked.good = frame.end();
        walked.frames.push(frame);
        return Ok(true);
    }
    let seal = Seal { frames: walked.frames.len() as u64, items: next.first.0 - header.first_item().0 };
    match postcard::take_from_bytes::<Seal>(frame.items) {
        Ok((found, [])) if found == seal => {}
        Ok(_) | Err(_) => return Err(End::Rotten { at, why: Damage::Seal }),
    }
    if frame.end() < bytes.len() {
        return Err(End::Rotten { at: frame.end(), why: Damage::AfterSeal });
    }
    walked.good = frame.end();
    walked.end = End::Sealed;
    Ok(false)
}

/// Whether a frame, good by itself, was written next.
fn follows(frame: &Frame<'_>, next: &Place) -> Result<(), Damage> {
    if frame.first != next.first {
        return Err(Damage::Order { expected: next.first, found: frame.first });
    }
    if frame.before != next.before {
        return Err(Damage::Chain);
    }
    if frame.boot < next.boot {
        return Err(Damage::Boot { before: next.boot, found: frame.boot });
    }
    Ok(())
}

/// Covers the salt, all of the head but the checksum's own place, and the body.
fn checksum(salt: u64, head: &[u8; FRAME_HEAD_BYTES], body: &[&[u8]]) -> u32 {
    let crc = crc32c::crc32c(&salt.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &head[..4]);
    let crc = crc32c::crc32c_append(crc, &head[8..]);
    body.iter().fold(crc, |crc, part| crc32c::crc32c_append(crc, part))
}

/// The `N` bytes from `at`, which lie within the head.
fn part<const N: usize>(head: &[u8; FRAME_HEAD_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|offset| head[at + offset])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::header::Kind;

    fn header() -> Header {
        let (first, last) = (Lsn(5), Lsn(0));
        Header { kind: Kind::Journal, server: [7; 32], boot: 2, first, last, chain: 0xabc, salt: 99 }
    }

    /// A file of three frames with 1, 2 and 3 items, and where each frame begins.
    fn file(sealed: bool) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = header().encode().to_vec();
        let mut place = Place { salt: 99, boot: 2, first: Lsn(5), before: 0xabc };
        let mut starts = Vec::new();
        for count in 1..=3u64 {
            starts.push(bytes.len());
            let items = vec![count as u8; count as usize];
            place.before = encode(&mut bytes, place, count, &items).unwrap();
            place.first = place.first.plus(count);
        }
        if sealed {
            starts.push(bytes.len());
            encode_seal(&mut bytes, place, 3, 6).unwrap();
        }
        (bytes, starts)
    }

    #[test]
    fn the_bytes_of_a_frame_are_these_for_ever() {
        let mut bytes = Vec::new();
        let place = Place { salt: 99, boot: 2, first: Lsn(5), before: 0xabc };
        encode(&mut bytes, place, 2, &[1, 2]).unwrap();
        let golden = "030000001b80f76b02000000000000000500000000000000bc0a0000020102";
        assert_eq!(data_encoding::HEXLOWER.encode(&bytes), golden);
    }

    #[test]
    fn frames_are_read_back() {
        let (bytes, starts) = file(true);
        let walked = walk(&bytes, &header());
        assert_eq!(walked.end, End::Sealed);
        assert_eq!(walked.next.first, Lsn(11));
        assert_eq!(walked.good, bytes.len());
        assert_eq!(walked.frames.iter().map(|frame| frame.at).collect::<Vec<_>>(), starts[..3]);
        assert_eq!(decode::<u8>(&walked.frames[2]), Ok(vec![3, 3, 3]));
        assert_eq!(decode::<u16>(&walked.frames[2]), Ok(vec![3, 3, 3]));
        assert_eq!(decode::<(u8, u8)>(&walked.frames[2]), Err(Damage::Undecodable));
        assert_eq!(walk(&file(false).0, &header()).end, End::Open);
    }

    #[test]
    fn every_cut_is_torn_at_the_frame_it_hits() {
        let (bytes, starts) = file(true);
        for len in HEADER_BYTES..bytes.len() {
            let walked = walk(&bytes[..len], &header());
            let at = *starts.iter().rev().find(|start| **start <= len).unwrap();
            assert_eq!(walked.good, at, "cut to {len}");
            let whole = at == len;
            assert!(
                if whole { walked.end == End::Open } else { matches!(walked.end, End::Torn { .. }) },
                "cut to {len}"
            );
        }
    }

    #[test]
    fn every_flipped_bit_is_rot_unless_it_hits_the_last_frame() {
        let (bytes, starts) = file(false);
        for bit in HEADER_BYTES * 8..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let walked = walk(&bad, &header());
            let at = *starts.iter().rev().find(|start| **start <= bit / 8).unwrap();
            let torn = at == starts[2];
            assert_eq!(walked.good, at, "bit {bit}");
            assert!(if torn {
                matches!(walked.end, End::Torn { .. })
            } else {
                matches!(walked.end, End::Rotten { .. })
            });
        }
    }

    #[test]
    fn zeros_at_the_end_are_torn_and_zeros_before_a_frame_are_rot() {
        let (bytes, starts) = file(false);
        let longer = [bytes.clone(), vec![0; 5000]].concat();
        assert_eq!(walk(&longer, &header()).end, End::Torn { at: bytes.len(), why: Damage::Length(0) });
        let mut hole = bytes;
        hole[starts[1]..starts[2]].fill(0);
        assert_eq!(walk(&hole, &header()).end, End::Rotten { at: starts[1], why: Damage::Length(0) });
    }

    #[test]
    fn a_good_frame_of_another_place_is_rot() {
        let (bytes, starts) = file(false);
        let twice = [&bytes[..starts[1]], &bytes[starts[0]..]].concat();
        let why = Damage::Order { expected: Lsn(6), found: Lsn(5) };
        assert_eq!(walk(&twice, &header()).end, End::Rotten { at: starts[1], why });
        let chain = walk(&bytes, &Header { chain: 1, ..header() }).end;
        assert_eq!(chain, End::Rotten { at: starts[0], why: Damage::Chain });
        let boot = walk(&bytes, &Header { boot: 3, ..header() }).end;
        assert_eq!(boot, End::Rotten { at: starts[0], why: Damage::Boot { before: 3, found: 2 } });
        let (sealed, _) = file(true);
        let more = [&sealed[..], &[0]].concat();
        assert_eq!(walk(&more, &header()).end, End::Rotten { at: sealed.len(), why: Damage::AfterSeal });
    }

    #[test]
    fn bytes_inside_an_item_never_pass_for_a_frame_without_the_salt() {
        let mut bytes = header().encode().to_vec();
        let mut smuggled = Vec::new();
        let guess = Place { salt: 0, boot: 2, first: Lsn(6), before: 0 };
        encode(&mut smuggled, guess, 1, b"x").unwrap();
        let place = Place { salt: 99, boot: 2, first: Lsn(5), before: 0xabc };
        encode(&mut bytes, place, 1, &smuggled).unwrap();
        bytes[HEADER_BYTES] ^= 1;
        assert!(matches!(walk(&bytes, &header()).end, End::Torn { .. }));
    }

    #[test]
    fn a_body_has_a_limit() {
        let place = Place { salt: 0, boot: 0, first: Lsn(1), before: 0 };
        let mut bytes = Vec::new();
        assert!(encode(&mut bytes, place, 1, &vec![0; FRAME_ITEMS_BYTES_MAX]).is_ok());
        assert!(Frame::read(&bytes, 0, 0).is_ok());
        let error = encode(&mut bytes, place, 1, &vec![0; FRAME_ITEMS_BYTES_MAX + 1]).unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { .. }));
    }
}
