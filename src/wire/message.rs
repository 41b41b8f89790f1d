//! Messages out of frames.

use serde::{Serialize, de::DeserializeOwned};

use super::frame::{Frame, frame};
use crate::model::message::{ToClient, ToPeer, ToServer};

/// A set of messages that travels.
pub trait Wire: Serialize + DeserializeOwned {
    /// How many kinds there are.
    const KINDS: u8;
}

impl Wire for ToServer {
    const KINDS: u8 = 9;
}

impl Wire for ToClient {
    const KINDS: u8 = 21;
}

impl Wire for ToPeer {
    const KINDS: u8 = 4;
}

/// What a frame held.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded<M> {
    /// A message.
    Message(M),
    /// A kind that is not known here.
    Unknown(u8),
}

/// A frame that holds no message of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of kind {kind} that holds no such message")]
pub struct MessageError {
    /// The kind.
    pub kind: u8,
}

/// The frame of a message.
///
/// # Panics
/// Never for the messages of this protocol: they have no parts that postcard cannot encode.
#[must_use]
pub fn encode<M: Wire>(message: &M) -> Vec<u8> {
    let bytes = postcard::to_allocvec(message).expect("every message can be encoded");
    debug_assert!(bytes[0] < M::KINDS, "the kind is one byte and counted");
    frame(&bytes)
}

/// The message of a frame; nothing may be left over.
///
/// # Errors
/// [`MessageError`] for a body that is not of its kind.
pub fn decode<M: Wire>(frame: &Frame) -> Result<Decoded<M>, MessageError> {
    let kind = *frame.message.first().expect("a frame has a kind");
    if kind >= M::KINDS {
        return Ok(Decoded::Unknown(kind));
    }
    match postcard::take_from_bytes(&frame.message) {
        Ok((message, [])) => Ok(Decoded::Message(message)),
        Ok(_) | Err(_) => Err(MessageError { kind }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::limits::FRAME_BYTES_STRANGER_MAX;
    use crate::wire::Decoder;

    #[test]
    fn an_unknown_kind_is_told_apart_from_damage() {
        let unknown = Frame { message: vec![99, 1, 2, 3] };
        assert_eq!(decode::<ToServer>(&unknown), Ok(Decoded::Unknown(99)));
        let leftover = Frame { message: postcard::to_allocvec(&ToServer::Ping(1)).unwrap().repeat(2) };
        assert!(decode::<ToServer>(&leftover).is_err(), "nothing may be left over");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200_000))]

        /// Whatever comes: no panic, and never more memory than the limit and one read.
        #[test]
        fn hostile_bytes_never_panic(
            kind in 0u8..24,
            body in proptest::collection::vec(any::<u8>(), 0..48),
            raw in any::<bool>(),
        ) {
            let mut message = vec![kind];
            message.extend_from_slice(&body);
            let bytes = if raw { message } else { frame(&message) };
            let mut decoder = Decoder::new(FRAME_BYTES_STRANGER_MAX);
            decoder.feed(&bytes);
            while let Ok(Some(frame)) = decoder.next_frame() {
                let _ = decode::<ToServer>(&frame);
                let _ = decode::<ToClient>(&frame);
                let _ = decode::<ToPeer>(&frame);
            }
        }
    }
}
