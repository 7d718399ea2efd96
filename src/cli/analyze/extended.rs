//! What a report tells beside the figures of the public view: too dear for every beat, or too much for every frame.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::analyze::calibration::{Decomposition, Details, Estimate, Figures, Sensitivity};
use crate::domain::Timestamp;
use crate::engine::{AgentState, Config};

type Object = Map<String, Value>;

/// Adds to an agent's figures in their groups.
pub fn extend(figures: &mut Object, state: &AgentState, now: Timestamp, config: &Config) {
    add_calibration(figures, state, config);
    add_latency(figures, state);
    add_cadence(figures, state, now, config);
}

fn group<'a>(figures: &'a mut Object, name: &str) -> Option<&'a mut Object> {
    figures.entry(name).or_insert_with(|| Object::new().into()).as_object_mut()
}

/// Adds what is known; a figure that is not, is left out, and so is a group of such figures.
fn add(group: &mut Object, name: &str, value: impl Serialize) {
    match serde_json::to_value(value) {
        Ok(Value::Null) | Err(_) => {}
        Ok(Value::Object(object)) if object.is_empty() => {}
        Ok(value) => drop(group.insert(name.into(), value)),
    }
}

fn object<const N: usize>(values: [(&str, Option<f64>); N]) -> Object {
    let known = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
    known.filter(|(_, value)| !value.is_null()).collect()
}

fn add_calibration(figures: &mut Object, state: &AgentState, config: &Config) {
    let (calibration, config) = (&state.calibration, &config.calibration);
    let told = calibration.figures(config);
    if told.n == 0 && calibration.pending() == 0 && calibration.expired() == 0 {
        return;
    }
    let Some(group) = group(figures, "calibration") else { return };
    add(group, "n", told.n);
    add(group, "waiting", calibration.pending());
    add(group, "expired", calibration.expired());
    add(group, "duplicates", calibration.duplicates());
    let Figures { n: _, brier, ece: _, mce, bias, auroc2, slope, decomposition, sensitivity } = told;
    add(group, "mce", mce);
    add(group, "slope", slope);
    add(group, "stephenson", decomposition.as_ref().map(stephenson));
    add(group, "intervals", intervals(brier, bias, auroc2));
    if let Some(sensitivity) = &sensitivity {
        add_sensitivity(group, sensitivity);
    }
    let details = calibration.details(config);
    if let (Some(details), Some(parts)) = (details, decomposition) {
        let Details { adaptive_ece, smooth_ece, reliability, resolution, scatter } = details;
        add(group, "adaptive_ece", adaptive_ece);
        add(group, "smooth_ece", smooth_ece);
        add(group, "scatter", scatter);
        let uncertainty = Some(parts.uncertainty);
        let murphy =
            [("reliability", Some(reliability)), ("resolution", Some(resolution)), ("uncertainty", uncertainty)];
        add(group, "murphy", object(murphy));
    }
}

/// Over the ten bins: reliability − generalised resolution + uncertainty is the Brier score.
fn stephenson(parts: &Decomposition) -> Object {
    object([
        ("reliability", Some(parts.reliability)),
        ("resolution", Some(parts.resolution)),
        ("uncertainty", Some(parts.uncertainty)),
        ("within_bin_variance", Some(parts.within_bin_variance)),
        ("within_bin_covariance", Some(parts.within_bin_covariance)),
        ("generalised_resolution", Some(parts.generalised_resolution())),
    ])
}

/// Intervals of 95 %, as [lower end, upper end].
fn intervals(brier: Option<Estimate>, bias: Option<Estimate>, auroc2: Option<Estimate>) -> Object {
    let known = [("brier", brier), ("bias", bias), ("auroc2", auroc2)];
    let ends = |estimate: Estimate| json!([estimate.low, estimate.high]);
    known.into_iter().filter_map(|(name, estimate)| Some((name.to_owned(), ends(estimate?)))).collect()
}

fn add_sensitivity(group: &mut Object, fit: &Sensitivity) {
    add(group, "c", fit.c);
    add(group, "m_diff", fit.m_diff());
    // Classes of tasks fitted apart; none when all claims were taken together.
    add(group, "strata", Some(fit.strata).filter(|&strata| strata > 0));
    let regularised =
        [("d", fit.d_regularised), ("meta_d", fit.meta_d_regularised), ("m_ratio", fit.m_ratio_regularised())];
    add(group, "regularised", object(regularised));
}

/// A recording's latency is told over all of it, not over the last minutes of its time.
fn add_latency(figures: &mut Object, state: &AgentState) {
    let Some(quantiles) = state.load.overall_latency([0.5, 0.9, 0.95, 0.99, 0.999]) else { return };
    let Some(load) = group(figures, "load") else { return };
    for (name, value) in ["p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms"].into_iter().zip(quantiles) {
        add(load, name, value);
    }
}

/// What is known of the agent's pace.
fn add_cadence(figures: &mut Object, state: &AgentState, now: Timestamp, config: &Config) {
    let cadence = state.silence.figures(&config.silence);
    let quiet = cadence.last_seen.map(|seen| now.since(seen).as_secs_f64());
    let Some(group) = group(figures, "cadence") else { return };
    group.append(&mut object([
        ("median_s", cadence.cadence_s),
        ("expected_s", cadence.expected_s),
        ("quiet_s", quiet),
    ]));
    add(group, "open_calls", cadence.open_calls);
    add(group, "finished", cadence.finished);
}
