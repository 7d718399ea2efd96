//! Slow, full and dear.

use serde_json::json;

use crate::script::{Scenario, Script, ok, raised};

pub fn scenarios() -> Vec<Scenario> {
    [latency(), context(), cost()].into_iter().flatten().collect()
}

fn latency() -> Vec<Scenario> {
    let calls = |s: &mut Script, n: usize, median: f64| {
        s.times(n, |s, i| {
            let ms = s.around(median, 0.3);
            s.call_in("search", json!({"query": i}), ok(i), ms);
        });
    };
    let mut slow = Script::new();
    calls(&mut slow, 500, 500.0);
    let onset = slow.now();
    calls(&mut slow, 150, 4000.0);

    // Slower, but nothing anybody would wait for.
    let mut quick = Script::new();
    calls(&mut quick, 500, 20.0);
    calls(&mut quick, 300, 100.0);

    vec![
        Scenario::new("calls eight times as slow", &slow)
            .raises(raised("overloaded", onset, 300.0))
            .raises(raised("drift", onset, 300.0).showing("series", "latency")),
        Scenario::new("quick calls that are a little less so", &quick).may_raise("drift"),
    ]
}

fn context() -> Vec<Scenario> {
    let mut filling = Script::new();
    filling.times(90, |s, i| {
        s.usage(1_000 * i as u64, 0.01);
    });
    filling.usage(90_000, 0.01);
    let full = raised("overloaded", filling.now(), 0.2).severity("critical");
    filling.times(9, |s, i| {
        s.usage(91_000 + 1_000 * i as u64, 0.01);
    });

    // A conversation that is compacted whenever it is nearly full.
    let mut compacting = Script::new();
    compacting.times(800, |s, i| {
        s.usage(20_000 + 600 * (i as u64 % 100), 0.01);
    });

    let mut around = Script::new();
    around.times(2000, |s, _| {
        let fill = 90_000.0 + 2_500.0 * s.normal();
        s.usage(fill as u64, 0.01);
    });

    vec![
        Scenario::new("a context that fills up", &filling).raises(full),
        Scenario::new("a context that is compacted in time", &compacting),
        Scenario::new("a context that is nearly full", &around).raises(raised("overloaded", 0.0, 30.0)),
    ]
}

fn cost() -> Vec<Scenario> {
    let mut burst = Script::new();
    burst.times(60, |s, _| {
        s.wait(4.0).usage(2_000, 0.0);
    });
    let onset = burst.now();
    burst
        .times(60, |s, _| {
            s.usage(2_000, 0.0);
        })
        .times(60, |s, _| {
            s.wait(4.0).usage(2_000, 0.0);
        });

    let mut around = Script::new();
    around.times(3000, |s, _| {
        let tokens = 1_600.0 + 600.0 * s.normal().clamp(-2.0, 2.0);
        s.usage(tokens as u64, 0.0);
    });

    let mut budget = Script::new();
    budget.times(49, |s, _| {
        s.usage(100, 0.1);
    });
    let stop = raised("overloaded", budget.now() - 11.0, 3.0).severity("critical").showing("budget", 5.0);
    budget.times(3, |s, _| {
        s.usage(100, 0.1);
    });

    // 6 an hour of a budget of 10: told after 40 minutes, an hour before it is used up. The pace is known in steps of
    // five minutes.
    let mut burning = Script::new();
    burning.times(70, |s, _| {
        s.wait(59.0).usage(100, 0.1);
    });

    let mut thrifty = Script::new();
    thrifty.times(300, |s, _| {
        s.wait(59.0).usage(100, 0.01);
    });

    vec![
        Scenario::new("a burst of tokens", &burst)
            .with("ANALYSIS__LOAD__TOKENS_PER_MINUTE", "90000")
            .raises(raised("overloaded", onset, 60.0).resolved()),
        Scenario::new("tokens around their limit", &around)
            .with("ANALYSIS__LOAD__TOKENS_PER_MINUTE", "100000")
            .raises(raised("overloaded", 0.0, 600.0).times(1, 2)),
        Scenario::new("a session's budget used up", &budget).with("ANALYSIS__LOAD__SESSION_BUDGET", "5.0").raises(stop),
        Scenario::new("a budget that burns", &burning)
            .with("ANALYSIS__LOAD__AGENT_BUDGET", "10.0")
            .raises(raised("overloaded", 2400.0, 300.0).severity("warning")),
        Scenario::new("a budget that lasts", &thrifty).with("ANALYSIS__LOAD__AGENT_BUDGET", "10.0"),
    ]
}
