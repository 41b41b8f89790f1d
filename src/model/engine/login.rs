//! Accounts, logins and resumes: how a connection gets its user.

use super::{Conn, Effect, Engine, Hashed, Hashing, Job, JobId};
use crate::model::bucket::Counted;
use crate::model::decide::{self, Decision};
use crate::model::event::Event;
use crate::model::fact::Fact;
use crate::model::id::{ConnId, Name, RequestSeq, SessionId, UserId};
use crate::model::key::PublicKey;
use crate::model::limits::{HASH_BUSY_RETRY, HASH_QUEUE_MAX};
use crate::model::message::{Answer, CloseReason, Command, ResumeRequest, ToClient};
use crate::model::password::PasswordHash;
use crate::model::refusal::Refusal;
use crate::mutant::{Mutant, is_on};
use rand_chacha::rand_core::Rng;

impl Engine {
    /// A request that needs a password hashed first.
    pub(super) fn hash_first(&mut self, conn: ConnId, seq: RequestSeq, command: Command) {
        if self.has_added(conn, seq, &command) {
            return self.answer(conn, seq, Ok(Answer::Done));
        }
        match self.hashing_for(conn, &command) {
            Ok(hashing) => {
                let job = JobId(self.random.next_u64());
                let session = self.user_of(conn).ok().map(|(session, _)| session);
                self.jobs.insert(job, Job { conn, session, seq, command });
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.hashing = true;
                }
                self.ready.push_back(Effect::Hash { job, hashing });
            }
            Err(refusal) => self.answer(conn, seq, Err(refusal)),
        }
    }

    /// Whether this is asked again of an account that was made, because the answer was lost. It must not be refused for
    /// what has happened since, such as a full disk: who asks would take it for not done.
    fn has_added(&self, conn: ConnId, seq: RequestSeq, command: &Command) -> bool {
        let Command::AddUser { name, .. } = command else { return false };
        let account = self.state.named(&name.key()).filter(|account| account.name == *name);
        let origin = self.conns.get(&conn).map(|conn| (conn.run, seq));
        origin.is_some() && account.is_some_and(|account| account.origin == origin) && !is_on(Mutant::RequestsDoneTwice)
    }

    fn hashing_for(&mut self, conn: ConnId, command: &Command) -> Result<Hashing, Refusal> {
        let newcomer = matches!(command, Command::AddUser { .. } | Command::Login { .. });
        if newcomer {
            self.closed_to_new()?
        } else {
            self.shut()?
        }
        let Some(Conn { ip, session, hashing, .. }) = self.conns.get(&conn) else { return Err(Refusal::NotLoggedIn) };
        if *hashing || self.jobs.len() >= HASH_QUEUE_MAX {
            return Err(Refusal::busy(HASH_BUSY_RETRY));
        }
        let (ip, session) = (*ip, *session);
        let hashing = match command {
            Command::AddUser { password, .. } => {
                decide::choosable(password)?;
                Hashing::Make(password.clone())
            }
            Command::Login { name, password, .. } => {
                if session.is_some() {
                    return Err(Refusal::AlreadyLoggedIn);
                }
                let account = self.state.named(&name.key());
                if let Some(user) = account.map(|account| account.user).filter(|_| !ip.is_loopback()) {
                    self.buckets.check(self.now, Counted::Failure(user)).map_err(Refusal::busy)?;
                }
                Hashing::Verify { password: password.clone(), against: account.map(|known| known.password.clone()) }
            }
            Command::Passwd { old, new } => {
                decide::choosable(new)?;
                let (_, account) = self.user_of(conn)?;
                if old == new {
                    return Err(Refusal::SamePassword);
                }
                Hashing::Change { old: old.clone(), against: account.password.clone(), new: new.clone() }
            }
            Command::Logout
            | Command::List
            | Command::Leaders
            | Command::Begin { .. }
            | Command::Accept { .. }
            | Command::Decline { .. }
            | Command::TakeSeat { .. }
            | Command::Leave { .. } => unreachable!("only requests with a password come here"),
        };
        if !ip.is_loopback() {
            self.buckets.take(self.now, Counted::Login(Counted::network(ip))).map_err(Refusal::busy)?;
        }
        Ok(hashing)
    }

    pub(super) fn hashed(&mut self, job: JobId, done: Hashed) {
        let Job { conn, session, seq, command } = self.jobs.remove(&job).expect("every job is done once");
        // The one who asked may be gone.
        let Some(open) = self.conns.get_mut(&conn) else { return };
        open.hashing = false;
        // Or the connection may be another user's by now, of whom the password says nothing.
        let changed = open.session.map(|(session, _)| session) != session;
        let result = self.shut().and_then(|()| match (command, done) {
            (Command::Login { .. }, _) if changed => Err(Refusal::AlreadyLoggedIn),
            (Command::Passwd { .. }, _) if changed => Err(Refusal::NotLoggedIn),
            (Command::AddUser { name, .. }, Hashed::Made(hash)) => self.add_user(conn, seq, &name, hash),
            (Command::Login { name, device, .. }, Hashed::Right) => self.log_in(conn, seq, &name, device),
            (Command::Login { name, .. }, _) => self.wrong_password(conn, &name),
            (Command::Passwd { .. }, Hashed::Made(hash)) => self.change_password(conn, seq, hash),
            (Command::Passwd { .. }, _) => {
                let name = self.user_of(conn)?.1.name.clone();
                self.wrong_password(conn, &name)
            }
            (command, done) => unreachable!("{command:?} does not come to {done:?}"),
        });
        if let Err(refusal) = result {
            self.answer(conn, seq, Err(refusal));
        }
    }

    fn add_user(&mut self, conn: ConnId, seq: RequestSeq, name: &Name, hash: PasswordHash) -> Result<(), Refusal> {
        let user = UserId(self.random_id());
        let Conn { run, ip, .. } = self.conns[&conn].clone();
        match decide::add_user(&self.state, user, name, hash, (run, seq), self.wall)? {
            Decision::New(facts) => {
                self.commit(facts);
                self.log(Event::UserAdded { user: name.clone(), ip });
            }
            Decision::Again => {}
        }
        self.answer(conn, seq, Ok(Answer::Done));
        Ok(())
    }

    fn log_in(&mut self, conn: ConnId, seq: RequestSeq, name: &Name, device: PublicKey) -> Result<(), Refusal> {
        let session = SessionId(self.random_id());
        let account = self.state.named(&name.key()).ok_or(Refusal::WrongPassword)?;
        let user = account.user;
        let live = account.session.filter(|_| self.live.contains_key(&user)).and_then(|live| self.state.session(live));
        let mut facts = decide::log_in(account, live, session, device, self.wall)?;
        let Conn { ip, run, .. } = self.conns[&conn];
        facts.push(Fact::Answered { session, run, seq });
        self.commit(facts);
        self.log(Event::LoginOk { user: name.clone(), ip, session });
        // The client has its session on disk before its player is told.
        self.bind(conn, session, user);
        self.answer(conn, seq, Ok(Answer::Done));
        Ok(())
    }

    fn wrong_password(&mut self, conn: ConnId, name: &Name) -> Result<(), Refusal> {
        let ip = self.conns[&conn].ip;
        if let Some(user) = self.state.named(&name.key()).map(|account| account.user).filter(|_| !ip.is_loopback()) {
            // An empty bucket slows the next login; this one has failed anyway.
            let _ = self.buckets.take(self.now, Counted::Failure(user));
        }
        self.log(Event::LoginFailed { user: name.clone(), ip });
        Err(Refusal::WrongPassword)
    }

    fn change_password(&mut self, conn: ConnId, seq: RequestSeq, password: PasswordHash) -> Result<(), Refusal> {
        let (session, account) = self.user_of(conn)?;
        let user = account.user;
        let run = self.conns[&conn].run;
        if !is_on(Mutant::OldPasswordStays) {
            self.commit(vec![
                Fact::PasswordChanged { user, password, keep: Some(session) },
                Fact::Answered { session, run, seq },
            ]);
        }
        self.answer(conn, seq, Ok(Answer::Done));
        Ok(())
    }

    pub(super) fn resume(&mut self, conn: ConnId, request: ResumeRequest) {
        let Some(open) = self.conns.get_mut(&conn) else { return };
        let ip = open.ip;
        if open.session.is_some() || open.resuming.is_some() {
            return self.refuse_resume(conn, Refusal::AlreadyLoggedIn);
        }
        if !ip.is_loopback() {
            let counted = Counted::Resume(Counted::network(ip));
            if let Err(wait) = self.buckets.take(self.now, counted) {
                return self.refuse_resume(conn, Refusal::busy(wait));
            }
        }
        let Some(device) = self.state.session(request.session).map(|session| session.device) else {
            return self.refuse_resume(conn, Refusal::SessionEnded);
        };
        if let Some(open) = self.conns.get_mut(&conn) {
            open.resuming = Some(request);
        }
        self.ready.push_back(Effect::CheckResume { conn, device });
    }

    pub(super) fn resume_checked(&mut self, conn: ConnId, good: bool) {
        let Some(open) = self.conns.get_mut(&conn) else { return };
        let Some(request) = open.resuming.take() else { return };
        let ip = open.ip;
        // A login that was under way may have come first.
        if open.session.is_some() {
            return self.refuse_resume(conn, Refusal::AlreadyLoggedIn);
        }
        // It may have ended while the signature was checked.
        let known = self
            .state
            .session(request.session)
            .filter(|_| good || is_on(Mutant::ReplayedResumeTaken))
            .map(|session| session.user);
        let Some(user) = known else { return self.refuse_resume(conn, Refusal::SessionEnded) };
        let name = self.state.account(user).expect("a session has an account").name.clone();
        let here = (self.boot, self.appended);
        let other_run = request.seen.0.number == here.0.number && request.seen.0 != here.0;
        if other_run || request.seen.0.number > here.0.number || request.seen.1 > here.1 {
            // A player's bare word changes nothing; a grant that is not on record would.
            self.log(Event::StateRolledBack { user: name.clone(), seen: request.seen, here });
        }
        if self.bind(conn, request.session, user) {
            self.log(Event::Resumed { user: name, ip, session: request.session });
        }
    }

    fn refuse_resume(&mut self, conn: ConnId, refusal: Refusal) {
        if let Some(ip) = self.conns.get(&conn).map(|conn| conn.ip) {
            self.log(Event::ResumeRefused { ip, refusal });
            self.send(conn, ToClient::ResumeRefused(refusal));
        }
    }

    /// Gives a connection its user. The newest connection of a session, by when it was opened, fences all others.
    /// Whether it is that one.
    fn bind(&mut self, conn: ConnId, session: SessionId, user: UserId) -> bool {
        // A resume may come late, over a connection that was given up for the one that is live.
        if self.live.get(&user).is_some_and(|live| *live > conn) && !is_on(Mutant::TwoConnectionsLive) {
            self.close(conn, CloseReason::Silent);
            return false;
        }
        if let Some(old) = self.live.insert(user, conn).filter(|old| *old != conn)
            && !is_on(Mutant::TwoConnectionsLive)
        {
            self.unbind(old);
            self.close(old, CloseReason::Superseded);
        }
        if let Some(open) = self.conns.get_mut(&conn) {
            open.session = Some((session, user));
        }
        let view = self.view(session, user);
        self.send(conn, ToClient::Live(Box::new(view)));
        self.pace(user);
        self.tell_presence(user, true);
        if let Some((match_id, name)) =
            self.state.account(user).and_then(|account| Some((account.seated?, account.name.clone())))
        {
            if let Some(ip) = self.ip_of(user) {
                self.log(Event::MatchRejoined { match_id, user: name, ip });
            }
            self.tell_candidates(match_id, user);
        }
        self.offer_suspended(user);
        self.tell_corrections(conn, user);
        true
    }

    pub(super) fn log_out(&mut self, conn: ConnId, seq: RequestSeq) -> Result<(), Refusal> {
        let (session, account) = self.user_of(conn)?;
        let (user, name) = (account.user, account.name.clone());
        self.end_of_session(user, session);
        self.log(Event::LoggedOut { user: name });
        self.answer(conn, seq, Ok(Answer::Done));
        self.leave(Effect::Pace { conn, urgent: false });
        self.unbind(conn);
        self.live.remove(&user);
        self.tell_presence(user, false);
        Ok(())
    }

    pub(super) fn unbind(&mut self, conn: ConnId) {
        if let Some(open) = self.conns.get_mut(&conn) {
            open.session = None;
        }
    }
}
