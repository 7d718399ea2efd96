//! Where a client can put a text.

use serde_json::{Value, json};

use crate::support::{SECRET, sign, unix_now};

/// Observations of every kind with a secret in every field that holds a text, and in fields that nobody knows; the
/// calls among them are a loop.
pub fn observations(agent: &str, text: &mut impl FnMut() -> String) -> Vec<Value> {
    let mut items = vec![
        json!({"kind": "thought", "text": text(), text(): text(), "metadata": {text(): [text()]}}),
        json!({"kind": "message", "role": text(), "text": text()}),
        json!({"kind": "message", "role": "assistant", "text": text(), "name": text()}),
        json!({"kind": "claim", "claim_id": text(), "confidence": 0.9, "task": text(), "statement": text()}),
        json!({"kind": "verdict", "claim_id": text(), "correct": false, "reason": text()}),
        json!({"kind": "progress", "done": 1, "total": 2, "note": text()}),
        json!({"kind": "usage", "input_tokens": 5, "model": text()}),
        json!({"kind": "action", "tool": format!("{} \u{e9}", text()), "arguments": text()}),
        json!({"kind": "result", "tool": format!("{}\u{e9}", text()), "error": {text(): text()}, "text": text()}),
        json!({"kind": "result", "tool": format!("({})", text()), "ok": false, "error": [text()]}),
    ];
    let tool = format!("{}()", text());
    let (arguments, outcome, error) = (json!({text(): [text(), {text(): null}]}), text(), text());
    for _ in 0..6 {
        let call = text();
        items.push(json!({"kind": "action", "tool": tool, "arguments": arguments, "call_id": call}));
        items.push(json!({"kind": "result", "call_id": call, "ok": false, "error": error, "text": outcome}));
    }
    for item in &mut items {
        item["agent"] = json!(agent);
        item["session"] = json!(text());
        item["id"] = json!(format!("{}{}", text(), rand::random::<u64>()));
    }
    items
}

/// Single bodies that are refused, as a whole or for what is in them.
pub fn wrong_observations(agent: &str, text: &mut impl FnMut() -> String) -> Vec<String> {
    let mut bodies = vec![
        text(),
        json!(text()).to_string(),
        json!([text()]).to_string(),
        format!("{{\"agent\":\"{agent}\",\"kind\":\"thought\",\"text\":\"{}", text()),
        format!("{{{}: 1}}", text()),
        format!(
            "{{\"agent\":\"{agent}\",\"kind\":\"thought\",\"text\":\"\\ud800 {}\"}}",
            text().replace(['"', '\\'], "")
        ),
        format!("{{\"agent\":\"{agent}\",\"kind\":\"thought\",\"text\":{0},\"text\":{0}}}", json!(text())),
        format!("{{\"agent\":\"{agent}\",\"kind\":\"claim\",\"claim_id\":{},\"confidence\":1e999}}", json!(text())),
        json!({"agent": format!("{} ", text()), "kind": "thought"}).to_string(),
        json!({"agent": text().repeat(10), "kind": "thought"}).to_string(),
        json!({"agent": {text(): text()}, "kind": "thought"}).to_string(),
        json!({"agent": agent, "kind": "claim", "claim_id": text().repeat(50), "confidence": 0.5}).to_string(),
    ];
    let base = |kind: &str| json!({"agent": agent, "kind": kind, "tool": "t", "claim_id": "c", "confidence": 0.5, "done": 1, "input_tokens": 1});
    for (kind, field, compound) in [
        ("thought", "kind", false),
        ("thought", "at", false),
        ("thought", "text", true),
        ("thought", "session", true),
        ("thought", "id", true),
        ("message", "role", true),
        ("action", "tool", true),
        ("action", "call_id", true),
        ("result", "ok", false),
        ("result", "duration_ms", false),
        ("claim", "confidence", false),
        ("claim", "correct", false),
        ("claim", "task", true),
        ("verdict", "correct", false),
        ("progress", "done", false),
        ("progress", "total", false),
        ("usage", "input_tokens", false),
        ("usage", "output_tokens", false),
        ("usage", "cost", false),
        ("usage", "context_window", false),
    ] {
        let mut item = base(kind);
        item[field] = if compound { json!({text(): text()}) } else { json!(text()) };
        bodies.push(item.to_string());
    }
    bodies
}

const ATTRIBUTES: [&str; 40] = [
    "gen_ai.conversation.id",
    "session.id",
    "gen_ai.agent.description",
    "gen_ai.agent.version",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.id",
    "gen_ai.tool.call.result",
    "gen_ai.tool.description",
    "gen_ai.tool.type",
    "tool_arguments",
    "tool_response",
    "gen_ai.prompt",
    "gen_ai.prompt.0.role",
    "gen_ai.prompt.0.content",
    "gen_ai.completion",
    "gen_ai.completion.0.content",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "gen_ai.response.id",
    "gen_ai.response.finish_reasons",
    "gen_ai.provider.name",
    "gen_ai.event.content",
    "gen_ai.evaluation.name",
    "gen_ai.evaluation.explanation",
    "gen_ai.evaluation.score.label",
    "metacog.claim.id",
    "metacog.task",
    "error.type",
    "exception.message",
    "exception.stacktrace",
    "exception.type",
    "content",
    "message",
    "server.address",
    "user.id",
    "url.full",
    "enduser.id",
];

fn string(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn attributes(agent: &str, extra: &[(&str, String)], text: &mut impl FnMut() -> String) -> Value {
    let mut list: Vec<Value> = ATTRIBUTES.iter().map(|name| string(name, &text())).collect();
    list.retain(|attribute| extra.iter().all(|(name, _)| attribute["key"] != *name));
    list.push(string(&text(), &text()));
    list.push(json!({"key": "nested", "value": {"kvlistValue": {"values": [string(&text(), &text())]}}}));
    list.push(string("gen_ai.agent.name", agent));
    list.extend(extra.iter().map(|(name, value)| string(name, value)));
    Value::Array(list)
}

fn messages(role: &str, text: &mut impl FnMut() -> String) -> String {
    let part = json!({"type": "text", "content": text()});
    let thought = json!({"type": "reasoning", "content": text()});
    let call = json!({"type": "tool_call", "name": text(), "arguments": {text(): text()}});
    json!([{"role": role, "parts": [part, thought, call, {text(): text()}]}, {"role": role, "content": text()}])
        .to_string()
}

/// A request with a span of every sort, and one whose agent's name fits no name.
pub fn traces(agent: &str, text: &mut impl FnMut() -> String) -> Value {
    let tool = format!("{}!", text());
    let mut spans = Vec::new();
    for operation in ["chat", "execute_tool", "embeddings", "invoke_agent", "create_agent", "text_completion", ""] {
        let mut extra = vec![
            ("gen_ai.tool.name", tool.clone()),
            ("gen_ai.input.messages", messages("user", text)),
            ("gen_ai.output.messages", messages("assistant", text)),
        ];
        if !operation.is_empty() {
            extra.push(("gen_ai.operation.name", operation.to_owned()));
        }
        let events: Vec<Value> = ["exception", "gen_ai.user.message", "gen_ai.choice", "gen_ai.evaluation.result", &text()]
            .iter()
            .map(|name| json!({"name": name, "timeUnixNano": "0", "attributes": attributes(agent, &[], text), "droppedAttributesCount": 0}))
            .collect();
        let id = format!("{:016x}", rand::random::<u64>());
        spans.push(json!({
            "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": id, "parentSpanId": "", "traceState": text(), "name": text(),
            "kind": 1, "startTimeUnixNano": "0", "endTimeUnixNano": "0", "attributes": attributes(agent, &extra, text),
            "droppedAttributesCount": 0, "events": events, "droppedEventsCount": 0, "links": [], "droppedLinksCount": 0,
            "flags": 0, "status": {"code": 2, "message": text()},
        }));
    }
    let mut nameless = spans[0].clone();
    nameless["spanId"] = json!(format!("{:016x}", rand::random::<u64>()));
    nameless["attributes"] =
        json!([string("gen_ai.operation.name", "chat"), string("gen_ai.agent.id", &format!("{} \u{e9}", text()))]);
    spans.push(nameless);
    let resource =
        json!({"attributes": [string("service.name", &text()), string(&text(), &text())], "droppedAttributesCount": 0});
    let scope = json!({"name": text(), "version": text(), "attributes": [string(&text(), &text())], "droppedAttributesCount": 0});
    let scopes = json!([{"scope": scope, "spans": spans, "schemaUrl": text()}]);
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": scopes, "schemaUrl": text()}]})
}

/// The same of log records.
pub fn logs(agent: &str, text: &mut impl FnMut() -> String) -> Value {
    let names = [
        "gen_ai.user.message",
        "gen_ai.choice",
        "gen_ai.evaluation.result",
        "gen_ai.client.inference.operation.details",
        "x",
    ];
    let records: Vec<Value> = names
        .iter()
        .map(|name| {
            let body = json!({"kvlistValue": {"values": [string("content", &text()), string("role", "user"), string(&text(), &text())]}});
            json!({
                "timeUnixNano": "0", "observedTimeUnixNano": "0", "severityNumber": 9, "severityText": text(),
                "eventName": if *name == "x" { text() } else { (*name).to_owned() }, "body": body,
                "attributes": attributes(agent, &[], text), "droppedAttributesCount": 0, "flags": 0, "traceId": "", "spanId": "",
            })
        })
        .collect();
    let scope = json!({"name": text(), "version": text(), "attributes": [], "droppedAttributesCount": 0});
    let resource = json!({"attributes": [string("service.name", agent)], "droppedAttributesCount": 0});
    let scopes = json!([{"scope": scope, "logRecords": records, "schemaUrl": text()}]);
    json!({"resourceLogs": [{"resource": resource, "scopeLogs": scopes, "schemaUrl": text()}]})
}

/// OTLP requests that are wrong: the path and the body.
pub fn wrong_otlp(agent: &str, text: &mut impl FnMut() -> String) -> Vec<(&'static str, String)> {
    let mut wrong = vec![
        ("/v1/traces", text()),
        ("/v1/logs", text()),
        ("/v1/traces", format!("{{\"resourceSpans\":[{{\"{}", text())),
        ("/v1/traces", json!({"resourceSpans": text()}).to_string()),
        ("/v1/traces", json!({"resourceSpans": [{"scopeSpans": [{"spans": [text()]}]}]}).to_string()),
        ("/v1/logs", json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"attributes": text()}]}]}]}).to_string()),
        ("/v1/logs", json!({"resourceSpans": [], text(): text()}).to_string()),
    ];
    for field in ["spanId", "traceId", "startTimeUnixNano", "kind", "attributes", "events", "status", "name"] {
        let mut request = traces(agent, text);
        let value = if field == "name" { json!({text(): text()}) } else { json!(text()) };
        request["resourceSpans"][0]["scopeSpans"][0]["spans"][0][field] = value;
        wrong.push(("/v1/traces", request.to_string()));
    }
    for name in
        ["metacog.confidence", "gen_ai.usage.input_tokens", "gen_ai.usage.cost", "gen_ai.evaluation.score.value"]
    {
        let mut request = traces(agent, text);
        request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"]
            .as_array_mut()
            .expect("a list")
            .push(string(name, &text()));
        wrong.push(("/v1/traces", request.to_string()));
    }
    wrong
}

/// Tokens that are refused, with a secret in each.
pub fn tokens(text: &mut impl FnMut() -> String) -> Vec<String> {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let claims = json!({"sub": "a", "scope": "metacog.stream", "exp": unix_now() + 60, "jti": text()});
    let foreign = jsonwebtoken::Header { kid: Some(text()), ..Default::default() };
    vec![
        text().replace(['\n', '\r'], ""),
        sign(&json!({"sub": "a", "scope": text(), "exp": unix_now() + 60, "jti": text()})),
        sign(
            &json!({"sub": format!("{}\n", text()), "scope": "metacog.stream", "exp": unix_now() + 60, "jti": text()}),
        ),
        sign(&json!({"sub": "a", "scope": {text(): text()}, "exp": text(), text(): text()})),
        sign(&json!({"sub": "a", "scope": "metacog.stream", "exp": 1, "jti": [text()]})),
        jsonwebtoken::encode(&foreign, &claims, &key).expect("signs"),
    ]
}
