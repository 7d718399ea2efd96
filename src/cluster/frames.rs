//! Sanitized beats, from the pod that leads to all others.

use std::sync::LazyLock;
use std::time::Duration;

use redis::streams::{StreamRangeReply, StreamReadReply};
use redis::{FromRedisValue, Script};

use crate::engine::StreamId;
use crate::link::{Fault, Link};
use crate::sanitize::Relayed;

/// The stream of beats.
const FRAMES: &str = "meta:frames";
/// Set by who needs something of the one that leads.
const WANTED: &str = "meta:frames:wanted";
const EPOCH: &str = "meta:epoch";

static FRAME: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("frame.lua")));

/// What a pod needs of the one that leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The whole state: it lacks beats.
    Whole,
    /// A new epoch: its streams were told later beats of this one than there are.
    Epoch,
}

/// What became of a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The others have it.
    Sent,
    /// They have it, and one of them wishes something.
    Wished(Wish),
    /// They don't: a newer epoch was taken.
    Fenced,
}

/// Tells beats to the other pods.
#[derive(Debug)]
pub struct FrameWriter {
    link: Link,
}

impl FrameWriter {
    /// Beats kept: a minute at the default interval; fewer where they take more memory than this.
    const KEPT: usize = 600;
    const KEPT_AT_LEAST: usize = 16;
    const KEPT_BYTES: usize = 64 << 20;

    /// A writer with a link of its own.
    pub fn new(link: Link) -> Self {
        Self { link }
    }

    /// Tells a beat, in the epoch that it is of.
    ///
    /// # Errors
    /// Why it may not have been told.
    pub async fn send(&mut self, beat: &Relayed) -> Result<Sent, Fault> {
        let json = beat.to_json();
        let kept = (Self::KEPT_BYTES / json.len().max(1)).clamp(Self::KEPT_AT_LEAST, Self::KEPT);
        let mut script = FRAME.key(FRAMES);
        script.key(EPOCH).key(WANTED).arg(beat.beat.position().epoch).arg(&json).arg(kept);
        let told: String = self.link.call(json.len(), async |connection| script.invoke_async(connection).await).await?;
        match told.as_str() {
            "sent" => Ok(Sent::Sent),
            "whole" => Ok(Sent::Wished(Wish::Whole)),
            "epoch" => Ok(Sent::Wished(Wish::Epoch)),
            "fenced" => Ok(Sent::Fenced),
            _ => Err(Fault::Other),
        }
    }
}

/// What is read from the stream of beats.
#[derive(Debug)]
pub enum Notice {
    /// A beat.
    Beat(Relayed),
    /// The pod that led has released the lease.
    Released,
}

/// Reads beats of the pod that leads.
#[derive(Debug)]
pub struct FrameReader {
    link: Link,
    /// The last entry read; `None`: none yet.
    at: Option<StreamId>,
    /// Whether the stream was looked at since the link broke.
    looked: bool,
}

impl FrameReader {
    /// How long the stream is waited for at a time.
    pub const BLOCK: Duration = Duration::from_millis(500);
    const COUNT: usize = 64;
    /// Bytes from which on beats are read beside the runtime's threads.
    const LARGE: usize = 64 * 1024;

    /// A reader with a link of its own, whose answers may take [`Self::BLOCK`] more than others.
    pub fn new(link: Link) -> Self {
        Self { link, at: None, looked: false }
    }

    /// Forgets where it was: it goes on with what comes next.
    pub fn skip(&mut self) {
        (self.at, self.looked) = (None, false);
    }

    /// Waits a while for beats; none may have come.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn next(&mut self) -> Result<Vec<Notice>, Fault> {
        let outcome = self.read().await;
        self.looked &= outcome.is_ok();
        outcome
    }

    async fn read(&mut self) -> Result<Vec<Notice>, Fault> {
        let after = match self.at {
            Some(at) if self.looked => at,
            at => {
                let mut last = redis::cmd("XREVRANGE");
                last.arg(FRAMES).arg("+").arg("-").arg("COUNT").arg(1);
                let reply: StreamRangeReply = self.link.command(&last, 0).await?;
                let top = reply.ids.first().and_then(|entry| entry.id.parse().ok()).unwrap_or_default();
                self.looked = true;
                // A Redis that lost the stream's end begins again further back.
                at.map_or(top, |at| at.min(top))
            }
        };
        self.at = Some(after);
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(Self::COUNT).arg("BLOCK").arg(Self::BLOCK.as_millis() as u64);
        command.arg("STREAMS").arg(FRAMES).arg(after.to_string());
        let reply: Option<StreamReadReply> = self.link.command(&command, 0).await?;
        let mut texts = Vec::new();
        for mut entry in reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids) {
            self.at = Some(entry.id.parse().map_err(|_| Fault::Other)?);
            texts.push(entry.map.remove("beat").and_then(|beat| Vec::<u8>::from_redis_value(beat).ok()));
        }
        let large = texts.iter().flatten().map(Vec::len).sum::<usize>() > Self::LARGE;
        let read = move || texts.into_iter().filter_map(notice).collect();
        if large { tokio::task::spawn_blocking(read).await.map_err(|_| Fault::Other) } else { Ok(read()) }
    }
}

/// Tells whoever leads what this pod wishes.
#[derive(Debug)]
pub struct Wishes {
    link: Link,
}

impl Wishes {
    /// How long a wish lasts.
    const LASTS: Duration = Duration::from_secs(2);

    /// Wishes with a link of their own.
    pub fn new(link: Link) -> Self {
        Self { link }
    }

    /// Tells a wish.
    ///
    /// # Errors
    /// Why that may not have been told.
    pub async fn tell(&mut self, wish: Wish) -> Result<(), Fault> {
        let word = match wish {
            Wish::Whole => "whole",
            Wish::Epoch => "epoch",
        };
        let mut command = redis::cmd("SET");
        command.arg(WANTED).arg(word).arg("PX").arg(Self::LASTS.as_millis() as u64);
        self.link.command(&command, 0).await
    }
}

fn notice(text: Option<Vec<u8>>) -> Option<Notice> {
    let Some(text) = text else { return Some(Notice::Released) };
    match Relayed::from_json(&text) {
        Ok(beat) => Some(Notice::Beat(beat)),
        Err(error) => {
            tracing::error!(%error, "what the leader tells cannot be read");
            None
        }
    }
}
