//! Infrastructure that is away, and agents that fail.

use serde_json::json;

use crate::script::{Outcome, Scenario, Script, failed, ok, raised};

pub fn scenarios() -> Vec<Scenario> {
    [outages(), streaks()].into_iter().flatten().collect()
}

fn fetch(script: &mut Script, outcome: Outcome) {
    let page = script.now();
    script.call("fetch", json!({"page": page}), outcome);
}

fn outages() -> Vec<Scenario> {
    let mut outage = Script::new();
    outage
        .times(10, |s, _| {
            s.work();
        })
        .times(4, |s, _| fetch(s, failed("503", "")));
    let blocked = raised("blocked", outage.now(), 0.2).resolved();
    outage.times(3, |s, _| fetch(s, failed("timeout", ""))).times(5, |s, _| {
        s.work();
    });

    let mut limited = Script::new();
    limited.times(20, |s, _| {
        s.times(3, |s, _| fetch(s, failed("429", ""))).work();
    });

    // What was said of an agent that has gone is over after an hour.
    let mut gone = Script::new();
    gone.times(6, |s, _| fetch(s, failed("connection", "")));
    let left = raised("blocked", gone.now() - 2.4, 0.2).resolved();
    gone.while_others_work(4000.0);

    // Four in five calls fail, for an hour: one trouble, though calls get through now and then.
    let mut flickering = Script::new();
    flickering.times(1800, |s, _| {
        let outcome = if s.chance(0.8) { failed("unavailable", "") } else { ok("page") };
        s.wait(0.8);
        fetch(s, outcome);
    });
    let few = raised("blocked", 0.0, 60.0).times(1, 8);

    // One in three fails: four in a row are rare, but happen.
    let mut shaky = Script::new();
    shaky.times(3000, |s, _| {
        let outcome = if s.chance(0.33) { failed("unavailable", "") } else { ok("page") };
        fetch(s, outcome);
    });
    let rarely = raised("blocked", 0.0, 3600.0).times(1, 25);

    vec![
        Scenario::new("an outage of seven calls", &outage).raises(blocked),
        Scenario::new("three rate limits, then through", &limited),
        Scenario::new("gone while blocked", &gone).raises(left),
        Scenario::new("an outage that flickers for an hour", &flickering).raises(few),
        Scenario::new("a shaky service", &shaky).raises(rarely),
    ]
}

fn streaks() -> Vec<Scenario> {
    let fail = |s: &mut Script, i: usize| {
        let (tool, when) = (["search", "read", "write"][i % 3], s.now());
        s.call(tool, json!({"at": when}), failed("exit_1", format!("no such thing as {i}")));
    };
    let mut streak = Script::new();
    streak
        .times(20, |s, _| {
            s.work();
        })
        .times(5, fail);
    let expected = raised("error_streak", streak.now(), 0.2).severity("warning").resolved();
    streak.times(2, fail).times(6, |s, _| {
        s.work();
    });

    let mut long = Script::new();
    long.times(5, fail);
    let critical = raised("error_streak", long.now(), 0.2).severity("critical").open();
    long.times(10, fail);

    let mut four = Script::new();
    four.times(12, |s, i| {
        s.times(4, fail);
        if i % 2 == 0 {
            s.work()
        } else {
            s.work().work()
        };
    });

    let mut alternating = Script::new();
    alternating.times(100, |s, i| {
        fail(s, i);
        s.work();
    });

    let mut infrastructure = Script::new();
    infrastructure.times(8, |s, i| {
        fail(s, i % 4);
        if i % 4 == 3 {
            s.work();
        }
        fetch(s, failed("504", ""));
    });

    // The same call fails: stuck, and a streak because of it.
    let mut same = Script::new();
    same.times(3, |s, _| {
        s.call("pay", json!({"sum": 5}), failed("declined", "no"));
    });
    let stuck = raised("stuck", same.now(), 0.2).showing("pattern", "action_error_repeat");
    same.times(2, |s, _| {
        s.call("pay", json!({"sum": 5}), failed("declined", "no"));
    });
    let because = raised("error_streak", same.now(), 0.2).showing("because", "stuck");
    same.call("pay", json!({"sum": 5}), failed("declined", "no"));

    vec![
        // Five failures after none in twenty: the rate of errors did rise.
        Scenario::new("seven failures of different calls", &streak).raises(expected).may_raise("drift"),
        Scenario::new("fifteen failures", &long).raises(critical),
        Scenario::new("four failures and a success, again and again", &four).may_raise("drift"),
        Scenario::new("every other call fails", &alternating),
        Scenario::new("failures of both sorts, none five in a row", &infrastructure),
        Scenario::new("a streak because it is stuck", &same).raises(stuck).raises(because),
    ]
}
