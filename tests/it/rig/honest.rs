//! Two honest players who play match after match while somebody else misbehaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rejoin::model::games::{Outcome, Seat};
use rejoin::model::limits::SILENCE_MATCH_MAX;
use rejoin::model::message::{Answer, Command};
use rejoin::model::statement::Ruling;

use super::TestServer;
use super::client::{Line, Player};
use super::table::{DRAWN, X_WINS, play_all, seat};

/// Two players on a thread of their own, so that what the test does costs them nothing.
pub(crate) struct Honest {
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<Played>>,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) matches: u32,
    pub(crate) slowest: Duration,
}

/// Between two moves.
const THINKING: Duration = Duration::from_millis(10);

impl Honest {
    /// Returns when they are in their first match.
    pub(crate) fn begin(server: &TestServer) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let (addr, stop) = (server.addr, Arc::clone(&enough));
        let (seated, wait) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let stream = || async { tokio::net::TcpStream::connect(addr).await.unwrap() };
                let anna = Player::join_over(Line::over(stream().await).await.hello().await, "anna").await;
                let otto = Player::join_over(Line::over(stream().await).await.hello().await, "otto").await;
                play_on(anna, otto, &stop, &seated).await
            })
        });
        wait.recv_timeout(super::PATIENCE).expect("two honest players sit down");
        Self { enough, thread: Some(thread) }
    }

    /// Lets them finish their match; every move of theirs was taken, kept, passed on and answered in time, every match
    /// was settled, and the points are theirs.
    pub(crate) fn finish(mut self) -> Played {
        self.enough.store(true, Ordering::Relaxed);
        let played = self.thread.take().unwrap().join().expect("the honest players were disturbed");
        assert!(played.slowest < SILENCE_MATCH_MAX, "a move took {:?}", played.slowest);
        assert!(played.matches > 0);
        played
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
    }
}

async fn play_on(
    mut one: Player,
    mut other: Player,
    enough: &AtomicBool,
    seated: &std::sync::mpsc::Sender<()>,
) -> Played {
    let mut played = Played { matches: 0, slowest: Duration::ZERO };
    let mut thinking = tokio::time::interval(THINKING);
    loop {
        let mut board = seat(one, other, "tictactoe").await;
        let _ = seated.send(());
        let won = played.matches.is_multiple_of(2);
        let moves: &[(u16, u16)] = if won { &X_WINS } else { &DRAWN };
        for cell in moves.chunks(1) {
            thinking.tick().await;
            played.slowest = played.slowest.max(play_all(&mut board, cell).await);
        }
        let outcome = if won { Outcome::Win(Seat::X) } else { Outcome::Draw };
        for player in &mut board {
            assert_eq!(player.verdict().await, Ruling::Board { outcome });
        }
        played.matches += 1;
        [one, other] = board.map(|at| at.player);
        if enough.load(Ordering::Relaxed) {
            one.line.catch_up().await;
            let Ok(Answer::Leaders { rows, .. }) = one.line.request(Command::Leaders).await else { panic!() };
            let points = rows.iter().filter(|row| [&one.name, &other.name].contains(&&row.name)).map(|row| row.points);
            assert_eq!(points.sum::<u32>(), 2 * played.matches, "two points a match, won or drawn");
            return played;
        }
    }
}
