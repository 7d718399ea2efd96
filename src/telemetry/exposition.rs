//! The text a scraper gets: Prometheus' own format, or OpenMetrics where asked for.

use std::fmt::Write as _;

use prometheus::proto::{LabelPair, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

/// A text format for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`.
    Prometheus,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}

/// A rendered scrape.
#[derive(Debug)]
pub struct Exposition {
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The text.
    pub body: String,
}

impl Format {
    /// The format that an `Accept` header asks for (RFC 9110, section 12.5.1): OpenMetrics where it is named and weighs
    /// no less than the other.
    pub fn accepted(accept: Option<&str>) -> Self {
        let open_metrics = weight(accept, "application/openmetrics-text");
        let prometheus = weight(accept, "text/plain").unwrap_or(0.0);
        match open_metrics {
            Some(weight) if weight > 0.0 && weight >= prometheus => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// Renders metric families.
    pub fn render(self, families: &[MetricFamily]) -> Exposition {
        match self {
            Self::Prometheus => {
                let mut body = Vec::new();
                // Writing to memory fails on families without metrics alone, and those say nothing anyway.
                let _ = TextEncoder::new().encode(families, &mut body);
                Exposition {
                    content_type: "text/plain; version=0.0.4; charset=utf-8",
                    body: String::from_utf8_lossy(&body).into_owned(),
                }
            }
            Self::OpenMetrics => {
                let mut body = String::new();
                for family in families {
                    let taken = |name: &str| families.iter().any(|other| other.name() == name);
                    open_metrics(family, taken, &mut body);
                }
                body.push_str("# EOF\n");
                Exposition { content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8", body }
            }
        }
    }
}

/// The largest weight with which an `Accept` header names a type; `None` when it does not.
fn weight(accept: Option<&str>, wanted: &str) -> Option<f64> {
    let ranges = accept.unwrap_or_default().split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next()?.eq_ignore_ascii_case(wanted);
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        // What cannot be read counts as not given.
        named.then(|| weight.and_then(|weight| weight.parse().ok()).unwrap_or(1.0))
    });
    ranges.reduce(f64::max)
}

/// One family in OpenMetrics, in which a counter's family has no `_total` and its samples have. Where that name is
/// `taken` by another family (`ws_connections`), the counter goes by its full name, of no known type.
fn open_metrics(family: &MetricFamily, taken: impl Fn(&str) -> bool, out: &mut String) {
    let kind = family.get_field_type();
    let (word, base, suffix) = match kind {
        MetricType::COUNTER => match family.name().strip_suffix("_total") {
            Some(base) if !taken(base) => ("counter", base, "_total"),
            _ => ("unknown", family.name(), ""),
        },
        MetricType::HISTOGRAM => ("histogram", family.name(), ""),
        MetricType::GAUGE => ("gauge", family.name(), ""),
        MetricType::SUMMARY | MetricType::UNTYPED => ("unknown", family.name(), ""),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "# TYPE {base} {word}");
    let _ = writeln!(out, "# HELP {base} {}", escaped(family.help(), false));
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match kind {
            MetricType::COUNTER => sample(out, base, suffix, labels, None, metric.get_counter().get_value()),
            MetricType::GAUGE => sample(out, base, "", labels, None, metric.get_gauge().get_value()),
            MetricType::HISTOGRAM => {
                let histogram = metric.get_histogram();
                for bucket in histogram.get_bucket() {
                    let bound = bucket.upper_bound();
                    sample(out, base, "_bucket", labels, Some(bound), bucket.cumulative_count() as f64);
                }
                let count = histogram.get_sample_count() as f64;
                sample(out, base, "_bucket", labels, Some(f64::INFINITY), count);
                sample(out, base, "_sum", labels, None, histogram.get_sample_sum());
                sample(out, base, "_count", labels, None, count);
            }
            MetricType::SUMMARY | MetricType::UNTYPED => {}
        }
    }
}

fn sample(out: &mut String, base: &str, suffix: &str, labels: &[LabelPair], bound: Option<f64>, value: f64) {
    let mut pairs: Vec<String> =
        labels.iter().map(|label| format!("{}=\"{}\"", label.name(), escaped(label.value(), true))).collect();
    pairs.extend(bound.map(|bound| format!("le=\"{}\"", number(bound))));
    let braces = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
    let _ = writeln!(out, "{base}{suffix}{braces} {}", number(value));
}

/// Numbers as OpenMetrics writes them: `+Inf`, and whole ones with a fraction, so that bounds compare as texts.
fn number(value: f64) -> String {
    if value == f64::INFINITY { "+Inf".to_owned() } else { format!("{value:?}") }
}

fn escaped(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn rendered(format: Format) -> String {
        let metrics = Metrics::new().unwrap();
        metrics.heartbeat_beats_total.inc();
        metrics.metacog_analysis_latency_ms.observe(0.3);
        metrics.observations_total.with_label_values(&["native", "claim"]).inc_by(3);
        metrics.ws_connections_total.with_label_values(&["accepted"]).inc();
        format.render(&metrics.gather()).body
    }

    #[test]
    fn prometheus_text() {
        let text = rendered(Format::Prometheus);
        assert!(text.contains("\nheartbeat_beats_total 1\n"), "{text}");
        assert!(text.contains("observations_total{kind=\"claim\",source=\"native\"} 3\n"));
        assert!(text.contains("process_resident_memory_bytes"));
    }

    #[test]
    fn open_metrics_text() {
        let text = rendered(Format::OpenMetrics);
        assert!(text.contains("# TYPE heartbeat_beats counter\n"), "{text}");
        assert!(text.contains("\nheartbeat_beats_total 1.0\n"));
        assert!(text.contains("metacog_analysis_latency_ms_bucket{le=\"0.5\"} 1.0\n"));
        assert!(text.contains("metacog_analysis_latency_ms_bucket{le=\"+Inf\"} 1.0\n"));
        assert!(text.ends_with("# EOF\n"));
        // No two families of one name.
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        let mut seen = std::collections::HashSet::new();
        names.for_each(|name| assert!(seen.insert(name.to_owned()), "{name} twice"));
        assert!(text.contains("\nws_connections_total{outcome=\"accepted\"} 1.0\n"));
    }

    #[test]
    fn open_metrics_only_where_asked_for() {
        assert_eq!(Format::accepted(None), Format::Prometheus);
        assert_eq!(Format::accepted(Some("text/plain;version=0.0.4")), Format::Prometheus);
        assert_eq!(Format::accepted(Some("application/openmetrics-text;version=1.0.0,*/*;q=0.1")), Format::OpenMetrics);
        // What Prometheus 2 sends, then one that would rather have plain text, and one that has no use for the other.
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
        assert_eq!(Format::accepted(Some("text/plain, application/openmetrics-text; q=0.4")), Format::Prometheus);
        assert_eq!(Format::accepted(Some("application/openmetrics-text;q=0")), Format::Prometheus);
    }
}
