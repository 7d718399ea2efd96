//! Ingest: native observations, and OTLP traces and logs.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, request};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::body;
use super::problem::Problem;
use super::services::Services;
use crate::auth::Scope;
use crate::auth::audit::Act;
use crate::domain::{Source, Timestamp};
use crate::ingest::{Batch, Error, Limits, native, otlp};

/// Bodies from this size on, and all compressed ones, are decoded beside the runtime's threads.
const LARGE: usize = 64 * 1024;
/// So are batches of more observations than this written down.
const MANY: usize = 4096;

#[derive(Serialize)]
struct Answer<'a> {
    accepted: usize,
    rejected: Vec<Rejected<'a>>,
}

#[derive(Serialize)]
struct Rejected<'a> {
    index: usize,
    error: &'a str,
}

/// `POST /v1/observations`.
pub(super) async fn native(State(services): State<Arc<Services>>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let now = admit(&services, &parts)?;
    let format = match essence(&parts.headers).as_deref() {
        None | Some("application/json") => native::Format::Json,
        Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => native::Format::Ndjson,
        Some(_) => return Err(Problem::wrong_type("application/json, application/x-ndjson")),
    };
    let decode = move |bytes: &[u8], limits: &Limits| native::decode(format, bytes, now, limits);
    let (batch, accepted) = take_in(&services, &parts.headers, body, Source::Native, decode).await?;
    let rejected = batch.rejected.iter().map(|r| Rejected { index: r.index, error: &r.error }).collect();
    Ok((StatusCode::ACCEPTED, Json(Answer { accepted, rejected })).into_response())
}

/// `POST /v1/traces`.
pub(super) async fn traces(State(services): State<Arc<Services>>, request: Request) -> Response {
    otlp(&services, request, Source::OtlpTraces, otlp::decode_traces, otlp::traces_response).await
}

/// `POST /v1/logs`.
pub(super) async fn logs(State(services): State<Arc<Services>>, request: Request) -> Response {
    otlp(&services, request, Source::OtlpLogs, otlp::decode_logs, otlp::logs_response).await
}

type Decode = fn(otlp::Encoding, &[u8], Timestamp, &Limits) -> Result<Batch, Error>;
type Respond = fn(&Batch, otlp::Encoding) -> (&'static str, Vec<u8>);

async fn otlp(
    services: &Arc<Services>,
    request: Request,
    source: Source,
    decode: Decode,
    respond: Respond,
) -> Response {
    let (parts, body) = request.into_parts();
    let encoding = essence(&parts.headers).as_deref().and_then(otlp::Encoding::of);
    let outcome = async {
        let now = admit(services, &parts)?;
        let encoding = encoding.ok_or_else(|| Problem::wrong_type("application/x-protobuf, application/json"))?;
        let decode = move |bytes: &[u8], limits: &Limits| decode(encoding, bytes, now, limits);
        let (batch, _) = take_in(services, &parts.headers, body, source, decode).await?;
        let (content_type, body) = respond(&batch, encoding);
        Ok(([(CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response())
    };
    outcome.await.unwrap_or_else(|problem: Problem| problem.into_otlp_response(encoding))
}

/// Lets in who may send observations, before anything of the body is read.
fn admit(services: &Services, parts: &request::Parts) -> Result<Timestamp, Problem> {
    let now = services.now();
    services.gate.identify(parts, Act::Ingest, &[Scope::Observe], now)?;
    Ok(now)
}

/// Reads, inflates, decodes and queues a body. Returns what is left of the batch, its rejections, and how many
/// observations were accepted.
async fn take_in<D>(
    services: &Arc<Services>,
    headers: &HeaderMap,
    body: Body,
    source: Source,
    decode: D,
) -> Result<(Batch, usize), Problem>
where
    D: FnOnce(&[u8], &Limits) -> Result<Batch, Error> + Send + 'static,
{
    let encoding = match headers.get(CONTENT_ENCODING).map(HeaderValue::to_str) {
        None => None,
        Some(Ok(encoding)) => Some(encoding.to_owned()),
        Some(Err(_)) => return Err(Error::Encoding.into()),
    };
    let mut held = services.bodies.hold();
    let longest = services.config.body_timeout;
    let bytes = body::read(headers, body, services.limits.body_bytes, longest, &mut held).await?;
    let large = bytes.len() > LARGE || encoding.is_some();
    let most = services.limits.inflated_bytes;
    let limits = services.intake.limits;
    let work = move || {
        let inflated = crate::ingest::body::inflate(encoding.as_deref(), &bytes, most)?;
        decode(&inflated, &limits)
    };
    let decoded = if large {
        // The semaphore is never closed, and a permit less does no harm.
        let permit = Arc::clone(&services.decoders).acquire_owned().await.ok();
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        work.await.map_err(|_| Problem::internal())?
    } else {
        work()
    };
    let mut batch = decoded.map_err(|error| {
        services.intake.rejected(error.reason(), 1);
        Problem::from(error)
    })?;
    let intake = Arc::clone(&services.intake);
    let (batch, offered) = if services.intake.way.writes() && batch.accepted.len() > MANY {
        let offer = move || {
            let offered = intake.offer(&mut batch, source);
            (batch, offered)
        };
        tokio::task::spawn_blocking(offer).await.map_err(|_| Problem::internal())?
    } else {
        let offered = intake.offer(&mut batch, source);
        (batch, offered)
    };
    let (accepted, safe) = offered?;
    if let Some(safe) = safe {
        safe.wait().await;
    }
    Ok((batch, accepted))
}

/// The media type without its parameters, in lower case; `None` when there is none.
fn essence(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.as_bytes();
    let value = String::from_utf8_lossy(value);
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (!essence.is_empty()).then_some(essence)
}
