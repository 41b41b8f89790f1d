//! What an operator is shown of a running server, as JSON.

use serde_json::{Value, json};

use super::{Looked, Ops};
use crate::model::decide;
use crate::model::engine::{Depth, MatchRow, Play, SessionRow};
use crate::model::id::Name;
use crate::model::statement::Ruling;
use crate::ops::metrics;

/// Rows of each table on the page.
const ROWS_MAX: usize = 500;

/// Who is there, what is played, and what was counted since the start.
pub(super) async fn now(ops: &Ops) -> Value {
    let boot = ops.attached.get().map(|attached| attached.boot);
    let Some(Looked { census, facts, .. }) = ops.look(ROWS_MAX).await else {
        return json!({ "ready": ops.is_ready(), "boot": boot });
    };
    let session = |row: &SessionRow| {
        let seated = row.seated.map(|id| id.to_string());
        json!({ "session": row.session.to_string(), "user": row.user.as_str(), "live": row.live, "match": seated })
    };
    let of = |row: &MatchRow| {
        let [x, o] = row.names.each_ref().map(|name| name.as_str());
        let id = row.match_id.to_string();
        json!({ "match": id, "x": x, "o": o, "game": row.game, "ply": row.plies, "state": row.state })
    };
    let (syncs, sync_ms) = ops.metrics.syncs_so_far();
    let (bytes_in, bytes_out) = ops.metrics.bytes_so_far();
    let (cpu_s, rss) = metrics::process().unzip();
    json!({
        "at": ops.log.as_ref().map(|log| log.wall().0),
        "ready": ops.is_ready(),
        "boot": boot,
        "facts": facts.0,
        "live": census.live,
        "away": census.away,
        "active": census.active,
        "suspended": census.suspended,
        "decided": census.decided,
        "connections": ops.metrics.connections.get(),
        "handshakes": ops.handshakes(),
        "logins_waiting": census.hashing,
        "mean_sync_ms": ops.metrics.mean_sync_ms(),
        "syncs": syncs,
        "sync_ms": sync_ms,
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "engine_lag_ms": ops.metrics.engine_lag.get() * 1000.0,
        "cpu_s": cpu_s,
        "resident_bytes": rss,
        "sessions": census.sessions.iter().map(session).collect::<Vec<_>>(),
        "matches": census.matches.iter().map(of).collect::<Vec<_>>(),
    })
}

/// What is left to say of a match of which the verdict alone is in memory.
pub(super) fn ended(names: &[Name; 2], ruling: Ruling) -> String {
    let [x, o] = names;
    let winner = ruling.winner().map_or("nobody", |seat| names[seat.index()].as_str());
    let why = decide::why(ruling);
    format!(
        "{x} (X) against {o} (O): this match has ended, {winner} has won ({why}). What was played is in the archive.\n"
    )
}

/// One match.
pub(super) fn depth(depth: &Depth) -> Value {
    let play = |of: &Play| {
        let cell = of.cell.map(|cell| [cell.row, cell.col]);
        json!({ "seat": of.seat.to_string(), "cell": cell, "at": of.at.0, "epoch": of.epoch, "board": of.board })
    };
    let verdict = depth
        .ruling
        .map(|ruling| json!({ "winner": ruling.winner().map(|seat| seat.to_string()), "why": decide::why(ruling) }));
    json!({
        "names": depth.names.each_ref().map(|name| name.as_str()),
        "here": depth.here,
        "addresses": depth.addresses,
        "game": depth.game,
        "active": depth.active,
        "filed": depth.filed,
        "epoch": depth.epoch,
        "recovering": depth.recovering,
        "turn": depth.turn.map(|seat| seat.to_string()),
        "verdict": verdict,
        "told": depth.told,
        "known": depth.known,
        "kept": depth.kept,
        "start": depth.start,
        "plays": depth.plays.iter().map(play).collect::<Vec<_>>(),
    })
}
