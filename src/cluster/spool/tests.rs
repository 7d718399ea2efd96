use super::*;
use crate::engine::{Reading, Verdict};

fn part(text: &str) -> Vec<Pack> {
    vec![Pack { bytes: Bytes::copy_from_slice(text.as_bytes()), count: text.lines().count() }]
}

fn id(millis: u64) -> StreamId {
    StreamId { millis, number: 0 }
}

fn is_safe(safe: &mut Safe) -> bool {
    safe.0.as_mut().is_none_or(|safe| safe.try_recv().is_ok())
}

#[test]
fn what_comes_together_goes_together_and_is_safe_once_redis_has_it() {
    let spool = Spool::new(7, 100, 1000);
    spool.came_back();
    let mut first = spool.offer(part("a\n")).unwrap();
    let mut second = spool.offer(part("b\nc\n")).unwrap();
    let batches = spool.unsent(1000);
    assert_eq!(batches.len(), 1);
    assert_eq!((&batches[0].packed[..], batches[0].count), (&b"a\nb\nc\n"[..], 3));
    assert_eq!(batches[0].origin, Origin { producer: 7, serial: 1, first: 1 });
    let mut third = spool.offer(part("d\n")).unwrap();
    assert!(!is_safe(&mut first));
    spool.sent(1, id(5));
    assert!(is_safe(&mut first) && is_safe(&mut second) && !is_safe(&mut third));
    assert_eq!(spool.unsent(1000)[0].origin.serial, 2);
    assert_eq!((spool.len(), spool.only_here(), spool.oldest()), (4, 1, Some((1, id(5)))));
    spool.stored(1);
    assert_eq!((spool.len(), spool.oldest()), (1, None));
    assert_eq!(spool.unsent(1000)[0].origin, Origin { producer: 7, serial: 2, first: 2 });
}

#[test]
fn while_redis_is_away_it_is_safe_here() {
    let spool = Spool::new(7, 100, 1000);
    spool.came_back();
    let mut before = spool.offer(part("a\n")).unwrap();
    assert!(!is_safe(&mut before));
    spool.went_away();
    assert!(is_safe(&mut before) && is_safe(&mut spool.offer(part("b\n")).unwrap()));
    assert_eq!(spool.only_here(), 2);
    assert_eq!(spool.after(1, 1000).len(), 1);
}

#[test]
fn it_is_bounded_and_room_comes_back() {
    let weight = part("01234567\n")[0].weight();
    let spool = Spool::new(7, 3, 2 * weight - 1);
    assert_eq!(spool.offer(part("a\nb\nc\nd\n")).unwrap_err(), Refused::TooLarge { capacity: 3 });
    assert_eq!(spool.offer(part(&"0".repeat(2 * weight))).unwrap_err(), Refused::TooLarge { capacity: 3 });
    spool.offer(part("a\nb\n")).unwrap();
    assert_eq!(spool.offer(part("a\nb\n")).unwrap_err(), Refused::Full);
    assert_eq!(spool.offer(part(&"0".repeat(weight))).unwrap_err(), Refused::Full);
    assert_eq!(spool.unsent(100).len(), 1);
    spool.stored(1);
    spool.offer(part("a\nb\n")).unwrap();
    spool.close();
    assert_eq!(spool.offer(part("a\n")).unwrap_err(), Refused::Closed);
}

#[test]
fn what_the_leader_has_read_waits_for_nothing_but_a_stored_state() {
    let weight = part("a\nb\n")[0].weight();
    let spool = Spool::new(7, 4, 5 * weight);
    let send = |serial| {
        spool.offer(part("a\nb\n"))?;
        spool.unsent(1000);
        spool.sent(serial, id(serial));
        Ok(())
    };
    assert_eq!((send(1), send(2), send(3)), (Ok(()), Ok(()), Err(Refused::Full)));
    spool.read(id(1));
    assert_eq!((send(3), send(4)), (Ok(()), Err(Refused::Full)));
    assert_eq!((spool.len(), spool.unread()), (6, 4));
    // Another one leads, who goes on from an older state.
    spool.read(id(0));
    assert_eq!(send(4), Err(Refused::Full));
    spool.read(id(9));
    assert_eq!((send(4), send(5), send(6)), (Ok(()), Ok(()), Err(Refused::Full)), "its bytes are bounded all the same");
    spool.stored(1);
    spool.read(id(5));
    assert_eq!((send(6), spool.len()), (Ok(()), 10));
    spool.stored(6);
    spool.read(id(2));
    assert_eq!((send(7), send(8), send(9)), (Ok(()), Ok(()), Err(Refused::Full)), "what is stored was read");
}

#[test]
fn what_is_sent_again_keeps_its_number() {
    let spool = Spool::new(7, 100, 1000);
    for (serial, text) in (1..).zip(["a\n", "b\n", "c\n"]) {
        spool.offer(part(text)).unwrap();
        spool.unsent(1000);
        spool.sent(serial, id(serial));
    }
    spool.stored(1);
    assert!(spool.unsent(1000).is_empty());
    spool.send_again();
    let again = spool.unsent(1);
    assert_eq!((again.len(), again[0].origin.serial, &again[0].packed[..]), (1, 2, &b"b\n"[..]));
    assert_eq!(spool.unsent(1000).len(), 2);
}

/// A stream that loses its end, sends that are repeated, leaders that start anew from an older state: whatever
/// happens, each batch is folded once in the state that remains.
#[test]
fn each_batch_is_folded_once_whatever_is_lost_on_the_way() {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng};
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let spools: Vec<_> = (0..3).map(|producer| Spool::new(producer, 1 << 20, 1 << 30)).collect();
        let mut offered = [0usize; 3];
        let mut stream: Vec<(StreamId, Batch)> = Vec::new();
        let mut clock = 0;
        // The leader's memory and the stored state: how far it read, and what it counted.
        let (mut live, mut stored) = ((Reading::default(), [0usize; 3]), (Reading::default(), [0usize; 3]));
        let mut settle = 0;
        while settle < 40 {
            let calm = clock > 300;
            settle += usize::from(calm);
            clock += 1;
            let spool = &spools[random.random_range(0..3usize)];
            match random.random_range(0..if calm { 5 } else { 8 }) {
                0 if !calm => {
                    spool.offer(part("x\ny\n")).unwrap();
                    offered[spool.producer() as usize] += 2;
                }
                0..=2 => {
                    for spool in &spools {
                        for batch in spool.unsent(10) {
                            let serial = batch.origin.serial;
                            clock += 1;
                            stream.push((id(clock), batch));
                            // The answer may be lost.
                            if calm || random.random_bool(0.8) {
                                spool.sent(serial, id(clock));
                            } else {
                                break;
                            }
                        }
                    }
                }
                3 => {
                    for (id, batch) in
                        stream.iter().filter(|(id, _)| *id > live.0.position).cloned().collect::<Vec<_>>()
                    {
                        if live.0.admit(batch.origin, Some(id), 0) == Verdict::Fold {
                            live.1[batch.origin.producer as usize] += batch.count;
                        }
                    }
                    if random.random_bool(0.7) {
                        stored = live.clone();
                        stream.retain(|(id, _)| *id >= stored.0.position);
                    }
                }
                4 => {
                    for spool in &spools {
                        spool.stored(stored.0.folded(spool.producer()));
                        if let Some((serial, id)) = spool.oldest() {
                            let passed = stored.0.position >= id && stored.0.folded(spool.producer()) < serial;
                            if passed || !stream.iter().any(|(known, _)| *known == id) {
                                spool.send_again();
                            }
                        }
                    }
                }
                5 => live = stored.clone(),
                6 => {
                    let keep = random.random_range(0..=stream.len());
                    stream.truncate(keep);
                }
                // The leader folds what it has itself accepted.
                _ => {
                    for batch in spools[0].after(live.0.folded(0), 100) {
                        if live.0.admit(batch.origin, None, 0) == Verdict::Fold {
                            live.1[0] += batch.count;
                        }
                    }
                }
            }
        }
        for _ in 0..6 {
            for spool in &spools {
                for batch in spool.unsent(1 << 20) {
                    clock += 1;
                    let serial = batch.origin.serial;
                    stream.push((id(clock), batch));
                    spool.sent(serial, id(clock));
                }
            }
            for (id, batch) in stream.iter().filter(|(id, _)| *id > live.0.position).cloned().collect::<Vec<_>>() {
                if live.0.admit(batch.origin, Some(id), 0) == Verdict::Fold {
                    live.1[batch.origin.producer as usize] += batch.count;
                }
            }
            stored = live.clone();
            for spool in &spools {
                spool.stored(stored.0.folded(spool.producer()));
                if spool.oldest().is_some() {
                    spool.send_again();
                }
            }
        }
        assert_eq!(stored.1, offered, "seed {seed}");
        assert!(spools.iter().all(Spool::is_empty), "seed {seed}");
    }
}
