//! Whole worlds in one thread, from a plan.

pub(crate) mod finals;
pub(crate) mod full;
pub(crate) mod human;
#[cfg_attr(not(all(target_os = "linux", target_arch = "x86_64")), path = "interposer/absent.rs")]
pub(crate) mod interposer;
pub(crate) mod outcome;
pub(crate) mod plan;
