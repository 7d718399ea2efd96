//! Who may connect at all, and by what.

use std::net::Ipv4Addr;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{Answer, Daemon, Stream, binary, connect, eventually, project, rest, token, try_connect, within};

/// Who the daemon takes the client of a stream to be, by its own account.
async fn addresses(daemon: &Daemon) -> Vec<String> {
    let (status, body) = daemon.get_as("metacog.admin", "/v1/streams").await;
    assert_eq!(status, 200, "{body}");
    let of = |row: &Value| row["address"].as_str().expect("streams have an address").to_owned();
    body["streams"].as_array().expect("a list").iter().map(of).collect()
}

async fn open(daemon: &Daemon, headers: &[(&str, &str)]) -> Result<Stream, u16> {
    let bearer = format!("Bearer {}", token("a", "metacog.stream"));
    try_connect(daemon, "/v1/stream", &[&[("authorization", &*bearer)], headers].concat()).await
}

/// A header of the PROXY protocol, version 2, for a client of IPv4.
fn proxied(client: Ipv4Addr) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend_from_slice(&client.octets());
    bytes.extend_from_slice(&[127, 0, 0, 1, 0x12, 0x34, 0, 80]);
    bytes
}

#[tokio::test]
async fn only_trusted_proxies_are_believed() {
    let forwarded = [("x-forwarded-for", "198.51.100.1, 203.0.113.9"), ("forwarded", "for=198.51.100.2")];
    let daemon = Daemon::start(&[]).await;
    let _stream = open(&daemon, &forwarded).await.unwrap();
    assert_eq!(addresses(&daemon).await, ["127.0.0.1"], "a stranger's word");
    let daemon = Daemon::start(&[("server__trusted_proxies", "127.0.0.0/8")]).await;
    let _stream = open(&daemon, &forwarded).await.unwrap();
    assert_eq!(addresses(&daemon).await, ["203.0.113.9"]);
    let settings = [("server__trusted_proxies", "127.0.0.1"), ("server__forwarded_header", "forwarded")];
    let daemon = Daemon::start(&settings).await;
    let _stream = open(&daemon, &forwarded).await.unwrap();
    assert_eq!(addresses(&daemon).await, ["198.51.100.2"]);
}

#[tokio::test]
async fn a_denied_address_is_cut_off_and_stays_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deny");
    std::fs::write(&file, "# nobody yet\n").unwrap();
    let settings = [("server__deny_file", file.to_str().unwrap()), ("server__trusted_proxies", "127.0.0.1")];
    let daemon = Daemon::start(&settings).await;
    let of = |address: &'static str| [("x-forwarded-for", address)];
    let mut bad = open(&daemon, &of("203.0.113.9")).await.unwrap();
    let mut good = open(&daemon, &of("203.0.114.9")).await.unwrap();
    std::fs::write(&file, "203.0.113.0/24 # floods\n").unwrap();
    let (code, reason) = bad.closed().await;
    assert_eq!((code, &*reason), (4403, "cut off"));
    assert_eq!(open(&daemon, &of("203.0.113.10")).await.err(), Some(403));
    let request = daemon.http.get(daemon.url("/v1/state")).bearer_auth(token("a", "metacog.stream"));
    Answer::to(request.header("x-forwarded-for", "203.0.113.9")).await.problem(403, "denied");
    good.next().await.expect("others stay");
    assert_eq!(daemon.metric("connections_refused_total{reason=\"denied\"}").await, 2.0);
    assert_eq!(daemon.metric("denied_networks").await, 1.0);
    // What is wrong changes nothing.
    std::fs::write(&file, "203.0.113.0/24\nexample.com\n").unwrap();
    eventually("the failure", || async {
        (daemon.metric("reloads_total{outcome=\"failed\",part=\"deny\"}").await == 1.0).then_some(())
    })
    .await;
    assert!(daemon.log().iter().any(|line| line.contains("line 2: must be an address or a network")));
    assert_eq!(open(&daemon, &of("203.0.113.10")).await.err(), Some(403));
    // Nobody is denied for ever; a SIGHUP is as good as waiting.
    std::fs::write(&file, "").unwrap();
    daemon.signal("HUP").await;
    eventually("the place to be free", || async { open(&daemon, &of("203.0.113.10")).await.ok() }).await;
}

#[tokio::test]
async fn a_denied_peer_gets_no_further_than_the_door() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deny");
    std::fs::write(&file, "").unwrap();
    let daemon = Daemon::start(&[("server__deny_file", file.to_str().unwrap())]).await;
    let mut stream = connect(&daemon, &token("a", "metacog.stream")).await;
    std::fs::write(&file, "127.0.0.1\n").unwrap();
    assert_eq!(stream.closed().await.0, 4403);
    let said = rest(&mut daemon.raw(b"").await).await;
    assert!(said.starts_with("HTTP/1.1 403 "), "without a byte of a request: {said}");
    std::fs::write(&file, "").unwrap();
    eventually("the door to open", || async {
        let said = rest(&mut daemon.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await).await;
        said.starts_with("HTTP/1.1 200 ").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_proxy_protocol_is_spoken_with_trusted_proxies_alone() {
    let settings = [("server__trusted_proxies", "127.0.0.1"), ("server__proxy_protocol", "true")];
    // The tests' own client speaks no such protocol: this daemon is watched by its log.
    let daemon = Daemon::launch_unready(&settings).await;
    let request = |client: Ipv4Addr| {
        let bearer = token("a", "metacog.stream");
        let request = format!(
            "GET /v1/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {bearer}\r\n\r\n"
        );
        [proxied(client), request.into_bytes()].concat()
    };
    let client = Ipv4Addr::new(203, 0, 113, 9);
    let mut socket = daemon.raw(&request(client)).await;
    let mut first = [0; 12];
    within("an answer", tokio::io::AsyncReadExt::read_exact(&mut socket, &mut first)).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 101");
    let ask = |path: &str, scope: &str| {
        let bearer = token("b", scope);
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {bearer}\r\n\r\n");
        [proxied(client), request.into_bytes()].concat()
    };
    let said = rest(&mut daemon.raw(&ask("/v1/streams", "metacog.admin")).await).await;
    assert!(said.contains("\"address\":\"203.0.113.9\""), "{said}");
    // A trusted proxy that says nothing of the kind is not listened to.
    for bytes in [
        &b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(rest(&mut daemon.raw(bytes).await).await, "");
    }
    let said = rest(&mut daemon.raw(&ask("/metrics", "metrics.read")).await).await;
    assert!(said.contains("connections_refused_total{reason=\"proxy_header\"} 2"), "{said}");
    // Nor is the header understood from a stranger.
    let daemon = Daemon::start(&[]).await;
    let said = rest(&mut daemon.raw(&ask("/livez", "metrics.read")).await).await;
    assert!(said.starts_with("HTTP/1.1 400 ") || said.is_empty(), "{said}");
}

#[tokio::test]
async fn an_address_has_only_so_many_connections() {
    let settings = [("limits__connections_per_address", "3"), ("server__trusted_proxies", "127.0.0.1")];
    let daemon = Daemon::start(&settings).await;
    let of = |address: &'static str| [("x-forwarded-for", address)];
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(open(&daemon, &of("203.0.113.9")).await.unwrap());
    }
    assert_eq!(open(&daemon, &of("203.0.113.9")).await.err(), Some(429));
    let other = open(&daemon, &of("203.0.113.10")).await;
    assert!(other.is_ok(), "another address, and the proxy itself has any number");
    assert_eq!(daemon.metric("ws_connections_total{outcome=\"address_full\"}").await, 1.0);
    held.pop();
    eventually("a place", || async { open(&daemon, &of("203.0.113.9")).await.ok() }).await;
    // Peers are counted at the door, before they say a word.
    let daemon = Daemon::start(&[("limits__connections_per_address", "20")]).await;
    let mut held = Vec::new();
    let refused = loop {
        assert!(held.len() <= 20, "there is a bound");
        let mut socket = daemon.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut first = [0; 12];
        within("an answer", tokio::io::AsyncReadExt::read_exact(&mut socket, &mut first)).await.unwrap();
        match &first {
            b"HTTP/1.1 200" => held.push(socket),
            other => break String::from_utf8_lossy(other).into_owned(),
        }
    };
    assert_eq!(refused, "HTTP/1.1 429");
}

/// A client that believes one certificate.
fn trusting(certificate: &str) -> reqwest::Client {
    let pem = std::fs::read(project("tests/fixtures/tls").join(certificate)).unwrap();
    let certificate = reqwest::Certificate::from_pem(&pem).unwrap();
    // No connection is kept, so that each request shakes hands anew.
    reqwest::Client::builder().tls_certs_only([certificate]).pool_max_idle_per_host(0).build().unwrap()
}

async fn open_by_tls(daemon: &Daemon, certificate: &str) -> Stream {
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(project("tests/fixtures/tls").join(certificate)).unwrap();
    let certificate = rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap();
    roots.add(certificate).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut request = format!("wss://localhost:{}/v1/stream", daemon.address.port()).into_client_request().unwrap();
    let bearer = format!("Bearer {}", token("a", "metacog.stream"));
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    let connector = tokio_tungstenite::Connector::Rustls(std::sync::Arc::new(config));
    let opening = tokio_tungstenite::connect_async_tls_with_config(request, None, false, Some(connector));
    Stream::new(within("the handshake", opening).await.unwrap().0).await.unwrap()
}

#[tokio::test]
async fn commands_believe_the_authority_that_is_named() {
    let fixture = |name: &str| project("tests/fixtures/tls").join(name);
    let (certificate, key) = (fixture("one.crt"), fixture("one.key"));
    let settings =
        [("server__tls_cert_file", certificate.to_str().unwrap()), ("server__tls_key_file", key.to_str().unwrap())];
    let daemon = Daemon::launch_unready(&settings).await;
    let url = format!("https://localhost:{}", daemon.address.port());
    let command = |word: &str, believed: &str| {
        let mut command = binary();
        let token = token("a", "metacog.stream metacog.admin");
        command.args([word, "--json", "--url", &url, "--token", &token]).env("SSL_CERT_FILE", fixture(believed));
        command
    };
    let mut watch = command("watch", "one.crt").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let hello = within("a line", lines.next_line()).await.unwrap().unwrap_or_default();
    assert!(hello.contains("\"type\":\"hello\""), "{hello}");
    watch.kill().await.unwrap();
    let listed = within("the list", command("streams", "one.crt").output()).await.unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    for word in ["watch", "streams"] {
        let refused = within("an end", command(word, "two.crt").output()).await.unwrap();
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && told.contains("certificate"), "{word}: {told}");
    }
}

#[tokio::test]
async fn tls_is_spoken_and_its_certificate_replaced_while_streams_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let put = |name: &str| {
        for (from, to) in [("crt", "tls.crt"), ("key", "tls.key")] {
            std::fs::copy(project("tests/fixtures/tls").join(format!("{name}.{from}")), at(to)).unwrap();
        }
    };
    put("one");
    let (certificate, key) = (at("tls.crt"), at("tls.key"));
    let settings = [
        ("server__tls_cert_file", certificate.to_str().unwrap()),
        ("server__tls_key_file", key.to_str().unwrap()),
        ("server__header_timeout", "1s"),
    ];
    let daemon = Daemon::launch_unready(&settings).await;
    let url = |path: &str| format!("https://localhost:{}{path}", daemon.address.port());
    let one = trusting("one.crt");
    eventually("the daemon to be ready", || async {
        one.get(url("/readyz")).send().await.ok().filter(|answer| answer.status() == 200)
    })
    .await;
    let answer = one.get(url("/v1/state")).bearer_auth(token("a", "metacog.stream")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let crowd: Value =
        (0..3_000).map(|i| serde_json::json!({"agent": format!("agent-{i}"), "kind": "thought"})).collect();
    let post = one.post(url("/v1/observations")).bearer_auth(token("a", "metacog.observe")).json(&crowd);
    assert_eq!(post.send().await.unwrap().status(), 202);
    // Large frames, too, come whole.
    let mut stream = open_by_tls(&daemon, "one.crt").await;
    stream.until("the crowd", |state| state["agents"].as_object().is_some_and(|agents| agents.len() == 3_000)).await;
    stream.send(serde_json::json!({"type": "ping"})).await;
    stream.frame_of_type("pong").await;

    put("two");
    let two = trusting("two.crt");
    eventually("the new certificate", || async { two.get(url("/livez")).send().await.ok() }).await;
    assert!(one.get(url("/livez")).send().await.is_err());
    let mut second = open_by_tls(&daemon, "two.crt").await;
    second.next().await.expect("a state");
    stream.next().await.expect("the first stream goes on");
    // What is no pair changes nothing.
    std::fs::copy(project("tests/fixtures/tls/one.key"), &key).unwrap();
    eventually("the failure", || async {
        daemon.log().iter().any(|line| line.contains("certificate not taken over")).then_some(())
    })
    .await;
    assert!(daemon.log().iter().any(|line| line.contains("is not the key of the certificate")));
    assert_eq!(two.get(url("/livez")).send().await.unwrap().status(), 200);
    // Neither plain HTTP nor silence holds a place for long.
    let mut plain = daemon.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!rest(&mut plain).await.contains("HTTP/"));
    assert_eq!(rest(&mut daemon.raw(b"\x16\x03\x01").await).await, "");
    stream.next().await.expect("the first stream goes on");
}

#[tokio::test]
async fn what_cannot_work_is_said_at_the_start() {
    for (settings, problem) in [
        (&[("SERVER__TLS_CERT_FILE", "/nowhere")][..], "server.tls_key_file: goes with server.tls_cert_file"),
        (
            &[("SERVER__TLS_CERT_FILE", "/nowhere"), ("SERVER__TLS_KEY_FILE", "/nowhere")],
            "server.tls_cert_file: /nowhere cannot be read",
        ),
        (&[("SERVER__DENY_FILE", "/nowhere")], "server.deny_file: /nowhere cannot be read"),
        (&[("SERVER__PROXY_PROTOCOL", "true")], "server.proxy_protocol: needs server.trusted_proxies"),
        (
            &[("SERVER__TRUSTED_PROXIES", "10.0.0.0/8, x")],
            "server.trusted_proxies: item 2 must be an address or a network",
        ),
        (&[("AUTH__KEYS_DIR", "/nowhere")], "auth.keys_dir: /nowhere cannot be read"),
        (&[("AUTH__JWKS_FILE", "/nowhere")], "auth.jwks_file: /nowhere cannot be read"),
    ] {
        let mut command = crate::support::binary();
        command.arg("serve").env("CONSCIOUSNESS__SERVER__LISTEN", "127.0.0.1:0");
        command.env("CONSCIOUSNESS__AUTH__SECRET", crate::support::SECRET);
        for (key, value) in settings {
            command.env(format!("CONSCIOUSNESS__{key}"), value);
        }
        let output = within("the refusal", command.output()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(problem), "{problem}: {said}");
    }
}

#[tokio::test]
async fn no_other_origin_is_given_anything() {
    let daemon = Daemon::start(&[]).await;
    for path in ["/", "/livez", "/v1/state", "/metrics"] {
        let request = daemon.http.get(daemon.url(path)).bearer_auth(token("a", "metacog.stream metrics.read"));
        let answer = Answer::to(request.header("origin", "https://evil.example.com")).await;
        let cors = answer.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
        assert_eq!((answer.status, cors), (200, None), "{path}");
        assert_eq!(answer.header("strict-transport-security"), "", "only where there is TLS");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        if path != "/" {
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        }
    }
    let page = Answer::to(daemon.http.get(daemon.url("/"))).await;
    let policy = page.header("content-security-policy").to_owned();
    for rule in
        ["default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(rule), "{rule}: {policy}");
    }
    assert!(!policy.contains("unsafe-") && !policy.contains('*') && !policy.contains("http"), "{policy}");
    // A page elsewhere asks first whether it may, and is told nothing.
    let preflight = daemon.http.request(reqwest::Method::OPTIONS, daemon.url("/v1/observations"));
    let answer = Answer::to(
        preflight.header("origin", "https://evil.example.com").header("access-control-request-method", "POST"),
    )
    .await;
    answer.problem(405, "method-not-allowed");
}
