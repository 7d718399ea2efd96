//! Labelled scenarios: short recordings, what has to be said of each and how soon, and that nothing else is said.
//!
//! `cargo test --test scenarios` prints precision, recall and detection delay of each kind of insight, and fails when
//! one is missed, comes late, or is raised for nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a test that cannot go on panics, and this one prints a table"
)]

mod calibration;
mod drift;
mod errors;
mod load;
mod loops;
mod mixed;
mod progress;
mod script;
mod silence;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use consciousness_system::cli::analyze;
use jiff::Timestamp;
use serde_json::Value;

use script::{Expected, Scenario};

fn main() -> ExitCode {
    let scenarios: Vec<Scenario> = [
        loops::scenarios(),
        errors::scenarios(),
        calibration::scenarios(),
        drift::scenarios(),
        load::scenarios(),
        progress::scenarios(),
        silence::scenarios(),
        mixed::scenarios(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let (mut tally, mut faults) = (BTreeMap::new(), Vec::new());
    for scenario in scenarios.iter().filter(|s| wanted.as_ref().is_none_or(|wanted| s.name.contains(wanted.as_str()))) {
        judge(scenario, &mut tally, &mut faults);
    }
    print(scenarios.len(), &tally);
    faults.iter().for_each(|fault| println!("{fault}"));
    assert!(scenarios.len() >= 40, "the suite is whole");
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How a kind of insight fared over all scenarios.
#[derive(Default)]
struct Tally {
    hits: usize,
    missed: usize,
    wrong: usize,
    delays: Vec<f64>,
}

/// One insight as the report has it.
struct Raised {
    agent: String,
    kind: String,
    severity: String,
    since: f64,
    resolved: bool,
    evidence: Value,
}

fn analyse(scenario: &Scenario) -> Vec<Raised> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(scenario.recording.as_bytes()).unwrap();
    let files = vec![file.path().to_owned()];
    let args = analyze::Args { files, json: true, html: None, fail_on: Vec::new(), config: None };
    let settings = scenario.settings.iter();
    let env = settings.map(|(key, value)| (format!("CONSCIOUSNESS__{key}"), (*value).to_owned()));
    let mut out = Vec::new();
    analyze::run(&args, env, &mut out).unwrap_or_else(|failure| panic!("{}: {failure}", scenario.name));
    let report: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(report["rejected"], serde_json::json!([]), "{}", scenario.name);
    let text = |insight: &Value, key: &str| insight[key].as_str().unwrap_or_default().to_owned();
    let raised = |insight: &Value| Raised {
        agent: text(insight, "agent"),
        kind: text(insight, "kind"),
        severity: text(insight, "severity"),
        since: seconds(&text(insight, "since")),
        resolved: insight.get("until").is_some(),
        evidence: insight["evidence"].clone(),
    };
    report["insights"].as_array().unwrap().iter().map(raised).collect()
}

/// Seconds since the scenarios' start.
fn seconds(moment: &str) -> f64 {
    let moment: Timestamp = moment.parse().unwrap();
    (moment.as_millisecond() as f64 - 1_767_225_600_000.0) / 1e3
}

fn judge(scenario: &Scenario, tally: &mut BTreeMap<String, Tally>, faults: &mut Vec<String>) {
    let raised = analyse(scenario);
    let mut fault = |text: String| faults.push(format!("{}: {text}", scenario.name));
    for expected in &scenario.expected {
        let matching: Vec<&Raised> = raised.iter().filter(|raised| is(expected, raised)).collect();
        let tally = tally.entry(expected.kind.to_owned()).or_default();
        let first = matching.iter().find(|raised| raised.since >= expected.onset - 0.5);
        match first.map(|first| (first.since - expected.onset).max(0.0)) {
            Some(delay) if delay <= expected.within => {
                tally.hits += 1;
                tally.delays.push(delay);
            }
            None if expected.openings.0 == 0 => {}
            found => {
                tally.missed += 1;
                fault(format!("{} of {} is missed: {found:?} s", expected.kind, expected.agent));
            }
        }
        let early = matching.iter().filter(|raised| raised.since < expected.onset - 0.5).count();
        let (least, most) = expected.openings;
        if early > 0 || matching.len() > most {
            tally.wrong += early.max(matching.len().saturating_sub(most));
            fault(format!(
                "{} of {} opened {} times, {early} too early",
                expected.kind,
                expected.agent,
                matching.len()
            ));
        }
        if (1..least).contains(&matching.len()) {
            fault(format!("{} of {} opened {} times only", expected.kind, expected.agent, matching.len()));
        }
        if let Some(last) = matching.last() {
            details(expected, last).into_iter().for_each(&mut fault);
        }
    }
    for raised in &raised {
        let allowed = scenario.allowed.iter().any(|(agent, kind)| raised.agent == *agent && raised.kind == *kind);
        if !allowed && !scenario.expected.iter().any(|expected| is(expected, raised)) {
            tally.entry(raised.kind.clone()).or_default().wrong += 1;
            let Raised { agent, kind, since, evidence, .. } = raised;
            fault(format!("{kind} of {agent} at {since} s for nothing: {evidence}"));
        }
    }
}

fn is(expected: &Expected, raised: &Raised) -> bool {
    expected.agent == raised.agent && expected.kind == raised.kind
}

/// What the insight says of itself that it should not.
fn details(expected: &Expected, raised: &Raised) -> Vec<String> {
    let mut faults = Vec::new();
    for (key, value) in &expected.evidence {
        if raised.evidence.get(key).unwrap_or(&Value::Null) != value {
            faults.push(format!("{}: {key} is not {value} in {}", expected.kind, raised.evidence));
        }
    }
    if expected.severity.is_some_and(|severity| severity != raised.severity) {
        faults.push(format!("{} is {}: {}", expected.kind, raised.severity, raised.evidence));
    }
    if expected.resolves.is_some_and(|resolves| resolves != raised.resolved) {
        faults.push(format!("{} is over: {}", expected.kind, raised.resolved));
    }
    faults
}

fn print(scenarios: usize, tally: &BTreeMap<String, Tally>) {
    println!("\n{scenarios} scenarios; detection delay in seconds from the onset of the trouble");
    println!(
        "{:<16} {:>6} {:>6} {:>6} {:>10} {:>8} {:>8} {:>8}",
        "insight", "hits", "missed", "wrong", "precision", "recall", "median", "longest"
    );
    for (kind, Tally { hits, missed, wrong, delays }) in tally {
        let share = |part: usize, other: usize| part as f64 / (part + other).max(1) as f64;
        let mut delays = delays.clone();
        delays.sort_by(f64::total_cmp);
        let at =
            |place: Option<usize>| place.and_then(|place| delays.get(place)).map_or("-".into(), |d| format!("{d:.1}"));
        println!(
            "{kind:<16} {hits:>6} {missed:>6} {wrong:>6} {:>10.3} {:>8.3} {:>8} {:>8}",
            share(*hits, *wrong),
            share(*hits, *missed),
            at(delays.len().checked_sub(1).map(|last| last / 2)),
            at(delays.len().checked_sub(1)),
        );
    }
}
