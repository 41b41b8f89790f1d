//! A player who cheats: a program of its own, with the disk and the keys of a real client.
//!
//! It speaks to the server alone; what it sends comes to the other player the way everything does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rejoin::model::client::record::{MatchRecord, SavedSession};
use rejoin::model::games::Seat;
use rejoin::model::id::Run;
use rejoin::model::key::{SecretKey, ServerId};
use rejoin::model::limits::{FRAME_BYTES_MAX, HEARTBEAT_MATCH};
use rejoin::model::message::{Entries, Have, Hello, KeeperMessage, Proofs, ResumeRequest, ToClient, ToServer};
use rejoin::model::sign::{Signed, Verified};
use rejoin::model::statement::{Act, Base, Entry, Foul, Resume};
use rejoin::model::transcript::Transcript;
use rejoin::net::seam::{Dialed, Net, Stream};
use rejoin::net::tls::{self, Secured, Trust};
use rejoin::store::faulty::FaultyDisk;
use rejoin::store::{Disk, RecordLog};
use rejoin::wire::{self, Decoded, Decoder};
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsStream;
use turmoil::Sim;

use super::faults::Death;
use super::net::{SERVER_NAME, SimNet};
use super::world::World;
use crate::sim::plan::{Host, Lie};

/// What a liar has found on the disk.
#[derive(Clone)]
struct Loot {
    server: ServerId,
    session: SavedSession,
    device: SecretKey,
    key: SecretKey,
    seat: Seat,
    chain: Transcript,
}

/// A liar at work.
struct Liar {
    net: SimNet,
    tls: Arc<ClientConfig>,
    loot: Loot,
    lie: Lie,
}

/// A connection that has taken up the session.
struct Line {
    read: ReadHalf<TlsStream<Stream>>,
    write: WriteHalf<TlsStream<Stream>>,
    decoder: Decoder,
}

/// Connections that a liar makes.
const ROUNDS: u32 = 6;
/// How long each is kept.
const ROUND: Duration = Duration::from_millis(1500);
/// Bytes of the head and the checksum of a sealed file.
const SEAL: (usize, usize) = (8, 4);

impl World {
    /// Puts a liar in the place of a player, for good; not if there is nothing to lie about.
    pub(super) fn turn_to_lies(&mut self, player: u8, lie: Lie) -> bool {
        let host = Host::Player(player);
        if !self.can_move(player) {
            return false;
        }
        let user = self.players[usize::from(player)].human.name.clone();
        let Some(machine) = self.machine(host) else { return false };
        let (name, net) = (machine.name.clone(), machine.net());
        let all = loot(&machine.disk.fork(), self.common.server, &user).unwrap_or_default();
        // Whoever has lost may say that it had moved otherwise; all else is about a match that goes on.
        let open = all.iter().find(|loot| loot.chain.decided().is_none());
        let Some(loot) = open.or(all.last().filter(|_| lie == Lie::Equivocate)).cloned() else { return false };
        self.lost(host, name.clone());
        self.losses.wiped.pop();
        self.crash(host, Death::Killed);
        self.players[usize::from(player)].lies = true;
        self.wires.lock().power_on(net.machine);
        let provider = Arc::clone(&self.common.provider);
        let sim = self.sim.as_mut().expect("it is not over");
        sit_down(sim, &format!("liar-{name}"), net, provider, &loot, lie);
        true
    }
}

fn sit_down(sim: &mut Sim<'static>, name: &str, net: SimNet, provider: Arc<CryptoProvider>, loot: &Loot, lie: Lie) {
    let tls = tls::client_config(provider, &Trust::Pin).expect("the provider can do TLS 1.3");
    let loot = loot.clone();
    sim.host(name, move || {
        let liar = Liar { net: net.clone(), tls: Arc::clone(&tls), loot: loot.clone(), lie };
        async move {
            for _ in 0..ROUNDS {
                // A connection that breaks is made anew.
                let _ = liar.round().await;
                sleep(HEARTBEAT_MATCH).await;
            }
            std::future::pending().await
        }
    });
}

/// Reads the keys, and all matches in which this player has moved.
fn loot(disk: &FaultyDisk, server: ServerId, user: &str) -> Option<Vec<Loot>> {
    let path = disk.paths().into_iter().find(|path| path.ends_with(format!("user-{user}/session")))?;
    let of_user = path.parent()?;
    let session: SavedSession = postcard::from_bytes(&unsealed(disk, &path)?).ok()?;
    let device = unsealed(disk, &of_user.join("device.key"))?;
    let device = SecretKey::from_seed(device.as_slice().try_into().ok()?);
    let logs = disk.list(of_user).ok()?.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "log"));
    let matches = logs.filter_map(|path| {
        let opened = RecordLog::open(disk, &path, server.0, 1).ok()?;
        let records: Option<Vec<MatchRecord>> =
            opened.records.iter().map(|bytes| postcard::from_bytes(bytes).ok()).collect();
        let (chain, key) = replay(&records?)?;
        let mine = |seat: &Seat| chain.key_of(chain.grant().epoch, *seat) == Some(&key.public());
        let seat = Seat::BOTH.into_iter().find(mine)?;
        let moved = chain.entries_from(0).iter().any(|entry| entry.body().seat == seat);
        moved.then(|| Loot { server, session: session.clone(), device: device.clone(), key, seat, chain })
    });
    Some(matches.collect())
}

/// The chain of a match file, and the newest key in it.
fn replay(records: &[MatchRecord]) -> Option<(Transcript, SecretKey)> {
    let MatchRecord::Opened { grant, key, .. } = records.first()? else { return None };
    let (mut chain, mut key) = (Transcript::new((**grant).clone()).ok()?, key.key());
    for record in records {
        match record {
            // One that was dropped later does not fit, and need not.
            MatchRecord::Entry(entry) => drop(chain.push(&Verified::from_disk(entry.clone()))),
            MatchRecord::Regranted(grant) => drop(chain.regrant(&Verified::from_disk((**grant).clone()))),
            MatchRecord::Key(newer) => key = newer.key(),
            MatchRecord::Verdict(_)
            | MatchRecord::Opened { .. }
            | MatchRecord::Foul(_)
            | MatchRecord::Held { .. }
            | MatchRecord::WishToResign
            | MatchRecord::Server(_)
            | MatchRecord::Promised(_)
            | MatchRecord::Released
            | MatchRecord::Candidates(_) => {}
        }
    }
    Some((chain, key))
}

fn unsealed(disk: &FaultyDisk, path: &Path) -> Option<Vec<u8>> {
    let bytes = disk.read(path).ok()?;
    bytes.get(SEAL.0..bytes.len().checked_sub(SEAL.1)?).map(<[u8]>::to_vec)
}

impl Liar {
    /// One connection, from the dial to its end.
    async fn round(&self) -> std::io::Result<()> {
        let mut line = self.resume().await?;
        line.send(&self.lies()).await?;
        let listening = async {
            loop {
                drop(line.next().await?);
                line.send(&[ToServer::Ping(0)]).await?;
                sleep(HEARTBEAT_MATCH / 4).await;
            }
        };
        // It hangs up when its time is over.
        timeout(ROUND, listening).await.unwrap_or(Ok(()))
    }

    async fn resume(&self) -> std::io::Result<Line> {
        let broken = std::io::Error::other;
        let addr = self.net.resolve(SERVER_NAME, super::SERVER_PORT).await?[0];
        let Dialed { stream, .. } = self.net.dial(addr).await?;
        let Secured { stream, exporter, .. } = tls::connect(stream, &self.tls, SERVER_NAME).await.map_err(broken)?;
        let (read, write) = tokio::io::split(stream);
        let mut line = Line { read, write, decoder: Decoder::new(FRAME_BYTES_MAX) };
        let hello = Hello { min: wire::VERSION_MIN, max: wire::VERSION_MAX, run: Run(7) };
        line.send(&[ToServer::Hello(hello)]).await?;
        let ToClient::Welcome(welcome) = line.next().await? else { return Err(std::io::ErrorKind::InvalidData.into()) };
        let SavedSession { session, seen, .. } = self.loot.session;
        let body = Resume { session, nonce: welcome.nonce, exporter };
        let signature = Signed::by(&self.loot.device, &self.loot.server, body).signature;
        line.send(&[ToServer::Resume(ResumeRequest { session, signature, seen })]).await?;
        loop {
            if let ToClient::Live(_) = line.next().await? {
                return Ok(line);
            }
        }
    }

    /// What it says.
    fn lies(&self) -> Vec<ToServer> {
        let Loot { chain, seat, key, server, .. } = &self.loot;
        let match_id = chain.grant().match_id;
        let own: Vec<Signed<Entry>> = chain.entries_from(0).into_iter().map(Verified::into_signed).collect();
        let last = own.iter().rfind(|entry| entry.body.seat == *seat).expect("it has moved").clone();
        let have = |head| ToServer::Keeper(KeeperMessage::Have(Have { match_id, epoch: chain.grant().epoch, head }));
        let say = |entries| {
            let grants = chain.grants().to_vec();
            ToServer::Keeper(KeeperMessage::Entries(Entries { match_id, grants, entries }))
        };
        match self.lie {
            Lie::Equivocate => {
                let other = Signed::by(key, server, Entry { act: Act::Resign, ..last.body.clone() });
                let mut said = vec![have(chain.head()), say(vec![other.clone()])];
                if chain.decided().is_some() {
                    // What is filed away is looked at again only for a proof.
                    let (grants, fouls) = (chain.grants().to_vec(), vec![Foul { first: last, second: other }]);
                    said.push(ToServer::Keeper(KeeperMessage::Evidence(Proofs { match_id, grants, fouls })));
                }
                said
            }
            Lie::Withhold => {
                let plies = last.body.ply;
                let head = chain.head_at(plies).map_or(Base::NONE, |head| Base { plies, head });
                vec![have(head)]
            }
            Lie::Replay => {
                let once = [have(Base::NONE), say(own.clone()), say(own), have(chain.head())];
                once.iter().cycle().take(3 * once.len()).cloned().collect()
            }
            // Of the pure lane alone.
            Lie::Stale => Vec::new(),
            Lie::Forge => {
                let stranger = SecretKey::from_seed(&[0xaa; 32]);
                let next = chain.next_entry(Act::Resign, last.body.at);
                let forged = [Entry { seat: seat.other(), ..next.clone() }, Entry { seat: *seat, ..next }];
                let by = |entry: &Entry| [key, &stranger].map(|key| say(vec![Signed::by(key, server, entry.clone())]));
                let mut said = vec![have(chain.head())];
                said.extend(forged.iter().flat_map(by).filter(|said| !is_honest(said, chain, key, *seat)));
                said
            }
        }
    }
}

/// Whether what is said is what an honest player could say: its own act on its own turn, with its own key.
fn is_honest(said: &ToServer, chain: &Transcript, key: &SecretKey, seat: Seat) -> bool {
    let ToServer::Keeper(KeeperMessage::Entries(some)) = said else { return false };
    let own = |entry: &Signed<Entry>| entry.body.seat == seat && chain.turn() == Some(seat);
    let signed = |entry: &Signed<Entry>| entry.clone().verify(&key.public(), &chain.grant().server).is_ok();
    some.entries.iter().all(|entry| own(entry) && signed(entry))
}

impl Line {
    async fn send(&mut self, messages: &[ToServer]) -> std::io::Result<()> {
        for message in messages {
            self.write.write_all(&wire::encode(message)).await?;
        }
        self.write.flush().await
    }

    async fn next(&mut self) -> std::io::Result<ToClient> {
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(std::io::Error::other)? {
                match wire::decode(&frame).map_err(std::io::Error::other)? {
                    Decoded::Message(message) => return Ok(message),
                    Decoded::Unknown(_) => continue,
                }
            }
            let mut bytes = [0; 4096];
            match self.read.read(&mut bytes).await? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => self.decoder.feed(&bytes[..count]),
            }
        }
    }
}
