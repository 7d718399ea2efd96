//! Agents that go round in circles, and agents that only seem to.

use std::io::Read;

use serde_json::json;

use crate::script::{Expected, Scenario, Script, failed, ok, raised};

pub fn scenarios() -> Vec<Scenario> {
    [repeats(), cycles(), failures(), messages(), sessions(), recorded()].into_iter().flatten().collect()
}

/// Told by the beat after the step that completes the pattern.
fn stuck(script: &Script, pattern: &'static str) -> Expected {
    raised("stuck", script.now(), 0.2).showing("pattern", pattern)
}

fn repeats() -> Vec<Scenario> {
    let same = |script: &mut Script, _: usize| {
        script.call("ls", json!({"path": "."}), ok("a b"));
    };

    let mut identical = Script::new();
    identical
        .user("look around")
        .times(3, |s, _| {
            s.work();
        })
        .times(4, same);
    let expected = stuck(&identical, "action_result_repeat").showing("tool", "ls").open();
    identical.times(2, same);

    let mut thrice = Script::new();
    thrice.times(3, same).work().times(3, same).work();

    let mut polling = Script::new();
    polling.times(30, |s, i| {
        s.call("job_status", json!({"job": 7}), ok(format!("{}% done", 3 * i)));
    });

    // A job that says the same while it runs is a loop by the definition, unless its tool is exempt.
    let mut waiting = Script::new();
    waiting.times(12, |s, _| {
        s.call("wait_for_job", json!({"job": 7}), ok("running"));
    });

    let mut pages = Script::new();
    pages.times(20, |s, i| {
        s.call("list", json!({"page": i}), ok("100 items"));
    });

    let mut parallel = Script::new();
    parallel.times(6, |s, round| {
        let ids: Vec<String> = (0..3).map(|i| s.begin("read", json!({"file": format!("{round}-{i}")}))).collect();
        ids.iter().rev().for_each(|id| {
            s.end(id, ok(format!("text of {id}")), None);
        });
    });

    let mut user = Script::new();
    user.times(3, same).user("go on").times(3, same).user("once more").times(3, same);

    let mut twice = Script::new();
    twice.times(4, same);
    let again = stuck(&twice, "action_result_repeat").times(2, 2).resolved();
    twice.times(2, same).work().work().times(5, same).work();

    vec![
        Scenario::new("the same call with the same result", &identical).raises(expected),
        Scenario::new("three times is not four", &thrice),
        Scenario::new("polling a job that gets on", &polling),
        Scenario::new("waiting with an exempt tool", &waiting)
            .with("ANALYSIS__STUCK__EXEMPT_TOOLS", r#"["wait_for_*"]"#),
        Scenario::new("turning pages", &pages),
        Scenario::new("parallel calls answered in another order", &parallel),
        Scenario::new("a user who sends it on", &user),
        Scenario::new("stuck, free, and stuck again", &twice).raises(again),
    ]
}

fn cycles() -> Vec<Scenario> {
    let list = |s: &mut Script| {
        s.call("ls", json!({}), ok("a"));
    };
    let read = |s: &mut Script| {
        s.call("cat", json!({"file": "a"}), ok("text"));
    };
    let think = |s: &mut Script| {
        s.message("let me look again");
    };

    let mut two = Script::new();
    two.work().times(3, |s, _| {
        list(s);
        read(s);
    });
    let of_two = stuck(&two, "cycle").showing("period", 2).showing("repeats", 3);

    let mut three = Script::new();
    three.work().times(3, |s, _| {
        list(s);
        think(s);
        read(s);
    });
    let of_three = stuck(&three, "cycle").showing("period", 3);

    let mut near = Script::new();
    near.times(6, |s, i| {
        list(s);
        s.call("date", json!({}), ok(format!("12:0{i}")));
    });

    let mut debugging = Script::new();
    debugging.times(12, |s, i| {
        s.call("edit", json!({"line": i}), ok("saved"));
        s.call("run_tests", json!({}), failed("exit_1", format!("{} tests failed", 30 - i)));
    });

    vec![
        Scenario::new("two steps in a circle", &two).raises(of_two),
        Scenario::new("three steps in a circle, one of them talk", &three).raises(of_three),
        Scenario::new("a circle that shows something new each time", &near),
        Scenario::new("edit, test, debug", &debugging),
    ]
}

fn failures() -> Vec<Scenario> {
    let mut changing = Script::new();
    changing.work().times(3, |s, i| {
        s.call("book", json!({"seat": 5}), failed("refused", format!("no card {i}")));
    });
    let same_action = stuck(&changing, "action_error_repeat").showing("tool", "book");

    let mut scattered = Script::new();
    scattered.times(5, |s, i| {
        s.times(i % 3 + 1, |s, _| {
            s.work();
        });
        s.call("deploy", json!({}), failed("denied", "no permission"));
    });
    let no_progress = stuck(&scattered, "no_progress").showing("repeats", 5);

    let mut varied = Script::new();
    varied.times(8, |s, i| {
        s.work().call("deploy", json!({"attempt": i}), failed("denied", "no permission"));
    });

    vec![
        Scenario::new("the same call fails in different ways", &changing).raises(same_action),
        Scenario::new("the same failure again and again, other work between", &scattered).raises(no_progress),
        Scenario::new("a failing call, tried in other ways", &varied),
    ]
}

fn messages() -> Vec<Scenario> {
    let mut monologue = Script::new();
    monologue.work().times(3, |s, _| {
        s.message("I will now begin.");
    });
    let expected = stuck(&monologue, "monologue");

    let mut twice = Script::new();
    twice.times(5, |s, _| {
        s.message("Working on it.").message("Working on it.").work();
    });

    // No content is shared: nothing is known to be the same.
    let mut silent = Script::new();
    silent.times(20, |s, i| {
        let id = format!("call-{i}");
        s.say(json!({"kind": "action", "tool": "search", "call_id": id}));
        s.say(json!({"kind": "result", "call_id": id, "ok": true}));
        s.say(json!({"kind": "message", "role": "agent"}));
    });

    vec![
        Scenario::new("the same words three times", &monologue).raises(expected),
        Scenario::new("the same words twice", &twice),
        Scenario::new("an agent that shares no content", &silent),
    ]
}

fn sessions() -> Vec<Scenario> {
    const SESSIONS: [&str; 4] = ["w", "x", "y", "z"];
    let same = |s: &mut Script| {
        s.call("ls", json!({}), ok("a"));
    };

    let mut apart = Script::new();
    apart.times(3, |s, _| SESSIONS.into_iter().for_each(|session| same(s.session(session))));

    let mut one = Script::new();
    for _ in 0..4 {
        for session in SESSIONS {
            if session == "y" {
                same(one.session("y"));
            } else {
                one.session(session).work();
            }
        }
    }
    // The loop is complete before the last session's last step.
    let expected = raised("stuck", one.now() - 1.2, 0.2).showing("observation", 8);

    let mut both = Script::new();
    both.times(4, |s, _| SESSIONS.into_iter().take(2).for_each(|session| same(s.session(session))));
    let once = raised("stuck", both.now() - 1.2, 0.2);

    // The session is left for good while it is stuck; the agent works on in others.
    let mut left = Script::new();
    left.session("old").times(4, |s, _| same(s));
    let over = stuck(&left, "action_result_repeat").resolved();
    left.session("new").times(1400, |s, _| {
        s.wait(2.0).work();
    });

    vec![
        Scenario::new("three times in each of four sessions", &apart),
        Scenario::new("stuck in one session of four", &one).raises(expected),
        Scenario::new("stuck in two sessions at once", &both).raises(once),
        Scenario::new("a session left while stuck", &left).raises(over),
    ]
}

/// Real runs, see `tests/fixtures/stuck/README.md`.
fn recorded() -> Vec<Scenario> {
    let read = |name: &str| {
        let bytes = std::fs::read(format!("{}/tests/fixtures/stuck/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        text
    };
    // June 2025, before the scenarios' clock begins.
    let onset = -17_160_110.0;
    let stuck = raised("stuck", onset, 5.0).of("airline-2").showing("observation", 59).showing("period", 2);
    vec![
        Scenario::recorded("forty real runs without a loop", read("airline.ndjson.gz")),
        Scenario::recorded("a real run with a loop", read("airline-stuck.ndjson.gz")).raises(stuck),
    ]
}
