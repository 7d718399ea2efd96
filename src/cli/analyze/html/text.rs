//! Texts for HTML: escaped, and times as short as they can be told apart.

use std::fmt;
use std::time::Duration;

use crate::cli::words::lasted;
use crate::domain::Timestamp;

/// A text for HTML, between tags or in a quoted attribute.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // What HTML has no way to write.
                c if c.is_control() && c != '\n' && c != '\t' => f.write_str("\u{fffd}")?,
                c => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}

/// How times of a recording are shown.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Timestamp,
    end: Timestamp,
}

/// Times before 1971 are those of recordings that tell none.
const FIRST_REAL: Timestamp = Timestamp::from_nanos(31_536_000_000_000_000);
const DAY: Duration = Duration::from_hours(24);

impl Clock {
    /// For a recording that spans this time.
    pub fn new(span: Option<(Timestamp, Timestamp)>) -> Self {
        let (start, end) = span.unwrap_or_default();
        Self { start, end }
    }

    /// The beginning of the recording.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// Its end.
    pub fn end(&self) -> Timestamp {
        self.end
    }

    fn is_relative(&self) -> bool {
        self.start < FIRST_REAL
    }

    /// A time, short: of the day, with the date where there are several, or since the beginning.
    pub fn short(&self, at: Timestamp) -> String {
        let full = at.to_string();
        let part = |from: usize, to: usize| full.get(from..to).unwrap_or_default().to_owned();
        if self.is_relative() {
            format!("+{}", lasted(at.since(self.start)))
        } else if self.end.since(self.start) >= DAY {
            format!("{} {}", part(5, 10), part(11, 16))
        } else {
            part(11, 19)
        }
    }

    /// From when to when, in full.
    pub fn range(&self) -> String {
        if self.is_relative() {
            return "the recording tells no times".to_owned();
        }
        let (start, end) = (self.start.to_string(), self.end.to_string());
        let (date, time) = start.split_once('T').unwrap_or((&start, ""));
        let (last, until) = end.split_once('T').unwrap_or((&end, ""));
        let minute = |time: &str| time.get(..5).unwrap_or_default().to_owned();
        if date == last {
            format!("{date}, {} to {} UTC", minute(time), minute(until))
        } else {
            format!("{date} {} to {last} {} UTC", minute(time), minute(until))
        }
    }

    /// Round times within the recording, some six of them.
    pub fn ticks(&self) -> Vec<Timestamp> {
        const STEPS: [u64; 19] =
            [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800];
        let seconds = self.end.since(self.start).as_secs();
        let step = STEPS.into_iter().find(|step| seconds / step <= 7).unwrap_or(seconds / 6).max(1);
        let step = i64::try_from(step).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        let origin = if self.is_relative() { self.start.as_nanos() } else { 0 };
        let first = origin + ((self.start.as_nanos() - origin) / step) * step;
        let all = (0..10).map(|i| Timestamp::from_nanos(first.saturating_add(step.saturating_mul(i))));
        all.filter(|at| *at >= self.start && *at <= self.end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup() {
        let text = "<script>alert('1')</script> & \"x\" \u{1}\u{1b}[31m";
        let escaped = Escaped(text).to_string();
        assert_eq!(escaped, "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot; \u{fffd}\u{fffd}[31m");
    }

    #[test]
    fn times_are_told_as_short_as_they_can() {
        let at = |seconds: i64| Timestamp::from_nanos((1_763_942_048 + seconds) * 1_000_000_000);
        let hour = Clock::new(Some((at(0), at(3600))));
        assert_eq!(
            (hour.short(at(60)), hour.range()),
            ("23:55:08".into(), "2025-11-23 23:54 to 2025-11-24 00:54 UTC".into())
        );
        let ticks: Vec<_> = hour.ticks().into_iter().map(|tick| hour.short(tick)).collect();
        assert_eq!(ticks, ["00:00:00", "00:10:00", "00:20:00", "00:30:00", "00:40:00", "00:50:00"]);
        assert_eq!(Clock::new(Some((at(0), at(400_000)))).short(at(60)), "11-23 23:55");
        let untold = Clock::new(Some((Timestamp::from_nanos(1_000_000), Timestamp::from_nanos(5_001_000_000))));
        assert_eq!(untold.short(Timestamp::from_nanos(3_001_000_000)), "+3 s");
        assert_eq!(untold.ticks().len(), 6);
        assert_eq!(Clock::new(None).ticks().len(), 1);
    }
}
