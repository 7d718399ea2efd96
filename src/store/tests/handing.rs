use proptest::prelude::*;

use super::super::handoff::Ask;
use super::super::scroll::Scroll;
use super::*;
use crate::domain::StoreMode;

proptest! {
    /// Whatever comes in, agents forgotten and beats at which nobody asks included: what the writer puts together is,
    /// byte for byte, the engine's own document of the beat of the last parcel.
    #[test]
    fn pieces_make_the_document(
        beats in prop::collection::vec((prop::collection::vec(0..9u8, 0..6), 0..4u8, 1..100u64), 1..40),
    ) {
        let config = engine::Config { agents: 5, ..engine::Config::default() };
        let mut engine = Engine::new(config, 7);
        let facts = Facts::new(true, Metrics::new().unwrap());
        let (mut handoff, mut inlet) = handoff::pair(INTERVAL, facts);
        let mut scroll = Scroll::default();
        let mut now = at(0);
        let mut handed = 0;
        for (agents, ask, gap) in beats {
            now = now.plus(INTERVAL * u32::try_from(gap).unwrap());
            let observations: Vec<_> = agents.into_iter().map(|agent| thought(agent, "some")).collect();
            let beat = engine.beat(now, &observations, &pulse());
            inlet.ask([Ask::Nothing, Ask::Change, Ask::Now, Ask::Everything][usize::from(ask)]);
            handoff.offer(&engine, &beat);
            let Some(parcel) = inlet.try_next() else { continue };
            scroll.absorb(parcel);
            handed += 1;
            let composed = scroll.pieces().concat();
            let read = Document::parse(&composed).unwrap();
            prop_assert_eq!(sorted(read).to_json(), sorted(Document::of(&engine)).to_json());
            prop_assert_eq!(sorted(Document::of(&engine)).to_json(), composed);
            prop_assert_eq!((scroll.meta.beat, scroll.meta.at), (engine.meta().beat, now));
        }
        prop_assert!(handed <= 40);
    }
}

#[test]
fn without_changes_a_sign_of_life_comes_once_a_second() {
    let mut engine = Engine::new(engine::Config::default(), 1);
    let (mut handoff, mut inlet) = handoff::pair(INTERVAL, Facts::new(true, Metrics::new().unwrap()));
    let mut parcels = Vec::new();
    for number in 1..=31 {
        let beat = engine.beat(at(number * 100), &[], &pulse());
        inlet.ask(Ask::Change);
        handoff.offer(&engine, &beat);
        parcels.extend(inlet.try_next().map(|_| number));
    }
    assert_eq!(parcels, [1, 11, 21, 31]);
}

#[test]
fn the_heart_is_never_held_up_by_a_writer_that_does_not_take() {
    let mut engine = Engine::new(engine::Config { agents: 8, ..engine::Config::default() }, 1);
    let facts = Facts::new(true, Metrics::new().unwrap());
    let (mut handoff, mut inlet) = handoff::pair(INTERVAL, facts.clone());
    for number in 0..3000 {
        let beat = engine.beat(at(number * 100), &[thought((number % 200) as u8, "x")], &pulse());
        inlet.ask(Ask::Now);
        handoff.offer(&engine, &beat);
    }
    assert_eq!(facts.now().lag_beats, 3000);
    let first = inlet.try_next().unwrap();
    assert_eq!(first.meta.beat, 1, "one parcel waits");
    let beat = engine.beat(at(300_000), &[], &pulse());
    handoff.offer(&engine, &beat);
    let parcel = inlet.try_next().unwrap();
    assert!(parcel.agents.len() == 8 && parcel.forgotten.len() < 1100, "what is noted has a bound");
    drop(inlet);
    let beat = engine.beat(at(300_100), &[], &pulse());
    handoff.offer(&engine, &beat);
}

#[tokio::test]
async fn the_writer_writes_what_it_is_handed_and_ends_with_the_heart() {
    let server = Server::start();
    let mut store = store_on(server.backend().await);
    store.lead(1);
    let facts = store.facts();
    let (mut handoff, inlet) = store.handoff(INTERVAL);
    let writing = tokio_util::task::TaskTracker::new().spawn(store.run(inlet));
    let mut engine = Engine::new(engine::Config::default(), 1);
    let mut pace = tokio::time::interval(Duration::from_millis(2));
    for number in 1..=50 {
        pace.tick().await;
        let beat = engine.beat(at(number * 100), &[thought((number % 3) as u8, "x")], &pulse());
        handoff.offer(&engine, &beat);
    }
    while facts.now().lag_beats > 0 {
        pace.tick().await;
        let beat = engine.beat(at(10_000), &[], &pulse());
        handoff.offer(&engine, &beat);
    }
    assert_eq!(facts.now().mode, StoreMode::Redis);
    drop(handoff);
    let mut store = writing.await.unwrap();
    store.finish(Document::of(&engine), Duration::from_secs(5)).await.unwrap();

    let mut again = store_on(server.backend().await);
    let found = again.load(at(20_000)).await.unwrap();
    assert_eq!(sorted(found.document.unwrap()), sorted(Document::of(&engine)));
    let last = keys::snapshot(engine.meta().at);
    assert!(again.backend.snapshots().await.unwrap().contains(&last), "the last state is a snapshot, too");
}
