//! What clients say.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A client's message.
#[derive(Debug, PartialEq)]
pub(super) enum Message<'a> {
    /// Which agents to show (`None`: all), and how many data frames a second at most (`None`: as many as allowed).
    Subscribe { agents: Option<Vec<String>>, max_hz: Option<f64> },
    /// An observation, as it came.
    Observe(&'a str),
    /// A new token.
    Auth(String),
    /// Wants a pong.
    Ping,
}

/// Slowest rate a client may ask for, in frames a second.
const MIN_HZ: f64 = 0.01;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    agents: Option<&'a RawValue>,
    #[serde(default, borrow)]
    max_hz: Option<&'a RawValue>,
    #[serde(default, borrow)]
    observation: Option<&'a RawValue>,
    #[serde(default, borrow)]
    token: Option<&'a RawValue>,
}

/// Reads a message. Fields that it does not know are left alone, so that later clients can say more.
///
/// # Errors
/// What is wrong, without anything of the message.
pub(super) fn parse(text: &str, fastest_hz: f64) -> Result<Message<'_>, &'static str> {
    let message: Envelope<'_> =
        serde_json::from_str(text).map_err(|_| "not a JSON object with a text as its `type`")?;
    match &*message.kind {
        "subscribe" => {
            let agents = message.agents.map(|raw| field(raw, "`agents` must be an array of texts")).transpose()?;
            let max_hz: Option<f64> = message.max_hz.map(|raw| field(raw, "`max_hz` must be a number")).transpose()?;
            match max_hz {
                Some(hz) if !(MIN_HZ..=fastest_hz).contains(&hz) => {
                    Err("`max_hz` must be from 0.01 to the `max_hz` that hello named")
                }
                _ => Ok(Message::Subscribe { agents: agents.flatten(), max_hz }),
            }
        }
        "observe" => message
            .observation
            .filter(|raw| raw.get().starts_with('{'))
            .map(|raw| Message::Observe(raw.get()))
            .ok_or("`observation` must be an object"),
        "auth" => {
            let token = message.token.ok_or("`token` is missing")?;
            field(token, "`token` must be a text").map(Message::Auth)
        }
        "ping" => Ok(Message::Ping),
        _ => Err("`type` must be subscribe, observe, auth or ping"),
    }
}

fn field<'a, T: Deserialize<'a>>(raw: &'a RawValue, problem: &'static str) -> Result<T, &'static str> {
    serde_json::from_str(raw.get()).map_err(|_| problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read() {
        let subscribe = parse(r#"{"type":"subscribe","agents":["planner-*"],"max_hz":5}"#, 20.0);
        let wanted = Message::Subscribe { agents: Some(vec!["planner-*".to_owned()]), max_hz: Some(5.0) };
        assert_eq!(subscribe, Ok(wanted));
        assert_eq!(parse(r#"{"type":"subscribe"}"#, 20.0), Ok(Message::Subscribe { agents: None, max_hz: None }));
        assert_eq!(
            parse(r#"{"type":"observe","observation":{"agent":"a","x":[{}]}}"#, 20.0),
            Ok(Message::Observe(r#"{"agent":"a","x":[{}]}"#))
        );
        assert_eq!(parse(r#"{"token":"a.b.c","type":"auth"}"#, 20.0), Ok(Message::Auth("a.b.c".to_owned())));
        assert_eq!(parse("{\"type\":\"p\\u0069ng\",\"later\":1}", 20.0), Ok(Message::Ping));
    }

    #[test]
    fn what_is_wrong_is_said_without_quoting() {
        let nested = format!("{{\"type\":\"ping\",\"x\":{}", "[".repeat(60_000));
        for text in [
            "",
            "SECRET",
            "[]",
            "{}",
            r#"{"type":1}"#,
            r#"{"type":"SECRET"}"#,
            r#"{"type":"ping","type":"ping"}"#,
            r#"{"type":"subscribe","agents":"SECRET"}"#,
            r#"{"type":"subscribe","agents":[1]}"#,
            r#"{"type":"subscribe","max_hz":0}"#,
            r#"{"type":"subscribe","max_hz":-1}"#,
            r#"{"type":"subscribe","max_hz":20.5}"#,
            r#"{"type":"subscribe","max_hz":1e999}"#,
            r#"{"type":"subscribe","max_hz":NaN}"#,
            r#"{"type":"subscribe","max_hz":"5"}"#,
            r#"{"type":"observe"}"#,
            r#"{"type":"observe","observation":["SECRET"]}"#,
            r#"{"type":"auth"}"#,
            r#"{"type":"auth","token":7}"#,
            &nested,
        ] {
            let problem = parse(text, 20.0).expect_err(&text[..text.len().min(60)]);
            assert!(!problem.contains("SECRET"));
        }
    }
}
