//! Agents that are surer, or less sure, than they are right; and agents that know what they know.

use serde_json::json;

use crate::script::{Scenario, Script, raised};

pub fn scenarios() -> Vec<Scenario> {
    [wrong(), right(), few()].into_iter().flatten().collect()
}

/// Claims of an agent that draws how sure it says it is, and how often it is then right.
fn claims(seed: u64, n: usize, mut agent: impl FnMut(&mut Script) -> (f64, f64)) -> Script {
    let mut script = Script::new().seed(seed);
    script.times(n, |s, _| {
        let (said, truth) = agent(s);
        let correct = s.chance(truth);
        s.claim((said * 100.0).round() / 100.0, correct);
    });
    script
}

fn wrong() -> Vec<Scenario> {
    let grossly = claims(1, 200, |s| (0.85 + 0.1 * s.uniform(), 0.5));
    let mildly = claims(2, 1500, |s| {
        let said = s.uniform();
        (said, (said - 0.12).max(0.0))
    });
    let under = claims(3, 300, |s| {
        let said = 0.4 + 0.3 * s.uniform();
        (said, said + 0.25)
    });
    let random = claims(4, 600, |s| (s.uniform(), 0.5));
    let misleading = claims(5, 300, |s| {
        let said = s.uniform();
        (said, 1.0 - said)
    });
    // The first 300 claims are overconfident; 1,000 later they have left the window.
    let mut reformed = 0;
    let reforming = claims(6, 2000, |s| {
        reformed += 1;
        let said = 0.3 + 0.6 * s.uniform();
        (said, if reformed <= 300 { said - 0.25 } else { said })
    });

    // Verdicts come hours later, in another order, some twice, some never.
    let mut late = Script::new().seed(7);
    let mut open = Vec::new();
    late.times(400, |s, i| {
        s.say(json!({"kind": "claim", "claim_id": i, "confidence": 0.9}));
        open.push(i);
    });
    let onset = late.message("That is all.").wait(7200.0).now();
    late.times(380, |s, _| {
        let i = open.swap_remove((s.uniform() * open.len() as f64) as usize);
        let correct = s.chance(0.5);
        s.say(json!({"kind": "verdict", "claim_id": i, "correct": correct}));
        s.say(json!({"kind": "verdict", "claim_id": i, "correct": !correct}));
    });

    vec![
        Scenario::new("grossly overconfident", &grossly)
            .raises(raised("overconfident", 0.0, 45.0).severity("critical").open())
            .may_raise("unreliable"),
        Scenario::new("a little overconfident", &mildly)
            .raises(raised("overconfident", 0.0, 1500.0).severity("warning").open()),
        Scenario::new("underconfident", &under).raises(raised("underconfident", 0.0, 90.0).open()),
        Scenario::new("confidence by the dice", &random).raises(raised("unreliable", 0.0, 400.0).severity("warning")),
        Scenario::new("the surer the wronger", &misleading)
            .raises(raised("unreliable", 0.0, 100.0).severity("critical").open())
            .may_raise("overconfident"),
        Scenario::new("overconfident, then reformed", &reforming)
            .raises(raised("overconfident", 0.0, 150.0).resolved())
            .may_raise("drift"),
        Scenario::new("verdicts late, in disorder and twice", &late)
            .raises(raised("overconfident", onset, 120.0).open()),
    ]
}

fn right() -> Vec<Scenario> {
    let calibrated = claims(11, 3000, |s| {
        let said = s.uniform();
        (said, said)
    });
    let verbal = claims(12, 2000, |s| {
        let said = [0.5, 0.6, 0.8, 0.9, 0.95][(s.uniform() * 5.0) as usize];
        (said, said)
    });
    let constant = claims(13, 1000, |_| (0.7, 0.7));
    let sure = claims(14, 500, |_| (1.0, 1.0));
    let nearly = claims(15, 2000, |s| {
        let said = s.uniform();
        (said, (said - 0.03).max(0.0))
    });
    // At the margin itself: told or not, but not again and again.
    let margin = claims(16, 6000, |s| {
        let said = 0.2 + 0.8 * s.uniform();
        (said, said - 0.06)
    });
    let reliability = claims(17, 6000, |s| {
        let said = s.uniform();
        (said, 0.27 + 0.46 * said)
    });

    vec![
        Scenario::new("calibrated, three thousand claims", &calibrated),
        Scenario::new("calibrated, in five words", &verbal),
        Scenario::new("calibrated, always 0.7", &constant),
        Scenario::new("always sure and always right", &sure),
        Scenario::new("three hundredths too sure", &nearly),
        Scenario::new("bias at the margin", &margin).raises(raised("overconfident", 0.0, 6000.0).times(0, 3)),
        Scenario::new("discrimination at the threshold", &reliability)
            .raises(raised("unreliable", 0.0, 6000.0).times(0, 3))
            .may_raise("underconfident"),
    ]
}

/// Samples from which nothing follows yet.
fn few() -> Vec<Scenario> {
    let mut scenarios = vec![Scenario::new("nineteen claims, all wrong", &claims(21, 19, |_| (0.95, 0.0)))];
    let names = ["calibrated, 25 claims", "calibrated, 50 claims", "calibrated, 100 claims", "calibrated, 250 claims"];
    for (name, n) in names.into_iter().zip([25, 50, 100, 250]) {
        scenarios.push(Scenario::new(
            name,
            &claims(30 + n as u64, n, |s| {
                let said = 0.3 + 0.7 * s.uniform();
                (said, said)
            }),
        ));
    }
    let all_wrong = claims(22, 40, |_| (0.95, 0.0));
    scenarios.push(
        Scenario::new("forty claims, all wrong", &all_wrong)
            .raises(raised("overconfident", 19.0, 3.0).severity("critical")),
    );
    scenarios
}
