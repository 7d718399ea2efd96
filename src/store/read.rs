//! Reads a stored state on all cores: with many agents, reading them is most of what a start takes.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::domain::AgentId;
use crate::engine::{AgentState, Document, DocumentError, Packed};

/// Smaller documents are read sooner than a thread has started.
const LARGE: usize = 1 << 20;
/// Threads that read, at most: what looks for the agents keeps hardly more busy.
const MOST: usize = 8;
/// Bundles of agents that wait for a reader, at most.
const WAITING: usize = 64;

type Agents = Vec<(AgentId, Arc<AgentState>)>;

/// Reads a document, on several threads where it is large.
///
/// # Errors
/// See [`Document::parse`].
pub fn read(bytes: &[u8]) -> Result<Document, DocumentError> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST);
    let read = if bytes.len() >= LARGE { read_on(threads - 1, bytes) } else { None };
    // What is wrong, if something is, is told as one thread finds it.
    read.map_or_else(|| Document::parse(bytes), Ok)
}

/// Reads on so many threads and, once all agents are found, on this one; `None` if something is wrong, or there are no
/// threads.
fn read_on(threads: usize, bytes: &[u8]) -> Option<Document> {
    let (sender, receiver) = sync_channel(WAITING);
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        let reader = || thread::Builder::new().name("reader".into()).spawn_scoped(scope, || open_all(&receiver));
        let readers: Vec<_> = (0..threads).map_while(|_| reader().ok()).collect();
        if readers.is_empty() {
            return None;
        }
        // Who finds that something is no agent takes on to the end, so that there is always somebody who takes.
        let meta = Document::unpack(bytes, |some| drop(sender.send(some)));
        drop(sender);
        let mut agents = open_all(&receiver)?;
        for reader in readers {
            agents.extend(reader.join().ok()??);
        }
        Some(Document { meta: meta.ok()?, agents })
    })
}

/// Reads what is handed on until there is no more; `None` if something is no agent.
fn open_all(packed: &Mutex<Receiver<Vec<Packed<'_>>>>) -> Option<Agents> {
    let mut agents = Some(Agents::new());
    loop {
        // In a statement of its own, so that the others can take while this one reads.
        let some = packed.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(some) = some else { return agents };
        for one in some {
            agents = agents.zip(one.open()).map(|(mut agents, agent)| {
                agents.push(agent);
                agents
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, thought};
    use super::*;
    use crate::engine::{Config, Engine};

    fn json() -> String {
        let mut engine = Engine::new(Config::default(), 7);
        let observations: Vec<_> = (0..=u8::MAX).map(|agent| thought(agent, "some")).collect();
        (0..3).for_each(|_| engine.fold(at(1), &observations));
        String::from_utf8(Document::of(&engine).to_json()).unwrap()
    }

    #[test]
    fn many_threads_read_what_one_does() {
        let json = json();
        let sorted = |mut document: Document| {
            document.agents.sort_by(|(a, _), (b, _)| a.cmp(b));
            document
        };
        let expected = sorted(Document::parse(json.as_bytes()).unwrap());
        assert_eq!(expected.agents.len(), 256);
        for threads in [1, 3] {
            assert_eq!(sorted(read_on(threads, format!("{json}\n").as_bytes()).unwrap()), expected);
        }
        assert_eq!(sorted(read(json.as_bytes()).unwrap()), expected);
    }

    #[test]
    fn what_is_wrong_is_left_to_one_to_tell() {
        let json = json();
        let broken = [
            json.replacen("\"observations\":3,", "\"observations\":-3,", 1),
            json.replacen("\"schema\":1", "\"schema\":9", 1),
            json.replacen("\"meta\":", "\"mata\":", 1),
            json.replacen("\"agents\":", "\"agints\":", 1),
            json[..json.len() - 1].to_owned(),
            format!("{json} x"),
        ];
        for text in broken {
            assert_ne!(text, json);
            assert!(Document::parse(text.as_bytes()).is_err() && read_on(2, text.as_bytes()).is_none());
            assert!(read(text.as_bytes()).is_err());
        }
    }
}
