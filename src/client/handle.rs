//! What a user interface holds of a running client.

use std::path::PathBuf;

use crate::model;
use crate::model::key::ServerId;

pub use super::error::ClientError;

/// A running client. It ends when `commands` is dropped. Keep reading `events`: a client whose events are not read
/// stands still.
pub struct ClientHandle {
    /// What the player wants; 16 may wait.
    pub commands: tokio::sync::mpsc::Sender<Order>,
    /// What the player is shown.
    pub events: tokio::sync::mpsc::Receiver<model::client::event::Event>,
    /// Where the player is.
    pub status: tokio::sync::watch::Receiver<model::client::event::Status>,
    /// Whether to trust a server that was never met.
    pub questions: tokio::sync::mpsc::Receiver<Question>,
    /// How it ended.
    pub end: tokio::task::JoinHandle<Result<(), ClientError>>,
}

/// What the player wants.
#[derive(Debug)]
pub enum Order {
    /// A command.
    Typed(model::client::command::Typed),
    /// The current or last match as a file: at this path, or under its own name in the current directory.
    Export(Option<PathBuf>),
}

/// Is this the server that is meant?
#[derive(Debug)]
pub struct Question {
    /// What was typed.
    pub address: String,
    /// Who answered, to compare with what the operator says.
    pub id: ServerId,
    /// The answer; dropping it is a no.
    pub answer: tokio::sync::oneshot::Sender<bool>,
}
