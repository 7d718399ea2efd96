//! What makes a pod one among several: its tasks, put together.

use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::heart::{FromHeart, Order};
use super::pod::Pod;
use super::relay::{self, Relay, Wants};
use super::role::{Duty, Role};
use crate::cluster::{self, Courier, FrameReader, FrameWriter, Keeper, Lease, Registrar, Spool, Tenure, Wishes};
use crate::config::Config;
use crate::link::Endpoint;
use crate::store::Store;
use crate::stream::Hub;
use crate::telemetry::Metrics;

/// A pod among several.
pub(super) struct Company {
    pod: Pod,
    keeper: Keeper,
    spool: Spool,
    tenure: Tenure,
    links: Endpoint,
    role: watch::Receiver<Role>,
}

impl Company {
    /// A pod with these settings, not yet started.
    pub(super) fn new(
        config: &Config,
        redis: &Endpoint,
        store: Store,
        hub: &Arc<Hub>,
        orders: std_mpsc::Sender<Order>,
        metrics: &Metrics,
    ) -> Self {
        let life = config.cluster.lease;
        let link = redis.link_within(config.redis.response_timeout.min(life / 3));
        let links = redis.clone();
        let host = gethostname::gethostname();
        let instance = config.cluster.instance(&host.to_string_lossy(), std::process::id());
        let lease = Lease::new(cluster::Settings::of_life(life));
        let (tenure, keeper) = Tenure::new(lease, Registrar::new(link, instance.as_str(), rand::random(), life));
        let spool = Spool::new(rand::random::<u64>() >> 1, config.limits.queue, config.cluster.spool_bytes);
        let (role, seen) = watch::channel(Role { duty: Duty::Starting, leader: None });
        let pod = Pod {
            instance,
            engine: config.engine(),
            interval: config.heart.interval,
            lease: life,
            boot_timeout: config.redis.boot_timeout,
            links: links.clone(),
            spool: spool.clone(),
            tenure: tenure.clone(),
            hub: Arc::clone(hub),
            orders,
            role,
            metrics: metrics.clone(),
            tasks: TaskTracker::new(),
            store: Some(store),
            time: None,
            led_at: tokio::time::Instant::now(),
        };
        Self { pod, keeper, spool, tenure, links, role: seen }
    }

    /// Where what is accepted lies.
    pub(super) fn spool(&self) -> Spool {
        self.spool.clone()
    }

    /// Starts all tasks. Returns what ends when the pod has handed over, when all that was accepted is in Redis, and when
    /// nothing is shown any more. The first two end after the tokens are cancelled.
    pub(super) fn start(
        self,
        hub: &Arc<Hub>,
        heart: mpsc::Receiver<FromHeart>,
        metrics: &Metrics,
        tasks: &TaskTracker,
        (retiring, settling): (CancellationToken, CancellationToken),
        last_steps: Duration,
    ) -> (JoinHandle<()>, JoinHandle<()>, JoinHandle<()>) {
        let Self { mut pod, keeper, spool, tenure, links, role } = self;
        let (noticed, notices) = mpsc::channel(relay::BEATS_AHEAD);
        let (telling, told) = mpsc::channel(relay::BEATS_AHEAD);
        let wants = Wants::default();
        pod.tasks = tasks.clone();
        tasks.spawn(keeper.run());
        tasks.spawn(relay::read(
            FrameReader::new(links.patient_link(FrameReader::BLOCK)),
            noticed,
            role.clone(),
            tenure.clone(),
        ));
        tasks.spawn(relay::tell(FrameWriter::new(links.link()), told, wants.clone(), tenure.clone()));
        tasks.spawn(relay::ask(Wishes::new(links.link()), wants.clone()));
        let courier = Courier::new(spool, links.link(), metrics.clone());
        let relay = Relay {
            hub: Arc::clone(hub),
            heart,
            notices,
            role,
            telling,
            wants,
            tenure,
            metrics: metrics.clone(),
            synced: None,
            made_up: false,
            held: None,
        };
        let retired = tasks.spawn(pod.run(retiring, last_steps));
        let settled = tasks.spawn(courier.run(settling));
        (retired, settled, tasks.spawn(relay.run()))
    }
}
