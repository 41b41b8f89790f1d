//! Backups: consistent while the server runs, checked, and marked when put back.

use rejoin::store::{RESTORED, backup, restore};

use super::*;

/// Where the backup goes, and where it is put back.
const COPY: &str = "copy";
const BACK: &str = "back";

/// The same host with its state in another directory.
fn at(host: &Host, dir: &str) -> Host {
    Host { dir: PathBuf::from(dir), ..host.clone() }
}

#[test]
fn a_backup_of_a_running_server_has_all_that_was_acknowledged() {
    let mut host = Host::new();
    let mut recovered = host.work(50).unwrap();
    let report = backup::<Toy>(&host.disk, &host.dir, Path::new(COPY), &SERVER).unwrap();
    assert_eq!(report.last, Some(Lsn(facts_in(host.told))));
    at(&host, COPY).assert_whole("copy");
    host.append(&mut recovered, 1).unwrap();
    let told = host.told;
    restore::<Toy>(&host.disk, Path::new(COPY), Path::new(BACK), &SERVER).unwrap();
    let mut back = Host { told: told - 1, ..at(&host, BACK) };
    assert!(host.disk.list(Path::new(BACK)).unwrap().contains(&PathBuf::from(BACK).join(RESTORED)));
    let mut recovered = back.recover_and_compare("back");
    for _ in 0..30 {
        back.append(&mut recovered, 1).unwrap();
    }
    while back.snapshotter().step().unwrap().is_some() {}
    back.assert_whole("back");
}

#[test]
fn a_backup_beside_appends_and_snapshots_is_whole() {
    let mut host = Host::new();
    drop(host.work(10).unwrap());
    let told = host.told;
    let disk = host.disk.clone();
    let server = std::thread::spawn(move || {
        for _ in 0..4 {
            drop(host.work(60).unwrap());
        }
        host
    });
    let mut copies = 0;
    while !server.is_finished() || copies == 0 {
        let to = PathBuf::from(format!("copy-{copies}"));
        match backup::<Toy>(&disk, Path::new("state"), &to, &SERVER) {
            Ok(report) => {
                let copy = Host { disk: disk.clone(), dir: to, told: 0, asked: 0 };
                let recovered = copy.recover().unwrap();
                assert_eq!(Some(recovered.last), report.last);
                let batches = (told..).find(|batches| facts_in(*batches) >= recovered.last.0).unwrap();
                assert_eq!(recovered.state, state_after(batches));
                copy.assert_archived("copy");
            }
            Err(error) => assert!(matches!(error, StoreError::Restless { .. }), "{error}"),
        }
        copies += 1;
    }
    drop(server.join().unwrap());
}

#[test]
fn a_copy_cut_short_at_every_operation_is_refused_or_whole() {
    let mut host = Host::new();
    drop(host.work(30).unwrap());
    let calm = host.fork();
    backup::<Toy>(&calm.disk, &calm.dir, Path::new(COPY), &SERVER).unwrap();
    for cut in 1..=calm.disk.operations() {
        let host = host.fork();
        host.disk.cut_power_at(cut);
        assert!(backup::<Toy>(&host.disk, &host.dir, Path::new(COPY), &SERVER).is_err());
        host.disk.crash(cut);
        let copy = at(&host, COPY);
        match copy.recover() {
            Ok(recovered) if recovered.last == Lsn(0) => {
                let files = host.disk.list(Path::new(COPY)).unwrap();
                assert_eq!(files.len(), 2, "cut at {cut}: {files:?}");
                continue;
            }
            Ok(recovered) => assert_eq!(recovered.state, state_after(host.told), "cut at {cut}"),
            Err(error) => {
                assert!(matches!(error, StoreError::UnfinishedCopy { .. }), "cut at {cut}: {error}");
                backup::<Toy>(&host.disk, &host.dir, Path::new(COPY), &SERVER).unwrap();
                copy.assert_whole("repeated");
            }
        }
    }
}

#[test]
fn a_copy_never_mixes_and_never_hides_damage() {
    let mut host = Host::new();
    let empty = backup::<Toy>(&host.disk, &host.dir, Path::new(COPY), &SERVER).unwrap_err();
    assert!(matches!(empty, StoreError::NoState { .. }), "{empty}");
    drop(host.work(30).unwrap());
    backup::<Toy>(&host.disk, &host.dir, Path::new(COPY), &SERVER).unwrap();
    let twice = backup::<Toy>(&host.disk, &host.dir, Path::new(COPY), &SERVER).unwrap_err();
    assert!(matches!(twice, StoreError::NotEmpty { .. }), "{twice}");
    for kind in ["snapshot-", "journal-", "archive-"] {
        let host = host.fork();
        let copy = at(&host, COPY);
        host.disk.damage(&copy.files(kind)[0], |bytes| bytes[90] ^= 1);
        let refused = restore::<Toy>(&host.disk, Path::new(COPY), Path::new(BACK), &SERVER).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged { .. }), "{kind}: {refused}");
        assert!(host.disk.list(Path::new(BACK)).unwrap().is_empty(), "{kind}");
    }
}
