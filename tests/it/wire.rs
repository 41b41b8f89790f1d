//! What is written today must be read for ever: frames and state files as they were when their format was fixed.
//!
//! `golden/wire-v2.txt` has a frame of every message, `golden/state-v2/` the files of a small state directory. To write
//! them anew, which only a new format version can be a reason for: `REJOIN_WRITE_GOLDEN=1 cargo test --test it wire`.

pub(crate) mod samples;
mod state;

use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rejoin::model::limits::FRAME_BYTES_MAX;
use rejoin::model::message::{ToClient, ToPeer, ToServer};
use rejoin::wire::{self, Decoded, Decoder, Wire};

use self::samples::{kind_to_client, kind_to_peer, kind_to_server, to_client, to_peer, to_server};
use crate::rig::frame;

/// Set to write the golden files instead of reading them.
const WRITE: &str = "REJOIN_WRITE_GOLDEN";

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name)
}

fn writes_golden() -> bool {
    std::env::var_os(WRITE).is_some()
}

/// The one message in these bytes.
fn decode<M: Wire>(bytes: &[u8]) -> M {
    let mut decoder = Decoder::new(FRAME_BYTES_MAX);
    decoder.feed(bytes);
    let frame = decoder.next_frame().unwrap().expect("a whole frame");
    assert!(!decoder.is_midway());
    match wire::decode(&frame).unwrap() {
        Decoded::Message(message) => message,
        Decoded::Unknown(kind) => panic!("kind {kind} is not known any more"),
    }
}

/// Lines of the golden file: a name, a space, the frame in hexadecimal.
fn lines<M: Wire>(to: &str, samples: &[(String, M)]) -> Vec<String> {
    samples.iter().map(|(name, message)| format!("{to}/{name} {}", HEXLOWER.encode(&wire::encode(message)))).collect()
}

fn check<M: Wire + PartialEq + Debug>(to: &str, samples: &[(String, M)], kind: fn(&M) -> &str, golden: &str) {
    for (name, message) in samples {
        assert!(name.starts_with(kind(message)), "{name}");
        let start = format!("{to}/{name} ");
        let hex = golden.lines().find_map(|line| line.strip_prefix(&start));
        let hex = hex.unwrap_or_else(|| panic!("{to}/{name} is not in the golden file"));
        let bytes = HEXLOWER.decode(hex.as_bytes()).unwrap();
        assert_eq!(HEXLOWER.encode(&wire::encode(message)), hex, "{to}/{name} is written otherwise");
        assert_eq!(decode::<M>(&bytes), *message, "{to}/{name} is read otherwise");
    }
    let mut kinds: Vec<u8> = samples.iter().map(|(_, message)| wire::encode(message)[9]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, (0..M::KINDS).collect::<Vec<u8>>(), "there is a sample of every kind {to}");
}

#[test]
fn every_message_of_version_2_is_written_and_read_as_ever() {
    let (up, down, across) = (to_server(), to_client(), to_peer());
    let path = golden("wire-v2.txt");
    if writes_golden() {
        let text = [lines("server", &up), lines("client", &down), lines("peer", &across)].concat().join("\n");
        fs::create_dir_all(golden("")).unwrap();
        fs::write(&path, text + "\n").unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    check("server", &up, kind_to_server, &text);
    check("client", &down, kind_to_client, &text);
    check("peer", &across, kind_to_peer, &text);
    assert_eq!(text.lines().count(), up.len() + down.len() + across.len(), "no line is left over");
}

/// Valid messages, cut, flipped, stretched and mixed, behind a good checksum: no panic, and what is read at all is
/// written back to the same bytes, so that nothing has two forms.
#[test]
fn no_mutation_of_a_valid_message_is_more_than_refused() {
    const ROUNDS: usize = 250_000;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let up: Vec<Vec<u8>> = to_server().iter().map(|(_, message)| wire::encode(message)[9..].to_vec()).collect();
    let down: Vec<Vec<u8>> = to_client().iter().map(|(_, message)| wire::encode(message)[9..].to_vec()).collect();
    let across: Vec<Vec<u8>> = to_peer().iter().map(|(_, message)| wire::encode(message)[9..].to_vec()).collect();
    let (mut read, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let good = match round % 3 {
            0 => reads::<ToServer>(&mutated(&up, &mut random)),
            1 => reads::<ToClient>(&mutated(&down, &mut random)),
            _ => reads::<ToPeer>(&mutated(&across, &mut random)),
        };
        if good { read += 1 } else { refused += 1 }
    }
    assert!(read > ROUNDS / 50 && refused > ROUNDS / 4, "{read} were read, {refused} refused");
}

/// Whether it is read as a message.
fn reads<M: Wire>(message: &[u8]) -> bool {
    let mut decoder = Decoder::new(FRAME_BYTES_MAX);
    decoder.feed(&frame(message));
    let frame = decoder.next_frame().expect("the frame is good").expect("and whole");
    match wire::decode::<M>(&frame) {
        Ok(Decoded::Message(read)) => {
            let again = wire::encode(&read);
            let twice = decode::<M>(&again);
            assert_eq!(wire::encode(&twice), again, "it has one meaning");
            true
        }
        Ok(Decoded::Unknown(_)) | Err(_) => false,
    }
}

/// A message with one to four changes.
fn mutated(samples: &[Vec<u8>], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut below = |limit: usize| usize::try_from(random.next_u64() % limit.max(1) as u64).unwrap();
    let mut bytes = samples[below(samples.len())].clone();
    for _ in 0..=below(4) {
        let at = below(bytes.len());
        match below(6) {
            0 => bytes[at] ^= 1 << below(8),
            1 => bytes[at] = u8::try_from(below(256)).unwrap(),
            2 => bytes.truncate(at.max(1)),
            3 => bytes.extend((0..below(40)).map(|_| 0xff)),
            4 => bytes.insert(at, 0x80),
            5 => {
                // The rest of another message.
                let other = &samples[below(samples.len())];
                bytes.truncate(at.max(1));
                bytes.extend_from_slice(&other[below(other.len())..]);
            }
            _ => unreachable!("below 6"),
        }
    }
    bytes
}
