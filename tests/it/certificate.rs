//! A server over days: its certificate is renewed while it serves.

use std::fs;
use std::path::Path;

use rejoin::net::certificate::RENEW_EVERY;
use rejoin::net::host::HostNet;
use rejoin::net::seam::Net;
use rejoin::ops::event;

use crate::net::{Operator, operator};
use crate::rig::{Watched, patiently, unstarted};

/// The clock of timers stands while anything is to be done, and jumps to the next timer when nothing is: a day passes at
/// once. Nobody can be connected meanwhile, whose silence would last as long.
#[tokio::test(start_paused = true)]
pub(crate) async fn a_certificate_that_cannot_be_renewed_is_an_error_and_the_server_goes_on() {
    let watched = Watched::here();
    watched.expects(event::CERTIFICATE_FAILED);
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("certs");
    fs::create_dir(&certs).unwrap();
    let Operator { chain_pem, key_pem, .. } = operator();
    put(&certs, &chain_pem, &key_pem);
    let listener = HostNet.listen("127.0.0.1:0".parse().unwrap(), 16).await.unwrap();
    let running = unstarted(dir.path()).spawn(listener).unwrap();
    // The operator has put a new chain there, and left the old key.
    put(&certs, &operator().chain_pem, &key_pem);
    tokio::time::sleep(RENEW_EVERY + RENEW_EVERY / 2).await;
    let said = watched.log.text();
    assert_eq!(watched.log.count(&["ERROR", "event=\"certificate-failed\"", "tls."]), 1, "{said}");
    tokio::time::resume();
    patiently("the server to stop", running.stop(std::time::Duration::ZERO)).await.unwrap();
}

fn put(certs: &Path, chain: &str, key: &str) {
    fs::write(certs.join("tls.pem"), chain).unwrap();
    fs::write(certs.join("tls.key"), key).unwrap();
    #[cfg(unix)]
    fs::set_permissions(certs.join("tls.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}
