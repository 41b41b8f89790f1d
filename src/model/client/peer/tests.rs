//! The numbers at their edges, one peer at a time.

use super::*;
use crate::model::limits::{PEER_CANDIDATES_MAX, PEER_DIALS_MAX, WAKE_PAUSE};

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn addrs(count: u16) -> Vec<SocketAddr> {
    (0..count).map(addr).collect()
}

fn effects(peer: &mut Peer) -> Vec<Effect> {
    std::iter::from_fn(|| peer.poll_effect()).collect()
}

fn dialled(effects: &[Effect]) -> Vec<SocketAddr> {
    let dials = effects.iter().filter_map(|effect| if let Effect::Dial(_, addr) = effect { Some(*addr) } else { None });
    dials.collect()
}

/// A peer that dials `count` addresses from time 0 on.
fn dialling(chooser: bool, count: u16) -> Peer {
    let mut peer = Peer::new(Now(0), 1, chooser);
    peer.candidates(Now(0), addrs(count));
    peer
}

/// A connection is accepted, and its first echo answered, both at `at`.
fn accept(peer: &mut Peer, at: u64, conn: u64) -> Vec<Effect> {
    peer.opened(Now(at), PeerConn(conn), None);
    peer.heard(Now(at), PeerConn(conn), Some(Frame::Echoed(1)));
    effects(peer)
}

/// A peer without addresses that is up on connection 1 since `at`.
fn up(chooser: bool, at: u64) -> Peer {
    let mut peer = Peer::new(Now(0), 1, chooser);
    accept(&mut peer, at, 1);
    assert_eq!(peer.conn(), Some(PeerConn(1)));
    peer
}

/// Runs on until `end`, the opponent answering every echo on `live` at once; what was to be done besides.
fn run(peer: &mut Peer, end: u64, live: &[u64]) -> Vec<(u64, Effect)> {
    let mut all = Vec::new();
    loop {
        let now = peer.poll_timeout();
        if now.0 > end {
            return all;
        }
        peer.handle_timeout(now);
        while let Some(effect) = peer.poll_effect() {
            match effect {
                Effect::Send(conn, Frame::Echo(number)) if live.contains(&conn.0) => {
                    peer.heard(now, conn, Some(Frame::Echoed(number)));
                }
                Effect::Send(_, Frame::Echo(_)) | Effect::RoundTrip(_) => {}
                other @ (Effect::Dial(..)
                | Effect::Abandon(_)
                | Effect::Send(..)
                | Effect::Drop(_)
                | Effect::Up { .. }
                | Effect::Switched { .. }
                | Effect::Down { .. }) => all.push((now.0, other)),
            }
        }
    }
}

/// Runs on until `end` with every dial failing at once; when each was begun.
fn dials_that_fail(peer: &mut Peer, end: u64) -> Vec<u64> {
    let mut begun = Vec::new();
    let mut now = Now(0);
    while now.0 <= end {
        peer.handle_timeout(now);
        while let Some(effect) = peer.poll_effect() {
            if let Effect::Dial(dial, _) = effect {
                begun.push(now.0);
                peer.failed(now, dial);
            }
        }
        now = peer.poll_timeout();
    }
    begun
}

#[test]
fn the_likeliest_is_dialled_at_once_and_the_others_after_200_ms() {
    let mut peer = dialling(true, 3);
    assert_eq!(dialled(&effects(&mut peer)), [addr(0)]);
    peer.handle_timeout(Now(199));
    assert_eq!(effects(&mut peer), []);
    assert_eq!(peer.poll_timeout(), Now(200));
    peer.handle_timeout(Now(200));
    assert_eq!(dialled(&effects(&mut peer)), [addr(1), addr(2)]);
}

#[test]
fn the_others_are_dialled_at_once_when_the_likeliest_has_failed() {
    let mut peer = dialling(true, 3);
    effects(&mut peer);
    peer.failed(Now(7), PeerDial(99));
    assert_eq!(effects(&mut peer), [], "not one of ours");
    peer.failed(Now(7), PeerDial(1));
    assert_eq!(dialled(&effects(&mut peer)), [addr(1), addr(2)]);
}

#[test]
fn a_round_begins_after_the_wait_when_all_of_the_last_have_failed() {
    for seed in 0..100 {
        let mut peer = Peer::new(Now(0), seed, true);
        peer.candidates(Now(0), addrs(2));
        peer.failed(Now(3), PeerDial(1));
        assert_eq!(peer.poll_timeout(), Now(1_000), "one is still under way");
        peer.failed(Now(9), PeerDial(2));
        effects(&mut peer);
        let at = peer.poll_timeout();
        assert!((9..=59).contains(&at.0), "seed {seed}: {at:?}");
        peer.handle_timeout(at);
        assert_eq!(dialled(&effects(&mut peer)), [addr(0)]);
    }
}

#[test]
fn a_dial_that_hangs_holds_the_next_round_back_for_one_second_only() {
    let mut peer = dialling(true, 2);
    peer.failed(Now(0), PeerDial(1));
    effects(&mut peer);
    peer.handle_timeout(Now(999));
    assert_eq!(peer.poll_timeout(), Now(1_000));
    peer.handle_timeout(Now(1_000));
    assert!((1_000..=1_050).contains(&peer.poll_timeout().0));
    assert_eq!(effects(&mut peer), []);
}

#[test]
fn a_dial_ends_after_five_seconds() {
    // With eight addresses there is no room for second dials.
    let mut peer = dialling(true, 8);
    let all = run(&mut peer, 4_999, &[]);
    assert!(!all.iter().any(|(_, effect)| matches!(effect, Effect::Abandon(_))));
    assert_eq!(run(&mut peer, 5_000, &[])[0], (5_000, Effect::Abandon(PeerDial(1))));
}

#[test]
fn of_two_that_hang_at_one_address_the_older_gives_way() {
    let mut peer = dialling(true, 1);
    let mut begun = vec![(PeerDial(1), 0)];
    effects(&mut peer);
    for (at, effect) in run(&mut peer, 20_000, &[]) {
        match effect {
            Effect::Dial(dial, _) => begun.push((dial, at)),
            Effect::Abandon(dial) => {
                let (oldest, since) = begun.remove(0);
                assert_eq!(dial, oldest);
                assert!((1_500..=5_000).contains(&(at - since)), "{dial:?} ended after {} ms", at - since);
            }
            other @ (Effect::Send(..)
            | Effect::Drop(_)
            | Effect::Up { .. }
            | Effect::Switched { .. }
            | Effect::Down { .. }
            | Effect::RoundTrip(_)) => panic!("{other:?}"),
        }
        assert!(begun.len() <= 2);
    }
}

#[test]
fn eight_dials_are_the_most_and_every_address_has_its_turn() {
    for count in 1..=12 {
        let mut peer = dialling(true, count);
        let (mut under_way, mut most, mut all) = (0, 0, Vec::new());
        let first = effects(&mut peer);
        let rest = run(&mut peer, 30_000, &[]).into_iter().map(|(_, effect)| effect);
        for effect in first.into_iter().chain(rest) {
            all.extend(dialled(&[effect]));
            under_way += usize::from(matches!(effect, Effect::Dial(..)));
            under_way -= usize::from(matches!(effect, Effect::Abandon(_)));
            most = most.max(under_way);
        }
        assert!(most <= PEER_DIALS_MAX, "{count} addresses: {most} dials");
        for one in addrs(count.min(PEER_CANDIDATES_MAX as u16)) {
            assert!(all.iter().filter(|addr| **addr == one).count() >= 5, "{count} addresses: {one} is left out");
        }
        assert!(!all.contains(&addr(8)), "a ninth address is not dialled");
    }
}

#[test]
fn a_path_that_can_never_work_is_dialled_less_often_after_a_minute() {
    let (mut hurried, mut idle) = (0, 0);
    for seed in 0..300 {
        let mut peer = Peer::new(Now(0), seed, true);
        peer.candidates(Now(0), addrs(1));
        let begun = dials_that_fail(&mut peer, 600_000);
        let first = begun.iter().filter(|at| **at < 60_000).count();
        assert!((100..400).contains(&first), "seed {seed}: {first} in the first minute");
        hurried += first;
        for minute in 1..9_u64 {
            let from = minute * 60_000 + 5_000;
            let count = begun.iter().filter(|at| (from..from + 60_000).contains(*at)).count();
            assert!(count <= 60, "seed {seed}: {count} in minute {minute}");
            idle += count;
        }
        let urgent_gap = begun.windows(2).filter(|pair| pair[1] < 60_000).map(|pair| pair[1] - pair[0]).max();
        assert!(urgent_gap <= Some(500), "seed {seed}: {urgent_gap:?}");
        let gap = begun.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!((Some(4_000)..=Some(5_000)).contains(&gap), "seed {seed}: {gap:?}");
    }
    assert!(hurried / 300 > 8 * idle / (300 * 8), "{hurried} and {idle}");
}

#[test]
fn new_addresses_are_dialled_at_once_and_in_a_hurry_the_same_ones_are_not() {
    let mut peer = dialling(true, 2);
    let begun = dials_that_fail(&mut peer, 300_000);
    let now = Now(*begun.last().unwrap());
    assert!(peer.poll_timeout() > now);
    peer.candidates(now, addrs(2));
    assert_eq!(effects(&mut peer), []);
    peer.candidates(now, vec![addr(5), addr(5)]);
    assert_eq!(dialled(&effects(&mut peer)), [addr(5)]);
    peer.candidates(now, vec![addr(6)]);
    let both = effects(&mut peer);
    assert!(matches!(both[0], Effect::Abandon(_)), "nobody is there any more");
    assert_eq!(dialled(&both), [addr(6)]);
    let Effect::Dial(dial, _) = both[1] else { panic!("{both:?}") };
    peer.failed(now, dial);
    assert!(peer.poll_timeout() <= now + Duration::from_millis(50), "the back-off starts anew");
    peer.candidates(now, Vec::new());
    peer.handle_timeout(now + Duration::from_secs(60));
    assert_eq!(effects(&mut peer), []);
    assert_eq!(peer.poll_timeout(), Now::NEVER, "there is nothing to dial");
}

#[test]
fn waking_dials_at_once_but_not_beside_a_round_nor_beside_a_path() {
    let mut peer = dialling(true, 1);
    effects(&mut peer);
    peer.wake(Now(5));
    assert_eq!(effects(&mut peer), [], "a round is under way");
    for dial in 1..8 {
        let now = Now(dial) + WAKE_PAUSE * u32::try_from(dial).unwrap();
        peer.failed(now, PeerDial(dial));
        peer.wake(now);
        assert_eq!(dialled(&effects(&mut peer)), [addr(0)]);
    }
    let mut peer = up(true, 0);
    peer.candidates(Now(1), addrs(1));
    peer.wake(Now(2));
    assert_eq!(effects(&mut peer), []);
}

#[test]
fn who_types_all_the_time_begins_a_few_rounds_a_second() {
    let mut peer = dialling(true, 1);
    let mut rounds = Vec::new();
    for at in (0..2_000).step_by(20) {
        peer.wake(Now(at));
        peer.handle_timeout(Now(at));
        while let Some(effect) = peer.poll_effect() {
            if let Effect::Dial(dial, _) = effect {
                rounds.push(at);
                peer.failed(Now(at), dial);
            }
        }
    }
    // Every quarter of a second, and those that come by themselves, at first after short waits.
    assert!((8..=16).contains(&rounds.len()), "{rounds:?}");
}

#[test]
fn a_dialled_connection_is_used_after_an_echo_and_the_other_dials_end() {
    let mut peer = dialling(true, 2);
    peer.handle_timeout(Now(200));
    effects(&mut peer);
    peer.opened(Now(230), PeerConn(4), Some(PeerDial(2)));
    let echo = Effect::Send(PeerConn(4), Frame::Echo(1));
    assert_eq!(effects(&mut peer), [Effect::Abandon(PeerDial(1)), echo]);
    peer.heard(Now(240), PeerConn(4), Some(Frame::Echo(9)));
    assert_eq!(effects(&mut peer), [Effect::Send(PeerConn(4), Frame::Echoed(9))]);
    peer.heard(Now(241), PeerConn(4), None);
    assert!(!peer.is_up(), "it has not echoed");
    peer.heard(Now(242), PeerConn(4), Some(Frame::Echoed(2)));
    assert!(!peer.is_up(), "that was never sent");
    peer.heard(Now(250), PeerConn(4), Some(Frame::Echoed(1)));
    let up = Effect::Up { conn: PeerConn(4), after: Duration::from_millis(250), attempts: 2 };
    let round_trip = Effect::RoundTrip(Duration::from_millis(20));
    assert_eq!(effects(&mut peer), [Effect::Send(PeerConn(4), Frame::Use), up, round_trip]);
    peer.opened(Now(251), PeerConn(5), Some(PeerDial(1)));
    assert_eq!(effects(&mut peer), [Effect::Drop(PeerConn(5))], "late news");
    assert_eq!(peer.conn(), Some(PeerConn(4)));
}

#[test]
fn the_other_side_waits_for_use_with_the_rest_open_and_goes_where_it_says() {
    let mut peer = up(false, 0);
    assert_eq!(accept(&mut peer, 10, 2), [Effect::Send(PeerConn(2), Frame::Echo(1))]);
    accept(&mut peer, 10, 3);
    assert_eq!(peer.conn(), Some(PeerConn(1)));
    assert_eq!(run(&mut peer, 5_000, &[1, 2, 3]), [], "nothing is dropped");
    peer.heard(Now(5_000), PeerConn(2), Some(Frame::Use));
    let dropped = [Effect::Drop(PeerConn(1)), Effect::Drop(PeerConn(3))];
    assert_eq!(effects(&mut peer), [dropped[0], dropped[1], Effect::Switched { conn: PeerConn(2) }]);
    peer.heard(Now(5_001), PeerConn(2), Some(Frame::Use));
    assert_eq!(effects(&mut peer), [Effect::Switched { conn: PeerConn(2) }], "the opponent is there only now");
    peer.heard(Now(5_001), PeerConn(1), Some(Frame::Use));
    assert_eq!(peer.conn(), Some(PeerConn(2)), "that one is dropped");
}

#[test]
fn use_alone_brings_a_path_up_and_the_chooser_does_not_obey_it() {
    for (chooser, obeys) in [(false, true), (true, false)] {
        let mut peer = Peer::new(Now(0), 1, chooser);
        peer.opened(Now(0), PeerConn(1), None);
        peer.heard(Now(3), PeerConn(1), Some(Frame::Use));
        assert_eq!(peer.is_up(), obeys);
    }
}

#[test]
fn the_chooser_drops_a_new_connection_once_the_old_one_answers_a_later_echo() {
    let mut peer = up(true, 0);
    peer.handle_timeout(Now(250));
    effects(&mut peer);
    assert_eq!(accept(&mut peer, 250, 2), [Effect::Send(PeerConn(2), Frame::Echo(1))]);
    peer.heard(Now(251), PeerConn(1), Some(Frame::Echoed(2)));
    assert_eq!(effects(&mut peer), [Effect::RoundTrip(Duration::from_millis(1))], "sent too early to tell");
    assert_eq!(run(&mut peer, 500, &[1, 2]), [(500, Effect::Drop(PeerConn(2)))]);
    assert_eq!(peer.conn(), Some(PeerConn(1)));
}

#[test]
fn a_new_connection_takes_the_place_of_one_that_is_silent_or_ends() {
    for ends in [true, false] {
        let mut peer = up(true, 0);
        accept(&mut peer, 100, 2);
        accept(&mut peer, 110, 3);
        assert_eq!(peer.conn(), Some(PeerConn(1)));
        if ends {
            peer.lost(Now(120), PeerConn(1));
        } else {
            assert_eq!(run(&mut peer, 999, &[2, 3]), []);
            peer.handle_timeout(Now(1_000));
        }
        let all = effects(&mut peer);
        assert_eq!(all.contains(&Effect::Drop(PeerConn(1))), !ends);
        assert!(all.contains(&Effect::Send(PeerConn(3), Frame::Use)), "the newest");
        assert!(all.contains(&Effect::Switched { conn: PeerConn(3) }));
        assert!(!all.contains(&Effect::Down { conn: PeerConn(1) }));
        assert_eq!(peer.conn(), Some(PeerConn(3)));
    }
}

#[test]
fn one_second_of_silence_ends_a_connection_and_any_frame_keeps_it() {
    let mut peer = up(true, 0);
    peer.candidates(Now(0), addrs(1));
    peer.heard(Now(900), PeerConn(1), None);
    assert_eq!(run(&mut peer, 1_899, &[]), []);
    let all = run(&mut peer, 1_950, &[]);
    let down = [(1_900, Effect::Drop(PeerConn(1))), (1_900, Effect::Down { conn: PeerConn(1) })];
    assert_eq!(all[..2], down);
    assert!(!peer.is_up());
    assert!(matches!(all[2], (1_900..=1_950, Effect::Dial(..))), "a round at once: {all:?}");
    peer.opened(Now(2_000), PeerConn(2), None);
    run(&mut peer, 2_999, &[]);
    assert!(peer.line(PeerConn(2)).is_some());
    run(&mut peer, 3_000, &[]);
    assert!(peer.line(PeerConn(2)).is_none(), "one that is not in use as well");
}

#[test]
fn echoes_go_out_every_quarter_second_on_every_connection() {
    let mut peer = up(false, 0);
    peer.opened(Now(100), PeerConn(2), None);
    effects(&mut peer);
    let echo = |conn, number| Effect::Send(PeerConn(conn), Frame::Echo(number));
    for (at, expected) in [(249, vec![]), (250, vec![echo(1, 2)]), (349, vec![]), (350, vec![echo(2, 2)])] {
        peer.handle_timeout(Now(at));
        assert_eq!(effects(&mut peer), expected, "at {at}");
    }
    assert_eq!(peer.poll_timeout(), Now(500));
    peer.heard(Now(360), PeerConn(2), Some(Frame::Echoed(2)));
    assert_eq!(effects(&mut peer), [], "only the one in use is measured");
    peer.heard(Now(360), PeerConn(1), Some(Frame::Echoed(2)));
    assert_eq!(effects(&mut peer), [Effect::RoundTrip(Duration::from_millis(110))]);
}

#[test]
fn the_back_off_starts_anew_only_after_ten_seconds_of_health() {
    let mut late = 0;
    for (lived, anew) in [(9_999, false), (10_000, true)] {
        for seed in 0..100 {
            let mut peer = Peer::new(Now(0), seed, true);
            peer.candidates(Now(0), addrs(1));
            let last = dials_that_fail(&mut peer, 20_000).last().copied().unwrap();
            accept(&mut peer, last, 1);
            peer.lost(Now(last + lived), PeerConn(1));
            let at_once = !dialled(&effects(&mut peer)).is_empty();
            let wait = if at_once { Duration::ZERO } else { peer.poll_timeout().since(Now(last + lived)) };
            assert!(!anew || wait <= Duration::from_millis(50), "seed {seed}: {wait:?}");
            late += u32::from(wait > Duration::from_millis(50));
        }
    }
    assert!(late > 50, "a path that breaks again and again is not dialled at once: {late}");
}

#[test]
fn an_outage_is_counted_from_the_loss_with_its_attempts() {
    let mut peer = dialling(true, 1);
    dials_that_fail(&mut peer, 10_000);
    accept(&mut peer, 12_000, 1);
    peer.lost(Now(30_000), PeerConn(1));
    effects(&mut peer);
    peer.handle_timeout(peer.poll_timeout());
    let up = Effect::Up { conn: PeerConn(2), after: Duration::from_millis(400), attempts: 1 };
    assert!(accept(&mut peer, 30_400, 2).contains(&up));
}

#[test]
fn a_fifth_connection_is_dropped_unless_another_has_been_silent_for_half_a_second() {
    for (at, room) in [(499, false), (500, true)] {
        let mut peer = up(false, 0);
        for conn in [2, 3, 4] {
            accept(&mut peer, 0, conn);
        }
        for conn in [3, 4] {
            peer.heard(Now(10), PeerConn(conn), None);
        }
        peer.opened(Now(at), PeerConn(5), None);
        let dropped = if room { PeerConn(2) } else { PeerConn(5) };
        assert_eq!(effects(&mut peer)[0], Effect::Drop(dropped));
        assert_eq!(peer.lines.len(), 4);
        assert_eq!(peer.conn(), Some(PeerConn(1)), "the one in use stays, silent as it is");
    }
}

#[test]
fn an_opened_dial_ends_the_others_and_a_connection_under_trial_holds_back_the_next_round() {
    let mut peer = dialling(true, 3);
    peer.handle_timeout(Now(200));
    peer.opened(Now(300), PeerConn(1), Some(PeerDial(1)));
    effects(&mut peer);
    peer.opened(Now(310), PeerConn(2), None);
    peer.lost(Now(400), PeerConn(1));
    assert!(run(&mut peer, 1_299, &[]).is_empty(), "there is another");
    let mut other = peer.clone();
    assert!(other.dialing.timeout() == Now(1_300));
    other.lost(Now(500), PeerConn(2));
    assert!(other.poll_timeout() <= Now(550), "there is none");
    assert_eq!(
        dialled(&run(&mut peer, 1_350, &[]).into_iter().map(|(_, effect)| effect).collect::<Vec<_>>()),
        [addr(0)]
    );
}

#[test]
fn after_the_end_nothing_is_dialled_accepted_or_due() {
    let mut peer = dialling(true, 2);
    peer.opened(Now(0), PeerConn(1), None);
    effects(&mut peer);
    peer.stop();
    assert_eq!(effects(&mut peer), [Effect::Abandon(PeerDial(1)), Effect::Drop(PeerConn(1))]);
    peer.opened(Now(1), PeerConn(2), None);
    peer.opened(Now(1), PeerConn(3), Some(PeerDial(1)));
    assert_eq!(effects(&mut peer), [Effect::Drop(PeerConn(2)), Effect::Drop(PeerConn(3))]);
    peer.candidates(Now(1), addrs(4));
    peer.wake(Now(1));
    peer.heard(Now(1), PeerConn(1), Some(Frame::Echo(1)));
    peer.lost(Now(1), PeerConn(1));
    peer.failed(Now(1), PeerDial(1));
    peer.handle_timeout(Now(90_000));
    assert_eq!(effects(&mut peer), []);
    assert_eq!((peer.poll_timeout(), peer.conn()), (Now::NEVER, None));
}

#[test]
fn early_and_repeated_calls_do_nothing() {
    let mut peer = dialling(false, 2);
    peer.opened(Now(0), PeerConn(1), None);
    peer.opened(Now(0), PeerConn(1), None);
    assert_eq!(peer.lines.len(), 1);
    effects(&mut peer);
    for now in [0, 1, 1, 199] {
        peer.handle_timeout(Now(now));
        assert_eq!(effects(&mut peer), []);
    }
}

#[test]
fn a_connection_that_has_not_echoed_does_not_take_the_place_of_a_lost_one() {
    let mut peer = up(false, 0);
    peer.opened(Now(100), PeerConn(2), None);
    effects(&mut peer);
    peer.lost(Now(120), PeerConn(1));
    assert_eq!(effects(&mut peer)[0], Effect::Down { conn: PeerConn(1) });
}

#[test]
fn an_echo_sent_before_use_says_nothing_about_the_other_connections() {
    let mut peer = up(true, 0);
    accept(&mut peer, 100, 2);
    accept(&mut peer, 110, 3);
    run(&mut peer, 359, &[2, 3]);
    peer.handle_timeout(Now(360));
    peer.lost(Now(360), PeerConn(1));
    assert_eq!(peer.conn(), Some(PeerConn(3)));
    effects(&mut peer);
    peer.heard(Now(361), PeerConn(3), Some(Frame::Echoed(2)));
    assert_eq!(effects(&mut peer), [Effect::RoundTrip(Duration::from_millis(1))]);
    assert_eq!(run(&mut peer, 610, &[2, 3]), [(610, Effect::Drop(PeerConn(2)))]);
}

#[test]
fn four_addresses_that_hang_leave_room_for_the_fifth() {
    let mut peer = dialling(true, 5);
    let mut fifth = 0;
    let mut now = Now(0);
    while now < Now(20_000) {
        peer.handle_timeout(now);
        while let Some(effect) = peer.poll_effect() {
            if let Effect::Dial(dial, to) = effect
                && to == addr(4)
            {
                fifth += 1;
                peer.failed(now, dial);
            }
        }
        now = peer.poll_timeout();
    }
    assert!(fifth >= 12, "once a round: {fifth}");
}
