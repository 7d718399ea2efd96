//! Request bodies: bounded in size, in time, and in memory over all requests.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::memory::Held;
use super::problem::Problem;

/// How much of a body that is too large is read on, so that its sender, who may not look for an answer before it has sent
/// all, gets one.
const READ_ON: usize = 64 * 1024 * 1024;

/// Reads a whole body.
///
/// # Errors
/// 413 over `limit` bytes, 408 after `longest`, 503 when other requests hold too much memory, 400 when the connection
/// breaks off.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
    longest: Duration,
    held: &mut Held,
) -> Result<Bytes, Problem> {
    let deadline = Instant::now() + longest;
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(body, limit, deadline).await);
    }
    let mut whole: Vec<u8> = Vec::new();
    while let Some(chunk) = chunk(&mut body, deadline).await? {
        if whole.len() + chunk.len() > limit {
            return Err(too_large(body, limit, deadline).await);
        }
        if !held.more(chunk.len()) {
            return Err(Problem::unavailable("too many bodies are being read"));
        }
        if whole.is_empty() {
            // As much as was announced at once, but not on the word of a client that sends nothing.
            whole.reserve_exact(announced.unwrap_or_default().min(chunk.len().saturating_mul(16)));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.into())
}

async fn chunk(body: &mut Body, deadline: Instant) -> Result<Option<Bytes>, Problem> {
    loop {
        match timeout_at(deadline, body.frame()).await {
            Err(_) => return Err(Problem::body_timeout()),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => {
                let status = axum::http::StatusCode::BAD_REQUEST;
                return Err(Problem::new(status, "malformed", "the body broke off"));
            }
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

async fn too_large(mut body: Body, limit: usize, deadline: Instant) -> Problem {
    let mut read = 0;
    while read < READ_ON {
        match chunk(&mut body, deadline).await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) | Err(_) => break,
        }
    }
    Problem::too_large(limit)
}
