//! Durations as people write them: `100ms`, `25s`, `1h 30m`, `366d`. For `#[serde(with = "crate::setting::duration")]`.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::{Deserialize, Deserializer, Serializer};

/// What a text must be to be a duration, for error messages.
pub const EXPECTED: &str = "a duration such as \"100ms\", \"25s\", \"1h 30m\" or \"7d\"";

/// Reads a duration; a day is 24 hours. `None` for anything else, for a negative one, and for units longer than a
/// week, whose length depends on the calendar.
pub fn parse(text: &str) -> Option<Duration> {
    let span: Span = text.trim().parse().ok()?;
    let signed: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(signed).ok()
}

/// Writes a duration in its largest units, as in `1h 30m`; whole seconds below two minutes stay seconds, as in `60s`.
pub fn format(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 && duration.as_secs() < 120 {
        return format!("{}s", duration.as_secs());
    }
    const UNITS: [(&str, u128); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let mut rest = duration.as_nanos();
    let mut parts = Vec::new();
    for (unit, nanos) in UNITS {
        if rest >= nanos {
            parts.push(format!("{}{unit}", rest / nanos));
            rest %= nanos;
        }
    }
    parts.join(" ")
}

/// Serialises a duration as text.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// Deserialises a duration from text.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    // A number says nothing of its unit, so it is no duration either.
    let text = String::deserialize(deserializer).ok();
    let duration = text.as_deref().and_then(parse);
    duration.ok_or_else(|| serde::de::Error::custom(format_args!("invalid value, expected {EXPECTED}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [
            ("100ms", 100),
            ("25s", 25_000),
            ("1h", 3_600_000),
            ("1h 30m", 5_400_000),
            ("1.5s", 1500),
            ("7d", 604_800_000),
            ("366d", 31_622_400_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "100", "ms", "-1s", "1 s ago", "1y", "1mo", "ten seconds", "99999999999999999999s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_written_in_their_largest_units() {
        assert_eq!(format(Duration::from_millis(100)), "100ms");
        assert_eq!(format(Duration::from_secs(60)), "60s");
        assert_eq!(format(Duration::from_secs(150)), "2m 30s");
        assert_eq!(format(Duration::from_hours(366 * 24)), "366d");
        assert_eq!(format(Duration::ZERO), "0s");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(nanos in 0..=400u64 * 86_400_000_000_000) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&format(duration)), Some(duration));
        }
    }
}
