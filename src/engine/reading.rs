//! How far the stream of observations is folded: part of the state, so that whoever goes on from a state goes on from
//! exactly there.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of an entry of a Redis stream: `milliseconds-number`. Later entries have greater ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// Milliseconds since the Unix epoch, by the clock of Redis.
    pub millis: u64,
    /// Counts the entries of a millisecond.
    pub number: u64,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

impl Serialize for StreamId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for StreamId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "must be two numbers with a hyphen between";
        let (millis, number) = text.split_once('-').ok_or(EXPECTED)?;
        let number_of = |text: &str| text.parse().map_err(|_| EXPECTED);
        Ok(Self { millis: number_of(millis)?, number: number_of(number)? })
    }
}

/// A batch's place among those of the process that accepted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The process: a number drawn at its start.
    pub producer: u64,
    /// Counts its batches, from 1.
    pub serial: u64,
    /// The first of its batches that it still holds: all before are in a stored state.
    pub first: u64,
}

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the next one of its producer: fold it.
    Fold,
    /// It is folded already.
    Known,
    /// One before it is missing. Its producer will send both again.
    Gap,
}

/// How far the stream is folded, and what of each producer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// The last entry that was looked at.
    pub position: StreamId,
    producers: BTreeMap<u64, Progress>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// The last batch folded.
    serial: u64,
    /// When that was, in milliseconds since the Unix epoch.
    at: u64,
}

impl Reading {
    /// A producer not heard of for so long is forgotten: one that could not reach Redis for longer, and was not told that a
    /// stored state holds its last batches, would have them counted again.
    const REMEMBERED: Duration = Duration::from_hours(7 * 24);
    /// Producers known at a time. Each start of a pod is one.
    const MOST: usize = 512;

    /// Looks at the batch that is read next, now, at `millis` since the Unix epoch, and takes note of it where it is to be
    /// folded. The stream gives it an `id`; one that comes straight from its producer has none.
    ///
    /// Of each producer the batches are folded in order, each once, whatever is sent twice or lost on the way.
    pub fn admit(&mut self, origin: Origin, id: Option<StreamId>, millis: u64) -> Verdict {
        let Origin { producer, serial, first } = origin;
        if let Some(id) = id {
            self.position = self.position.max(id);
        }
        let next = self.producers.get(&producer).map_or(1, |progress| progress.serial + 1);
        if serial < next {
            return Verdict::Known;
        }
        // What the producer holds no more cannot be waited for.
        if serial > next.max(first) {
            return Verdict::Gap;
        }
        if !self.producers.contains_key(&producer) {
            self.make_room(millis);
        }
        self.producers.insert(producer, Progress { serial, at: millis });
        Verdict::Fold
    }

    fn make_room(&mut self, millis: u64) {
        let since = millis.saturating_sub(u64::try_from(Self::REMEMBERED.as_millis()).unwrap_or(u64::MAX));
        self.producers.retain(|_, progress| progress.at >= since);
        while self.producers.len() >= Self::MOST {
            let oldest = self.producers.iter().min_by_key(|(_, progress)| progress.at).map(|(producer, _)| *producer);
            let Some(oldest) = oldest else { return };
            self.producers.remove(&oldest);
        }
    }

    /// The last batch folded of a producer; 0: none.
    pub fn folded(&self, producer: u64) -> u64 {
        self.producers.get(&producer).map_or(0, |progress| progress.serial)
    }

    /// The last batch folded of each producer that is remembered.
    pub fn producers(&self) -> impl Iterator<Item = (u64, u64)> {
        self.producers.iter().map(|(producer, progress)| (*producer, progress.serial))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(producer: u64, serial: u64, first: u64) -> Origin {
        Origin { producer, serial, first }
    }

    fn id(millis: u64) -> StreamId {
        StreamId { millis, number: 0 }
    }

    #[test]
    fn batches_are_folded_in_order_and_once() {
        let mut reading = Reading::default();
        let mut admit = |serial, first| reading.admit(origin(7, serial, first), Some(id(serial)), serial);
        assert_eq!(admit(1, 1), Verdict::Fold);
        assert_eq!(admit(1, 1), Verdict::Known);
        assert_eq!(admit(3, 1), Verdict::Gap, "the second was lost on the way");
        assert_eq!(admit(2, 1), Verdict::Fold);
        assert_eq!(admit(3, 1), Verdict::Fold);
        // The state is one from before the batches that the producer holds no more.
        assert_eq!(admit(9, 8), Verdict::Gap);
        assert_eq!(admit(8, 8), Verdict::Fold);
        assert_eq!((reading.folded(7), reading.folded(8), reading.position), (8, 0, id(9)));
    }

    #[test]
    fn a_producer_that_is_not_known_begins_with_what_it_holds() {
        let mut reading = Reading::default();
        assert_eq!(reading.admit(origin(7, 12, 11), None, 5), Verdict::Gap);
        assert_eq!(reading.admit(origin(7, 11, 11), None, 5), Verdict::Fold);
        assert_eq!(reading.admit(origin(7, 12, 11), None, 5), Verdict::Fold);
        assert_eq!(reading.position, StreamId::default());
    }

    #[test]
    fn producers_are_bounded_and_forgotten() {
        let mut reading = Reading::default();
        for producer in 0..3000 {
            reading.admit(origin(producer, 1, 1), None, 1000 + producer);
        }
        assert_eq!((reading.producers().count(), reading.folded(0), reading.folded(2999)), (512, 0, 1));
        reading.admit(origin(5000, 1, 1), None, 7 * 24 * 3_600_000 + 3_999);
        assert_eq!(reading.producers().collect::<Vec<_>>(), [(2999, 1), (5000, 1)]);
    }

    #[test]
    fn it_is_stored_and_read_back() {
        let mut reading = Reading::default();
        reading.admit(origin(u64::MAX, 4, 4), Some(StreamId { millis: 1_763_942_048_123, number: 7 }), 9);
        let text = serde_json::to_vec(&reading).unwrap();
        assert_eq!(serde_json::from_slice::<Reading>(&text).unwrap(), reading);
        assert_eq!(serde_json::from_str::<Reading>("{}").unwrap(), Reading::default());
        assert_eq!("5-6".parse(), Ok(StreamId { millis: 5, number: 6 }));
        assert!("5".parse::<StreamId>().is_err() && "5-x".parse::<StreamId>().is_err());
    }
}
