//! Names of sessions, which observations carry as hashes alone.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::domain::SessionKey;
use crate::ingest::recording::Entry;

/// The names of the sessions of a recording: the user's own file, so they may be shown to the user.
#[derive(Debug, Default)]
pub struct Names(HashMap<SessionKey, Option<String>>);

impl Names {
    /// Attributes of OpenTelemetry that name a session.
    const ATTRIBUTES: [&'static str; 2] = ["gen_ai.conversation.id", "session.id"];

    /// Learns the names of the sessions of a line, where they are new.
    pub fn learn(&mut self, entry: &Entry) {
        if entry.accepted.iter().all(|observation| self.0.contains_key(&observation.session)) {
            return;
        }
        #[derive(Deserialize)]
        struct Native {
            session: Option<Value>,
        }
        if let Ok(Native { session: Some(session) }) = serde_json::from_slice(&entry.raw.0) {
            self.add(&session);
        } else if let Ok(request) = serde_json::from_slice(&entry.raw.0) {
            self.search(&request);
        }
        for observation in &entry.accepted {
            self.0.entry(observation.session).or_default();
        }
    }

    /// A session's name; `None` for observations without one.
    pub fn get(&self, session: SessionKey) -> Option<&str> {
        self.0.get(&session)?.as_deref()
    }

    fn add(&mut self, name: &Value) {
        let name = match name {
            Value::String(name) => name.clone(),
            Value::Number(name) => name.to_string(),
            _ => return,
        };
        self.0.insert(SessionKey::of(&name), Some(name));
    }

    fn search(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.search(item)),
            Value::Object(object) => {
                let key = object.get("key").and_then(Value::as_str);
                if let (Some(key), Some(name)) = (key, value.pointer("/value/stringValue"))
                    && Self::ATTRIBUTES.contains(&key)
                {
                    self.add(name);
                }
                object.values().for_each(|inner| self.search(inner));
            }
            _ => {}
        }
    }
}
