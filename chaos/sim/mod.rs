//! Whole worlds in one thread, from a plan.

pub(crate) mod finals;
pub(crate) mod human;
pub(crate) mod outcome;
pub(crate) mod plan;
pub(crate) mod pure;
pub(crate) mod try_pure;
