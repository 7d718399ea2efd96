use serde_json::{Value, json};

use super::{fixture, report_on, took};

fn close(found: &Value, expected: f64, tolerance: f64, what: &str) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{what} is absent"));
    assert!((found - expected).abs() <= tolerance, "{what}: {found} is not {expected}");
}

fn csv(file: &str) -> Vec<Vec<String>> {
    fixture(file).lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

fn claims(file: &str) -> Vec<(f64, bool)> {
    csv(file).iter().map(|row| (row[0].parse().unwrap(), row[1] == "1")).collect()
}

fn claim(i: usize, confidence: f64) -> Value {
    json!({"kind": "claim", "claim_id": format!("c{i}"), "confidence": confidence})
}

fn verdict(i: usize, correct: bool) -> Value {
    json!({"kind": "verdict", "claim_id": format!("c{i}"), "correct": correct})
}

#[test]
fn calibration_is_that_of_the_references_in_whatever_order() {
    for name in ["calibrated", "verbal5"] {
        let reference: Value = serde_json::from_str(&fixture(&format!("calibration/{name}.json"))).unwrap();
        let said = claims(&format!("calibration/{name}.csv"));
        let asserted = || said.iter().enumerate().map(|(i, (p, _))| claim(i, *p));
        let judged = || said.iter().enumerate().map(|(i, (_, correct))| verdict(i, *correct));
        let at_once = || {
            asserted().zip(judged()).map(|(mut claim, verdict)| {
                claim["correct"] = verdict["correct"].clone();
                claim
            })
        };
        let orders: [Vec<Value>; 4] = [
            asserted().zip(judged()).flat_map(|(claim, verdict)| [claim, verdict]).collect(),
            asserted().chain(judged()).collect(),
            judged().chain(asserted()).collect(),
            at_once().collect(),
        ];
        for order in orders {
            check_calibration(&report_on(order)["agents"]["a"]["calibration"], &reference);
        }
    }
}

fn check_calibration(found: &Value, reference: &Value) {
    assert_eq!(found["n"], reference["n"]);
    let binned = &reference["binned10"];
    for (name, found, expected) in [
        ("brier", &found["brier"], &reference["sk_brier"]),
        ("ece", &found["ece"], &binned["ece"]),
        ("mce", &found["mce"], &binned["mce"]),
        ("bias", &found["bias"], &reference["bias_over(+)"]),
        ("auroc2", &found["auroc2"], &reference["t2auc_sk_roc_auc"]),
        ("slope", &found["slope"], &reference["yates_cov"]["slope"]),
        ("scatter", &found["scatter"], &reference["yates_cov"]["scatter"]),
        ("adaptive_ece", &found["adaptive_ece"], &reference["adaptive_ece10"]),
        ("murphy.reliability", &found["murphy"]["reliability"], &reference["murphy_exact"]["rel"]),
        ("murphy.resolution", &found["murphy"]["resolution"], &reference["murphy_exact"]["res"]),
        ("murphy.uncertainty", &found["murphy"]["uncertainty"], &reference["murphy_exact"]["unc"]),
        ("stephenson.reliability", &found["stephenson"]["reliability"], &binned["rel"]),
        ("stephenson.resolution", &found["stephenson"]["resolution"], &binned["res"]),
        ("stephenson.within_bin_variance", &found["stephenson"]["within_bin_variance"], &binned["wbv"]),
        ("stephenson.within_bin_covariance", &found["stephenson"]["within_bin_covariance"], &binned["wbc"]),
        ("stephenson.generalised_resolution", &found["stephenson"]["generalised_resolution"], &binned["gres"]),
    ] {
        close(found, expected.as_f64().unwrap(), 1e-9, name);
    }
    close(&found["smooth_ece"], reference["relplot_smECE"].as_f64().unwrap(), 1e-3, "smooth_ece");
    for name in ["brier", "bias", "auroc2"] {
        let [low, high] = [0, 1].map(|end| found["intervals"][name][end].as_f64().unwrap());
        let value = found[name].as_f64().unwrap();
        assert!(low < value && value < high && high - low < 0.2, "{name}: {low} {value} {high}");
    }
}

#[test]
fn calibration_is_over_the_last_thousand_claims() {
    let said = claims("calibration/calibrated.csv");
    let other = (0..700).map(|i| json!({"kind": "claim", "claim_id": i, "confidence": 0.99, "correct": false}));
    // All claims come before the first verdict.
    let twice = || said.iter().chain(&said).enumerate();
    let lines = other.chain(twice().map(|(i, (p, _))| claim(i, *p))).chain(twice().map(|(i, (_, y))| verdict(i, *y)));
    let reference: Value = serde_json::from_str(&fixture("calibration/calibrated.json")).unwrap();
    let found = &report_on(lines)["agents"]["a"]["calibration"];
    assert_eq!(found["n"], 1000);
    close(&found["brier"], reference["sk_brier"].as_f64().unwrap(), 1e-9, "brier");
    close(&found["auroc2"], reference["t2auc_sk_roc_auc"].as_f64().unwrap(), 1e-9, "auroc2");
}

#[test]
fn below_the_minimum_figures_are_absent() {
    let said = claims("calibration/calibrated.csv");
    let with = |n: usize| {
        let lines: Vec<Value> =
            said.iter().take(n).enumerate().flat_map(|(i, (p, y))| [claim(i, *p), verdict(i, *y)]).collect();
        report_on(lines)["agents"]["a"]["calibration"].clone()
    };
    let nineteen = with(19);
    let names: Vec<&String> = nineteen.as_object().unwrap().keys().collect();
    assert_eq!(names, ["duplicates", "expired", "n", "waiting"]);
    assert_eq!(nineteen["n"], 19);
    let twenty = with(20);
    assert!(twenty["brier"].is_number() && twenty["auroc2"].is_number());
    assert!(["d", "meta_d", "m_ratio", "c"].iter().all(|name| twenty.get(name).is_none()));
    assert!(with(49).get("d").is_none());
    let fifty = with(50);
    assert!(["d", "meta_d", "m_ratio", "c"].iter().all(|name| fifty[name].is_number()), "{fifty}");

    let nothing = report_on([json!({"kind": "thought"})]);
    let agent = nothing["agents"]["a"].as_object().unwrap();
    assert!(!agent.contains_key("calibration") && !agent.contains_key("load") && !agent.contains_key("progress"));
}

#[test]
fn verdicts_that_never_come_wait_and_expire_and_repeated_ones_are_counted() {
    let at = |hours: u64| (1_750_000_000 + 3600 * hours) * 1_000_000_000;
    let lines = [
        json!({"kind": "claim", "claim_id": "lost", "confidence": 0.5, "at": at(0)}),
        json!({"kind": "claim", "claim_id": "late", "confidence": 0.5, "at": at(20)}),
        json!({"kind": "verdict", "claim_id": "late", "correct": true, "at": at(40)}),
        json!({"kind": "verdict", "claim_id": "late", "correct": false, "at": at(41)}),
        json!({"kind": "claim", "claim_id": "open", "confidence": 0.5, "at": at(41)}),
    ];
    let report = report_on(lines);
    let agent = &report["agents"]["a"];
    assert_eq!(agent["calibration"], json!({"n": 1, "waiting": 1, "expired": 1, "duplicates": 1}));
}

#[test]
fn metacognitive_sensitivity_is_that_of_the_references() {
    for row in csv("metad/subjects.csv") {
        let number = |column: usize| row[column].parse::<f64>().unwrap();
        let mut lines = Vec::new();
        for bin in 0..8 {
            for (first, correct) in [(2, false), (10, true)] {
                for _ in 0..number(first + bin) as usize {
                    let (i, p) = (lines.len(), (bin as f64 + 0.5) / 8.0);
                    lines.push(json!({"kind": "claim", "claim_id": i, "confidence": p, "correct": correct}));
                }
            }
        }
        let report = report_on(lines);
        let found = &report["agents"]["a"]["calibration"];
        for (name, column) in [("d", 18), ("c", 19), ("meta_d", 20), ("m_ratio", 21)] {
            close(&found[name], number(column), 1e-5, name);
        }
        close(&found["m_diff"], number(20) - number(18), 1e-5, "m_diff");
        assert!(found["regularised"]["m_ratio"].is_number());
    }
}

/// Columns of `drift/streams.csv`: a stream that shifts its mean, and one that does not.
fn streams() -> (Vec<f64>, Vec<f64>) {
    csv("drift/streams.csv").iter().map(|row| (row[0].parse::<f64>().unwrap(), row[1].parse::<f64>().unwrap())).unzip()
}

#[test]
fn drift_is_found_at_the_indices_of_the_reference() {
    let reference: Value = serde_json::from_str(&fixture("drift/adwin.json")).unwrap();
    let expected = &reference["detections"]["A_meanshift"];
    let (shifting, steady) = streams();

    let claims = shifting.iter().enumerate().map(|(i, p)| claim(i, *p));
    let report = report_on(claims);
    assert_eq!(
        report["agents"]["a"]["drift"],
        json!({"confidence": expected, "accuracy": [], "latency": [], "errors": []})
    );
    assert_eq!(report["insights"][0]["evidence"]["series"], "confidence");

    let slower = report_on(shifting.iter().map(|x| took(x.exp_m1())));
    assert_eq!(slower["agents"]["a"]["drift"]["latency"], *expected);

    // The steady stream goes below 0, which no logarithm of a duration does; ADWIN minds no shift.
    let least = steady.iter().copied().fold(f64::INFINITY, f64::min);
    let steady = report_on(steady.iter().map(|x| took((x - least).exp_m1())));
    assert_eq!(steady["agents"]["a"]["drift"]["latency"], json!([]));
    assert_eq!(steady["insights"], json!([]));
}

/// Verdicts and results feed their series as zeros and ones, whatever else comes between.
#[test]
fn verdicts_and_results_make_series_too() {
    let verdicts = (0..600).flat_map(|i| [json!({"kind": "thought"}), verdict(i, i < 300)]);
    let by_verdicts = report_on(verdicts);
    let results = (0..600).map(|i| json!({"kind": "result", "tool": "t", "ok": i < 300}));
    let by_results = report_on(results);
    let indices = &by_verdicts["agents"]["a"]["drift"]["accuracy"];
    assert!(indices.as_array().is_some_and(|indices| !indices.is_empty()), "{indices}");
    assert_eq!(&by_results["agents"]["a"]["drift"]["errors"], indices, "ADWIN is symmetric");
}

#[test]
fn latency_is_within_one_percent_at_whatever_pace() {
    let mut sorted: Vec<f64> = fixture("latency/latency_ms.csv").lines().map(|line| line.parse().unwrap()).collect();
    for step in [1u64, 60_000] {
        let at = |i: usize| (1_750_000_000_000 + i as u64 * step) * 1_000_000;
        let lines = sorted.iter().enumerate().map(|(i, ms)| {
            let mut line = took(*ms);
            line["at"] = at(i).into();
            line
        });
        let report = report_on(lines.collect::<Vec<_>>());
        let load = &report["agents"]["a"]["load"];
        let mut exact = sorted.clone();
        exact.sort_by(f64::total_cmp);
        for (name, q) in [("p50_ms", 0.5), ("p90_ms", 0.9), ("p95_ms", 0.95), ("p99_ms", 0.99), ("p999_ms", 0.999)] {
            let exact = exact[(q * (exact.len() - 1) as f64) as usize];
            close(&load[name], exact, 0.01 * exact, name);
        }
        assert_eq!(load["results"], sorted.len());
    }
    sorted.clear();
}

#[test]
fn load_and_progress_are_told() {
    let at = |seconds: u64| (1_750_000_000 + seconds) * 1_000_000_000;
    let usage = |i: u64| {
        json!({"kind": "usage", "input_tokens": 1000, "output_tokens": 50, "cost": 0.5, "context_window": 4000,
            "at": at(i)})
    };
    let progress = |i: u64| json!({"kind": "progress", "done": i, "total": 100, "at": at(10 * i)});
    let report = report_on((0..10).map(usage).chain((2..=50).map(progress)));
    let agent = &report["agents"]["a"];
    let load = &agent["load"];
    assert_eq!(
        (&load["input_tokens"], &load["output_tokens"], &load["cost"]),
        (&json!(10_000), &json!(500), &json!(5.0))
    );
    assert_eq!(load["context_fill"], 0.25);
    let progress = &agent["progress"];
    assert_eq!(
        (&progress["done"], &progress["total"], &progress["fraction"]),
        (&json!(50.0), &json!(100.0), &json!(0.5))
    );
    close(&progress["per_minute"], 6.0, 1e-6, "per_minute");
    close(&progress["eta_s"], 500.0, 1e-3, "eta_s");
}
