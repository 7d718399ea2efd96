//! The dashboard on a real terminal.

use std::io::{self, Write};
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use futures_util::StreamExt;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::board::{Board, Go};
use super::draw::{Scene, Status, draw};
use super::link::{Ending, Link, News};
use super::picture::Picture;
use super::theme::Theme;
use crate::cli::Failure;

/// Shortest time between two drawings.
const REDRAW: Duration = Duration::from_millis(100);
/// How long a remark is shown.
const REMARK: Duration = Duration::from_secs(10);
/// Nothing new for so long is late, since an idle daemon says something once a second.
const LATE: Duration = Duration::from_secs(4);

/// The terminal, as it has to be for a dashboard, and put back when this is dropped, whatever happened.
struct Prepared;

impl Prepared {
    fn new() -> io::Result<Self> {
        enable_raw_mode()?;
        let prepared = Self;
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(prepared)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // There is nobody left to tell that this did not work.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}

/// What the dashboard knows.
struct Watch {
    picture: Picture,
    /// What is shown while the picture is held still.
    held: Option<Picture>,
    board: Board,
    status: Status,
    heard: Instant,
    until: Instant,
    remark: Option<(String, Instant)>,
    late: Duration,
}

/// Shows the dashboard until the person or the daemon ends it.
///
/// # Errors
/// With exit code 1 when the daemon ends the stream for good, or the terminal fails.
pub async fn run(
    link: Link,
    shown: String,
    theme: Theme,
    max_hz: Option<f64>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let (sender, mut news) = mpsc::channel(16);
    let linked = link.run(sender);
    tokio::pin!(linked);
    // Until the stream is open for the first time, what is wrong is better told on a plain screen.
    let first = loop {
        tokio::select! {
            told = news.recv() => match told {
                Some(News::Waiting { why, .. }) => eprintln!("{why}; trying again"),
                Some(News::Connecting) => {}
                told => break told,
            },
            ending = &mut linked => return ended(ending),
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    };
    let broken = |error: io::Error| Failure::run(format!("the terminal cannot be used: {error}"));
    let slowest = max_hz.map_or(Duration::ZERO, |hz| Duration::try_from_secs_f64(2.0 / hz).unwrap_or_default());
    let mut watch = Watch {
        picture: Picture::default(),
        held: None,
        board: Board::default(),
        status: Status::Connecting,
        heard: Instant::now(),
        until: Instant::now(),
        remark: None,
        late: LATE.max(slowest),
    };
    first.into_iter().for_each(|told| watch.hear(told));
    let mut signals = [SignalKind::terminate(), SignalKind::hangup()].map(signal);
    // Dropped, and the terminal put back, before anything is told.
    let _prepared = Prepared::new().map_err(broken)?;
    let mut terminal = Terminal::new(CrosstermBackend::new(out)).map_err(broken)?;
    let mut keys = EventStream::new();
    let mut ticks = tokio::time::interval(REDRAW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut dirty = true;
    let mut drawn = Instant::now();
    loop {
        tokio::select! {
            told = news.recv() => if let Some(told) = told {
                watch.hear(told);
                dirty = true;
            },
            key = keys.next() => {
                match key {
                    Some(Ok(Event::Key(key))) => if watch.press(key) == Go::Quit { break Ok(()) },
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break Err(broken(error)),
                    None => break Ok(()),
                }
                // What a key does is seen at once.
                watch.draw(&mut terminal, &shown, theme).map_err(broken)?;
                dirty = false;
            }
            _ = ticks.tick() => if dirty || drawn.elapsed() >= Duration::from_secs(1) {
                watch.draw(&mut terminal, &shown, theme).map_err(broken)?;
                (dirty, drawn) = (false, Instant::now());
            },
            ending = &mut linked => break ended(ending),
            () = told_to_end(&mut signals) => break Ok(()),
        }
    }
}

async fn told_to_end(signals: &mut [io::Result<tokio::signal::unix::Signal>; 2]) {
    let [terminate, hangup] = signals.each_mut().map(|signal| async move {
        match signal {
            Ok(signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    });
    tokio::select! {
        () = terminate => {}
        () = hangup => {}
    }
}

fn ended(ending: Ending) -> Result<(), Failure> {
    match ending {
        Ending::Final(why) => Err(Failure::run(why)),
        Ending::Unwatched => Ok(()),
    }
}

impl Watch {
    fn hear(&mut self, news: News) {
        match news {
            News::Connecting => self.status = Status::Connecting,
            News::Waiting { why, until } => {
                (self.status, self.until) = (Status::Waiting { why, left: Duration::ZERO }, until);
            }
            News::Remark(remark) => self.remark = Some((remark, Instant::now())),
            News::Frame(_, frame) => {
                self.picture.take(&frame);
                self.heard = Instant::now();
                self.status = Status::Live { quiet: Duration::ZERO, late: false };
            }
        }
    }

    fn press(&mut self, key: crossterm::event::KeyEvent) -> Go {
        let go = self.board.press(key, self.held.as_ref().unwrap_or(&self.picture));
        match (self.board.paused, &self.held) {
            (true, None) => self.held = Some(self.picture.clone()),
            (false, Some(_)) => self.held = None,
            _ => {}
        }
        go
    }

    fn draw<W: Write>(
        &mut self,
        terminal: &mut Terminal<CrosstermBackend<W>>,
        shown: &str,
        theme: Theme,
    ) -> io::Result<()> {
        match &mut self.status {
            Status::Waiting { left, .. } => *left = self.until.saturating_duration_since(Instant::now()),
            Status::Live { quiet, late } => {
                *quiet = self.heard.elapsed();
                *late = *quiet > self.late;
            }
            Status::Connecting => {}
        }
        let remark = self.remark.as_ref().filter(|(_, since)| since.elapsed() < REMARK);
        let mut scene = Scene {
            picture: self.held.as_ref().unwrap_or(&self.picture),
            board: &mut self.board,
            status: &self.status,
            shown,
            remark: remark.map(|(remark, _)| remark.as_str()),
            theme,
        };
        terminal.draw(|frame| draw(frame, &mut scene)).map(drop)
    }
}
