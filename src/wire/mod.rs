//! Bytes to messages and back. Pure; no input panics or makes it allocate more than the frame limit.
//!
//! ```text
//!  0        4        8         9      10
//!  | len u32 | crc u32 | version | kind | body: len bytes |        little endian
//! ```
//!
//! `crc` is CRC-32C over version, kind and body. `kind` is the place of the message in its enum, and kind and body
//! together are its postcard encoding. A frame of another version is answered with `UpgradeRequired`, an unknown kind
//! with `Unsupported`; any other fault ends the connection.

mod frame;
mod message;

pub use frame::{Decoder, Frame, FrameError, HEADER_BYTES};
pub use message::{Decoded, MessageError, Wire, decode, encode};

/// The version of the frame and of the messages in it.
pub const VERSION: u8 = 2;
/// The oldest version of the messages spoken here.
pub const VERSION_MIN: u16 = 2;
/// The newest.
pub const VERSION_MAX: u16 = 2;
