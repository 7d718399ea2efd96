use super::super::backend::{Held, Over, Write};
use super::super::keys::LATEST;
use super::super::scroll::Scroll;
use super::*;

/// Puts values under keys, in either place.
async fn holding(backend: &mut Backend, values: &[(&str, Vec<u8>)]) {
    for (key, value) in values {
        // By way of `meta:latest`, since that is where a write goes.
        let reading = Reading::default();
        let write = Write {
            epoch: 1,
            document: &[value.as_slice()],
            parts: &[],
            over: Over::All,
            snapshot: None,
            reading: &reading,
        };
        backend.write(write).await.unwrap();
        if *key != LATEST {
            assert!(backend.set_aside(LATEST, key).await.unwrap());
        }
    }
}

async fn loaded(backend: Backend, values: &[(&str, Vec<u8>)]) -> (Loaded, Store) {
    let mut store = store_on(backend);
    holding(&mut store.backend, values).await;
    let loaded = store.load(at(60_000)).await.unwrap();
    (loaded, store)
}

const OLD: &str = "meta:snapshot:2025-11-23T23:50:00.000Z";
const NEW: &str = "meta:snapshot:2025-11-23T23:53:00.000Z";

#[tokio::test]
async fn the_latest_comes_first() {
    both(async |backend| {
        let mut newline = document(3, 5).to_json();
        newline.push(b'\n');
        let values = [(NEW, document(2, 4).to_json()), (LATEST, newline)];
        let (loaded, _) = loaded(backend, &values).await;
        assert_eq!(loaded.source.as_deref(), Some(LATEST));
        assert_eq!(loaded.document, Some(document(3, 5)));
        assert_eq!(loaded.quarantined.len(), 0);
        assert_eq!(loaded.age, Duration::from_millis(60_000 - 400));
    })
    .await;
}

#[tokio::test]
async fn the_newest_valid_snapshot_comes_next() {
    both(async |backend| {
        let whole = document(3, 5).to_json();
        let values = [
            (OLD, document(2, 4).to_json()),
            (NEW, b"{\"schema\":2,\"epoch\":9}".to_vec()),
            ("meta:snapshot:zzz", document(9, 9).to_json()),
            (LATEST, whole[..whole.len() / 2].to_vec()),
        ];
        let (loaded, mut store) = loaded(backend, &values).await;
        assert_eq!(loaded.source.as_deref(), Some(OLD));
        assert_eq!(loaded.document, Some(document(2, 4)));
        let aside = [LATEST, NEW].map(|key| keys::quarantine(key, at(60_000)));
        assert_eq!(loaded.quarantined, aside);
        for (kept, value) in aside.iter().zip([&values[3].1, &values[1].1]) {
            assert_eq!(store.backend.look(kept).await, Ok(Held::Text(value.clone())));
        }
        assert_eq!(store.backend.look(LATEST).await, Ok(Held::Nothing));
    })
    .await;
}

#[tokio::test]
async fn without_a_valid_state_a_fresh_one_begins() {
    both(async |backend| {
        let (loaded, _) = loaded(backend, &[(NEW, vec![]), (LATEST, b"null".to_vec())]).await;
        assert_eq!((loaded.source, loaded.document), (None, None));
        assert_eq!(loaded.quarantined.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_string_is_kept_aside() {
    let mut shelf = Shelf::default();
    shelf.hold(LATEST, Held::Other);
    let (loaded, mut store) = loaded(Backend::Memory(shelf), &[]).await;
    assert_eq!(loaded.source, None);
    assert_eq!(store.backend.look(&loaded.quarantined[0]).await, Ok(Held::Other));
}

#[tokio::test]
async fn a_store_that_is_away_says_so() {
    let mut shelf = Shelf::default();
    shelf.fault = Some(Fault::Denied);
    let mut store = store_on(Backend::Memory(shelf));
    assert_eq!(store.load(at(0)).await.unwrap_err(), Fault::Denied);
}

#[tokio::test]
async fn the_state_of_the_epoch_before_is_replaced() {
    let mut store = store_on(Backend::Memory(Shelf::default()));
    for epoch in [3, 4, 7] {
        store.lead(epoch);
        store.put(&mut Scroll::of(document(epoch, 2), usize::MAX), None).await.unwrap();
        assert_eq!(store.backend.look(LATEST).await, Ok(Held::Text(document(epoch, 2).to_json())));
    }
    assert_eq!(store.backend.names(keys::QUARANTINE).await, Ok(vec![]));
}

#[tokio::test]
async fn the_state_of_an_earlier_life_is_kept_when_it_is_found_late() {
    both(async |backend| {
        let mut store = store_on(backend);
        store.epoch = 1_763_942_048;
        let earlier = document(4, 7);
        holding(&mut store.backend, &[("garbage", b"garbage".to_vec()), (LATEST, earlier.to_json())]).await;
        let mut mine = Scroll::of(document(1_763_942_048, 2), usize::MAX);
        store.put(&mut mine, None).await.unwrap();
        assert_eq!(store.backend.look(LATEST).await, Ok(Held::Text(mine.pieces().concat())));
        let kept = keys::quarantine(LATEST, at(60_000));
        assert!(store.backend.look(&kept).await == Ok(Held::Text(earlier.to_json())));

        // What is put there by others later is kept as well, and never in the place of something kept before.
        assert!(store.backend.replace(LATEST, "garbage").await.unwrap());
        assert_eq!(store.put(&mut mine, None).await, Err(Fault::Other));
        store.clock = || at(60_001);
        store.put(&mut mine, None).await.unwrap();
        let kept_next = keys::quarantine(LATEST, at(60_001));
        assert!(store.backend.look(&kept_next).await == Ok(Held::Text(b"garbage".to_vec())));
        assert!(store.backend.look(&kept).await == Ok(Held::Text(earlier.to_json())));
    })
    .await;
}

#[tokio::test]
async fn a_write_is_counted_told_and_fenced() {
    let mut store = store_on(Backend::Memory(Shelf::default()));
    store.lead(1);
    let mut state = Scroll::of(document(1, 2), usize::MAX);
    store.facts.changed(2);
    assert_eq!(store.facts.now().lag_beats, 2);
    store.put(&mut state, None).await.unwrap();
    let facts = store.facts.now();
    assert_eq!((facts.lag_beats, facts.mode), (0, crate::domain::StoreMode::Redis));
    let written = |store: &Store, label: &str| store.metrics.store_writes_total.with_label_values(&[label]).get();
    assert_eq!(written(&store, "ok"), 1);

    let epoch = store.backend.next_epoch(0).await.unwrap();
    assert_eq!(epoch, 2);
    assert_eq!(store.put(&mut state, None).await, Err(Fault::Fenced));
    assert_eq!((written(&store, "fenced"), store.facts.now().mode), (1, crate::domain::StoreMode::Memory));
}

#[tokio::test]
async fn what_was_emptied_is_written_back_with_a_snapshot() {
    let mut store = store_on(Backend::Memory(Shelf::default()));
    store.epoch = 1;
    let mut state = Scroll::of(document(1, 2), usize::MAX);
    store.put(&mut state, None).await.unwrap();
    if let Backend::Memory(shelf) = &mut store.backend {
        shelf.clear();
    }
    for _ in 2..4 {
        store.put(&mut state, None).await.unwrap();
    }
    assert_eq!(store.backend.look(LATEST).await, Ok(Held::Text(state.pieces().concat())));
    assert_eq!(store.backend.snapshots().await.unwrap().len(), 1);
    assert_eq!(store.backend.counter().await, Ok(1));
}
