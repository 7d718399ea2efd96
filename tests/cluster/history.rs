//! All that was seen, and what was wrong with it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Epoch and beat.
pub type Position = (u64, u64);

pub struct History {
    origin: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    notes: Vec<(Duration, String)>,
    wrongs: Vec<String>,
    /// What the state was at each position, and who said so first.
    states: HashMap<Position, (String, String)>,
    /// Who led in each epoch.
    leaders: BTreeMap<u64, String>,
    /// When each beat of a leader was, in nanoseconds since 1970.
    beats: BTreeMap<Position, i64>,
    agreed: u64,
    counts: BTreeMap<&'static str, u64>,
}

/// Beats of leaders, as dashboards saw them.
#[derive(Debug, Clone, Copy)]
pub struct Continuity {
    /// Beats made.
    pub made: u64,
    /// Beats that there was time for.
    pub due: f64,
    /// The longest time between the last beat seen of an epoch and the first one of the next.
    pub widest: Duration,
    pub epochs: usize,
}

impl History {
    pub fn new() -> Self {
        Self { origin: Instant::now(), seen: Mutex::default() }
    }

    /// Something that happened.
    pub fn note(&self, text: impl Into<String>) {
        self.seen.lock().unwrap().notes.push((self.origin.elapsed(), text.into()));
    }

    /// Something that should not have happened.
    pub fn wrong(&self, text: impl Into<String>) {
        let text = text.into();
        self.note(format!("WRONG: {text}"));
        self.seen.lock().unwrap().wrongs.push(text);
    }

    pub fn count(&self, what: &'static str) {
        *self.seen.lock().unwrap().counts.entry(what).or_default() += 1;
    }

    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.seen.lock().unwrap().counts.clone()
    }

    /// A state that `who` has at a position, made by the pod that leads.
    pub fn saw(&self, who: &str, at: Position, ts_ns: i64, state: &Value) {
        let text = state.to_string();
        let leader = state["cluster"]["leader"].as_str().unwrap_or_default().to_owned();
        let mut wrong = Vec::new();
        {
            let mut seen = self.seen.lock().unwrap();
            let known = seen.leaders.entry(at.0).or_insert_with(|| leader.clone());
            if *known != leader {
                wrong.push(format!("{who}: {leader} leads in epoch {}, in which {known} led", at.0));
            }
            let before = seen.beats.insert(at, ts_ns);
            if before.is_some_and(|before| before != ts_ns) {
                wrong.push(format!("{who}: beat {at:?} is told with another time"));
            }
            match seen.states.get(&at) {
                Some((first, by)) if *first != text => {
                    wrong.push(format!("{who} and {by} differ at {at:?}: {}", difference(first, &text)));
                }
                Some(_) => seen.agreed += 1,
                None => {
                    seen.states.insert(at, (text, who.to_owned()));
                }
            }
        }
        wrong.into_iter().for_each(|wrong| self.wrong(wrong));
    }

    /// The newest position that somebody was at.
    pub fn newest(&self) -> Position {
        self.seen.lock().unwrap().beats.last_key_value().map_or((0, 0), |(at, _)| *at)
    }

    /// The state that somebody had at this position.
    pub fn state(&self, at: Position) -> Option<String> {
        self.seen.lock().unwrap().states.get(&at).map(|(text, _)| text.clone())
    }

    /// How often two had the same at the same position.
    pub fn agreed(&self) -> u64 {
        self.seen.lock().unwrap().agreed
    }

    pub fn wrongs(&self) -> Vec<String> {
        self.seen.lock().unwrap().wrongs.clone()
    }

    /// What happened around what went wrong: the last so many notes.
    pub fn last(&self, most: usize) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let notes = &seen.notes[seen.notes.len().saturating_sub(most)..];
        notes.iter().map(|(at, text)| format!("  {:>9.3} {text}", at.as_secs_f64())).collect()
    }

    /// Leaders that still beat when the next one did already.
    pub fn overlaps(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let mut spans = BTreeMap::<u64, (i64, i64)>::new();
        for (at, &ts) in &seen.beats {
            let span = spans.entry(at.0).or_insert((ts, ts));
            *span = (span.0.min(ts), span.1.max(ts));
        }
        let spans: Vec<_> = spans.into_iter().collect();
        let pairs = spans.windows(2).filter(|pair| pair[0].1.1 >= pair[1].1.0);
        let tell = |pair: &[(u64, (i64, i64))]| {
            let late = Duration::from_nanos((pair[0].1.1 - pair[1].1.0).unsigned_abs());
            format!("the leader of epoch {} still beat {late:?} after that of {} began", pair[0].0, pair[1].0)
        };
        pairs.map(tell).collect()
    }

    pub fn continuity(&self, interval: Duration) -> Continuity {
        let seen = self.seen.lock().unwrap();
        let mut epochs = BTreeMap::<u64, (Position, i64, Position, i64)>::new();
        for (&at, &ts) in &seen.beats {
            let entry = epochs.entry(at.0).or_insert((at, ts, at, ts));
            (entry.2, entry.3) = (at, ts);
        }
        let spans: Vec<_> = epochs.values().collect();
        let made: u64 = spans.iter().map(|(first, _, last, _)| last.1 - first.1 + 1).sum();
        let lasted = spans.last().map_or(0, |last| last.3) - spans.first().map_or(0, |first| first.1);
        let due = lasted as f64 / interval.as_nanos() as f64 + 1.0;
        let gaps = spans.windows(2).map(|pair| Duration::from_nanos((pair[1].1 - pair[0].3).max(0).unsigned_abs()));
        Continuity { made, due, widest: gaps.max().unwrap_or_default(), epochs: spans.len() }
    }
}

/// The first places where two JSON texts differ.
pub fn difference(one: &str, other: &str) -> String {
    let parse = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    let mut places = Vec::new();
    differ("", &parse(one), &parse(other), &mut places);
    places.truncate(5);
    places.join("; ")
}

fn differ(path: &str, one: &Value, other: &Value, places: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let null = &Value::Null;
                let (left, right) = (left.get(key).unwrap_or(null), right.get(key).unwrap_or(null));
                differ(&format!("{path}.{key}"), left, right, places);
            }
        }
        _ if one == other => {}
        _ => places.push(format!("{path}: {one} and {other}")),
    }
}
