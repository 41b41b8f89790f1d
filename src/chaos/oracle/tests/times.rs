//! I9, I12, L1, L2 and L3.

use super::*;

fn link(state: &str, outage_ms: Option<u64>, attempts: Option<u32>) -> Told {
    Told::Link { state: state.to_owned(), outage_ms, attempts }
}

#[test]
fn i9_the_history_does_not_run_backwards() {
    let mut world = World::won();
    world.history.last_mut().unwrap().at_ms = 0;
    world.breaks("I9", "comes after");
}

#[test]
fn i9_an_outage_is_as_long_as_it_was() {
    let told = |length: u64| {
        let mut world = World::seated();
        world.tells("p0", link("down", None, None)).wait(1000);
        world.tells("p0", link("live", Some(length), Some(3)));
        world
    };
    told(1000).is_good();
    told(901).is_good();
    told(900).breaks("I9", "tells an outage of 900 ms");
    told(850).breaks("I9", "tells an outage of 850 ms");
    told(1600).breaks("I9", "tells an outage of 1600 ms");
    let mut drifting = told(1000);
    drifting.history.iter_mut().for_each(|record| record.at_ms *= 10);
    drifting.breaks("I9", "tells an outage");
    let mut paused = told(850);
    paused.fault("pause").is_good();
    let mut drifts = told(850);
    drifts.fault("clock-drift").is_good();
}

#[test]
fn i9_nobody_loses_by_the_clock() {
    let mut world = World::won();
    world.result("p0", &Verdict { why: "timeout".to_owned(), ..by_board("X") }, false);
    world.breaks("I9", "by `timeout`");
    let mut world = World::won();
    world.finals.ledger.verdicts[0].verdict.why = "forfeit".to_owned();
    world.breaks("I9", "by `forfeit`");
}

#[test]
fn i12_each_outage_is_told_with_its_length_and_its_dials() {
    for (length, dials) in [(None, Some(1)), (Some(20), None), (Some(20), Some(0))] {
        let mut world = World::seated();
        world.tells("p0", link("down", None, None)).wait(19).tells("p0", link("live", length, dials));
        world.breaks("I12", "is live again");
    }
    let mut world = World::seated();
    world.outage("p0", 90).exercises(&["I12"]);
}

#[test]
fn i12_each_outage_is_in_the_log_with_its_cause() {
    let mut world = World::seated();
    world.outage("p0", 90).outage("p1", 70);
    let all = world.finals.figures.outages.clone();
    world.finals.figures.outages.pop();
    world.breaks("I12", "no outage of 70 ms");
    world.finals.figures.outages.clone_from(&all);
    world.finals.figures.outages[0].cause.clear();
    world.breaks("I12", "without all that belongs to it");
    world.finals.figures.outages = all;
    world.outage("p0", 50).finals.figures.outages[0].attempts = None;
    world.breaks("I12", "without all that belongs to it");
}

#[test]
fn i12_every_outage_of_a_device_is_logged_and_its_last_may_go_on() {
    let mut world = World::seated();
    world.outage("p0", 90).outage("p0", 70).outage("p1", 60).is_good();
    let going_on = Outage {
        who: "p0".to_owned(),
        cause: "reset".to_owned(),
        attempts: None,
        length_ms: None,
        waits_ms: String::new(),
    };
    world.finals.figures.outages.push(going_on.clone());
    let done = Outage { who: "p1".to_owned(), attempts: Some(2), length_ms: Some(5), ..going_on.clone() };
    world.finals.figures.outages.push(done.clone());
    world.is_good();
    world.finals.figures.outages.push(Outage { who: "p0".to_owned(), ..done });
    world.breaks("I12", "without all that belongs to it");
    world.finals.figures.outages.truncate(3);
    world.finals.figures.outages[0].length_ms = None;
    world.breaks("I12", "without all that belongs to it");
    world.finals.figures.outages[0].length_ms = Some(90);
    world.finals.figures.outages[1].attempts = Some(9);
    world.breaks("I12", "no outage of 70 ms and 1 dials");
}

#[test]
fn i12_what_a_device_had_no_time_to_write_is_not_asked_for() {
    let told = |how: End, age_ms: u64| {
        let mut world = World::seated();
        world.outage("p1", 70).outage("p0", 90).wait(age_ms).says("p0", What::Ended { how });
        world.finals.figures.outages.pop();
        world
    };
    told(End::Killed, 100).is_good();
    told(End::PowerCut, 9_000).is_good();
    told(End::Killed, 9_000).breaks("I12", "no outage of 90 ms");
    told(End::Stopped, 100).breaks("I12", "no outage of 90 ms");
}

#[test]
fn i12_a_link_that_stays_live_has_no_outage() {
    let mut world = World::seated();
    world.tells("p0", link("live", None, None)).is_good();
    assert!(!world.judged().exercised.contains("I12"));
}

#[test]
fn i9_is_put_to_the_test_by_an_outage_and_by_a_verdict() {
    let mut world = World::default();
    world.says("p0", What::Started).link("p0", 20).exercises(&["I9"]);
    let mut world = World::won();
    world.history.retain(|record| !matches!(record.what, What::Told { told: Told::Link { .. } }));
    world.exercises(&["I9"]);
    let at_once = world.history[0].at_ms;
    world.history.iter_mut().for_each(|record| record.at_ms = at_once);
    world.is_good();
}

#[test]
fn l1_links_are_live_in_time() {
    let live = |took: Option<u64>, urgent: Option<bool>| {
        let mut world = World::seated();
        world.finals.healed.live_ms.insert("p0".to_owned(), took);
        world.finals.healed.urgent.remove("p0");
        world.finals.healed.urgent.extend(urgent.map(|urgent| ("p0".to_owned(), urgent)));
        world
    };
    live(Some(1100), Some(true)).exercises(&["L1"]);
    live(Some(1101), Some(true)).breaks("L1", "1101 ms");
    live(Some(1101), None).breaks("L1", "1101 ms");
    live(Some(6100), Some(false)).is_good();
    live(Some(6101), Some(false)).breaks("L1", "6101 ms");
    live(None, Some(false)).breaks("L1", "never");
    let deceived = |took: u64| {
        let mut world = live(Some(took), Some(true));
        world.finals.healed.deceived.insert("p0".to_owned());
        world
    };
    deceived(2100).is_good();
    deceived(2101).breaks("L1", "2101 ms");
}

#[test]
fn l2_matches_are_playable_or_settled_in_time() {
    let settled = |took: Option<u64>| {
        let mut world = World::seated();
        world.finals.healed.settled_ms.insert(M.to_owned(), took);
        world
    };
    settled(Some(2100)).exercises(&["L2"]);
    settled(Some(2101)).breaks("L2", "2101 ms");
    settled(None).breaks("L2", "never");
}

#[test]
fn l3_nobody_dials_too_often_or_too_many_at_once() {
    let mut world = World::seated();
    world.finals.figures.dials_a_second_max.insert("p0".to_owned(), 24);
    world.exercises(&["L3"]);
    world.finals.figures.dials_a_second_max.insert("p0".to_owned(), 25);
    world.breaks("L3", "25 times");
    let mut world = World::seated();
    world.finals.figures.dials_at_once_max.insert("p0".to_owned(), 4);
    world.breaks("L3", "4 dials");
}
