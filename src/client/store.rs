//! The files of the user who plays here.
//!
//! ```text
//! STATE/known_servers                       see `known`
//! STATE/SERVER/recent                       names of users who have had a session, the last first
//! STATE/SERVER/user-NAME/lock               held by the client that plays as NAME
//!                        device.key         the key that takes sessions up again
//!                        session            the session, if there is one
//!                        offers             match keys offered and not used yet
//!                        match-ID.log       what is held of a match: a record log
//! ```
//!
//! What must hold: a device key is durable before it is used and never made anew while its file is there; session and
//! offers are the old ones or the new ones; a match file holds a first part of what was written, and all of what a
//! write has returned for. Damage in one match file does not keep the others from being used. All calls block.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::file::{self, Kind};
use crate::model::client::record::{MatchRecord, SavedSession, UserFiles, Write};
use crate::model::id::{MatchId, Name};
use crate::model::key::{SecretKey, ServerId};
use crate::model::limits::{MATCH_IDLE_MAX, SETTLED_KEPT};
use crate::model::time::{Entropy, WallMs, ms};
use crate::store::{Disk, DiskLock, RecordLog, StoreError};

/// Users that are remembered as recent.
const RECENT_MAX: usize = 64;
const KEY_BYTES: usize = 32;
const PEER_PORT: &str = "peer-port";

/// The files of one client.
pub struct Store {
    disk: Arc<dyn Disk>,
    entropy: Arc<dyn Entropy>,
    state: PathBuf,
    open: Option<Open>,
}

/// The user whose files are open.
struct Open {
    name: Name,
    server: ServerId,
    dir: PathBuf,
    logs: BTreeMap<MatchId, RecordLog>,
    is_recent: bool,
    _lock: Box<dyn DiskLock>,
}

/// What a user has on this machine.
pub struct Opened {
    /// Whose it is.
    pub name: Name,
    /// All that can be used.
    pub files: UserFiles,
    /// What could not be used: a stable word and a sentence each.
    pub notices: Vec<(&'static str, String)>,
}

/// The files of a user cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another client plays as this user.
    #[error("{0} is in use by another window on this machine; close it, or log in as somebody else")]
    InUse(Name),
    /// The device key is damaged. It is left as it is.
    #[error("{} is damaged; rename it, then log in again", .0.display())]
    DeviceKey(PathBuf),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A match file that holds nothing to go on with.
enum Unusable {
    /// It was never begun: a crash came between making it and the first record.
    Empty,
    /// It is not what was written.
    Damaged(String),
    /// It cannot be read by this program.
    Unreadable(StoreError),
}

impl Store {
    /// For the state directory of a client.
    #[must_use]
    pub const fn new(disk: Arc<dyn Disk>, entropy: Arc<dyn Entropy>, state: PathBuf) -> Self {
        Self { disk, entropy, state, open: None }
    }

    /// Locks and loads the files of a user, in place of those that were open; makes them if there are none.
    pub fn open(&mut self, server: ServerId, name: &Name, wall: WallMs) -> Result<Opened, OpenError> {
        let dir = self.user_dir(server, name);
        self.disk.create_dir(&dir).map_err(StoreError::io("create", &dir))?;
        let path = dir.join("lock");
        let lock = self.disk.lock(&path).map_err(StoreError::io("lock", &path))?;
        let lock = lock.ok_or_else(|| OpenError::InUse(name.clone()))?;
        let device = self.device_key(&dir)?;
        let mut open = Open { name: name.clone(), server, dir, logs: BTreeMap::new(), is_recent: false, _lock: lock };
        let mut notices = Vec::new();
        let session = self.read_sealed(&open.dir, Kind::Session, &mut notices, |body| take::<SavedSession>(body))?;
        let offers = self.read_sealed(&open.dir, Kind::Offers, &mut notices, keys)?.unwrap_or_default();
        let matches = self.load_matches(&mut open, wall, &mut notices)?;
        self.open = Some(open);
        Ok(Opened { name: name.clone(), files: UserFiles { device, session, offers, matches }, notices })
    }

    /// Opens the files of `user`, or of the one who played last and whom no other client plays, if there is a session
    /// to take up.
    pub fn open_recent(
        &mut self,
        server: ServerId,
        user: Option<&Name>,
        wall: WallMs,
    ) -> Result<Option<Opened>, OpenError> {
        let recent = match user {
            Some(name) => vec![name.clone()],
            None => self.recent(server)?,
        };
        for name in recent {
            if file::read(&*self.disk, &self.user_dir(server, &name).join("session"))?.is_none() {
                continue;
            }
            match self.open(server, &name, wall) {
                // Damage is told, whoever plays.
                Ok(opened) if opened.files.session.is_some() || user.is_some() || !opened.notices.is_empty() => {
                    return Ok(Some(opened));
                }
                Ok(_) => self.close(),
                Err(OpenError::InUse(_)) if user.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The port this user was last reached at by an opponent.
    pub fn peer_port(&mut self) -> Option<u16> {
        let open = self.open.as_ref()?;
        // It only saves the opponent a question: one that cannot be read is as good as none.
        let bytes = file::read(&*self.disk, &open.dir.join(PEER_PORT)).ok()??;
        String::from_utf8_lossy(&bytes).trim().parse().ok()
    }

    /// Remembers that port.
    pub fn keep_peer_port(&mut self, port: u16) -> Result<(), StoreError> {
        let Some(open) = &self.open else { return Ok(()) };
        file::replace(&*self.disk, &open.dir.join(PEER_PORT), format!("{port}\n").as_bytes())
    }

    /// Lets go of the files that are open.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// Makes a change durable.
    ///
    /// # Panics
    /// If no user's files are open.
    pub fn write(&mut self, write: Write) -> Result<(), StoreError> {
        let disk = &*self.disk;
        let open = self.open.as_mut().expect("the player writes for the user it has opened");
        match write {
            Write::Session(Some(session)) => {
                let body = encode(&session)?;
                file::replace(disk, &open.dir.join("session"), &Kind::Session.seal(&body))?;
                if std::mem::replace(&mut open.is_recent, true) {
                    return Ok(());
                }
                let (server, name) = (open.server, open.name.clone());
                self.touch(server, &name)
            }
            Write::Session(None) => file::remove(disk, &open.dir.join("session")),
            Write::Offers(offers) => {
                let mut body = Zeroizing::new(Vec::with_capacity(offers.len() * KEY_BYTES));
                offers.iter().for_each(|key| body.extend_from_slice(&*key.seed()));
                file::replace(disk, &open.dir.join("offers"), &Kind::Offers.seal(&body))
            }
            Write::Open { match_id, records } => {
                let salt = salt(&*self.entropy);
                let log = open.begin(disk, match_id, salt)?;
                append(log, &records)
            }
            Write::Append { match_id, records } => {
                let salt = salt(&*self.entropy);
                append(open.log(disk, match_id, salt)?, &records)?;
                if records.iter().any(is_last) {
                    open.logs.remove(&match_id);
                }
                Ok(())
            }
        }
    }

    /// The key of this device for this user; made when it is first needed.
    fn device_key(&self, dir: &Path) -> Result<SecretKey, OpenError> {
        let path = dir.join("device.key");
        if let Some(bytes) = file::read(&*self.disk, &path)? {
            let seed = Kind::Device.unseal(&bytes).and_then(|body| body.try_into().ok());
            return seed.map(SecretKey::from_seed).ok_or(OpenError::DeviceKey(path));
        }
        let mut seed = Zeroizing::new([0; KEY_BYTES]);
        self.entropy.fill(&mut *seed);
        file::replace(&*self.disk, &path, &Kind::Device.seal(&*seed))?;
        Ok(SecretKey::from_seed(&seed))
    }

    /// The content of a sealed file; one that is damaged is set aside.
    fn read_sealed<T>(
        &self,
        dir: &Path,
        kind: Kind,
        notices: &mut Vec<(&'static str, String)>,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let path = dir.join(if kind == Kind::Session { "session" } else { "offers" });
        let Some(bytes) = file::read(&*self.disk, &path)? else { return Ok(None) };
        let content = kind.unseal(&bytes).and_then(parse);
        if content.is_none() {
            let aside = file::set_aside(&*self.disk, &path)?;
            let text = format!("{} was damaged; it is set aside as {}", path.display(), aside.display());
            notices.push(("file-damaged", text));
        }
        Ok(content)
    }

    fn load_matches(
        &self,
        open: &mut Open,
        wall: WallMs,
        notices: &mut Vec<(&'static str, String)>,
    ) -> Result<Vec<Vec<MatchRecord>>, StoreError> {
        let disk = &*self.disk;
        let mut matches = Vec::new();
        for path in disk.list(&open.dir).map_err(StoreError::io("list", &open.dir))? {
            let Some(match_id) = match_of(&path) else { continue };
            match self.load_match(open.server, match_id, &path)? {
                Ok((_, records)) if is_outdated(&records, wall) => file::remove(disk, &path)?,
                Ok((log, records)) => {
                    if !records.iter().any(is_last) {
                        open.logs.insert(match_id, log);
                    }
                    matches.push(records);
                }
                Err(Unusable::Empty) => file::remove(disk, &path)?,
                Err(Unusable::Damaged(why)) => {
                    let aside = file::set_aside(disk, &path)?;
                    let text = format!(
                        "the file of match {match_id} was damaged ({why}) and is set aside as {}; the server and the \
                         opponent have what was in it",
                        aside.display()
                    );
                    notices.push(("match-file-damaged", text));
                }
                Err(Unusable::Unreadable(why)) => {
                    notices.push(("match-file-unreadable", format!("match {match_id} is left out: {why}")));
                }
            }
        }
        Ok(matches)
    }

    fn load_match(
        &self,
        server: ServerId,
        match_id: MatchId,
        path: &Path,
    ) -> Result<Result<(RecordLog, Vec<MatchRecord>), Unusable>, StoreError> {
        let opened = match RecordLog::open(&*self.disk, path, server.0, salt(&*self.entropy)) {
            Ok(opened) => opened,
            Err(StoreError::Damaged { why, .. }) => return Ok(Err(Unusable::Damaged(why.to_string()))),
            Err(
                error @ (StoreError::NewerFormat { .. }
                | StoreError::OlderFormat { .. }
                | StoreError::OtherServer { .. }
                | StoreError::Io { .. }),
            ) => return Ok(Err(Unusable::Unreadable(error))),
            Err(
                error @ (StoreError::SyncFailed { .. }
                | StoreError::Full { .. }
                | StoreError::InUse { .. }
                | StoreError::UnfinishedCopy { .. }
                | StoreError::NotEmpty { .. }
                | StoreError::NoState { .. }
                | StoreError::Restless { .. }
                | StoreError::TooLarge { .. }
                | StoreError::Encode(_)),
            ) => return Err(error),
        };
        let records: Option<Vec<MatchRecord>> = opened.records.iter().map(|bytes| take(bytes)).collect();
        Ok(match records {
            Some(records) => match records.first() {
                None => Err(Unusable::Empty),
                Some(MatchRecord::Opened { grant, .. }) if grant.body.match_id == match_id => Ok((opened.log, records)),
                Some(_) => Err(Unusable::Damaged("it does not begin with the grant of this match".to_owned())),
            },
            None => Err(Unusable::Damaged("a record cannot be decoded".to_owned())),
        })
    }

    /// Users who have had a session, the last first.
    fn recent(&self, server: ServerId) -> Result<Vec<Name>, StoreError> {
        let bytes = file::read(&*self.disk, &self.server_dir(server).join("recent"))?.unwrap_or_default();
        // A line that is no name is passed over: the file only saves typing.
        Ok(String::from_utf8_lossy(&bytes).lines().filter_map(|line| Name::new(line).ok()).collect())
    }

    /// Puts a user at the front of the recent ones.
    fn touch(&self, server: ServerId, name: &Name) -> Result<(), StoreError> {
        let dir = self.server_dir(server);
        let touched = file::locked(&*self.disk, &dir.join("recent.lock"), || {
            let mut recent = self.recent(server)?;
            if recent.first() == Some(name) {
                return Ok(());
            }
            recent.retain(|other| other.key() != name.key());
            recent.insert(0, name.clone());
            recent.truncate(RECENT_MAX);
            let text: String = recent.iter().map(|name| format!("{name}\n")).collect();
            file::replace(&*self.disk, &dir.join("recent"), text.as_bytes())
        });
        match touched {
            // Whoever holds it for so long stands still. The file only saves typing.
            Err(StoreError::InUse { .. }) => Ok(()),
            touched => touched,
        }
    }

    fn server_dir(&self, server: ServerId) -> PathBuf {
        self.state.join(server.to_string())
    }

    fn user_dir(&self, server: ServerId, name: &Name) -> PathBuf {
        user_dir(&self.state, server, name)
    }
}

impl Open {
    fn path(&self, match_id: MatchId) -> PathBuf {
        self.dir.join(format!("match-{match_id}.log"))
    }

    /// The log of a new match. One that is there but was not loaded is set aside, never written over.
    fn begin(&mut self, disk: &dyn Disk, match_id: MatchId, salt: u64) -> Result<&mut RecordLog, StoreError> {
        let path = self.path(match_id);
        self.logs.remove(&match_id);
        if file::read(disk, &path)?.is_some() {
            file::set_aside(disk, &path)?;
        }
        self.log(disk, match_id, salt)
    }

    fn log(&mut self, disk: &dyn Disk, match_id: MatchId, salt: u64) -> Result<&mut RecordLog, StoreError> {
        let path = self.path(match_id);
        let log = match self.logs.remove(&match_id) {
            Some(log) => log,
            None => RecordLog::open(disk, &path, self.server.0, salt)?.log,
        };
        Ok(self.logs.entry(match_id).or_insert(log))
    }
}

fn append(log: &mut RecordLog, records: &[MatchRecord]) -> Result<(), StoreError> {
    let encoded = records.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
    let bytes: Vec<&[u8]> = encoded.iter().map(|record| record.as_slice()).collect();
    log.append(&bytes)
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    postcard::to_allocvec(value).map(Zeroizing::new).map_err(|error| StoreError::Encode(error.to_string()))
}

/// A value that takes up all of `bytes`.
pub(super) fn take<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}

fn keys(body: &[u8]) -> Option<Vec<SecretKey>> {
    let (seeds, rest) = body.as_chunks::<KEY_BYTES>();
    rest.is_empty().then(|| seeds.iter().map(SecretKey::from_seed).collect())
}

/// With a word before the name: `..` is a name too, and so is `recent`.
pub(super) fn user_dir(state: &Path, server: ServerId, name: &Name) -> PathBuf {
    state.join(server.to_string()).join(format!("user-{}", name.as_str().to_ascii_lowercase()))
}

pub(super) fn match_of(path: &Path) -> Option<MatchId> {
    path.file_name()?.to_str()?.strip_prefix("match-")?.strip_suffix(".log")?.parse().ok()
}

/// After it, nothing more is usually written: the file need not stay open.
const fn is_last(record: &MatchRecord) -> bool {
    matches!(record, MatchRecord::Verdict(_))
}

/// Whether a match was settled so long ago that nobody needs it. The grant is as old as its deadline says; a player's
/// word about the time of a move can only keep the file longer, and not beyond today.
fn is_outdated(records: &[MatchRecord], wall: WallMs) -> bool {
    let Some(MatchRecord::Opened { grant, .. }) = records.first() else { return false };
    let granted = grant.body.settle_by.0.saturating_sub(ms(MATCH_IDLE_MAX));
    let moves = records.iter().filter_map(|record| match record {
        MatchRecord::Entry(entry) => Some(entry.body.at.0.min(wall.0)),
        MatchRecord::Opened { .. }
        | MatchRecord::Foul(_)
        | MatchRecord::Held { .. }
        | MatchRecord::WishToResign
        | MatchRecord::Verdict(_)
        | MatchRecord::Server(_)
        | MatchRecord::Regranted(_)
        | MatchRecord::Key(_)
        | MatchRecord::Promised(_)
        | MatchRecord::Released
        | MatchRecord::Candidates(_) => None,
    });
    let last = moves.max().unwrap_or(0).max(granted);
    records.iter().any(is_last) && last.saturating_add(ms(SETTLED_KEPT)) < wall.0
}

fn salt(entropy: &dyn Entropy) -> u64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests;
