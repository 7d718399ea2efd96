//! `reflect`: what the daemon makes of one agent. Reads the private state, so it is for the host alone.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{Failure, redis, runtime};
use crate::config::Config;
use crate::engine::{Document, Introspection};
use crate::store::Archive;

/// What can be given on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The agent
    #[arg(long, value_name = "AGENT")]
    pub agent: String,
    /// The private state: a file, or - for the standard input, as in `redis-cli GET meta:latest | consciousness-system
    /// reflect --agent A -`. Without it, what Redis holds in meta:latest, which may be in parts
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print one JSON document instead of a narrative
    #[arg(long)]
    pub json: bool,
    /// Configuration file (TOML), for the settings of the analysis and of Redis; CONSCIOUSNESS__SECTION__KEY variables win
    /// over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Longest state that is read, in bytes.
const LONGEST: u64 = 16 << 30;

/// Prints what is made of the agent.
///
/// # Errors
/// With exit code 2 when the configuration or the state cannot be used; with 1 when Redis cannot be asked or holds no
/// state, or when the state does not know the agent.
pub fn run(args: &Args, env: impl IntoIterator<Item = (String, String)>, out: &mut impl Write) -> Result<(), Failure> {
    let config = Config::load(args.config.as_deref(), env).map_err(Failure::usage)?;
    let Document { meta, agents } = match &args.file {
        Some(file) => {
            let unreadable = |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", file.display()));
            Document::parse(&read(file).map_err(|error| unreadable(&error))?).map_err(|error| unreadable(&error))?
        }
        None => stored(&config)?,
    };
    let known = agents.iter().find(|(agent, _)| agent.as_str() == args.agent);
    let (agent, state) = known.ok_or_else(|| Failure::run("the state does not know this agent"))?;
    let introspection = Introspection::new(agent, state, meta.insights.iter(), meta.at, &config.engine());
    let printed = if args.json {
        serde_json::to_writer(&mut *out, &introspection).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        write!(out, "{introspection}")
    };
    printed.map_err(|error| Failure::run(format!("cannot write: {error}")))
}

fn stored(config: &Config) -> Result<Document, Failure> {
    let mut archive = Archive::new(&redis(config, ", and no FILE is given")?);
    let state = runtime()?.block_on(archive.state(Archive::LATEST));
    let state = state.map_err(|fault| Failure::run(format!("redis: {fault}")))?;
    state.ok_or_else(|| Failure::run(format!("{} holds no valid state", Archive::LATEST)))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let source: Box<dyn Read> =
        if path.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut bytes = Vec::new();
    source.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::analyze::vitals::{ClientFacts, Pulse, StoreFacts};
    use crate::domain::Timestamp;
    use crate::engine::{self, Engine};
    use crate::ingest::recording::Recording;

    /// The state after an agent has listed the same folder four times.
    fn state() -> tempfile::NamedTempFile {
        let step = |i: usize| {
            let action =
                json!({"agent": "a", "kind": "action", "tool": "ls", "arguments": {"path": "my-secret"}, "call_id": i});
            let result = json!({"agent": "a", "kind": "result", "call_id": i, "ok": true, "text": "nothing there"});
            format!("{action}\n{result}\n")
        };
        let text: String = (0..4).map(step).collect();
        let entries = Recording::new(text.as_bytes());
        let observations: Vec<_> = entries.flat_map(|entry| entry.unwrap().accepted).collect();
        let mut engine = Engine::new(engine::Config::default(), 1);
        let pulse = Pulse {
            interval: Duration::from_millis(100),
            lateness: Duration::ZERO,
            missed: 0,
            analysis: None,
            backlog: 0,
            store: StoreFacts::MEMORY_ONLY,
            clients: ClientFacts::default(),
        };
        engine.beat(Timestamp::from_nanos(1_750_000_000_000_000_000), &observations, &pulse);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [Document::of(&engine).to_json(), b"\n".to_vec()].concat()).unwrap();
        file
    }

    fn reflect(agent: &str, file: &Path, json: bool) -> Result<String, Failure> {
        let args = Args { agent: agent.into(), file: Some(file.into()), json, config: None };
        let mut out = Vec::new();
        run(&args, [], &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_loop_is_noted_explained_and_something_is_intended() {
        let file = state();
        let text = reflect("a", file.path(), false).unwrap();
        for part in [
            "monitor\n  stuck; 8 observations",
            "note: stuck, warning",
            "expected each step to change something; but pattern=action_result_repeat repeats=4 tool=ls observation=8",
            "explain: it does not take in what the last result told it",
            "intend\n  escalate",
            "result “nothing there”",
            "my-secret",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        let document: Value = serde_json::from_str(&reflect("a", file.path(), true).unwrap()).unwrap();
        assert_eq!(document["anomalies"][0]["kind"], "stuck");
        assert_eq!(document["intention"], "escalate");
    }

    #[test]
    fn what_cannot_be_told_is_an_error() {
        let code = |failure: Failure| format!("{:?}", failure.exit_code());
        let [one, two] = [1u8, 2].map(|code| format!("{:?}", std::process::ExitCode::from(code)));
        assert_eq!(code(reflect("b", state().path(), false).unwrap_err()), one);
        assert_eq!(code(reflect("a", Path::new("/nonexistent"), false).unwrap_err()), two);
        let broken = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(broken.path(), "{\"schema\":1}").unwrap();
        assert_eq!(code(reflect("a", broken.path(), false).unwrap_err()), two);
    }
}
