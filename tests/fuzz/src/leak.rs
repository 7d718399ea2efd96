//! Secrets planted in raw bytes, looked for in all that comes out.

use consciousness_system::ingest::{self, Batch, Error, Limits, native, otlp};

use super::choice;
use super::world::{NOW, World};

/// What is planted. It has a character that no shown name may hold, and so never stands in one.
const PLANTED: &str = "§hunter2-correct-horse§";
/// What must not come out.
const SECRET: &str = "hunter2-correct-horse";
/// Where the bytes have this, the secret is put.
const MARK: u8 = 0xff;

/// Any body on any way in, with the secret in it wherever the fuzzer put a mark: nothing of it is in the public state, in
/// what the client is answered, or in the debugging form of what was taken in.
pub fn leak(data: &[u8]) {
    let Some((way, template)) = choice(data) else { return };
    let mut body = Vec::with_capacity(template.len() + 64);
    for &byte in template {
        if byte == MARK { body.extend_from_slice(PLANTED.as_bytes()) } else { body.push(byte) }
    }
    let limits = Limits { items: 200, ..Limits::default() };
    let (json, protobuf) = (otlp::Encoding::Json, otlp::Encoding::Protobuf);
    let outcome = match way % 6 {
        0 => native::decode(native::Format::Json, &body, NOW, &limits),
        1 => native::decode(native::Format::Ndjson, &body, NOW, &limits),
        2 => otlp::decode_traces(json, &body, NOW, &limits),
        3 => otlp::decode_traces(protobuf, &body, NOW, &limits),
        4 => otlp::decode_logs(json, &body, NOW, &limits),
        _ => otlp::decode_logs(protobuf, &body, NOW, &limits),
    };
    let mut out = answers(&outcome, way);
    if let Ok(batch) = &outcome {
        let mut world = World::new();
        world.beat(&batch.accepted);
        world.beat(&[]);
        out.push_str(&world.shown());
    }
    assert!(!out.contains(SECRET), "the secret came out");
}

/// All that a sender is told, and all that a log could show.
fn answers(outcome: &Result<Batch, ingest::Error>, way: u8) -> String {
    let mut out = format!("{outcome:?}");
    match outcome {
        Ok(batch) => {
            batch.rejected.iter().for_each(|rejection| out.push_str(&rejection.error));
            for encoding in [otlp::Encoding::Json, otlp::Encoding::Protobuf] {
                let respond = if way.is_multiple_of(2) { otlp::traces_response } else { otlp::logs_response };
                out.push_str(&String::from_utf8_lossy(&respond(batch, encoding).1));
            }
        }
        Err(error) => out.push_str(&Error::to_string(error)),
    }
    out
}
