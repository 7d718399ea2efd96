//! What each fuzz target does with its bytes. Nothing here may panic but for a broken promise of the daemon's.
//!
//! The same functions replay the committed corpora in a plain test (`tests/corpora.rs`), without a fuzzer.

mod leak;
mod stream;
mod world;

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use consciousness_system::auth::{self, Algorithm, Authenticator, Key, Keys};
use consciousness_system::config::Config;
use consciousness_system::engine::{self, Document, Engine, Split};
use consciousness_system::ingest::{self, Batch, Limits, native, otlp};
use jsonwebtoken::EncodingKey;
use serde_json::value::RawValue;

pub use leak::leak;
pub use stream::stream;
use world::{NOW, World};

/// Splits off the first byte, which chooses how the rest is taken.
fn choice(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(first, rest)| (*first, rest))
}

/// A decoder's promises, and what becomes of what it accepted.
fn taken_in(outcome: Result<Batch, ingest::Error>, limits: &Limits) {
    let Ok(batch) = outcome else { return };
    assert!(batch.accepted.len() <= 2 * limits.items, "more observations than a body may hold");
    assert!(batch.accepted.iter().all(|observation| observation.at <= NOW.plus(limits.ahead)), "from the future");
    let mut world = World::new();
    world.beat(&batch.accepted);
    world.beat(&[]);
}

/// `POST /v1/observations`: JSON or NDJSON.
pub fn native(data: &[u8]) {
    let Some((format, body)) = choice(data) else { return };
    let format = if format.is_multiple_of(2) { native::Format::Json } else { native::Format::Ndjson };
    let limits = Limits { items: 1_000, ..Limits::default() };
    taken_in(native::decode(format, body, NOW, &limits), &limits);
}

/// `POST /v1/traces` and `/v1/logs`: protobuf or JSON, compressed or not.
pub fn otlp(data: &[u8]) {
    let Some((form, body)) = choice(data) else { return };
    let encoding = if form & 1 == 0 { otlp::Encoding::Protobuf } else { otlp::Encoding::Json };
    let compression = [None, Some("gzip"), Some("deflate"), Some("identity")][usize::from(form >> 2 & 3)];
    let Ok(body) = ingest::body::inflate(compression, body, 1 << 20) else { return };
    assert!(body.len() <= 1 << 20, "inflated beyond the limit");
    let limits = Limits { items: 1_000, ..Limits::default() };
    let outcome = if form & 2 == 0 {
        let outcome = otlp::decode_traces(encoding, &body, NOW, &limits);
        if let Ok(batch) = &outcome {
            otlp::traces_response(batch, encoding);
        }
        outcome
    } else {
        let outcome = otlp::decode_logs(encoding, &body, NOW, &limits);
        if let Ok(batch) = &outcome {
            otlp::logs_response(batch, encoding);
        }
        outcome
    };
    taken_in(outcome, &limits);
}

const SECRET: &[u8] = b"a secret of more than 32 bytes, for fuzzing only";

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let key = Key::symmetric("default", Algorithm::HS256, SECRET).expect("the key is long enough");
    Authenticator::new(&auth::Config::default(), Keys::new(vec![key]).expect("one key is enough"))
});

/// Tokens: as they come; or header and claims, a line each, signed with the daemon's own key.
pub fn token(data: &[u8]) {
    let Some((signed, rest)) = choice(data) else { return };
    let text = String::from_utf8_lossy(rest);
    if signed.is_multiple_of(2) {
        assert!(AUTHENTICATOR.authenticate(&text, NOW).is_err(), "a token that nobody signed was accepted");
        return;
    }
    let (header, claims) = text.split_once('\n').unwrap_or((r#"{"alg":"HS256","typ":"JWT"}"#, &text));
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(SECRET);
    let Ok(signature) = jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256) else {
        return;
    };
    let Ok(identity) = AUTHENTICATOR.authenticate(&format!("{message}.{signature}"), NOW) else { return };
    assert!((1..=256).contains(&identity.subject.len()), "a sub of any length");
    let leeway = AUTHENTICATOR.leeway();
    assert!(identity.expires.plus(leeway) > NOW, "an expired token was accepted");
    // Numbers of claims that nobody reads may be out of any range.
    let claims: HashMap<String, &RawValue> = serde_json::from_str(claims).expect("accepted claims are JSON");
    let scope = claims.get("scope").map(|scope| serde_json::from_str(scope.get()).expect("a scope is read"));
    let words = match &scope.unwrap_or(serde_json::Value::Null) {
        serde_json::Value::String(text) => text.split(' ').map(str::to_owned).collect(),
        serde_json::Value::Array(words) => words.iter().filter_map(|w| w.as_str()).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    for scope in [auth::Scope::Stream, auth::Scope::Observe] {
        let named = words.iter().any(|word| word == scope.as_str());
        assert_eq!(identity.allows(scope), named, "a scope is a whole word or nothing");
    }
}

/// A stored state, as Redis may hand it back.
pub fn state(data: &[u8]) {
    if let Ok(Some((meta, split))) = Split::read(data) {
        let head = Split::read(&split.head(&meta)).expect("a head can be read");
        assert_eq!(head, Some((meta, split.clone())), "and is the same");
        assert!(split.parts.keys().all(|id| Split::agents(id, data).is_none()), "a head is no part");
    }
    let Ok(document) = Document::parse(data) else { return };
    let config = engine::Config { agents: 64, ..engine::Config::default() };
    let mut world = World::of(Engine::restore(config, document, 7));
    world.beat(&world::steps());
    world.beat(&[]);
    let written = Document::of(world.engine()).to_json();
    let again = Document::parse(&written).expect("what was written can be read");
    assert_eq!(again.to_json(), written, "reading and writing change nothing");
}

/// A configuration file and variables, the latter one a line behind a line `---`.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (file, variables) = text.split_once("\n---\n").unwrap_or((&text, ""));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables: Vec<_> = variables.map(|(key, value)| (format!("CONSCIOUSNESS__{key}"), value.to_owned())).collect();
    match Config::parse(file, "the file", variables) {
        Ok(config) => {
            // Its secrets are masked, so that it need not be one to serve with; but it can be read.
            if let Err(error) = Config::parse(&config.to_toml(), "what is shown", []) {
                let readable = error.problems.iter().all(|p| !p.problem.starts_with("is not TOML"));
                assert!(readable, "what is shown is TOML");
            }
        }
        Err(error) => {
            assert!(!error.problems.is_empty(), "an error says what is wrong");
            assert!(error.problems.iter().all(|p| !p.problem.contains('\n')), "one line a problem");
        }
    }
}
