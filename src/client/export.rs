//! A match as a file for others, who need nothing but the server's id to check it.

use std::path::Path;

use crate::model::client::table::Table;
use crate::model::document::Document;
use crate::model::games::Seat;
use crate::store::Disk;

/// The match as a document.
pub(super) fn document(table: &Table) -> Document {
    let names = Seat::BOTH.map(|seat| table.name(seat).clone());
    Document::of(&table.evidence, &names, table.server_key(), table.told_verdict())
}

/// Writes the document to a new file; one that is there is not written over. Blocks.
pub(super) fn write(disk: &dyn Disk, path: &Path, document: &Document) -> std::io::Result<()> {
    let mut text = serde_json::to_vec_pretty(document)?;
    text.push(b'\n');
    let mut file = disk.create(path)?;
    file.append(&text)?;
    file.sync()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;
    use crate::model::document::fixture::{Held, players, server_key, two_epochs};
    use crate::model::evidence::Keeper;
    use crate::model::id::{Name, UserId};
    use crate::model::message::{Entries, KeeperMessage, MatchView};
    use crate::model::sign::Verified;
    use crate::model::statement::Ruling;
    use crate::model::time::WallMs;

    /// O's table, once it has heard all of it.
    fn table(of: &Held) -> Table {
        let chain = &of.evidence.chain;
        let grants = chain.grants().to_vec();
        let names = ["alice", "bob"].map(|name| Name::new(name).unwrap());
        let view = MatchView { grant: grants[0].clone(), names, active: true, opponent_here: true };
        let key = players().keys[1].clone();
        let (mut table, _) = Table::open(&view, UserId([2; 16]), Some(key), server_key().public()).unwrap();
        let entries = chain.entries_from(0).into_iter().map(Verified::into_signed).collect();
        let receipt = of.evidence.receipts[2].clone().map(Verified::into_signed);
        let heard = [KeeperMessage::Entries(Entries { match_id: table.id(), grants, entries })]
            .into_iter()
            .chain(receipt.map(|held| KeeperMessage::Held { keeper: Keeper::Server, held }))
            .chain(of.verdict.clone().map(KeeperMessage::Verdict));
        for message in heard {
            table.on_keeper(message, WallMs(0));
        }
        table
    }

    #[test]
    fn a_match_of_two_epochs_is_exported_with_all_that_a_stranger_needs() {
        let held = two_epochs();
        let document = document(&table(&held));
        let checked = document.check(Some(players().server)).unwrap();
        assert_eq!(checked.evidence.chain, held.evidence.chain);
        assert_eq!(checked.evidence.chain.grants().len(), 2);
        assert_eq!(checked.evidence.held_by(Keeper::Server), 5);
        assert_eq!(checked.ruling(), held.evidence.verdict());
    }

    #[test]
    fn a_verdict_whose_evidence_is_missing_here_is_exported_too() {
        let lie = Ruling::Resigned { by: Seat::O };
        let document = document(&table(&two_epochs().ruled(lie)));
        let checked = document.check(Some(players().server)).unwrap();
        assert_eq!(checked.ruling(), Some(lie));
        assert!(!checked.is_supported());
    }
}
