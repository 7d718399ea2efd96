//! Bounds on what clients may make the daemon hold or do. Several rooms are bounded by them, hence their place here.

use serde::{Deserialize, Serialize};

use super::Problems;

/// Section `limits`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Observations that may wait for the next beat, or for the pod that leads to read them; more are answered with 503.
    pub queue: usize,
    /// Largest request body as sent, in bytes.
    pub body_bytes: usize,
    /// Largest request body after decompression, in bytes.
    pub inflated_bytes: usize,
    /// Observations in one request.
    pub batch: usize,
    /// Agents known at a time; the one unseen for longest makes room.
    pub agents: usize,
    /// Sessions known of one agent at a time.
    pub sessions_per_agent: usize,
    /// Streams open at a time.
    pub streams: usize,
    /// Streams open at a time for one `sub`.
    pub streams_per_sub: usize,
    /// Connections open at a time from one address, streams included; 0: any number.
    pub connections_per_address: usize,
    /// Messages a second that one `sub` may send on its streams.
    pub messages_per_second: u32,
    /// Messages that one `sub` may send at once after a pause.
    pub burst: u32,
    /// Frames a second that are sent to a stream.
    pub frames_per_second: u32,
    /// Largest message from a client, in bytes.
    pub message_bytes: usize,
    /// Patterns in one `subscribe` message.
    pub subscribe_patterns: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue: 262_144,
            body_bytes: 4 * 1024 * 1024,
            inflated_bytes: 16 * 1024 * 1024,
            batch: 65_536,
            agents: 100_000,
            sessions_per_agent: 256,
            streams: 20_000,
            streams_per_sub: 64,
            connections_per_address: 20_000,
            messages_per_second: 20,
            burst: 20,
            frames_per_second: 20,
            message_bytes: 65_536,
            subscribe_patterns: 64,
        }
    }
}

impl Limits {
    /// Reports values out of range.
    pub fn check(&self, problems: &mut Problems) {
        const GIB: usize = 1024 * 1024 * 1024;
        problems.number("limits.queue", self.queue, 1_024..=16_777_216);
        problems.number("limits.body_bytes", self.body_bytes, 1_024..=GIB);
        problems.number("limits.inflated_bytes", self.inflated_bytes, 1_024..=GIB);
        problems.number("limits.batch", self.batch, 1..=1_048_576);
        problems.number("limits.agents", self.agents, 1..=1_000_000);
        problems.number("limits.sessions_per_agent", self.sessions_per_agent, 1..=65_536);
        problems.number("limits.streams", self.streams, 1..=1_000_000);
        problems.number("limits.streams_per_sub", self.streams_per_sub, 1..=1_000_000);
        problems.number("limits.connections_per_address", self.connections_per_address, 0..=1_000_000);
        problems.number("limits.messages_per_second", self.messages_per_second, 1..=10_000);
        problems.number("limits.burst", self.burst, 1..=10_000);
        problems.number("limits.frames_per_second", self.frames_per_second, 1..=1_000);
        problems.number("limits.message_bytes", self.message_bytes, 1_024..=16 * 1024 * 1024);
        problems.number("limits.subscribe_patterns", self.subscribe_patterns, 1..=4_096);
        let fits = self.inflated_bytes >= self.body_bytes;
        problems.require("limits.inflated_bytes", fits, "must not be less than limits.body_bytes");
        // A batch that can never enter the queue whole would be refused for ever.
        problems.require("limits.batch", self.batch <= self.queue, "must not be more than limits.queue");
    }
}
