//! The protocol step by step.

use std::time::Duration;

use crate::cluster::{Answer, Ask, Lease, Loss, Next, Settings, Term};
use crate::sanitize::Position;

const MS: Duration = Duration::from_millis(1);

fn lease() -> Lease {
    Lease::new(Settings::of_life(MS * 2000))
}

/// What it asks at this moment, and the question's number.
#[track_caller]
fn asks(lease: &mut Lease, now: Duration) -> (u64, Ask) {
    match lease.poll(now) {
        Next::Ask(request) => (request.id, request.ask),
        other => panic!("{other:?}"),
    }
}

/// A lease that was asked for at this moment and granted at once.
fn leading(at: Duration, epoch: u64) -> Lease {
    let mut lease = lease();
    let (id, ask) = asks(&mut lease, at);
    assert_eq!(ask, Ask::Acquire { attempt: 1, known: 0 });
    lease.answer(at, id, Answer::Granted { epoch });
    lease
}

#[test]
fn a_term_is_counted_from_before_the_question() {
    let mut lease = lease();
    let (id, _) = asks(&mut lease, MS * 100);
    assert_eq!(lease.poll(MS * 150), Next::Await);
    lease.answer(MS * 500, id, Answer::Granted { epoch: 7 });
    assert_eq!(lease.term(MS * 500), Some(Term { epoch: 7, until: MS * 1900 }));
    assert!(lease.term(MS * 1899).is_some() && lease.term(MS * 1900).is_none());
}

#[test]
fn it_is_renewed_at_a_third_of_its_life() {
    let mut lease = leading(Duration::ZERO, 7);
    let Next::Wait(until) = lease.poll(MS) else { panic!("there is time") };
    assert_eq!(until, MS * 2000 / 3);
    let (id, ask) = asks(&mut lease, until);
    assert_eq!(ask, Ask::Renew { attempt: 1, epoch: 7 });
    lease.answer(MS * 700, id, Answer::Renewed);
    assert_eq!(lease.term(MS * 700), Some(Term { epoch: 7, until: until + MS * 1800 }));
}

#[test]
fn renewals_are_tried_until_the_term_is_over() {
    let mut lease = leading(Duration::ZERO, 7);
    let (mut now, mut tries) = (Duration::ZERO, 0);
    while lease.term(now).is_some() {
        match lease.poll(now) {
            Next::Wait(until) => now = until,
            Next::Ask(request) => {
                assert_eq!(request.ask, Ask::Renew { attempt: 1, epoch: 7 });
                tries += 1;
                now += MS * 200;
                lease.answer(now, request.id, Answer::Unknown);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((3..=5).contains(&tries), "{tries}");
    assert_eq!(now.max(MS * 1800), now);
    let (id, ask) = asks(&mut lease, now);
    assert_eq!((ask, lease.loss()), (Ask::Look, Some(Loss::Lapsed)));
    lease.answer(now, id, Answer::Free { stored: None });
    assert_eq!(lease.poll(now), Next::Wait(now + MS * 1000), "whoever led last comes first");
    assert_eq!(asks(&mut lease, now + MS * 1000).1, Ask::Acquire { attempt: 2, known: 7 });
}

#[test]
fn who_slept_past_its_term_leads_no_more_whatever_it_is_told() {
    let mut lease = leading(Duration::ZERO, 7);
    let (id, _) = asks(&mut lease, MS * 700);
    // Renewed in time, and then it was asleep.
    assert_eq!(lease.term(MS * 2600), None);
    lease.answer(MS * 2600, id, Answer::Renewed);
    assert_eq!((lease.term(MS * 2600), lease.loss()), (None, Some(Loss::Lapsed)));
    // The lease is still its own. It leads again, in a new epoch.
    let (id, ask) = asks(&mut lease, MS * 2600);
    assert_eq!(ask, Ask::Acquire { attempt: 2, known: 7 });
    lease.answer(MS * 2600, id, Answer::Granted { epoch: 8 });
    assert_eq!(lease.term(MS * 2600).map(|term| term.epoch), Some(8));
}

#[test]
fn others_try_when_the_lease_ends_and_when_they_are_woken() {
    let mut lease = lease();
    let (id, _) = asks(&mut lease, Duration::ZERO);
    lease.answer(MS, id, Answer::Held { by: "other".to_owned(), left: MS * 1500 });
    assert_eq!((lease.poll(MS), lease.holder()), (Next::Wait(MS * 1506), Some("other")));
    lease.wake(MS * 300);
    let (id, ask) = asks(&mut lease, MS * 300);
    assert_eq!(ask, Ask::Acquire { attempt: 2, known: 0 });
    // Released after the question was answered, told before the answer came.
    lease.wake(MS * 301);
    lease.answer(MS * 302, id, Answer::Held { by: "other".to_owned(), left: MS * 1200 });
    assert_eq!(lease.poll(MS * 302), Next::Wait(MS * 307));
}

#[test]
fn a_lease_won_without_an_answer_is_found_again() {
    let mut lease = lease();
    let (id, _) = asks(&mut lease, Duration::ZERO);
    lease.answer(MS * 600, id, Answer::Unknown);
    let (id, ask) = asks(&mut lease, MS * 700);
    assert_eq!(ask, Ask::Look);
    lease.answer(MS * 701, id, Answer::Own);
    assert_eq!(asks(&mut lease, MS * 710).1, Ask::Acquire { attempt: 2, known: 0 });
}

#[test]
fn others_hold_back_when_redis_comes_back_empty_handed() {
    let seen = Position { epoch: 4, beat: 900 };
    for (stored, wait) in [
        (Some(seen), 2000),
        (Some(Position { epoch: 4, beat: 899 }), 4000),
        (Some(Position { epoch: 3, beat: 2000 }), 4000),
        (None, 4000),
    ] {
        let mut lease = lease();
        lease.hear(Duration::ZERO, seen);
        let (id, _) = asks(&mut lease, Duration::ZERO);
        lease.answer(MS, id, Answer::Unknown);
        let (id, ask) = asks(&mut lease, MS * 101);
        assert_eq!(ask, Ask::Look);
        lease.answer(MS * 102, id, Answer::Free { stored });
        lease.wake(MS * 103);
        assert_eq!(lease.poll(MS * 103), Next::Wait(MS * (102 + wait)), "{stored:?}");
        assert_eq!(asks(&mut lease, MS * (102 + wait)).1, Ask::Acquire { attempt: 2, known: 4 });
    }
}

#[test]
fn a_newer_epoch_ends_the_term() {
    let mut lease = leading(Duration::ZERO, 7);
    lease.hear(MS, Position { epoch: 7, beat: 12 });
    assert!(lease.term(MS).is_some() && lease.led_last());
    lease.hear(MS, Position { epoch: 9, beat: 13 });
    assert_eq!((lease.term(MS), lease.loss(), lease.led_last()), (None, Some(Loss::Superseded), false));
    assert_eq!(asks(&mut lease, MS).1, Ask::Acquire { attempt: 2, known: 9 });

    let mut lease = leading(Duration::ZERO, 7);
    let (id, _) = asks(&mut lease, MS * 700);
    lease.answer(MS * 701, id, Answer::Fenced);
    assert_eq!((lease.term(MS * 701), lease.loss()), (None, Some(Loss::Superseded)));
}

#[test]
fn what_was_given_up_is_not_taken_up_in_the_same_epoch() {
    let mut lease = leading(Duration::ZERO, 7);
    lease.resign(MS, 6);
    assert!(lease.term(MS).is_some());
    lease.resign(MS, 7);
    assert_eq!((lease.term(MS), lease.loss()), (None, Some(Loss::Resigned)));
    let (id, ask) = asks(&mut lease, MS);
    assert_eq!(ask, Ask::Acquire { attempt: 2, known: 7 });
    lease.answer(MS * 2, id, Answer::Granted { epoch: 7 });
    assert_eq!(lease.term(MS * 2), None, "an epoch that is not past what is known is none");
}

#[test]
fn the_end_releases_what_may_be_held() {
    let mut lease = leading(Duration::ZERO, 7);
    lease.shut_down(MS);
    assert_eq!(lease.term(MS), None);
    let (id, ask) = asks(&mut lease, MS);
    assert_eq!(ask, Ask::Release { attempt: 1 });
    lease.answer(MS * 2, id, Answer::Released);
    assert_eq!(lease.poll(MS * 2), Next::End);

    // A question is under way, and is answered well.
    let mut asking = self::lease();
    let (id, _) = asks(&mut asking, Duration::ZERO);
    asking.shut_down(MS);
    assert_eq!(asking.poll(MS), Next::Await);
    asking.answer(MS * 2, id, Answer::Granted { epoch: 3 });
    assert_eq!(asking.term(MS * 2), None);
    let (id, ask) = asks(&mut asking, MS * 2);
    assert_eq!(ask, Ask::Release { attempt: 1 });
    // Redis is gone: the lease ends by itself.
    asking.answer(MS * 3, id, Answer::Unknown);
    assert_eq!(asking.poll(MS * 3), Next::End);

    // One that never had it has nothing to release.
    let mut waiting = self::lease();
    let (id, _) = asks(&mut waiting, Duration::ZERO);
    waiting.answer(MS, id, Answer::Held { by: "other".to_owned(), left: MS * 900 });
    waiting.shut_down(MS);
    assert_eq!(waiting.poll(MS), Next::End);
}

#[test]
fn answers_to_other_questions_change_nothing() {
    let mut lease = lease();
    let (first, _) = asks(&mut lease, Duration::ZERO);
    lease.answer(MS * 600, first, Answer::Unknown);
    let (second, _) = asks(&mut lease, MS * 700);
    lease.answer(MS * 701, first, Answer::Granted { epoch: 3 });
    assert_eq!((lease.term(MS * 701), lease.poll(MS * 701)), (None, Next::Await));
    lease.answer(MS * 702, second, Answer::Own);
    assert!(matches!(lease.poll(MS * 702), Next::Wait(_)));
}
