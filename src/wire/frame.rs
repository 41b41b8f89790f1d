//! Frames out of a stream of bytes.

use super::VERSION;

/// Bytes before the body.
pub const HEADER_BYTES: usize = 10;
const CRC_AT: usize = 4;
const VERSION_AT: usize = 8;
const KIND_AT: usize = 9;

/// One whole frame, checksum checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Kind and body.
    pub message: Vec<u8>,
}

/// Bytes that are no frame. The stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The body is longer than allowed.
    #[error("a frame of {len} bytes was announced; {limit} are allowed")]
    TooLong {
        /// As announced.
        len: usize,
        /// As allowed.
        limit: usize,
    },
    /// The frame is of another version.
    #[error("a frame of version {version}; version {VERSION} is spoken here")]
    Version {
        /// As announced.
        version: u8,
    },
    /// The checksum is wrong.
    #[error("a frame with a wrong checksum")]
    Checksum,
}

/// Collects bytes and cuts them into frames.
#[derive(Clone, Debug)]
pub struct Decoder {
    limit: usize,
    buffer: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Frames with bodies of at most `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, buffer: Vec::new(), start: 0 }
    }

    /// Another limit from the next frame on.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes bytes as they come; call [`next_frame`](Self::next_frame) until `None` after each.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether part of a frame waits for its rest.
    #[must_use]
    pub const fn is_midway(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// [`FrameError`]: nothing more can be read from this stream.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let bytes = &self.buffer[self.start..];
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let len = u32_at(header, 0) as usize;
        if header[VERSION_AT] != VERSION {
            return Err(FrameError::Version { version: header[VERSION_AT] });
        }
        if len > self.limit {
            return Err(FrameError::TooLong { len, limit: self.limit });
        }
        let Some(bytes) = bytes.get(..HEADER_BYTES + len) else { return Ok(None) };
        if crc32c::crc32c(&bytes[VERSION_AT..]) != u32_at(header, CRC_AT) {
            return Err(FrameError::Checksum);
        }
        let message = bytes[KIND_AT..].to_vec();
        self.start += HEADER_BYTES + len;
        Ok(Some(Frame { message }))
    }
}

/// The bytes of a frame around a message (its kind and body).
pub(super) fn frame(message: &[u8]) -> Vec<u8> {
    let body = message.len().saturating_sub(1);
    let len = u32::try_from(body).expect("messages are far smaller than 4 GiB");
    let mut bytes = Vec::with_capacity(KIND_AT + message.len());
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.push(VERSION);
    bytes.extend_from_slice(message);
    let crc = crc32c::crc32c(&bytes[VERSION_AT..]);
    bytes[CRC_AT..VERSION_AT].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_however_the_bytes_are_cut() {
        let stream: Vec<u8> = [frame(b"\x01hello"), frame(b"\x02"), frame(&[3; 100])].concat();
        for step in 1..stream.len() {
            let mut decoder = Decoder::new(100);
            let mut messages = Vec::new();
            for part in stream.chunks(step) {
                decoder.feed(part);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    messages.push(frame.message);
                }
            }
            assert_eq!(messages, [b"\x01hello".to_vec(), vec![2], vec![3; 100]]);
            assert!(!decoder.is_midway());
        }
    }

    #[test]
    fn a_length_of_4_gib_is_refused_before_anything_is_allocated() {
        let mut decoder = Decoder::new(16);
        decoder.feed(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, VERSION, 0]);
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLong { len: 0xffff_ffff, limit: 16 }));
        assert!(decoder.buffer.capacity() < 64);
    }

    #[test]
    fn the_limit_is_exact() {
        for (limit, good) in [(9, false), (10, true)] {
            let mut decoder = Decoder::new(limit);
            decoder.feed(&frame(&[1; 11]));
            assert_eq!(decoder.next_frame().is_ok(), good);
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let good = frame(b"\x05some body");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let mut decoder = Decoder::new(100);
            decoder.feed(&bad);
            assert!(!matches!(decoder.next_frame(), Ok(Some(_))), "bit {bit}");
        }
    }
}
