//! Files: journal, snapshots, recovery. Everything goes through `trait Disk`, everything that fails is a `StoreError`.
//!
//! Invariant: what was acknowledged (an append that returned) is in every state that is ever recovered, exactly once and
//! batches whole, as far as the disk keeps what it has synced; and what cannot be so is an error that names file, byte
//! and repair, never a shorter answer.
//!
//! # The files of a state directory
//!
//! ```text
//! lock                          held by the running server
//! journal-FIRST.log             facts from number FIRST on; the last is open, the others are sealed
//! snapshot-LAST.snap            the state after fact LAST; two are kept, LAST always ends a segment
//! archive-FIRST-LAST.arc        what retired in these facts; no gap from fact 1 to the newest snapshot
//! reserve                       space for what was decided when the disk fills up (the server's)
//! restored                      the directory came from a backup (empty)
//! unfinished-copy               a backup or restore into the directory is not finished (empty)
//! *.tmp                         in the making; removed by recovery
//! damaged-N/                    originals of repaired files
//! ```
//!
//! # The bytes, format version 2
//!
//! All files are a header and frames; numbers are little endian.
//!
//! ```text
//! header   magic 8 | version u16 | !version u16 | server id 32 | boot u64 | first u64 | last u64 | chain u32 | salt u64
//!          | crc32c u32 of the 80 bytes before                                                         84 bytes
//! frame    body length u32 | crc32c u32 | boot u64 | first number u64 | crc32c of the frame before u32 28 bytes
//!          | body: count and items as postcard writes a sequence                                       at most 4 MiB
//! ```
//!
//! The checksum of a frame covers the salt of its file, its head without the checksum, and its body. A frame without
//! items closes the file and counts its frames and items. `chain` is the checksum of the last frame of facts before
//! `first` (journal) or up to `last` (snapshot). Magic: `rejoinJN` journal, `rejoinSN` snapshot, `rejoinAR` archive,
//! `rejoinRC` record log. The version stands at the same place in all versions to come.
//!
//! # What tells damage from a crash
//!
//! A header is durable before a frame follows it; a segment's closing frame is durable before its successor gets frames;
//! a frame is durable before the next one is written; snapshots and archives are whole before they get their name. So a
//! crash can only leave a bad end of the last segment with frames, after which nothing good comes, or a last segment
//! without frames. Everything else is damage.
//!
//! One thing files alone cannot tell: the last segment, cut or overwritten within its last frame, looks like a crash, and
//! cut between two frames it looks like a moment in the past. Recovery says how many bytes it cut and what the last number
//! is; whoever remembers a higher number elsewhere knows.
//!
//! # What is assumed of a disk
//!
//! Synced bytes stay until they rot, and rot shows in a checksum. `rename` is atomic. Names are durable after the
//! directory is synced. After a failed sync nothing is known of the unsynced bytes. Cutting a file and syncing it cuts it
//! for good. A fact takes at least one byte.

mod appender;
mod archive;
mod backup;
mod check;
mod decode;
pub mod disk;
mod error;
#[doc(hidden)]
pub mod faulty;
mod frame;
mod header;
mod journal;
mod log;
mod names;
mod recovery;
mod repair;
mod sealed;
mod segment;
mod snapshot;
mod snapshotter;
#[doc(hidden)]
pub mod toy;
mod view;

pub use archive::read_archive;
pub use backup::{backup, restore};
pub use check::{Report, check};
pub use disk::{Disk, DiskFile, DiskLock, HostDisk};
pub use error::{Damage, StoreError};
pub use frame::{FRAME_BODY_BYTES_MAX, FRAME_HEAD_BYTES};
pub use header::{FORMAT_VERSION, HEADER_BYTES};
pub use journal::{Journal, SEGMENT_BYTES, Settings};
pub use log::{OpenedLog, RecordLog};
pub use names::{LOCK, RESTORED};
pub use recovery::{Note, Recovered, recover};
pub use repair::{Plan, plan_repair, repair};
pub use snapshotter::{SEALED_MIN, Snapshotter, Step};
pub use view::{View, view};
