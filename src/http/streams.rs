//! `/v1/streams`: which client is it, and out with it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;
use super::services::Services;
use crate::auth::Scope;
use crate::auth::audit::Act;
use crate::stream::Row;

#[derive(Serialize)]
struct Listing {
    streams: Vec<Row>,
}

/// `GET /v1/streams`: the streams of this process, those with the most drops first.
pub(super) async fn list(State(services): State<Arc<Services>>, request: Request) -> Result<Response, Problem> {
    services.gate.identify(&request, Act::Admin, &[Scope::Admin], services.now())?;
    let mut streams = services.streams.registry.list();
    streams.sort_by_cached_key(|row| {
        (std::cmp::Reverse(row.backpressure_drops + row.rate_limit_drops), row.opened, row.id.clone())
    });
    Ok(Json(Listing { streams }).into_response())
}

/// `DELETE /v1/streams/{id}`: closes one with 4403.
pub(super) async fn cut(
    State(services): State<Arc<Services>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let by = services.gate.identify(&request, Act::Admin, &[Scope::Admin], services.now())?;
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "unknown-stream", "no stream of this id is open here");
    let Path(id) = path.map_err(|_| unknown())?;
    let holder = services.streams.registry.cut(&id).ok_or_else(unknown)?;
    services.gate.cut((&request).into(), &by, &holder, services.now());
    // Control characters are no part of a `sub`, and the log escapes the rest.
    tracing::warn!(id, sub = &*holder.subject, address = %holder.address, by = &*by.subject, "a stream is cut off");
    Ok(StatusCode::NO_CONTENT.into_response())
}
