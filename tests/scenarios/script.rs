//! How scenarios are written: what agents do, line by line, and what is to be said of it.

use serde_json::{Value, json};

/// 2026-01-01T00:00:00Z, milliseconds.
const START: u64 = 1_767_225_600_000;

/// A recording in the making, on a clock of its own.
#[derive(Clone)]
pub struct Script {
    agent: &'static str,
    session: &'static str,
    /// Milliseconds since the start.
    now: u64,
    calls: u64,
    random: u64,
    lines: Vec<(u64, Value)>,
}

impl Script {
    pub fn new() -> Self {
        Self { agent: "a", session: "s", now: 0, calls: 0, random: 0x9e37_79b9_7f4a_7c15, lines: Vec::new() }
    }

    /// The same for another agent, with other accidents.
    pub fn of(agent: &'static str) -> Self {
        let seed = agent
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self { agent, random: seed | 1, ..Self::new() }
    }

    pub fn seed(mut self, seed: u64) -> Self {
        self.random = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        self
    }

    pub fn session(&mut self, session: &'static str) -> &mut Self {
        self.session = session;
        self
    }

    /// Seconds since the start.
    pub fn now(&self) -> f64 {
        self.now as f64 / 1e3
    }

    pub fn wait(&mut self, seconds: f64) -> &mut Self {
        self.now += (seconds * 1e3) as u64;
        self
    }

    /// Any observation, a second after the last.
    pub fn say(&mut self, observation: Value) -> &mut Self {
        self.wait(1.0).put(observation)
    }

    /// Any observation, now.
    pub fn put(&mut self, mut observation: Value) -> &mut Self {
        observation["agent"] = self.agent.into();
        observation["session"] = self.session.into();
        observation["at"] = ((START + self.now) * 1_000_000).into();
        self.lines.push((self.now, observation));
        self
    }

    /// A line as it is: an OTLP request.
    pub fn line(&mut self, line: Value) -> &mut Self {
        self.lines.push((self.now, line));
        self
    }

    pub fn nanos(&self) -> u64 {
        (START + self.now) * 1_000_000
    }

    pub fn thought(&mut self) -> &mut Self {
        let text = format!("thought {}", self.lines.len());
        self.say(json!({"kind": "thought", "text": text}))
    }

    pub fn message(&mut self, text: &str) -> &mut Self {
        self.say(json!({"kind": "message", "role": "agent", "text": text}))
    }

    pub fn user(&mut self, text: &str) -> &mut Self {
        self.say(json!({"kind": "message", "role": "user", "text": text}))
    }

    /// An action, a second after the last observation, and its result after so many milliseconds.
    pub fn call_in(&mut self, tool: &str, arguments: Value, outcome: Outcome, ms: f64) -> &mut Self {
        let id = self.begin(tool, arguments);
        self.wait(ms / 1e3);
        self.end(&id, outcome, Some(ms))
    }

    /// The same within 200 ms.
    pub fn call(&mut self, tool: &str, arguments: Value, outcome: Outcome) -> &mut Self {
        self.call_in(tool, arguments, outcome, 200.0)
    }

    pub fn begin(&mut self, tool: &str, arguments: Value) -> String {
        self.calls += 1;
        let id = format!("call-{}", self.calls);
        self.say(json!({"kind": "action", "tool": tool, "arguments": arguments, "call_id": id}));
        id
    }

    pub fn end(&mut self, id: &str, outcome: Outcome, ms: Option<f64>) -> &mut Self {
        let mut result = match outcome {
            Outcome::Ok(text) => json!({"kind": "result", "call_id": id, "ok": true, "text": text}),
            Outcome::Failed(error, text) => {
                json!({"kind": "result", "call_id": id, "ok": false, "error": error, "text": text})
            }
        };
        if let Some(ms) = ms {
            result["duration_ms"] = ms.into();
        }
        self.put(result)
    }

    /// A step of useful work: something new is looked at, and something new is seen.
    pub fn work(&mut self) -> &mut Self {
        let step = self.lines.len();
        self.call("search", json!({"query": step}), Outcome::Ok(format!("found {step}")))
    }

    /// A claim with its outcome.
    pub fn claim(&mut self, confidence: f64, correct: bool) -> &mut Self {
        let id = format!("claim-{}", self.lines.len());
        self.say(json!({"kind": "claim", "claim_id": id, "confidence": confidence, "correct": correct}))
    }

    pub fn progress(&mut self, done: f64, total: f64) -> &mut Self {
        self.say(json!({"kind": "progress", "done": done, "total": total}))
    }

    pub fn usage(&mut self, input: u64, cost: f64) -> &mut Self {
        self.say(json!({"kind": "usage", "input_tokens": input, "output_tokens": 100, "cost": cost,
            "context_window": 100_000}))
    }

    pub fn times(&mut self, n: usize, mut what: impl FnMut(&mut Self, usize)) -> &mut Self {
        (0..n).for_each(|i| what(self, i));
        self
    }

    /// From 0 to 1, the same in each run.
    pub fn uniform(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// From a normal distribution, by the sum of twelve.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// A log-normal duration around a median, milliseconds.
    pub fn around(&mut self, median: f64, spread: f64) -> f64 {
        median * (spread * self.normal()).exp()
    }

    /// Lets time pass with others at work: somebody else's steady signs of life, for so long.
    pub fn while_others_work(&mut self, seconds: f64) -> &mut Self {
        let mut other = Self { now: self.now, ..Self::of("bystander") };
        while other.now() < self.now() + seconds {
            other.wait(4.0).thought();
        }
        let until = self.now() + seconds;
        self.lines.extend(other.lines);
        self.wait(until - self.now())
    }

    pub fn and(&mut self, other: &Self) -> &mut Self {
        self.lines.extend(other.lines.iter().cloned());
        self.now = self.now.max(other.now);
        self
    }

    /// The recording: lines by time, those of one time in the order in which they were written.
    pub fn recording(&self) -> String {
        let mut lines: Vec<&(u64, Value)> = self.lines.iter().collect();
        lines.sort_by_key(|(at, _)| *at);
        lines.iter().map(|(_, line)| format!("{line}\n")).collect()
    }
}

/// How a call ended.
#[derive(Clone)]
pub enum Outcome {
    Ok(String),
    Failed(&'static str, String),
}

pub fn ok(text: impl ToString) -> Outcome {
    Outcome::Ok(text.to_string())
}

pub fn failed(error: &'static str, text: impl ToString) -> Outcome {
    Outcome::Failed(error, text.to_string())
}

/// A recording and what is to be said of it.
pub struct Scenario {
    pub name: &'static str,
    pub recording: String,
    /// Settings other than the defaults, as `SECTION__KEY` and value.
    pub settings: Vec<(&'static str, &'static str)>,
    pub expected: Vec<Expected>,
    /// What may be said besides, by agent and kind: neither wanted nor wrong.
    pub allowed: Vec<(&'static str, &'static str)>,
}

/// An insight that has to open.
pub struct Expected {
    pub agent: &'static str,
    pub kind: &'static str,
    /// When the trouble begins, seconds.
    pub onset: f64,
    /// How long it may take to be told, seconds.
    pub within: f64,
    /// How often it may open, at least and at most. 0: told or not, but not again and again.
    pub openings: (usize, usize),
    /// What its evidence says, at its end.
    pub evidence: Vec<(&'static str, Value)>,
    pub severity: Option<&'static str>,
    /// Whether it is over at the end.
    pub resolves: Option<bool>,
}

impl Scenario {
    pub fn new(name: &'static str, script: &Script) -> Self {
        Self::recorded(name, script.recording())
    }

    pub fn recorded(name: &'static str, recording: String) -> Self {
        Self { name, recording, settings: Vec::new(), expected: Vec::new(), allowed: Vec::new() }
    }

    pub fn with(mut self, key: &'static str, value: &'static str) -> Self {
        self.settings.push((key, value));
        self
    }

    pub fn raises(mut self, expected: Expected) -> Self {
        self.expected.push(expected);
        self
    }

    pub fn may_raise(self, kind: &'static str) -> Self {
        self.may_raise_of("a", kind)
    }

    pub fn may_raise_of(mut self, agent: &'static str, kind: &'static str) -> Self {
        self.allowed.push((agent, kind));
        self
    }
}

/// An insight of agent `a`, told within so many seconds of the onset, once.
pub fn raised(kind: &'static str, onset: f64, within: f64) -> Expected {
    Expected { agent: "a", kind, onset, within, openings: (1, 1), evidence: Vec::new(), severity: None, resolves: None }
}

impl Expected {
    pub fn showing(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.evidence.push((key, value.into()));
        self
    }

    pub fn severity(mut self, severity: &'static str) -> Self {
        self.severity = Some(severity);
        self
    }

    pub fn resolved(mut self) -> Self {
        self.resolves = Some(true);
        self
    }

    pub fn open(mut self) -> Self {
        self.resolves = Some(false);
        self
    }

    pub fn times(mut self, least: usize, most: usize) -> Self {
        self.openings = (least, most);
        self
    }

    pub fn of(mut self, agent: &'static str) -> Self {
        self.agent = agent;
        self
    }
}
