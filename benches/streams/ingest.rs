//! What the daemon takes in: connections that send the next request when the last one was answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::Args;
use super::daemon::{self, Daemon};
use super::feed::{Http, ndjson};
use super::machine;
use super::readers::now_ns;

/// The default.
const INTERVAL: Duration = Duration::from_millis(100);
const CONNECTIONS: usize = 2;
const AGENTS: usize = 100;
/// Pause after a 503, which asks for one.
const BACK_OFF: Duration = Duration::from_millis(10);

/// What one connection reached.
#[derive(Default)]
struct Reached {
    accepted: u64,
    requests: u64,
    unavailable: u64,
}

pub fn run(args: &Args) {
    println!("\nIngest: {CONNECTIONS} connections, each with one request at a time; clients on the same CPUs");
    println!(
        "                          accepted/s  requests/s  503s  us CPU each  bytes each  missed beats  left in queue"
    );
    for batch in [100, 1_000, 10_000] {
        measure(args, &format!("NDJSON, batches of {batch}"), batch, |address| Sender {
            http: Http::connect(address),
            path: "/v1/observations",
            media_type: "application/x-ndjson",
            body: ndjson(batch, AGENTS),
            ids: Vec::new(),
        });
    }
    for batch in [100, 1_000] {
        measure(args, &format!("OTLP, {batch} tool spans"), batch, |address| {
            let (body, ids) = spans(batch);
            Sender { http: Http::connect(address), path: "/v1/traces", media_type: "application/x-protobuf", body, ids }
        });
    }
}

fn measure(args: &Args, name: &str, batch: usize, sender: impl Fn(SocketAddr) -> Sender + Sync) {
    let daemon = Daemon::start(INTERVAL, args, None);
    let token = daemon::token("load", "metacog.observe");
    let cpu = machine::cpu_ns(daemon.pid(), None);
    let clock = Instant::now();
    let (reached, bytes) = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| {
                    let mut sender = sender(daemon.address);
                    (sender.run(&token, clock + args.length()), sender.body.len())
                })
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).fold(
            (Reached::default(), 0),
            |(sum, _), (one, bytes)| {
                let Reached { accepted, requests, unavailable } = sum;
                let sum = Reached {
                    accepted: accepted + one.accepted,
                    requests: requests + one.requests,
                    unavailable: unavailable + one.unavailable,
                };
                (sum, bytes)
            },
        )
    });
    let seconds = clock.elapsed().as_secs_f64();
    let metrics = daemon.metrics();
    let accepted = (reached.accepted * batch as u64) as f64;
    let cpu = (machine::cpu_ns(daemon.pid(), None) - cpu) as f64;
    println!(
        "{name:<25} {:>10.0} {:>11.0} {:>5} {:>12.2} {:>11.0} {:>13} {:>14}",
        accepted / seconds,
        reached.requests as f64 / seconds,
        reached.unavailable,
        cpu / 1e3 / accepted,
        bytes as f64 / batch as f64,
        metrics.value("heartbeat_missed_total"),
        metrics.value("observations_queued"),
    );
}

struct Sender {
    http: Http,
    path: &'static str,
    media_type: &'static str,
    body: Vec<u8>,
    /// Where the spans' ids stand in the body.
    ids: Vec<usize>,
}

impl Sender {
    fn run(&mut self, token: &str, until: Instant) -> Reached {
        let mut reached = Reached::default();
        while Instant::now() < until {
            for &place in &self.ids {
                // The same id twice would count once.
                self.body[place..place + 8].copy_from_slice(&rand::random::<[u8; 8]>());
            }
            reached.requests += 1;
            match self.http.post(self.path, token, self.media_type, &self.body) {
                (200 | 202, _) => reached.accepted += 1,
                (503, _) => {
                    reached.unavailable += 1;
                    std::thread::sleep(BACK_OFF);
                }
                (status, body) => panic!("{status}: {body}"),
            }
        }
        reached
    }
}

/// A request of tool calls, and where the ids of its spans stand.
fn spans(count: usize) -> (Vec<u8>, Vec<usize>) {
    let text = |key: &str, value: String| KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(Value::StringValue(value)) }),
        ..KeyValue::default()
    };
    let ids: Vec<[u8; 8]> = (0..count).map(|_| rand::random()).collect();
    let now = now_ns() as u64;
    let span = |(i, id): (usize, &[u8; 8])| Span {
        trace_id: vec![7; 16],
        span_id: id.to_vec(),
        name: "execute_tool search".into(),
        start_time_unix_nano: now - 30_000_000,
        end_time_unix_nano: now,
        attributes: vec![
            text("gen_ai.operation.name", "execute_tool".into()),
            text("gen_ai.agent.id", format!("load-{}", i % AGENTS)),
            text("gen_ai.conversation.id", "s".into()),
            text("gen_ai.tool.name", "search".into()),
            text("gen_ai.tool.call.arguments", format!(r#"{{"query":"flights {i}"}}"#)),
            text("gen_ai.tool.call.result", format!("found {i}")),
        ],
        ..Span::default()
    };
    let spans = ids.iter().enumerate().map(span).collect();
    let resource = Resource { attributes: vec![text("service.name", "load".into())], ..Resource::default() };
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let mut places = Vec::with_capacity(count);
    let mut from = 0;
    for id in &ids {
        let place = from + body[from..].windows(8).position(|window| window == id).expect("the id is in the body");
        places.push(place);
        from = place + 8;
    }
    (body, places)
}
