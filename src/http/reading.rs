//! What is read: state, advice, calibration, metrics, probes.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::{Problem, allow};
use super::services::Services;
use crate::auth::Scope;
use crate::auth::audit::Act;
use crate::domain::AgentId;
use crate::telemetry::Format;

/// `GET /v1/state`.
///
/// The entity tag is weak and tells of the last beat at which more than the clock changed: a client that has that state
/// gets a 304 although `beat` and `ts_ns` have moved on since.
pub(super) async fn state(State(services): State<Arc<Services>>, request: Request) -> Result<Response, Problem> {
    services.gate.identify(&request, Act::State, &[Scope::Stream], services.now())?;
    let hub = &services.streams.hub;
    let document = hub.document().ok_or_else(|| Problem::unavailable("there was no beat yet"))?;
    let etag = HeaderValue::try_from(&document.etag).map_err(|_| Problem::internal())?;
    if matches(request.headers(), &document.etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let headers = [(ETAG, etag), (CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((headers, document.body).into_response())
}

/// Whether `If-None-Match` names the tag, compared weakly (RFC 9110, section 13.1.2).
pub(super) fn matches(headers: &HeaderMap, etag: &str) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|tag| tag.trim() == "*" || strong(tag) == strong(etag))
}

/// `GET /v1/agents/{agent}/advice` and `…/calibration`. An agent's name may hold slashes, encoded or not.
pub(super) async fn agent(
    State(services): State<Arc<Services>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Path(rest) = path.map_err(|_| Problem::not_found())?;
    let (agent, asked) = rest.rsplit_once('/').ok_or_else(Problem::not_found)?;
    let scopes: &[Scope] = match asked {
        "advice" => &[Scope::Observe, Scope::Stream],
        "calibration" => &[Scope::Stream],
        _ => return Err(Problem::not_found()),
    };
    if !matches!(request.method().as_str(), "GET" | "HEAD") {
        return Err(allow("GET,HEAD"));
    }
    services.gate.identify(&request, Act::Advice, scopes, services.now())?;
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "unknown-agent", "no agent of this name is known");
    let agent = AgentId::new(agent).map_err(|_| unknown())?;
    let hub = &services.streams.hub;
    let answer = match asked {
        "calibration" => hub.calibration(&agent).map(|body| {
            let json = HeaderValue::from_static("application/json");
            ([(CONTENT_TYPE, json)], body).into_response()
        }),
        _ => hub.advice(&agent).map(|advice| Json(advice).into_response()),
    };
    answer.ok_or_else(unknown)
}

/// `GET /metrics`.
pub(super) async fn metrics(State(services): State<Arc<Services>>, request: Request) -> Result<Response, Problem> {
    services.gate.identify(&request, Act::Scrape, &[Scope::MetricsRead], services.now())?;
    let metrics = &services.metrics;
    metrics.heartbeat_skew_ms.set(services.pulse.skew_ms());
    metrics.observations_queued.set(i64::try_from(services.intake.way.len()).unwrap_or(i64::MAX));
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    let exposition = Format::accepted(accept).render(&metrics.gather());
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(exposition.content_type))], exposition.body).into_response())
}

#[derive(Serialize)]
struct Probe {
    status: &'static str,
    checks: Checks,
}

#[derive(Serialize)]
struct Checks {
    heart: Check,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Check>,
}

#[derive(Serialize)]
struct Check {
    ok: bool,
    reason: &'static str,
}

fn heart(services: &Services) -> Check {
    let ok = !services.pulse.has_stopped();
    Check { ok, reason: if ok { "beating" } else { "stopped" } }
}

fn probe(checks: Checks) -> Response {
    let ok = checks.heart.ok && checks.phase.as_ref().is_none_or(|phase| phase.ok);
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Probe { status: if ok { "ok" } else { "failing" }, checks })).into_response()
}

/// `GET /livez`: whether the heart beats. Nothing outside the process counts, least of all the store: an outage there
/// would restart every pod.
pub(super) async fn livez(State(services): State<Arc<Services>>) -> Response {
    probe(Checks { heart: heart(&services), phase: None })
}

/// `GET /readyz`: whether to send traffic here.
pub(super) async fn readyz(State(services): State<Arc<Services>>) -> Response {
    let phase = Check { ok: services.readiness.is_ready(), reason: services.readiness.as_str() };
    probe(Checks { heart: heart(&services), phase: Some(phase) })
}
