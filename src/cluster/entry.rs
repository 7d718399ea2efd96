//! Observations on their way through Redis, many to an entry of the stream.

use bytes::Bytes;

use super::pack::{Packer, unpack};
use crate::domain::Observation;

/// The stream of accepted observations.
pub(super) const STREAM: &str = "meta:observations";
/// How far the leader has read it, by entry: what is read waits no longer. It bounds what pods take in and nothing else.
pub(super) const READ: &str = "meta:observations:read";
/// How far it is folded, by producer, as of the stored state; and, as [`POSITION`], by entry.
pub(super) const READING: &str = "meta:reading";
/// The field of [`READING`] that holds the last entry folded.
pub(super) const POSITION: &str = "position";

/// Observations of an entry, at most.
const MOST: usize = 1000;
/// Bytes of an entry from which on nothing is added to it.
const FULL: usize = 256 * 1024;

/// Observations in their form on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// See [`super::pack`].
    pub bytes: Bytes,
    /// How many.
    pub count: usize,
}

impl Pack {
    /// What a pack is held to take beside its bytes.
    const BESIDE: usize = 128;

    /// Writes observations down, no more to a pack than an entry holds.
    pub fn write(observations: &[Observation]) -> Vec<Self> {
        let mut packs = Vec::new();
        let (mut packer, mut count) = (Packer::default(), 0);
        for observation in observations {
            packer.add(observation);
            count += 1;
            if count == MOST || packer.len() >= FULL {
                packs.push(Self { bytes: packer.take().into(), count: std::mem::take(&mut count) });
            }
        }
        if count > 0 {
            packs.push(Self { bytes: packer.take().into(), count });
        }
        packs
    }

    /// Bytes of memory that it stands for while it is held.
    pub(super) fn weight(&self) -> usize {
        self.bytes.len() + Self::BESIDE
    }
}

/// What an entry holds.
#[derive(Debug)]
pub(super) enum Body {
    /// A pack, under [`Self::PACK`], and how many observations are in it.
    Pack(Bytes, usize),
    /// Lines of JSON, as they were written before there were packs.
    Lines(Bytes),
}

impl Body {
    /// The field of an entry that is written now. Another format gets another name: who does not know it leaves the entry
    /// to its producer, who sends it again until somebody leads that does.
    pub(super) const PACK: &str = "pack";
    const LINES: &str = "lines";

    /// Finds it among an entry's fields; `None`: it is in a format that is not known here.
    pub(super) fn of(count: usize, mut field: impl FnMut(&str) -> Option<Vec<u8>>) -> Option<Self> {
        let pack = field(Self::PACK).map(|bytes| Self::Pack(bytes.into(), count));
        pack.or_else(|| field(Self::LINES).map(|bytes| Self::Lines(bytes.into())))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Pack(bytes, _) | Self::Lines(bytes) => bytes.len(),
        }
    }

    /// Reads the observations back, and says whether that were all.
    pub(super) fn read(&self) -> (Vec<Observation>, bool) {
        match self {
            Self::Pack(bytes, count) => unpack(bytes, *count),
            Self::Lines(bytes) => {
                let mut whole = true;
                let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                let read = lines.filter_map(|line| serde_json::from_slice(line).inspect_err(|_| whole = false).ok());
                (read.collect(), whole)
            }
        }
    }
}

/// Whether so many observations of so many bytes fit into one entry.
pub(super) fn fit(count: usize, bytes: usize) -> bool {
    count <= MOST && bytes <= FULL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AgentId, Kind, SessionKey, Source, Text, Timestamp};

    fn observation(agent: &str, text: &str) -> Observation {
        Observation {
            agent: AgentId::fitted(agent),
            session: SessionKey::default(),
            id: None,
            at: Timestamp::from_nanos(5),
            source: Source::Native,
            kind: Kind::Thought { text: Some(Text::new(text)) },
        }
    }

    #[test]
    fn many_are_several_packs_each_of_which_can_be_read() {
        let observations: Vec<_> = (0..2500).map(|i| observation("a", &i.to_string())).collect();
        let packs = Pack::write(&observations);
        assert_eq!(packs.iter().map(|pack| pack.count).collect::<Vec<_>>(), [MOST, MOST, 500]);
        let mut back = Vec::new();
        for pack in packs {
            let (read, whole) = Body::Pack(pack.bytes, pack.count).read();
            assert_eq!((read.len(), whole), (pack.count, true));
            back.extend(read);
        }
        assert_eq!(back, observations);
        assert!(Pack::write(&[]).is_empty());
    }

    #[test]
    fn an_entry_of_before_is_read_and_one_of_later_is_not() {
        let json = serde_json::to_string(&observation("a", "b")).unwrap();
        let lines = format!("{{\"agent\":\n{json}\nnot JSON\n{json}");
        let of = |name: &'static str, bytes: &[u8]| {
            let bytes = bytes.to_vec();
            Body::of(1, move |field| (field == name).then(|| bytes.clone()))
        };
        let (read, whole) = of("lines", lines.as_bytes()).unwrap().read();
        assert_eq!((read.len(), whole), (2, false), "what cannot be read takes nothing with it");
        assert!(of("lines", json.as_bytes()).unwrap().read().1);
        assert!(matches!(of("pack", b""), Some(Body::Pack(_, 1))));
        assert!(of("crate", b"").is_none());
    }
}
