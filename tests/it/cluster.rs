//! Many pods, one heart.

mod outage;
mod takeover;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{Daemon, Redis, Set, connect, eventually, token, try_connect, within};

/// Several daemons on one Redis.
struct Pods {
    pods: Vec<Arc<Daemon>>,
}

impl Pods {
    /// Starts so many, one after the other: the first one leads.
    async fn start(redis: &Redis, count: usize, settings: &[Set<'_>]) -> Self {
        let mut pods = Vec::new();
        for number in 1..=count {
            pods.push(Arc::new(pod(&redis.url(), number, settings).await));
        }
        Self { pods }
    }

    /// The one of these that says that it leads, once exactly one does.
    async fn leader(&self, among: &[usize]) -> usize {
        eventually("one pod to lead", || async {
            let mut leading = Vec::new();
            for pod in among {
                if self.pods[*pod].metric("leader").await == 1.0 {
                    leading.push(*pod);
                }
            }
            (leading.len() == 1).then(|| leading[0])
        })
        .await
    }

    /// Waits until these pods show so many observations of this agent, and that somebody leads.
    async fn count(&self, among: &[usize], agent: &str, count: u64) {
        for pod in among {
            let counted =
                |state: &Value| state["agents"][agent]["observations"] == count && state["cluster"]["status"] == "led";
            self.pods[*pod].state_when(&format!("{count} observations of {agent} on pod {pod}"), counted).await;
        }
    }

    /// Waits until a pod says so.
    async fn is(&self, pod: usize, status: &str, mode: &str) {
        let what = format!("pod {pod} to be {status} with its state in {mode}");
        let is = |state: &Value| state["cluster"]["status"] == status && state["store"]["mode"] == mode;
        self.pods[pod].state_when(&what, is).await;
    }
}

async fn pod(url: &str, number: usize, settings: &[Set<'_>]) -> Daemon {
    let name = format!("pod-{number}");
    let mut all = vec![
        ("redis__url", url),
        ("cluster__instance", name.as_str()),
        ("cluster__lease", "1s"),
        ("redis__boot_timeout", "300ms"),
    ];
    all.extend_from_slice(settings);
    Daemon::start(&all).await
}

/// Observations of one agent, sent to one pod one after the other.
struct Flow {
    accepted: Arc<AtomicU64>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Flow {
    fn to(pod: &Arc<Daemon>, agent: &'static str) -> Self {
        let (accepted, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let (pod, counting, until) = (Arc::clone(pod), Arc::clone(&accepted), stop.clone());
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(15));
            while !until.is_cancelled() {
                pace.tick().await;
                let two = json!([{"agent": agent, "kind": "thought"}, {"agent": agent, "kind": "thought"}]);
                let (status, answer) = pod.observe(&two).await;
                assert_eq!((status, &answer["accepted"]), (202, &json!(2)), "{answer}");
                counting.fetch_add(2, Ordering::SeqCst);
            }
        });
        Self { accepted, stop, task }
    }

    /// Waits until so many more were accepted.
    async fn goes_on(&self, more: u64) {
        let before = self.accepted.load(Ordering::SeqCst);
        eventually("observations to flow on", || async {
            (self.accepted.load(Ordering::SeqCst) >= before + more).then_some(())
        })
        .await;
    }

    /// Ends it; how many were accepted.
    async fn ends(self) -> u64 {
        self.stop.cancel();
        within("the flow to end", self.task).await.expect("all was accepted");
        self.accepted.load(Ordering::SeqCst)
    }
}

/// Follows a pod's stream, whose epochs and beats may only rise, until told to stop; how many data frames came.
fn watch(pod: &Arc<Daemon>, stop: &CancellationToken) -> JoinHandle<u64> {
    let (pod, stop) = (Arc::clone(pod), stop.clone());
    tokio::spawn(async move {
        let mut stream = connect(&pod, &token("dashboard", "metacog.stream")).await;
        let (mut last, mut frames) = ((0, 0), 0);
        loop {
            let frame = tokio::select! {
                frame = stream.next() => frame.expect("the stream stays open"),
                () = stop.cancelled() => return frames,
            };
            if ["state", "delta"].contains(&frame["type"].as_str().expect("frames have a type")) {
                let now = (stream.epoch, stream.beat);
                assert!(now > last, "{now:?} after {last:?}");
                (last, frames) = (now, frames + 1);
            }
        }
    })
}

#[tokio::test]
async fn one_leads_and_all_show_the_same() {
    let redis = Redis::start().await;
    let pods = Pods::start(&redis, 3, &[]).await;
    assert_eq!(pods.leader(&[0, 1, 2]).await, 0);
    for pod in &pods.pods {
        let (status, answer) = pod
            .observe(&json!([{"agent": "a", "kind": "thought"}, {"agent": "a", "id": "x", "kind": "thought"}]))
            .await;
        assert_eq!((status, &answer["accepted"]), (202, &json!(2)));
    }
    // The one that has an id counts once.
    pods.count(&[0, 1, 2], "a", 4).await;
    for pod in &pods.pods {
        assert_eq!(pod.state().await["state"]["cluster"], json!({"status": "led", "leader": "pod-1"}));
        let (status, advice) = pod.get_as("metacog.observe", "/v1/agents/a/advice").await;
        assert_eq!((status, &advice["advice"]), (200, &json!("continue")));
    }
    eventually("the same beat on two pods", || async {
        let (here, there) = (pods.pods[0].state().await, pods.pods[2].state().await);
        if here["beat"] != there["beat"] {
            return None;
        }
        assert_eq!(here, there);
        Some(())
    })
    .await;
    let latest = eventually("the stored state", || async {
        Some(redis.latest().await).filter(|latest| latest["agents"]["a"]["observations"] == 4)
    });
    let latest = latest.await;
    assert_eq!(latest["epoch"], 1);
    // What is stored is let go of.
    eventually("the spools to be empty", || async {
        let mut held = 0.0;
        for pod in &pods.pods {
            held += pod.metric("spool_observations").await;
        }
        (held == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stream_goes_on_at_another_pod() {
    let redis = Redis::start().await;
    let pods = Pods::start(&redis, 2, &[]).await;
    pods.pods[1].observe(&json!({"agent": "a", "kind": "thought"})).await;
    pods.count(&[0, 1], "a", 1).await;
    let mut stream = connect(&pods.pods[0], &token("dashboard", "metacog.stream")).await;
    stream.until("the agent", |state| state["agents"]["a"]["observations"] == 1).await;
    let (ticket, epoch, beat) = (stream.hello["resume"].as_str().unwrap().to_owned(), stream.epoch, stream.beat);
    let known = stream.state.clone();
    drop(stream);
    pods.pods[0].observe(&json!({"agent": "b", "kind": "thought"})).await;
    pods.count(&[1], "b", 1).await;
    let path = format!("/v1/stream?since={epoch}:{beat}");
    let protocols = format!("metacog.v1, resume.{ticket}");
    let mut again = try_connect(&pods.pods[1], &path, &[("sec-websocket-protocol", &protocols)]).await.unwrap();
    (again.state, again.epoch, again.beat) = (known, epoch, beat);
    let frame = again.next().await.unwrap();
    assert_eq!((&frame["type"], &frame["base"]), (&json!("delta"), &json!(beat)), "only what was missed");
    again.until("both agents", |state| state["agents"]["a"].is_object() && state["agents"]["b"].is_object()).await;
}
