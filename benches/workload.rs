//! A plausible run of work, and an engine to fold it: what the benchmarks of the analysis share.

use std::hint::black_box;
use std::time::Duration;

use consciousness_system::analyze::vitals::{ClientFacts, Pulse, StoreFacts};
use consciousness_system::domain::{
    AgentId, CallKey, ClaimKey, Failure, Kind, Observation, ObservationKey, Probability, Role, SessionKey, Source,
    Text, Timestamp, ToolName,
};
use consciousness_system::engine::{Config, Engine};
use consciousness_system::heartbeat::Pace;
use consciousness_system::sanitize::{PublicState, Sanitizer};

pub const INTERVAL: Duration = Duration::from_millis(100);

/// The time at which it begins.
pub const START: Timestamp = Timestamp::from_nanos(1_750_000_000_000_000_000);

/// A plausible run of work, endlessly: an agent thinks, acts, gets results, claims, is judged, reports.
pub struct Workload {
    random: u64,
    agents: Vec<AgentId>,
    tools: Vec<ToolName>,
    serials: Vec<u64>,
    sessions: u64,
}

impl Workload {
    pub fn new(agents: usize, sessions: u64) -> Self {
        Self {
            random: 0x2545_f491_4f6c_dd1d,
            agents: (0..agents).map(|i| AgentId::fitted(&format!("agent-{i}"))).collect(),
            tools: ["search", "read_file", "write_file", "run_tests"].map(ToolName::fitted).to_vec(),
            serials: vec![0; agents],
            sessions,
        }
    }

    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The next observation of an agent.
    pub fn observe(&mut self, agent: usize, at: Timestamp) -> Observation {
        let serial = self.serials[agent];
        self.serials[agent] += 1;
        let (round, step) = (serial / 10, serial % 10);
        let call = Some(CallKey::from_u64(round * 2 + step / 3));
        let kind = match step {
            0 => Kind::Thought { text: Some(self.text(serial)) },
            1 | 4 => {
                let choice = (self.next() % 4) as usize;
                let tool = self.tools[choice].clone();
                Kind::Action { tool, arguments: Some(self.text(serial)), call }
            }
            2 | 5 => {
                let ok = self.uniform() < 0.9;
                let error = (!ok).then(|| Failure::new(if self.uniform() < 0.2 { "timeout" } else { "exit_1" }));
                let duration_ms = Some((self.uniform() * 6.0).exp() * 10.0);
                Kind::Result { call, tool: None, ok, error, text: Some(self.text(serial)), duration_ms }
            }
            3 => Kind::Message {
                role: if round % 20 == 0 { Role::User } else { Role::Agent },
                text: Some(self.text(serial)),
            },
            6 => {
                let confidence =
                    Probability::new((self.uniform() * 20.0).floor() / 20.0).unwrap_or_else(|| unreachable!());
                Kind::Claim { claim: ClaimKey::from_u64(round), confidence, correct: None, task: None }
            }
            7 => Kind::Verdict { claim: ClaimKey::from_u64(round), correct: self.uniform() < said(round) },
            8 => Kind::Progress { done: (round % 100) as f64, total: Some(100.0) },
            _ => Kind::Usage {
                input_tokens: 1000 + serial % 500,
                output_tokens: 100,
                cost: Some(0.01),
                context_window: Some(128_000),
            },
        };
        Observation {
            agent: self.agents[agent].clone(),
            session: SessionKey::from_u64((serial / 200) % self.sessions),
            id: Some(ObservationKey::from_u64(self.next())),
            at,
            source: Source::Native,
            kind,
        }
    }

    fn text(&mut self, serial: u64) -> Text {
        Text::new(&format!(
            "step {serial} {:016x}: what was asked, what was found, and what follows from it for the next step",
            self.next()
        ))
    }

    /// Observations of agents in random order, so many of each in a row, as exporters send them.
    #[allow(dead_code, reason = "not every benchmark deals them like this")]
    pub fn runs(&mut self, size: usize, run: usize, at: Timestamp) -> Vec<Observation> {
        let agents = self.agents.len() as u64;
        let chosen: Vec<_> = (0..size / run).map(|_| (self.next() % agents) as usize).collect();
        chosen
            .into_iter()
            .flat_map(|agent| std::iter::repeat_n(agent, run))
            .map(|agent| self.observe(agent, at))
            .collect()
    }

    /// Observations of agents in random order.
    pub fn batch(&mut self, size: usize, at: Timestamp) -> Vec<Observation> {
        let agents = self.agents.len() as u64;
        (0..size)
            .map(|_| {
                let agent = (self.next() % agents) as usize;
                self.observe(agent, at)
            })
            .collect()
    }
}

/// How sure an agent says it is in a round, and how often it is right then.
fn said(round: u64) -> f64 {
    (round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as f64 % 100.0 / 100.0
}

pub fn pulse() -> Pulse {
    Pulse {
        interval: INTERVAL,
        lateness: Duration::ZERO,
        missed: 0,
        analysis: Some(Duration::from_micros(200)),
        backlog: 0,
        store: StoreFacts::MEMORY_ONLY,
        clients: ClientFacts::default(),
    }
}

/// An engine with what a beat does besides: the public view.
pub struct Daemon {
    pub engine: Engine,
    pub sanitizer: Sanitizer,
    pub public: PublicState,
    pub now: Timestamp,
    pace: Pace,
}

impl Daemon {
    pub fn new() -> Self {
        let engine = Engine::new(Config::default(), 1);
        let public = PublicState::new(Sanitizer::whole(&engine), 100_000);
        Self { engine, sanitizer: Sanitizer::default(), public, now: START, pace: Pace::default() }
    }

    /// One beat; the times that the engine and the view took.
    pub fn beat(&mut self, observations: &[Observation]) -> [Duration; 3] {
        self.now = self.now.plus(INTERVAL);
        let start = crate::cpu();
        // In parts, as the heart does within half an interval.
        let mut rest = observations;
        while !rest.is_empty() {
            let spent = crate::cpu() - start;
            let most = self.pace.next((INTERVAL / 2).saturating_sub(spent));
            let (part, later) = rest.split_at(most.min(rest.len()));
            self.engine.fold(self.now, part);
            self.pace.took(part.len(), crate::cpu() - start - spent);
            rest = later;
        }
        let folded = crate::cpu();
        let beat = self.engine.finish(self.now, &pulse());
        let finished = crate::cpu();
        let shown = self.sanitizer.beat(&self.engine, &beat);
        black_box(self.public.apply(shown));
        [folded - start, finished - folded, crate::cpu() - finished]
    }
}
