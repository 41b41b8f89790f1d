//! Errors of the disk while the server runs.

use std::io::ErrorKind;

use rejoin::store::toy::ToyFact;
use rejoin::store::{FRAME_BODY_BYTES_MAX, RecordLog, StoreError};

use super::*;

#[test]
fn a_failed_sync_is_final_and_only_recovery_helps() {
    let mut host = Host::new();
    let mut recovered = host.recover_and_compare("first");
    host.append(&mut recovered, 1).unwrap();
    host.disk.fail_at(host.disk.operations() + 2, ErrorKind::Other);
    assert!(matches!(host.append(&mut recovered, 1), Err(StoreError::SyncFailed { .. })));
    let operations = host.disk.operations();
    for _ in 0..3 {
        let again = recovered.journal.append(&[batch(host.told)]);
        assert!(matches!(again, Err(StoreError::SyncFailed { .. })), "{again:?}");
    }
    assert_eq!(host.disk.operations(), operations, "nothing is tried again");
    drop(recovered);
    host.disk.crash(1);
    assert_eq!(host.recover_and_compare("after").last, Lsn(facts_in(1)));
}

#[test]
fn every_single_failing_operation_loses_nothing() {
    let mut calm = Host::new();
    drop(calm.work(30).unwrap());
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        for operation in 1..=calm.disk.operations() {
            let why = format!("{kind} at {operation}");
            let mut host = Host::new();
            host.disk.fail_at(operation, kind);
            drop(host.work(30));
            host.disk.crash(operation);
            drop(host.recover_and_compare(&why));
            host.assert_whole(&why);
        }
    }
}

#[test]
fn a_full_disk_refuses_and_works_again_when_there_is_room() {
    for room in 0..300 {
        let mut host = Host::new();
        let mut recovered = host.recover_and_compare("first");
        host.append(&mut recovered, 3).unwrap();
        host.disk.set_capacity(Some(host.disk.used() + room));
        let error = loop {
            if let Err(error) = host.append(&mut recovered, 1) {
                break error;
            }
        };
        assert!(matches!(error, StoreError::Full { .. }), "room {room}: {error}");
        host.asked = 0;
        let (told, state) = (host.told, host.fork());
        state.disk.crash(room);
        assert_eq!(state.recover().unwrap().state, state_after(told), "room {room}: refused is not there");
        let again = host.append(&mut recovered, 1).unwrap_err();
        assert!(matches!(again, StoreError::Full { .. }), "room {room}: {again}");
        host.asked = 0;
        host.disk.set_capacity(None);
        for _ in 0..20 {
            host.append(&mut recovered, 1).unwrap();
        }
        drop(recovered);
        host.disk.crash(room);
        drop(host.recover_and_compare("after"));
        host.assert_whole("after");
    }
}

#[test]
fn a_snapshot_that_finds_the_disk_full_leaves_nothing_behind() {
    let mut host = Host::new();
    let mut recovered = host.recover_and_compare("first");
    for _ in 0..20 {
        host.append(&mut recovered, 2).unwrap();
    }
    let before = host.disk.used();
    host.disk.set_capacity(Some(before + 200));
    assert!(matches!(host.snapshotter().step(), Err(StoreError::Full { .. })));
    assert!(host.disk.used() <= before + 200);
    host.disk.set_capacity(None);
    assert!(host.snapshotter().step().unwrap().is_some());
    host.assert_whole("after");
}

#[test]
fn many_batches_share_frames_and_a_batch_that_fits_none_is_refused() {
    let mut host = Host::new();
    let mut recovered = host.recover_and_compare("first");
    let large = |number: u64, len: usize| vec![ToyFact::PutLarge(number, vec![1; len])];
    let too_large = recovered.journal.append(&[large(0, FRAME_BODY_BYTES_MAX)]);
    assert!(matches!(too_large, Err(StoreError::TooLarge { .. })), "{too_large:?}");
    let syncs = host.disk.calls("sync");
    let batches: Vec<_> = (1..=5).map(|number| large(number, FRAME_BODY_BYTES_MAX / 2 - 100)).collect();
    assert_eq!(recovered.journal.append(&batches).unwrap(), Lsn(5));
    assert_eq!(host.disk.calls("sync") - syncs, 3, "two fit a frame");
    assert_eq!(recovered.journal.append(&[]).unwrap(), Lsn(5));
    assert_eq!(recovered.journal.append(&[vec![]]).unwrap(), Lsn(5));
    drop(recovered);
    let found = host.recover().unwrap();
    assert_eq!((found.state.open.len(), found.last), (5, Lsn(5)));
}

#[test]
fn a_large_append_that_fills_the_disk_is_taken_back_whole() {
    let host = Host::new();
    let mut recovered = host.recover().unwrap();
    let large = |number: u64| vec![ToyFact::PutLarge(number, vec![1; FRAME_BODY_BYTES_MAX / 2 - 100])];
    host.disk.set_capacity(Some(host.disk.used() + FRAME_BODY_BYTES_MAX as u64 + 1_000));
    let full = recovered.journal.append(&(1..=3).map(large).collect::<Vec<_>>());
    assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");
    for seed in 0..8 {
        let crashed = host.fork();
        crashed.disk.crash(seed);
        assert_eq!(crashed.recover().unwrap().last, Lsn(0), "seed {seed}");
    }
    assert_eq!(recovered.journal.append(&[large(3)]).unwrap(), Lsn(1));
    drop(recovered);
    host.disk.crash(3);
    assert_eq!(host.recover().unwrap().state.open.keys().collect::<Vec<_>>(), [&3]);
}

#[test]
fn an_append_is_one_write_and_one_sync() {
    let mut host = Host::new();
    let mut recovered = host.recover_and_compare("first");
    let before = (host.disk.calls("append"), host.disk.calls("sync"), host.disk.operations());
    host.append(&mut recovered, 3).unwrap();
    let after = (host.disk.calls("append"), host.disk.calls("sync"), host.disk.operations());
    assert_eq!(after, (before.0 + 1, before.1 + 1, before.2 + 2));
}

#[test]
fn a_record_log_survives_power_cuts_at_every_operation() {
    let path = Path::new("state/match");
    let work = |disk: &FaultyDisk, told: &mut Vec<Vec<u8>>| -> Result<(), StoreError> {
        disk.create_dir(Path::new("state")).map_err(|_| StoreError::NoState { dir: PathBuf::new() })?;
        let mut log = RecordLog::open(disk, path, SERVER, 5)?.log;
        for number in 0..6u8 {
            log.append(&[&[number], &[]])?;
            told.extend([vec![number], vec![]]);
        }
        Ok(())
    };
    let calm = FaultyDisk::new();
    work(&calm, &mut Vec::new()).unwrap();
    for cut in 1..=calm.operations() {
        let disk = FaultyDisk::new();
        let mut told = Vec::new();
        disk.cut_power_at(cut);
        assert!(work(&disk, &mut told).is_err());
        disk.crash(cut);
        disk.create_dir(Path::new("state")).unwrap();
        let mut opened = RecordLog::open(&disk, path, SERVER, 6).unwrap();
        assert!(opened.records.starts_with(&told) && opened.records.len() <= told.len() + 2, "cut at {cut}");
        opened.log.append(&[b"more"]).unwrap();
        opened.records.push(b"more".to_vec());
        disk.crash(cut);
        let again = RecordLog::open(&disk, path, SERVER, 7).unwrap();
        assert_eq!((again.records, again.bytes_cut), (opened.records, 0), "cut at {cut}");
    }
}

#[test]
fn a_record_log_refuses_rot_and_other_owners() {
    let disk = FaultyDisk::new();
    let path = Path::new("state/match");
    disk.create_dir(Path::new("state")).unwrap();
    let mut log = RecordLog::open(&disk, path, SERVER, 5).unwrap().log;
    for number in 0..3u8 {
        log.append(&[&[number; 20]]).unwrap();
    }
    assert!(matches!(RecordLog::open(&disk, path, [8; 32], 5), Err(StoreError::OtherServer { .. })));
    let len = disk.read(path).unwrap().len();
    for byte in 0..len {
        let disk = disk.fork();
        disk.damage(path, |bytes| bytes[byte] ^= 4);
        match RecordLog::open(&disk, path, SERVER, 5) {
            Ok(opened) => assert!(opened.records.len() == 2 && opened.bytes_cut > 0, "byte {byte}"),
            Err(error) => {
                assert!(matches!(error, StoreError::Damaged { .. }) && byte < len - 28, "byte {byte}: {error}")
            }
        }
    }
}

#[test]
fn a_real_disk_recovers_too() {
    let root = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(rejoin::store::HostDisk);
    let dir = root.path().join("state");
    for life in 0..4 {
        let mut recovered = recover::<Toy>(&disk, &dir, &settings()).unwrap();
        assert_eq!(recovered.state, state_after(life * 20), "life {life}");
        for number in life * 20..(life + 1) * 20 {
            recovered.journal.append(&[batch(number)]).unwrap();
        }
        Snapshotter::<Toy>::new(Arc::clone(&disk), &dir, settings()).step().unwrap().unwrap();
    }
    let report = check::<Toy>(&*disk, &dir, &SERVER).unwrap();
    assert!(report.is_good() && report.snapshots == 2 && report.records > 0, "{report:?}");
}
