//! When the next frame may go to a client.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What "within a second" means: a little more, so that the network's jitter does not push one frame too many into a
/// client's second.
const WINDOW: Duration = Duration::from_millis(1_020);

/// Two limits at once: at most so many frames of any kind within any second, and data frames at the rate that the
/// client asked for.
#[derive(Debug)]
pub(super) struct Pace {
    limit: usize,
    window: Duration,
    /// By how much frames may be ahead of the window.
    tolerance: Duration,
    /// Distance between data frames for a client that asked for none.
    spacing: Duration,
    /// When the last `limit` frames were sent, or, where they were late within the tolerance, should have been.
    sent: VecDeque<Instant>,
    interval: Duration,
    /// When the next data frame is due at the client's rate.
    due: Option<Instant>,
}

impl Pace {
    /// So many frames a second at most, where there is a beat each `beat`.
    pub(super) fn new(frames_per_second: u32, beat: Duration) -> Self {
        let frames_per_second = frames_per_second.max(1);
        let limit = usize::try_from(frames_per_second).unwrap_or(usize::MAX);
        let filled_in = beat * frames_per_second;
        // Where the beat alone keeps the limit exactly, a window of more than a second would make frames wait for their
        // turn and merge one in fifty; and a frame that was late would make another one late each second after.
        let exact = (Duration::from_secs(1)..=WINDOW).contains(&filled_in);
        let (window, tolerance) = if exact { (filled_in, beat / 2) } else { (WINDOW, Duration::ZERO) };
        // Where beats come faster, frames come evenly, and not twenty at once and then none for long.
        let faster = filled_in < Duration::from_secs(1);
        let spacing = if faster { Duration::from_secs(1) / frames_per_second } else { Duration::ZERO };
        Self { limit, window, tolerance, spacing, sent: VecDeque::new(), interval: spacing, due: None }
    }

    /// Data frames at most so often from now on; `None`: as often as the limit allows.
    pub(super) fn at_most(&mut self, hz: Option<f64>) {
        self.interval = hz.and_then(|hz| Duration::try_from_secs_f64(hz.recip()).ok()).unwrap_or(self.spacing);
        self.due = None;
    }

    /// From when on a frame of any kind may be sent; `None`: now.
    pub(super) fn any_from(&self) -> Option<Instant> {
        let full = self.sent.len() >= self.limit;
        full.then(|| self.sent.front().map(|oldest| *oldest + self.window - self.tolerance)).flatten()
    }

    /// From when on a data frame may be sent; `None`: now.
    pub(super) fn data_from(&self) -> Option<Instant> {
        self.any_from().max(self.due)
    }

    /// Takes note of a frame.
    pub(super) fn sent(&mut self, now: Instant, data: bool) {
        let early = now.checked_sub(self.tolerance).unwrap_or(now);
        let full = self.sent.len() >= self.limit;
        let oldest = if full { self.sent.pop_front() } else { None };
        self.sent.push_back(oldest.map_or(early, |oldest| early.max(oldest + self.window)));
        if data && !self.interval.is_zero() {
            // A frame may come a little early, and the next is then due as if it had not: else timers, which are late
            // by a fraction of a millisecond each, would slow down a client that asked for exactly the beat's rate.
            let tolerance = (self.interval / 10).min(Duration::from_millis(5));
            let on_time = self.due.map_or(now, |due| (due + tolerance).max(now));
            self.due = Some(on_time + self.interval - tolerance);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_more_than_the_limit_within_any_second(
            steps in prop::collection::vec((0u64..200, any::<bool>()), 1..400),
            hz in prop::option::of(0.5f64..20.0),
            beat in prop::sample::select(vec![5u64, 20, 100, 500]),
        ) {
            let mut pace = Pace::new(20, Duration::from_millis(beat));
            pace.at_most(hz);
            let mut now = Instant::now();
            let mut sent: Vec<(Instant, bool)> = Vec::new();
            for (pause, data) in steps {
                now += Duration::from_millis(pause);
                let from = if data { pace.data_from() } else { pace.any_from() };
                if from.is_none_or(|from| now >= from) {
                    pace.sent(now, data);
                    sent.push((now, data));
                }
            }
            for (i, (start, _)) in sent.iter().enumerate() {
                let within = sent[i..].iter().take_while(|(at, _)| *at - *start < Duration::from_secs(1));
                prop_assert!(within.count() <= 20);
            }
            if let Some(hz) = hz {
                let data: Vec<Instant> = sent.iter().filter(|(_, data)| *data).map(|(at, _)| *at).collect();
                if let (Some(first), Some(last)) = (data.first(), data.last()) {
                    let allowed = (*last - *first).as_secs_f64() * hz + 1.1;
                    prop_assert!(data.len() as f64 <= allowed, "{} frames, {allowed} allowed", data.len());
                }
            }
        }
    }

    #[test]
    fn who_asks_for_the_beats_rate_gets_every_beat_at_once() {
        for (beat, hz) in [(100, Some(10.0)), (100, None), (50, Some(20.0)), (50, None)] {
            let mut pace = Pace::new(20, Duration::from_millis(beat));
            pace.at_most(hz);
            let start = Instant::now();
            for number in 0u64..1_000 {
                let jitter = Duration::from_micros((number * 7_919) % 2_000);
                let now = start + Duration::from_millis(beat * number) + jitter;
                assert!(pace.data_from().is_none_or(|from| now >= from), "beat {number} of {beat} ms");
                pace.sent(now, true);
            }
        }
    }

    #[test]
    fn a_frame_that_was_late_makes_no_other_late() {
        let mut pace = Pace::new(20, Duration::from_millis(50));
        let start = Instant::now();
        for number in 0u64..200 {
            let late = if number == 30 { 40 } else { 0 };
            let now = start + Duration::from_millis(50 * number + late);
            assert!(pace.data_from().is_none_or(|from| now >= from), "beat {number}");
            pace.sent(now, true);
        }
        // And yet no more than the limit in the long run.
        let mut sent = 0;
        for ms in 10_000u64..20_000 {
            let now = start + Duration::from_millis(ms);
            if pace.any_from().is_none_or(|from| now >= from) {
                pace.sent(now, true);
                sent += 1;
            }
        }
        assert!((199..=201).contains(&sent), "{sent} frames in ten seconds");
    }

    #[test]
    fn where_beats_come_faster_frames_come_evenly() {
        let mut pace = Pace::new(20, Duration::from_millis(10));
        let start = Instant::now();
        let sent: Vec<u64> = (0u64..200)
            .filter(|beat| {
                let now = start + Duration::from_millis(10 * beat);
                let may = pace.data_from().is_none_or(|from| now >= from);
                if may {
                    pace.sent(now, true);
                }
                may
            })
            .collect();
        assert!((38..=40).contains(&sent.len()), "{} frames in two seconds", sent.len());
        assert!(sent.windows(2).all(|pair| (5..=8).contains(&(pair[1] - pair[0]))), "{sent:?}");
    }
}
