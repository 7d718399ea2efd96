//! The frames as lines, for pipes.

use std::io::{self, Write};

use tokio::sync::mpsc;

use super::frame;
use super::link::{Ending, Link, News};
use crate::cli::Failure;

/// Prints frames until told to end, until nobody reads them, or until the stream ends for good. What befalls the
/// connection goes to the standard error.
///
/// # Errors
/// With exit code 1 when the stream ends for good, or a line cannot be written.
pub async fn run(link: Link, out: &mut impl Write) -> Result<(), Failure> {
    let (sender, mut news) = mpsc::channel(16);
    let print = async move {
        let outcome = loop {
            match news.recv().await {
                Some(News::Frame(text, read)) => {
                    match writeln!(out, "{}", frame::line(&text, &read)).and_then(|()| out.flush()) {
                        Ok(()) => {}
                        // The reader has what it wanted.
                        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break Ok(()),
                        Err(error) => break Err(Failure::run(format!("cannot write: {error}"))),
                    }
                }
                Some(News::Waiting { why, until }) => {
                    let wait = until.saturating_duration_since(tokio::time::Instant::now());
                    eprintln!("{why}; the next try is in {:.1} s", wait.as_secs_f64());
                }
                Some(News::Connecting | News::Remark(_)) => {}
                None => break Ok(()),
            }
        };
        // So that the link notices that nobody reads.
        drop(news);
        outcome
    };
    let both = async {
        // What came before the end is printed before it is told.
        let (printed, ending) = tokio::join!(print, link.run(sender));
        printed?;
        match ending {
            Ending::Final(why) => Err(Failure::run(why)),
            Ending::Unwatched => Ok(()),
        }
    };
    tokio::select! {
        outcome = both => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
