//! Two-player games whose matches survive the death of any machine in them.
//!
//! What must hold, everywhere: **an acknowledged move is never lost and never changed**. A match has three keepers, the
//! state directories of the two players and of the server; a move is acknowledged when two of them have it on disk.
//!
//! # The map
//!
//! ```text
//! model    pure: games, transcript, evidence, facts, engine, player, peer    no IO, clock, randomness or tasks
//! wire     pure: bytes to messages and back
//! store    files: journal, snapshots, archive, recovery                through `trait Disk`
//! net      listening, dialling, TLS, who a server is, TLS between two players    through `trait Net`
//! ops      names of events, the log, the machine's clock and entropy
//! server   tokio around the engine         client   tokio around the player; its files; the prompt
//! chaos    histories, and an oracle that judges them by its own rules    (plain types; for the simulation in `chaos/`)
//! cli      one file a subcommand           main.rs  parse, run, exit code
//! ```
//!
//! A module uses only those above it. `wire`, `store` and `net` do not know each other; neither do `server` and
//! `client`. Disk, network, clock, randomness and password hashing are passed in by `cli`, so a test passes others.
//!
//! # The rules of the house
//!
//! - A machine takes inputs and the time and gives effects, plain data all; a shell carries them out in order.
//! - Facts change the state and nothing else does: `apply` of [`model::state::State`] is the only writer,
//!   and recovery calls the same function.
//! - Nothing leaves before the facts it rests on are on disk.
//! - Histories of a match meet in one place: [`model::evidence::Evidence::merge`].
//! - A signature that was checked is a type: [`model::sign::Verified`].
//! - Everything has a limit with a name, in [`model::limits`].
//!
//! # Ten minutes
//!
//! 1. [`model::statement`]: grant, entry, receipt, verdict, what is signed. [`model::transcript`] chains the entries,
//!    [`model::evidence`] holds all that one keeper knows, and says who has won.
//! 2. [`model::client::table`]: one match at one player; its `keeper` is what the other keepers say, whichever way it
//!    came. [`model::client::supervisor`]: how the link to the server is kept; [`model::client::peer`]: the direct path to
//!    the opponent; [`model::client::delay`]: the round trips of either. [`model::client::player`]: all of it together,
//!    and what is typed; its `direct` decides which way things go and what is said about it.
//! 3. [`model::engine`]: the server. A request becomes, by [`model::decide`], a refusal or [`model::fact::Fact`]s.
//! 4. [`model::message`] and [`wire`]: what client and server say to each other; `docs/protocol.md` tells it in order.
//! 5. [`store`]: the bytes on disk, what a crash may leave of them, and what is damage.
//! 6. [`server`] and [`client`]: sockets, threads and files around the two machines; `client/shell/meeting.rs` holds the
//!    sockets of the direct path. [`net::peer`]: TLS between two players, each known by the key in the grant;
//!    [`net::candidates`]: the addresses a player offers.
//! 7. `src/model/world.rs`: the real engine and real players in one thread, with everything breaking, from a seed.
//!    `chaos/` in the repository is the same with files, shells, TLS and the network; [`chaos`] judges it.
//!
//! A new game is one file that implements [`model::games::Game`].

pub mod chaos;
pub mod cli;
pub mod client;
pub mod model;
#[doc(hidden)]
pub mod mutant;
pub mod net;
pub mod ops;
pub mod server;
pub mod store;
pub mod wire;
