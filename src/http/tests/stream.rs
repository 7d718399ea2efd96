use serde_json::json;

use super::*;

#[tokio::test]
async fn a_stream_opens_once_with_a_token_and_tells_the_state() {
    let server = Server::start().await;
    server.publish(1, 5);
    let token = token("metacog.stream");
    let mut socket = server.open_with(&token).await.unwrap();
    let hello = socket.frame().await;
    assert_eq!((&hello["type"], &hello["protocol"], &hello["interval_ms"]), (&json!("hello"), &json!(1), &json!(100)));
    assert_eq!(socket.frame().await["state"]["agents"]["a/1"]["observations"], 5);
    server.publish(2, 6);
    assert_eq!(socket.frame().await["patch"], json!({"agents": {"a/1": {"observations": 6}}}));
    assert_eq!(server.metrics.ws_connections.get(), 1);
    let answer = server.open_with(&token).await.err().unwrap();
    answer.is_problem(401, "unauthorized");
    assert!(answer.head.contains("invalid_token"));
    assert_eq!(server.metrics.ws_connections_total.with_label_values(&["accepted"]).get(), 1);
    assert_eq!(server.metrics.ws_connections_total.with_label_values(&["refused"]).get(), 1);
}

#[tokio::test]
async fn browsers_offer_subprotocols_and_come_back_with_tickets() {
    let server = Server::start().await;
    server.publish(1, 5);
    let offer = format!("metacog.v1, bearer.{}", token("metacog.stream"));
    let headers = [("sec-websocket-protocol", &*offer), ("origin", "https://dash.example")];
    let mut socket = server.open("/v1/stream", &headers).await.unwrap();
    assert_eq!(socket.protocol.as_deref(), Some("metacog.v1"));
    let hello = socket.frame().await;
    socket.frame().await;
    drop(socket);
    server.publish(2, 6);
    let offer = format!("metacog.v1, resume.{}", hello["resume"].as_str().unwrap());
    let headers = [("sec-websocket-protocol", &*offer)];
    let mut socket = server.open("/v1/stream?since=1:1", &headers).await.unwrap();
    assert_eq!(socket.protocol.as_deref(), Some("metacog.v1"));
    assert_ne!(socket.frame().await["resume"], hello["resume"]);
    let delta = socket.frame().await;
    assert_eq!((&delta["type"], &delta["base"], &delta["beat"]), (&json!("delta"), &json!(1), &json!(2)));
    // Who asks for another rate alone knows the state still.
    socket.say(r#"{"type":"subscribe","max_hz":10}"#).await;
    server.publish(3, 7);
    let delta = socket.frame().await;
    assert_eq!((&delta["type"], &delta["base"], &delta["beat"]), (&json!("delta"), &json!(2), &json!(3)));
    server.open("/v1/stream?since=1:1", &headers).await.err().unwrap().is_problem(401, "unauthorized");
}

#[tokio::test]
async fn what_was_refused_for_another_reason_does_not_use_up_the_token() {
    let server = Server::start().await;
    server.publish(1, 5);
    let token = token("metacog.stream");
    let authorization = format!("Bearer {token}");
    let answer = server.get("/v1/stream", &token).await;
    answer.is_problem(426, "upgrade-required");
    assert!(answer.head.contains("upgrade: websocket"));
    let foreign = [("authorization", &*authorization), ("origin", "https://evil.example")];
    server.open("/v1/stream", &foreign).await.err().unwrap().is_problem(403, "forbidden");
    let bad = server.open("/v1/stream?since=yesterday", &foreign[..1]).await.err().unwrap();
    bad.is_problem(400, "malformed");
    let old = [
        ("Authorization", &*authorization),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "8"),
    ];
    server.request("GET", "/v1/stream", &old, b"").await.is_problem(426, "upgrade-required");
    let keyless = [old[0], old[1], old[2], ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "c2hvcnQ=")];
    server.request("GET", "/v1/stream", &keyless, b"").await.is_problem(400, "malformed");
    server.request("GET", "/v1/stream", &[], b"").await.is_problem(401, "unauthorized");
    assert!(server.open_with(&token).await.is_ok());
}

#[tokio::test]
async fn streams_of_a_subject_are_bounded() {
    let limits = Limits { streams_per_sub: 2, ..Limits::default() };
    let server = Server::with(Config::default(), limits, room::Config::default()).await;
    server.publish(1, 5);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut socket = server.open_with(&token("metacog.stream")).await.unwrap();
        socket.frame().await;
        open.push(socket);
    }
    let third = token("metacog.stream");
    assert_eq!(server.open_with(&third).await.unwrap().close_code().await, 4429);
    drop(open);
    let freed = async {
        while server.metrics.ws_connections.get() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), freed).await.unwrap();
    assert_eq!(server.open_with(&third).await.unwrap().frame().await["type"], "hello", "the token was not used up");
}

#[tokio::test]
async fn a_new_token_keeps_the_stream_but_widens_nothing() {
    let server = Server::start().await;
    server.publish(1, 5);
    let mut socket = server.open_with(&token("metacog.stream")).await.unwrap();
    let session = socket.frame().await["session"].clone();
    socket.frame().await;
    let wider = token("metacog.stream metacog.observe");
    let other = mint(&key(), &Claims::new("other", "metacog.stream", now(), Duration::from_secs(60))).unwrap();
    for bad in ["nonsense", &wider, &other, &token("metrics.read")] {
        socket.say(&json!({"type": "auth", "token": bad}).to_string()).await;
        assert_eq!(socket.frame().await["code"], "auth_failed");
    }
    socket.say(&json!({"type": "auth", "token": token("metacog.stream")}).to_string()).await;
    let hello = socket.frame().await;
    assert_eq!((&hello["type"], &hello["session"]), (&json!("hello"), &session));
    socket.say(&json!({"type": "observe", "observation": {"agent": "a", "kind": "thought"}}).to_string()).await;
    assert_eq!(socket.frame().await["code"], "forbidden");
}

#[tokio::test]
async fn observations_come_in_on_streams_too() {
    let server = Server::start().await;
    server.publish(1, 5);
    let mut socket = server.open_with(&token("metacog.stream metacog.observe")).await.unwrap();
    socket.frame().await;
    socket.frame().await;
    socket.say(r#"{"type":"observe","observation":{"agent":"a","kind":"thought","text":"SECRET"}}"#).await;
    socket.say(r#"{"type":"observe","observation":{"agent":"a","kind":"SECRET"}}"#).await;
    let error = socket.frame().await;
    assert_eq!(error["code"], "rejected");
    assert!(!error.to_string().contains("SECRET"));
    let mut queued = Vec::new();
    server.queue.lock().drain(10, &mut queued);
    assert_eq!(queued.len(), 1);
    assert_eq!(server.metrics.observations_total.with_label_values(&["stream", "thought"]).get(), 1);
}

#[tokio::test]
async fn a_token_that_expires_closes_the_stream() {
    let server = Server::start().await;
    let token = mint(&key(), &Claims::new("d", "metacog.stream", now(), Duration::from_secs(1))).unwrap();
    assert_eq!(server.open_with(&token).await.unwrap().close_code().await, 4401);
}

#[tokio::test]
async fn draining_closes_streams_and_takes_no_new_ones() {
    let server = Server::start().await;
    server.publish(1, 5);
    let mut socket = server.open_with(&token("metacog.stream")).await.unwrap();
    let hello = socket.frame().await;
    let registry = Arc::clone(&server.services.streams().registry);
    let drain = async { registry.drain(Duration::from_millis(200), Duration::from_secs(5), || 0.5).await };
    let (code, ()) = tokio::join!(socket.close_code(), drain);
    assert_eq!(code, 1012);
    server.open_with(&token("metacog.stream")).await.err().unwrap().is_problem(503, "unavailable");
    // The ticket is not used up by that: the client is to come back with it.
    let offer = format!("metacog.v1, resume.{}", hello["resume"].as_str().unwrap());
    for _ in 0..2 {
        let refused = server.open("/v1/stream", &[("sec-websocket-protocol", &*offer)]).await;
        refused.err().unwrap().is_problem(503, "unavailable");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_connects_with_one_token_one_gets_through() {
    let server = Arc::new(Server::start().await);
    let token = token("metacog.stream");
    let mut connects = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (server, token) = (Arc::clone(&server), token.clone());
        connects.spawn(async move { server.open_with(&token).await.map_err(|answer| answer.status) });
    }
    let outcomes = connects.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Err(401))).count(), 49);
}
