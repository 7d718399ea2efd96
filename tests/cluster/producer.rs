//! Producers: send observations through the balancer, and keep books.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::balancer::Balancer;
use crate::history::History;
use crate::support::token;

/// What was sent in an agent's name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Observations that were acknowledged.
    pub acknowledged: u64,
    /// Observations whose answer never came.
    pub unknown: u64,
}

pub type Books = Arc<Mutex<BTreeMap<String, Sent>>>;

pub struct Producer {
    pub agent: String,
    /// Whether observations carry an `id`, so that they can be sent again.
    pub identified: bool,
    pub balancer: Balancer,
    pub history: Arc<History>,
    pub books: Books,
    pub seed: u64,
}

enum Outcome {
    Accepted,
    /// Nothing was taken in.
    Refused,
    Unknown,
}

impl Producer {
    pub async fn run(self, stop: CancellationToken) {
        let mut random = StdRng::seed_from_u64(self.seed);
        let token = token(&self.agent, "metacog.observe");
        // Each request on a connection of its own, so that each may go to another pod.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).timeout(Duration::from_secs(4)).build();
        let http = http.expect("a client");
        let mut serial = 0u64;
        while !stop.is_cancelled() {
            let batch: Vec<_> =
                (0..random.random_range(1..20u64)).map(|number| self.observation(serial + number)).collect();
            let count = batch.len() as u64;
            serial += count;
            let body = Value::Array(batch);
            loop {
                match self.send(&http, &token, &body, count).await {
                    Outcome::Accepted => self.book(|sent| sent.acknowledged += count),
                    Outcome::Unknown if !self.identified => self.book(|sent| sent.unknown += count),
                    Outcome::Refused | Outcome::Unknown => {
                        sleep(Duration::from_millis(random.random_range(50..200))).await;
                        continue;
                    }
                }
                break;
            }
            sleep(Duration::from_millis(random.random_range(1..40))).await;
        }
    }

    fn observation(&self, serial: u64) -> Value {
        let mut observation = json!({"agent": self.agent, "kind": "action", "tool": format!("tool-{}", serial % 7)});
        if self.identified {
            observation["id"] = json!(format!("{}-{serial}", self.agent));
        }
        observation
    }

    fn book(&self, entry: impl FnOnce(&mut Sent)) {
        entry(self.books.lock().unwrap().entry(self.agent.clone()).or_default());
    }

    async fn send(&self, http: &reqwest::Client, token: &str, body: &Value, count: u64) -> Outcome {
        let url = format!("http://{}/v1/observations", self.balancer.address);
        let response = match http.post(url).bearer_auth(token).json(body).send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Outcome::Refused,
            Err(_) => return self.unknown(),
        };
        let status = response.status().as_u16();
        let Ok(answer) = response.json::<Value>().await else { return self.unknown() };
        match status {
            202 => {
                if answer["accepted"] != count || answer["rejected"] != json!([]) {
                    self.history.wrong(format!("{}: {count} were sent, and answered with {answer}", self.agent));
                }
                Outcome::Accepted
            }
            429 | 503 => {
                self.history.count("refused");
                Outcome::Refused
            }
            _ => {
                self.history.wrong(format!("{}: {status} {answer}", self.agent));
                Outcome::Refused
            }
        }
    }

    fn unknown(&self) -> Outcome {
        self.history.count("unanswered");
        Outcome::Unknown
    }
}
