//! Keys from a key set.

use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;

use super::*;

fn part(bytes: &[u8]) -> Value {
    Value::from(URL_SAFE_NO_PAD.encode(bytes))
}

fn ed() -> Value {
    let key = DecodingKey::from_ed_pem(&pem("ed25519.public.pem")).unwrap();
    json!({"kid": "ed", "kty": "OKP", "crv": "Ed25519", "x": part(key.try_get_as_bytes().unwrap())})
}

fn es() -> Value {
    let key = DecodingKey::from_ec_pem(&pem("es256.public.pem")).unwrap();
    let (x, y) = key.try_get_as_bytes().unwrap()[1..].split_at(32);
    json!({"kid": "es", "kty": "EC", "crv": "P-256", "use": "sig", "x": part(x), "y": part(y)})
}

fn rs(file: &str) -> Value {
    let key = DecodingKey::from_rsa_pem(&pem(file)).unwrap();
    let components = DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key;
    let (n, e) = components(key.try_get_as_bytes().unwrap()).unwrap();
    json!({"kid": "rs", "kty": "RSA", "key_ops": ["verify"], "n": part(&n), "e": part(&e)})
}

fn with(mut key: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        key[name] = value.clone();
    }
    key.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    key
}

fn load(set: &Value) -> Result<Keys, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), set.to_string()).unwrap();
    let config = Config { jwks_file: file.path().to_owned(), ..Config::default() };
    Keys::load(&config).map_err(|error| error.to_string().replace(&format!("{} ", file.path().display()), ""))
}

#[test]
fn every_kind_of_key_checks_what_its_other_half_signed() {
    let oct = json!({"kid": "oct", "kty": "oct", "alg": "HS512", "k": part(SECRET)});
    let pss = with(rs("rs256.public.pem"), json!({"kid": "pss", "alg": "PS256"}));
    let keys = load(&json!({"keys": [ed(), es(), rs("rs256.public.pem"), pss, oct], "more": 1})).unwrap();
    assert!(keys.iter().all(|key| key.since().is_some()));
    assert_eq!(keys.signing(None).unwrap().kid(), "oct");
    let authenticator = Authenticator::new(&Config::default(), keys);
    let rsa = || EncodingKey::from_rsa_pem(&pem("rs256.private.pem")).unwrap();
    for (kid, algorithm, key) in [
        ("ed", Algorithm::EdDSA, EncodingKey::from_ed_pem(&pem("ed25519.private.pem")).unwrap()),
        ("es", Algorithm::ES256, EncodingKey::from_ec_pem(&pem("es256.private.pem")).unwrap()),
        ("rs", Algorithm::RS256, rsa()),
        ("pss", Algorithm::PS256, rsa()),
        ("oct", Algorithm::HS512, EncodingKey::from_secret(SECRET)),
    ] {
        let header = json!({"alg": algorithm.as_str(), "kid": kid}).to_string();
        let token = signed(&header, &good_claims().to_string(), &key, algorithm);
        assert_eq!(authenticator.authenticate(&token, NOW).map(|identity| identity.kid), Ok(kid.into()));
    }
}

#[test]
fn keys_for_something_else_are_passed_over_and_wrong_ones_refused() {
    let set = json!({"keys": [
        ed(),
        with(es(), json!({"use": "enc"})),
        with(es(), json!({"key_ops": ["encrypt"]})),
        with(es(), json!({"crv": "P-521"})),
        with(es(), json!({"kty": "ML-DSA"})),
        with(rs("rs256.public.pem"), json!({"alg": "RSA-OAEP"})),
    ]});
    assert_eq!(load(&set).unwrap().iter().map(Key::kid).collect::<Vec<_>>(), ["ed"]);
    let one = |key: Value| json!({"keys": [key]});
    let none = "auth.secret: no key is configured";
    for (set, problem) in [
        (json!([]), "auth.jwks_file: holds no JWK set"),
        (json!({"keys": 7}), "auth.jwks_file: holds no JWK set"),
        (json!({"keys": []}), none),
        (one(with(ed(), json!({"use": "enc"}))), none),
        (one(with(ed(), json!({"kid": null}))), "auth.jwks_file: keys[0] needs a kid"),
        (one(with(ed(), json!({"kid": "a b"}))), "auth.jwks_file: keys[0] needs a kid"),
        (one(with(ed(), json!({"d": "x"}))), "auth.jwks_file: keys[0] holds a private key"),
        (one(with(ed(), json!({"x": "AAAA"}))), "auth.jwks_file: keys[0] holds no key for EdDSA"),
        (one(with(ed(), json!({"x": "!"}))), "auth.jwks_file: keys[0] has no x in base64url"),
        (one(with(ed(), json!({"alg": "HS256"}))), "auth.jwks_file: keys[0] has an alg that does not fit its kty"),
        (one(with(es(), json!({"x": part(&[1; 32])}))), "auth.jwks_file: keys[0] holds no key for ES256"),
        (one(with(es(), json!({"y": part(&[1; 31])}))), "auth.jwks_file: keys[0] holds no key for ES256"),
        (one(rs("rsa1024.public.pem")), "auth.jwks_file: keys[0] holds an RSA key shorter than 2048 bits"),
        (one(json!({"kid": "k", "kty": "oct", "k": part(SECRET)})), "auth.jwks_file: keys[0] needs an alg"),
        (
            one(json!({"kid": "k", "kty": "oct", "alg": "HS256", "k": "AAAA"})),
            "auth.jwks_file: keys[0] holds a secret shorter than 32 bytes",
        ),
        (json!({"keys": [ed(), ed()]}), "auth.jwks_file: has the kid of another key"),
    ] {
        let shown = load(&set).unwrap_err();
        assert!(shown.starts_with(problem), "{set}: {shown}");
    }
}
