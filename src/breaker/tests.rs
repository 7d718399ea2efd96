use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn settings() -> Settings {
    Settings {
        window_calls: 10,
        window_time: MS * 1000,
        minimum_calls: 4,
        failure_rate: 0.5,
        slow_rate: 1.0,
        trial_calls: 2,
        trial_deadline: MS * 300,
        open_for: MS * 100,
        open_at_most: MS * 800,
    }
}

fn call(breaker: &mut Breaker, now: Duration, outcome: Outcome) {
    let permit = breaker.permit(now).unwrap();
    breaker.record(now, permit, outcome);
}

fn opened(settings: Settings) -> Breaker {
    let mut breaker = Breaker::new(settings, 7);
    for _ in 0..settings.minimum_calls {
        call(&mut breaker, Duration::ZERO, Outcome::Failure);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker
}

#[test]
fn opens_at_the_failure_rate_and_not_before_the_minimum_of_calls() {
    let mut breaker = Breaker::new(settings(), 1);
    for outcome in [Outcome::Failure, Outcome::Failure, Outcome::Success] {
        call(&mut breaker, MS, outcome);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
    call(&mut breaker, MS, Outcome::Success);
    assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Open, 1));
}

#[test]
fn opens_at_the_slow_rate() {
    let mut breaker = Breaker::new(settings(), 1);
    for _ in 0..3 {
        call(&mut breaker, MS, Outcome::Slow);
    }
    call(&mut breaker, MS, Outcome::Success);
    assert_eq!(breaker.state(), BreakerState::Closed);
    for _ in 0..10 {
        assert_eq!(breaker.state(), BreakerState::Closed);
        call(&mut breaker, MS, Outcome::Slow);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn old_calls_leave_the_window() {
    let mut breaker = Breaker::new(settings(), 1);
    for _ in 0..3 {
        call(&mut breaker, Duration::ZERO, Outcome::Failure);
    }
    for _ in 0..4 {
        call(&mut breaker, MS * 1001, Outcome::Success);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn closes_when_all_trial_calls_succeed() {
    let mut breaker = opened(settings());
    let wait = breaker.permit(Duration::ZERO).unwrap_err();
    assert!((MS * 50..=MS * 100).contains(&wait), "{wait:?}");
    let (first, second) = (breaker.permit(wait).unwrap(), breaker.permit(wait).unwrap());
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(breaker.permit(wait), Err(MS * 300), "no more than the trial calls");
    breaker.record(wait, first, Outcome::Success);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    breaker.record(wait, second, Outcome::Success);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn a_trial_call_that_hangs_does_not_pin_it() {
    let mut breaker = opened(settings());
    let now = MS * 100;
    let hung = breaker.permit(now).unwrap();
    let wait = breaker.permit(now + MS * 300).unwrap_err();
    assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Open, 2));
    let again = now + MS * 300 + wait;
    let trials = [breaker.permit(again).unwrap(), breaker.permit(again).unwrap()];
    breaker.record(again, hung, Outcome::Failure);
    assert_eq!(breaker.state(), BreakerState::HalfOpen, "a call from before counts no more");
    trials.into_iter().for_each(|permit| breaker.record(again, permit, Outcome::Success));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn stays_open_longer_each_time_up_to_the_longest() {
    let mut breaker = opened(settings());
    let mut now = Duration::ZERO;
    for longest in [100, 200, 400, 800, 800, 800] {
        let wait = breaker.permit(now).unwrap_err();
        assert!((MS * longest / 2..=MS * longest).contains(&wait), "{wait:?} of {longest}");
        now += wait;
        call(&mut breaker, now, Outcome::Failure);
    }
    let wait = breaker.permit(now).unwrap_err();
    (0..2).for_each(|_| call(&mut breaker, now + wait, Outcome::Success));
    (0..4).for_each(|_| call(&mut breaker, now + wait, Outcome::Failure));
    assert!(breaker.permit(now + wait).unwrap_err() <= MS * 100, "a good time makes the next opening short again");
}

#[test]
fn waits_differ_from_breaker_to_breaker() {
    let waits: std::collections::BTreeSet<_> = (0..32)
        .map(|seed| {
            let mut breaker = Breaker::new(settings(), seed);
            (0..4).for_each(|_| call(&mut breaker, Duration::ZERO, Outcome::Failure));
            breaker.permit(Duration::ZERO).unwrap_err()
        })
        .collect();
    assert!(waits.len() > 30);
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Ask,
    Tell(usize, Outcome),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop::sample::select(vec![Outcome::Success, Outcome::Slow, Outcome::Failure]);
    let step = prop_oneof![
        (0..400u64).prop_map(Step::Wait),
        Just(Step::Ask),
        (0..4usize, outcome).prop_map(|(which, outcome)| Step::Tell(which, outcome)),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// Whatever happens: an open breaker lets nothing through before its time, a half-open one never more than its
    /// trial calls, every wait is one after which asking again is answered anew, and good calls always close it.
    #[test]
    fn keeps_its_promises(steps in steps(), seed: u64) {
        let mut breaker = Breaker::new(settings(), seed);
        let mut now = Duration::ZERO;
        let mut closed_until = Duration::ZERO;
        let mut pending: Vec<Permit> = Vec::new();
        let mut trials = 0;
        for step in steps {
            match step {
                Step::Wait(ms) => now += MS * u32::try_from(ms).unwrap(),
                Step::Ask => {
                    let before = breaker.state();
                    match breaker.permit(now) {
                        Ok(permit) => {
                            prop_assert!(now >= closed_until);
                            prop_assert!(breaker.state() != BreakerState::Open);
                            trials = match (before, breaker.state()) {
                                (BreakerState::HalfOpen, BreakerState::HalfOpen) => trials + 1,
                                _ => 1,
                            };
                            prop_assert!(breaker.state() == BreakerState::Closed || trials <= 2);
                            pending.push(permit);
                        }
                        Err(wait) => {
                            prop_assert!(wait > Duration::ZERO && wait <= MS * 800);
                            if breaker.state() == BreakerState::Open {
                                closed_until = now + wait;
                            }
                        }
                    }
                }
                Step::Tell(which, outcome) if which < pending.len() => {
                    breaker.record(now, pending.swap_remove(which), outcome);
                    if breaker.state() == BreakerState::Closed {
                        closed_until = now;
                    }
                }
                Step::Tell(..) => {}
            }
            prop_assert!(breaker.window.len() <= 10);
        }
        for _ in 0..20 {
            match breaker.permit(now) {
                Ok(permit) => breaker.record(now, permit, Outcome::Success),
                Err(wait) => now += wait,
            }
        }
        prop_assert_eq!(breaker.state(), BreakerState::Closed);
    }

    /// Closed, it opens exactly when the definition of the rates over the window says so.
    #[test]
    fn opens_as_defined(calls in prop::collection::vec((0..300u64, 0..3u8), 1..60)) {
        let mut breaker = Breaker::new(settings(), 1);
        let mut now = Duration::ZERO;
        let mut all: Vec<(Duration, Outcome)> = Vec::new();
        for (gap, outcome) in calls {
            now += MS * u32::try_from(gap).unwrap();
            let outcome = [Outcome::Success, Outcome::Slow, Outcome::Failure][usize::from(outcome)];
            call(&mut breaker, now, outcome);
            all.push((now, outcome));
            let window: Vec<_> = all.iter().rev().take(10).filter(|(at, _)| now - *at <= MS * 1000).collect();
            let share = |kind| window.iter().filter(|(_, outcome)| *outcome == kind).count() as f64 / window.len() as f64;
            let expected = window.len() >= 4 && (share(Outcome::Failure) >= 0.5 || share(Outcome::Slow) >= 1.0);
            prop_assert_eq!(breaker.state() == BreakerState::Open, expected);
            if expected {
                break;
            }
        }
    }
}
