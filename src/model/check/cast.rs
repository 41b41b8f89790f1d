//! Who plays, by which keys, on which board.

use crate::model::games::{GameSpec, Seat};
use crate::model::id::{MatchId, Name, UserId};
use crate::model::key::{SecretKey, ServerId};
use crate::model::message::MatchView;
use crate::model::sign::Signed;
use crate::model::statement::{Act, Base, Grant};
use crate::model::time::WallMs;
use crate::model::transcript::Transcript;

/// X, O, another device of X, another device of O.
pub(super) const DEVICES: [&str; 4] = ["X", "O", "X2", "O2"];
/// The one match.
pub(super) const MATCH: MatchId = MatchId([7; 16]);
/// X and O.
pub(super) const USERS: [UserId; 2] = [UserId([1; 16]), UserId([2; 16])];

/// The seat of a device.
pub(super) const fn seat_of(who: usize) -> Seat {
    if who.is_multiple_of(2) { Seat::X } else { Seat::O }
}

/// Signs for the server.
pub(super) fn server_key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

/// The match key that a device offers.
pub(super) fn key_of(who: usize) -> SecretKey {
    SecretKey::from_seed(&[100 + u8::try_from(who).unwrap(); 32])
}

pub(super) fn names() -> [Name; 2] {
    ["xenia", "oskar"].map(|name| Name::new(name).unwrap())
}

/// The first grant. Three columns, two rows, two in a row: X can win at ply 2, O at ply 3.
pub(super) fn first_grant() -> Signed<Grant> {
    let server = ServerId::of(&server_key().public());
    let grant = Grant {
        server,
        match_id: MATCH,
        epoch: 1,
        base: Base::NONE,
        users: USERS,
        keys: [key_of(0).public(), key_of(1).public()],
        game: GameSpec::named("3x2x2").unwrap(),
        settle_by: WallMs(u64::MAX),
    };
    Signed::by(&server_key(), &server, grant)
}

/// The match as the server shows it to a device that has no file of it.
pub(super) fn view() -> MatchView {
    MatchView { grant: first_grant(), names: names(), active: true, opponent_here: true }
}

/// The two moves that are looked at in a position: at ply 0 the corners on the left, then those on the right, then (of
/// either player) a cell beside one's own stone, which wins, and one that is not.
pub(super) fn words(chain: &Transcript, choice: u8) -> Option<[&'static str; 2]> {
    let cells: &[[&'static str; 2]] = match chain.plies() {
        0 => &[["1", "1"], ["2", "1"]],
        1 => &[["1", "3"], ["2", "3"]],
        2 => &[["1", "2"], ["1", "3"], ["2", "3"]],
        _ => &[["2", "2"], ["1", "1"], ["2", "1"]],
    };
    let free = |cell: &&[&'static str; 2]| chain.game().read(&cell[..]).is_ok();
    cells.iter().filter(free).nth(usize::from(choice)).copied()
}

/// The act of a choice: 0 and 1 are moves, 2 gives up.
pub(super) fn act(chain: &Transcript, choice: u8) -> Option<Act> {
    if choice == 2 {
        return Some(Act::Resign);
    }
    let words = words(chain, choice)?;
    chain.game().read(&words).ok().map(Act::Play)
}
