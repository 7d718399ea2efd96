//! The protocol among three pods on simulated time: messages are late, lost, doubled and overtake each other; pods
//! sleep, crash and are restarted; clocks go wrong by percents; Redis goes away, and sometimes forgets.
//!
//! `CONSCIOUSNESS_LEASE_SEEDS=100000 cargo test --lib cluster` runs as many schedules.

use std::time::Duration;

use rand::RngExt;

use super::world::{END, Event, Hazards, LIFE, MS, PODS, World};
use crate::cluster::Settings;

fn seeds(default: u64) -> std::ops::Range<u64> {
    let wanted = std::env::var("CONSCIOUSNESS_LEASE_SEEDS").ok().and_then(|text| text.parse().ok());
    0..wanted.unwrap_or(default)
}

/// Runs a schedule: how often the lease changed hands. Where it fails, tells its last events.
fn survives(seed: u64, hazards: Hazards) -> u64 {
    World::new(seed, hazards).run().unwrap_or_else(|failure| {
        let mut again = World::new(seed, hazards);
        again.trace = Some(Vec::new());
        let _ = again.run();
        let trace = again.trace.unwrap_or_default();
        let telling = trace.iter().filter(|line| !line.contains(" Beat(") && !line.contains(" Frame("));
        let last: Vec<_> = telling.rev().take(60).collect();
        let last: Vec<_> = last.into_iter().rev().map(String::as_str).collect();
        panic!("seed {seed}: {failure}; what came before:\n{}", last.join("\n"))
    })
}

#[test]
fn never_two_lead_and_soon_one_does() {
    let mut changes = 0;
    for seed in seeds(2000) {
        changes += survives(seed, Hazards::all());
    }
    assert!(changes > 2 * seeds(2000).end, "the lease went from hand to hand: {changes} changes");
}

#[test]
fn a_redis_that_forgets_is_survived() {
    for seed in seeds(2000) {
        survives(seed, Hazards { forgets: true, ..Hazards::all() });
    }
}

/// The simulation finds what it is there to find.
#[test]
fn without_the_margin_two_lead() {
    let settings = Settings { margin: Duration::ZERO, ..Settings::of_life(LIFE) };
    let hazards = Hazards { settings, ..Hazards::all() };
    let found = (0..2000).filter_map(|seed| World::new(seed, hazards).run().err());
    let found = found.filter(|failure| failure.starts_with("more than one leads")).count();
    assert!(found > 0);
}

#[test]
fn nothing_happens_where_nothing_fails() {
    assert_eq!(survives(1, Hazards { faults: false, ..Hazards::all() }), 1);
}

#[test]
fn a_crash_costs_the_rest_of_a_lease_and_a_release_next_to_nothing() {
    for seed in 0..200 {
        for (fault, most) in [(Event::Crash(LIFE), LIFE.mul_f64(1.05)), (Event::Terminate(LIFE), MS * 20)] {
            let mut world = World::new(seed, Hazards { faults: false, ..Hazards::all() });
            let at = LIFE * 2 + MS * world.random.random_range(0..2000);
            for pod in 0..PODS {
                world.at(at, pod, Event::Step(0));
            }
            let mut leader = None;
            // The fault befalls whoever leads then.
            while let Some(((when, _), (pod, event))) = world.events.pop_first() {
                if when >= at && leader.is_none() {
                    leader = world.epochs.values().next().copied();
                    let leading = (0..PODS).find(|pod| Some(world.number(*pod)) == leader).unwrap();
                    world.longest_idle = Duration::ZERO;
                    world.at(when, leading, fault.clone());
                }
                if when >= END {
                    break;
                }
                world.now = when;
                world.happen(pod, event).unwrap();
                world.check().unwrap();
            }
            assert_eq!(world.changes, 2);
            assert!(world.longest_idle <= most, "seed {seed}: {fault:?}: nobody led for {:?}", world.longest_idle);
        }
    }
}
