//! Somebody on the wire who says again what a player has said, and links that break as soon as they are live.

use rejoin::model::message::{Hello, ResumeRequest, ToClient, ToServer};

use super::device::SERVER_PORT;
use super::net::Msg;
use super::world::{Task, Then, World};
use crate::sim::plan::Host;

/// How a player has taken up its session.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    hello: Option<Hello>,
    resume: Option<ResumeRequest>,
}

impl World<'_> {
    /// What a device says when it comes back is heard by somebody else.
    pub(super) fn overhear_hello(&mut self, number: usize, hello: &Hello) {
        self.overheard.entry(number).or_default().hello = Some(hello.clone());
    }

    pub(super) fn overhear(&mut self, number: usize, message: &ToServer) {
        if let ToServer::Resume(request) = message {
            self.overheard.entry(number).or_default().resume = Some(request.clone());
        }
    }

    /// Somebody dials, to say it again. It has struck once it is said.
    pub(super) fn replay_resume(&mut self, player: u8) -> bool {
        let host = Host::Player(player);
        let number = self.number_of(host).saturating_sub(1);
        if let Some(said) = self.overheard.get(&number).filter(|said| said.resume.is_some()).cloned() {
            let conn = self.net.dial(self.now, (number + 1, host), (0, Host::Server), SERVER_PORT);
            self.echoes.insert(conn, said);
        }
        false
    }

    /// Something has come to whoever says it again; whether that is who it came to.
    pub(super) fn hear_echo(&mut self, conn: usize, msg: &Msg) -> bool {
        let Some(said) = self.echoes.get(&conn) else { return false };
        let (hello, resume) = (said.hello.clone(), said.resume.clone());
        let number = self.net.conns[conn].ends[0].machine;
        let answer = match msg {
            Msg::SynAck => Some(Msg::Tls),
            Msg::TlsDone => hello.map(Msg::Hello),
            Msg::Down(message) => match &**message {
                ToClient::Welcome(_) => {
                    self.struck_later(number, "replay-resume");
                    resume.map(|request| Msg::Up(Box::new(ToServer::Resume(request))))
                }
                ToClient::Live(view) => {
                    let text = format!("{:?} is taken up by a resume that was said before", view.session);
                    self.figures.doubles.push(text);
                    None
                }
                ToClient::ResumeRefused(_) => {
                    self.coverage.sometimes("replayed resume refused", true);
                    None
                }
                _ => return true,
            },
            _ => None,
        };
        match answer {
            Some(answer) => self.net.send(self.now, conn, 0, answer),
            None => {
                self.echoes.remove(&conn);
                self.net.close(self.now, conn, 0, false);
            }
        }
        true
    }

    /// For so long the links of a player break `ms` after they are live.
    pub(super) fn cut_links_short(&mut self, player: u8, ms: u64, for_ms: u64) -> bool {
        let Some(number) = self.number_of(Host::Player(player)).checked_sub(1) else { return false };
        let until = self.now.saturating_add(for_ms).min(self.plan.heal_at_ms);
        self.cut_short.insert(number, (until, ms));
        if let Some(conn) = self.devices[number].process.as_ref().and_then(|process| process.conn) {
            self.net.break_off(self.now, conn);
        }
        // It has struck once a link is.
        false
    }

    /// A link to the server is in use.
    pub(super) fn adopted(&mut self, number: usize, conn: usize) {
        let Some((until, ms)) = self.cut_short.get(&number).copied() else { return };
        if self.now < until {
            self.struck_later(number + 1, "cut-short");
            self.later(self.now + ms, Task::Then(Then::Break { conn }));
        }
    }
}
