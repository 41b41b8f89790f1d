//! Every event of the catalogue comes: for each there is a test here that brings it about, and the log of what that test
//! has started was seen to have it.
//!
//! How it is known: the rig notes all events in the logs of all that it has started. What no test of this process has
//! shown so far – whichever were asked for, and however many run at once – is brought about from here.

use rejoin::ops::event;

use crate::rig::was_seen;
use crate::{certificate, control, events, hostile, lost, ops};

/// An event, and a test that brings it about.
type Witness = (&'static str, fn());

const WITNESSES: [Witness; 41] = [
    (event::SERVER_STARTED, the_story),
    (event::SERVER_STOPPING, the_story),
    (event::RECOVERED, the_story),
    (event::STATE_NOTE, lost::a_boot_file_that_cannot_be_read_or_written_is_a_warning),
    (event::STATE_ROLLED_BACK, events::an_older_state_is_named_by_the_client_that_has_seen_a_later_one),
    (event::SNAPSHOT, control::a_snapshot_now_holds_everything_and_the_next_start_uses_it),
    (event::SNAPSHOT_FAILED, control::a_snapshot_of_a_journal_that_has_rotted_is_refused_and_play_goes_on),
    (event::DISK_FULL, hostile::disks::a_full_disk_refuses_changes_answers_questions_and_heals),
    (event::JOURNAL_FAILED, hostile::disks::a_disk_that_fails_to_sync_ends_the_server_and_nothing_acknowledged_is_lost),
    (event::CERTIFICATE_FAILED, certificate::a_certificate_that_cannot_be_renewed_is_an_error_and_the_server_goes_on),
    (event::CONNECTED, the_story),
    (event::DISCONNECTED, the_story),
    (event::TURNED_AWAY, hostile::frames::what_is_not_tls_is_turned_away),
    (event::MISBEHAVED, hostile::frames::bytes_that_are_no_message_end_the_connection_with_a_reason),
    (event::USER_ADDED, the_story),
    (event::LOGIN_OK, the_story),
    (event::LOGIN_FAILED, the_story),
    (event::RETRY_SEEN, the_story),
    (event::RESUMED, the_story),
    (event::RESUME_REFUSED, hostile::sessions::a_session_is_taken_up_only_by_its_own_key),
    (event::LOGGED_OUT, the_story),
    (event::LINK_LOST, the_story),
    (event::OUTAGE, the_story),
    (event::OUTAGE_TOLD, ops::what_is_counted_is_what_has_happened_and_every_name_of_an_alert_is_exported),
    (event::MATCH_STARTED, the_story),
    (event::MATCH_SUSPENDED, the_story),
    (event::MATCH_RESUMED, the_story),
    (event::MATCH_REJOINED, the_story),
    (event::MATCH_SETTLED, the_story),
    (event::FOUL, hostile::moves::who_signs_two_moves_at_one_ply_loses),
    (event::VERDICT_CORRECTED, hostile::keepers::a_foul_proved_when_all_is_filed_away_is_told_to_both),
    (event::SEAT_ASKED, the_story),
    (event::REGRANTED, the_story),
    (event::MATCH_TAKEN, lost::matches_newer_than_the_restored_copy_come_back_from_the_players),
    (event::STATE_LOST, lost::matches_newer_than_the_restored_copy_come_back_from_the_players),
    (event::ENTRY_REFUSED, hostile::moves::only_a_legal_move_in_turn_is_taken),
    (event::AUDIT, control::a_snapshot_now_holds_everything_and_the_next_start_uses_it),
    (event::EVENTS_LEFT_OUT, events::a_burst_on_a_disk_that_takes_nothing_costs_routine_events_alone_and_is_told),
    (event::CLIENT_STARTED, the_story),
    (event::CLIENT_STOPPED, the_story),
    (event::RETRY, the_story),
];

fn the_story() {
    events::the_log_tells_the_story_of_a_match_that_is_left_taken_up_elsewhere_and_won();
}

/// Its name puts it behind the others, so that most events have been seen by then.
#[test]
fn every_event_of_the_catalogue_is_brought_about_by_some_test() {
    for kind in event::CATALOGUE {
        let (_, bring_about) = WITNESSES
            .iter()
            .find(|(name, _)| *name == kind.name)
            .unwrap_or_else(|| panic!("no test brings {} about: name one here", kind.name));
        if !was_seen(kind.name) {
            bring_about();
        }
        assert!(was_seen(kind.name), "{} does not come in the test that is named for it", kind.name);
    }
}
