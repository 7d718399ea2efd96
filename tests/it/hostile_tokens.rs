//! Tokens as an attacker would make them: each is refused with the right code, and counted by a reason of a closed set.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::support::{Answer, Daemon, SECRET, unix_now};

/// A header and claims as they are, signed with HS256.
fn signed(header: &str, claims: &str, secret: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn good() -> Value {
    json!({"sub": "a", "scope": "metacog.stream", "exp": unix_now() + 600, "jti": "j"})
}

/// With this header (`alg` is there), and the good claims.
fn with_header(changes: Value) -> String {
    let mut header = json!({"alg": "HS256"});
    header.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    signed(&header.to_string(), &good().to_string(), SECRET.as_bytes())
}

/// With these claims changed.
fn with_claims(changes: Value) -> String {
    let mut claims = good();
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    signed("{\"alg\":\"HS256\"}", &claims.to_string(), SECRET.as_bytes())
}

/// What is counted by each reason.
async fn reasons(daemon: &Daemon) -> BTreeMap<String, f64> {
    let line = |line: &str| {
        let (reason, count) = line.strip_prefix("auth_failures_total{reason=\"")?.split_once("\"} ")?;
        Some((reason.to_owned(), count.parse().ok()?))
    };
    daemon.metrics().await.lines().filter_map(line).collect()
}

async fn all_refused(daemon: &Daemon, cases: Vec<(&str, String, u16, &str)>) {
    for (name, token, status, reason) in cases {
        let before = reasons(daemon).await;
        let answer = Answer::to(daemon.http.get(daemon.url("/v1/state")).bearer_auth(&token)).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.json());
        let error = if status == 403 { "insufficient_scope" } else { "invalid_token" };
        assert!(answer.header("www-authenticate").contains(&format!("error=\"{error}\"")), "{name}");
        let after = reasons(daemon).await;
        assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "{name}: the set is closed");
        let counted: Vec<_> = after.iter().filter(|(reason, count)| before[*reason] != **count).collect();
        assert_eq!(counted, [(&reason.to_owned(), &(before[reason] + 1.0))], "{name}");
    }
}

#[tokio::test]
async fn headers_that_lie_are_refused() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys");
    let public = fixtures.join("rs256.public.pem");
    let list = format!("[{{kid='rsa',alg='RS256',public_key_file='{}'}}]", public.display());
    let daemon = Daemon::start(&[("auth__keys", &list)]).await;
    let pem = std::fs::read(&public).unwrap();
    let der: Vec<u8> = {
        let text = String::from_utf8(pem.clone()).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        base64::engine::general_purpose::STANDARD.decode(body).unwrap()
    };
    let claims = good().to_string();
    let unsigned = |alg: &str| {
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(json!({"alg": alg}).to_string()), URL_SAFE_NO_PAD.encode(&claims))
    };
    let confused = |secret: &[u8]| signed("{\"alg\":\"HS256\",\"kid\":\"rsa\"}", &claims, secret);
    let own = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET)});
    let mut cases = vec![
        ("no signature", unsigned("none"), 401, "wrong_algorithm"),
        ("no signature, in other letters", unsigned("nOnE"), 401, "wrong_algorithm"),
        ("an empty signature", unsigned("HS256"), 401, "bad_signature"),
        ("a public key as a secret", confused(&pem), 401, "wrong_algorithm"),
        ("the same without its last line break", confused(pem.trim_ascii_end()), 401, "wrong_algorithm"),
        ("the same in DER", confused(&der), 401, "wrong_algorithm"),
        ("another algorithm of the same kind", with_header(json!({"alg": "HS512"})), 401, "wrong_algorithm"),
        ("no algorithm", signed("{}", &claims, SECRET.as_bytes()), 401, "malformed"),
        ("an algorithm that is no text", with_header(json!({"alg": ["HS256"]})), 401, "malformed"),
        ("a key in the header", with_header(json!({"jwk": own})), 401, "key_in_header"),
        ("a key elsewhere", with_header(json!({"jku": "https://evil.example/keys"})), 401, "key_in_header"),
        ("a certificate elsewhere", with_header(json!({"x5u": "https://evil.example/c"})), 401, "key_in_header"),
        ("a certificate", with_header(json!({"x5c": ["MIIB"]})), 401, "key_in_header"),
        ("a critical extension", with_header(json!({"crit": ["exp"], "exp": 1})), 401, "critical"),
        ("a critical extension for nothing", with_header(json!({"crit": []})), 401, "critical"),
        ("unencoded payload", with_header(json!({"b64": false, "crit": ["b64"]})), 401, "critical"),
        ("a kid that is no text", with_header(json!({"kid": 1})), 401, "malformed"),
        ("a name twice", signed("{\"alg\":\"none\",\"alg\":\"HS256\"}", &claims, SECRET.as_bytes()), 401, "duplicate"),
        (
            "a name twice, written otherwise",
            signed("{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", &claims, SECRET.as_bytes()),
            401,
            "duplicate",
        ),
    ];
    for kid in [
        "../../../../dev/null",
        "/etc/passwd",
        "file:///etc/passwd",
        "default' OR '1'='1",
        "x' UNION SELECT 'key",
        "default\u{0}",
        "| id",
        "default ",
        "DEFAULT",
        "",
    ] {
        cases.push(("a kid that reaches for something", with_header(json!({"kid": kid})), 401, "unknown_key"));
    }
    all_refused(&daemon, cases).await;
    assert_eq!(daemon.get_as("metacog.stream", "/v1/state").await.0, 200);
    daemon.assert_well().await;
}

#[tokio::test]
async fn claims_that_cannot_be_are_refused() {
    let daemon = Daemon::start(&[]).await;
    let now = unix_now();
    let raw = |claims: String| signed("{\"alg\":\"HS256\"}", &claims, SECRET.as_bytes());
    let nested = |levels: usize| format!("{{\"sub\":\"a\",\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let many = format!("{{{}\"sub\":\"a\"}}", (0..500).map(|i| format!("\"{i}\":0,")).collect::<String>());
    let twice = |name: &str, a: &str, b: &str| {
        let rest = format!("\"scope\":\"metacog.stream\",\"jti\":\"j\",\"exp\":{}", now + 600);
        raw(format!("{{\"sub\":\"a\",{rest},\"{name}\":{a},\"{name}\":{b}}}"))
    };
    let time = |name: &str, value: Value| with_claims(json!({name: value}));
    let cases = vec![
        ("a claim twice", twice("nbf", "1", "1"), 401, "duplicate"),
        ("an unknown claim twice", twice("x", "{}", "[]"), 401, "duplicate"),
        ("huge", with_claims(json!({"x": "y".repeat(9_000)})), 401, "too_large"),
        ("many claims, and no expiry", raw(many), 401, "missing_expiry"),
        ("deep, where nobody looks, and no expiry", raw(nested(3_000)), 401, "missing_expiry"),
        ("an endless number", raw(format!("{{\"sub\":\"a\",\"exp\":1{}}}", "0".repeat(400))), 401, "malformed"),
        ("a number that is none", raw("{\"exp\":NaN}".to_owned()), 401, "malformed"),
        ("more than an object", raw("{}{}".to_owned()), 401, "malformed"),
        (
            "not UTF-8",
            format!("{}.{}.x", URL_SAFE_NO_PAD.encode("{\"alg\":\"HS256\"}"), URL_SAFE_NO_PAD.encode(b"\xff")),
            401,
            "malformed",
        ),
        ("no expiry", raw("{\"sub\":\"a\",\"scope\":\"metacog.stream\"}".to_owned()), 401, "missing_expiry"),
        ("expired by a fraction", time("exp", json!(now as f64 - 31.5)), 401, "expired"),
        ("at the beginning of time", time("exp", json!(0)), 401, "expired"),
        ("before time", time("exp", json!(-1)), 401, "bad_time"),
        ("a little before time", time("exp", json!(-0.001)), 401, "bad_time"),
        ("milliseconds", time("exp", json!((now + 600) * 1_000)), 401, "bad_time"),
        ("the end of time", time("exp", json!(u64::MAX)), 401, "bad_time"),
        ("beyond numbers", time("exp", json!(1e308)), 401, "bad_time"),
        ("a time as a text", time("exp", json!((now + 600).to_string())), 401, "bad_time"),
        ("a time as a list", time("exp", json!([now + 600])), 401, "bad_time"),
        ("far in the future", time("exp", json!(now + 3_000 * 86_400)), 401, "lifetime_too_long"),
        ("not yet", time("nbf", json!(now + 120)), 401, "not_yet_valid"),
        ("not for long", time("nbf", json!(now as f64 + 1e9)), 401, "not_yet_valid"),
        ("not before a text", time("nbf", json!("0")), 401, "bad_time"),
        ("from tomorrow", time("iat", json!(now + 86_400)), 401, "issued_in_future"),
        ("from before time", time("iat", json!(-86_400)), 401, "bad_time"),
        ("from long ago", time("iat", json!(1)), 401, "lifetime_too_long"),
        ("nobody", with_claims(json!({"sub": null})), 401, "bad_subject"),
        ("somebody long", with_claims(json!({"sub": "x".repeat(257)})), 401, "bad_subject"),
        ("somebody with a line break", with_claims(json!({"sub": "a\r\nSet-Cookie: x"})), 401, "bad_subject"),
        ("somebody with a terminal's command", with_claims(json!({"sub": "\u{1b}[2J"})), 401, "bad_subject"),
        ("a name that is a number", with_claims(json!({"jti": 7})), 401, "bad_token_id"),
        ("a long name", with_claims(json!({"jti": "x".repeat(257)})), 401, "bad_token_id"),
        ("a scope that is a number", with_claims(json!({"scope": 1})), 401, "bad_scope"),
        ("a scope that is true", with_claims(json!({"scope": true})), 401, "bad_scope"),
        ("scopes of scopes", with_claims(json!({"scope": [["metacog.stream"]]})), 401, "bad_scope"),
        ("scopes and a number", with_claims(json!({"scope": ["metacog.stream", 7]})), 401, "bad_scope"),
        ("a scope as a table", with_claims(json!({"scope": {"metacog.stream": 1}})), 401, "bad_scope"),
    ];
    all_refused(&daemon, cases).await;
    for scope in [
        json!(""),
        json!([]),
        json!("metacog.streams"),
        json!("xmetacog.stream"),
        json!("metacog.stream."),
        json!("metacog.*"),
        json!("METACOG.STREAM"),
        json!("metacog.stream,metacog.observe"),
        json!("metacog.stream\tmetacog.observe"),
        json!("metacog.stream\u{a0}x"),
        json!("metacog.stre\u{430}m"),
        json!("metacog\u{ff0e}stream"),
        json!("\u{200b}metacog.stream"),
        json!("metacog.stream\u{200d}"),
        json!("\u{202e}maerts.gocatem"),
        json!(["metacog.stream metacog.observe"]),
        json!([" metacog.stream"]),
        json!(["metacog.", "stream"]),
    ] {
        let wrong = with_claims(json!({"scope": scope}));
        all_refused(&daemon, vec![("a scope that looks alike", wrong, 403, "insufficient_scope")]).await;
    }
    for scope in [json!("metacog.stream"), json!(" x  metacog.stream "), json!(["y", "metacog.stream"])] {
        let request = daemon.http.get(daemon.url("/v1/state")).bearer_auth(with_claims(json!({"scope": scope})));
        assert_eq!(Answer::to(request).await.status, 200, "{scope}");
    }
    daemon.assert_well().await;
}
