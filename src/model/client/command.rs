//! What a player types.

use crate::model::games::GameSpec;
use crate::model::id::{MatchId, Name};
use crate::model::password::Password;

/// One command, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// `adduser NAME PASSWORD`
    AddUser(Name, Password),
    /// `login NAME PASSWORD`
    Login(Name, Password),
    /// `passwd OLD NEW`
    Passwd(Password, Password),
    /// `logout`
    Logout,
    /// `leaders`
    Leaders,
    /// `list`
    List,
    /// `begin NAME [GAME]`
    Begin(Name, GameSpec),
    /// `accept [NAME]`
    Accept(Option<Name>),
    /// `decline [NAME]`
    Decline(Option<Name>),
    /// `send ROW COL`
    Send(Vec<String>),
    /// `board`
    Board,
    /// `delay`
    Delay,
    /// `end`
    End,
    /// `leave`
    Leave,
    /// `rematch`
    Rematch,
    /// `status`
    Status,
    /// Typed by nobody: asks for the seat in a match whose key is not here.
    TakeSeat(MatchId),
}

impl Typed {
    /// The first word, as it is in replies.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::AddUser(..) => "adduser",
            Self::Login(..) => "login",
            Self::Passwd(..) => "passwd",
            Self::Logout => "logout",
            Self::Leaders => "leaders",
            Self::List => "list",
            Self::Begin(..) => "begin",
            Self::Accept(_) => "accept",
            Self::Decline(_) => "decline",
            Self::Send(_) => "send",
            Self::Board => "board",
            Self::Delay => "delay",
            Self::End => "end",
            Self::Leave => "leave",
            Self::Rematch => "rematch",
            Self::Status => "status",
            Self::TakeSeat(_) => "take-seat",
        }
    }
}
