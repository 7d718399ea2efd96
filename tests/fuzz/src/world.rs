//! Engine, sanitizer and hub, as the daemon puts them together, on a time of their own.

use std::time::Duration;

use consciousness_system::analyze::vitals::{ClientFacts, Pulse, StoreFacts};
use consciousness_system::domain::{AgentId, Kind, Observation, SessionKey, Source, Text, Timestamp, ToolName};
use consciousness_system::engine::{Config, Engine};
use consciousness_system::sanitize::{Everything, PublicState, Sanitizer};

pub(crate) const NOW: Timestamp = Timestamp::from_nanos(1_763_942_048_000_000_000);
const INTERVAL: Duration = Duration::from_millis(100);

pub(crate) struct World {
    engine: Engine,
    sanitizer: Sanitizer,
    shown: PublicState,
    now: Timestamp,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(Engine::new(Config { agents: 64, ..Config::default() }, 1))
    }

    pub(crate) fn of(engine: Engine) -> Self {
        let shown = PublicState::new(Sanitizer::whole(&engine), 10_000);
        Self { engine, sanitizer: Sanitizer::default(), shown, now: NOW }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A beat; what it changed of the public view gives what the whole view is.
    pub(crate) fn beat(&mut self, observations: &[Observation]) {
        self.now = self.now.plus(INTERVAL);
        let pulse = Pulse {
            interval: INTERVAL,
            lateness: Duration::ZERO,
            missed: 0,
            analysis: None,
            backlog: 0,
            store: StoreFacts::MEMORY_ONLY,
            clients: ClientFacts::default(),
        };
        let beat = self.engine.beat(self.now, observations, &pulse);
        self.shown.apply(self.sanitizer.beat(&self.engine, &beat));
        assert!(self.engine.agents() <= self.engine.config().agents.max(self.shown.agents()), "agents without bound");
    }

    /// The public state as JSON.
    pub(crate) fn shown(&self) -> String {
        serde_json::to_string(&self.shown.document(&Everything)).expect("the public state is JSON")
    }
}

/// Some steps of an agent that loops.
pub(crate) fn steps() -> Vec<Observation> {
    let tool = ToolName::fitted("ls");
    let step = |kind| Observation {
        agent: AgentId::fitted("looper"),
        session: SessionKey::default(),
        id: None,
        at: NOW,
        source: Source::Native,
        kind,
    };
    let round = |_| {
        let action = Kind::Action { tool: tool.clone(), arguments: Some(Text::new("{}")), call: None };
        let result = Kind::Result {
            call: None,
            tool: Some(tool.clone()),
            ok: true,
            error: None,
            text: Some(Text::new("same")),
            duration_ms: Some(1.0),
        };
        [step(action), step(result)]
    };
    (0..6).flat_map(round).collect()
}
