//! Ranges of the section `analysis`. The pure rooms that hold its settings know no leaf that could report them.

use std::time::Duration;

use crate::engine::Config;
use crate::setting::Problems;

/// Reports values out of range.
pub(super) fn check(config: &Config, problems: &mut Problems) {
    let moments = Duration::from_secs(1)..=Duration::from_hours(24 * 366);
    problems.number("analysis.ids_per_agent", config.ids_per_agent, 64..=65_000);
    problems.duration("analysis.idle_after", config.idle_after, moments.clone());
    problems.number("analysis.fits_per_beat", config.fits_per_beat, 1..=1_000);

    if let Err((key, rule)) = config.calibration.validate() {
        problems.add(format!("analysis.calibration.{key}"), rule);
    }
    problems.duration("analysis.calibration.expiry", config.calibration.expiry, moments.clone());
    for (key, value) in [
        ("analysis.drift.quick_rise", config.drift.quick_rise),
        ("analysis.drift.warning_size", config.drift.warning_size),
        ("analysis.drift.critical_size", config.drift.critical_size),
        ("analysis.load.context_fill", config.load.context_fill),
        ("analysis.load.budget_warning", config.load.budget_warning),
        ("analysis.load.release", config.load.release),
        ("analysis.vitals.skewed_share", config.vitals.skewed_share),
        ("analysis.vitals.overrun_share", config.vitals.overrun_share),
    ] {
        problems.number(key, value, 0.0..=1.0);
    }
    problems.duration("analysis.drift.hold", config.drift.hold, moments.clone());
    for (key, value) in [
        ("analysis.drift.warning_factor", config.drift.warning_factor),
        ("analysis.drift.critical_factor", config.drift.critical_factor),
        ("analysis.load.p95_factor", config.load.p95_factor),
        ("analysis.progress.patience", config.progress.patience),
        ("analysis.progress.critical_factor", config.progress.critical_factor),
        ("analysis.silence.max_spread", config.silence.max_spread),
    ] {
        problems.number(key, value, 1.0..=1e6);
    }
    for (key, value) in [
        ("analysis.load.p95_floor_ms", config.load.p95_floor_ms),
        ("analysis.load.p95_limit_ms", config.load.p95_limit_ms),
        ("analysis.load.tokens_per_minute", config.load.tokens_per_minute),
        ("analysis.load.cost_per_hour", config.load.cost_per_hour),
        ("analysis.load.agent_budget", config.load.agent_budget),
        ("analysis.load.session_budget", config.load.session_budget),
    ] {
        problems.number(key, value, 0.0..=1e15);
    }
    problems.duration("analysis.load.burn_horizon", config.load.burn_horizon, moments.clone());
    problems.duration("analysis.progress.min_stall", config.progress.min_stall, moments.clone());
    problems.duration("analysis.progress.min_stall_unpaced", config.progress.min_stall_unpaced, moments.clone());
    problems.duration("analysis.progress.inactive", config.progress.inactive, moments.clone());
    problems.number("analysis.progress.min_acts", config.progress.min_acts, 1..=1_000_000);
    problems.duration("analysis.silence.min_silence", config.silence.min_silence, moments.clone());
    problems.duration("analysis.silence.min_silence_in_call", config.silence.min_silence_in_call, moments.clone());
    problems.duration("analysis.silence.ended_after", config.silence.ended_after, moments.clone());
    problems.number("analysis.silence.min_pauses", config.silence.min_pauses, 2..=64);
    problems.number("analysis.silence.critical_factor", config.silence.critical_factor, 1..=1_000);
    problems.duration("analysis.reflection.interval", config.reflection.interval, moments.clone());
    problems.number("analysis.reflection.keep", config.reflection.keep, 1..=1_000);
    problems.number("analysis.reflection.quotes", config.reflection.quotes, 0..=64);
    problems.duration(
        "analysis.vitals.critical_skew",
        config.vitals.critical_skew,
        Duration::from_millis(1)..=Duration::from_hours(1),
    );
    problems.number("analysis.vitals.open_after", config.vitals.open_after, 1..=10_000);
    problems.number("analysis.vitals.close_after", config.vitals.close_after, 1..=10_000);
}
