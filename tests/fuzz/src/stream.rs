//! One stream, fed with whatever a client might send.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use consciousness_system::domain::{Source, Timestamp};
use consciousness_system::ingest::{Limits as IngestLimits, native};
use consciousness_system::sanitize::Sanitizer;
use consciousness_system::setting::Limits;
use consciousness_system::stream::{
    Backend, Config, Fanout, Holder, Hub, Refreshing, Registry, Renewal, Session, Settings, Streams, Wire,
};
use consciousness_system::telemetry::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::choice;
use super::world::{NOW, World, steps};

static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics::new().expect("the metrics are declared well"));

struct House;

impl Backend for House {
    fn refresh(&self, session: &Session, _: &Holder, token: String) -> Refreshing {
        let renewal = Renewal {
            issued: None,
            token: "fresh".into(),
            expires: NOW.plus(Duration::from_secs(60)),
            scopes: Arc::clone(&session.scopes),
            may_observe: session.may_observe,
            resume: String::new(),
        };
        Box::pin(async move { if token == "good" { Ok(renewal) } else { Err("the token is not valid") } })
    }

    fn observe(&self, json: &str) -> Result<(), String> {
        let limits = IngestLimits::default();
        native::decode_one(json.as_bytes(), Source::Stream, NOW, &limits).map(drop).map_err(|refusal| refusal.error)
    }

    fn now(&self) -> Timestamp {
        NOW
    }
}

/// Bytes as a client sends them: raw, or texts with a line each, framed as they should be.
pub fn stream(data: &[u8]) {
    let Some((form, rest)) = choice(data) else { return };
    let sent =
        if form.is_multiple_of(2) { rest.to_vec() } else { rest.split(|&b| b == b'\n').flat_map(framed).collect() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O");
    let received = runtime.block_on(talk(sent));
    check(&received);
}

async fn talk(sent: Vec<u8>) -> Vec<u8> {
    let mut world = World::new();
    world.beat(&steps());
    let hub = Arc::new(Hub::new(1_000));
    hub.publish(Sanitizer::whole(world.engine()));
    let limits = Limits::default();
    let streams = Arc::new(Streams {
        hub,
        registry: Arc::new(Registry::new(&limits, None, METRICS.clone())),
        backend: Arc::new(House),
        settings: Settings {
            config: Config::default(),
            limits,
            interval: Duration::from_millis(100),
            linger: Duration::from_millis(100),
        },
        fanout: Arc::new(Fanout::new(1)),
        metrics: METRICS.clone(),
    });
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    let holder = Holder { subject: "fuzz".into(), token: "t".into(), issued: None, address };
    let place = streams.registry.admit(holder).await.expect("there is room for one");
    let session = Session { expires: NOW.plus(Duration::from_secs(300)), may_observe: true, ..Session::default() };
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let serving = streams.run(Wire::new(theirs, &[], 65_536), session, place);
    let client = async {
        let (mut reader, mut writer) = tokio::io::split(ours);
        let mut received = Vec::new();
        let writing = async {
            // It may be closed before it has taken all.
            let _ = writer.write_all(&sent).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            let _ = writer.shutdown().await;
        };
        let (_, _) = tokio::join!(writing, reader.read_to_end(&mut received));
        received
    };
    tokio::join!(serving, client).1
}

/// A text frame, masked with zeros.
fn framed(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        longer @ 126..65_536 => {
            frame.push(0xfe);
            frame.extend_from_slice(&(longer as u16).to_be_bytes());
        }
        long => {
            frame.push(0xff);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text);
    frame
}

/// What the daemon sends are whole frames, unmasked; texts are JSON objects with a type.
fn check(mut bytes: &[u8]) {
    while let [head, length, rest @ ..] = bytes {
        assert!(length & 0x80 == 0, "a server's frames are not masked");
        let (length, rest) = match length {
            126 if rest.len() >= 2 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 if rest.len() >= 8 => {
                (usize::try_from(u64::from_be_bytes(rest[..8].try_into().expect("eight"))).expect("fits"), &rest[8..])
            }
            126 | 127 => return,
            short => (usize::from(*short), rest),
        };
        // The last one may have been cut off with the connection.
        let Some((payload, rest)) = rest.split_at_checked(length) else { return };
        match head {
            0x81 => {
                let json: serde_json::Value = serde_json::from_slice(payload).expect("texts are JSON");
                assert!(json["type"].is_string(), "each message has a type");
            }
            0x88..=0x8a => assert!(length <= 125, "control frames are short"),
            other => panic!("a frame with the first byte {other:#x}"),
        }
        bytes = rest;
    }
}
