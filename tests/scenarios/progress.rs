//! Agents that get on, stand still, or have finished.

use serde_json::json;

use crate::script::{Scenario, Script, ok, raised};

pub fn scenarios() -> Vec<Scenario> {
    let steps = |s: &mut Script, n: usize, from: usize, seconds: f64| {
        s.times(n, |s, i| {
            s.times(4, |s, _| {
                s.wait(seconds / 4.0 - 2.2).work();
            });
            s.progress((from + i) as f64, 40.0);
        });
    };
    let busy = |s: &mut Script, seconds: f64| {
        let end = s.now() + seconds;
        while s.now() < end {
            s.wait(8.0).work();
        }
    };

    let mut standing = Script::new();
    steps(&mut standing, 12, 0, 20.0);
    let onset = standing.now();
    busy(&mut standing, 900.0);
    let stalled = raised("stalled", onset + 300.0, 15.0).resolved();
    steps(&mut standing, 3, 12, 20.0);

    let mut slow = Script::new();
    steps(&mut slow, 10, 0, 280.0);
    busy(&mut slow, 600.0);
    steps(&mut slow, 5, 10, 280.0);

    let mut finished = Script::new();
    steps(&mut finished, 41, 0, 10.0);
    busy(&mut finished, 3600.0);

    let mut silent_total = Script::new();
    silent_total.times(20, |s, i| {
        s.times(4, |s, _| {
            s.work();
        });
        s.say(json!({"kind": "progress", "done": i}));
    });

    let mut unpaced = Script::new();
    unpaced.progress(0.0, 10.0);
    busy(&mut unpaced, 1200.0);

    let mut none = Script::new();
    busy(&mut none, 7200.0);

    // Steps around the longest that is borne: told again and again, if one is not careful.
    let mut around = Script::new();
    steps(&mut around, 6, 0, 20.0);
    around.times(34, |s, i| {
        let long = 300.0 * (1.0 + 0.3 * s.normal().clamp(-2.0, 2.0));
        busy(s, long);
        s.progress(6.0 + 0.5 * i as f64, 40.0);
    });

    // It does the same over and over, and so gets nowhere.
    let mut looping = Script::new();
    steps(&mut looping, 12, 0, 20.0);
    let stands = looping.now();
    looping.times(70, |s, _| {
        s.wait(7.0).call("ls", json!({}), ok("a"));
    });

    vec![
        Scenario::new("busy, and no progress", &standing).raises(stalled),
        Scenario::new("steps of five minutes, one of ten", &slow),
        Scenario::new("finished, and chatting on", &finished),
        Scenario::new("progress without a total", &silent_total),
        Scenario::new("no step in twenty minutes", &unpaced).raises(raised("stalled", 900.0, 15.0)),
        Scenario::new("an agent that never reports", &none),
        Scenario::new("steps around the limit", &around).raises(raised("stalled", 0.0, 1500.0).times(0, 4)),
        Scenario::new("no progress because it is stuck", &looping)
            .raises(raised("stuck", stands, 40.0).severity("critical"))
            .raises(raised("stalled", stands + 300.0, 15.0).showing("because", "stuck")),
    ]
}
