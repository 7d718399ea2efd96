//! When the next frame may go to a client.

use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

/// What "within a second" means: a little more, so that the network's jitter does not push one frame too many into a
/// client's second.
const WINDOW: Duration = Duration::from_millis(1_020);
/// Microseconds after which times are counted from a later moment.
const EPOCH: u32 = 1 << 31;

/// Two limits at once: at most so many frames of any kind within any second, and data frames at the rate that the
/// client asked for.
///
/// Each frame to each stream passes here, and what it costs is the memory that it has to fetch: so all of it lies
/// together.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the last `limit` frames were sent, or, where they were late within the tolerance, should have been; without
    /// those that are of no account any more. Microseconds since `start`.
    sent: SmallVec<[u32; 20]>,
    start: Instant,
    limit: usize,
    window: Duration,
    /// By how much frames may be ahead of the window.
    tolerance: Duration,
    /// Distance between data frames for a client that asked for none.
    spacing: Duration,
    interval: Duration,
    /// When the next data frame is due at the client's rate.
    due: Option<Instant>,
    /// Time between beats, where they alone keep the limit exactly.
    beat: Option<Duration>,
    /// Until when data waits for another beat.
    waits: Option<Instant>,
}

impl Pace {
    /// So many frames a second at most, where there is a beat each `beat`, from a moment on.
    pub(super) fn new(frames_per_second: u32, beat: Duration, start: Instant) -> Self {
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
        let (sent, beat) = (SmallVec::new(), exact.then_some(beat));
        Self { sent, start, limit, window, tolerance, spacing, interval: spacing, due: None, beat, waits: None }
    }

    /// Data frames at most so often from now on; `None`: as often as the limit allows.
    pub(super) fn at_most(&mut self, hz: Option<f64>) {
        self.interval = hz.and_then(|hz| Duration::try_from_secs_f64(hz.recip()).ok()).unwrap_or(self.spacing);
        self.due = None;
    }

    /// From when on a frame of any kind may be sent; `None`: now.
    pub(super) fn any_from(&self) -> Option<Instant> {
        let full = self.sent.len() >= self.limit;
        full.then(|| self.sent.first().map(|&oldest| self.moment(oldest) + self.window - self.tolerance)).flatten()
    }

    fn moment(&self, micros: u32) -> Instant {
        self.start + Duration::from_micros(micros.into())
    }

    /// Microseconds since the start, rounded up.
    fn micros(&mut self, at: Instant) -> u32 {
        loop {
            let micros = at.saturating_duration_since(self.start).as_nanos().div_ceil(1_000);
            match u32::try_from(micros) {
                Ok(micros) if micros < EPOCH => return micros,
                _ => {
                    // What is as old as that lies before the new start, and is of no account.
                    self.sent.iter_mut().for_each(|sent| *sent = sent.saturating_sub(EPOCH / 2));
                    self.start += Duration::from_micros((EPOCH / 2).into());
                }
            }
        }
    }

    /// From when on a data frame may be sent; `None`: now.
    pub(super) fn data_from(&self) -> Option<Instant> {
        self.on_beat_from().max(self.waits)
    }

    /// The same at a beat.
    pub(super) fn on_beat_from(&self) -> Option<Instant> {
        self.any_from().max(self.due)
    }

    /// Takes note that a beat's news have to wait. Where the limit is what they wait for, and the beat alone keeps it, that
    /// is for the next beat, if it comes in time: a frame between two beats would have another one wait a second later,
    /// and so on for ever.
    pub(super) fn wait(&mut self, now: Instant) {
        if let (Some(beat), Some(from)) = (self.beat, self.any_from())
            && now < from
            && self.waits.is_none_or(|until| until <= now)
        {
            self.waits = Some(from + beat);
        }
    }

    /// Takes note of a frame.
    pub(super) fn sent(&mut self, now: Instant, data: bool) {
        let early = now.checked_sub(self.tolerance).unwrap_or(now);
        let past = self.sent.iter().take_while(|&&sent| self.moment(sent) + self.window <= early).count();
        let full = self.sent.len() - past >= self.limit;
        let oldest = self.sent.get(past).filter(|_| full);
        let counted = oldest.map_or(early, |&oldest| early.max(self.moment(oldest) + self.window));
        self.sent.drain(..past + usize::from(full));
        let counted = self.micros(counted);
        self.sent.push(counted);
        if data {
            self.waits = None;
        }
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
            let mut pace = Pace::new(20, Duration::from_millis(beat), Instant::now());
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
            let mut pace = Pace::new(20, Duration::from_millis(beat), Instant::now());
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
        let start = Instant::now();
        let mut pace = Pace::new(20, Duration::from_millis(50), start);
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
    fn frames_beside_the_beat_cost_one_beat_and_make_none_late() {
        let start = Instant::now();
        let mut pace = Pace::new(20, Duration::from_millis(50), start);
        // As at the beginning of a stream.
        pace.sent(start, false);
        pace.sent(start, true);
        let mut waited = 0;
        for number in 0u64..400 {
            let now = start + Duration::from_millis(50 * number + 30);
            if pace.on_beat_from().is_none_or(|from| now >= from) {
                pace.sent(now, true);
            } else {
                waited += 1;
                pace.wait(now);
                let next = now + Duration::from_millis(50);
                assert!(pace.data_from().is_some_and(|from| from > next), "beat {number} comes with the next");
            }
        }
        assert_eq!(waited, 1);
        // Without another beat it is not for ever.
        for later in 20_000u64..20_020 {
            pace.sent(start + Duration::from_millis(later), false);
        }
        let now = start + Duration::from_millis(20_030);
        let from = pace.on_beat_from().unwrap();
        assert!(now < from);
        pace.wait(now);
        assert_eq!(pace.data_from(), Some(from + Duration::from_millis(50)));
    }

    #[test]
    fn a_stream_may_last_for_hours() {
        let start = Instant::now();
        let mut pace = Pace::new(20, Duration::from_millis(50), start);
        for number in 0u64..400_000 {
            let now = start + Duration::from_millis(50 * number);
            assert!(pace.on_beat_from().is_none_or(|from| now >= from), "beat {number}");
            pace.sent(now, true);
        }
        let now = start + Duration::from_hours(30);
        (0..20).for_each(|_| pace.sent(now, true));
        let from = pace.any_from().unwrap();
        assert!(now < from && from <= now + Duration::from_secs(1));
    }

    #[test]
    fn where_beats_come_faster_frames_come_evenly() {
        let start = Instant::now();
        let mut pace = Pace::new(20, Duration::from_millis(10), start);
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
