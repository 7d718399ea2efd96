use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio::time::{advance, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Ws;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::super::backend::Backend;
use super::super::config::Config;
use super::super::fanout::Fanout;
use super::super::hub::Hub;
use super::super::registry::{Holder, Registry};
use super::super::service::Settings;
use super::*;
use crate::domain::Timestamp;
use crate::sanitize::{Position, testing};
use crate::setting::Limits;
use crate::telemetry::Metrics;

/// Accepts the token "good" for another minute, and observations that have an agent.
struct House {
    observed: AtomicUsize,
    start: Instant,
}

impl Backend for House {
    fn refresh(&self, session: &Session, _: &Holder, token: String) -> Refreshing {
        let renewal = Renewal {
            issued: None,
            token: "fresh".into(),
            expires: self.now().plus(Duration::from_secs(60)),
            scopes: Arc::clone(&session.scopes),
            may_observe: session.may_observe,
            resume: "ticket-2".to_owned(),
        };
        Box::pin(async move { if token == "good" { Ok(renewal) } else { Err("the token is not valid") } })
    }

    fn observe(&self, json: &str) -> Result<(), String> {
        if !json.contains("agent") {
            return Err("`agent` is missing".to_owned());
        }
        self.observed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(1_700_000_000_000_000_000).plus(self.start.elapsed())
    }
}

struct Bench {
    streams: Arc<Streams>,
    house: Arc<House>,
    beat: u64,
    start: Instant,
}

struct Client {
    socket: WebSocketStream<DuplexStream>,
    task: JoinHandle<Option<Close>>,
}

impl Bench {
    fn new() -> Self {
        let metrics = Metrics::new().unwrap();
        let limits = Limits::default();
        let house = Arc::new(House { observed: AtomicUsize::new(0), start: Instant::now() });
        let streams = Arc::new(Streams {
            hub: Arc::new(Hub::new(1_000)),
            registry: Arc::new(Registry::new(&limits, None, metrics.clone())),
            backend: Arc::clone(&house) as Arc<dyn Backend>,
            settings: Settings {
                config: Config::default(),
                limits,
                interval: Duration::from_millis(100),
                linger: Duration::from_secs(2),
            },
            fanout: Arc::new(Fanout::new(1)),
            metrics,
        });
        streams.fanout.loops(&streams.hub).for_each(|telling| drop(tokio::spawn(telling)));
        let mut bench = Self { streams, house, beat: 0, start: Instant::now() };
        bench.publish(1);
        bench
    }

    /// The next beat, with this number as a figure of agent `a`, and another of `b`.
    fn publish(&mut self, figure: u64) {
        self.beat += 1;
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap();
        let beat = testing::beat(1, self.beat, 10_000 + millis);
        self.streams.hub.publish(beat.agent("a", Some(&[(1, figure)])).agent("b", Some(&[(1, 7)])));
    }

    fn session(&self) -> Session {
        Session {
            id: "s-1".to_owned(),
            expires: self.house.now().plus(Duration::from_secs(3_000)),
            scopes: "metacog.stream metacog.observe".into(),
            may_observe: true,
            resume: "ticket-1".to_owned(),
            since: None,
        }
    }

    fn connect(&self, session: Session, buffer: usize) -> impl Future<Output = Client> + use<> {
        let (ours, theirs) = tokio::io::duplex(buffer);
        let streams = Arc::clone(&self.streams);
        async move {
            let holder = Holder {
                subject: "dashboard".into(),
                token: "t-1".into(),
                issued: None,
                address: [192, 0, 2, 1].into(),
            };
            let place = streams.registry.admit(holder).await.unwrap();
            let wire = Wire::new(ours, &[], streams.settings.limits.message_bytes);
            let task = tokio::spawn(streams.run(wire, session, place));
            let socket = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
            Client { socket, task }
        }
    }

    /// A client that has had its hello and state.
    async fn client(&self) -> Client {
        let mut client = self.connect(self.session(), 64 * 1024).await;
        assert_eq!(client.frame().await["type"], "hello");
        assert_eq!(client.frame().await["type"], "state");
        client
    }
}

impl Client {
    async fn frame(&mut self) -> Value {
        match self.next().await {
            Ws::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("not a text: {other:?}"),
        }
    }

    async fn next(&mut self) -> Ws {
        loop {
            match timeout(Duration::from_secs(100), self.socket.next()).await.unwrap().unwrap().unwrap() {
                Ws::Ping(_) => {}
                other => return other,
            }
        }
    }

    /// Skips all frames up to the one that closes.
    async fn close_code(&mut self) -> u16 {
        loop {
            if let Ws::Close(close) = self.next().await {
                return close.unwrap().code.into();
            }
        }
    }

    async fn say(&mut self, message: Value) {
        self.socket.send(Ws::text(message.to_string())).await.unwrap();
    }

    /// All frames that arrive until nothing comes for so long.
    async fn until_quiet(&mut self, quiet: Duration) -> Vec<Value> {
        let mut frames = Vec::new();
        while let Ok(frame) = timeout(quiet, self.frame()).await {
            frames.push(frame);
        }
        frames
    }
}

const QUIET: Duration = Duration::from_millis(50);

#[tokio::test(start_paused = true)]
async fn hello_then_the_state_then_deltas() {
    let mut bench = Bench::new();
    let mut client = bench.connect(bench.session(), 64 * 1024).await;
    assert_eq!(
        client.frame().await,
        json!({"type":"hello","protocol":1,"session":"s-1","interval_ms":100,"max_hz":20,"resume":"ticket-1"})
    );
    let state = client.frame().await;
    let ts = 10_000_000_000u64;
    let agents = json!({"a": {"observations": 1}, "b": {"observations": 7}});
    let expected = json!({"agents": agents, "insights": {}});
    assert_eq!(state, json!({"type":"state","epoch":1,"beat":1,"ts_ns":ts,"state":expected}));
    advance(Duration::from_millis(100)).await;
    bench.publish(2);
    let patch = json!({"agents": {"a": {"observations": 2}}});
    let ts = ts + 100_000_000;
    assert_eq!(client.frame().await, json!({"type":"delta","epoch":1,"beat":2,"base":1,"ts_ns":ts,"patch":patch}));
    assert_eq!(bench.streams.metrics.ws_frames_sent_total.get(), 3);
    assert_eq!(bench.streams.metrics.ws_frames_merged_total.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_returning_client_gets_what_it_missed() {
    let mut bench = Bench::new();
    for figure in 2..=5 {
        bench.publish(figure);
    }
    let since = Some(Position { epoch: 1, beat: 2 });
    let mut client = bench.connect(Session { since, ..bench.session() }, 64 * 1024).await;
    assert_eq!(client.frame().await["type"], "hello");
    let delta = client.frame().await;
    assert_eq!((&delta["base"], &delta["beat"]), (&json!(2), &json!(5)));
    let since = Some(Position { epoch: 9, beat: 2 });
    let mut client = bench.connect(Session { since, ..bench.session() }, 64 * 1024).await;
    client.frame().await;
    assert_eq!(client.frame().await["type"], "state");
}

#[tokio::test(start_paused = true)]
async fn never_more_than_twenty_frames_within_a_second() {
    let mut bench = Bench::new();
    let mut client = bench.client().await;
    let mut arrivals = vec![Instant::now(); 2];
    let (mut base, mut last) = (1, json!(1));
    for figure in 2..800 {
        advance(Duration::from_millis(5)).await;
        bench.publish(figure);
        if figure % 100 == 0 {
            client.say(json!({"type":"ping"})).await;
        }
        while let Ok(frame) = timeout(Duration::ZERO, client.frame()).await {
            arrivals.push(Instant::now());
            if frame["type"] == "delta" {
                assert_eq!(frame["base"], base);
                base = frame["beat"].as_u64().unwrap();
                last = frame["patch"]["agents"]["a"]["observations"].clone();
            }
        }
    }
    for (i, start) in arrivals.iter().enumerate() {
        let within = arrivals[i..].iter().take_while(|at| **at < *start + Duration::from_secs(1)).count();
        assert!(within <= 20, "{within} frames within a second");
    }
    assert!(arrivals.len() > 70, "{} frames in four seconds", arrivals.len());
    assert_eq!(
        client
            .until_quiet(Duration::from_millis(1_100))
            .await
            .last()
            .map_or(last, |delta| { delta["patch"]["agents"]["a"]["observations"].clone() }),
        799
    );
    let metrics = &bench.streams.metrics;
    let deltas = metrics.ws_frames_sent_total.get() - 2 - 7;
    assert_eq!(deltas + metrics.ws_frames_merged_total.get(), 798, "what was not sent was merged");
    assert_eq!(metrics.ws_backpressure_drops_total.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_selects_agents_and_a_rate() {
    let mut bench = Bench::new();
    let mut client = bench.client().await;
    client.say(json!({"type":"subscribe","agents":["b*"],"max_hz":2})).await;
    let state = client.frame().await;
    assert_eq!(state["state"]["agents"], json!({"b": {"observations": 7}}));
    // What concerns others alone is not told, but that the heart beats is.
    let mut frames = Vec::new();
    for figure in 2..=31 {
        advance(Duration::from_millis(100)).await;
        bench.publish(figure);
        frames.extend(client.until_quiet(Duration::ZERO).await);
    }
    frames.extend(client.until_quiet(QUIET).await);
    assert!((2..=3).contains(&frames.len()), "{frames:?}");
    assert!(frames.iter().all(|frame| frame["patch"] == json!({})));
    // All again, twice a second.
    client.say(json!({"type":"subscribe","max_hz":2})).await;
    assert_eq!(client.frame().await["state"]["agents"]["a"], json!({"observations": 31}));
    let mut frames = 0;
    for figure in 32..=81 {
        advance(Duration::from_millis(100)).await;
        bench.publish(figure);
        frames += client.until_quiet(Duration::ZERO).await.len();
    }
    assert!((9..=11).contains(&frames), "{frames} in five seconds");
}

#[tokio::test(start_paused = true)]
async fn malformed_messages_are_answered_and_closed_when_they_persist() {
    let bench = Bench::new();
    let mut client = bench.client().await;
    for text in ["nonsense SECRET", "{\"type\":\"subscribe\",\"agents\":[\"\"]}", "{\"type\":\"SECRET\"}"] {
        client.socket.send(Ws::text(text)).await.unwrap();
        let error = client.frame().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("bad_message")));
        assert!(!error.to_string().contains("SECRET"));
    }
    for _ in 0..7 {
        client.say(json!({})).await;
    }
    assert_eq!(client.close_code().await, 1008);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_a_text_of_bounded_size_closes() {
    let bench = Bench::new();
    let mut client = bench.client().await;
    client.socket.send(Ws::binary(vec![1u8])).await.unwrap();
    assert_eq!(client.close_code().await, 1003);
    let mut client = bench.client().await;
    client.say(json!({"type": "x".repeat(65_536 - 11)})).await;
    assert_eq!(client.frame().await["code"], "bad_message", "64 KiB are allowed");
    client.say(json!({"type": "x".repeat(65_536 - 10)})).await;
    assert_eq!(client.close_code().await, 1009);
    assert_eq!(client.task.await.unwrap(), Some(Close::TooBig));
}

#[tokio::test(start_paused = true)]
async fn too_many_messages_are_dropped_and_in_the_end_closed() {
    let bench = Bench::new();
    let mut client = bench.client().await;
    let mut other = bench.client().await;
    for _ in 0..15 {
        client.say(json!({"type":"ping"})).await;
        other.say(json!({"type":"ping"})).await;
    }
    advance(Duration::from_secs(3)).await;
    let mut frames = client.until_quiet(QUIET).await;
    frames.extend(other.until_quiet(QUIET).await);
    let pongs = frames.iter().filter(|frame| frame["type"] == "pong").count();
    let complaints = frames.iter().filter(|frame| frame["code"] == "rate_limited").count();
    assert_eq!((pongs, bench.streams.metrics.ws_rate_limit_drops_total.get()), (20, 10));
    assert!((1..=2).contains(&complaints), "each stream tells once: {complaints}");
    for _ in 0..250 {
        if client.socket.send(Ws::text("{\"type\":\"ping\"}")).await.is_err() {
            break;
        }
    }
    assert_eq!(client.close_code().await, 1008);
}

#[tokio::test(start_paused = true)]
async fn observations_need_the_scope() {
    let bench = Bench::new();
    let mut client = bench.client().await;
    client.say(json!({"type":"observe","observation":{"agent":"a"}})).await;
    client.say(json!({"type":"observe","observation":{"text":"SECRET"}})).await;
    let error = client.frame().await;
    assert_eq!(error, json!({"type":"error","code":"rejected","message":"`agent` is missing"}));
    assert_eq!(bench.house.observed.load(Ordering::Relaxed), 1);
    let mut client = bench.connect(Session { may_observe: false, ..bench.session() }, 64 * 1024).await;
    client.frame().await;
    client.frame().await;
    client.say(json!({"type":"observe","observation":{"agent":"a"}})).await;
    assert_eq!(client.frame().await["code"], "forbidden");
    assert_eq!(bench.house.observed.load(Ordering::Relaxed), 1);
    assert_eq!(bench.streams.metrics.ws_scope_reject_total.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_token_unless_refreshed() {
    let bench = Bench::new();
    let start = Instant::now();
    let expires = bench.house.now().plus(Duration::from_secs(10));
    let mut client = bench.connect(Session { expires, ..bench.session() }, 64 * 1024).await;
    client.frame().await;
    client.frame().await;
    client.say(json!({"type":"auth","token":"bad"})).await;
    assert_eq!(client.frame().await["code"], "auth_failed");
    client.say(json!({"type":"auth","token":"good"})).await;
    let hello = client.frame().await;
    assert_eq!((&hello["session"], &hello["resume"]), (&json!("s-1"), &json!("ticket-2")));
    assert_eq!(client.close_code().await, 4401);
    let lasted = start.elapsed();
    assert!(lasted >= Duration::from_secs(60) && lasted < Duration::from_secs(61), "{lasted:?}");
    assert_eq!(client.task.await.unwrap(), Some(Close::Expired));
}

#[tokio::test(start_paused = true)]
async fn revocation_closes_at_once() {
    let bench = Bench::new();
    let mut client = bench.client().await;
    assert_eq!(bench.streams.registry.revoke(|holder| &*holder.subject == "dashboard"), 1);
    assert_eq!(client.close_code().await, 4403);
    drop(client.socket);
    client.task.await.unwrap();
    assert_eq!(bench.streams.registry.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn draining_tells_first_and_closes_later() {
    let bench = Bench::new();
    let mut client = bench.client().await;
    let start = Instant::now();
    let registry = Arc::clone(&bench.streams.registry);
    let drain = tokio::spawn(async move {
        registry.drain(Duration::from_secs(10), Duration::from_secs(3), || 0.4).await;
    });
    let told = client.frame().await;
    assert_eq!((&told["code"], &told["retry_ms"]), (&json!("draining"), &json!(4_000)));
    assert!(start.elapsed() < Duration::from_millis(10));
    assert_eq!(client.close_code().await, 1012);
    assert_eq!(start.elapsed().as_secs(), 4);
    drop(client);
    drain.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_is_merged_then_given_up_then_told_all() {
    let mut bench = Bench::new();
    let mut client = bench.connect(bench.session(), 64).await;
    let metrics = bench.streams.metrics.clone();
    client.frame().await;
    client.frame().await;
    // It reads nothing for four seconds: merged.
    for figure in 2..=41 {
        advance(Duration::from_millis(100)).await;
        bench.publish(figure);
        tokio::task::yield_now().await;
    }
    assert_eq!(metrics.ws_backpressure_drops_total.get(), 0);
    assert_eq!(client.frame().await["beat"], 2, "was on its way");
    let delta = client.frame().await;
    assert_eq!((&delta["base"], &delta["beat"]), (&json!(2), &json!(41)));
    assert_eq!(metrics.ws_frames_merged_total.get(), 38);
    // It reads nothing for ten: given up, those of the first five seconds too.
    client.until_quiet(QUIET).await;
    for figure in 42..=141 {
        advance(Duration::from_millis(100)).await;
        bench.publish(figure);
        tokio::task::yield_now().await;
    }
    let drops = metrics.ws_backpressure_drops_total.get();
    assert!((96..=99).contains(&drops), "{drops} given up");
    let frames = client.until_quiet(QUIET).await;
    let state = frames.last().unwrap();
    assert_eq!((&state["type"], &state["beat"]), (&json!("state"), &json!(141)));
    assert_eq!(state["state"]["agents"]["a"]["observations"], 141);
    assert_eq!(metrics.ws_backpressure_drops_total.get(), drops);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_heard_and_then_closed() {
    let mut bench = Bench::new();
    let mut client = bench.connect(Session { may_observe: true, ..bench.session() }, 256).await;
    let start = Instant::now();
    tokio::task::yield_now().await;
    client.say(json!({"type":"observe","observation":{"agent":"a"}})).await;
    for figure in 2..=250 {
        advance(Duration::from_millis(100)).await;
        bench.publish(figure);
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.house.observed.load(Ordering::Relaxed), 1, "it is still listened to");
    assert!(!client.task.is_finished());
    while bench.streams.metrics.ws_connections.get() > 0 {
        advance(Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
    let lasted = start.elapsed().as_secs_f64();
    assert!((30.0..33.0).contains(&lasted), "{lasted}");
    assert_eq!(client.task.await.unwrap(), Some(Close::Slow));
    let lasted = start.elapsed().as_secs_f64();
    assert!((60.0..63.0).contains(&lasted), "the reason waits for it as long again: {lasted}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_is_closed() {
    let bench = Bench::new();
    let client = bench.connect(bench.session(), 64 * 1024).await;
    let start = Instant::now();
    assert_eq!(client.task.await.unwrap(), Some(Close::Slow));
    let lasted = start.elapsed().as_secs_f64();
    assert!((50.0..53.0).contains(&lasted), "a ping after 20 s, 30 s for the pong, and hanging up: {lasted}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_that_answers_pings_stays() {
    let bench = Bench::new();
    let mut client = bench.client().await;
    assert!(timeout(Duration::from_secs(600), client.socket.next()).await.is_ok(), "a ping");
    let until = Instant::now() + Duration::from_secs(600);
    while let Ok(message) = tokio::time::timeout_at(until, client.socket.next()).await {
        assert!(matches!(message, Some(Ok(Ws::Ping(_)))), "{message:?}");
    }
    assert!(!client.task.is_finished());
    client.socket.send(Ws::Ping(vec![1, 2].into())).await.unwrap();
    loop {
        match client.socket.next().await.unwrap().unwrap() {
            Ws::Pong(payload) => break assert_eq!(&payload[..], [1, 2]),
            other => assert!(other.is_ping(), "{other:?}"),
        }
    }
    client.socket.close(None).await.unwrap();
    assert_eq!(client.task.await.unwrap(), None);
}
