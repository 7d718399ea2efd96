//! Bodies that real exporters sent.

use super::*;
use crate::domain::{AgentId, CallKey, ClaimKey, Failure, SessionKey, Text, ToolName};
use crate::ingest::body::inflate;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/otlp/", $name)).as_slice()
    };
}

fn tool_result(span: &str, tool: &str, error: &str, duration_ms: f64) -> Kind {
    Kind::Result {
        call: Some(CallKey::of(span)),
        tool: Some(ToolName::fitted(tool)),
        ok: false,
        error: Some(Failure::new(error)),
        text: None,
        duration_ms: Some(duration_ms),
    }
}

/// One run of the recorded program: four rounds of a chat and a failing tool, all in one invocation.
fn check_python_traces(batch: &Batch, trace: &str, rounds: [[&str; 2]; 4], invocation: &str) {
    assert_eq!(batch.rejected, []);
    assert_eq!(batch.accepted.len(), 4 * 4 + 1);
    assert!(batch.accepted.is_sorted_by_key(|observation| observation.at));
    let prompt = Text::new("SECRET-CANARY-PROMPT");
    let prompt_id = id(&format!("{trace}:user:1:{:016x}", prompt.hash()));
    for (i, [chat, tool]) in rounds.into_iter().enumerate() {
        let round = &batch.accepted[4 * i..4 * i + 4];
        for observation in round {
            assert_eq!(observation.agent, AgentId::new("fixture-agent").unwrap());
            assert_eq!(observation.session, SessionKey::default());
        }
        let ids: Vec<_> = round.iter().map(|observation| observation.id).collect();
        let suffixed = |span: &str, suffix| id(&format!("{span}:{suffix}"));
        assert_eq!(ids, [prompt_id, suffixed(chat, "u"), suffixed(tool, "a"), suffixed(tool, "r")]);
        assert_eq!(round[0].kind, Kind::Message { role: Role::User, text: Some(prompt.clone()) });
        let (input_tokens, output_tokens) = (1000 + i as u64, 50);
        let usage = Kind::Usage { input_tokens, output_tokens, cost: None, context_window: None };
        assert_eq!(round[1].kind, usage);
        let action = Kind::Action {
            tool: ToolName::fitted("bash"),
            arguments: Some(Text::new(r#"{"command":"ls SECRET-CANARY-ARG"}"#)),
            call: Some(CallKey::of(tool)),
        };
        assert_eq!(round[2].kind, action);
        let took = round[3].at.since(round[2].at).as_secs_f64() * 1e3;
        assert_eq!(round[3].kind, tool_result(tool, "bash", "FileNotFoundError", took));
    }
    let last = &batch.accepted[16];
    assert_eq!(last.agent, AgentId::new("agt_7").unwrap());
    assert_eq!(last.session, SessionKey::of("conv_1"));
    assert_eq!(last.id, id(&format!("{invocation}:s")));
    assert_eq!(last.kind, Kind::Thought { text: None });
    assert!(sources(batch).iter().all(|source| *source == Source::OtlpTraces));
}

#[test]
fn python_traces() {
    let body = fixture!("python-v1_traces.bin");
    let batch = decode_traces(Encoding::Protobuf, body, NOW, &Limits::default()).unwrap();
    let rounds = [
        ["3bee11eca3650830", "d1361d5ac35dbfeb"],
        ["888263f3cb8e4556", "60ac5dd82f31f27a"],
        ["5afd1de925363826", "57758db822938e2c"],
        ["4444d2d6d30bcf31", "f6e9c1576cd635e4"],
    ];
    check_python_traces(&batch, "8d544d22c44798d899d3fcfa11c10e79", rounds, "ca035d4549bcebab");
    assert_eq!(batch.accepted[0].at.as_nanos(), 1_795_478_855_729_128_776);
    assert_eq!(batch.accepted[1].at.as_nanos(), 1_795_478_855_729_215_816);
    assert_eq!(batch.accepted[3].kind, tool_result("d1361d5ac35dbfeb", "bash", "FileNotFoundError", 0.452264));
}

#[test]
fn python_traces_in_gzip() {
    let body = inflate(Some("gzip"), fixture!("python-gzip-v1_traces.bin"), 1 << 20).unwrap();
    let batch = decode_traces(Encoding::Protobuf, &body, NOW, &Limits::default()).unwrap();
    let rounds = [
        ["544b7f20f9f5a3b7", "a11f37cfaa7fde2d"],
        ["22986602326ed83c", "4810ccc1e09528b5"],
        ["1778ed9346c36a82", "71094e7fac342efb"],
        ["9d3adbf69dccb21c", "8b2fb6068e89b700"],
    ];
    check_python_traces(&batch, "b412e47980d94889de6e80368b87a62e", rounds, "8a99a1dc15c36a15");
}

#[test]
fn python_logs() {
    let plain = fixture!("python-v1_logs.bin");
    let gzip = inflate(Some("gzip"), fixture!("python-gzip-v1_logs.bin"), 1 << 20).unwrap();
    for (body, first) in [(plain, 1_795_478_855_729_155_296), (&gzip, 1_795_478_855_736_806_733)] {
        let batch = decode_logs(Encoding::Protobuf, body, NOW, &Limits::default()).unwrap();
        assert_eq!(batch.rejected, []);
        assert_eq!(batch.accepted[0].at.as_nanos(), first);
        let verdicts: Vec<_> = batch.accepted.iter().map(|observation| observation.kind.clone()).collect();
        let expected = |i| Kind::Verdict { claim: ClaimKey::of(&format!("chatcmpl-{i}")), correct: false };
        assert_eq!(verdicts, [expected(0), expected(1), expected(2), expected(3)]);
        let mut ids: Vec<_> = batch.accepted.iter().map(|observation| observation.id.unwrap()).collect();
        ids.dedup();
        assert_eq!(ids.len(), 4);
        assert!(batch.accepted.iter().all(|observation| observation.agent.as_str() == "fixture-agent"));
        assert_eq!(sources(&batch), [Source::OtlpLogs; 4]);
    }
}

#[test]
fn node_traces() {
    let batch = decode_traces(Encoding::Json, fixture!("node-v1_traces.json"), NOW, &Limits::default()).unwrap();
    assert_eq!(batch.rejected, []);
    let [action, result] = batch.accepted.as_slice() else { panic!("{batch:?}") };
    assert_eq!(action.agent, AgentId::new("node-agent").unwrap());
    assert_eq!((action.id, result.id), (id("a15ced0103294e4c:a"), id("a15ced0103294e4c:r")));
    assert_eq!(action.at.as_nanos(), 1_795_478_988_148_000_000);
    assert_eq!(result.at.as_nanos(), 1_795_478_988_149_891_121);
    let call = Some(CallKey::of("a15ced0103294e4c"));
    assert_eq!(action.kind, Kind::Action { tool: ToolName::fitted("grep"), arguments: None, call });
    assert_eq!(result.kind, tool_result("a15ced0103294e4c", "grep", "Error", 1.891121));
}

/// What this project's own client of the real SDK sends, in one piece: claims find their verdicts, and agent and session
/// are the same in traces and logs.
#[test]
fn client_run() {
    let traces = inflate(Some("gzip"), fixture!("client-gzip-v1_traces.bin"), 1 << 20).unwrap();
    let traces = decode_traces(Encoding::Protobuf, &traces, NOW, &Limits::default()).unwrap();
    let logs = inflate(Some("gzip"), fixture!("client-gzip-v1_logs.bin"), 1 << 20).unwrap();
    let logs = decode_logs(Encoding::Protobuf, &logs, NOW, &Limits::default()).unwrap();
    assert_eq!((&traces.rejected, &logs.rejected), (&vec![], &vec![]));
    for observation in traces.accepted.iter().chain(&logs.accepted) {
        assert_eq!(observation.agent.as_str(), "otel-agent");
        assert_eq!(observation.session, SessionKey::of("conversation-1"));
    }
    let count = |name: &str| traces.accepted.iter().filter(|it| it.kind.name().as_str() == name).count();
    // Five answers and the one question; of the invocation, a sign of life.
    assert_eq!((count("usage"), count("message"), count("claim"), count("thought")), (5, 6, 5, 1));
    assert_eq!((count("action"), count("result")), (10, 10));
    let failures = traces.accepted.iter().filter(|it| matches!(it.kind, Kind::Result { ok: false, .. })).count();
    assert_eq!(failures, 5);
    let claims: Vec<_> = traces
        .accepted
        .iter()
        .filter_map(|it| match it.kind {
            Kind::Claim { claim, confidence, task: Some(_), .. } => Some((claim, confidence.get())),
            _ => None,
        })
        .collect();
    let verdicts: Vec<_> = logs
        .accepted
        .iter()
        .filter_map(|it| match it.kind {
            Kind::Verdict { claim, correct } => Some((claim, correct)),
            _ => None,
        })
        .collect();
    let keys = |i: usize| ClaimKey::of(&format!("response-{i}"));
    assert_eq!(claims, (0..5).map(|i| (keys(i), 0.9)).collect::<Vec<_>>());
    assert_eq!(verdicts, (0..5).map(|i| (keys(i), i % 2 == 1)).collect::<Vec<_>>());
}
