//! Series that exist from the start.

use super::reload;
use crate::auth::{Refusal, audit};
use crate::domain::{InsightKind, KindName, Severity, Source};
use crate::http;
use crate::ingest::RejectReason;
use crate::link::Fault;
use crate::telemetry::Metrics;

/// Makes every series whose labels come from a closed set, at zero: the first event of its kind is then a rise that
/// `rate()` and `increase()` see, and an alert never waits for a series that does not exist.
pub(super) fn declare(metrics: &Metrics) {
    for outcome in http::OUTCOMES {
        metrics.ws_connections_total.with_label_values(&[outcome]);
    }
    for reason in http::REFUSALS {
        metrics.connections_refused_total.with_label_values(&[reason]);
    }
    for (source, kind) in Source::ALL.iter().flat_map(|source| KindName::ALL.iter().map(move |kind| (source, kind))) {
        metrics.observations_total.with_label_values(&[source.as_str(), kind.as_str()]);
    }
    for reason in RejectReason::ALL {
        metrics.observations_rejected_total.with_label_values(&[reason.as_str()]);
    }
    for refusal in Refusal::ALL {
        metrics.auth_failures_total.with_label_values(&[refusal.reason()]);
    }
    for outcome in audit::OUTCOMES {
        metrics.audit_rows_total.with_label_values(&[outcome]);
    }
    for (part, outcome) in reload::PARTS.iter().flat_map(|part| reload::OUTCOMES.iter().map(move |o| (part, o))) {
        metrics.reloads_total.with_label_values(&[part, outcome]);
    }
    for kind in InsightKind::ALL {
        for severity in Severity::ALL {
            metrics.insights_open.with_label_values(&[kind.as_str(), severity.as_str()]);
        }
    }
    for outcome in std::iter::once("ok").chain(Fault::ALL.map(Fault::as_str)) {
        metrics.store_writes_total.with_label_values(&[outcome]);
    }
}
