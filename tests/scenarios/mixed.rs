//! Several troubles at once, one because of another; and many agents with none.

use serde_json::json;

use crate::script::{Scenario, Script, failed, ok, raised};

pub fn scenarios() -> Vec<Scenario> {
    // Calls run into their timeout of 20 seconds: slow because the service is away.
    let mut outage = Script::new();
    outage.times(400, |s, i| {
        let ms = s.around(300.0, 0.3);
        s.call_in("fetch", json!({"page": i}), ok(i), ms);
    });
    let onset = outage.now();
    outage.times(60, |s, i| {
        s.call_in("fetch", json!({"page": i}), failed("timeout", ""), 20_000.0);
    });
    let begins = onset + 4.0 * 21.0;

    // The same until it is over: what was because of the outage no longer is.
    let mut over = outage.clone();
    over.times(20, |s, i| {
        s.call_in("fetch", json!({"page": 1000 + i}), ok(i), 300.0);
    });

    // Its accuracy falls, so it is overconfident; and it loops.
    let mut confused = Script::new();
    confused.times(500, |s, _| {
        let correct = s.chance(0.9);
        s.claim(0.9, correct);
    });
    let falls = confused.now();
    confused.times(150, |s, _| {
        let correct = s.chance(0.3);
        s.claim(0.9, correct);
    });
    confused.times(4, |s, _| {
        s.call("ls", json!({}), ok("a"));
    });
    let loops = confused.now();

    // Three healthy agents at once, of different pace, for two hours.
    let healthy = |agent: &'static str, pace: f64| {
        let mut script = Script::of(agent);
        while script.now() < 7200.0 {
            let (pause, ms) = (script.around(pace, 0.4), script.around(200.0, 0.6));
            let (said, i) = ((script.uniform() * 20.0).round() / 20.0, script.now() as u64);
            let outcome = if script.chance(0.08) { failed("exit_1", i) } else { ok(i) };
            let correct = script.chance(said);
            script.wait(pause).thought();
            script.call_in("search", json!({"query": i}), outcome, ms);
            script.claim(said, correct).usage(5_000 + i % 2_000, 0.01);
            let done = script.now() / 7200.0 * 100.0;
            script.progress(done, 100.0);
        }
        script.message("That is all.");
        script
    };
    let mut three = healthy("a", 2.0);
    three.and(&healthy("b", 10.0)).and(&healthy("c", 45.0));
    three.while_others_work(1200.0);

    // One of three is stuck; the others are not told so.
    let mut one = healthy("b", 5.0);
    let mut stuck = Script::new();
    stuck.wait(300.0).times(4, |s, _| {
        s.call("ls", json!({}), ok("a"));
    });
    let told = raised("stuck", stuck.now(), 0.2);
    one.and(&stuck).and(&healthy("c", 5.0));

    // A new agent a second, each with a few steps.
    const NAMES: [&str; 26] = [
        "a0", "b0", "c0", "d0", "e0", "f0", "g0", "h0", "i0", "j0", "k0", "l0", "m0", "n0", "o0", "p0", "q0", "r0",
        "s0", "t0", "u0", "v0", "w0", "x0", "y0", "z0",
    ];
    let mut crowd = Script::new();
    for (i, name) in NAMES.into_iter().enumerate() {
        let mut agent = Script::of(name);
        agent
            .wait(i as f64)
            .times(8, |s, _| {
                s.work();
            })
            .message("done");
        crowd.and(&agent);
    }

    vec![
        Scenario::new("slow because the service is away", &outage)
            .raises(raised("blocked", begins, 1.0).severity("critical").open())
            .raises(raised("drift", onset, 400.0).showing("because", "blocked"))
            .raises(raised("overloaded", onset, 600.0).showing("because", "blocked")),
        Scenario::new("the service is back", &over)
            .raises(raised("blocked", begins, 1.0).resolved())
            .raises(raised("drift", onset, 900.0).showing("because", serde_json::Value::Null).times(1, 2))
            .raises(raised("overloaded", onset, 600.0)),
        Scenario::new("wrong, sure of it, and in a loop", &confused)
            .raises(raised("drift", falls, 70.0).showing("series", "accuracy"))
            .raises(raised("overconfident", falls, 150.0).showing("because", "drift"))
            .raises(raised("stuck", loops, 0.2)),
        Scenario::new("three healthy agents", &three),
        Scenario::new("one of three is stuck", &one).raises(told),
        Scenario::new("a crowd of new agents", &crowd),
    ]
}
