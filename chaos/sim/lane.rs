//! The two ways to run a world.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use rejoin::chaos::oracle::Violation;
use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use super::plan::{Kind, Plan};
use super::{full, pure};

/// How a world is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Lane {
    /// The machines alone, in one thread: for volume.
    Pure,
    /// The shells as well, with TLS, over a simulated network.
    Full,
}

/// A panic in a world fails it.
pub(crate) const PANIC: &str = "panic";

impl Lane {
    pub(crate) const ALL: [Self; 2] = [Self::Pure, Self::Full];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Full => "full",
        }
    }

    /// What a large enough run must have met.
    pub(crate) const fn sometimes(self) -> &'static [&'static str] {
        match self {
            Self::Pure => pure::SOMETIMES,
            Self::Full => full::SOMETIMES,
        }
    }

    /// Whether this lane knows how to break things so.
    pub(crate) const fn knows(self, kind: &Kind) -> bool {
        match self {
            Self::Pure => pure::knows(kind),
            Self::Full => full::knows(kind),
        }
    }

    /// Runs a world.
    pub(crate) fn run(self, plan: &Plan, trace: bool) -> Outcome {
        let ran = match self {
            Self::Pure => catch_unwind(AssertUnwindSafe(|| pure::run(plan, trace))),
            // What a thread remembers would reach the next world.
            Self::Full => thread::scope(|scope| {
                let world = thread::Builder::new().name("world".to_owned()).stack_size(STACK_BYTES);
                world.spawn_scoped(scope, || full::run(plan, trace)).expect("a thread can be started").join()
            }),
        };
        ran.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let why = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let why = why.unwrap_or_else(|| "without a word".to_owned());
            Outcome { violations: vec![Violation { invariant: PANIC.to_owned(), why }], ..Outcome::default() }
        })
    }
}

const STACK_BYTES: usize = 4 << 20;
