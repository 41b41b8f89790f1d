//! Whole worlds in one thread, from a plan.

pub(crate) mod batch;
pub(crate) mod broken;
mod full;
pub(crate) mod human;
#[cfg_attr(not(all(target_os = "linux", target_arch = "x86_64")), path = "interposer/absent.rs")]
pub(crate) mod interposer;
pub(crate) mod lane;
pub(crate) mod outcome;
pub(crate) mod plan;
pub(crate) mod points;
mod pure;
pub(crate) mod regression;
pub(crate) mod report;
pub(crate) mod same;
pub(crate) mod shrink;
pub(crate) mod swarm;
