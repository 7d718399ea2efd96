//! All metrics of the daemon in one injected struct; the doc comment of each field is its help text.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// How a field of [`Metrics`] is made from its name, its help and what stands behind it in the declaration.
trait Metric: Collector + Clone + Sized + 'static {
    type Shape: ?Sized;
    fn make(name: &str, help: &str, shape: &Self::Shape) -> prometheus::Result<Self>;
}

macro_rules! scalar {
    ($($metric:ty),*) => {$(
        impl Metric for $metric {
            type Shape = ();
            fn make(name: &str, help: &str, (): &()) -> prometheus::Result<Self> {
                Self::new(name, help)
            }
        }
    )*};
}
macro_rules! labelled {
    ($($metric:ty),*) => {$(
        impl Metric for $metric {
            type Shape = [&'static str];
            fn make(name: &str, help: &str, labels: &[&'static str]) -> prometheus::Result<Self> {
                Self::new(Opts::new(name, help), labels)
            }
        }
    )*};
}
scalar!(Gauge, IntCounter, IntGauge);
labelled!(GaugeVec, IntCounterVec, IntGaugeVec);

impl Metric for Histogram {
    type Shape = [f64];
    fn make(name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
    }
}

macro_rules! metrics {
    ($(#[doc = $help:literal] $field:ident: $metric:ty $(= $shape:expr)?,)*) => {
        /// Every metric the daemon exports. Names with `_ms` are the runbook's; all others are in base units.
        #[derive(Debug, Clone)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: $metric,)*
        }

        impl Metrics {
            /// Registers all of them, and the process's own.
            ///
            /// # Errors
            /// When two have one name or one's name or labels are malformed: a mistake in the declaration.
            pub fn new() -> prometheus::Result<Self> {
                let registry = Registry::new();
                $(
                    let $field = <$metric as Metric>::make(stringify!($field), $help.trim(), metrics!(@shape $($shape)?))?;
                    registry.register(Box::new($field.clone()))?;
                )*
                registry.register(Box::new(ProcessCollector::for_self()))?;
                Ok(Self { registry, $($field,)* })
            }
        }
    };
    (@shape) => { &() };
    (@shape $shape:expr) => { &$shape };
}

const ANALYSIS_MS: [f64; 16] =
    [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0];
const SKEW_SECONDS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

metrics! {
    /// Time a beat's analysis took, in milliseconds.
    metacog_analysis_latency_ms: Histogram = ANALYSIS_MS,
    /// How late the heart is, in milliseconds: the last beat's lateness or how overdue the next one is, whichever is more.
    heartbeat_skew_ms: Gauge,
    /// Lateness of each beat, in seconds.
    heartbeat_skew_seconds: Histogram = SKEW_SECONDS,
    /// Beats that were made.
    heartbeat_beats_total: IntCounter,
    /// Beats that were due and not made.
    heartbeat_missed_total: IntCounter,
    /// Beats due over the life of the state, downtime included, as its leader tells them.
    heartbeat_state_due_total: IntCounter,
    /// Those of them that were made.
    heartbeat_state_made_total: IntCounter,
    /// Frames given up for slow clients.
    ws_backpressure_drops_total: IntCounter,
    /// Frames of clients dropped because they came too fast.
    ws_rate_limit_drops_total: IntCounter,
    /// Requests refused because the token lacks the scope.
    ws_scope_reject_total: IntCounter,
    /// Frames sent on streams.
    ws_frames_sent_total: IntCounter,
    /// Beats merged into a later frame, for clients that are slow or asked for fewer.
    ws_frames_merged_total: IntCounter,
    /// Open streams.
    ws_connections: IntGauge,
    /// Streams asked for, by how that went.
    ws_connections_total: IntCounterVec = ["outcome"],
    /// Whether Redis is configured and away, so that the limits of subjects are this process's alone: 1 or 0.
    ws_quota_outage: IntGauge,
    /// Connections refused before their first request, or, with `denied`, at it; by reason.
    connections_refused_total: IntCounterVec = ["reason"],
    /// Addresses and networks that may not connect.
    denied_networks: IntGauge,
    /// Observations accepted, by the way they came in and kind.
    observations_total: IntCounterVec = ["source", "kind"],
    /// Observations rejected, by reason.
    observations_rejected_total: IntCounterVec = ["reason"],
    /// Observations accepted and not yet folded.
    observations_queued: IntGauge,
    /// Open insights.
    insights_open: IntGaugeVec = ["kind", "severity"],
    /// Agents in the meta-state.
    agents: IntGauge,
    /// Agents forgotten because there were too many, least recently seen first.
    agents_evicted_total: IntCounter,
    /// Writes to the store, by how they went.
    store_writes_total: IntCounterVec = ["outcome"],
    /// Beats not yet in the store.
    store_lag_beats: IntGauge,
    /// Times a circuit breaker opened.
    circuit_breaker_open_total: IntCounterVec = ["breaker"],
    /// State of a circuit breaker: 0 closed, 1 half-open, 2 open.
    breaker_state: IntGaugeVec = ["breaker"],
    /// Whether this process leads: 1 or 0.
    leader: IntGauge,
    /// Times this process began to lead.
    leader_changes_total: IntCounter,
    /// Epoch of the last beat shown.
    cluster_epoch: IntGauge,
    /// Observations accepted by this process that no stored state is known to hold.
    spool_observations: IntGauge,
    /// Those of them that Redis is not known to have: what would be lost with this process.
    spool_unsent_observations: IntGauge,
    /// Entries in the stream of observations: those that no stored state holds, and a few that one does.
    observations_stream_length: IntGauge,
    /// Requests refused for their credentials, by reason.
    auth_failures_total: IntCounterVec = ["reason"],
    /// Whether Redis is configured and away, so that replay is guarded by this pod alone or streams are refused: 1 or 0.
    auth_replay_outage: IntGauge,
    /// Tokens and tickets that were found to have been used on several pods while Redis was away.
    auth_replays_in_outage_total: IntCounter,
    /// Revocations in force that this process knows.
    auth_revocations: IntGauge,
    /// Whether the revocations in Redis cannot be read, so that only those known so far are in force: 1 or 0.
    auth_revocations_stale: IntGauge,
    /// Streams closed because what they were opened with was revoked.
    auth_revoked_streams_total: IntCounter,
    /// Rows of the audit trail, by what became of them.
    audit_rows_total: IntCounterVec = ["outcome"],
    /// Age of a key in use, in seconds: since the date its kid begins with, or its file was written, or else the start.
    auth_key_age_seconds: GaugeVec = ["kid"],
    /// Times that something was taken over while the daemon ran, by what it was and how that went.
    reloads_total: IntCounterVec = ["part", "outcome"],
    /// Version and commit of the binary; always 1.
    build_info: IntGaugeVec = ["version", "commit"],
}

impl Metrics {
    /// What a scrape sees now.
    pub fn gather(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.registry.gather()
    }
}
