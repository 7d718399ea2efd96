//! Figures that change their level, and figures that only vary.

use serde_json::json;

use crate::script::{Scenario, Script, failed, ok, raised};

pub fn scenarios() -> Vec<Scenario> {
    [confidence(), latency(), errors()].into_iter().flatten().collect()
}

/// Quick calls, a second apart, each as long as it is told.
fn calls(n: usize, mut ms: impl FnMut(&mut Script, usize) -> f64) -> Script {
    let mut script = Script::new();
    script.times(n, |s, i| {
        let ms = ms(s, i);
        s.call_in("search", json!({"query": i}), ok(i), ms);
    });
    script
}

fn confidence() -> Vec<Scenario> {
    let mut up = Script::new();
    let claim = |s: &mut Script, level: f64| {
        let (id, p) = (s.now(), (level + 0.05 * s.normal()).clamp(0.0, 1.0));
        s.say(json!({"kind": "claim", "claim_id": id, "confidence": p}));
    };
    up.times(500, |s, _| claim(s, 0.5));
    let onset = up.now();
    up.times(200, |s, _| claim(s, 0.8));

    let mut steady = Script::new();
    steady.times(3000, |s, _| claim(s, 0.5));

    // It goes on being as sure as it was, and is right less often.
    let mut worse = Script::new();
    worse.times(500, |s, _| {
        let correct = s.chance(0.9);
        s.claim(0.9, correct);
    });
    let begins = worse.now();
    worse.times(300, |s, _| {
        let correct = s.chance(0.4);
        s.claim(0.9, correct);
    });

    vec![
        Scenario::new("suddenly surer", &up)
            .raises(raised("drift", onset, 70.0).showing("series", "confidence").severity("warning")),
        Scenario::new("as sure as ever", &steady),
        Scenario::new("right less often", &worse)
            .raises(raised("drift", begins, 70.0).showing("series", "accuracy"))
            .raises(raised("overconfident", begins, 300.0)),
    ]
}

fn latency() -> Vec<Scenario> {
    let slower = calls(600, |s, i| s.around(if i < 400 { 100.0 } else { 300.0 }, 0.3));
    let faster = calls(600, |s, i| s.around(if i < 400 { 300.0 } else { 100.0 }, 0.3));
    let creeping = calls(1500, |s, i| s.around(100.0 * 1.0015f64.powi(i as i32), 0.3));
    let noisy = calls(4000, |s, _| s.around(150.0, 1.0));
    let onset = |script: &Script| {
        // When call 400 began: each takes a second and its own duration.
        let line = script.recording().lines().nth(800).map(str::to_owned).unwrap();
        let at = serde_json::from_str::<serde_json::Value>(&line).unwrap()["at"].as_u64().unwrap();
        (at / 1_000_000 - 1_767_225_600_000) as f64 / 1e3
    };
    // Two tools of different pace, in turns.
    let mixed = calls(2000, |s, i| s.around(if i % 2 == 0 { 50.0 } else { 400.0 }, 0.2));

    vec![
        Scenario::new("calls three times as slow", &slower)
            .raises(raised("drift", onset(&slower), 80.0).showing("series", "latency").severity("warning")),
        Scenario::new("calls three times as fast", &faster)
            .raises(raised("drift", onset(&faster), 80.0).showing("series", "latency").severity("info")),
        Scenario::new("calls that slowly get slower", &creeping)
            .raises(raised("drift", 0.0, 1500.0).showing("series", "latency").times(1, 4)),
        Scenario::new("calls that vary a lot", &noisy),
        Scenario::new("quick and slow calls in turns", &mixed),
    ]
}

fn errors() -> Vec<Scenario> {
    let run = |phases: [(usize, f64); 2]| {
        let (mut script, mut onset) = (Script::new(), 0.0);
        for (n, rate) in phases {
            onset = script.now();
            script.times(n, |s, i| {
                let outcome = if s.chance(rate) { failed("exit_1", i) } else { ok(i) };
                s.call("search", json!({"query": i}), outcome);
            });
        }
        (script, onset)
    };
    let (rising, rises) = run([(500, 0.02), (200, 0.35)]);
    let (falling, falls) = run([(500, 0.35), (300, 0.02)]);
    let (steady, _) = run([(1500, 0.1), (1500, 0.1)]);
    vec![
        Scenario::new("calls fail more often", &rising)
            .raises(raised("drift", rises, 60.0).showing("series", "errors").severity("warning"))
            .may_raise("error_streak"),
        Scenario::new("calls fail less often", &falling)
            .raises(raised("drift", falls, 150.0).showing("series", "errors").severity("info"))
            .may_raise("error_streak"),
        Scenario::new("one call in ten fails", &steady),
    ]
}
