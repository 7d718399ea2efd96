//! Insights in words, for people: made of their public form, of numbers and names alone.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value};

/// Evidence, as a sentence without its subject: "repeated the same action and got the same result 4 times". What is not
/// known here is told as keys and values, so that a newer daemon is understood, too.
pub fn evidence(kind: &str, evidence: &Map<String, Value>) -> String {
    let it = Evidence(evidence);
    let told = match kind {
        "stuck" => it.looped(),
        "blocked" => it.count("in_a_row").map(|n| format!("infrastructure failed it {} in a row", times(n))),
        "error_streak" => it.count("in_a_row").map(|n| format!("failed {} in a row", times(n))),
        "overconfident" | "underconfident" => it.biased(),
        "unreliable" => it.unreliable(),
        "drift" => it.drifted(),
        "overloaded" => it.overloaded(),
        "silent" => it.silent(),
        "stalled" => it.stalled(),
        "heart_skewed" => it.skewed(),
        "store_degraded" => Some(match it.word("breaker") {
            Some("open") => "the state is kept in memory alone: the store is away".to_owned(),
            Some("half_open") => "the state is kept in memory alone: the store is being tried again".to_owned(),
            _ => "the state is kept in memory alone".to_owned(),
        }),
        "analysis_overrun" => it.overrun(),
        "clients_slow" => it.count("drops").map(|n| format!("{} frames were given up for slow clients", grouped(n))),
        _ => None,
    };
    let mut told = told.unwrap_or_else(|| it.pairs());
    if let Some(cause) = it.word("because") {
        let _ = write!(told, "; follows from {}", spaced(cause));
    }
    told
}

/// What to do about an insight of a kind.
pub fn remedy(kind: &str) -> &'static str {
    match kind {
        "overconfident" | "underconfident" => "do not act on its confidence alone; recalibrate or verify",
        "unreliable" => "ignore its confidence",
        "stuck" | "stalled" => "stop it, or tell it what it does not see",
        "blocked" => "look at the service, not at the agent",
        "error_streak" => "look at the tool and how it is used",
        "drift" => "ask what changed: task, model, prompt, tools",
        "overloaded" => "shed load, shorten the context, look at the budget",
        "silent" => "see whether it lives",
        "heart_skewed" => "look at the machine: it is overloaded or was paused",
        "store_degraded" => "look at Redis; do not restart the daemon meanwhile",
        "analysis_overrun" => "send less, or give the daemon a faster core",
        "clients_slow" => "look at the networks and pages of the dashboards",
        _ => "look at the agent",
    }
}

/// A word of the wire as people write it: `half_open` as "half open".
pub fn spaced(word: &str) -> String {
    word.replace('_', " ")
}

/// A count with commas: 48,120.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration, short, in its two largest units: "3 min 20 s".
pub fn lasted(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{:.1} s", duration.as_secs_f64()),
        1..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

fn two(large: u64, unit: &str, small: u64, below: &str) -> String {
    if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {below}") }
}

/// Milliseconds, short: "0.42 ms", "370 ms", "2.4 s".
pub fn millis(ms: f64) -> String {
    match ms {
        ms if ms >= 60_000.0 => lasted(Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default()),
        ms if ms >= 1000.0 => format!("{:.1} s", ms / 1e3),
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms if ms >= 1.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// A share in percent, with as many digits as tell it from 100 %: "99.997 %".
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        p if p >= 100.0 || p <= 0.0 => format!("{p:.0} %"),
        p if p > 99.99 => format!("{:.3} %", p.min(99.999)),
        p if p > 99.0 => format!("{p:.2} %"),
        p if p < 10.0 => format!("{p:.1} %"),
        p => format!("{p:.0} %"),
    }
}

fn times(n: u64) -> String {
    match n {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{} times", grouped(n)),
    }
}

/// A measure with no more digits than it needs.
fn measure(value: f64) -> String {
    if value.abs() >= 1000.0 {
        grouped(value.round().max(0.0) as u64)
    } else {
        format!("{}", (value * 100.0).round() / 100.0)
    }
}

fn seconds(value: f64) -> String {
    lasted(Duration::try_from_secs_f64(value).unwrap_or_default())
}

struct Evidence<'a>(&'a Map<String, Value>);

impl Evidence<'_> {
    fn word(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.0.get(key)?.as_f64()
    }

    fn count(&self, key: &str) -> Option<u64> {
        self.0.get(key)?.as_u64()
    }

    fn pairs(&self) -> String {
        let shown = self.0.iter().filter(|(key, _)| *key != "because").map(|(key, value)| match value {
            Value::String(word) => format!("{} {}", spaced(key), spaced(word)),
            value => format!("{} {value}", spaced(key)),
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    fn looped(&self) -> Option<String> {
        let n = times(self.count("repeats")?);
        let tool = self.word("tool");
        Some(match (self.word("pattern")?, tool) {
            ("action_result_repeat", Some(tool)) => format!("repeated {tool} and got the same result {n}"),
            ("action_result_repeat", None) => format!("repeated the same action and got the same result {n}"),
            ("action_error_repeat", Some(tool)) => format!("repeated {tool} and it failed {n}"),
            ("action_error_repeat", None) => format!("repeated the same action and it failed {n}"),
            ("cycle", _) => match self.count("period") {
                Some(period) => format!("went round the same {period} steps {n}"),
                None => format!("went round the same steps {n}"),
            },
            ("monologue", _) => format!("sent the same message {n}"),
            ("no_progress", Some(tool)) => format!("{tool} failed in the same way {n}, other steps between"),
            ("no_progress", None) => format!("failed in the same way {n}, other steps between"),
            (other, _) => format!("{} {n}", spaced(other)),
        })
    }

    fn claims(&self) -> String {
        self.count("n").map(|n| format!(" over {} claims", grouped(n))).unwrap_or_default()
    }

    fn biased(&self) -> Option<String> {
        let bias = self.number("bias")?;
        let points = |value: f64| (value.abs() * 100.0).round();
        let side = if bias >= 0.0 { "surer than it is right" } else { "less sure than it is right" };
        let mut told = format!("by {} points {side}{}", points(bias), self.claims());
        if let (Some(low), Some(high)) = (self.number("low"), self.number("high")) {
            let (least, most) = if bias >= 0.0 { (low, high) } else { (-high, -low) };
            let _ = write!(told, " ({} to {})", (least * 100.0).round(), (most * 100.0).round());
        }
        Some(told)
    }

    fn unreliable(&self) -> Option<String> {
        let area = self.number("auroc2")?;
        let mut told = format!("its confidence hardly tells right from wrong: AUROC {area:.2}{}", self.claims());
        if let (Some(low), Some(high)) = (self.number("low"), self.number("high")) {
            let _ = write!(told, " ({low:.2} to {high:.2})");
        }
        Some(told)
    }

    fn drifted(&self) -> Option<String> {
        let (before, after) = (self.number("before")?, self.number("after")?);
        Some(match self.word("series")? {
            "confidence" => format!("its confidence went from {before:.2} to {after:.2}"),
            "accuracy" => format!("it was right in {} of cases, now in {}", percent(before), percent(after)),
            "latency" => format!("calls took {}, now {}", millis(before), millis(after)),
            "errors" => format!("{} of its calls failed, now {}", percent(before), percent(after)),
            other => format!("{} went from {before} to {after}", spaced(other)),
        })
    }

    fn overloaded(&self) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(ms) = self.number("p95_ms") {
            let usual = self.number("before").map(|usual| format!(", usually {}", millis(usual))).unwrap_or_default();
            parts.push(format!("one call in twenty takes over {}{usual}", millis(ms)));
        }
        parts.extend(self.number("context_fill").map(|fill| format!("its context is {} full", percent(fill))));
        parts.extend(self.number("tokens_per_minute").map(|rate| format!("it uses {} tokens a minute", measure(rate))));
        match (self.number("cost"), self.number("budget")) {
            (Some(cost), Some(budget)) => {
                parts.push(format!("it has spent {} of {}", measure(cost), measure(budget)));
            }
            (Some(cost), None) => parts.push(format!("it has spent {}", measure(cost))),
            _ => {}
        }
        parts.extend(self.number("cost_per_hour").map(|rate| format!("it spends {} an hour", measure(rate))));
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn silent(&self) -> Option<String> {
        let mut told = format!("quiet for {}", seconds(self.number("quiet_s")?));
        if let Some(expected) = self.number("expected_s") {
            let _ = write!(told, "; its longest pause should be {}", seconds(expected));
        }
        match (self.word("state"), self.count("open_calls")) {
            (Some("waiting"), Some(1)) => told.push_str("; it waits for a call"),
            (Some("waiting"), Some(calls)) => {
                let _ = write!(told, "; it waits for {calls} calls");
            }
            _ => {}
        }
        Some(told)
    }

    fn stalled(&self) -> Option<String> {
        let done = self.number("done")?;
        let of = self.number("total").map(|total| format!(" of {}", measure(total))).unwrap_or_default();
        let mut told = format!("stands at {}{of}", measure(done));
        if let Some(stalled) = self.number("stalled_s") {
            let _ = write!(told, " for {}", seconds(stalled));
        }
        if let Some(n) = self.count("n") {
            let _ = write!(told, ", though it acted {}", times(n));
        }
        Some(told)
    }

    fn skewed(&self) -> Option<String> {
        let skew = millis(self.number("skew_ms")?);
        let missed = self.count("missed").filter(|&missed| missed > 0);
        let missed = missed.map(|missed| format!("; {} beats missed so far", grouped(missed))).unwrap_or_default();
        Some(format!("beats {skew} late{missed}"))
    }

    fn overrun(&self) -> Option<String> {
        let backlog = self.count("backlog")?;
        let p95 = self.number("p95_ms").map(|ms| format!("; a beat's analysis takes {} (p95)", millis(ms)));
        Some(format!("{} observations wait for later beats{}", grouped(backlog), p95.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::InsightKind;

    fn told(kind: &str, evidence: Value) -> String {
        super::evidence(kind, evidence.as_object().unwrap())
    }

    #[test]
    fn evidence_reads_as_a_sentence() {
        for (kind, given, sentence) in [
            (
                "stuck",
                json!({"pattern": "action_result_repeat", "repeats": 4, "tool": "get_user", "observation": 12}),
                "repeated get_user and got the same result 4 times",
            ),
            ("stuck", json!({"pattern": "cycle", "repeats": 3, "period": 2}), "went round the same 2 steps 3 times"),
            ("stuck", json!({"pattern": "monologue", "repeats": 2}), "sent the same message twice"),
            (
                "overconfident",
                json!({"n": 1311, "bias": 0.124, "low": 0.05, "high": 0.19, "ece": 0.1}),
                "by 12 points surer than it is right over 1,311 claims (5 to 19)",
            ),
            (
                "underconfident",
                json!({"n": 311, "bias": -0.12, "low": -0.19, "high": -0.05}),
                "by 12 points less sure than it is right over 311 claims (5 to 19)",
            ),
            (
                "drift",
                json!({"series": "latency", "before": 120.0, "after": 2400.0, "because": "blocked"}),
                "calls took 120 ms, now 2.4 s; follows from blocked",
            ),
            (
                "overloaded",
                json!({"context_fill": 0.93, "cost": 9.5, "budget": 10.0}),
                "its context is 93 % full; it has spent 9.5 of 10",
            ),
            (
                "silent",
                json!({"quiet_s": 95.0, "expected_s": 12.0, "open_calls": 1, "state": "waiting"}),
                "quiet for 1 min 35 s; its longest pause should be 12 s; it waits for a call",
            ),
            (
                "stalled",
                json!({"done": 3.0, "total": 10.0, "stalled_s": 300.0, "n": 40}),
                "stands at 3 of 10 for 5 min, though it acted 40 times",
            ),
            ("heart_skewed", json!({"skew_ms": 31.2, "missed": 2}), "beats 31 ms late; 2 beats missed so far"),
            ("of_tomorrow", json!({"lag_beats": 7, "state": "half_open"}), "lag beats 7, state half open"),
        ] {
            assert_eq!(told(kind, given), sentence);
        }
    }

    #[test]
    fn every_kind_has_words_even_without_evidence() {
        for kind in InsightKind::ALL {
            assert_ne!(remedy(kind.as_str()), remedy("unknown"), "{kind}");
            // Neither a panic nor a number out of nowhere.
            assert!(!told(kind.as_str(), json!({})).chars().any(|c| c.is_ascii_digit()));
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 999, 1000, 48_120, 1_234_567].map(grouped), ["0", "999", "1,000", "48,120", "1,234,567"]);
        assert_eq!(
            [0.0, 0.0734, 0.4, 0.9912, 0.99997, 1.0].map(percent),
            ["0 %", "7.3 %", "40 %", "99.12 %", "99.997 %", "100 %"]
        );
        assert_eq!(
            [0.2, 3.12, 370.4, 2400.0, 90_000.0].map(millis),
            ["0.20 ms", "3.1 ms", "370 ms", "2.4 s", "1 min 30 s"]
        );
        let lasted = [0.25, 59.0, 60.0, 3700.0, 100_000.0].map(|s| super::lasted(Duration::from_secs_f64(s)));
        assert_eq!(lasted, ["0.2 s", "59 s", "1 min", "1 h 1 min", "1 d 3 h"]);
    }
}
