use serde_json::{Value, json};

use super::{fixture, raised, report, run};

struct Case {
    name: String,
    observations: Vec<Value>,
    expected: Value,
}

fn cases(file: &str, most: usize) -> Vec<Case> {
    let case = |line: &str| {
        let mut case: Value = serde_json::from_str(line).unwrap();
        Case {
            name: case["name"].as_str().unwrap().to_owned(),
            observations: serde_json::from_value(case["observations"].take()).unwrap(),
            expected: case["expected"].take(),
        }
    };
    let cases: Vec<Case> = fixture(file).lines().take(most).map(case).collect();
    assert!(cases.len() > 20, "{file} has cases");
    cases
}

/// Pattern and ordinal of the first episode.
fn first(episodes: &Value, session: Option<&str>) -> Value {
    let episodes = episodes.as_array().unwrap().iter();
    let mut its = episodes.filter(|episode| session.is_none_or(|session| episode["session"] == session));
    its.next().map_or(Value::Null, |it| json!({"pattern": it["pattern"], "observation": it["observation"]}))
}

/// Each case as an agent of its own, all in one recording.
fn check_as_agents(cases: &[Case]) {
    let mut recording = String::new();
    for (i, case) in cases.iter().enumerate() {
        for observation in &case.observations {
            let mut observation = observation.clone();
            observation["agent"] = format!("case-{i}").into();
            recording += &format!("{observation}\n");
        }
    }
    let report = report(&recording);
    for (i, case) in cases.iter().enumerate() {
        let agent = &report["agents"][format!("case-{i}")];
        assert_eq!(first(&agent["stuck"], None), case.expected, "{}", case.name);
        let told = raised(&report).contains(&(format!("case-{i}"), "stuck".into()));
        assert_eq!(told, !case.expected.is_null(), "{}", case.name);
    }
}

/// Each case as a session of one agent, all at once.
fn check_as_sessions(cases: &[Case]) {
    let mut recording = String::new();
    let longest = cases.iter().map(|case| case.observations.len()).max().unwrap();
    for step in 0..longest {
        for (i, case) in cases.iter().enumerate() {
            if let Some(observation) = case.observations.get(step) {
                let mut observation = observation.clone();
                (observation["agent"], observation["session"]) = ("a".into(), format!("case-{i}").into());
                recording += &format!("{observation}\n");
            }
        }
    }
    let report = report(&recording);
    for (i, case) in cases.iter().enumerate() {
        let session = format!("case-{i}");
        let found = first(&report["agents"]["a"]["stuck"], Some(&session));
        assert_eq!(found, case.expected, "{}", case.name);
    }
}

#[test]
fn loops_are_found_where_the_definition_says() {
    for cases in [cases("stuck/named.jsonl", usize::MAX), cases("stuck/random.jsonl.gz", 400)] {
        check_as_agents(&cases);
        check_as_sessions(&cases);
    }
}

#[test]
fn real_runs_without_a_loop_have_none() {
    let report = report(&fixture("stuck/airline.ndjson.gz"));
    assert_eq!(report["agents"]["airline-0"]["stuck"], json!([]));
    assert_eq!(raised(&report), []);
    assert!(run(&fixture("stuck/airline.ndjson.gz"), &["--fail-on", "stuck", "-"]).status.success());
}

#[test]
fn a_real_run_with_a_loop_has_it_and_can_fail_a_build() {
    let recording = fixture("stuck/airline-stuck.ndjson.gz");
    let report = report(&recording);
    let agent = &report["agents"]["airline-2"];
    let episode = json!({"session": "task-9-trial-2", "pattern": "cycle", "observation": 59, "repeats": 3, "period": 2,
        "tool": "book_reservation"});
    assert_eq!(agent["stuck"], json!([episode]));
    assert_eq!((&agent["status"], &agent["advice"]), (&json!("stuck"), &json!("escalate")));
    let insight = &report["insights"][0];
    assert_eq!((&insight["kind"], &insight["evidence"]["observation"]), (&json!("stuck"), &json!(59)));
    assert!(insight["since"].as_str().unwrap().starts_with("2025-06-16T09:18:1"));
    assert_eq!(insight.get("until"), None, "it is stuck to the end");

    let failing = run(&recording, &["--json", "--fail-on", "overconfident,stuck", "-"]);
    assert_eq!(failing.status.code(), Some(1));
    assert!(!failing.stdout.is_empty(), "the report is printed all the same");
    assert_eq!(run(&recording, &["--fail-on", "overconfident", "-"]).status.code(), Some(0));
    assert_eq!(run(&recording, &["--fail-on", "bored", "-"]).status.code(), Some(2));
}

/// Each episode is listed once, with its first detection.
#[test]
fn every_episode_is_listed() {
    let step = |i: usize, text: &str| {
        [
            json!({"agent": "a", "session": 7, "kind": "action", "tool": "ls", "arguments": {}, "call_id": i}),
            json!({"agent": "a", "session": 7, "kind": "result", "call_id": i, "ok": true, "text": text}),
        ]
    };
    let texts = ["x", "x", "x", "x", "x", "x", "y", "z", "z", "z", "z", "z"];
    let recording: String =
        texts.iter().enumerate().flat_map(|(i, text)| step(i, text)).map(|line| format!("{line}\n")).collect();
    let report = report(&recording);
    let episodes = report["agents"]["a"]["stuck"].as_array().unwrap();
    let found: Vec<_> = episodes.iter().map(|it| (&it["session"], &it["observation"], &it["repeats"])).collect();
    assert_eq!(found, [(&json!("7"), &json!(8), &json!(4)), (&json!("7"), &json!(22), &json!(4))]);
    let insights = report["insights"].as_array().unwrap();
    let over: Vec<bool> = insights.iter().map(|insight| insight.get("until").is_some()).collect();
    assert_eq!(over, [true, false]);
}
