//! Keys as they come and go, and the tickets that they sign.

use std::sync::Arc;

use super::*;
use crate::setting::Secret;
use crate::telemetry::Metrics;

#[test]
fn keys_are_replaced_while_tokens_come() {
    let authenticator = simple();
    let old = hs256(json!({"alg": "HS256", "kid": "default"}), &good_claims().to_string());
    let new_key = symmetric("new", Algorithm::HS256, OTHER_SECRET);
    let new = mint(&new_key, &Claims::new("alice", "metacog.stream", NOW, Duration::from_mins(5))).unwrap();
    refused(&authenticator, &new, Refusal::UnknownKey);
    let both = vec![symmetric("default", Algorithm::HS256, SECRET), new_key.clone()];
    authenticator.replace(Keys::new(both).unwrap());
    assert!(authenticator.authenticate(&old, NOW).is_ok() && authenticator.authenticate(&new, NOW).is_ok());
    assert_eq!(authenticator.keys().signing(None).unwrap().kid(), "new");
    authenticator.replace(Keys::new(vec![new_key]).unwrap());
    refused(&authenticator, &old, Refusal::UnknownKey);
}

#[test]
fn unusable_keys_are_refused_at_the_start() {
    for (algorithm, file, problem) in [
        (Algorithm::RS256, "rsa1024.public.pem", "holds an RSA key shorter than 2048 bits"),
        (Algorithm::ES256, "p384.public.pem", "holds no key for ES256"),
        (Algorithm::ES256, "ed25519.public.pem", "holds no key for ES256"),
        (Algorithm::EdDSA, "es256.public.pem", "holds no key for EdDSA"),
        (Algorithm::RS256, "es256.public.pem", "holds no key for RS256"),
        (Algorithm::PS256, "ed25519.public.pem", "holds no key for PS256"),
        (Algorithm::EdDSA, "ed25519.private.pem", "holds a private key; the public one belongs here"),
        (Algorithm::RS256, "rs256.private.pem", "holds a private key; the public one belongs here"),
        (Algorithm::EdDSA, "README.md", "holds no public key in PEM form (BEGIN PUBLIC KEY)"),
        (Algorithm::HS256, "rs256.public.pem", "holds a PEM key, not a secret"),
        (Algorithm::HS256, "missing", "cannot be read: entity not found"),
    ] {
        assert_eq!(Key::from_file("k", algorithm, &fixture(file)).err().as_deref(), Some(problem), "{file}");
    }
    assert!(
        Key::symmetric("k", Algorithm::HS256, &[7; 31]).is_err()
            && Key::symmetric("k", Algorithm::HS256, &[7; 32]).is_ok()
    );
    assert_eq!(Keys::load(&Config::default()).unwrap_err(), KeysError::None);
    assert_eq!(Keys::new(Vec::new()).unwrap_err(), KeysError::None);
}

#[test]
fn keys_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, [SECRET, b"\n"].concat()).unwrap();
    let public = |kid: &str, alg, file| KeyConfig {
        kid: kid.to_owned(),
        alg,
        secret_file: PathBuf::new(),
        public_key_file: fixture(file),
    };
    let mut config = Config {
        secret_file: path.clone(),
        keys: vec![
            public("ed", Algorithm::EdDSA, "ed25519.public.pem"),
            public("rs", Algorithm::RS256, "rs256.public.pem"),
        ],
        ..Config::default()
    };
    let keys = Keys::load(&config).unwrap();
    assert_eq!(keys.iter().map(Key::kid).collect::<Vec<_>>(), ["default", "ed", "rs"]);
    assert!(keys.iter().all(|key| key.since().is_some()));
    assert_eq!(keys.signing(None).unwrap().kid(), "default");
    assert!(Authenticator::new(&config, keys).authenticate(&with_claims(&good_claims()), NOW).is_ok());

    std::fs::write(&path, "too short").unwrap();
    config.keys[0].public_key_file = fixture("missing");
    config.ticket_secret = Secret::new("too short");
    let shown = Keys::load(&config).unwrap_err().to_string();
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert!(shown.starts_with("auth.secret_file: ") && shown.contains("auth.keys[0].public_key_file: "), "{shown}");
}

pub(super) fn guard() -> ReplayGuard {
    ReplayGuard::new(&Config::default(), None, Metrics::new().unwrap())
}

/// Checks a ticket and uses it up.
fn redeem(tickets: &Tickets, ticket: &str, now: Timestamp) -> Result<Identity, Refusal> {
    let (identity, id) = tickets.check(ticket, now)?;
    ready(tickets.redeem(&id, &identity, now)).map(|()| identity)
}

pub(super) fn tickets(keys: Vec<Key>) -> (Arc<Authenticator>, Tickets) {
    let authenticator = Arc::new(authenticator(keys));
    let guard = Arc::new(guard());
    (authenticator.clone(), Tickets::new(authenticator, guard).unwrap())
}

#[test]
fn a_ticket_reopens_once_what_the_token_allowed() {
    let key = || vec![symmetric("default", Algorithm::HS256, SECRET)];
    let (authenticator, tickets_here) = tickets(key());
    let identity = authenticator.authenticate(&with_claims(&good_claims()), NOW).unwrap();
    let ticket = tickets_here.issue(&identity, NOW);
    assert!(ticket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{ticket}");
    assert_eq!(redeem(&tickets_here, &ticket, NOW), Ok(identity.clone()));
    assert_eq!(redeem(&tickets_here, &ticket, NOW), Err(Refusal::Replayed));
    let another = tickets_here.issue(&identity, NOW);
    assert_ne!(another, ticket);
    // Another pod with the same secret takes it; a token is no ticket, nor a ticket a token.
    assert_eq!(redeem(&tickets(key()).1, &another, NOW), Ok(identity.clone()));
    assert_eq!(redeem(&tickets_here, &with_claims(&good_claims()), NOW), Err(Refusal::BadTicket));
    refused(&authenticator, &another, Refusal::Malformed);
    assert_eq!(redeem(&tickets_here, &another, identity.expires), Err(Refusal::Expired));
    assert_eq!(tickets_here.issue(&identity, identity.expires), "");
    assert_eq!(redeem(&tickets_here, "", NOW), Err(Refusal::BadTicket));
}

#[test]
fn a_ticket_ends_with_its_key() {
    let old = || symmetric("old", Algorithm::HS256, SECRET);
    let new = || symmetric("new", Algorithm::HS256, OTHER_SECRET);
    let (authenticator, tickets) = tickets(vec![old(), new()]);
    let claims = good_claims().to_string();
    let identity = authenticator.authenticate(&hs256(json!({"alg": "HS256", "kid": "old"}), &claims), NOW).unwrap();
    let ticket = tickets.issue(&identity, NOW);
    authenticator.replace(Keys::new(vec![new()]).unwrap());
    assert_eq!(redeem(&tickets, &ticket, NOW), Err(Refusal::BadTicket));
    let under_new_key = Identity { kid: "old".into(), ..identity };
    assert_eq!(redeem(&tickets, &tickets.issue(&under_new_key, NOW), NOW), Err(Refusal::UnknownKey));
}

#[test]
fn public_keys_alone_need_a_ticket_secret_to_share_tickets() {
    let config = |ticket_secret: &str| Config {
        ticket_secret: Secret::new(ticket_secret),
        keys: vec![KeyConfig {
            kid: "ed".to_owned(),
            alg: Algorithm::EdDSA,
            secret_file: PathBuf::new(),
            public_key_file: fixture("ed25519.public.pem"),
        }],
        ..Config::default()
    };
    let pod = |config: &Config| {
        let authenticator = Arc::new(Authenticator::new(config, Keys::load(config).unwrap()));
        Tickets::new(authenticator, Arc::new(guard())).unwrap()
    };
    let identity = Identity {
        subject: "alice".into(),
        scopes: Scopes::from_words(["metacog.stream"]),
        jti: None,
        expires: NOW.plus(Duration::from_mins(1)),
        issued: None,
        kid: "ed".into(),
    };
    let (alone, stranger) = (pod(&config("")), pod(&config("")));
    let ticket = alone.issue(&identity, NOW);
    assert_eq!(redeem(&stranger, &ticket, NOW), Err(Refusal::BadTicket));
    assert_eq!(redeem(&alone, &ticket, NOW), Ok(identity.clone()));
    let shared = config("a-ticket-secret-of-more-than-32-bytes");
    assert_eq!(redeem(&pod(&shared), &pod(&shared).issue(&identity, NOW), NOW), Ok(identity));
}

#[test]
fn demonstrations_have_a_key_of_their_own() {
    let keys = Keys::ephemeral().unwrap();
    let claims = Claims::new("demo", "metacog.stream", NOW, Duration::from_hours(1));
    let token = mint(keys.signing(None).unwrap(), &claims).unwrap();
    assert!(Authenticator::new(&Config::default(), keys).authenticate(&token, NOW).is_ok());
    refused(&simple(), &token, Refusal::BadSignature);
}
