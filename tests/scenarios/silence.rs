//! Agents that died, and agents that only say nothing now.

use serde_json::{Value, json};

use crate::script::{Scenario, Script, ok, raised};

pub fn scenarios() -> Vec<Scenario> {
    [dead(), alive()].into_iter().flatten().collect()
}

/// Thirty steps, some seconds each.
fn at_work() -> Script {
    let mut script = Script::new();
    script.user("go").times(30, |s, _| {
        s.wait(3.0).thought().work();
    });
    script
}

fn dead() -> Vec<Scenario> {
    let mut dies = at_work();
    dies.thought();
    let died = dies.now();
    dies.while_others_work(1800.0);

    let mut comes_back = at_work();
    comes_back.thought();
    let paused = comes_back.now();
    comes_back.while_others_work(300.0).times(10, |s, _| {
        s.wait(3.0).work();
    });

    let mut ended = at_work();
    ended.thought();
    let over = ended.now();
    ended.while_others_work(5000.0);

    let mut hangs = at_work();
    hangs.begin("build", json!({}));
    let hung = hangs.now();
    hangs.while_others_work(2400.0);

    let mut slow = Script::new();
    slow.times(30, |s, _| {
        let pause = 120.0 + 10.0 * s.normal();
        s.wait(pause).thought();
    });
    let slow_died = slow.now();
    slow.while_others_work(1800.0);

    vec![
        Scenario::new("dies at work", &dies)
            .raises(raised("silent", died + 60.0, 10.0).showing("state", "dead").severity("critical").open()),
        Scenario::new("goes quiet and comes back", &comes_back)
            .raises(raised("silent", paused + 60.0, 10.0).resolved()),
        Scenario::new("dies, and is given up", &ended).raises(raised("silent", over + 60.0, 10.0).resolved()),
        Scenario::new("hangs in a call", &hangs)
            .raises(raised("silent", hung + 600.0, 30.0).showing("state", "waiting").severity("warning")),
        Scenario::new("a slow agent dies", &slow).raises(raised("silent", slow_died, 600.0)),
    ]
}

fn alive() -> Vec<Scenario> {
    let mut spoken = at_work();
    spoken.message("Here is what you asked for.").while_others_work(3600.0);

    let mut complete = at_work();
    complete.progress(5.0, 5.0).while_others_work(3600.0);

    let mut long_call = at_work();
    let build = long_call.begin("build", json!({}));
    long_call.while_others_work(540.0).end(&build, ok("built"), Some(540_000.0)).times(5, |s, _| {
        s.work();
    });

    // Once it is known to take a quarter of an hour, half an hour is nothing odd.
    let mut long_calls = at_work();
    long_calls.times(4, |s, _| {
        let build = s.begin("build", json!({}));
        s.while_others_work(590.0).end(&build, ok("built"), Some(590_000.0)).work();
    });
    let build = long_calls.begin("build", json!({}));
    long_calls.while_others_work(1500.0).end(&build, ok("built"), None);

    let mut conversation = Script::new();
    conversation.times(25, |s, i| {
        s.user(&format!("question {i}")).thought().work().message(&format!("answer {i}"));
        let thinking = 20.0 + 600.0 * s.uniform();
        s.while_others_work(thinking);
    });

    let mut irregular = Script::new();
    irregular.times(60, |s, i| {
        s.times(5, |s, _| {
            s.thought();
        });
        let pause = if i % 6 == 0 { 900.0 * s.uniform() } else { 2.0 };
        s.while_others_work(pause);
    });

    let mut young = Script::new();
    young
        .times(6, |s, _| {
            s.thought();
        })
        .while_others_work(1800.0);

    // Spans come when they end; a slow model takes minutes for one.
    let mut spans = Script::new();
    spans.times(60, |s, i| {
        let seconds = if i % 12 == 11 { 240.0 } else { 6.0 };
        s.while_others_work(seconds);
        let line = chat(s.nanos(), seconds, i);
        s.line(line);
    });

    // A day's work: pauses of seconds to minutes, as they come.
    let mut day = Script::new();
    day.times(4000, |s, _| {
        let pause = s.around(8.0, 0.7).min(240.0);
        s.wait(pause).work();
    });

    vec![
        Scenario::new("has answered", &spoken),
        Scenario::new("has completed its work", &complete),
        Scenario::new("a call of nine minutes", &long_call),
        // One call in twenty is a thousand times as slow as was usual so far.
        Scenario::new("calls that always take long", &long_calls).may_raise("overloaded"),
        Scenario::new("a user who thinks", &conversation),
        Scenario::new("bursts with pauses of any length", &irregular),
        Scenario::new("seen six times only", &young),
        Scenario::new("spans of a slow model", &spans).may_raise_of("slow-model", "drift"),
        Scenario::new("a day's work", &day),
    ]
}

fn chat(end: u64, seconds: f64, i: usize) -> Value {
    let start = end - (seconds * 1e9) as u64;
    let attribute = |key: &str, value: Value| json!({"key": key, "value": value});
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [{
        "traceId": format!("{i:032x}"), "spanId": format!("{:016x}", i + 1), "name": "chat",
        "startTimeUnixNano": start.to_string(), "endTimeUnixNano": end.to_string(),
        "attributes": [
            attribute("gen_ai.operation.name", json!({"stringValue": "chat"})),
            attribute("gen_ai.agent.name", json!({"stringValue": "slow-model"})),
            attribute("gen_ai.usage.input_tokens", json!({"intValue": "900"})),
            attribute("gen_ai.usage.output_tokens", json!({"intValue": "80"})),
        ],
    }]}]}]})
}
