//! Bytes that are no frames, frames that are no messages, and silence.

use std::time::Duration;

use rejoin::model::id::{Name, RequestSeq, Run};
use rejoin::model::limits::{FIRST_FRAME_MAX, FRAME_BYTES_STRANGER_MAX, HANDSHAKE_MAX};
use rejoin::model::message::{CloseReason, Command, Hello, ToClient, ToServer};
use rejoin::model::password::Password;
use rejoin::model::refusal::Refusal;
use rejoin::model::time::Clock;
use rejoin::net::tls::{self, TlsError};
use rejoin::ops::host::HostClock;
use rejoin::wire;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{Honest, Line, PASSWORD, RawClient, TLS, TestServer, frame, patiently};

/// How much later than its limit the server may act on a busy machine.
const LATE: Duration = Duration::from_secs(2);
const MALFORMED: ToClient = ToClient::Closing { why: CloseReason::Malformed, retry_after_ms: 0 };

#[tokio::test]
pub(crate) async fn what_is_not_tls_is_turned_away() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    for bytes in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &[0; 600], &[0xff; 600], b"\x16\x03\x01\xff\xff"] {
        let mut stream = server.dial().await;
        stream.write_all(bytes).await.unwrap();
        // The last of them announces more than it sends.
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = patiently("the server to hang up", stream.read_to_end(&mut answer)).await;
        assert!(answer.len() < 50, "an alert at most: {answer:?}");
    }
    server.log.line(&["turned-away", "no TLS connection came about"]).await;
    honest.finish();
}

#[tokio::test]
async fn who_does_not_name_the_protocol_is_turned_away() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut config = ClientConfig::clone(&TLS);
    config.alpn_protocols.clear();
    let outcome = tls::connect(server.dial().await, &config.into(), "localhost").await;
    assert!(matches!(outcome.unwrap_err(), TlsError::Protocol));
    server.log.line(&["turned-away", "does not speak rejoin/1"]).await;
    honest.finish();
}

#[tokio::test]
pub(crate) async fn bytes_that_are_no_message_end_the_connection_with_a_reason() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let ping = wire::encode(&ToServer::Ping(7));
    let mut wrong_checksum = ping.clone();
    wrong_checksum[4] ^= 1;
    let trailing = frame(&[3, 7, 7]);
    let short = frame(&[3]);
    let hello = wire::encode(&ToServer::Hello(Hello { min: 1, max: 1, run: Run(1) }));
    let four_gib = [&[0xff; 4][..], &ping[4..]].concat();
    let limit = u32::try_from(FRAME_BYTES_STRANGER_MAX).unwrap();
    let over_the_limit = [&(limit + 1).to_le_bytes()[..], &ping[4..]].concat();

    for bad in [&wrong_checksum, &trailing, &short, &hello, &four_gib, &over_the_limit] {
        let mut client = RawClient::connect(&server).await;
        client.send_raw(bad).await;
        assert_eq!(client.closing().await, CloseReason::Malformed, "{bad:02x?}");
    }
    for bad in [&wrong_checksum, &ping, &four_gib] {
        let mut line = Line::open(&server).await;
        line.send_raw(bad).await;
        assert_eq!(line.rest().await, [MALFORMED], "as the first frame: {bad:02x?}");
    }
    server.log.line(&["misbehaved", "Malformed"]).await;
    honest.finish();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_announced_length_costs_the_server_no_memory() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let before = address_space_bytes();
    let mut lines = Vec::new();
    for _ in 0..8 {
        let mut line = Line::open(&server).await;
        let version = wire::VERSION;
        line.send_raw(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, version, 0]).await;
        assert_eq!(line.rest().await, [MALFORMED]);
        lines.push(line);
    }
    // Other tests take memory too, but not the 32 GiB announced, nor the 4 of one.
    assert!(address_space_bytes() - before < 4 << 30);
    honest.finish();
}

/// The most address space this process ever had.
#[cfg(target_os = "linux")]
fn address_space_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn a_message_of_an_unknown_kind_is_passed_over() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut client = RawClient::connect(&server).await;
    for kind in [10, 99, 127] {
        client.send_raw(&frame(&[kind, 1, 2, 3])).await;
        let told = |message: &ToClient| (*message == ToClient::Unsupported { kind }).then_some(());
        client.wait("word of the unknown kind", told).await;
    }
    client.ping(5).await;
    honest.finish();
}

#[tokio::test]
async fn another_version_is_told_which_is_spoken_here() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let upgrade = ToClient::UpgradeRequired { min: wire::VERSION_MIN, max: wire::VERSION_MAX };
    let hello = |min, max| wire::encode(&ToServer::Hello(Hello { min, max, run: Run(1) }));
    let mut other_frame = hello(2, 2);
    other_frame[8] = 1;
    for first in [hello(3, 4), hello(0, 1), other_frame.clone()] {
        let mut line = Line::open(&server).await;
        line.send_raw(&first).await;
        assert_eq!(line.rest().await.as_slice(), std::slice::from_ref(&upgrade), "{first:02x?}");
    }
    let mut client = RawClient::connect(&server).await;
    client.send_raw(&other_frame).await;
    assert_eq!(client.rest().await, [upgrade], "also later on");

    let mut line = Line::open(&server).await;
    line.send_raw(&hello(1, 9)).await;
    drop(line.hello().await);
    honest.finish();
}

/// All at once, because each takes as long as the server is patient.
#[tokio::test]
async fn who_says_nothing_or_half_a_word_is_hung_up_on_in_time() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let clock = HostClock::start();
    let within = |limit: Duration| {
        let took = Duration::from_millis(clock.now().0);
        assert!(took >= limit / 2, "it hung up after {took:?} already");
        assert!(took < limit + LATE, "it hung up only after {took:?}");
    };
    let silent = [ToClient::Closing { why: CloseReason::Silent, retry_after_ms: 0 }];
    let nothing_at_all = async {
        let mut stream = server.dial().await;
        let _ = patiently("the server to hang up", stream.read_to_end(&mut Vec::new())).await;
        within(HANDSHAKE_MAX);
    };
    let no_hello = async {
        let mut line = Line::open(&server).await;
        assert_eq!(line.rest().await, silent);
        within(FIRST_FRAME_MAX);
    };
    let half_a_hello = async {
        let mut line = Line::open(&server).await;
        let hello = wire::encode(&ToServer::Hello(Hello { min: 1, max: 1, run: Run(1) }));
        line.send_raw(&hello[..hello.len() / 2]).await;
        assert_eq!(line.rest().await, silent);
        within(FIRST_FRAME_MAX);
    };
    let letter_by_letter = async {
        let line = Line::open(&server).await;
        let said = line.drip(&frame(&[0; 4000]), Duration::from_millis(100)).await;
        assert_eq!(said, silent, "letters are no frames");
        within(FIRST_FRAME_MAX);
    };
    tokio::join!(nothing_at_all, no_hello, half_a_hello, letter_by_letter);
    honest.finish();
}

#[tokio::test]
async fn what_no_client_of_ours_can_say_is_no_message() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let password = Password::new(PASSWORD).unwrap();
    let name = Name::new("NAMENAME").unwrap();
    let add = wire::encode(&ToServer::Request { seq: RequestSeq(1), command: Command::AddUser { name, password } });
    for bad in ["\u{1b}[31mRED", "ab\r\ncdef", "a b c d ", "../../xy", "ａｄ\0\0"] {
        assert_eq!(bad.len(), 8);
        let message = replaced(&add[9..], b"NAMENAME", bad.as_bytes());
        let mut client = RawClient::connect(&server).await;
        client.send_raw(&frame(&message)).await;
        assert_eq!(client.closing().await, CloseReason::Malformed, "{bad:?}");
    }
    let mut client = RawClient::connect(&server).await;
    client.send_raw(&frame(&password_of(1025))).await;
    assert_eq!(client.closing().await, CloseReason::Malformed, "a password of 1,025 bytes");

    let mut client = RawClient::connect(&server).await;
    client.send_raw(&frame(&password_of(1024))).await;
    assert!(client.answer(RequestSeq(1)).await.is_ok(), "one of 1,024 is a password");
    assert_eq!(client.add_user("bob", "1234567").await, Err(Refusal::BadPassword), "one of 7 is too short");
    assert!(!server.log.text().contains('\u{1b}'), "no letter of theirs gets into the log");
    assert_eq!(server.log.count(&["user-added"]), 3, "the honest two and carol");
    honest.finish();
}

/// `AddUser` with a password of that many bytes, which a client's own type need not hold.
fn password_of(len: usize) -> Vec<u8> {
    let letters = "p".repeat(len);
    // A request is of kind 2, its number is 1, and the first of the commands is `AddUser`.
    postcard::to_allocvec(&(2u8, 1u64, 0u8, "carol", letters)).unwrap()
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}
