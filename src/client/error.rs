//! Why a client ends other than by the player's wish.

use std::io;
use std::path::PathBuf;

use crate::model::id::Name;
use crate::model::key::ServerId;
use crate::net::known::BadLine;
use crate::net::tls::TlsError;
use crate::net::trust::TrustError;
use crate::store::StoreError;

/// Why a client ends. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody answered, and there is no match to wait for.
    #[error(
        "no server can be reached at {address}: {why}\nThe usual causes: the server is not running; the port is \
         another one; a firewall is in between; or the server listens on another address (see its --listen)"
    )]
    Unreachable {
        /// What was typed.
        address: String,
        /// What came of the last attempt.
        why: String,
    },
    /// It is not the server that is meant, or nobody has said that it is.
    #[error(transparent)]
    Trust(Box<TrustError>),
    /// The server could not prove that it has the key it shows.
    #[error("whoever answers at {address} cannot prove to be the server {id}; somebody may stand between you and it")]
    Proof {
        /// What was typed.
        address: String,
        /// Who it claims to be.
        id: ServerId,
    },
    /// The certificate is not what `--ca` asks for.
    #[error(
        "{why}\nIf {address} is right, give the ca.pem of this server with --ca, or leave --ca out and trust the \
         server by its id"
    )]
    Certificate {
        /// What was typed.
        address: String,
        /// What is wrong with it.
        why: TlsError,
    },
    /// Another server has taken the place of the one whose session is open.
    #[error(
        "another server answers at {address}: it was\n  {was}\nand is\n  {is}\nThe sessions and matches of the old one \
         are not shown to it; they stay in {state}"
    )]
    OtherServer {
        /// What was typed.
        address: String,
        /// Whose files are open.
        was: ServerId,
        /// Who answers.
        is: ServerId,
        /// Where the files are.
        state: PathBuf,
    },
    /// Client and server are of different times.
    #[error(
        "this program speaks protocol versions {} to {}, the server {min} to {max}: {}",
        crate::wire::VERSION_MIN,
        crate::wire::VERSION_MAX,
        older(*.max)
    )]
    Version {
        /// The oldest version the server speaks.
        min: u16,
        /// The newest.
        max: u16,
    },
    /// The disk failed, or a file on it is damaged. What is said to be on disk is there; nothing after it has left.
    #[error("{0}\nStart again when the disk is in order; what was acknowledged is safe with the other keepers too")]
    Storage(#[from] StoreError),
    /// The device key of a user is not what was written.
    #[error("{} is damaged; rename it, then log in again with the password", path.display())]
    DeviceKey {
        /// The file.
        path: PathBuf,
    },
    /// A line of `known_servers` cannot be read.
    #[error("{}: {why}", path.display())]
    KnownServers {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: BadLine,
    },
    /// The file of `--ca` cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// TLS cannot be set up with this authority or provider.
    #[error(transparent)]
    Tls(TlsError),
    /// Another client uses the files of this user.
    #[error("{user} is in use by another window on this machine; close it, or play as somebody else with --user NAME")]
    InUse {
        /// Who.
        user: Name,
    },
}

impl ClientError {
    /// The exit code of the program.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } => 4,
            Self::Trust(_) | Self::Proof { .. } | Self::Certificate { .. } | Self::OtherServer { .. } => 5,
            Self::Version { .. } => 6,
            Self::InUse { .. } => 8,
            Self::Storage(_)
            | Self::DeviceKey { .. }
            | Self::KnownServers { .. }
            | Self::Authority { .. }
            | Self::Tls(_) => 1,
        }
    }
}

impl From<TrustError> for ClientError {
    fn from(error: TrustError) -> Self {
        Self::Trust(Box::new(error))
    }
}

/// Which side is to be brought up to date.
const fn older(server_max: u16) -> &'static str {
    if server_max < crate::wire::VERSION_MIN {
        "the server is too old; ask its operator to bring it up to date"
    } else {
        "this program is too old; bring it up to date"
    }
}
