//! The route table.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};

use super::problem::Problem;
use super::services::Services;
use super::{observations, page, reading, streams, upgrade};

/// All routes.
pub fn router(services: Arc<Services>) -> Router {
    let tls = services.config.tls();
    let router = Router::new()
        .route("/v1/stream", get(upgrade::stream))
        .route("/v1/streams", get(streams::list))
        .route("/v1/streams/{id}", delete(streams::cut))
        .route("/v1/state", get(reading::state))
        // Agents' names may hold slashes.
        .route("/v1/agents/{*rest}", any(reading::agent))
        .route("/v1/observations", post(observations::native))
        .route("/v1/traces", post(observations::traces))
        .route("/v1/logs", post(observations::logs))
        .route("/metrics", get(reading::metrics))
        .route("/livez", get(reading::livez))
        .route("/readyz", get(reading::readyz))
        .route("/", get(page::page))
        .route("/client.js", get(page::page))
        .route("/client.d.ts", get(page::page))
        .route("/assets/{name}", get(page::asset))
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .fallback(|| async { Problem::not_found() })
        .layer(from_fn(guarded))
        .with_state(services);
    if tls { router.layer(map_response(secured)) } else { router }
}

/// Turns a panic into an answer, and adds the headers that every answer has.
async fn guarded(request: Request, next: Next) -> Response {
    let mut handling = pin!(next.run(request));
    // A handler that panicked is not polled again, and what it shares is guarded by locks that don't poison.
    let handled = std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| handling.as_mut().poll(cx))) {
        Ok(Poll::Ready(response)) => Poll::Ready(Some(response)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(None),
    });
    let mut response = handled.await.unwrap_or_else(|| {
        tracing::error!("a request handler panicked");
        Problem::internal().into_response()
    });
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Has browsers come by TLS alone from now on, for a year (RFC 6797).
async fn secured(mut response: Response) -> Response {
    response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        async fn broken() -> Response {
            panic!("a mistake of ours")
        }
        let router = Router::new().route("/", get(broken)).layer(from_fn(guarded));
        let service = hyper_util::service::TowerToHyperService::new(router);
        let request = Request::new(axum::body::Body::empty());
        let response = hyper::service::Service::call(&service, request).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}
