//! Who is let in, as clients see it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{Answer, Daemon, SECRET, Stream, connect, eventually, sign, token, try_connect, unix_now, within};

const STREAM: &str = "metacog.stream";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys").join(name)
}

/// Claims of ten minutes, with some of them changed, or gone where null.
fn claims(changes: Value) -> Value {
    let jti = format!("{:032x}", rand::random::<u128>());
    let mut claims = json!({"sub": "a", "scope": STREAM, "exp": unix_now() + 600, "jti": jti});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn signed(algorithm: Algorithm, kid: Option<&str>, claims: &Value, key: &EncodingKey) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, key).expect("signs")
}

async fn get(daemon: &Daemon, path: &str, token: &str) -> Answer {
    Answer::to(daemon.http.get(daemon.url(path)).bearer_auth(token)).await
}

async fn open(daemon: &Daemon, token: &str) -> Result<crate::support::Stream, u16> {
    try_connect(daemon, "/v1/stream", &[("authorization", &format!("Bearer {token}"))]).await
}

/// Opens a stream with these subprotocols on offer; the stream and the one selected, or the status.
async fn offer(daemon: &Daemon, path: &str, protocols: &str) -> Result<(Stream, String), u16> {
    let mut request = format!("ws://{}{path}", daemon.address).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    let connecting = tokio_tungstenite::connect_async(request);
    match within("the handshake", connecting).await {
        Ok((socket, response)) => {
            let selected = response.headers()["sec-websocket-protocol"].to_str().unwrap().to_owned();
            Ok((Stream::new(socket).await?, selected))
        }
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("the handshake failed: {error}"),
    }
}

#[tokio::test]
async fn refusals_say_what_is_wrong_as_rfc_6750_has_it() {
    let daemon = Daemon::start(&[]).await;
    let none = "Bearer realm=\"consciousness-system\"";
    let invalid = "Bearer realm=\"consciousness-system\", error=\"invalid_token\", error_description=\"";
    for path in ["/v1/state", "/v1/stream", "/metrics", "/v1/agents/a/advice"] {
        for scheme in ["", "Basic YTpi", "Digest x"] {
            let mut request = daemon.http.get(daemon.url(path));
            if !scheme.is_empty() {
                request = request.header("authorization", scheme);
            }
            let answer = Answer::to(request).await;
            answer.problem(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), none, "{path} {scheme}");
        }
        let answer = get(&daemon, path, "a.b.c").await;
        answer.problem(401, "unauthorized");
        assert!(answer.header("www-authenticate").starts_with(invalid), "{path}");
        let answer = get(&daemon, path, &sign(&claims(json!({"scope": "else"})))).await;
        answer.problem(403, "forbidden");
        let scope = match path {
            "/metrics" => "metrics.read",
            "/v1/agents/a/advice" => "metacog.observe",
            _ => STREAM,
        };
        let expected = format!(
            "{none}, error=\"insufficient_scope\", error_description=\"the token lacks the scope that this needs\", scope=\"{scope}\""
        );
        assert_eq!(answer.header("www-authenticate"), expected);
    }
    assert_eq!(daemon.metric("ws_scope_reject_total").await, 4.0);
    assert_eq!(daemon.metric("auth_failures_total{reason=\"missing\"}").await, 12.0);
    // A request that is malformed is not a token that is wrong.
    let good = token("a", STREAM);
    for query in ["access_token", "token", "jwt", "x"] {
        let answer = get(&daemon, &format!("/v1/state?{query}={good}"), &good).await;
        assert!(answer.problem(400, "bad-credentials").contains("URL"));
        assert!(answer.header("www-authenticate").contains("error=\"invalid_request\""));
        let bearer = format!("Bearer {good}");
        let path = format!("/v1/stream?{query}={good}");
        assert_eq!(try_connect(&daemon, &path, &[("authorization", &bearer)]).await.err(), Some(400));
    }
    let twice = daemon.http.get(daemon.url("/v1/state")).bearer_auth(&good).header("authorization", "Bearer x");
    Answer::to(twice).await.problem(400, "bad-credentials");
    // Nothing of that has used the token up.
    connect(&daemon, &good).await;
    daemon.assert_well().await;
}

#[tokio::test]
async fn a_token_must_be_good_in_all_its_parts() {
    let daemon = Daemon::start(&[("auth__audience", "mind"), ("auth__issuer", "https://id.example.com")]).await;
    let base = |changes: Value| {
        let mut all = json!({"aud": "mind", "iss": "https://id.example.com"});
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims(all)
    };
    let now = unix_now();
    for good in [
        json!({}),
        json!({"scope": "x metacog.stream y"}),
        json!({"scope": ["metacog.observe", "metacog.stream"]}),
        json!({"exp": now - 10}),
        json!({"exp": now as f64 + 60.5}),
        json!({"nbf": now + 10, "iat": now + 10}),
        json!({"aud": ["body", "mind"]}),
    ] {
        let answer = get(&daemon, "/v1/state", &sign(&base(good.clone()))).await;
        assert_eq!(answer.status, 200, "{good}: {}", answer.json());
    }
    let mut bad: Vec<(Value, u16)> = [
        json!({"exp": null}),
        json!({"exp": now - 60}),
        json!({"exp": "soon"}),
        json!({"exp": (now + 600) * 1000}),
        json!({"exp": -1}),
        json!({"exp": 1e300}),
        json!({"exp": now + 400 * 86_400}),
        json!({"nbf": now + 60}),
        json!({"nbf": "x"}),
        json!({"iat": now + 60}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": "x".repeat(257)}),
        json!({"sub": "a\nb"}),
        json!({"scope": null}),
        json!({"scope": 1}),
        json!({"scope": [1]}),
        json!({"scope": {"metacog.stream": true}}),
        json!({"jti": 7}),
        json!({"aud": null}),
        json!({"aud": "body"}),
        json!({"iss": "https://evil.example.com"}),
        json!({"iss": ["https://id.example.com"]}),
    ]
    .map(|changes| (changes, 401))
    .into();
    for words in [
        "metacog.streams",
        "xmetacog.stream",
        "metacog.stream.x",
        "metacog",
        "metacog.*",
        "METACOG.STREAM",
        "metacog.stream,x",
        "metacog.stream\tx",
        "",
        "metacog.strеam",
        "metacog.stream\u{200b}",
        "*",
    ] {
        bad.push((json!({"scope": words}), 403));
        bad.push((json!({"scope": [words]}), 403));
    }
    bad.push((json!({"scope": ["x metacog.stream"]}), 403));
    for (changes, status) in bad {
        let answer = get(&daemon, "/v1/state", &sign(&base(changes.clone()))).await;
        assert_eq!(answer.status, status, "{changes}: {}", answer.json());
    }
    // Signatures and algorithms.
    let good = sign(&base(json!({})));
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let hs256 = |secret: &[u8]| signed(Algorithm::HS256, None, &base(json!({})), &EncodingKey::from_secret(secret));
    let hs512 = signed(Algorithm::HS512, None, &base(json!({})), &EncodingKey::from_secret(SECRET.as_bytes()));
    let duplicate = format!("{{\"sub\":\"a\",\"scope\":\"{STREAM}\",\"exp\":{},\"exp\":{}}}", now - 60, now + 600);
    for wrong in [
        format!("{}.{payload}.", encode(json!({"alg": "none"}))),
        format!("{}.{payload}.{signature}", encode(json!({"alg": "none"}))),
        format!("{}.{payload}.{signature}", encode(json!({"alg": "HS256", "kid": "../../etc/passwd"}))),
        format!("{}.{payload}.{signature}", encode(json!({"alg": "HS256", "jwk": {"k": "x"}}))),
        format!("{header}.{payload}."),
        format!("{header}.{payload}.{}", &signature[1..]),
        format!("{header}.{}.{signature}", encode(base(json!({"sub": "root"})))),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!("{header}.{payload}"),
        format!("{header}..{signature}"),
        format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(duplicate)),
        hs256(b"another-secret-for-tests-of-32-bytes"),
        hs256(b""),
        hs512,
        "x".repeat(9_000),
        "...".to_owned(),
    ] {
        let answer = get(&daemon, "/v1/state", &wrong).await;
        answer.problem(401, "unauthorized");
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""), "{wrong}");
    }
    assert_eq!(get(&daemon, "/livez", &good).await.status, 200);
}

#[tokio::test]
async fn a_token_opens_one_stream_and_serves_many_requests() {
    let daemon = Daemon::start(&[]).await;
    let all = "metacog.stream metacog.observe metrics.read";
    let once = token("a", all);
    for _ in 0..2 {
        for path in ["/v1/state", "/metrics"] {
            assert_eq!(get(&daemon, path, &once).await.status, 200);
        }
        let post = daemon.http.post(daemon.url("/v1/observations")).bearer_auth(&once).body("[]");
        assert_eq!(Answer::to(post).await.status, 202);
    }
    // Many at once, and one comes through.
    let opened = futures_util::future::join_all((0..30).map(|_| open(&daemon, &once))).await;
    assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1);
    assert!(opened.iter().all(|opened| opened.as_ref().err().is_none_or(|status| *status == 401)));
    drop(opened);
    assert_eq!(open(&daemon, &once).await.err(), Some(401), "nor when the first has ended");
    let answer = daemon.http.get(daemon.url("/v1/stream")).bearer_auth(&once).header("connection", "upgrade");
    let answer = answer.header("upgrade", "websocket").header("sec-websocket-version", "13");
    let answer = Answer::to(answer.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")).await;
    answer.problem(401, "unauthorized");
    assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""));
    assert_eq!(get(&daemon, "/metrics", &once).await.status, 200, "elsewhere it is as good as before");
    assert_eq!(daemon.metric("auth_failures_total{reason=\"replayed\"}").await, 31.0);
    assert_eq!(open(&daemon, &sign(&claims(json!({"jti": null})))).await.err(), Some(401));
    assert_eq!(get(&daemon, "/v1/state", &sign(&claims(json!({"jti": null})))).await.status, 200);
    // The same name of a token in other hands is the same token.
    let same = |sub: &str| sign(&claims(json!({"sub": sub, "jti": "the-same"})));
    assert!(open(&daemon, &same("a")).await.is_ok());
    assert_eq!(open(&daemon, &same("a")).await.err(), Some(401));
}

#[tokio::test]
async fn scopes_open_what_they_name() {
    let daemon = Daemon::start(&[]).await;
    let status = |scope: &'static str, path: &'static str| {
        let daemon = &daemon;
        async move { get(daemon, path, &token("a", scope)).await.status }
    };
    for (scope, state, metrics, advice, observe) in [
        ("metacog.stream", 200, 403, 404, 403),
        ("metacog.observe", 403, 403, 404, 202),
        ("metrics.read", 403, 200, 403, 403),
        ("metacog.admin", 403, 403, 403, 403),
    ] {
        assert_eq!(status(scope, "/v1/state").await, state, "{scope}");
        assert_eq!(status(scope, "/metrics").await, metrics, "{scope}");
        assert_eq!(status(scope, "/v1/agents/nobody/advice").await, advice, "{scope}");
        let opened = open(&daemon, &token("a", scope)).await.err();
        assert_eq!(opened, (scope != STREAM).then_some(403), "{scope}");
        for path in ["/v1/observations", "/v1/traces", "/v1/logs"] {
            let request = daemon.http.post(daemon.url(path)).bearer_auth(token("a", scope));
            let answer = Answer::to(request.header("content-type", "application/json").body("{\"agent\":\"b\"}")).await;
            let expected = if path != "/v1/observations" && observe == 202 { 200 } else { observe };
            assert_eq!(answer.status, expected, "{scope} {path}");
        }
    }
}

#[tokio::test]
async fn browsers_show_their_token_as_a_subprotocol() {
    let daemon = Daemon::start(&[("auth__allowed_origins", "https://ops.example.com")]).await;
    let good = || token("page", STREAM);
    for protocols in ["metacog.v1, bearer.TOKEN", "bearer.TOKEN,metacog.v1", "chat, metacog.v1, bearer.TOKEN"] {
        let (_, selected) = offer(&daemon, "/v1/stream", &protocols.replace("TOKEN", &good())).await.unwrap();
        assert_eq!(selected, "metacog.v1");
    }
    for (protocols, status) in [
        ("metacog.v1", 401),
        ("bearer.TOKEN", 400),
        ("metacog.v1, bearer.TOKEN, bearer.TOKEN", 400),
        ("metacog.v1, bearer.a.b.c", 401),
        ("metacog.v1, bearer.", 400),
        ("metacog.v1, resume.TOKEN", 401),
        ("metacog.v2, bearer.TOKEN", 400),
    ] {
        let opened = offer(&daemon, "/v1/stream", &protocols.replace("TOKEN", &good())).await;
        assert_eq!(opened.err(), Some(status), "{protocols}");
    }
    let own = format!("http://{}", daemon.address);
    let page = token("page", STREAM);
    for (origin, opens) in [
        ("https://evil.example.com", false),
        ("https://ops.example.com.evil.example", false),
        ("http://ops.example.com", false),
        ("null", false),
        (&*own, true),
        ("https://ops.example.com", true),
    ] {
        let bearer = format!("Bearer {}", if opens { good() } else { page.clone() });
        let headers = [("authorization", &*bearer), ("origin", origin)];
        let opened = try_connect(&daemon, "/v1/stream", &headers).await;
        assert_eq!(opened.err(), (!opens).then_some(403), "{origin}");
    }
    // A foreign page has not used up the token.
    connect(&daemon, &page).await;
    assert_eq!(daemon.metric("auth_failures_total{reason=\"foreign_origin\"}").await, 4.0);
}

#[tokio::test]
async fn a_stream_ends_with_its_token_unless_it_is_refreshed() {
    let daemon = Daemon::start(&[("auth__leeway", "0s")]).await;
    let short = |seconds: u64| claims(json!({"exp": unix_now() + seconds, "scope": STREAM}));
    let mut ends = connect(&daemon, &sign(&short(4))).await;
    let mut stays = connect(&daemon, &sign(&short(4))).await;
    let reused = sign(&claims(json!({})));
    let _other = connect(&daemon, &reused).await;
    for (name, refused) in [
        ("another sub", sign(&claims(json!({"sub": "b"})))),
        ("a wider scope", sign(&claims(json!({"scope": "metacog.stream metacog.observe"})))),
        ("no stream scope", sign(&claims(json!({"scope": "metacog.observe"})))),
        ("no jti", sign(&claims(json!({"jti": null})))),
        ("expired", sign(&claims(json!({"exp": unix_now() - 60})))),
        ("garbage", "garbage".to_owned()),
    ] {
        stays.send(json!({"type": "auth", "token": refused})).await;
        let error = stays.frame_of_type("error").await;
        assert_eq!(error["code"], "auth_failed", "{name}");
    }
    stays.send(json!({"type": "auth", "token": sign(&claims(json!({})))})).await;
    let hello = stays.frame_of_type("hello").await;
    assert_eq!(hello["session"], stays.hello["session"]);
    assert_ne!(hello["resume"], stays.hello["resume"]);
    assert_eq!(ends.closed().await.0, 4401);
    let beat = stays.beat;
    stays.until("frames after the first token's end", |_| true).await;
    while stays.beat <= beat + 10 {
        stays.next().await.expect("the stream goes on");
    }
    stays.send(json!({"type": "observe", "observation": {"agent": "x", "kind": "thought"}})).await;
    assert_eq!(stays.frame_of_type("error").await["code"], "forbidden", "nothing was widened");
}

#[tokio::test]
async fn a_ticket_reopens_a_stream_once() {
    let daemon = Daemon::start(&[("auth__leeway", "0s")]).await;
    let mut first = connect(&daemon, &token("a", STREAM)).await;
    first.until("the state", |_| true).await;
    let ticket = first.hello["resume"].as_str().unwrap().to_owned();
    let resume = format!("metacog.v1, resume.{ticket}");
    let (epoch, beat) = (first.epoch, first.beat);
    drop(first.socket);
    let since = format!("/v1/stream?since={epoch}:{beat}");
    let (mut second, selected) = offer(&daemon, &since, &resume).await.expect("the ticket is good");
    assert_eq!(selected, "metacog.v1");
    (second.epoch, second.beat, second.state) = (epoch, beat, first.state);
    let frame = second.next().await.unwrap();
    assert_eq!((&frame["type"], &frame["base"]), (&json!("delta"), &json!(beat)), "only what it missed");
    assert_eq!(offer(&daemon, &since, &resume).await.err(), Some(401), "once");
    // It is as wide as the first token was, and as long.
    second.send(json!({"type": "observe", "observation": {"agent": "x", "kind": "thought"}})).await;
    assert_eq!(second.frame_of_type("error").await["code"], "forbidden");
    let next = format!("metacog.v1, resume.{}", second.hello["resume"].as_str().unwrap());
    // From another life of the daemon, or from the future: the whole state.
    let (mut third, _) = offer(&daemon, "/v1/stream?since=999:5", &next).await.expect("a ticket for each stream");
    assert_eq!(third.frame().await.unwrap()["type"], "state");
    let fresh = third.hello["resume"].as_str().unwrap().to_owned();
    // Forged: another payload, another signature, another's token as a ticket, a ticket as a token.
    let (payload, signature) = fresh.split_once('.').unwrap();
    let mut content: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    content["scope"] = json!("metacog.stream metacog.observe");
    let forged = URL_SAFE_NO_PAD.encode(content.to_string());
    for wrong in
        [format!("{forged}.{signature}"), format!("{payload}.{}", &signature[1..]), "x.y".into(), token("a", STREAM)]
    {
        assert_eq!(offer(&daemon, "/v1/stream", &format!("metacog.v1, resume.{wrong}")).await.err(), Some(401));
    }
    assert_eq!(get(&daemon, "/v1/state", &fresh).await.status, 401);
    assert!(offer(&daemon, "/v1/stream", &format!("metacog.v1, resume.{fresh}")).await.is_ok());
    // No longer than the token.
    let mut brief = connect(&daemon, &sign(&claims(json!({"exp": unix_now() + 2})))).await;
    let late = format!("metacog.v1, resume.{}", brief.hello["resume"].as_str().unwrap());
    assert_eq!(brief.closed().await.0, 4401);
    assert_eq!(offer(&daemon, "/v1/stream", &late).await.err(), Some(401));
}

#[tokio::test]
async fn keys_go_by_their_kid_and_rotate_with_nobody_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daemon.toml");
    let write_secret = |name: &str| {
        let secret = format!("{name}-secret-for-tests-of-32-bytes-or-more\n");
        std::fs::write(folder.path().join(name), &secret).unwrap();
        EncodingKey::from_secret(secret.trim_end().as_bytes())
    };
    let (old, new) = (write_secret("old"), write_secret("new"));
    let symmetric = |kid: &str| {
        format!(
            "[[auth.keys]]\nkid = \"{kid}\"\nalg = \"HS256\"\nsecret_file = \"{}\"\n",
            folder.path().join(kid).display()
        )
    };
    let public = |kid: &str, alg: &str, name: &str| {
        format!("[[auth.keys]]\nkid = \"{kid}\"\nalg = \"{alg}\"\npublic_key_file = \"{}\"\n", fixture(name).display())
    };
    let write = |keys: &[String]| std::fs::write(&file, keys.concat()).unwrap();
    let publics = [
        public("ed", "EdDSA", "ed25519.public.pem"),
        public("es", "ES256", "es256.public.pem"),
        public("rs", "RS256", "rs256.public.pem"),
    ]
    .concat();
    write(&[symmetric("old"), publics.clone()]);
    let daemon = Daemon::configured(&file, &[("auth__secret", "")]).await;

    let pem = |name: &str| std::fs::read(fixture(name)).unwrap();
    let ed = EncodingKey::from_ed_pem(&pem("ed25519.private.pem")).unwrap();
    let es = EncodingKey::from_ec_pem(&pem("es256.private.pem")).unwrap();
    let rs = EncodingKey::from_rsa_pem(&pem("rs256.private.pem")).unwrap();
    let status = |algorithm, kid: Option<&'static str>, key: &EncodingKey| {
        let token = signed(algorithm, kid, &claims(json!({})), key);
        let daemon = &daemon;
        async move { get(daemon, "/v1/state", &token).await.status }
    };
    assert_eq!(status(Algorithm::EdDSA, Some("ed"), &ed).await, 200);
    assert_eq!(status(Algorithm::ES256, Some("es"), &es).await, 200);
    assert_eq!(status(Algorithm::RS256, Some("rs"), &rs).await, 200);
    assert_eq!(status(Algorithm::HS256, Some("old"), &old).await, 200);
    assert_eq!(status(Algorithm::HS256, Some("new"), &new).await, 401, "not known yet");
    assert_eq!(status(Algorithm::EdDSA, Some("es"), &ed).await, 401);
    assert_eq!(status(Algorithm::EdDSA, None, &ed).await, 401, "which of them?");
    assert_eq!(status(Algorithm::PS256, Some("rs"), &rs).await, 401, "the algorithm is the key's");
    let public = EncodingKey::from_secret(&pem("ed25519.public.pem"));
    assert_eq!(status(Algorithm::HS256, Some("ed"), &public).await, 401, "a public key is no secret");

    let of_old = || signed(Algorithm::HS256, Some("old"), &claims(json!({})), &old);
    let of_new = || signed(Algorithm::HS256, Some("new"), &claims(json!({})), &new);
    let mut stream = connect(&daemon, &of_old()).await;
    stream.until("the state", |_| true).await;
    let reload = |expected: &'static str, times: usize| {
        let daemon = &daemon;
        async move {
            daemon.signal("HUP").await;
            let done = || {
                daemon.log().iter().filter(|line| line.contains(&format!("\"message\":\"{expected}"))).count() >= times
            };
            // Whoever comes with the old key in the meantime is let in.
            eventually("the reload", || async { done().then_some(()) }).await;
        }
    };
    write(&[symmetric("old"), symmetric("new"), publics.clone()]);
    let (clients, ()) = tokio::join!(
        futures_util::future::join_all((0..50).map(|_| async { get(&daemon, "/v1/state", &of_old()).await.status })),
        reload("reloaded", 1)
    );
    assert_eq!(clients, vec![200; 50]);
    assert_eq!(get(&daemon, "/v1/state", &of_new()).await.status, 200);
    assert_eq!(get(&daemon, "/v1/state", &of_old()).await.status, 200);
    // A mistake changes nothing.
    std::fs::write(&file, "[auth]\nsecret = \"short\"\n").unwrap();
    reload("not reloaded", 1).await;
    assert_eq!(get(&daemon, "/v1/state", &of_new()).await.status, 200);
    write(&[symmetric("new"), publics]);
    reload("reloaded", 2).await;
    assert_eq!(get(&daemon, "/v1/state", &of_new()).await.status, 200);
    assert_eq!(get(&daemon, "/v1/state", &of_old()).await.status, 401);
    // The stream that the old key opened lives on, and goes over to the new one.
    stream.send(json!({"type": "auth", "token": of_new()})).await;
    stream.frame_of_type("hello").await;
    let log = daemon.log().concat();
    assert!(!log.contains("secret-for-tests") && !log.contains("short"));
}
