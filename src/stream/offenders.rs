//! Who makes frames be dropped.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::registry::Holder;
use super::tally::Tally;

/// Clients remembered at a time; drops of further ones count in the metrics alone.
const MOST: usize = 1_024;
/// Longest part of a `sub` that is shown, in characters.
const SHOWN: usize = 64;

/// A client, and the frames that were dropped because of it: held-back ones of a slow client, and messages over the
/// rate. It shows its `sub`, shortened, and its address: for logs that say so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offender {
    /// The token's `sub`.
    #[serde(serialize_with = "shortened")]
    pub sub: Arc<str>,
    /// Where its streams were opened from.
    pub address: IpAddr,
    /// Frames dropped.
    pub drops: u64,
}

fn shortened<S: Serializer>(sub: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    let end = sub.char_indices().nth(SHOWN).map_or(sub.len(), |(at, _)| at);
    serializer.serialize_str(&sub[..end])
}

/// Drops by client.
#[derive(Debug, Default)]
pub(super) struct Offenders(HashMap<(Arc<str>, IpAddr), u64>);

impl Offenders {
    /// Takes note of what a stream dropped and nobody was told of.
    pub(super) fn note(&mut self, holder: &Holder, tally: &Tally) {
        let drops = tally.drops_since_told();
        let client = (Arc::clone(&holder.subject), holder.address);
        if drops > 0 && (self.0.len() < MOST || self.0.contains_key(&client)) {
            *self.0.entry(client).or_default() += drops;
        }
    }

    /// So many of those with the most drops, the worst first.
    pub(super) fn worst(self, most: usize) -> Vec<Offender> {
        let mut all: Vec<_> =
            self.0.into_iter().map(|((sub, address), drops)| Offender { sub, address, drops }).collect();
        all.sort_by(|a, b| b.drops.cmp(&a.drops).then_with(|| a.sub.cmp(&b.sub)));
        all.truncate(most);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_come_first_shortened_and_escaped() {
        let holder = |subject: &str| Holder {
            subject: subject.into(),
            token: "t".into(),
            issued: None,
            address: [192, 0, 2, 1].into(),
        };
        let long = format!("\u{202e}\"{}", "x".repeat(200));
        let mut offenders = Offenders::default();
        for (subject, slow, fast) in [("a", 3, 4), ("calm", 0, 0), (&long, 90, 10), ("b", 1, 0), ("a", 2, 0)] {
            let tally = Tally::default();
            tally.given_up(slow);
            tally.limited(fast);
            offenders.note(&holder(subject), &tally);
            offenders.note(&holder(subject), &tally);
        }
        let worst = offenders.worst(2);
        let shown: Vec<_> = worst.iter().map(|offender| (&*offender.sub, offender.drops)).collect();
        assert_eq!(shown, [(&*long, 100), ("a", 9)]);
        let text = serde_json::to_string(&worst).unwrap();
        assert!(text.len() < 300 && text.contains("\\\"xxx"), "{text}");
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut offenders = Offenders::default();
        for i in 0..2 * MOST {
            let tally = Tally::default();
            tally.limited(1);
            let address = IpAddr::from([192, 0, 2, 1]);
            offenders.note(&Holder { subject: i.to_string().into(), token: "t".into(), issued: None, address }, &tally);
        }
        assert_eq!(offenders.worst(usize::MAX).len(), MOST);
    }
}
