//! What goes wrong, as clients are told: RFC 9457 problem details.

use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::auth;
use crate::ingest;

/// When to try again after a 503, in seconds.
const RETRY: &str = "1";

/// A problem. Its texts are fixed or name fields and limits; they quote nothing of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub status: StatusCode,
    /// Last part of the stable `type`.
    pub slug: &'static str,
    pub detail: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    /// The same as a `google.rpc.Status`, which OTLP clients look for.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, slug: &'static str, detail: impl Into<String>) -> Self {
        Self { status, slug, detail: detail.into(), headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "there is nothing here")
    }

    pub(super) fn unavailable(detail: &'static str) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
        problem.with(RETRY_AFTER, HeaderValue::from_static(RETRY))
    }

    pub(super) fn denied() -> Self {
        Self::new(StatusCode::FORBIDDEN, "denied", "this address may not connect")
    }

    pub(super) fn too_many_of_address() -> Self {
        let detail = "too many connections from this address";
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-connections", detail);
        problem.with(RETRY_AFTER, HeaderValue::from_static(RETRY))
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", format!("the body is larger than {limit} bytes"))
    }

    pub(super) fn body_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not arrive in time")
    }

    pub(super) fn wrong_type(accepted: &'static str) -> Self {
        let detail = format!("the Content-Type must be one of {accepted}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail)
    }

    pub(super) fn not_an_upgrade() -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, "upgrade-required", "this is a WebSocket, version 13")
            .with(UPGRADE, HeaderValue::from_static("websocket"))
            .with(axum::http::header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "see the header Allow")
    }

    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the daemon made a mistake; see its log")
    }

    /// The gRPC code nearest to the status, as OTLP has it.
    fn code(&self) -> i32 {
        match self.status.as_u16() {
            401 => 16,
            403 => 7,
            404 => 5,
            408 => 4,
            413 | 429 => 8,
            503 => 14,
            500 => 13,
            _ => 3,
        }
    }

    /// The answer to an OTLP client. The OTLP specification wants a `google.rpc.Status` in the request's encoding: in
    /// protobuf it is one, and in JSON it is problem details that have the members of one.
    pub(super) fn into_otlp_response(self, encoding: Option<ingest::otlp::Encoding>) -> Response {
        let code = self.code();
        match encoding {
            Some(encoding @ ingest::otlp::Encoding::Protobuf) => {
                let (content_type, body) = ingest::otlp::status_body(encoding, code, &self.detail);
                self.respond(content_type, body)
            }
            _ => {
                let body = self.json(Some(code));
                self.respond(PROBLEM_JSON, body)
            }
        }
    }

    fn json(&self, code: Option<i32>) -> Vec<u8> {
        let body = Body {
            r#type: format!("urn:consciousness-system:problem:{}", self.slug),
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            code,
            message: code.map(|_| &*self.detail),
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }

    fn respond(self, content_type: &'static str, body: Vec<u8>) -> Response {
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        response
    }
}

const PROBLEM_JSON: &str = "application/problem+json";

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.json(None);
        self.respond(PROBLEM_JSON, body)
    }
}

impl From<auth::Refusal> for Problem {
    fn from(refusal: auth::Refusal) -> Self {
        let status = refusal.status();
        let slug = match status.as_u16() {
            400 => "bad-credentials",
            401 => "unauthorized",
            403 => "forbidden",
            _ => "unavailable",
        };
        let problem = Self::new(status, slug, refusal.detail());
        match (status.as_u16(), HeaderValue::try_from(refusal.www_authenticate())) {
            (503, _) => problem.with(RETRY_AFTER, HeaderValue::from_static(RETRY)),
            (400 | 401 | 403, Ok(value)) => problem.with(WWW_AUTHENTICATE, value),
            _ => problem,
        }
    }
}

impl From<ingest::Error> for Problem {
    fn from(error: ingest::Error) -> Self {
        let (status, slug) = match error {
            ingest::Error::TooMany { .. } | ingest::Error::TooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too-large")
            }
            ingest::Error::Encoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-encoding"),
            _ => (StatusCode::BAD_REQUEST, "malformed"),
        };
        let problem = Self::new(status, slug, error.to_string());
        match error {
            // RFC 9110, section 15.5.16: says which codings would have been taken.
            ingest::Error::Encoding => {
                let known = HeaderValue::from_static("gzip, deflate, identity");
                problem.with(axum::http::header::ACCEPT_ENCODING, known)
            }
            _ => problem,
        }
    }
}

impl From<ingest::queue::OfferError> for Problem {
    fn from(error: ingest::queue::OfferError) -> Self {
        use ingest::queue::OfferError;
        match error {
            OfferError::Full { retry_after } => {
                let seconds = retry_after.as_secs().max(1);
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "queue-full", error.to_string())
                    .with(RETRY_AFTER, HeaderValue::from(seconds))
            }
            OfferError::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", error.to_string()),
            OfferError::Closed => Self::unavailable("the daemon is stopping"),
        }
    }
}

/// Adds the methods that a path knows to its 405.
pub(super) fn allow(methods: &'static str) -> Problem {
    Problem::method_not_allowed().with(ALLOW, HeaderValue::from_static(methods))
}
