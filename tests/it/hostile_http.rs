//! Bad input over HTTP gets a clear error and costs nothing.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{Answer, Daemon, eventually, gzip, rest, token, within};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const PATH: &str = "/v1/observations";

fn nested(levels: usize, inner: &str) -> String {
    format!("{}{inner}{}", "[".repeat(levels), "]".repeat(levels))
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_whole() {
    let daemon = Daemon::start(&[]).await;
    let truncated = gzip(b"{\"agent\":\"a\",\"kind\":\"thought\"}");
    for (content_type, encoding, body) in [
        (JSON, "", b"".to_vec()),
        (JSON, "", b"{\"agent\":\"a\",\"kind\":\"thought\"".to_vec()),
        (JSON, "", b"[{\"agent\":\"a\",\"kind\":\"thought\"},]".to_vec()),
        (JSON, "", b"[{\"agent\":\"a\",\"kind\":\"thought\"}] x".to_vec()),
        (JSON, "", b"{'agent':'a'}".to_vec()),
        (JSON, "", b"null".to_vec()),
        (JSON, "", b"\"text\"".to_vec()),
        (JSON, "", b"17".to_vec()),
        (JSON, "", b"NaN".to_vec()),
        (JSON, "", b"{\"agent\":\"a\",\"kind\":\"thought\",\"text\":NaN}".to_vec()),
        (JSON, "", b"[{\"agent\":\"a\",\"kind\":\"thought\",\"text\":-Infinity}]".to_vec()),
        (JSON, "", b"{\"agent\":\"a\",\"kind\":\"thought\",\"text\":\"\xff\xfe\"}".to_vec()),
        (JSON, "", b"\x00\x01\x02".to_vec()),
        (JSON, "", "[".repeat(100_000).into_bytes()),
        (JSON, "", "{\"a\":".repeat(100_000).into_bytes()),
        (JSON, "", format!("{{\"agent\":\"a\",\"kind\":\"thought\",\"x\":{}", "[".repeat(100_000)).into_bytes()),
        (JSON, "gzip", b"{\"agent\":\"a\",\"kind\":\"thought\"}".to_vec()),
        (JSON, "gzip", truncated[..truncated.len() - 4].to_vec()),
        (NDJSON, "gzip", gzip(b"x")[..4].to_vec()),
        (JSON, "deflate", b"\xff\xff\xff".to_vec()),
    ] {
        let mut request = daemon.post(PATH, content_type, body.clone());
        if !encoding.is_empty() {
            request = request.header("content-encoding", encoding);
        }
        let detail = Answer::to(request).await.problem(400, "malformed");
        assert!(!detail.is_empty() && detail.len() < 100, "{detail}");
    }
    let state = daemon.settled().await;
    assert_eq!(state["agents"]["a"], Value::Null);
    assert_eq!(daemon.metric("observations_rejected_total{reason=\"malformed\"}").await, 20.0);
    daemon.assert_well().await;
}

#[tokio::test]
async fn odd_values_are_rejected_or_harmless() {
    let daemon = Daemon::start(&[]).await;
    let item = |rest: &str| format!("{{\"agent\":\"a\",\"kind\":{rest}}}");
    let deep = nested(100_000, "");
    let rejected = [
        item("\"claim\",\"claim_id\":\"c\",\"confidence\":1e999"),
        item("\"claim\",\"claim_id\":\"c\",\"confidence\":NaN"),
        item("\"claim\",\"claim_id\":\"c\",\"confidence\":1.0000001"),
        item("\"progress\",\"done\":-1"),
        item("\"progress\",\"done\":1e400"),
        item("\"usage\",\"input_tokens\":18446744073709551616"),
        item("\"usage\",\"input_tokens\":1e30"),
        item("\"usage\",\"cost\":-0.01"),
        item("\"result\",\"tool\":\"t\",\"duration_ms\":-1e-9"),
        item("\"thought\",\"text\":\"\\ud800\""),
        item("\"thought\",\"kind\":\"thought\""),
        item(&format!("\"thought\",\"text\":{deep}")),
        item(&format!("\"action\",\"tool\":{deep}")),
        item(&deep),
        deep.clone(),
        "\u{fffe}".to_owned(),
    ];
    for body in &rejected {
        let answer = Answer::to(daemon.post(PATH, NDJSON, body.clone())).await;
        let answer = answer.json();
        assert_eq!(
            (&answer["accepted"], &answer["rejected"][0]["index"]),
            (&json!(0), &json!(0)),
            "{body:.99}: {answer}"
        );
    }
    let accepted = [
        item("\"usage\",\"input_tokens\":18446744073709551615,\"output_tokens\":18446744073709551615,\"cost\":1.7e308"),
        item("\"usage\",\"input_tokens\":18446744073709551615,\"output_tokens\":18446744073709551615,\"cost\":1.7e308"),
        item("\"progress\",\"done\":1.7e308,\"total\":5e-324"),
        item("\"progress\",\"done\":0,\"total\":1.7e308"),
        item("\"result\",\"tool\":\"t\",\"duration_ms\":1.7e308"),
        item("\"result\",\"tool\":\"t\",\"duration_ms\":0"),
        item("\"claim\",\"claim_id\":\"c\",\"confidence\":-0.0"),
        item("\"verdict\",\"claim_id\":\"c\",\"correct\":true"),
        item("\"verdict\",\"claim_id\":\"nobody-claimed-this\",\"correct\":false"),
        item("\"thought\",\"text\":\"\\u0000\\ud83d\\ude00\\u202e\"").replace("thought\"", "thought\",\"at\":0"),
        item(&format!("\"action\",\"tool\":\"t\",\"arguments\":{deep}")),
        item(&format!("\"result\",\"tool\":\"t\",\"error\":{deep}")),
        item(&format!("\"thought\",\"unknown\":{deep}")),
        item(&format!("\"thought\",\"text\":\"{}\"", "x".repeat(1_000_000))),
        item(&format!("\"action\",\"tool\":\"{}\"", "\u{1F600}".repeat(10_000))),
    ];
    for body in &accepted {
        let answer = Answer::to(daemon.post(PATH, JSON, body.clone())).await;
        assert_eq!((answer.status, answer.json()), (202, json!({"accepted": 1, "rejected": []})), "{body:.99}");
    }
    let state = daemon.settled().await;
    assert_eq!(state["agents"]["a"]["observations"], accepted.len());
    daemon.assert_well().await;
}

#[tokio::test]
async fn bodies_beyond_the_limits_are_refused_and_cost_no_memory() {
    let daemon = Daemon::start(&[("limits__batch", "10")]).await;
    let before = daemon.memory();
    // 10 MB, announced and not, and a bomb of a gigabyte in one megabyte.
    let large = vec![b' '; 10_000_000];
    let detail = Answer::to(daemon.post(PATH, JSON, large.clone())).await.problem(413, "too-large");
    assert_eq!(detail, "the body is larger than 4194304 bytes");
    let mut chunked = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
        token("a", "metacog.observe")
    );
    for _ in 0..100 {
        chunked += &format!("186a0\r\n{}\r\n", " ".repeat(100_000));
    }
    chunked += "0\r\n\r\n";
    let said = rest(&mut daemon.raw(chunked.as_bytes()).await).await;
    assert!(said.starts_with("HTTP/1.1 413 ") && said.contains("too-large"), "{said:.300}");
    let zeros = gzip(&vec![0; 16 << 20]);
    let bombs = [zeros.clone(), zeros.repeat(64), gzip(&gzip(&vec![0; 64 << 20]).repeat(1_000))];
    for bomb in bombs {
        let request = daemon.post(PATH, JSON, bomb).header("content-encoding", "gzip");
        let answer = Answer::to(request).await;
        // The first one inflates to no more than is taken, but not to JSON.
        assert!([400, 413].contains(&answer.status));
    }
    let request = daemon.post(PATH, JSON, zeros.repeat(2)).header("content-encoding", "gzip");
    let detail = Answer::to(request).await.problem(413, "too-large");
    assert_eq!(detail, "the body is larger than 16777216 bytes");
    let many: Value = (0..11).map(|_| json!({"agent": "a", "kind": "thought"})).collect();
    let detail = Answer::to(daemon.post(PATH, JSON, many.to_string())).await.problem(413, "too-large");
    assert_eq!(detail, "the body holds more than 10 items");
    let empty = Answer::to(daemon.post(PATH, NDJSON, "7\n".repeat(1_000_000))).await;
    empty.problem(413, "too-large");
    let grown = daemon.memory().saturating_sub(before);
    assert!(grown < 96 << 20, "{grown} bytes more");
    daemon.assert_well().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let daemon = Daemon::start(&[]).await;
    for path in [
        "/v2/state",
        "/v1",
        "/v1/",
        "/v1/state/",
        "/metrics/x",
        "/../etc/passwd",
        "/v1/agents/",
        "/v1/agents/a",
        "/%00",
    ] {
        for method in [reqwest::Method::GET, reqwest::Method::POST, reqwest::Method::DELETE] {
            let request = daemon.http.request(method, daemon.url(path)).bearer_auth(token("r", "metacog.stream"));
            Answer::to(request).await.problem(404, "not-found");
        }
    }
    for (path, known) in [
        (PATH, "POST"),
        ("/v1/traces", "POST"),
        ("/v1/logs", "POST"),
        ("/v1/state", "GET,HEAD"),
        ("/v1/stream", "GET,HEAD"),
        ("/v1/agents/a/advice", "GET,HEAD"),
        ("/metrics", "GET,HEAD"),
        ("/livez", "GET,HEAD"),
        ("/readyz", "GET,HEAD"),
        ("/", "GET,HEAD"),
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"] {
            if known.contains(method) {
                continue;
            }
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let answer = Answer::to(daemon.http.request(method, daemon.url(path))).await;
            answer.problem(405, "method-not-allowed");
            assert_eq!(answer.header("allow"), known, "{path}");
        }
    }
    for content_type in
        ["text/plain", "application/xml", "application/jsonx", "json", "multipart/form-data; boundary=x"]
    {
        let detail = Answer::to(daemon.post(PATH, content_type, "{}")).await.problem(415, "unsupported-media-type");
        assert_eq!(detail, "the Content-Type must be one of application/json, application/x-ndjson");
    }
    for encoding in ["br", "zstd", "gzip, gzip", "x", "\u{e9}"] {
        let request = daemon.post(PATH, JSON, "{}").header("content-encoding", encoding);
        let answer = Answer::to(request).await;
        answer.problem(415, "unsupported-encoding");
        assert_eq!(answer.header("accept-encoding"), "gzip, deflate, identity");
    }
    let reader = |path: &str| daemon.http.get(daemon.url(path)).bearer_auth(token("r", "metacog.stream"));
    Answer::to(reader("/v1/agents/nobody/advice")).await.problem(404, "unknown-agent");
    Answer::to(reader("/v1/agents/%ff%fe/advice")).await.problem(404, "not-found");
    Answer::to(reader("/v1/stream")).await.problem(426, "upgrade-required");
    daemon.assert_well().await;
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off() {
    let short = ["server__header_timeout", "server__idle_timeout", "server__body_timeout"].map(|key| (key, "500ms"));
    let daemon = Daemon::start(&short).await;
    let bearer = token("a", "metacog.observe");
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n");
    // Half-open, half a line, half a header, and a connection that is left idle after an answer.
    for (bytes, answers) in [
        ("", ["", ""]),
        ("GE", ["", "HTTP/1.1 408 "]),
        ("GET /livez HTTP/1.1\r\nHost: x\r\nX-", ["", "HTTP/1.1 408 "]),
        ("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", ["HTTP/1.1 200 ", "HTTP/1.1 200 "]),
    ] {
        let said = rest(&mut daemon.raw(bytes.as_bytes()).await).await;
        let fits = |answer: &&str| if answer.is_empty() { said.is_empty() } else { said.starts_with(*answer) };
        assert!(answers.iter().any(fits), "{bytes:?}: {said:?}");
    }
    // Slowloris: a byte now and then does not win time.
    let mut slow = daemon.raw(b"GET /livez HTTP/1.1\r\n").await;
    within("the slow header to be cut off", async {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
        while slow.write_all(b"X: y\r\n").await.is_ok() {
            pace.tick().await;
        }
    })
    .await;
    // Bodies: announced and held back, trickling in chunks, and broken off.
    for body in ["Content-Length: 1000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"] {
        let said = rest(&mut daemon.raw(format!("{head}{body}").as_bytes()).await).await;
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("problem:timeout"), "{said}");
    }
    drop(daemon.raw(format!("{head}Content-Length: 1000\r\n\r\n{{").as_bytes()).await);
    // Headers that are too long, too many, or none.
    let long = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(1_000_000));
    let line = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET /livez HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    for (bytes, statuses) in [(long, "431 400"), (line, "431 414 400"), (many, "431 400")] {
        let said = rest(&mut daemon.raw(bytes.as_bytes()).await).await;
        // A reset may overtake the answer, since not all was read.
        assert!(said.is_empty() || statuses.split(' ').any(|s| said.starts_with(&format!("HTTP/1.1 {s} "))), "{said}");
    }
    let both = format!("{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let chunk = format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n");
    let endless = format!("{head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n");
    let negative = format!("{head}Content-Length: -1\r\n\r\n");
    let twice = format!("{head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}");
    for bytes in [
        "\r\n\r\n\r\n",
        "\x16\x03\x01\x02\x00",
        "HELO\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        &both,
        &chunk,
        &endless,
        &negative,
        &twice,
    ] {
        let said = rest(&mut daemon.raw(bytes.as_bytes()).await).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{bytes:.60}: {said}");
    }
    daemon.assert_well().await;
}

#[tokio::test]
async fn connections_are_bounded_and_come_back() {
    let settings = [("server__max_connections", "40"), ("server__idle_timeout", "2s")];
    let daemon = Daemon::start(&settings).await;
    // Those of the tests' own client end when they are idle; the rest are held here.
    let mut held = Vec::new();
    let refused = loop {
        assert!(held.len() <= 40, "there is a bound");
        let mut socket = daemon.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut first = [0; 12];
        let read = tokio::io::AsyncReadExt::read_exact(&mut socket, &mut first);
        within("an answer", read).await.expect("there is one");
        match &first {
            b"HTTP/1.1 200" => held.push(socket),
            _ => break format!("{}{}", String::from_utf8_lossy(&first), rest(&mut socket).await),
        }
    };
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("Retry-After: 1"), "{refused}");
    drop(held);
    eventually("a place", || async {
        let said = rest(&mut daemon.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await).await;
        said.starts_with("HTTP/1.1 200 ").then_some(())
    })
    .await;
    daemon.assert_well().await;
}
