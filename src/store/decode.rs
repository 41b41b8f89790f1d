//! Decoding on several threads, taking in order on one.
//!
//! The work is cut into units of whole frames. Decoder `n` of `k` does the units `n`, `n + k`, … and the taker asks the
//! decoders in turn, so that no unit has to be put back into order. The queues between them are short: a decoder never
//! runs far ahead.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use serde::de::DeserializeOwned;

use super::error::Damage;
use super::frame::{Frame, decode};

/// Decoding threads at most.
const DECODERS_MAX: usize = 8;
/// Frames are handed to a thread in units of at least this many bytes.
const UNIT_BYTES: usize = 256 * 1024;
/// Units a decoder may be ahead of the taker.
const AHEAD_MAX: usize = 2;

/// A frame that is good by itself and means nothing here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// Where the frame begins in its file.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) why: Damage,
}

type Unit<T> = Result<Vec<Vec<T>>, Misfit>;

/// Decodes all frames and gives each with its items to `take`, in order, until one fails.
pub(crate) fn decode_in_order<T: DeserializeOwned + Send>(
    frames: &[Frame<'_>],
    mut take: impl FnMut(&Frame<'_>, Vec<T>) -> Result<(), Damage>,
) -> Result<(), Misfit> {
    let units = units(frames);
    let mut take_unit = |unit: &[Frame<'_>], lists: Vec<Vec<T>>| {
        let mut pairs = unit.iter().zip(lists);
        pairs.try_for_each(|(frame, items)| take(frame, items).map_err(|why| Misfit { at: frame.at, why }))
    };
    // Most files are one unit, and to ask how many threads there may be costs more than to decode one of those.
    let decoders = match units.len() {
        0 | 1 => 1,
        units => thread::available_parallelism().map_or(1, usize::from).min(DECODERS_MAX).min(units),
    };
    if decoders <= 1 {
        return units.iter().try_for_each(|unit| take_unit(unit, decode_unit(unit)?));
    }
    thread::scope(|scope| {
        let lanes: Vec<Receiver<Unit<T>>> = (0..decoders)
            .map(|lane| {
                let (to, from) = sync_channel(AHEAD_MAX);
                let mine = units.iter().skip(lane).step_by(decoders);
                let work = move || {
                    for unit in mine {
                        // The taker has stopped at an error.
                        let Ok(()) = to.send(decode_unit(unit)) else { return };
                    }
                };
                // Without the thread its lane is closed, and the taker does the work.
                let _started = thread::Builder::new().spawn_scoped(scope, work);
                from
            })
            .collect();
        units.iter().zip(lanes.iter().cycle()).try_for_each(|(unit, lane)| {
            let lists = lane.recv().unwrap_or_else(|_closed| decode_unit(unit));
            take_unit(unit, lists?)
        })
    })
}

/// Consecutive frames, together large enough to be worth a hand-over.
fn units<'f, 'a>(mut frames: &'f [Frame<'a>]) -> Vec<&'f [Frame<'a>]> {
    let mut units = Vec::new();
    while !frames.is_empty() {
        let mut bytes = 0;
        let more = |frame: &Frame<'_>| {
            bytes += frame.body.len();
            bytes >= UNIT_BYTES
        };
        let len = frames.iter().position(more).map_or(frames.len(), |last| last + 1);
        let (unit, rest) = frames.split_at(len);
        units.push(unit);
        frames = rest;
    }
    units
}

fn decode_unit<T: DeserializeOwned>(unit: &[Frame<'_>]) -> Unit<T> {
    let lists = unit.iter().map(|frame| decode(frame).map_err(|why| Misfit { at: frame.at, why }));
    lists.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Lsn;

    /// A frame of `count` bytes of the value `first`.
    fn body(first: u8, count: usize) -> Vec<u8> {
        [postcard::to_stdvec(&count).unwrap(), vec![first; count]].concat()
    }

    fn frames(bodies: &[Vec<u8>]) -> Vec<Frame<'_>> {
        let frame = |(at, body): (usize, &'_ Vec<u8>)| (at, body.len());
        let places: Vec<_> = bodies.iter().enumerate().map(frame).collect();
        let made = places.iter().zip(bodies).map(|((at, _), body)| Frame {
            at: *at,
            boot: 1,
            first: Lsn(*at as u64),
            count: 1,
            crc: 0,
            before: 0,
            body,
            items: body,
        });
        made.collect()
    }

    #[test]
    fn units_are_taken_in_order_whatever_their_size() {
        let bodies: Vec<_> = (0..100u8).map(|n| body(n, 1 + usize::from(n) * 2_000)).collect();
        let mut seen = Vec::new();
        let frames = frames(&bodies);
        assert!(units(&frames).len() > 8);
        decode_in_order::<u8>(&frames, |frame, items| {
            assert!(items.iter().all(|item| u64::from(*item) == frame.first.0));
            seen.push((frame.at, items.len()));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, (0..100).map(|n| (n, 1 + n * 2_000)).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_misfit_ends_it_and_no_thread_hangs() {
        let mut bodies: Vec<_> = (0..100u8).map(|n| body(n, 100_000)).collect();
        bodies[50].push(0);
        let mut taken = 0;
        let count = |_: &Frame<'_>, _: Vec<u8>| {
            taken += 1;
            Ok(())
        };
        let misfit = decode_in_order::<u8>(&frames(&bodies), count).unwrap_err();
        assert_eq!(misfit, Misfit { at: 50, why: Damage::Undecodable });
        assert!((45..=50).contains(&taken), "{taken}");
        let refuse = |_: &Frame<'_>, _: Vec<u8>| Err(Damage::Foreign);
        assert_eq!(decode_in_order::<u8>(&frames(&bodies), refuse).unwrap_err().at, 0);
    }
}
