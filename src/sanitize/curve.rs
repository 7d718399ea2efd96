//! An agent's claims by bins of confidence: what a reliability diagram and a type-2 ROC are drawn from.
//!
//! It is numbers alone, and answered on demand: in the state, thirty numbers an agent would swell every frame.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::record::Record;
use super::view::AgentLayout;
use crate::analyze::ahead::fetch;
use crate::analyze::calibration::{self, Tally};
use crate::domain::AgentId;

const BINS: usize = 10;

/// Claims by ten bins of confidence of equal width, from the least sure to the surest.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Curve([Bin; BINS]);

#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
struct Bin {
    claims: u16,
    right: u16,
    /// Mean confidence.
    confidence: f32,
}

impl Curve {
    pub(super) fn of(tallies: &calibration::Curve) -> Self {
        Self(tallies.map(|Tally { claims, right, confidence }| Bin {
            claims: u16::try_from(claims).unwrap_or(u16::MAX),
            right: u16::try_from(right).unwrap_or(u16::MAX),
            // Four decimals are more than any diagram shows.
            confidence: ((confidence * 1e4).round() / 1e4) as f32,
        }))
    }

    /// See [`crate::analyze::ahead`].
    pub(super) fn ahead(&self) {
        fetch(self.0.first());
        fetch(self.0.last());
    }

    /// The answer to a request: `n`, the `bins` with their claims, share of right ones and mean confidence, and the
    /// points of the type-2 `roc`, which has none where all claims had the same outcome.
    pub fn document(&self) -> impl Serialize + '_ {
        Document(self)
    }

    fn sum(&self, count: impl Fn(&Bin) -> u16) -> u32 {
        self.0.iter().map(|bin| u32::from(count(bin))).sum()
    }
}

/// Appends curves; of each agent the last remains, and none of an agent that went in between.
pub(super) fn absorb(
    earlier: &mut Vec<(AgentId, Curve)>,
    later: Vec<(AgentId, Curve)>,
    changes: &[(AgentId, Option<Record<AgentLayout>>)],
) {
    if !earlier.is_empty() {
        let went = changes.iter().filter(|(_, record)| record.is_none()).map(|(agent, _)| agent);
        let replaced: std::collections::HashSet<_> = later.iter().map(|(agent, _)| agent).chain(went).collect();
        earlier.retain(|(agent, _)| !replaced.contains(agent));
    }
    earlier.extend(later);
}

struct Document<'a>(&'a Curve);

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(curve) = self;
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("n", &curve.sum(|bin| bin.claims))?;
        map.serialize_entry("bins", &Each(curve.0.iter().enumerate().map(|(number, bin)| Shown { number, bin })))?;
        map.serialize_entry("roc", &Each(roc(curve).into_iter()))?;
        map.end()
    }
}

struct Each<I>(I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Each<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for item in self.0.clone() {
            list.serialize_element(&item)?;
        }
        list.end()
    }
}

struct Shown<'a> {
    number: usize,
    bin: &'a Bin,
}

/// A bin's lower edge.
fn edge(number: usize) -> f64 {
    number as f64 / BINS as f64
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Bin { claims, right, confidence } = *self.bin;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("low", &edge(self.number))?;
        map.serialize_entry("high", &edge(self.number + 1))?;
        map.serialize_entry("n", &claims)?;
        map.serialize_entry("right", &right)?;
        if claims > 0 {
            map.serialize_entry("confidence", &confidence)?;
            map.serialize_entry("accuracy", &(f64::from(right) / f64::from(claims)))?;
        }
        map.end()
    }
}

/// A point of the type-2 ROC: what counts as sure is a confidence of `threshold` or more.
#[derive(serde::Serialize, Clone)]
struct Point {
    threshold: f64,
    /// Sure among the wrong claims.
    false_alarm_rate: f64,
    /// Sure among the right ones.
    hit_rate: f64,
}

/// From the strictest threshold to none.
fn roc(curve: &Curve) -> Vec<Point> {
    let right = f64::from(curve.sum(|bin| bin.right));
    let wrong = f64::from(curve.sum(|bin| bin.claims)) - right;
    if right == 0.0 || wrong == 0.0 {
        return Vec::new();
    }
    let (mut hits, mut alarms) = (0.0, 0.0);
    let points = curve.0.iter().enumerate().rev().map(|(number, bin)| {
        hits += f64::from(bin.right);
        alarms += f64::from(bin.claims.saturating_sub(bin.right));
        Point { threshold: edge(number), false_alarm_rate: alarms / wrong, hit_rate: hits / right }
    });
    points.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn curve(counts: &[(usize, u32, u32, f64)]) -> Curve {
        let mut tallies = calibration::Curve::default();
        for (bin, claims, right, confidence) in counts {
            tallies[*bin] = Tally { claims: *claims, right: *right, confidence: *confidence };
        }
        Curve::of(&tallies)
    }

    fn document(curve: &Curve) -> Value {
        serde_json::to_value(curve.document()).unwrap()
    }

    #[test]
    fn a_curve_is_told_with_its_roc() {
        let told = document(&curve(&[(5, 4, 1, 0.55), (9, 6, 5, 0.923_456)]));
        assert_eq!(told["n"], 10);
        assert_eq!(told["bins"][0], json!({"low": 0.0, "high": 0.1, "n": 0, "right": 0}));
        let ninth = &told["bins"][9];
        assert_eq!((&ninth["n"], &ninth["right"]), (&json!(6), &json!(5)));
        assert!((ninth["confidence"].as_f64().unwrap() - 0.9235).abs() < 1e-6);
        assert_eq!(told["roc"].as_array().unwrap().len(), 10);
        assert_eq!(told["roc"][0], json!({"threshold": 0.9, "false_alarm_rate": 0.25, "hit_rate": 5.0 / 6.0}));
        assert_eq!(told["roc"][9], json!({"threshold": 0.0, "false_alarm_rate": 1.0, "hit_rate": 1.0}));
        assert_eq!(document(&curve(&[(5, 4, 4, 0.55)]))["roc"], json!([]), "all were right");
        assert_eq!(document(&Curve::default())["n"], 0);
    }

    #[test]
    fn the_last_curve_of_whoever_is_still_there_remains() {
        let [a, b, c] = ["a", "b", "c"].map(AgentId::fitted);
        let [one, two] = [1, 2].map(|claims| curve(&[(1, claims, 0, 0.1)]));
        let mut curves = vec![(a.clone(), one), (b.clone(), one), (c.clone(), one)];
        absorb(&mut curves, vec![(b.clone(), two)], &[(c, None)]);
        assert_eq!(curves, [(a, one), (b, two)]);
    }
}
