//! A match as a file for others: everything that was signed, so that whoever has the server's public key can check it.

use std::path::Path;

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::client::table::Table;
use crate::model::evidence::Keeper;
use crate::model::games::{GameSpec, Seat};
use crate::model::key::{PublicKey, ServerId};
use crate::model::sign::{Signed, Statement};
use crate::model::statement::{Act, Entry, Foul, Grant, Held, Ruling, Verdict};
use crate::store::Disk;

/// The match as JSON. `server_key` is known once there was a link.
///
/// Beside the fields of each statement stand the bytes that were signed (`signed`) and the signature, in hexadecimal:
/// Ed25519 over kind, server id and the postcard encoding of the body.
pub(super) fn document(table: &Table, server_key: Option<&PublicKey>) -> Value {
    let grant = table.grant();
    let server = &grant.server;
    let evidence = &table.evidence;
    let entries: Vec<Value> =
        evidence.chain.entries_from(0).iter().map(|entry| entry_json(server, entry.signed())).collect();
    let keepers = [Keeper::Player(Seat::X), Keeper::Player(Seat::O), Keeper::Server];
    let receipts = keepers.into_iter().zip(&evidence.receipts);
    let receipts: Vec<Value> = receipts
        .filter_map(|(keeper, held)| held.as_ref().map(|held| held_json(server, keeper, held.signed())))
        .collect();
    let fouls: Vec<Value> = evidence.fouls.iter().flatten().map(|foul| foul_json(server, foul)).collect();
    json!({
        "format": "rejoin match/1",
        "match": table.id().to_string(),
        "server": { "id": server.to_string(), "key": server_key.map(ToString::to_string) },
        "names": { "X": table.name(Seat::X), "O": table.name(Seat::O) },
        "game": game_json(&grant.game),
        "grants": evidence.chain.grants().iter().map(|grant| grant_json(server, grant)).collect::<Vec<_>>(),
        "entries": entries,
        "receipts": receipts,
        "fouls": fouls,
        "verdict": table.verdict().map(|verdict| verdict_json(server, verdict)),
    })
}

/// Writes the document to a new file; one that is there is not written over. Blocks.
pub(super) fn write(disk: &dyn Disk, path: &Path, document: &Value) -> std::io::Result<()> {
    let mut text = serde_json::to_vec_pretty(document)?;
    text.push(b'\n');
    let mut file = disk.create(path)?;
    file.append(&text)?;
    file.sync()
}

fn game_json(game: &GameSpec) -> Value {
    let GameSpec { family, version, params } = game;
    json!({ "name": game.name(), "family": family, "version": version, "params": HEXLOWER.encode(params) })
}

fn grant_json(server: &ServerId, grant: &Signed<Grant>) -> Value {
    let Grant { server: _, match_id, epoch, base, users, keys, game, settle_by } = &grant.body;
    let seats = |texts: [String; 2]| json!({ "X": texts[0], "O": texts[1] });
    let fields = json!({
        "server": server.to_string(),
        "match": match_id.to_string(),
        "epoch": epoch,
        "base": { "plies": base.plies, "head": base.head.to_string() },
        "users": seats(users.map(|user| user.to_string())),
        "keys": seats(keys.map(|key| key.to_string())),
        "game": game_json(game),
        "settle_by": settle_by.0,
    });
    signed_json(server, grant, fields)
}

fn entry_json(server: &ServerId, entry: &Signed<Entry>) -> Value {
    let Entry { match_id, epoch, ply, seat, act, prev, at } = &entry.body;
    let act = match act {
        Act::Play(play) => json!({ "play": HEXLOWER.encode(play.as_bytes()) }),
        Act::Resign => json!("resign"),
    };
    let fields = json!({
        "match": match_id.to_string(),
        "epoch": epoch,
        "ply": ply,
        "seat": seat.to_string(),
        "act": act,
        "prev": prev.to_string(),
        "at": at.0,
    });
    signed_json(server, entry, fields)
}

fn held_json(server: &ServerId, keeper: Keeper, held: &Signed<Held>) -> Value {
    let Held { match_id, epoch, plies, head } = &held.body;
    let keeper = match keeper {
        Keeper::Player(seat) => seat.to_string(),
        Keeper::Server => "server".to_owned(),
    };
    let fields = json!({
        "keeper": keeper,
        "match": match_id.to_string(),
        "epoch": epoch,
        "plies": plies,
        "head": head.to_string(),
    });
    signed_json(server, held, fields)
}

fn foul_json(server: &ServerId, foul: &Foul) -> Value {
    json!({ "first": entry_json(server, &foul.first), "second": entry_json(server, &foul.second) })
}

fn verdict_json(server: &ServerId, verdict: &Signed<Verdict>) -> Value {
    let Verdict { match_id, ruling } = &verdict.body;
    let by = match ruling {
        Ruling::Foul { by } | Ruling::Resigned { by } => Some(by.to_string()),
        Ruling::Void | Ruling::Board { .. } => None,
    };
    let ruling_word = match ruling {
        Ruling::Foul { .. } => "foul",
        Ruling::Void => "void",
        Ruling::Board { .. } => "board",
        Ruling::Resigned { .. } => "resigned",
    };
    let winner = ruling.winner().map(|seat| seat.to_string());
    let fields = json!({ "match": match_id.to_string(), "ruling": ruling_word, "by": by, "winner": winner });
    signed_json(server, verdict, fields)
}

/// The fields of a statement, with what was signed and the signature.
fn signed_json<T: Statement + Serialize>(server: &ServerId, statement: &Signed<T>, mut fields: Value) -> Value {
    let mut bytes = [T::KIND.as_bytes(), &server.0].concat();
    bytes.extend(postcard::to_allocvec(&statement.body).expect("it was encoded before, to be signed"));
    fields["kind"] = json!(T::KIND);
    fields["signed"] = json!(HEXLOWER.encode(&bytes));
    fields["signature"] = json!(statement.signature.to_string());
    fields
}
