//! The one match of a world, as its tests play and look at it.

use crate::model::client::command::Typed;
use crate::model::client::event::Event;
use crate::model::evidence::Evidence;
use crate::model::world::World;

/// Lets whoever can make this move do so.
pub(super) fn play(world: &mut World, (row, col): (u16, u16)) {
    let mover = (0..world.clients.len()).find(|number| {
        let table = world.clients[*number].player.table();
        table.is_some_and(|table| table.key().is_some() && table.evidence.chain.turn() == Some(table.seat()))
    });
    let mover = mover.expect("somebody can move");
    let plies = |world: &World| world.clients[mover].player.table().unwrap().evidence.chain.plies();
    let before = plies(world);
    world.type_in(mover, Typed::Send(vec![row.to_string(), col.to_string()]));
    assert_eq!(plies(world), before + 1, "{:?}", world.clients[mover].shown.last());
    world.settle();
}

/// Of the newest grant of the server's only open match.
pub(super) fn epoch(world: &World) -> u32 {
    evidence(world).chain.grant().epoch
}

/// What the server holds about its only open match.
pub(super) fn evidence(world: &World) -> Evidence {
    let state = world.recovered();
    let mut games = state.games();
    let of = games.next().expect("there is one").evidence.clone();
    assert!(games.next().is_none(), "there is only one");
    of
}

/// Everybody's points, sorted.
pub(super) fn points(world: &World) -> Vec<u32> {
    let state = world.recovered();
    let mut points: Vec<u32> = state.accounts().map(crate::model::account::Account::points).collect();
    points.sort_unstable();
    points
}

/// The recorded outcome that each of those who were shown one was shown last, sorted.
pub(super) fn results(world: &World) -> Vec<String> {
    let recorded = |event: &Event| match event {
        Event::Result { outcome, recorded: true, .. } => Some(format!("{outcome:?}")),
        _ => None,
    };
    let mut shown: Vec<String> =
        world.clients.iter().filter_map(|client| client.shown.iter().rev().find_map(recorded)).collect();
    shown.sort_unstable();
    shown
}
