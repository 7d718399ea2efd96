//! Tokens of every sort, made here part by part, as an attacker would.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::crypto;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::Timestamp;

mod jwks;
mod keys;

const SECRET: &[u8] = b"a-secret-of-more-than-32-bytes-for-tests";
const OTHER_SECRET: &[u8] = b"another-secret-of-more-than-32-bytes-for-tests";
const SECONDS: i64 = 1_763_942_048;
const NOW: Timestamp = Timestamp::from_nanos(SECONDS * 1_000_000_000);

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys").join(name)
}

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

fn symmetric(kid: &str, algorithm: Algorithm, secret: &[u8]) -> Key {
    Key::symmetric(kid, algorithm, secret).unwrap()
}

fn authenticator(keys: Vec<Key>) -> Authenticator {
    Authenticator::new(&Config::default(), Keys::new(keys).unwrap())
}

/// One HS256 key called `default`.
fn simple() -> Authenticator {
    authenticator(vec![symmetric("default", Algorithm::HS256, SECRET)])
}

fn good_claims() -> Value {
    json!({"sub": "alice", "scope": "metacog.stream", "jti": "t-1", "iat": SECONDS, "exp": SECONDS + 3600})
}

/// A token with any header and claims, even such as no library would write.
fn signed(header: &str, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = crypto::sign(message.as_bytes(), key, algorithm.backend()).unwrap();
    format!("{message}.{signature}")
}

fn hs256(header: Value, claims: &str) -> String {
    signed(&header.to_string(), claims, &EncodingKey::from_secret(SECRET), Algorithm::HS256)
}

fn with_claims(claims: &Value) -> String {
    hs256(json!({"alg": "HS256"}), &claims.to_string())
}

/// The good claims, some of them other (or gone, where `null`).
fn except(changes: Value) -> String {
    let mut claims = good_claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    with_claims(&claims)
}

/// What comes of a future that waits for nothing, since no Redis is configured.
fn ready<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).expect("it waits for nothing")
}

#[track_caller]
fn refused(authenticator: &Authenticator, token: &str, refusal: Refusal) {
    assert_eq!(authenticator.authenticate(token, NOW), Err(refusal), "{token}");
}

#[test]
fn a_good_token_names_an_identity() {
    let identity = simple().authenticate(&with_claims(&good_claims()), NOW).unwrap();
    assert_eq!((&*identity.subject, identity.jti.as_deref(), &*identity.kid), ("alice", Some("t-1"), "default"));
    assert_eq!(identity.expires, NOW.plus(Duration::from_hours(1)));
    assert!(identity.allows(Scope::Stream) && !identity.allows(Scope::Observe));
    assert_eq!(identity.require(&[Scope::Observe, Scope::Stream]), Ok(()));
    assert_eq!(identity.require(&[Scope::Observe]), Err(Refusal::InsufficientScope(Scope::Observe)));
    assert!(!format!("{identity:?}").contains("alice"));
}

#[test]
fn every_algorithm_works_with_its_own_key() {
    let rsa = EncodingKey::from_rsa_pem(&pem("rs256.private.pem")).unwrap();
    for (algorithm, signing, key) in [
        (Algorithm::HS256, EncodingKey::from_secret(SECRET), symmetric("k", Algorithm::HS256, SECRET)),
        (Algorithm::HS384, EncodingKey::from_secret(SECRET), symmetric("k", Algorithm::HS384, SECRET)),
        (Algorithm::HS512, EncodingKey::from_secret(SECRET), symmetric("k", Algorithm::HS512, SECRET)),
        (
            Algorithm::EdDSA,
            EncodingKey::from_ed_pem(&pem("ed25519.private.pem")).unwrap(),
            Key::from_file("k", Algorithm::EdDSA, &fixture("ed25519.public.pem")).unwrap(),
        ),
        (
            Algorithm::ES256,
            EncodingKey::from_ec_pem(&pem("es256.private.pem")).unwrap(),
            Key::from_file("k", Algorithm::ES256, &fixture("es256.public.pem")).unwrap(),
        ),
        (Algorithm::RS256, rsa.clone(), Key::from_file("k", Algorithm::RS256, &fixture("rs256.public.pem")).unwrap()),
        (Algorithm::PS256, rsa, Key::from_file("k", Algorithm::PS256, &fixture("rs256.public.pem")).unwrap()),
    ] {
        let authenticator = authenticator(vec![key]);
        let header = json!({"alg": algorithm.as_str(), "kid": "k", "typ": "JWT"}).to_string();
        let token = signed(&header, &good_claims().to_string(), &signing, algorithm);
        assert!(authenticator.authenticate(&token, NOW).is_ok(), "{algorithm:?}");
        // Another claims set under the same signature.
        let (rest, signature) = token.rsplit_once('.').unwrap();
        let header = rest.split_once('.').unwrap().0;
        let forged = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode("{\"sub\":\"mallory\"}"));
        refused(&authenticator, &forged, Refusal::BadSignature);
    }
}

#[test]
fn the_algorithm_is_the_keys() {
    let public = pem("rs256.public.pem");
    let rsa = || Key::public("rsa", Algorithm::RS256, &public).unwrap();
    let authenticator = authenticator(vec![symmetric("default", Algorithm::HS256, SECRET), rsa()]);
    let claims = good_claims().to_string();
    // The public key, which everybody has, as an HMAC secret.
    let confused = EncodingKey::from_secret(&public);
    for alg in ["HS256", "HS384", "none", "None", "", "rs256", "PS256", "EdDSA", "X1"] {
        let header = json!({"alg": alg, "kid": "rsa"}).to_string();
        refused(&authenticator, &signed(&header, &claims, &confused, Algorithm::HS256), Refusal::WrongAlgorithm);
    }
    let as_rsa = json!({"alg": "RS256", "kid": "rsa"}).to_string();
    refused(&authenticator, &signed(&as_rsa, &claims, &confused, Algorithm::HS256), Refusal::BadSignature);
    let hs = |alg| hs256(json!({"alg": alg}), &claims);
    refused(&authenticator, &hs("HS512"), Refusal::WrongAlgorithm);
    refused(&authenticator, &hs("none"), Refusal::WrongAlgorithm);
    let unsigned = |alg: &str| {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg}).to_string());
        format!("{header}.{}.", URL_SAFE_NO_PAD.encode(&claims))
    };
    refused(&authenticator, &unsigned("none"), Refusal::WrongAlgorithm);
    refused(&authenticator, &unsigned("HS256"), Refusal::BadSignature);
}

#[test]
fn keys_are_chosen_by_kid_alone() {
    let claims = good_claims().to_string();
    let one = simple();
    assert!(one.authenticate(&hs256(json!({"alg": "HS256", "kid": "default"}), &claims), NOW).is_ok());
    for kid in ["", "other", "../../etc/passwd", "default' OR '1'='1", "default\0"] {
        refused(&one, &hs256(json!({"alg": "HS256", "kid": kid}), &claims), Refusal::UnknownKey);
    }
    refused(&one, &hs256(json!({"alg": "HS256", "kid": 7}), &claims), Refusal::Malformed);

    let named = |kid| symmetric(kid, Algorithm::HS256, SECRET);
    let two = authenticator(vec![named("a"), symmetric("b", Algorithm::HS256, OTHER_SECRET)]);
    refused(&two, &hs256(json!({"alg": "HS256"}), &claims), Refusal::UnknownKey);
    refused(&two, &hs256(json!({"alg": "HS256", "kid": "b"}), &claims), Refusal::BadSignature);
    assert_eq!(&*two.authenticate(&hs256(json!({"alg": "HS256", "kid": "a"}), &claims), NOW).unwrap().kid, "a");
    let only = authenticator(vec![named("a")]);
    assert!(only.authenticate(&hs256(json!({"alg": "HS256"}), &claims), NOW).is_ok());
}

#[test]
fn a_token_brings_no_key_and_no_extension() {
    for (name, value, refusal) in [
        ("jwk", json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET)}), Refusal::KeyInHeader),
        ("jku", json!("https://evil.example/keys"), Refusal::KeyInHeader),
        ("x5u", json!("https://evil.example/cert"), Refusal::KeyInHeader),
        ("x5c", json!(["MIIB"]), Refusal::KeyInHeader),
        ("crit", json!(["exp"]), Refusal::Critical),
        ("crit", json!([]), Refusal::Critical),
    ] {
        let mut header = json!({"alg": "HS256"});
        header[name] = value;
        refused(&simple(), &hs256(header, &good_claims().to_string()), refusal);
    }
}

#[test]
fn what_is_not_a_jwt_is_malformed() {
    let good = with_claims(&good_claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    for token in [
        "".to_owned(),
        "..".to_owned(),
        "a.b".to_owned(),
        format!("{good}.x"),
        format!("{good}="),
        format!("{message}.{signature}!"),
        format!(" {good}"),
        message.to_owned(),
        good.replace('.', ","),
    ] {
        refused(&simple(), &token, Refusal::Malformed);
    }
    let hs = |header: &str, claims: &str| signed(header, claims, &EncodingKey::from_secret(SECRET), Algorithm::HS256);
    refused(&simple(), &hs("{}", "{}"), Refusal::Malformed);
    refused(&simple(), &hs("[]", "{}"), Refusal::Malformed);
    refused(&simple(), &hs("{\"alg\":\"HS256\"}", "[]"), Refusal::Malformed);
    refused(&simple(), &hs("{\"alg\":\"HS256\"}", "{\"exp\":NaN}"), Refusal::Malformed);
    refused(&simple(), &hs("{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "{}"), Refusal::Duplicate);
    let twice = good_claims().to_string().replace("\"sub\"", "\"sub\":\"mallory\",\"sub\"");
    refused(&simple(), &hs("{\"alg\":\"HS256\"}", &twice), Refusal::Duplicate);
    refused(&simple(), &except(json!({"padding": "x".repeat(MAX_TOKEN)})), Refusal::TooLarge);
}

#[test]
fn times_are_honoured_with_a_leeway() {
    let (past, future) = (SECONDS - 30, SECONDS + 30);
    for (changes, refusal) in [
        (json!({"exp": null}), Refusal::MissingExpiry),
        (json!({"exp": past}), Refusal::Expired),
        (json!({"exp": 0}), Refusal::Expired),
        (json!({"exp": past as f64 - 0.5}), Refusal::Expired),
        (json!({"nbf": future + 1}), Refusal::NotYetValid),
        (json!({"iat": future + 1}), Refusal::IssuedInFuture),
        (json!({"exp": SECONDS + 367 * 86_400}), Refusal::LifetimeTooLong),
        (json!({"exp": SECONDS + 10, "iat": SECONDS - 366 * 86_400}), Refusal::LifetimeTooLong),
        (json!({"exp": SECONDS + 367 * 86_400, "iat": null}), Refusal::LifetimeTooLong),
        (json!({"exp": SECONDS * 1000}), Refusal::BadTime),
        (json!({"exp": -1}), Refusal::BadTime),
        (json!({"exp": -0.5}), Refusal::BadTime),
        (json!({"exp": 1e300}), Refusal::BadTime),
        (json!({"exp": u64::MAX}), Refusal::BadTime),
        (json!({"exp": i64::MAX}), Refusal::BadTime),
        (json!({"exp": "1763945648"}), Refusal::BadTime),
        (json!({"exp": true}), Refusal::BadTime),
        (json!({"nbf": "now"}), Refusal::BadTime),
        (json!({"iat": -5}), Refusal::BadTime),
    ] {
        assert_eq!(simple().authenticate(&except(changes.clone()), NOW), Err(refusal), "{changes}");
    }
    for changes in [
        json!({"exp": past + 1}),
        json!({"exp": SECONDS as f64 + 0.25}),
        json!({"nbf": future}),
        json!({"iat": future}),
        json!({"iat": null}),
        json!({"nbf": 0}),
        json!({"exp": SECONDS + 366 * 86_400}),
    ] {
        assert!(simple().authenticate(&except(changes.clone()), NOW).is_ok(), "{changes}");
    }
}

#[test]
fn names_and_scopes_are_asked_for() {
    let long = "x".repeat(257);
    for (changes, refusal) in [
        (json!({"sub": null}), Refusal::BadSubject),
        (json!({"sub": ""}), Refusal::BadSubject),
        (json!({"sub": 7}), Refusal::BadSubject),
        (json!({"sub": long}), Refusal::BadSubject),
        (json!({"sub": "alice\nadmin"}), Refusal::BadSubject),
        (json!({"jti": ""}), Refusal::BadTokenId),
        (json!({"jti": 7}), Refusal::BadTokenId),
        (json!({"jti": long}), Refusal::BadTokenId),
        (json!({"scope": null}), Refusal::BadScope),
        (json!({"scope": 7}), Refusal::BadScope),
        (json!({"scope": ["metacog.stream", 7]}), Refusal::BadScope),
        (json!({"scope": {"metacog.stream": true}}), Refusal::BadScope),
    ] {
        assert_eq!(simple().authenticate(&except(changes.clone()), NOW), Err(refusal), "{changes}");
    }
    for (scope, words) in [
        (json!("metacog.stream metrics.read"), "metacog.stream metrics.read"),
        (json!(["metrics.read", "metacog.stream"]), "metacog.stream metrics.read"),
        (json!("  metacog.stream  "), "metacog.stream"),
        (json!("metacog.streams xmetacog.stream METACOG.STREAM"), ""),
        (json!("metacog.stream\tmetrics.read"), ""),
        (json!(["metacog.stream metrics.read"]), ""),
        (json!("metacog.stream\u{a0}metrics.read metacog.admin\u{200b}"), ""),
        (json!(""), ""),
        (json!([]), ""),
    ] {
        let identity = simple().authenticate(&except(json!({"scope": scope})), NOW).unwrap();
        assert_eq!(identity.scopes.to_string(), words, "{scope}");
    }
    let nameless = simple().authenticate(&except(json!({"jti": null})), NOW).unwrap();
    assert_eq!(ready(keys::guard().admit(&nameless, NOW)), Err(Refusal::MissingTokenId));
}

#[test]
fn audience_and_issuer_are_checked_where_configured() {
    let config =
        Config { audience: vec!["mind".into(), "soul".into()], issuer: vec!["https://id".into()], ..Config::default() };
    let keys = Keys::new(vec![symmetric("default", Algorithm::HS256, SECRET)]).unwrap();
    let authenticator = Authenticator::new(&config, keys);
    for (aud, iss, refusal) in [
        (json!(null), json!("https://id"), Refusal::WrongAudience),
        (json!("body"), json!("https://id"), Refusal::WrongAudience),
        (json!(["body", 7]), json!("https://id"), Refusal::WrongAudience),
        (json!("minds"), json!("https://id"), Refusal::WrongAudience),
        (json!("mind"), json!(null), Refusal::WrongIssuer),
        (json!("mind"), json!("https://id/"), Refusal::WrongIssuer),
        (json!("mind"), json!(["https://id"]), Refusal::WrongIssuer),
    ] {
        refused(&authenticator, &except(json!({"aud": aud, "iss": iss})), refusal);
    }
    for aud in [json!("mind"), json!(["body", "soul"])] {
        assert!(authenticator.authenticate(&except(json!({"aud": aud, "iss": "https://id"})), NOW).is_ok());
    }
}

proptest! {
    #[test]
    fn any_text_gets_an_answer(token in "\\PC{0,200}", ticket in "\\PC{0,200}") {
        prop_assert!(simple().authenticate(&token, NOW).is_err());
        let (_, tickets) = keys::tickets(vec![symmetric("default", Algorithm::HS256, SECRET)]);
        prop_assert!(tickets.check(&ticket, NOW).is_err());
    }

    #[test]
    fn any_header_and_claims_get_an_answer(header in "\\PC{0,80}", claims in "\\PC{0,80}", exp in any::<f64>()) {
        let key = EncodingKey::from_secret(SECRET);
        prop_assert!(simple().authenticate(&signed(&header, &claims, &key, Algorithm::HS256), NOW).is_err());
        let bare = hs256(json!({"alg": "HS256"}), &claims);
        prop_assert!(simple().authenticate(&bare, NOW).is_err());
        let _ = simple().authenticate(&except(json!({"exp": exp})), NOW);
    }

    #[test]
    fn no_refusal_quotes_the_token(marker in "[A-Z]{8,20}", place in 0usize..12) {
        let claims = good_claims().to_string();
        let token = match place {
            0 => marker.clone(),
            1 => format!("{marker}.{marker}.{marker}"),
            2 => hs256(json!({"alg": marker}), &claims),
            3 => hs256(json!({"alg": "HS256", "kid": marker}), &claims),
            4 => hs256(json!({"alg": "HS256", "jku": marker}), &claims),
            5 => except(json!({"exp": marker})),
            6 => except(json!({"sub": format!("{marker}\n")})),
            7 => except(json!({"jti": [marker]})),
            8 => except(json!({"scope": {"a": marker}})),
            9 => hs256(json!({"alg": "HS256"}), &marker),
            10 => hs256(json!({"alg": "HS256"}), &format!("{{\"{marker}\":1,\"{marker}\":2}}")),
            _ => format!("{}{marker}", with_claims(&good_claims())),
        };
        let refusal = simple().authenticate(&token, NOW).unwrap_err();
        let shown = format!("{refusal} {refusal:?} {} {} {}", refusal.reason(), refusal.detail(), refusal.www_authenticate());
        prop_assert!(!shown.contains(&marker), "{shown}");
        prop_assert!(token.split('.').filter(|part| part.len() > 3).all(|part| !shown.contains(part)));
    }

    #[test]
    fn a_token_with_one_byte_changed_is_refused(i in 0usize..200, flip in 1u8..128) {
        let good = with_claims(&good_claims());
        let mut bytes = good.clone().into_bytes();
        let i = i % bytes.len();
        bytes[i] ^= flip;
        if let Ok(token) = String::from_utf8(bytes) {
            prop_assert!(simple().authenticate(&token, NOW).is_err(), "{}", token);
        }
    }
}
