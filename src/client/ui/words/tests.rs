//! What people read for each event.
use super::*;
use crate::client::ui::paint::colourless;

#[test]
fn an_outage_is_told_once_and_its_end_with_its_length() {
    let mut words = Words::default();
    let link = |state, outage_ms, attempts| Event::Link { state, outage_ms, attempts };
    assert_eq!(said(&mut words, &link(LinkState::Dialing, None, None)), "");
    assert!(!words.was_live());
    assert_eq!(said(&mut words, &link(LinkState::Live, Some(20), Some(1))), "connected");
    assert!(words.was_live());
    assert_eq!(said(&mut words, &link(LinkState::Down, None, None)), "the server is gone; trying again by itself");
    for state in [LinkState::Dialing, LinkState::Down, LinkState::Dialing, LinkState::Resuming] {
        assert_eq!(said(&mut words, &link(state, None, None)), "");
    }
    assert_eq!(said(&mut words, &link(LinkState::Live, Some(412), Some(3))), "back after 0.4 s (3 attempts)");
    said(&mut words, &link(LinkState::Down, None, None));
    assert_eq!(said(&mut words, &link(LinkState::Live, Some(75_000), Some(1))), "back after 75 s (1 attempt)");
}

#[test]
fn a_move_is_sent_seen_and_kept_in_these_words() {
    let mut words = seated();
    assert_eq!(said(&mut words, &moved("alice", 0, MoveState::Sent)), "you play 2 3: sent");
    assert_eq!(said(&mut words, &moved("alice", 0, MoveState::Seen)), "2 3: seen by bob, acknowledged");
    assert_eq!(said(&mut words, &moved("alice", 0, MoveState::Kept)), "2 3: kept by the server, acknowledged");
    assert_eq!(said(&mut words, &moved("bob", 1, MoveState::Seen)), "bob plays 2 3");
    assert_eq!(said(&mut words, &moved("bob", 1, MoveState::Kept)), "");
    assert_eq!(said(&mut words, &resigned("alice", MoveState::Sent)), "you resign: sent");
    assert_eq!(said(&mut words, &resigned("alice", MoveState::Kept)), "resigning: kept by the server, acknowledged");
    assert_eq!(said(&mut words, &resigned("bob", MoveState::Seen)), "bob resigns");
}

#[test]
fn the_last_move_is_marked_on_the_board() {
    let mut words = seated();
    said(&mut words, &moved("alice", 0, MoveState::Sent));
    let shown = said(&mut words, &board_at(1, Some("O")));
    assert_eq!(shown, "    1   2   3\n 1  . | . | .\n 2  . | . |[X]\n 3  . | . | .\nbob's move");
    // A report of an earlier move does not take the mark away, and a board of another ply has none.
    said(&mut words, &moved("bob", 1, MoveState::Seen));
    said(&mut words, &moved("alice", 0, MoveState::Kept));
    assert!(said(&mut words, &board_at(2, Some("X"))).contains("[X]"));
    assert!(!said(&mut words, &board_at(3, None)).contains('['));
}

#[test]
fn a_board_that_is_shown_already_is_not_shown_again_after_an_outage() {
    let mut words = seated();
    assert!(said(&mut words, &board_at(0, Some("X"))).ends_with("your move"));
    assert_eq!(said(&mut words, &match_event()), "");
    assert_eq!(said(&mut words, &board_at(0, Some("X"))), "");
    assert!(said(&mut words, &board_at(0, Some("X"))).ends_with("your move"), "asked for with `board`");
    assert_eq!(said(&mut words, &match_event()), "");
    assert!(said(&mut words, &board_at(2, Some("X"))).ends_with("your move"), "moves were made meanwhile");
}

#[test]
fn results_say_who_knows_them() {
    let mut words = seated();
    let table = [
        (Fared::Win, "board", "wait", "you have won on the board, waiting for bob or the server"),
        (Fared::Win, "board", "agreed", "you have won: agreed, to be recorded when the server is back"),
        (Fared::Win, "board", "recorded", "you have won: recorded"),
        (
            Fared::Win,
            "resigned",
            "agreed",
            "you have won, bob has resigned: agreed, to be recorded when the server is back",
        ),
        (Fared::Win, "foul", "recorded", "you have won by a foul of bob: recorded"),
        (Fared::Win, "foul", "wait", "you have won by a foul of bob, waiting for the server"),
        (Fared::Loss, "board", "agreed", "you have lost: agreed, to be recorded when the server is back"),
        (Fared::Loss, "resigned", "wait", "you have lost by resigning, waiting for bob or the server"),
        (Fared::Loss, "resigned", "recorded", "you have lost by resigning: recorded"),
        (Fared::Loss, "foul", "recorded", "you have lost by a foul: two different moves at one turn: recorded"),
        (Fared::Draw, "board", "wait", "it is a draw on the board, waiting for bob or the server"),
        (Fared::Draw, "board", "recorded", "it is a draw: recorded"),
        (Fared::Void, "foul", "recorded", "the match counts for nobody: both have fouled: recorded"),
    ];
    for (outcome, why, ending, line) in table {
        let (agreed, recorded) = (ending != "wait", ending == "recorded");
        let result = Event::Result { match_id: id(), outcome, why: why.to_owned(), agreed, recorded };
        assert_eq!(said(&mut words, &result), line);
    }
    said(&mut words, &Event::Link { state: LinkState::Live, outage_ms: None, attempts: None });
    let (outcome, why) = (Fared::Loss, "board".to_owned());
    let result = Event::Result { match_id: id(), outcome, why, agreed: true, recorded: false };
    assert_eq!(said(&mut words, &result), "you have lost: agreed, to be recorded");
}

#[test]
fn people_and_their_matches_are_told_in_these_words() {
    let mut words = seated();
    let (bob, game) = ("bob".to_owned(), "tictactoe".to_owned());
    let invited = |resumes| Event::Invited { by: bob.clone(), game: game.clone(), resumes };
    assert_eq!(said(&mut words, &invited(false)), "bob asks you to play tictactoe: accept or decline");
    assert_eq!(
        said(&mut words, &invited(true)),
        "bob asks you to go on with your match of tictactoe: accept or decline"
    );
    for (why, told) in [("declined", "declined"), ("expired", "nobody answered in time"), ("other", "other")] {
        let closed = Event::InviteClosed { with: bob.clone(), why: why.to_owned() };
        assert_eq!(said(&mut words, &closed), format!("the invitation between you and bob is closed: {told}"));
    }
    let suspended = |by: &str| Event::Suspended { match_id: id(), with: bob.clone(), by: by.to_owned() };
    let goes_on = "the match with bob is suspended; begin bob tictactoe goes on with it";
    assert_eq!(said(&mut words, &suspended("bob")), format!("bob has left: {goes_on}"));
    assert_eq!(said(&mut words, &suspended("alice")), format!("you have left: {goes_on}"));
    let offered = Event::Offered { match_id: id(), opponent: bob.clone(), game: game.clone(), ply: 1 };
    let told = "your suspended tictactoe with bob (1 move) can go on: begin bob tictactoe";
    assert_eq!(said(&mut words, &offered), told);
    assert_eq!(said(&mut words, &Event::Opponent { state: Presence::Away }), "bob is away");
    assert_eq!(said(&mut words, &Event::Opponent { state: Presence::Here }), "bob is here");
}

#[test]
fn a_path_is_told_when_it_changes() {
    let mut words = seated();
    let mut path = |path| said(&mut words, &Event::Path { path });
    assert_eq!(path(PathKind::None), "", "at the start nobody has been reached yet");
    assert_eq!(path(PathKind::Server), "");
    assert_eq!(path(PathKind::Direct), "playing directly with bob");
    assert_eq!(path(PathKind::Direct), "");
    assert_eq!(path(PathKind::Server), "the direct path is gone; playing through the server");
    let none = "no way to bob just now; your moves wait on this disk until there is one";
    assert_eq!(path(PathKind::None), none);
    assert_eq!(path(PathKind::None), "");
    assert_eq!(path(PathKind::Server), "");
}

#[test]
fn an_outage_is_told_otherwise_to_who_plays_on_directly() {
    let mut words = seated();
    let link = |state| Event::Link { state, outage_ms: None, attempts: None };
    said(&mut words, &link(LinkState::Live));
    said(&mut words, &Event::Path { path: PathKind::Direct });
    assert_eq!(said(&mut words, &link(LinkState::Down)), "the server is gone; you play on directly with bob");
}

#[test]
fn nothing_from_the_net_is_obeyed_by_the_terminal() {
    let mut words = Words::default();
    let evil = || "b\x1b[2Jb\n".to_owned();
    let events = [
        Event::Invited { by: evil(), game: evil(), resumes: false },
        Event::InviteClosed { with: evil(), why: evil() },
        Event::Match { match_id: id(), you: evil(), opponent: evil(), game: evil() },
        Event::Board { match_id: id(), ply: 0, turn: Some("X".to_owned()), rows: vec![evil()], moves: Vec::new() },
        Event::Opponent { state: Presence::Here },
        Event::Suspended { match_id: id(), with: evil(), by: evil() },
        Event::Offered { match_id: id(), opponent: evil(), game: evil(), ply: 0 },
        Event::Result { match_id: id(), outcome: Fared::Win, why: "resigned".to_owned(), agreed: true, recorded: true },
        Event::Notice { code: "x", text: evil() },
    ];
    for event in events {
        for line in words.lines(&event) {
            let line = line.replace("\x1b[0m", "");
            let ours =
                ["\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[33m"].iter().fold(line, |line, ours| line.replace(ours, ""));
            assert!(!ours.chars().any(char::is_control), "{event:?}: {ours:?}");
        }
    }
}

#[test]
fn a_suspended_match_that_goes_on_is_shown_again() {
    let mut words = seated();
    let board = Event::Board {
        match_id: id(),
        ply: 0,
        turn: Some("X".to_owned()),
        rows: vec![".".to_owned()],
        moves: Vec::new(),
    };
    said(&mut words, &board);
    said(&mut words, &Event::Suspended { match_id: id(), with: "bob".to_owned(), by: "bob".to_owned() });
    let (you, opponent, game) = ("X".to_owned(), "bob".to_owned(), "tictactoe".to_owned());
    let goes_on = Event::Match { match_id: id(), you, opponent, game };
    assert_eq!(said(&mut words, &goes_on), "tictactoe with bob: you are X");
    assert_ne!(said(&mut words, &board), "");
}

fn seated() -> Words {
    let mut words = Words::default();
    assert_eq!(said(&mut words, &match_event()), "tictactoe with bob: you are X");
    words
}

fn match_event() -> Event {
    let (you, opponent, game) = ("X".to_owned(), "bob".to_owned(), "tictactoe".to_owned());
    Event::Match { match_id: id(), you, opponent, game }
}

fn board_at(ply: u16, turn: Option<&str>) -> Event {
    let rows = ["...", "..X", "..."].map(str::to_owned).to_vec();
    Event::Board { match_id: id(), ply, turn: turn.map(str::to_owned), rows, moves: Vec::new() }
}

fn moved(by: &str, ply: u16, state: MoveState) -> Event {
    let acknowledged = state != MoveState::Sent;
    let by = by.to_owned();
    Event::Move { match_id: id(), ply, by, row: Some(2), col: Some(3), resigns: false, state, acknowledged }
}

fn resigned(by: &str, state: MoveState) -> Event {
    let acknowledged = state != MoveState::Sent;
    Event::Move { match_id: id(), ply: 2, by: by.to_owned(), row: None, col: None, resigns: true, state, acknowledged }
}

fn id() -> String {
    "0a".to_owned()
}

fn said(words: &mut Words, event: &Event) -> String {
    words.lines(event).iter().map(|line| colourless(line)).collect::<Vec<_>>().join("\n")
}
