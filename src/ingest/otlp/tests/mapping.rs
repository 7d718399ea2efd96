//! The mapping, row by row of the table.

use super::*;
use crate::domain::{AgentId, CallKey, ClaimKey, Failure, Probability, SessionKey, TaskKey, Text, ToolName};

const CHAT: (&str, &str) = ("gen_ai.operation.name", "chat");
const TOOL: (&str, &str) = ("gen_ai.operation.name", "execute_tool");
const ALIVE: [Kind; 1] = [Kind::Thought { text: None }];

fn usage(input_tokens: u64, output_tokens: u64) -> Kind {
    Kind::Usage { input_tokens, output_tokens, cost: None, context_window: None }
}

fn failed(tool: &str, error: &str) -> Kind {
    Kind::Result {
        call: Some(CallKey::of("0a")),
        tool: Some(ToolName::fitted(tool)),
        ok: false,
        error: Some(Failure::new(error)),
        text: None,
        duration_ms: Some(500.0),
    }
}

fn claim(key: &str) -> Kind {
    let confidence = Probability::new(0.75).unwrap();
    Kind::Claim { claim: ClaimKey::of(key), confidence, correct: None, task: None }
}

fn verdict(key: &str, correct: bool) -> Kind {
    Kind::Verdict { claim: ClaimKey::of(key), correct }
}

#[test]
fn agents_and_sessions() {
    let whose = |entries: &[(&str, &str)]| {
        let batch = spans(&span(&[&[CHAT], entries].concat(), ""));
        (batch.accepted[0].agent.to_string(), batch.accepted[0].session)
    };
    let default = SessionKey::default();
    assert_eq!(whose(&[]), ("svc".into(), default));
    assert_eq!(whose(&[("gen_ai.agent.name", "Math Tutor")]), ("Math-Tutor".into(), default));
    assert_eq!(whose(&[("gen_ai.agent.name", "n"), ("gen_ai.agent.id", "i")]), ("i".into(), default));
    assert_eq!(whose(&[("gen_ai.agent.id", ""), ("gen_ai.agent.name", "n")]), ("n".into(), default));
    let hidden = whose(&[("gen_ai.agent.name", "SECRET (me)")]).0;
    assert_eq!(hidden, AgentId::fitted("SECRET (me)").to_string());
    assert!(!hidden.contains("SECRET"));
    assert_eq!(whose(&[("gen_ai.conversation.id", "c")]).1, SessionKey::of("c"));
    assert_eq!(whose(&[("session.id", "{\"intValue\":\"7\"}")]).1, SessionKey::of("7"));
}

#[test]
fn a_span_of_nobody_is_rejected_and_one_of_no_agent_ignored() {
    let body = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{},{}]}}]}}]}}"#,
        span(&[("http.request.method", "GET"), ("error.type", "500")], r#","status":{"code":2}"#),
        span(&[CHAT], "")
    );
    let batch = decode_traces(Encoding::Json, body.as_bytes(), NOW, &Limits::default()).unwrap();
    assert_eq!(batch.accepted, []);
    let error = "`gen_ai.agent.id`, `gen_ai.agent.name` and `service.name` are all missing".into();
    assert_eq!(batch.rejected, [super::super::super::Rejection { index: 1, error, reason: RejectReason::Missing }]);
}

#[test]
fn tools_are_an_action_and_its_result() {
    let entries = [
        TOOL,
        ("gen_ai.tool.name", "search the web"),
        ("gen_ai.tool.call.arguments", r#"{"stringValue":"{\"b\": 1, \"a\": [2]}"}"#),
        ("gen_ai.tool.call.result", "found"),
    ];
    let batch = spans(&span(&entries, ""));
    let call = Some(CallKey::of("0a"));
    let tool = ToolName::fitted("search-the-web");
    let arguments = Some(Text::new(r#"{"a":[2],"b":1}"#));
    let (text, duration_ms) = (Some(Text::new("found")), Some(500.0));
    let [action, result] = batch.accepted.as_slice() else { panic!("{batch:?}") };
    assert_eq!(action.kind, Kind::Action { tool: tool.clone(), arguments, call });
    assert_eq!(result.kind, Kind::Result { call, tool: Some(tool), ok: true, error: None, text, duration_ms });
    assert_eq!((action.at.as_millis(), result.at.as_millis()), (1000, 1500));
    assert_eq!((action.id, result.id), (id("0a:a"), id("0a:r")));
}

#[test]
fn tools_under_other_names_and_forms() {
    let arguments_of = |entries: &[(&str, &str)]| match kinds(entries, "").as_slice() {
        [Kind::Action { tool, arguments, .. }, Kind::Result { text, .. }] => {
            (tool.to_string(), arguments.clone(), text.clone())
        }
        other => panic!("{other:?}"),
    };
    let text = |text: &str| Some(Text::new(text));
    let structured =
        r#"{"kvlistValue":{"values":[{"key":"b","value":{"boolValue":true}},{"key":"a","value":{"doubleValue":1}}]}}"#;
    assert_eq!(
        arguments_of(&[
            TOOL,
            ("gen_ai.tool.name", "t"),
            ("gen_ai.tool.call.arguments", structured),
            ("gen_ai.tool.call.result", structured)
        ]),
        ("t".into(), text(r#"{"a":1.0,"b":true}"#), text(r#"{"a":1.0,"b":true}"#))
    );
    assert_eq!(
        arguments_of(&[
            ("gen_ai.tool.name", "t"),
            ("tool_arguments", "{\"stringValue\":\"{}\"}"),
            ("tool_response", "ok")
        ]),
        ("t".into(), text("{}"), text("ok"))
    );
    assert_eq!(
        arguments_of(&[TOOL, ("gen_ai.tool.call.arguments", "no json")]),
        ("unnamed".into(), text("\"no json\""), None)
    );
    let named = kinds(&[TOOL], r#","name":"execute_tool grep""#);
    assert!(matches!(&named[0], Kind::Action { tool, .. } if tool.as_str() == "grep"));
    let event =
        r#","events":[{"name":"gen_ai.tool.message","attributes":[{"key":"content","value":{"stringValue":"out"}}]}]"#;
    assert!(matches!(&kinds(&[TOOL], event)[1], Kind::Result { text: Some(found), .. } if *found == Text::new("out")));
}

#[test]
fn failures_are_named_by_the_best_there_is() {
    let error = |entries: &[(&str, &str)], more: &str| match kinds(&[&[TOOL], entries].concat(), more).as_slice() {
        [_, Kind::Result { ok, error, .. }] => (*ok, error.clone()),
        other => panic!("{other:?}"),
    };
    let exception =
        r#"{"name":"exception","attributes":[{"key":"exception.type","value":{"stringValue":"KeyError"}}]}"#;
    let events = format!(r#","events":[{exception}]"#);
    let both = format!(r#"{events},"status":{{"code":2,"message":"boom"}}"#);
    assert_eq!(error(&[("error.type", "timeout")], &both), (false, Some(Failure::new("timeout"))));
    assert!(error(&[("error.type", "{\"intValue\":\"429\"}")], "").1.unwrap().infrastructure);
    assert_eq!(error(&[], &both), (false, Some(Failure::new("KeyError"))));
    assert_eq!(
        error(&[], r#","status":{"code":"STATUS_CODE_ERROR","message":"boom"}"#),
        (false, Some(Failure::new("boom")))
    );
    assert_eq!(error(&[], r#","status":{"code":2}"#), (false, Some(Failure::new("error"))));
    // An exception that was handled is no failure.
    assert_eq!(error(&[], &events), (true, None));
    assert_eq!(error(&[], r#","status":{"code":1}"#), (true, None));
}

#[test]
fn chats_are_usage_and_messages() {
    let entries = [
        CHAT,
        ("gen_ai.usage.input_tokens", r#"{"intValue":12}"#),
        ("gen_ai.usage.output_tokens", r#"{"intValue":"3"}"#),
        ("gen_ai.input.messages", r#"[{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"hi\"}]}]"#),
        (
            "gen_ai.output.messages",
            r#"[{\"role\":\"assistant\",\"parts\":[{\"type\":\"reasoning\",\"content\":\"hm\"},{\"type\":\"text\",\"content\":\"yo\"}]}]"#,
        ),
    ];
    let batch = spans(&span(&entries, ""));
    assert_eq!(messages(&batch), [(Role::User, "hi".into()), (Role::Agent, "yo".into())]);
    let kinds: Vec<_> = batch.accepted.iter().map(|it| (it.at.as_millis(), it.id, it.kind.name().as_str())).collect();
    let asked = id(&format!("ab:user:1:{:016x}", Text::new("hi").hash()));
    assert_eq!(
        kinds,
        [
            (1000, asked, "message"),
            (1500, id("0a:u"), "usage"),
            (1500, id("0a:t"), "thought"),
            (1500, id("0a:m"), "message")
        ]
    );
    assert_eq!(batch.accepted[1].kind, usage(12, 3));
}

#[test]
fn old_names_are_read_too() {
    let tokens = r#"{"intValue":"5"}"#;
    for operation in ["chat", "text_completion", "generate_content"] {
        let entries = [
            ("gen_ai.operation.name", operation),
            ("gen_ai.usage.prompt_tokens", tokens),
            ("gen_ai.usage.completion_tokens", tokens),
        ];
        assert_eq!(kinds(&entries, ""), [usage(5, 5)]);
    }
    // Before operations had a name.
    assert_eq!(kinds(&[("gen_ai.system", "openai"), ("gen_ai.usage.completion_tokens", tokens)], ""), [usage(0, 5)]);
    let flat = [
        ("gen_ai.system", "openai"),
        ("gen_ai.request.model", "m"),
        ("gen_ai.prompt.0.role", "user"),
        ("gen_ai.prompt.0.content", "hi"),
        ("gen_ai.completion.0.role", "assistant"),
        ("gen_ai.completion.0.content", "yo"),
    ];
    assert_eq!(messages(&spans(&span(&flat, ""))), [(Role::User, "hi".into()), (Role::Agent, "yo".into())]);
    let whole = [CHAT, ("gen_ai.prompt", "hi"), ("gen_ai.completion", "yo")];
    assert_eq!(messages(&spans(&span(&whole, ""))), [(Role::User, "hi".into()), (Role::Agent, "yo".into())]);
    assert_eq!(
        kinds(&[("gen_ai.operation.name", "embeddings"), ("gen_ai.usage.input_tokens", tokens)], ""),
        [usage(5, 0)]
    );
}

#[test]
fn history_is_not_said_again() {
    let tool = r#"[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"tool\",\"content\":\"out\"}]"#;
    assert_eq!(kinds(&[CHAT, ("gen_ai.input.messages", tool)], ""), ALIVE);
    let user = r#"[{\"role\":\"user\",\"content\":\"hi\"}]"#;
    let twice = format!("{0},{0}", span(&[CHAT, ("gen_ai.input.messages", user)], "")).replacen("0A", "0C", 1);
    let batch = spans(&twice);
    assert_eq!(batch.accepted.len(), 2);
    assert_eq!(batch.accepted[0].id, batch.accepted[1].id);
}

#[test]
fn what_fails_without_a_tool_is_a_result_without_an_action() {
    let error = ("error.type", "429");
    assert_eq!(kinds(&[CHAT, error], ""), [failed("chat", "429")]);
    for operation in ["invoke_agent", "create_agent", "embeddings", "invoke_workflow"] {
        assert_eq!(kinds(&[("gen_ai.operation.name", operation), error], ""), [failed(operation, "429")]);
        assert_eq!(kinds(&[("gen_ai.operation.name", operation)], ""), ALIVE);
    }
    assert_eq!(kinds(&[CHAT], ""), ALIVE);
    assert_eq!(kinds(&[("gen_ai.system", "x")], ""), ALIVE);
}

#[test]
fn confidence_is_a_claim() {
    let sure = ("metacog.confidence", r#"{"doubleValue":0.75}"#);
    assert_eq!(kinds(&[sure], ""), [claim("0a")]);
    assert_eq!(kinds(&[sure, ("gen_ai.response.id", "r"), ("gen_ai.operation.name", "chat")], ""), [claim("r")]);
    let named = [sure, ("metacog.claim.id", "q"), ("gen_ai.response.id", "r"), ("metacog.task", "easy")];
    let Kind::Claim { claim, task, .. } = kinds(&named, "")[0] else { panic!() };
    assert_eq!((claim, task), (ClaimKey::of("q"), Some(TaskKey::of("easy"))));
    for bad in [r#"{"doubleValue":1.5}"#, r#"{"doubleValue":"NaN"}"#, "SECRET", r#"{"boolValue":true}"#] {
        let batch = spans(&span(&[TOOL, ("metacog.confidence", bad)], ""));
        assert_eq!(batch.accepted, []);
        assert_eq!(batch.rejected[0].error, "`metacog.confidence` must be a number from 0 to 1");
    }
}

#[test]
fn evaluations_are_verdicts() {
    let record = |entries: &[(&str, &str)]| {
        let record = format!(
            r#"{{"timeUnixNano":"5","traceId":"ab","spanId":"0A","eventName":"gen_ai.evaluation.result","attributes":[{}]}}"#,
            attributes(entries)
        );
        logs(&record).accepted.into_iter().map(|observation| observation.kind).collect::<Vec<_>>()
    };
    let response = ("gen_ai.response.id", "r");
    let label = |label| ("gen_ai.evaluation.score.label", label);
    let score = |score| ("gen_ai.evaluation.score.value", score);
    for word in ["pass", "PASSED", "correct", "true", "success", " yes "] {
        assert_eq!(record(&[response, label(word)]), [verdict("r", true)]);
    }
    for word in ["fail", "Failed", "incorrect", "wrong", "false", "no"] {
        assert_eq!(record(&[response, label(word), score(r#"{"doubleValue":1}"#)]), [verdict("r", false)]);
    }
    assert_eq!(record(&[label("relevant"), score(r#"{"doubleValue":0.5}"#)]), [verdict("0a", true)]);
    assert_eq!(record(&[score(r#"{"intValue":"0"}"#)]), [verdict("0a", false)]);
    assert_eq!(record(&[label("pass"), response, ("metacog.claim.id", "q")]), [verdict("q", true)]);
    for nothing in
        [&[label("relevant")][..], &[], &[score(r#"{"doubleValue":"NaN"}"#)], &[label("pass"), ("error.type", "x")]]
    {
        assert_eq!(record(nothing), []);
    }

    // On a span it joins the span's own claim, whatever that goes by.
    let event =
        format!(r#","events":[{{"name":"gen_ai.evaluation.result","attributes":[{}]}}]"#, attributes(&[label("pass")]));
    let sure = ("metacog.confidence", r#"{"doubleValue":0.75}"#);
    assert_eq!(kinds(&[sure, response], &event), [claim("r"), verdict("r", true)]);
    // A span of its own joins its parent.
    assert_eq!(kinds(&[label("pass")], r#","name":"gen_ai.evaluation.result""#), [verdict("0b", true)]);
}

#[test]
fn messages_come_as_events_too() {
    let event = |name: &str, content: &str| {
        format!(
            r#"{{"timeUnixNano":"1200000000","name":"{name}","attributes":[{}]}}"#,
            attribute("gen_ai.event.content", content)
        )
    };
    let events = [
        event("gen_ai.system.message", r#"{\"content\":\"be good\"}"#.trim()),
        event("gen_ai.user.message", "hi"),
        event("gen_ai.assistant.message", "old"),
        event("gen_ai.choice", "yo"),
    ];
    let batch = spans(&span(&[CHAT], &format!(r#","events":[{}]"#, events[1..].join(","))));
    assert_eq!(messages(&batch), [(Role::User, "hi".into()), (Role::Agent, "yo".into())]);

    let record = |name: &str, body: &str| {
        format!(
            r#"{{"timeUnixNano":"5","traceId":"ab","spanId":"0a","attributes":[{}],"body":{{"kvlistValue":{{"values":[{body}]}}}}}}"#,
            attribute("event.name", name)
        )
    };
    let choice = r#"{"key":"index","value":{"intValue":"0"}},{"key":"message","value":{"kvlistValue":{"values":[{"key":"content","value":{"stringValue":"yo"}}]}}}"#;
    let records = [
        record("gen_ai.user.message", &attribute("content", "hi")),
        record("gen_ai.assistant.message", &attribute("content", "old")),
        record("gen_ai.choice", choice),
        record("device.crash", choice),
    ];
    let batch = logs(&records.join(","));
    assert_eq!(messages(&batch), [(Role::User, "hi".into()), (Role::Agent, "yo".into())]);
    assert_eq!(batch.accepted[1].id, id("0a:m"));

    let details = format!(
        r#"{{"spanId":"0a","eventName":"gen_ai.client.inference.operation.details","attributes":[{}]}}"#,
        attributes(&[("gen_ai.input.messages", "hi"), ("gen_ai.output.messages", "yo")])
    );
    let batch = logs(&details);
    assert_eq!(messages(&batch), [(Role::User, "hi".into()), (Role::Agent, "yo".into())]);
    assert_eq!((batch.accepted[0].at, batch.accepted[1].id), (NOW, id("0a:m")));
}

#[test]
fn parallel_spans_come_in_the_order_of_time() {
    let tool = |id: &str, start: u64, end: u64| {
        let name = attributes(&[TOOL, ("gen_ai.tool.name", id)]);
        format!(r#"{{"spanId":"{id}","startTimeUnixNano":{start},"endTimeUnixNano":{end},"attributes":[{name}]}}"#)
    };
    let batch = spans(&[tool("b", 20, 50), tool("a", 10, 60), tool("c", 70, 70), tool("d", 90, 80)].join(","));
    let order: Vec<_> = batch
        .accepted
        .iter()
        .map(|it| match &it.kind {
            Kind::Action { tool, .. } => format!("{tool} {}", it.at.as_nanos()),
            Kind::Result { tool, .. } => format!("{}! {}", tool.as_ref().unwrap(), it.at.as_nanos()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, ["a 10", "b 20", "b! 50", "a! 60", "c 70", "c! 70", "d 80", "d! 80"]);
}

#[test]
fn times_are_bounded_and_may_be_missing() {
    let ahead = NOW.as_nanos() + 301_000_000_000;
    let span = |start: i64, end: i64| {
        let tool = attributes(&[TOOL]);
        format!(r#"{{"startTimeUnixNano":"{start}","endTimeUnixNano":"{end}","attributes":[{tool}]}}"#)
    };
    let batch = spans(&[span(1, ahead), span(0, 0)].join(","));
    assert_eq!(batch.rejected.len(), 1);
    assert_eq!(batch.rejected[0].error, "`endTimeUnixNano` is more than 5 minutes ahead");
    assert_eq!((batch.rejected[0].index, batch.rejected[0].reason), (0, RejectReason::Ahead));
    assert!(batch.accepted.iter().all(|observation| observation.at == NOW && observation.id.is_none()));
    assert!(matches!(batch.accepted[1].kind, Kind::Result { duration_ms: None, .. }));
    let record = format!(r#"{{"eventName":"gen_ai.choice","timeUnixNano":"{ahead}"}}"#);
    assert_eq!(logs(&record).rejected[0].error, "`timeUnixNano` is more than 5 minutes ahead");
}

#[test]
fn one_span_gives_a_bounded_number() {
    let event = r#"{"name":"gen_ai.evaluation.result","attributes":[{"key":"gen_ai.evaluation.score.label","value":{"stringValue":"pass"}}]}"#;
    let events = format!(r#","events":[{}]"#, [event].repeat(2000).join(","));
    assert_eq!(kinds(&[CHAT], &events).len(), super::super::record::MOST_OBSERVATIONS);
}
