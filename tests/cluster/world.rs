//! The pods and what they stand on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::balancer::Balancer;
use crate::dashboard::is_led;
use crate::gate::Gate;
use crate::history::History;
use crate::schedule::{Fault, Kind, Who};
use crate::servers::Servers;
use crate::support::{Daemon, eventually, token};

pub const PODS: usize = 3;
pub const INTERVAL: Duration = Duration::from_millis(100);
/// Longest time until all is well again once nothing is wrong any more, on a busy machine.
const RECOVERY: Duration = Duration::from_secs(40);

pub struct World {
    pub servers: Servers,
    pub balancer: Balancer,
    pub history: Arc<History>,
    pub pods: Vec<Pod>,
    /// What ended processes logged.
    pub logs: Vec<(String, Vec<String>)>,
    /// Processes that were killed while they held alone what they had acknowledged: Redis was too slow for them.
    pub excused: Vec<String>,
}

pub struct Pod {
    pub daemon: Option<Daemon>,
    gate: Option<Gate>,
    lives: u32,
    frozen: bool,
    name: String,
}

impl World {
    pub async fn start(kind: Kind, history: Arc<History>) -> Self {
        let servers = Servers::start(kind).await;
        let mut pods = Vec::new();
        for _ in 0..PODS {
            let gate = match servers.port() {
                Some(port) => Some(Gate::before(port).await),
                None => None,
            };
            pods.push(Pod { daemon: None, gate, lives: 0, frozen: false, name: String::new() });
        }
        let balancer = Balancer::start(PODS).await;
        let mut world = Self { servers, balancer, history, pods, logs: Vec::new(), excused: Vec::new() };
        for pod in 0..PODS {
            world.raise(pod).await;
        }
        world
    }

    /// Starts a process in this place.
    async fn raise(&mut self, pod: usize) {
        let place = &mut self.pods[pod];
        place.lives += 1;
        place.name = format!("pod-{pod}.{}", place.lives);
        let url = match &place.gate {
            Some(gate) => format!("redis://{}", gate.address),
            None => self.servers.url(),
        };
        let settings = [
            ("redis__url", url.as_str()),
            ("cluster__instance", &place.name),
            ("shutdown__grace", "15s"),
            ("shutdown__drain", "1s"),
            ("snapshot__interval", "2s"),
            // Each agent in a part of its own.
            ("redis__value_bytes", "4096"),
            ("log__filter", "info,consciousness_system::app=debug"),
        ];
        let daemon = Daemon::start(&settings).await;
        self.history.note(format!("{} is ready", place.name));
        self.balancer.route(pod, Some(daemon.address));
        place.daemon = Some(daemon);
    }

    async fn raise_all(&mut self) {
        for pod in 0..PODS {
            if self.pods[pod].daemon.is_none() {
                self.raise(pod).await;
            }
        }
    }

    pub async fn perform(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(who) => {
                if let Some(pod) = self.find(who).await {
                    self.kill(pod).await;
                }
            }
            Fault::Terminate(who) => {
                if let Some(pod) = self.find(who).await {
                    self.terminate(pod).await;
                }
            }
            Fault::Freeze(who) => {
                if let Some(pod) = self.find(who).await {
                    self.history.note(format!("{} is frozen", self.pods[pod].name));
                    self.daemon(pod).signal("STOP").await;
                    self.pods[pod].frozen = true;
                }
            }
            Fault::Part(who, cut) => {
                if let Some(pod) = self.find(who).await {
                    self.history.note(format!("{} is cut off: {cut:?}", self.pods[pod].name));
                    self.pods[pod].gate.as_ref().expect("a gate").cut(Some(cut));
                }
            }
            Fault::Roll => {
                for pod in 0..PODS {
                    self.terminate(pod).await;
                    self.raise(pod).await;
                }
            }
            Fault::KillRedis => {
                self.history.note("redis is killed");
                self.servers.kill().await;
            }
            Fault::FreezeRedis => {
                self.history.note("redis is frozen");
                self.servers.freeze().await;
            }
            Fault::Switch => {
                self.history.note("the sentinels are told to change masters");
                self.servers.switch().await;
            }
            Fault::Rest => sleep(Duration::from_millis(1500)).await,
            Fault::Raise => self.raise_all().await,
        }
    }

    /// Mends everything, and waits until it is well.
    pub async fn heal(&mut self) {
        self.servers.heal().await;
        for pod in 0..PODS {
            if let Some(gate) = &self.pods[pod].gate {
                gate.cut(None);
            }
            if std::mem::take(&mut self.pods[pod].frozen) {
                self.history.note(format!("{} goes on", self.pods[pod].name));
                self.daemon(pod).signal("CONT").await;
            }
        }
        self.history.note("all is healed");
        self.raise_all().await;
        self.servers.in_step().await;
        let began = Instant::now();
        let mut seen = Vec::new();
        while began.elapsed() < RECOVERY {
            seen.clear();
            for pod in 0..PODS {
                seen.push(self.look(pod).await);
            }
            let first = (seen[0]["epoch"].clone(), seen[0]["state"]["cluster"].clone());
            let well = |body: &Value| {
                let same = (&body["epoch"], &body["state"]["cluster"]) == (&first.0, &first.1);
                same && is_led(&body["state"]) && body["state"]["store"]["mode"] == "redis"
            };
            if seen.iter().all(well) {
                self.history.note(format!("all is well after {:?}: {}", began.elapsed(), first.1));
                self.all_sent().await;
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        let told: Vec<_> = seen.iter().map(|body| format!("{} {}", body["epoch"], body["state"]["cluster"])).collect();
        self.history.wrong(format!("it is not well after {RECOVERY:?}: {}", told.join(", ")));
    }

    /// Waits until no pod holds what Redis does not.
    async fn all_sent(&self) {
        let began = Instant::now();
        for pod in 0..PODS {
            while self.daemon(pod).metric("spool_unsent_observations").await > 0.0 {
                if began.elapsed() > RECOVERY {
                    self.history.wrong(format!("{} sends Redis nothing after {RECOVERY:?}", self.pods[pod].name));
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    fn daemon(&self, pod: usize) -> &Daemon {
        self.pods[pod].daemon.as_ref().expect("it runs")
    }

    /// What a pod answers to `/v1/state`; null where it does not.
    pub async fn look(&self, pod: usize) -> Value {
        let Some(daemon) = &self.pods[pod].daemon else { return Value::Null };
        let request = daemon.http.get(daemon.url("/v1/state")).bearer_auth(token("reader", "metacog.stream"));
        let answer = timeout(Duration::from_secs(2), async { request.send().await.ok()?.json().await.ok() });
        answer.await.ok().flatten().unwrap_or(Value::Null)
    }

    async fn find(&self, who: Who) -> Option<usize> {
        let able: Vec<_> =
            (0..PODS).filter(|pod| self.pods[*pod].daemon.is_some() && !self.pods[*pod].frozen).collect();
        let mut leader = None;
        for &pod in &able {
            let told = self.look(pod).await["state"]["cluster"]["leader"].as_str().map(str::to_owned);
            leader = leader.or(able.iter().copied().find(|able| Some(&self.pods[*able].name) == told.as_ref()));
        }
        let mut others = able.iter().copied().filter(|pod| Some(*pod) != leader);
        match who {
            Who::Leader => leader,
            Who::Second => others.next(),
            Who::Third => others.nth(1).or(leader),
        }
    }

    /// `kill -9`, at a moment when all that it acknowledged is in Redis.
    async fn kill(&mut self, pod: usize) {
        let name = self.pods[pod].name.clone();
        let Some(mut daemon) = self.pods[pod].daemon.take() else { return };
        eventually("redis to have what was acknowledged", || async { (!holds_alone(&daemon)).then_some(()) }).await;
        self.history.note(format!("{name} is killed"));
        self.balancer.route(pod, None);
        daemon.signal("KILL").await;
        daemon.exit().await;
        if holds_alone(&daemon) {
            self.excused.push(name.clone());
        }
        self.logs.push((name, daemon.log()));
    }

    /// SIGTERM, as an orchestrator does: the balancer hears of it a little later.
    async fn terminate(&mut self, pod: usize) {
        let name = self.pods[pod].name.clone();
        let Some(mut daemon) = self.pods[pod].daemon.take() else { return };
        self.history.note(format!("{name} is told to end"));
        daemon.signal("TERM").await;
        sleep(Duration::from_millis(200)).await;
        self.balancer.route(pod, None);
        let code = daemon.exit().await;
        self.history.note(format!("{name} has ended"));
        if code != Some(0) {
            self.history.wrong(format!("{name} ended with {code:?}"));
        }
        self.logs.push((name, daemon.log()));
    }

    /// What all processes logged, whole lines.
    pub fn all_logs(&self) -> Vec<(String, Vec<String>)> {
        let running = self.pods.iter().filter_map(|pod| Some((pod.name.clone(), pod.daemon.as_ref()?.log())));
        self.logs.iter().cloned().chain(running).collect()
    }
}

/// Whether it said last that it cannot reach Redis with what it accepts.
fn holds_alone(daemon: &Daemon) -> bool {
    let told = |line: &&String| {
        line.contains("observations are held in memory alone") || line.contains("observations go to redis again")
    };
    daemon.log().iter().rfind(told).is_some_and(|line| line.contains("in memory alone"))
}
