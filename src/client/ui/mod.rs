//! What a person sees and types.
pub mod board;
