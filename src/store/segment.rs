//! Facts from the bytes of a segment onto a state: the one way in which a state is rebuilt, at start, for a snapshot and
//! for a check alike.

use std::path::Path;

use super::appender::Position;
use super::decode::{Misfit, decode_in_order};
use super::error::{Damage, StoreError};
use super::frame::{Place, Walked};
use super::header::Header;
use crate::model::id::Lsn;
use crate::model::replay::Replay;

/// A state, and what must come next in the journal.
pub(crate) struct Progress<S> {
    /// With every fact before `next`.
    pub(crate) state: S,
    /// The number of the next fact.
    pub(crate) next: Lsn,
    /// The checksum of the frame before it.
    pub(crate) chain: u32,
    /// The run of the server that wrote it.
    pub(crate) boot: u64,
}

impl<S: Replay> Progress<S> {
    /// Before the first fact.
    pub(crate) fn start() -> Self {
        Self { state: S::default(), next: Lsn(1), chain: 0, boot: 0 }
    }

    /// The number of the last fact.
    pub(crate) const fn last(&self) -> Lsn {
        Lsn(self.next.0 - 1)
    }

    /// Whether the segment `path` is the next.
    pub(crate) fn admit(&self, path: &Path, header: &Header) -> Result<(), StoreError> {
        let why = if header.first != self.next {
            Damage::Order { expected: self.next, found: header.first }
        } else if header.chain != self.chain {
            Damage::Chain
        } else if header.boot < self.boot {
            Damage::Boot { before: self.boot, found: header.boot }
        } else {
            return Ok(());
        };
        Err(StoreError::damaged(path, 0, why))
    }

    /// Applies the good frames of a segment that was admitted; `seen` is called after each with its last number.
    pub(crate) fn apply(
        &mut self,
        path: &Path,
        walked: &Walked<'_>,
        seen: &mut dyn FnMut(&mut S, Lsn),
    ) -> Result<(), StoreError> {
        let applied = decode_in_order::<S::Fact>(&walked.frames, |frame, facts| {
            facts.iter().try_for_each(|fact| self.state.apply(fact)).map_err(Damage::Unfit)?;
            self.next = frame.last().plus(1);
            self.chain = frame.crc;
            self.boot = frame.boot;
            seen(&mut self.state, frame.last());
            Ok(())
        });
        applied.map_err(|Misfit { at, why }| StoreError::damaged(path, at, why))
    }

    /// Where the next frame of a segment goes that was applied up to its last good byte.
    pub(crate) fn position(&self, header: &Header, walked: &Walked<'_>) -> Position {
        let place = Place { salt: header.salt, boot: self.boot.max(header.boot), first: self.next, before: self.chain };
        let items = self.next.0 - header.first.0;
        Position { place, len: walked.good as u64, frames: walked.frames.len() as u64, items }
    }
}
