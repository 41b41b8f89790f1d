//! A client that speaks the server's frames by hand, as well or as badly as a test wants.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rejoin::model::id::{Boot, Lsn, Name, RequestSeq, Run, SessionId};
use rejoin::model::key::{PublicKey, SecretKey, ServerId};
use rejoin::model::limits::{FRAME_BYTES_MAX, HEARTBEAT_MATCH};
use rejoin::model::message::{Answer, CloseReason, Command, Hello, ResumeRequest, ToClient, ToServer, View, Welcome};
use rejoin::model::password::Password;
use rejoin::model::refusal::Refusal;
use rejoin::model::sign::Signed;
use rejoin::model::statement::{Proof, Resume};
use rejoin::model::time::{Clock, Entropy};
use rejoin::net::tls::{self, Trust};
use rejoin::ops::host::{HostClock, HostEntropy};
use rejoin::wire::{self, Decoded, Decoder};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsStream;

use super::{PASSWORD, TestServer, patiently};

/// A secured connection on which nothing was said yet.
pub(crate) struct Line {
    pub(crate) exporter: [u8; 32],
    reader: Reader,
    writer: WriteHalf<TlsStream<TcpStream>>,
}

struct Reader {
    half: ReadHalf<TlsStream<TcpStream>>,
    decoder: Decoder,
}

/// A connection that has said hello. It reads and pings by itself until it is told not to, or dropped.
pub(crate) struct RawClient {
    pub(crate) exporter: [u8; 32],
    pub(crate) welcome: Welcome,
    pub(crate) server: ServerId,
    writer: Arc<Mutex<WriteHalf<TlsStream<TcpStream>>>>,
    inbox: mpsc::UnboundedReceiver<ToClient>,
    /// What came while something else was waited for.
    backlog: VecDeque<ToClient>,
    seq: u64,
    reading: JoinHandle<()>,
    pinging: JoinHandle<()>,
}

/// Somebody who is logged in.
pub(crate) struct Player {
    pub(crate) line: RawClient,
    pub(crate) name: Name,
    pub(crate) device: SecretKey,
    pub(crate) view: View,
}

/// Numbers of pings that the client sends by itself; a test takes others.
const OWN_PING: u32 = 0;

pub(crate) static TLS: LazyLock<Arc<ClientConfig>> =
    LazyLock::new(|| tls::client_config(tls::provider(), &Trust::Pin).unwrap());

impl Line {
    pub(crate) async fn open(server: &TestServer) -> Self {
        Self::over(server.dial().await).await
    }

    /// Does the handshake on a connection of any kind.
    pub(crate) async fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let secured = patiently("a handshake", tls::connect(stream, &TLS, "localhost")).await.unwrap();
        let (half, writer) = tokio::io::split(secured.stream);
        Self { exporter: secured.exporter, reader: Reader { half, decoder: Decoder::new(FRAME_BYTES_MAX) }, writer }
    }

    /// Any bytes; whether the server still listens is not asked.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.writer.write_all(bytes).await;
        let _ = self.writer.flush().await;
    }

    /// Sends these bytes one by one until the server hangs up; all that it says.
    pub(crate) async fn drip(mut self, bytes: &[u8], every: Duration) -> Vec<ToClient> {
        let Self { reader, writer, .. } = &mut self;
        let drip = async {
            let mut tick = tokio::time::interval(every);
            for letter in bytes.chunks(1) {
                tick.tick().await;
                if writer.write_all(letter).await.is_err() || writer.flush().await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            said = reader.rest() => said,
            () = drip => unreachable!("it never ends"),
        }
    }

    /// All that the server says until it hangs up.
    pub(crate) async fn rest(&mut self) -> Vec<ToClient> {
        self.reader.rest().await
    }

    /// Says hello as it should be said, and checks who answers.
    pub(crate) async fn hello(mut self) -> RawClient {
        let hello = Hello { min: wire::VERSION_MIN, max: wire::VERSION_MAX, run: Run(u64::from_le_bytes(random())) };
        self.send_raw(&wire::encode(&ToServer::Hello(hello))).await;
        let Self { exporter, mut reader, writer } = self;
        let Some(ToClient::Welcome(welcome)) = patiently("a welcome", reader.next()).await else {
            panic!("the first frame is a welcome")
        };
        let server = ServerId::of(&welcome.key);
        let proof = Signed { body: Proof { exporter }, signature: welcome.proof };
        proof.verify(&welcome.key, &server).expect("the server proves who it is");

        let (heard, inbox) = mpsc::unbounded_channel();
        let reading = tokio::spawn(async move {
            while let Some(message) = reader.next().await {
                if message != ToClient::Pong(OWN_PING) && heard.send(message).is_err() {
                    break;
                }
            }
        });
        let writer = Arc::new(Mutex::new(writer));
        let pinging = tokio::spawn(ping_for_ever(Arc::clone(&writer)));
        RawClient { exporter, welcome, server, writer, inbox, backlog: VecDeque::new(), seq: 0, reading, pinging }
    }
}

impl Reader {
    async fn rest(&mut self) -> Vec<ToClient> {
        let mut said = Vec::new();
        patiently("the server to hang up", async {
            while let Some(message) = self.next().await {
                said.push(message);
            }
        })
        .await;
        said
    }

    /// `None` when the server has hung up.
    async fn next(&mut self) -> Option<ToClient> {
        loop {
            if let Some(frame) = self.decoder.next_frame().expect("the server sends whole frames") {
                return match wire::decode(&frame).expect("the server sends its messages") {
                    Decoded::Message(message) => Some(message),
                    Decoded::Unknown(kind) => panic!("the server sends kind {kind}"),
                };
            }
            let mut bytes = [0; 4096];
            match self.half.read(&mut bytes).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.decoder.feed(&bytes[..count]),
            }
        }
    }
}

/// Often enough for a match.
async fn ping_for_ever(writer: Arc<Mutex<WriteHalf<TlsStream<TcpStream>>>>) {
    let ping = wire::encode(&ToServer::Ping(OWN_PING));
    let mut due = tokio::time::interval(HEARTBEAT_MATCH);
    loop {
        due.tick().await;
        let mut writer = writer.lock().await;
        if writer.write_all(&ping).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
}

impl RawClient {
    pub(crate) async fn connect(server: &TestServer) -> Self {
        let client = Line::open(server).await.hello().await;
        assert_eq!(client.server, server.id);
        client
    }

    pub(crate) async fn send(&mut self, message: &ToServer) {
        self.send_raw(&wire::encode(message)).await;
    }

    /// Any bytes; whether the server still listens is not asked.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        let mut writer = self.writer.lock().await;
        let _ = writer.write_all(bytes).await;
        let _ = writer.flush().await;
    }

    /// Waits for a message; others stay for later.
    pub(crate) async fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&ToClient) -> Option<T>) -> T {
        for place in 0..self.backlog.len() {
            if let Some(found) = pick(&self.backlog[place]) {
                self.backlog.remove(place);
                return found;
            }
        }
        let (inbox, backlog) = (&mut self.inbox, &mut self.backlog);
        let search = async {
            while let Some(message) = inbox.recv().await {
                match pick(&message) {
                    Some(found) => return Some(found),
                    None => backlog.push_back(message),
                }
            }
            None
        };
        let Some(found) = patiently(what, search).await else {
            panic!("the server hung up before {what}; it said {:?}", self.backlog)
        };
        found
    }

    /// All that comes until the server hangs up.
    pub(crate) async fn rest(&mut self) -> Vec<ToClient> {
        let mut said: Vec<ToClient> = self.backlog.drain(..).collect();
        let inbox = &mut self.inbox;
        patiently("the server to hang up", async {
            while let Some(message) = inbox.recv().await {
                said.push(message);
            }
        })
        .await;
        said
    }

    /// What has come and was not waited for.
    pub(crate) fn unread(&mut self) -> Vec<ToClient> {
        while let Ok(message) = self.inbox.try_recv() {
            self.backlog.push_back(message);
        }
        self.backlog.iter().cloned().collect()
    }

    /// Sends a request and does not wait for its answer.
    pub(crate) async fn ask(&mut self, command: Command) -> RequestSeq {
        self.seq += 1;
        let seq = RequestSeq(self.seq);
        self.send(&ToServer::Request { seq, command }).await;
        seq
    }

    pub(crate) async fn answer(&mut self, wanted: RequestSeq) -> Result<Answer, Refusal> {
        let of_this = |message: &ToClient| {
            if let ToClient::Answer { seq, result } = message
                && *seq == wanted
            {
                Some(result.clone())
            } else {
                None
            }
        };
        self.wait("an answer", of_this).await
    }

    pub(crate) async fn request(&mut self, command: Command) -> Result<Answer, Refusal> {
        let seq = self.ask(command).await;
        self.answer(seq).await
    }

    /// Waits until the engine has dealt with all that was sent before.
    pub(crate) async fn catch_up(&mut self) {
        let _ = self.request(Command::Leaders).await;
    }

    /// How long the server takes to answer a ping.
    pub(crate) async fn ping(&mut self, number: u32) -> Duration {
        assert_ne!(number, OWN_PING);
        let clock = HostClock::start();
        self.send(&ToServer::Ping(number)).await;
        self.wait("a pong", |message| (*message == ToClient::Pong(number)).then_some(())).await;
        Duration::from_millis(clock.now().0)
    }

    pub(crate) async fn add_user(&mut self, name: &str, password: &str) -> Result<Answer, Refusal> {
        self.request(Command::AddUser { name: Name::new(name).unwrap(), password: Password::new(password).unwrap() })
            .await
    }

    pub(crate) async fn login(&mut self, name: &str, password: &str, device: &SecretKey) -> Result<View, Refusal> {
        self.request(login(name, password, device.public())).await?;
        Ok(self.live().await)
    }

    pub(crate) async fn resume(&mut self, session: SessionId, device: &SecretKey) -> Result<View, Refusal> {
        let request = self.resume_request(session, device);
        self.send(&ToServer::Resume(request)).await;
        let outcome = |message: &ToClient| {
            if let ToClient::Live(view) = message {
                Some(Ok((**view).clone()))
            } else if let ToClient::ResumeRefused(refusal) = message {
                Some(Err(*refusal))
            } else {
                None
            }
        };
        self.wait("the end of a resume", outcome).await
    }

    /// What takes up `session` on this connection.
    pub(crate) fn resume_request(&self, session: SessionId, device: &SecretKey) -> ResumeRequest {
        let body = Resume { session, nonce: self.welcome.nonce, exporter: self.exporter };
        let signature = Signed::by(device, &self.server, body).signature;
        ResumeRequest { session, signature, seen: (Boot::default(), Lsn(0)) }
    }

    pub(crate) async fn live(&mut self) -> View {
        let live = |message: &ToClient| {
            if let ToClient::Live(view) = message { Some((**view).clone()) } else { None }
        };
        self.wait("the view", live).await
    }

    pub(crate) async fn closing(&mut self) -> CloseReason {
        let said = self.rest().await;
        let closing = |message: &ToClient| {
            if let ToClient::Closing { why, .. } = message { Some(*why) } else { None }
        };
        said.iter().find_map(closing).unwrap_or_else(|| panic!("it hung up without a word: {said:?}"))
    }

    /// From now on nothing is read.
    pub(crate) fn stop_reading(&self) {
        self.reading.abort();
    }

    /// From now on it does not ping by itself.
    pub(crate) fn stop_pinging(&self) {
        self.pinging.abort();
    }
}

impl Drop for RawClient {
    fn drop(&mut self) {
        self.reading.abort();
        self.pinging.abort();
    }
}

impl Player {
    /// A new account, logged in.
    pub(crate) async fn join(server: &TestServer, name: &str) -> Self {
        Self::join_over(RawClient::connect(server).await, name).await
    }

    pub(crate) async fn join_over(mut line: RawClient, name: &str) -> Self {
        line.add_user(name, PASSWORD).await.unwrap();
        let device = new_key();
        let view = line.login(name, PASSWORD, &device).await.unwrap();
        Self { line, name: Name::new(name).unwrap(), device, view }
    }

    /// The same session on another connection.
    pub(crate) async fn resume_over(self, mut line: RawClient) -> Self {
        let Self { name, device, view, .. } = self;
        let view = line.resume(view.session, &device).await.unwrap();
        Self { line, name, device, view }
    }
}

pub(crate) fn login(name: &str, password: &str, device: PublicKey) -> Command {
    Command::Login { name: Name::new(name).unwrap(), password: Password::new(password).unwrap(), device }
}

pub(crate) fn new_key() -> SecretKey {
    SecretKey::from_seed(&random())
}

pub(crate) fn random<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    HostEntropy.fill(&mut bytes);
    bytes
}
