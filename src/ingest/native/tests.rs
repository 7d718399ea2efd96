//! The native format, field by field, and on input of any kind.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{
    AgentId, CallKey, ClaimKey, Failure, Kind, ObservationKey, Probability, Role, SessionKey, TaskKey, Text, ToolName,
};

const NOW: Timestamp = Timestamp::from_nanos(1_763_942_048_000_000_000);

fn one(json: &str) -> Result<Observation, Refusal> {
    decode_one(json.as_bytes(), Source::Native, NOW, &Limits::default())
}

/// The kind of an observation with these fields.
fn kind(fields: &str) -> Kind {
    one(&format!(r#"{{"agent":"a",{fields}}}"#)).unwrap().kind
}

/// What is wrong with an observation with these fields.
fn problem(fields: &str) -> String {
    one(&format!(r#"{{"agent":"a",{fields}}}"#)).unwrap_err().error
}

fn json(body: &str) -> Result<Batch, Error> {
    decode(Format::Json, body.as_bytes(), NOW, &Limits::default())
}

#[test]
fn every_kind_is_read() {
    let text = |text: &str| Some(Text::new(text));
    assert_eq!(kind(r#""kind":"thought","text":"hm""#), Kind::Thought { text: text("hm") });
    assert_eq!(kind(r#""kind":"thought""#), Kind::Thought { text: None });
    for (word, role) in [
        ("agent", Role::Agent),
        ("assistant", Role::Agent),
        ("user", Role::User),
        ("human", Role::User),
        ("system", Role::Other),
    ] {
        let message = kind(&format!(r#""kind":"message","role":"{word}","text":"é\n""#));
        assert_eq!(message, Kind::Message { role, text: text("é\n") });
    }
    assert_eq!(
        kind(r#""kind":"action","tool":"ls","arguments":{"b":[1, 2],"a":"x"},"call_id":7"#),
        Kind::Action {
            tool: ToolName::fitted("ls"),
            arguments: text(r#"{"a":"x","b":[1,2]}"#),
            call: Some(CallKey::of("7")),
        }
    );
    assert_eq!(
        kind(r#""kind":"result","call_id":"c","tool":"ls","ok":false,"error":"timeout","text":"no","duration_ms":1.5"#),
        Kind::Result {
            call: Some(CallKey::of("c")),
            tool: Some(ToolName::fitted("ls")),
            ok: false,
            error: Some(Failure::new("timeout")),
            text: text("no"),
            duration_ms: Some(1.5),
        }
    );
    assert_eq!(
        kind(r#""kind":"claim","claim_id":"q","confidence":1,"correct":true,"task":"easy""#),
        Kind::Claim {
            claim: ClaimKey::of("q"),
            confidence: Probability::new(1.0).unwrap(),
            correct: Some(true),
            task: Some(TaskKey::of("easy")),
        }
    );
    assert_eq!(
        kind(r#""kind":"verdict","claim_id":3,"correct":false"#),
        Kind::Verdict { claim: ClaimKey::of("3"), correct: false }
    );
    assert_eq!(kind(r#""kind":"progress","done":2,"total":8.5"#), Kind::Progress { done: 2.0, total: Some(8.5) });
    assert_eq!(kind(r#""kind":"progress","done":0,"total":0"#), Kind::Progress { done: 0.0, total: None });
    assert_eq!(
        kind(r#""kind":"usage","input_tokens":1e3,"cost":0.25,"context_window":128000"#),
        Kind::Usage { input_tokens: 1000, output_tokens: 0, cost: Some(0.25), context_window: Some(128_000) }
    );
}

#[test]
fn common_fields_are_read() {
    let read = one(
        r#"{"agent":"planner-1","session":12,"id":"x","at":"2025-11-23T23:54:08.123456789Z","kind":"thought","new":[{}]}"#,
    );
    let read = read.unwrap();
    assert_eq!(read.agent, AgentId::new("planner-1").unwrap());
    assert_eq!(read.session, SessionKey::of("12"));
    assert_eq!(read.id, Some(ObservationKey::of("x")));
    assert_eq!(read.at.as_nanos(), 1_763_942_048_123_456_789);
    assert_eq!(read.source, Source::Native);

    let bare = one(r#"{"agent":"a","kind":"thought","session":null,"id":"","at":null}"#).unwrap();
    assert_eq!((bare.session, bare.id, bare.at), (SessionKey::default(), None, NOW));
    let streamed = decode_one(br#"{"agent":"a","kind":"thought"}"#, Source::Stream, NOW, &Limits::default());
    assert_eq!(streamed.unwrap().source, Source::Stream);
}

#[test]
fn times_are_read_in_every_form() {
    let at =
        |value: &str| one(&format!(r#"{{"agent":"a","kind":"thought","at":{value}}}"#)).map(|read| read.at.as_nanos());
    assert_eq!(at("1763942048123456789"), Ok(1_763_942_048_123_456_789));
    assert_eq!(at(r#""1763942048123456789""#), Ok(1_763_942_048_123_456_789));
    assert_eq!(at("1.763942048e18"), Ok(1_763_942_048_000_000_000));
    assert_eq!(at("0"), Ok(0));
    assert_eq!(at(r#""2025-11-24T00:54:08+01:00""#), Ok(1_763_942_048_000_000_000));
    for bad in [
        "-1",
        "1.5",
        "true",
        "[]",
        r#""""#,
        r#""yesterday""#,
        r#""2025-11-23""#,
        r#""1969-12-31T23:59:59Z""#,
        r#""-5""#,
    ] {
        assert_eq!(at(bad).unwrap_err().reason, RejectReason::Invalid, "{bad}");
    }
}

#[test]
fn the_future_is_bounded() {
    let at = |at: Timestamp| one(&format!(r#"{{"agent":"a","kind":"thought","at":{}}}"#, at.as_nanos()));
    let five = NOW.plus(Duration::from_secs(300));
    assert!(at(five).is_ok());
    let refusal = at(Timestamp::from_nanos(five.as_nanos() + 1)).unwrap_err();
    assert_eq!((refusal.error.as_str(), refusal.reason), ("`at` is more than 5 minutes ahead", RejectReason::Ahead));
    for far in ["18446744073709551615", r#""99999999999999999999999""#, r#""2500-01-01T00:00:00Z""#] {
        assert_eq!(problem(&format!(r#""kind":"thought","at":{far}"#)), "`at` is more than 5 minutes ahead");
    }
}

#[test]
fn errors_take_any_form() {
    let result = |fields: &str| match kind(&format!(r#""kind":"result","tool":"t",{fields}"#)) {
        Kind::Result { ok, error, .. } => (ok, error),
        other => panic!("{other:?}"),
    };
    assert_eq!(result(r#""error":429"#), (false, Some(Failure::new("429"))));
    assert!(result(r#""error":429.0"#).1.unwrap().infrastructure);
    assert_eq!(result(r#""error":true"#), (false, Some(Failure::new("true"))));
    assert_eq!(result(r#""error":{"b":1, "a":2}"#), (false, Some(Failure::new(r#"{"a":2,"b":1}"#))));
    assert_eq!(result(r#""error":1e999"#), (false, Some(Failure::new("1e999"))));
    for none in ["null", "false", r#""""#] {
        assert_eq!(result(&format!(r#""error":{none}"#)), (true, None));
    }
    assert_eq!(result(r#""ok":false"#), (false, None));
    assert_eq!(result(r#""ok":true,"error":"warned""#), (true, Some(Failure::new("warned"))));
    assert_eq!(result(r#""ok":null"#), (true, None));
}

#[test]
fn arguments_compare_by_value() {
    let arguments = |json: &str| match kind(&format!(r#""kind":"action","tool":"t","arguments":{json}"#)) {
        Kind::Action { arguments, .. } => arguments,
        other => panic!("{other:?}"),
    };
    assert_eq!(arguments(r#"{"a":1,"b":{"c":2,"d":"A"}}"#), arguments(r#"{ "b": {"d":"\u0041", "c":2}, "a":1 }"#));
    assert_ne!(arguments(r#"{"a":1}"#), arguments(r#"{"a":2}"#));
    assert_ne!(arguments(r#""{\"a\":1}""#), arguments(r#"{"a":1}"#));
    assert_eq!(arguments("null"), None);
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert_eq!(arguments(&deep), Some(Text::new(&deep)));
}

#[test]
fn problems_are_named() {
    let long = "x".repeat(513);
    for (fields, expected) in [
        (r#""kind":"dream""#, "unknown `kind`"),
        (r#""text":"no kind""#, "`kind` is missing"),
        (r#""kind":5"#, "`kind` must be a string"),
        (r#""kind":"claim","claim_id":"c","confidence":1.01"#, "`confidence` must be from 0 to 1"),
        (r#""kind":"claim","claim_id":"c","confidence":-0.1"#, "`confidence` must be from 0 to 1"),
        (r#""kind":"claim","claim_id":"c","confidence":"0.5""#, "`confidence` must be a number"),
        (r#""kind":"claim","claim_id":"c""#, "`confidence` is missing"),
        (r#""kind":"claim","confidence":0.5"#, "`claim_id` is missing"),
        (r#""kind":"claim","claim_id":["c"],"confidence":0.5"#, "`claim_id` must be a string or a number"),
        (r#""kind":"verdict","claim_id":"c""#, "`correct` is missing"),
        (r#""kind":"verdict","claim_id":"c","correct":1"#, "`correct` must be true or false"),
        (r#""kind":"action""#, "`tool` is missing"),
        (r#""kind":"action","tool":"""#, "`tool` is missing"),
        (r#""kind":"action","tool":{}"#, "`tool` must be a string"),
        (r#""kind":"result","ok":true"#, "`call_id` and `tool` are both missing"),
        (r#""kind":"result","tool":"t","ok":"yes""#, "`ok` must be true or false"),
        (r#""kind":"result","tool":"t","text":{}"#, "`text` must be a string"),
        (r#""kind":"result","tool":"t","duration_ms":-1"#, "`duration_ms` must be a finite number, 0 or more"),
        (r#""kind":"message","text":"x""#, "`role` is missing"),
        (r#""kind":"progress","total":5"#, "`done` is missing"),
        (r#""kind":"progress","done":-1"#, "`done` must be a finite number, 0 or more"),
        (r#""kind":"usage""#, "`input_tokens`, `output_tokens` and `cost` are all missing"),
        (r#""kind":"usage","input_tokens":-1"#, "`input_tokens` must be a whole number, 0 or more"),
        (r#""kind":"usage","output_tokens":1.5"#, "`output_tokens` must be a whole number, 0 or more"),
        (r#""kind":"usage","output_tokens":1e300"#, "`output_tokens` must be a whole number, 0 or more"),
        (r#""kind":"thought","kind":"message""#, "`kind` is given more than once"),
        (r#""kind":"thought","session":true"#, "`session` must be a string or a number"),
    ] {
        assert_eq!(problem(fields), expected);
    }
    assert_eq!(problem(&format!(r#""kind":"thought","id":"{long}""#)), "`id` must be at most 512 bytes long");
    assert!(one(&format!(r#"{{"agent":"a","kind":"thought","session":"{}"}}"#, &long[1..])).is_ok());
    for (agent, expected) in [
        ("null", "`agent` is missing"),
        (r#""two words""#, "`agent` may only hold the characters A-Z a-z 0-9 . _ : / @ -"),
        (&format!(r#""{long}""#), "`agent` must be 1 to 128 characters long"),
        ("3", "`agent` must be a string"),
    ] {
        assert_eq!(one(&format!(r#"{{"agent":{agent},"kind":"thought"}}"#)).unwrap_err().error, expected);
    }
}

#[test]
fn a_bad_item_costs_itself_only() {
    let good = r#"{"agent":"a","kind":"thought"}"#;
    for (bad, expected) in [
        ("7", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ("[[]]", "must be a JSON object"),
        (r#"{"kind":"thought"}"#, "`agent` is missing"),
        (
            r#"{"agent":"a","kind":"progress","done":1e999}"#,
            "holds a number out of range or a broken escape (column 43)",
        ),
        (
            r#"{"agent":"a","kind":"thought","text":"\ud800"}"#,
            "holds a number out of range or a broken escape (column 45)",
        ),
    ] {
        let array = json(&format!(" [{good}, {bad}, {good}]\n")).unwrap();
        assert_eq!(array.accepted.len(), 2);
        assert_eq!(array.rejected[0].index, 1);
        assert_eq!(array.rejected[0].error, expected);
        let lines = format!("{good}\n\r\n{bad}\r\n  \n{good}");
        let lines = decode(Format::Ndjson, lines.as_bytes(), NOW, &Limits::default()).unwrap();
        assert_eq!(lines, array);
    }
}

#[test]
fn lines_need_not_be_named() {
    let lines = "\n{\"agent\":\"a\",\"kind\":\"thought\"}\r\n\nbroken\n{\"agent\":\"a\",\"kind\":\"thought\"}";
    let batch = json(lines).unwrap();
    assert_eq!((batch.accepted.len(), batch.rejected[0].index), (2, 1));
    // One object over several lines is one object still.
    assert_eq!(json("{\"agent\":\"a\",\n\"kind\":\"thought\"}\n").unwrap().accepted.len(), 1);
    assert!(json("{\n}{}").is_err());
}

#[test]
fn broken_lines_cost_themselves_only() {
    let body = b"{\"agent\":\"a\",\"kind\":\"thought\"}\n{broken\n\xff\xfe\n{\"agent\":\"b\",\"kind\":\"thought\"}";
    let batch = decode(Format::Ndjson, body, NOW, &Limits::default()).unwrap();
    assert_eq!(batch.accepted.len(), 2);
    let errors: Vec<_> = batch.rejected.iter().map(|rejection| (rejection.index, rejection.error.as_str())).collect();
    assert_eq!(errors, [(1, "not valid JSON (column 2)"), (2, "not valid UTF-8")]);
    assert!(batch.rejected.iter().all(|rejection| rejection.reason == RejectReason::Malformed));
}

#[test]
fn what_is_no_json_is_an_error_with_a_place() {
    assert_eq!(json(r#"[{"agent":"a"},"#), Err(Error::Json { line: 1, column: 15 }));
    assert_eq!(json("{\"agent\":\n\"a\",}"), Err(Error::Json { line: 2, column: 5 }));
    assert_eq!(json(""), Err(Error::Json { line: 1, column: 0 }));
    assert_eq!(json("hello"), Err(Error::Json { line: 1, column: 1 }));
    assert_eq!(json(r#"[{"confidence":NaN}]"#), Err(Error::Json { line: 1, column: 16 }));
    assert!(matches!(json("[] []"), Err(Error::Json { .. })));
    assert!(matches!(json("7"), Err(Error::Shape { .. })));
    assert_eq!(decode(Format::Json, b"[\"\xff\"]", NOW, &Limits::default()), Err(Error::Utf8 { offset: 2 }));
    assert_eq!(json("[]"), Ok(Batch::default()));
    assert_eq!(decode(Format::Ndjson, b"\n\n", NOW, &Limits::default()), Ok(Batch::default()));
    assert_eq!(json("\u{feff}{\"agent\":\"a\",\"kind\":\"thought\"}").unwrap().accepted.len(), 1);
}

#[test]
fn deep_nesting_is_no_crash() {
    let deep = "[".repeat(1_000_000);
    assert!(matches!(json(&deep), Err(Error::Json { .. })));
    let closed = deep.clone() + &"]".repeat(1_000_000);
    let batch = json(&closed).unwrap();
    assert_eq!(batch.rejected.len(), 1);
    let unknown = format!(r#"{{"agent":"a","kind":"thought","x":{closed}}}"#);
    assert_eq!(json(&unknown).unwrap().accepted.len(), 1);
}

#[test]
fn items_are_bounded() {
    let limits = Limits { items: 2, ..Limits::default() };
    let item = r#"{"agent":"a","kind":"thought"}"#;
    for (count, fits) in [(2, true), (3, false)] {
        let array = format!("[{}]", [item].repeat(count).join(","));
        let lines = [item].repeat(count).join("\n");
        let mixed = format!("[{}]", [item, "{}", "1e999"][..count].join(","));
        for (format, body) in [(Format::Json, array), (Format::Ndjson, lines), (Format::Json, mixed)] {
            let answer = decode(format, body.as_bytes(), NOW, &limits);
            assert_eq!(answer.is_ok(), fits, "{body}");
            if !fits {
                assert_eq!(answer, Err(Error::TooMany { limit: 2 }));
            }
        }
    }
}

#[test]
fn lines_of_recordings_say_whether_they_are_dated() {
    let line = |json: &str| decode_line(json.as_bytes(), NOW).map(|(read, dated)| (read.at, dated));
    assert_eq!(line(r#"{"agent":"a","kind":"thought"}"#), Ok((NOW, false)));
    let far = Timestamp::from_nanos(9_000_000_000_000_000_000);
    assert_eq!(line(r#"{"agent":"a","kind":"thought","at":9000000000000000000}"#), Ok((far, true)));
}

/// Bodies that are nearly right, with a secret in every text (names of agents and tools are no secrets).
fn nearly() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec![
        "session",
        "id",
        "at",
        "kind",
        "text",
        "role",
        "arguments",
        "call_id",
        "ok",
        "error",
        "duration_ms",
        "claim_id",
        "confidence",
        "correct",
        "task",
        "done",
        "total",
        "input_tokens",
        "output_tokens",
        "cost",
        "context_window",
        "SECRET",
    ]);
    let value = prop::sample::select(vec![
        r#""SECRET""#,
        r#""SECRET text""#,
        "1",
        "-1",
        "0.5",
        "1e999",
        "true",
        "null",
        r#"{"SECRET":"SECRET"}"#,
        "[]",
        r#""claim""#,
        r#""result""#,
        r#""action""#,
        r#""usage""#,
        r#""message""#,
        "NaN",
        r#""\ud800SECRET""#,
        "SECRET",
        r#""SECRET"#,
        "18446744073709551616",
    ]);
    let object = prop::collection::vec((field, value), 0..8).prop_map(|fields| {
        let fields: Vec<_> = fields.iter().map(|(field, value)| format!(r#""{field}":{value}"#)).collect();
        format!(r#"{{"agent":"a","kind":"thought",{}}}"#, fields.join(",")).replace(",}", "}")
    });
    prop::collection::vec(object, 0..4).prop_map(|objects| format!("[{}]", objects.join(",\n")))
}

proptest! {
    #[test]
    fn total_and_silent_about_content(body in nearly(), cut in any::<prop::sample::Index>(), byte in any::<Option<u8>>()) {
        let mut bytes = body.into_bytes();
        if let Some(byte) = byte {
            let place = cut.index(bytes.len());
            bytes[place] = byte;
        }
        for format in [Format::Json, Format::Ndjson] {
            let answer = decode(format, &bytes, NOW, &Limits::default());
            let shown = answer.as_ref().map_or_else(|error| format!("{error} {error:?}"), |batch| format!("{batch:?}"));
            prop_assert!(!shown.contains("SECRET"), "{}", shown);
        }
    }

    #[test]
    fn total_on_random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(Format::Json, &bytes, NOW, &Limits::default());
        let batch = decode(Format::Ndjson, &bytes, NOW, &Limits::default()).unwrap();
        prop_assert!(batch.accepted.is_empty());
    }
}
