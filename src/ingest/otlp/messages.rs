//! What was said in a model call, from any of the forms in which the conventions and their forerunners write it.
//!
//! | form | example |
//! | --- | --- |
//! | `gen_ai.input.messages`, `gen_ai.output.messages` | `[{"role":"user","parts":[{"type":"text","content":"…"}]}]` |
//! | `gen_ai.prompt`, `gen_ai.completion` | `[{"role":"user","content":"…"}]`, or the bare text |
//! | the same, one attribute a field | `gen_ai.prompt.0.role`, `gen_ai.prompt.0.content` |
//! | bodies of the message events | `{"role":"user","content":"…"}`, `{"index":0,"message":{"content":"…"}}` |

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::wire::{Attributes, Value};
use crate::domain::Role;
use crate::ingest::native::role;
use crate::ingest::scalar::{Scalar, Str};

/// Texts of one message, or of several that were said together.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Said {
    /// Who spoke, where that is written.
    pub(super) role: Option<Role>,
    /// What was said; empty when nothing was, as in a message that only calls a tool.
    pub(super) text: String,
    /// What was thought: parts of type `reasoning`.
    pub(super) thought: String,
}

/// The messages that went into a model call: how many they were, and the last one. The earlier ones are history, which is
/// repeated in each call.
pub(super) fn input(attributes: &Attributes<'_>) -> Option<(usize, Said)> {
    let Some(value) = attributes.get(&["gen_ai.input.messages", "gen_ai.prompt"]) else {
        return indexed(attributes, "gen_ai.prompt.").pop().map(|(index, said)| (index + 1, said));
    };
    let Last(count, mut said) = serde_json::from_str(&value.json()).ok()?;
    said.role = said.role.or(Some(Role::User));
    Some((count, said))
}

/// What came out of a model call.
pub(super) fn output(attributes: &Attributes<'_>) -> Option<Said> {
    match attributes.get(&["gen_ai.output.messages", "gen_ai.completion"]) {
        Some(value) => said(value),
        None => indexed(attributes, "gen_ai.completion.").into_iter().next().map(|(_, said)| said),
    }
}

/// The message of a message event: its body, or where span events carry it.
pub(super) fn of_event(body: &Value<'_>, attributes: &Attributes<'_>) -> Option<Said> {
    match body {
        Value::Map(_) | Value::Text(_) => said(body),
        _ => said(attributes.get(&["gen_ai.event.content", "content", "message"])?),
    }
}

fn said(value: &Value<'_>) -> Option<Said> {
    serde_json::from_str(&value.json()).ok()
}

/// Messages of which each field is an attribute, in the order of their index.
fn indexed(attributes: &Attributes<'_>, prefix: &str) -> Vec<(usize, Said)> {
    let mut messages: Vec<(usize, Said)> = Vec::new();
    for (key, value) in &attributes.0 {
        let Some((index, field)) = key.strip_prefix(prefix).and_then(|rest| rest.split_once('.')) else { continue };
        let (Ok(index), Value::Text(text)) = (index.parse::<u16>().map(usize::from), value) else { continue };
        let place = messages.iter().position(|(known, _)| *known == index).unwrap_or_else(|| {
            messages.push((index, Said::default()));
            messages.len() - 1
        });
        let Some((_, message)) = messages.get_mut(place) else { continue };
        match field {
            "role" => message.role = Some(role(text)),
            "content" => {
                let read = said(value).unwrap_or_default();
                (message.text, message.thought) = (read.text, read.thought);
            }
            _ => {}
        }
    }
    messages.sort_by_key(|(index, _)| *index);
    messages
}

impl Said {
    fn add(&mut self, other: Self) {
        self.role = self.role.or(other.role);
        for (own, more) in [(&mut self.text, other.text), (&mut self.thought, other.thought)] {
            if own.is_empty() {
                *own = more;
            } else if !more.is_empty() {
                own.push('\n');
                own.push_str(&more);
            }
        }
    }

    /// The same as a part of a message of this type.
    fn of_type(mut self, kind: &str) -> Self {
        match kind {
            "" | "text" | "message" | "input_text" | "output_text" | "refusal" => self,
            "reasoning" | "thinking" => {
                let text = std::mem::take(&mut self.text);
                self.add(Self { thought: text, ..Self::default() });
                self
            }
            // Tool calls and their responses, images, files.
            _ => Self { role: self.role, ..Self::default() },
        }
    }
}

/// A message, a part of one, or a list of either: texts are where they are wrapped up, so one reader unwraps them all.
impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnySaid;

        impl<'de> Visitor<'de> for AnySaid {
            type Value = Said;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message")
            }
            fn visit_unit<E>(self) -> Result<Said, E> {
                Ok(Said::default())
            }
            fn visit_bool<E>(self, _: bool) -> Result<Said, E> {
                Ok(Said::default())
            }
            fn visit_u64<E>(self, _: u64) -> Result<Said, E> {
                Ok(Said::default())
            }
            fn visit_i64<E>(self, _: i64) -> Result<Said, E> {
                Ok(Said::default())
            }
            fn visit_f64<E>(self, _: f64) -> Result<Said, E> {
                Ok(Said::default())
            }
            fn visit_str<E>(self, text: &str) -> Result<Said, E> {
                Ok(Said { text: text.to_owned(), ..Said::default() })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Said, A::Error> {
                let mut all = Said::default();
                while let Some(said) = seq.next_element()? {
                    all.add(said);
                }
                Ok(all)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
                let (mut said, mut kind, mut speaker) = (Said::default(), Scalar::Absent, Scalar::Absent);
                while let Some(Str(key)) = map.next_key()? {
                    match key.as_ref() {
                        "type" => kind = map.next_value()?,
                        "role" => speaker = map.next_value()?,
                        "content" | "text" | "parts" | "message" | "thinking" => said.add(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                if let Scalar::Text(word) = speaker {
                    said.role = Some(role(&word));
                }
                Ok(said.of_type(kind.key().as_deref().unwrap_or_default()))
            }
        }

        deserializer.deserialize_any(AnySaid)
    }
}

/// How many messages a history holds, and the last of them: the others are read past.
struct Last(usize, Said);

impl<'de> Deserialize<'de> for Last {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct History;

        impl<'de> Visitor<'de> for History {
            type Value = Last;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("messages")
            }
            fn visit_str<E>(self, text: &str) -> Result<Last, E> {
                Ok(Last(1, Said { text: text.to_owned(), ..Said::default() }))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Last, A::Error> {
                let mut last = Last(0, Said::default());
                while let Some(said) = seq.next_element()? {
                    last = Last(last.0 + 1, said);
                }
                Ok(last)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Last, A::Error> {
                Said::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(|said| Last(1, said))
            }
        }

        deserializer.deserialize_any(History)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(entries: &[(&'static str, &'static str)]) -> Attributes<'static> {
        Attributes(entries.iter().map(|&(key, value)| (key.into(), Value::Text(value.into()))).collect())
    }

    fn last(entries: &[(&'static str, &'static str)]) -> Option<(usize, Option<Role>, String)> {
        input(&attributes(entries)).map(|(count, said)| (count, said.role, said.text))
    }

    #[test]
    fn the_last_message_in_is_found_in_every_form() {
        let user = |count: usize, text: &str| Some((count, Some(Role::User), text.to_owned()));
        let parts = r#"[{"role":"system","parts":[]},{"parts":[{"type":"text","content":"a"},{"content":"b","type":"text"}],"role":"user"}]"#;
        assert_eq!(last(&[("gen_ai.input.messages", parts)]), user(2, "a\nb"));
        assert_eq!(last(&[("gen_ai.prompt", r#"[{"role":"user","content":"hi"}]"#)]), user(1, "hi"));
        assert_eq!(
            last(&[("gen_ai.prompt", r#"[{"role":"user","content":[{"type":"text","text":"hi"}]}]"#)]),
            user(1, "hi")
        );
        assert_eq!(last(&[("gen_ai.prompt", "plain words")]), user(1, "plain words"));
        assert_eq!(
            last(&[
                ("gen_ai.prompt.10.content", "later"),
                ("gen_ai.prompt.2.content", "earlier"),
                ("gen_ai.prompt.10.role", "user")
            ]),
            user(11, "later")
        );
        let tool = r#"[{"role":"user","parts":[{"type":"tool_call_response","response":"x","content":"y"}]}]"#;
        assert_eq!(last(&[("gen_ai.input.messages", tool)]), user(1, ""));
        assert_eq!(last(&[("other", "x")]), None);
        assert_eq!(last(&[("gen_ai.input.messages", "7")]), None);
    }

    #[test]
    fn what_came_out_is_found_in_every_form() {
        let out = |name, value| output(&attributes(&[(name, value)])).map(|said| (said.text, said.thought));
        let of = |text: &str, thought: &str| Some((text.to_owned(), thought.to_owned()));
        let parts = r#"[{"role":"assistant","parts":[{"type":"reasoning","content":"hm"},{"type":"text","content":"yes"},{"type":"tool_call","name":"n","arguments":{"text":"no"}}],"finish_reason":"stop"}]"#;
        assert_eq!(out("gen_ai.output.messages", parts), of("yes", "hm"));
        assert_eq!(out("gen_ai.completion", r#"[{"role":"assistant","content":"yes"}]"#), of("yes", ""));
        assert_eq!(out("gen_ai.completion", r#"{"message":{"content":"yes"}}"#), of("yes", ""));
        assert_eq!(out("gen_ai.completion.0.content", "yes"), of("yes", ""));
        assert_eq!(out("gen_ai.completion", "yes"), of("yes", ""));
        assert_eq!(out("gen_ai.output.messages", "[]"), of("", ""));
    }

    #[test]
    fn event_bodies_are_read() {
        let body = Value::Map(attributes(&[("content", "hello"), ("role", "user")]));
        let said = of_event(&body, &Attributes::default()).unwrap();
        assert_eq!((said.text.as_str(), said.role), ("hello", Some(Role::User)));
        let choice = Value::Map(Attributes(vec![
            ("finish_reason".into(), Value::Text("stop".into())),
            ("message".into(), Value::Map(attributes(&[("content", "hi")]))),
        ]));
        assert_eq!(of_event(&choice, &Attributes::default()).unwrap().text, "hi");
        let content = attributes(&[("gen_ai.event.content", r#"{"role":"user","content":"x"}"#)]);
        assert_eq!(of_event(&Value::Empty, &content).unwrap().text, "x");
        assert!(of_event(&Value::Empty, &Attributes::default()).is_none());
    }
}
