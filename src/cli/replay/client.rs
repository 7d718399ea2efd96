//! Posts observations to a daemon and does as it says.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use crate::cli::cause;

/// Where and as whom to post.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: String,
}

/// What a daemon answered to a body of native observations.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Answer {
    /// How many it accepted.
    #[serde(default)]
    pub accepted: u64,
    /// What it did not.
    #[serde(default)]
    pub rejected: Vec<Rejected>,
}

/// An observation that the daemon did not accept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Rejected {
    /// Why.
    pub error: String,
}

/// Why a body could not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL is none.
    #[error("--url: {0}")]
    Url(String),
    /// The HTTP client cannot be set up.
    #[error("HTTP cannot be used: {0}")]
    Setup(reqwest::Error),
    /// Nobody answers.
    #[error("the daemon cannot be reached: {}", cause(.0))]
    Unreachable(reqwest::Error),
    /// The daemon refuses.
    #[error("the daemon answers {status}: {detail}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What it says.
        detail: String,
    },
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
}

impl Client {
    /// Tries for a daemon that is away or full, one a second at least.
    const TRIES: u32 = 30;

    /// A client of the daemon at this URL.
    ///
    /// # Errors
    /// When the URL is none or HTTP cannot be used.
    pub fn new(url: &str, token: String) -> Result<Self, ClientError> {
        let base: Url = url.parse().map_err(|_| ClientError::Url("must be like http://127.0.0.1:8080".into()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(ClientError::Url("must begin with http:// or https://".into()));
        }
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().map_err(ClientError::Setup)?;
        Ok(Self { http, base, token })
    }

    /// Posts a body, again and again while the daemon is full or away for a moment.
    ///
    /// # Errors
    /// When the daemon refuses it or stays away.
    pub async fn post(&self, path: &str, content_type: &str, body: Vec<u8>) -> Result<Answer, ClientError> {
        let url = self.base.join(path).map_err(|error| ClientError::Url(error.to_string()))?;
        let body = bytes::Bytes::from(body);
        let mut tries = 0;
        loop {
            tries += 1;
            let request = self.http.post(url.clone()).bearer_auth(&self.token).header("content-type", content_type);
            let wait = match request.body(body.clone()).send().await {
                Ok(response) => match response.status() {
                    status if status.is_success() => return Ok(response.json().await.unwrap_or(NOTHING)),
                    StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS if tries < Self::TRIES => {
                        let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                        header.and_then(|seconds| seconds.parse().ok()).unwrap_or(1)
                    }
                    status => {
                        let problem = response.json::<Problem>().await.ok();
                        let detail = problem.map(|p| if p.detail.is_empty() { p.title } else { p.detail });
                        return Err(ClientError::Refused { status, detail: detail.unwrap_or_default() });
                    }
                },
                Err(error) if error.is_connect() && tries > 1 && tries < Self::TRIES => 1,
                Err(error) => return Err(ClientError::Unreachable(error)),
            };
            tokio::time::sleep(Duration::from_secs(wait)).await;
        }
    }
}

/// An OTLP answer that counts nothing.
const NOTHING: Answer = Answer { accepted: 0, rejected: Vec::new() };
