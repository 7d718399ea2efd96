//! A JSON Web Key Set (RFC 7517), as identity providers publish them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Algorithm, Key};

#[derive(Deserialize)]
struct Set {
    keys: Vec<Map<String, Value>>,
}

/// The usable keys of a file, in its order. Keys that are not for signatures or of a kind that is not known here are
/// passed over with a word in the log, as RFC 7517 (section 5) wants it.
///
/// # Errors
/// What is wrong with the file or one of its keys, in words that don't quote them.
pub(super) fn read(path: &Path) -> Result<Vec<Key>, String> {
    let (content, since) = super::key::read(path)?;
    let set: Set = serde_json::from_slice(&content).map_err(|_| "holds no JWK set: {\"keys\": [...]}".to_owned())?;
    let mut keys = Vec::with_capacity(set.keys.len());
    for (i, jwk) in set.keys.iter().enumerate() {
        match key(jwk) {
            Ok(key) => keys.push(key.written(since)),
            Err(Trouble::PassOver(reason)) => {
                tracing::warn!(file = %path.display(), key = i, reason, "a key of the set is passed over");
            }
            Err(Trouble::Wrong(problem)) => return Err(format!("keys[{i}] {problem}")),
        }
    }
    Ok(keys)
}

enum Trouble {
    /// A key for something else.
    PassOver(&'static str),
    /// A key that should be good and is not.
    Wrong(String),
}

fn key(jwk: &Map<String, Value>) -> Result<Key, Trouble> {
    let wrong = |problem: &str| Trouble::Wrong(problem.to_owned());
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return Err(Trouble::PassOver("it is not for signatures"));
    }
    let operations = jwk.get("key_ops").and_then(Value::as_array);
    if operations.is_some_and(|operations| !operations.iter().any(|operation| operation == "verify")) {
        return Err(Trouble::PassOver("it is not for checking signatures"));
    }
    let named = match text("alg") {
        Some(name) => {
            let known = Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == name);
            Some(known.ok_or(Trouble::PassOver("its algorithm is not known here"))?)
        }
        None => None,
    };
    // Where the set names no algorithm, the kind of the key does; an RSA key is then one for the common of the two.
    let (fitting, default): (&[Algorithm], _) = match (text("kty"), text("crv")) {
        (Some("OKP"), Some("Ed25519")) => (&[Algorithm::EdDSA], Some(Algorithm::EdDSA)),
        (Some("EC"), Some("P-256")) => (&[Algorithm::ES256], Some(Algorithm::ES256)),
        (Some("RSA"), _) => (&[Algorithm::RS256, Algorithm::PS256], Some(Algorithm::RS256)),
        (Some("oct"), _) => (&[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512], None),
        _ => return Err(Trouble::PassOver("its type is not known here")),
    };
    let algorithm = named.or(default).ok_or_else(|| wrong("needs an alg"))?;
    if !fitting.contains(&algorithm) {
        return Err(wrong("has an alg that does not fit its kty"));
    }
    // Providers choose their names freely; this one ends up in logs and as a label.
    let kid = text("kid").filter(|kid| (1..=128).contains(&kid.len()) && kid.bytes().all(|b| b.is_ascii_graphic()));
    let kid = kid.ok_or_else(|| wrong("needs a kid of 1 to 128 visible characters"))?;
    if jwk.contains_key("d") {
        return Err(wrong("holds a private key; the public one belongs here"));
    }
    let part = |name: &'static str| {
        let bytes = text(name).and_then(|value| URL_SAFE_NO_PAD.decode(value).ok()).filter(|bytes| !bytes.is_empty());
        bytes.ok_or_else(|| Trouble::Wrong(format!("has no {name} in base64url")))
    };
    let built = match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Key::symmetric(kid, algorithm, &part("k")?),
        Algorithm::EdDSA => {
            let x = part("x")?;
            if x.len() != 32 {
                return Err(wrong("holds no key for EdDSA"));
            }
            Key::checking(kid, algorithm, DecodingKey::from_ed_der(&x), &x)
        }
        Algorithm::ES256 => {
            // Short coordinates would be taken for another point.
            let point = [part("x")?, part("y")?];
            if point.iter().any(|coordinate| coordinate.len() != 32) {
                return Err(wrong("holds no key for ES256"));
            }
            let point = [&[4][..], &point[0], &point[1]].concat();
            Key::checking(kid, algorithm, DecodingKey::from_ec_der(&point), &point)
        }
        Algorithm::RS256 | Algorithm::PS256 => {
            let (n, e) = (part("n")?, part("e")?);
            super::key::check_modulus(&n).map_err(Trouble::Wrong)?;
            Key::checking(kid, algorithm, DecodingKey::from_rsa_raw_components(&n, &e), &[n, e].concat())
        }
    };
    built.map_err(Trouble::Wrong)
}
