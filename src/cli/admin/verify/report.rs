//! What a checked document shows, for people.

use crate::model::document::Checked;
use crate::model::evidence::Keeper;
use crate::model::games::{Outcome, Seat};
use crate::model::id::Name;
use crate::model::statement::{Act, Entry, Foul, Ruling};

/// The lines, in order: who, what was played, on whose disks it is, how it ended.
pub(super) fn lines(checked: &Checked, asked: bool) -> Vec<String> {
    let mut lines = who(checked, asked);
    lines.extend(moves(checked));
    lines.extend(keepers(checked));
    lines.extend(ending(checked));
    lines
}

fn who(checked: &Checked, asked: bool) -> Vec<String> {
    let chain = &checked.evidence.chain;
    let grant = chain.grant();
    let mut lines = vec![format!("match {}, {}", grant.match_id, grant.game.name())];
    let by = if asked { "the one you asked for" } else { "by the key in the file" };
    lines.push(format!("server {} ({by})", checked.server));
    if !asked {
        lines.push(
            "  this only shows that the file is consistent; give --key ID to know which server it is from".to_owned(),
        );
    }
    for seat in Seat::BOTH {
        let at = seat.index();
        lines.push(format!("{seat}: {}, account {}, key {}", checked.names[at], grant.users[at], grant.keys[at]));
    }
    lines.push(
        "  accounts and keys are signed by the server; the names are the word of whoever wrote the file".to_owned(),
    );
    for pair in chain.grants().windows(2) {
        let [before, after] = [&pair[0].body, &pair[1].body];
        let from = after.base.plies + 1;
        for seat in Seat::BOTH.into_iter().filter(|seat| before.keys[seat.index()] != after.keys[seat.index()]) {
            lines.push(format!(
                "epoch {}, from move {from} on: {seat} has another key, by a grant of the server; before it was {}",
                after.epoch,
                before.keys[seat.index()]
            ));
        }
    }
    lines
}

fn moves(checked: &Checked) -> Vec<String> {
    let chain = &checked.evidence.chain;
    let entries = chain.entries_from(0);
    let count = entries.len();
    let mut lines = vec![match count {
        0 => "no move is in the file".to_owned(),
        _ => format!("moves: {count}, each signed by its player"),
    }];
    let mut cells = chain.cells().into_iter();
    for entry in &entries {
        let Entry { ply, seat, act, .. } = entry.body();
        let what = match act {
            Act::Play(_) => {
                cells.next().map_or_else(|| "a move".to_owned(), |cell| format!("{} {}", cell.row, cell.col))
            }
            Act::Resign => "resigns".to_owned(),
        };
        lines.push(format!("  {:>3}  {seat}  {what}", ply + 1));
    }
    let rows = chain.game().show();
    lines.extend(rows.into_iter().map(|row| format!("  {}", spaced(&row))));
    lines
}

/// Which disks the moves are on, as far as it was signed.
fn keepers(checked: &Checked) -> Vec<String> {
    let evidence = &checked.evidence;
    let all = evidence.chain.plies();
    if all == 0 {
        return Vec::new();
    }
    let held = |keeper| evidence.held_by(keeper);
    let [x, o] = Seat::BOTH.map(|seat| held(Keeper::Player(seat)));
    let server = held(Keeper::Server);
    let mut lines = vec![format!("signed for as on disk, of {all} moves: {x} by X, {o} by O, {server} by the server")];
    // Its author has it in any case.
    let acknowledged = |ply: u16| held(Keeper::Player(Seat::at(ply).other())).max(server) > ply;
    let open: Vec<String> = (0..all).filter(|ply| !acknowledged(*ply)).map(|ply| (ply + 1).to_string()).collect();
    lines.push(match open.as_slice() {
        [] => "  every move is acknowledged: its opponent or the server has signed that it is on disk".to_owned(),
        open => format!("  not acknowledged by anybody in this file: move {}", open.join(", ")),
    });
    lines
}

fn ending(checked: &Checked) -> Vec<String> {
    let evidence = &checked.evidence;
    let mut lines: Vec<String> = evidence.fouls.iter().flatten().map(|foul| foul_line(checked, foul)).collect();
    let says = evidence.verdict().map_or_else(|| "nothing decides it".to_owned(), |ruling| end_of(checked, ruling));
    lines.push(match checked.ruling() {
        Some(ruling) if checked.is_supported() => {
            format!("verdict of the server: {}; the evidence in this file says the same", end_of(checked, ruling))
        }
        Some(ruling) => format!(
            "the server's verdict says: {}; the evidence in this file: {says}. Evidence is missing, or the server lies",
            end_of(checked, ruling)
        ),
        None if evidence.verdict().is_none() => {
            let turn = evidence.chain.turn().map_or_else(String::new, |seat| format!(": it is {seat}'s turn"));
            format!("no verdict of the server in this file, and {says}{turn}")
        }
        None => format!("no verdict of the server in this file; by the evidence in it: {says}"),
    });
    if checked.verdict.is_none() {
        lines.push("  what came later can have been left out by whoever wrote the file".to_owned());
    }
    lines
}

fn foul_line(checked: &Checked, foul: &Foul) -> String {
    let Entry { ply, seat, epoch, .. } = foul.first.body;
    let act = |entry: &Entry| match &entry.act {
        Act::Play(play) => match checked.evidence.chain.position_at(ply).cell(play) {
            Some(cell) => format!("{} {}", cell.row, cell.col),
            None => format!("the bytes {}", data_encoding::HEXLOWER.encode(play.as_bytes())),
        },
        Act::Resign => "resigns".to_owned(),
    };
    let (first, second) = (act(&foul.first.body), act(&foul.second.body));
    let differ = if first == second {
        format!("{first} twice, at different times or places")
    } else {
        format!("{first} and {second}")
    };
    format!(
        "foul proven: {seat} has signed two different moves as move {} (epoch {epoch}): {differ}",
        u32::from(ply) + 1
    )
}

/// Who won and why.
fn end_of(checked: &Checked, ruling: Ruling) -> String {
    let player = |seat: Seat| {
        let name: &Name = &checked.names[seat.index()];
        format!("{seat} ({name})")
    };
    match ruling {
        Ruling::Foul { by } => format!("{} wins, by a foul of {by}", player(by.other())),
        Ruling::Void => "void, both have signed two moves for one turn".to_owned(),
        Ruling::Board { outcome: Outcome::Win(seat) } => format!("{} wins on the board", player(seat)),
        Ruling::Board { outcome: Outcome::Draw } => "a draw on the board".to_owned(),
        Ruling::Resigned { by } => format!("{} wins, {by} has resigned", player(by.other())),
    }
}

/// Cells apart, as at the prompt.
fn spaced(row: &str) -> String {
    row.chars().map(|cell| format!("{cell} ")).collect::<String>().trim_end().to_owned()
}
