//! Moments as people write them.

use std::time::Duration;

use crate::domain::Timestamp;
use crate::setting::duration;

/// What a text must be to be a moment, for error messages.
pub const EXPECTED: &str =
    "a moment such as \"2025-11-23T23:54:08Z\" or \"2025-11-23\" (UTC), \"now\", or how long ago, such as \"90d\"";

/// A moment, or how long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// This moment.
    At(Timestamp),
    /// So long before now.
    Ago(Duration),
}

impl When {
    /// The moment, as seen from now.
    pub fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.minus(ago),
        }
    }
}

/// Reads a moment.
pub fn parse(text: &str) -> Result<When, String> {
    let text = text.trim();
    if text == "now" {
        return Ok(When::Ago(Duration::ZERO));
    }
    let moment = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let day: jiff::civil::Date = text.parse().ok()?;
        format!("{day}T00:00:00Z").parse().ok()
    });
    let at = moment.and_then(|moment| i64::try_from(moment.as_nanosecond()).ok());
    match (at, duration::parse(text)) {
        (Some(nanos), _) => Ok(When::At(Timestamp::from_nanos(nanos))),
        (None, Some(ago)) => Ok(When::Ago(ago)),
        (None, None) => Err(format!("must be {EXPECTED}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        let now = Timestamp::from_nanos(1_763_942_048_123_000_000);
        for (text, shown) in [
            ("2025-11-23T23:54:08Z", "2025-11-23T23:54:08.000Z"),
            ("2025-11-24T00:54:08.5+01:00", "2025-11-23T23:54:08.500Z"),
            ("2025-11-23", "2025-11-23T00:00:00.000Z"),
            ("now", "2025-11-23T23:54:08.123Z"),
            ("1d", "2025-11-22T23:54:08.123Z"),
            ("1h 30m", "2025-11-23T22:24:08.123Z"),
        ] {
            assert_eq!(parse(text).map(|when| when.moment(now).to_string()), Ok(shown.to_owned()));
        }
        for text in ["", "yesterday", "12:00", "2025-13-01", "-1d", "2025-11-23T23:54:08"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
