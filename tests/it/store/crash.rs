//! Crashes at every operation, and again while recovering from them.

use rejoin::model::id::Lsn;
use rejoin::store::faulty::Seeded;
use rejoin::store::{Note, StoreError};

use super::*;

/// Appends of the workload: enough for several segments and snapshots.
const APPENDS: u64 = 40;

#[test]
fn a_power_cut_at_every_operation_loses_nothing_and_so_does_one_while_recovering() {
    let mut calm = Host::new();
    drop(calm.work(APPENDS).unwrap());
    assert!(calm.files("snapshot-").len() == 2 && calm.files("journal-").len() >= 3);
    for cut in 1..=calm.disk.operations() {
        let mut host = Host::new();
        host.disk.cut_power_at(cut);
        drop(host.work(APPENDS));
        host.disk.crash(cut);
        let mut first = host.fork();
        drop(first.recover_and_compare(&format!("power cut at {cut}")));
        let operations = first.disk.operations();
        first.assert_whole(&format!("power cut at {cut}"));
        for again in 1..=operations {
            let why = format!("power cut at {cut}, then at {again} of the recovery");
            let mut host = host.fork();
            host.disk.cut_power_at(again);
            assert!(host.recover().is_err(), "{why}");
            host.disk.crash(cut * 1_000 + again);
            let mut recovered = host.recover_and_compare(&why);
            host.append(&mut recovered, 1).unwrap();
            drop(recovered);
            host.disk.crash(again);
            drop(host.recover_and_compare(&why));
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_at_any_operation() {
    let mut calm = Host::new();
    drop(calm.work(APPENDS).unwrap());
    for cut in 1..=calm.disk.operations() {
        let mut host = Host::new();
        host.disk.cut_power_at(cut);
        drop(host.work(APPENDS));
        host.disk.kill();
        // What recovery has shown must outlive a power cut that comes right after it.
        drop(host.recover_and_compare(&format!("killed at {cut}")));
        host.disk.crash(cut);
        drop(host.recover_and_compare(&format!("killed at {cut}, then the power")));
        host.assert_whole(&format!("killed at {cut}"));
    }
}

#[test]
fn many_lives_of_one_disk_lose_nothing() {
    for seed in 0..40 {
        let mut seeded = Seeded(seed);
        let mut host = Host::new();
        for life in 0..12 {
            let why = format!("seed {seed}, life {life}");
            host.disk.cut_power_at(host.disk.operations() + 1 + seeded.up_to(120) as u64);
            drop(host.work(seeded.up_to(30) as u64));
            host.disk.crash(seeded.next());
            drop(host.recover_and_compare(&why));
            host.assert_whole(&why);
        }
        assert!(host.told > 20, "seed {seed}: {}", host.told);
    }
}

#[test]
fn what_is_appended_after_a_torn_tail_stays_reachable() {
    let mut host = Host::new();
    let mut recovered = host.recover_and_compare("first");
    host.append(&mut recovered, 2).unwrap();
    drop(recovered);
    let segment = host.files("journal-").pop().unwrap();
    host.disk.damage(&segment, |bytes| bytes.extend_from_slice(&[0x5a; 40]));
    let mut recovered = host.recover_and_compare("torn");
    assert!(said_cut(&recovered.notes), "{:?}", recovered.notes);
    host.append(&mut recovered, 1).unwrap();
    drop(recovered);
    host.disk.crash(1);
    let recovered = host.recover_and_compare("appended after");
    assert!(!said_cut(&recovered.notes));
    assert_eq!(host.told, 3);
}

#[test]
fn a_tail_of_zeros_is_torn() {
    let mut host = Host::new();
    drop(host.work(2).unwrap());
    let segment = host.files("journal-").pop().unwrap();
    host.disk.damage(&segment, |bytes| bytes.resize(bytes.len() + 4096, 0));
    assert!(said_cut(&host.recover_and_compare("zeros").notes));
}

#[test]
fn the_first_start_makes_the_directory_and_says_so() {
    let mut host = Host::new();
    let recovered = host.recover_and_compare("first");
    assert!(matches!(recovered.notes[..], [Note::FirstStart]), "{:?}", recovered.notes);
    assert_eq!((recovered.last, recovered.boot, recovered.journal.boot()), (Lsn(0), 0, 1));
    drop(recovered);
    let again = host.recover_and_compare("again");
    assert!(again.notes.is_empty(), "{:?}", again.notes);
}

#[test]
fn runs_are_counted_and_never_fall() {
    let mut host = Host::new();
    for life in 0..3 {
        let mut recovered = host.recover_and_compare("life");
        assert_eq!((recovered.boot, recovered.journal.boot()), (life, life + 1));
        host.append(&mut recovered, 1).unwrap();
    }
    let mut recovered = host.recover_and_compare("higher");
    recovered.journal.start_boot(50);
    host.append(&mut recovered, 1).unwrap();
    drop(recovered);
    assert_eq!(host.recover_and_compare("after").journal.boot(), 51);
}

#[test]
fn a_directory_is_used_by_one() {
    let mut host = Host::new();
    let held = host.recover_and_compare("first");
    assert!(matches!(host.recover(), Err(StoreError::InUse { .. })));
    drop(held);
    drop(host.recover_and_compare("free again"));
}

#[test]
fn a_snapshot_cut_short_at_every_operation_is_made_again() {
    let mut host = Host::new();
    let mut recovered = host.recover_and_compare("first");
    for _ in 0..30 {
        host.append(&mut recovered, 2).unwrap();
    }
    let calm = host.fork();
    assert!(calm.snapshotter().step().unwrap().is_some());
    for cut in 1..=calm.disk.operations() {
        let why = format!("cut at {cut}");
        let mut host = host.fork();
        host.disk.cut_power_at(cut);
        assert!(host.snapshotter().step().is_err(), "{why}");
        host.disk.crash(cut);
        let mut recovered = host.recover_and_compare(&why);
        for _ in 0..20 {
            host.append(&mut recovered, 2).unwrap();
        }
        drop(recovered);
        host.snapshotter().every(1).step().unwrap();
        host.assert_whole(&why);
        let snapshots = host.files("snapshot-").len();
        assert_eq!(host.files("archive-").len(), snapshots, "{why}: an archive that another covers is gone");
        drop(host.recover_and_compare(&why));
    }
}
