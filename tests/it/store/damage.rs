//! Every kind of damage to every kind of file has a named outcome, never a shorter answer; and each can be repaired.

use rejoin::store::faulty::Seeded;
use rejoin::store::{Damage, plan_repair, repair};

use super::*;

/// What recovery makes of a damaged directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// All is there, and nothing had to be said.
    Whole,
    /// All is there from the older snapshot, and it is said.
    FellBack,
    /// All is there but retired records, and it is said.
    Gap,
    /// The end of the open segment is not there, and it is said how many bytes were cut.
    Cut,
    /// Refused, with file and byte.
    Refused,
}

use Outcome::{Cut, FellBack, Gap, Refused, Whole};

/// Two snapshots, archives, segments that only the older snapshot needs, sealed ones after the newer, and an open one.
fn host() -> Host {
    let mut host = Host::new();
    let mut recovered = host.work(60).unwrap();
    let mut snapshotter = host.snapshotter();
    while snapshotter.step().unwrap().is_some() {}
    let newest = number(host.files("snapshot-").last().unwrap(), 0);
    let open = |host: &Host| host.files("journal-").last().map(|path| host.disk.fork().read(path).unwrap().len());
    while after(&host, newest).len() < 4 || open(&host) < Some(250) {
        host.append(&mut recovered, 1).unwrap();
    }
    drop(recovered);
    assert_eq!(host.files("snapshot-").len(), 2);
    assert!(host.files("archive-").len() >= 2 && host.files("journal-").len() > 5);
    host.assert_whole("at the beginning");
    host
}

/// The segments that begin after `last`.
fn after(host: &Host, last: Lsn) -> Vec<PathBuf> {
    host.files("journal-").into_iter().filter(|path| number(path, 0) > last).collect()
}

/// Recovers a damaged copy and names what came of it; panics at silent loss.
fn outcome(host: &Host, why: &str) -> Outcome {
    let report = check::<Toy>(&host.disk, &host.dir, &SERVER).unwrap();
    let fork = host.fork();
    match fork.recover() {
        Ok(recovered) => {
            let said = |wanted: fn(&Note) -> bool| recovered.notes.iter().any(wanted);
            if said_cut(&recovered.notes) {
                assert!((0..=host.told).any(|batches| recovered.state == state_after(batches)), "{why}");
                assert!(said_cut(&report.notes), "{why}: the check is silent");
                return Cut;
            }
            assert_eq!(recovered.state, state_after(host.told), "{why}: silent loss");
            if said(|note| matches!(note, Note::SnapshotUnusable(_))) {
                assert!(!report.is_good(), "{why}: the check is silent");
                FellBack
            } else if said(|note| matches!(note, Note::ArchiveGap { .. })) {
                assert!(!report.is_good(), "{why}: the check is silent");
                Gap
            } else {
                Whole
            }
        }
        Err(StoreError::Damaged { file, repair, .. }) => {
            assert_eq!(repair, "rejoin admin repair --state state", "{why}");
            assert!(file.starts_with("state"), "{why}");
            assert!(!report.is_good() && report.last.is_none(), "{why}: the check is silent");
            Refused
        }
        Err(error) => panic!("{why}: {error}"),
    }
}

/// After a repair the directory is whole, holds all up to some append, and has the originals.
fn assert_repairable(host: &Host, why: &str) {
    let before = host.disk.used();
    let plan = plan_repair::<Toy>(&host.disk, &host.dir, &settings()).unwrap();
    let (done, folder) = repair::<Toy>(&host.disk, &host.dir, &settings()).unwrap_or_else(|e| panic!("{why}: {e}"));
    assert_eq!(plan.to_string(), done.to_string(), "{why}");
    let report = check::<Toy>(&host.disk, &host.dir, &SERVER).unwrap();
    assert!(report.is_good(), "{why}: {:?}\n{done}", report.findings);
    let mut recovered = host.fork().recover().unwrap();
    let kept = (0..=host.told).find(|batches| recovered.state == state_after(*batches));
    let kept = kept.unwrap_or_else(|| panic!("{why}: {:?}\n{done}", recovered.state));
    assert_eq!((recovered.last, done.keeps), (Lsn(facts_in(kept)), Lsn(facts_in(kept))), "{why}");
    let lost = facts_in(host.told) - facts_in(kept);
    assert!(done.lost_facts <= lost, "{why}: {} {lost}", done.lost_facts);
    if folder.is_some() {
        assert!(host.disk.used() >= before, "{why}: an original is gone\n{done}");
    }
    recovered.journal.append(&[vec![ToyFact::Put(u64::MAX, 1)]]).unwrap();
}

/// What a damage does to one host.
type Harm = (&'static str, fn(&Host, &Path));

/// The ways a whole file can be damaged.
const HARMS: [Harm; 6] = [
    ("missing", |host, path| assert!(host.disk.lose(path))),
    ("empty", |host, path| assert!(host.disk.damage(path, Vec::clear))),
    ("half", |host, path| assert!(host.disk.damage(path, |bytes| bytes.truncate(bytes.len() / 2 - 5)))),
    ("zeros", |host, path| assert!(host.disk.damage(path, |bytes| bytes.fill(0)))),
    ("longer", |host, path| assert!(host.disk.damage(path, |bytes| bytes.extend([1, 2, 3])))),
    ("zeros within", |host, path| {
        assert!(host.disk.damage(path, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle - 20..middle + 20].fill(0);
        }));
    }),
];

#[test]
fn every_damage_has_its_outcome() {
    let host = host();
    let snapshots = host.files("snapshot-");
    let newest = number(&snapshots[1], 0);
    let sealed = after(&host, newest);
    let old = host.files("journal-")[1].clone();
    assert!(number(&old, 0) <= newest);
    let archive = host.files("archive-")[0].clone();
    // In the order of `HARMS`.
    let table = [
        ("the older snapshot", &snapshots[0], [Whole; 6]),
        ("the newer snapshot", &snapshots[1], [Whole, FellBack, FellBack, FellBack, FellBack, FellBack]),
        ("a segment only the older snapshot needs", &old, [Whole; 6]),
        ("the first segment after the newer snapshot", &sealed[0], [Refused; 6]),
        ("a sealed segment", &sealed[1], [Refused; 6]),
        ("the open segment", sealed.last().unwrap(), [Refused, Refused, Cut, Refused, Cut, Refused]),
        ("an archive", &archive, [Gap, Whole, Whole, Whole, Whole, Whole]),
    ];
    for (file, path, outcomes) in table {
        for ((harm, act), expected) in HARMS.into_iter().zip(outcomes) {
            let why = format!("{file}: {harm}");
            let damaged = host.fork();
            act(&damaged, path);
            assert_eq!(outcome(&damaged, &why), expected, "{why}");
            // A snapshot may be absent: the other one and the journal hold the same.
            let harmless = snapshots.contains(path) && harm == "missing";
            let report = check::<Toy>(&damaged.disk, &damaged.dir, &SERVER).unwrap();
            assert_eq!(report.is_good(), harmless || expected == Cut, "{why}: {:?}", report.findings);
            assert_repairable(&damaged, &why);
        }
    }
}

#[test]
fn every_flipped_bit_in_every_file_is_noticed() {
    let host = host();
    let mut seeded = Seeded(3);
    let open = host.files("journal-").pop().unwrap();
    let kinds = ["snapshot-", "journal-", "archive-"];
    for path in kinds.into_iter().flat_map(|kind| host.files(kind)) {
        let len = host.disk.fork().read(&path).unwrap().len();
        let stride = 1 + len / 32;
        for byte in (0..len).step_by(stride) {
            let bit = seeded.up_to(7);
            let why = format!("{}: bit {bit} of byte {byte}", path.display());
            let damaged = host.fork();
            assert!(damaged.disk.damage(&path, |bytes| bytes[byte] ^= 1 << bit));
            let outcome = outcome(&damaged, &why);
            assert!(outcome != Cut || path == open, "{why}: {outcome:?}");
            let report = check::<Toy>(&damaged.disk, &damaged.dir, &SERVER).unwrap();
            assert!(!report.is_good() || outcome == Cut, "{why}: the check is silent");
            if byte % 8 == 0 {
                assert_repairable(&damaged, &why);
            }
        }
    }
}

#[test]
fn an_end_that_was_cut_between_two_appends_shows_only_in_the_last_number() {
    let host = host();
    let open = host.files("journal-").pop().unwrap();
    // A copy made before the last append: the limit of what files can tell. A server that remembers the number of its
    // last fact elsewhere sees it in `last`.
    let mut later = host.fork();
    let bytes = host.disk.fork().read(&open).unwrap();
    let mut recovered = later.recover_and_compare("before");
    later.append(&mut recovered, 1).unwrap();
    drop(recovered);
    later.disk.damage(&open, |now| *now = bytes);
    let recovered = later.recover().unwrap();
    assert_eq!((recovered.state, recovered.last), (state_after(host.told), Lsn(facts_in(host.told))));
}

#[test]
fn the_error_names_file_and_byte() {
    let host = host();
    let newest = number(&host.files("snapshot-")[1], 0);
    let path = after(&host, newest)[1].clone();
    host.disk.damage(&path, |bytes| bytes[100] ^= 1);
    let Err(error) = host.recover() else { panic!("recovered") };
    assert!(
        matches!(&error, StoreError::Damaged { file, byte: 84, why: Damage::Checksum, .. } if *file == path),
        "{error}"
    );
}

#[test]
fn swapped_files_are_noticed() {
    let host = host();
    let newest = number(&host.files("snapshot-")[1], 0);
    let segments = after(&host, newest);
    // No snapshot is what its name says then, and the journal does not reach back to the first fact.
    for (kind, expected) in [("snapshot-", Refused), ("archive-", Whole)] {
        let (damaged, files) = (host.fork(), host.files(kind));
        damaged.disk.swap(&files[0], &files[1]);
        assert_eq!(outcome(&damaged, kind), expected);
        assert!(!check::<Toy>(&damaged.disk, &damaged.dir, &SERVER).unwrap().is_good());
        assert_repairable(&damaged, kind);
    }
    for one in 0..segments.len() - 1 {
        let damaged = host.fork();
        damaged.disk.swap(&segments[one], &segments[one + 1]);
        let why = format!("segments {one} and {}", one + 1);
        assert_eq!(outcome(&damaged, &why), Refused, "{why}");
        let refused = damaged.fork().recover().err().unwrap();
        assert!(matches!(refused, StoreError::Damaged { byte: 0, why: Damage::Order { .. }, .. }), "{why}: {refused}");
        assert_repairable(&damaged, &why);
    }
}

#[test]
fn a_segment_of_another_time_does_not_fit() {
    let here = host();
    let there = here.fork();
    // The same numbers and sizes, other facts: as after a restored copy that went its own way.
    for (host, value) in [(&here, 1), (&there, 2)] {
        let mut recovered = host.recover().unwrap();
        for number in 0..60 {
            recovered.journal.append(&[vec![ToyFact::Put(1_000_000 + number, value)]]).unwrap();
        }
    }
    let newest = here.files("journal-").pop().unwrap();
    let bytes = there.disk.read(&newest).unwrap();
    assert!(here.disk.damage(&newest, |mine| *mine = bytes));
    let refused = here.recover().err().unwrap();
    assert!(matches!(&refused, StoreError::Damaged { file, why: Damage::Chain, .. } if *file == newest), "{refused}");
    assert!(!check::<Toy>(&here.disk, &here.dir, &SERVER).unwrap().is_good());
}

#[test]
fn both_snapshots_damaged_is_refused_and_repaired_to_a_beginning() {
    let host = host();
    for path in host.files("snapshot-") {
        host.disk.damage(&path, |bytes| bytes[100] ^= 1);
    }
    assert_eq!(outcome(&host, "both"), Refused);
    let plan = plan_repair::<Toy>(&host.disk, &host.dir, &settings()).unwrap();
    assert_eq!((plan.keeps, plan.lost_facts), (Lsn(0), facts_in(host.told)));
    assert_repairable(&host, "both");
}

#[test]
fn one_damaged_snapshot_and_one_damaged_segment_lose_only_what_follows() {
    let host = host();
    let newer = host.files("snapshot-").pop().unwrap();
    host.disk.damage(&newer, |bytes| bytes[100] ^= 1);
    let segments = after(&host, number(&newer, 0));
    host.disk.damage(&segments[1], |bytes| bytes[200] ^= 1);
    assert_eq!(outcome(&host, "two"), Refused);
    let plan = plan_repair::<Toy>(&host.disk, &host.dir, &settings()).unwrap();
    assert!(plan.keeps >= Lsn(number(&segments[1], 0).0 - 1), "{plan}");
    assert_eq!(plan.keeps.0 + plan.lost_facts, facts_in(host.told), "{plan}");
    assert_repairable(&host, "two");
}

#[test]
fn a_repair_cut_short_at_every_operation_can_be_repeated() {
    let host = host();
    let newer = host.files("snapshot-").pop().unwrap();
    let segments = after(&host, number(&newer, 0));
    for (path, byte) in [(&segments[1], 200), (&segments[1], 20), (&host.files("archive-")[0], 100), (&newer, 100)] {
        let damaged = host.fork();
        damaged.disk.damage(path, |bytes| bytes[byte] ^= 1);
        let calm = damaged.fork();
        let (plan, _) = repair::<Toy>(&calm.disk, &calm.dir, &settings()).unwrap();
        for cut in 1..=calm.disk.operations() {
            let why = format!("{}, cut at {cut}", path.display());
            let host = damaged.fork();
            host.disk.cut_power_at(cut);
            assert!(repair::<Toy>(&host.disk, &host.dir, &settings()).is_err(), "{why}");
            host.disk.crash(cut);
            repair::<Toy>(&host.disk, &host.dir, &settings()).unwrap_or_else(|error| panic!("{why}: {error}"));
            let recovered = host.recover().unwrap_or_else(|error| panic!("{why}: {error}"));
            assert_eq!(recovered.last, plan.keeps, "{why}");
            drop(recovered);
            assert!(check::<Toy>(&host.disk, &host.dir, &SERVER).unwrap().is_good(), "{why}");
        }
    }
}

#[test]
fn another_server_and_a_newer_format_are_refused() {
    let host = host();
    let other = Settings { server: [8; 32], ..settings() };
    let refused = recover::<Toy>(&host.shared(), &host.dir, &other).err().unwrap();
    assert!(matches!(refused, StoreError::OtherServer { .. }), "{refused}");
    let open = host.files("journal-").pop().unwrap();
    host.disk.damage(&open, |bytes| bytes[8..12].copy_from_slice(&[9, 0, 0xf6, 0xff]));
    let refused = host.recover().err().unwrap();
    assert!(matches!(refused, StoreError::NewerFormat { version: 9, .. }), "{refused}");
}
