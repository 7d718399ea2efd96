use std::collections::BTreeSet;

use super::super::backend::Held;
use super::super::keys::LATEST;
use super::super::scroll::Scroll;
use super::*;

const VALUE_BYTES: usize = 8 * 1024;

/// A store that splits every state, a few agents to a part.
fn splitting(backend: Backend) -> Store {
    let mut store = store_on(backend);
    store.parts = Parts::new(VALUE_BYTES);
    store.lead(1);
    store
}

/// An engine with twenty agents, after so many beats.
fn engine(epoch: u64, beats: i64) -> Engine {
    let mut engine = Engine::new(engine::Config::default(), epoch);
    for beat in 0..beats {
        let observations: Vec<_> = (0..20).map(|agent| thought(agent, "one")).collect();
        engine.beat(at(beat * 100), &observations, &pulse());
    }
    engine
}

fn large(epoch: u64, beats: i64) -> Document {
    Document::of(&engine(epoch, beats))
}

fn scroll(document: Document) -> Scroll {
    Scroll::of(document, VALUE_BYTES)
}

async fn parts(store: &mut Store) -> BTreeSet<String> {
    store.backend.names(keys::PARTS).await.unwrap().into_iter().collect()
}

/// The keys of the parts that a head names.
async fn named(store: &mut Store, key: &str) -> BTreeSet<String> {
    let Held::Text(text) = store.backend.look(key).await.unwrap() else { panic!("{key} holds no text") };
    let (_, split) = Split::read(&text).unwrap().expect("its agents are elsewhere");
    split.parts.keys().map(|id| keys::part(id)).collect()
}

async fn state(store: &mut Store, key: &str) -> Document {
    match store.backend.state(key).await.unwrap() {
        load::Found::State(document, _) => sorted(*document),
        other => panic!("{key} holds no state: {other:?}"),
    }
}

#[test]
fn each_agent_is_in_one_part() {
    let mut scroll = scroll(large(7, 3));
    let whole = sorted(Document::parse(&scroll.pieces().concat()).unwrap());
    // Larger, smaller, and about as large: then it stays.
    for (bytes, sheets) in [(1 << 20, 1..=1), (1024, 16..=64), (700, 16..=64), (1 << 20, 1..=1), (1, 16_384..=65_536)] {
        scroll.deal(bytes);
        assert!(sheets.contains(&scroll.sheets.len()), "{bytes}: {}", scroll.sheets.len());
        let agents = scroll.sheets.iter().filter(|sheet| !sheet.is_empty()).flat_map(|sheet| {
            let text = sheet.part(&Split::opening("7-1")).concat();
            assert!(serde_json::from_slice::<serde_json::Value>(&text).unwrap()["id"] == "7-1");
            Split::agents("7-1", &text).unwrap()
        });
        assert_eq!(sorted(Document { meta: whole.meta.clone(), agents: agents.collect() }), whole);
        assert_eq!(sorted(Document::parse(&scroll.pieces().concat()).unwrap()), whole);
        assert_eq!(scroll.bytes(), scroll.pieces().concat().len() + 1);
    }
}

#[tokio::test]
async fn a_large_state_is_stored_in_parts_and_read_back() {
    both(async |backend| {
        let mut store = splitting(backend);
        let document = large(1, 3);
        store.put(&mut scroll(document.clone()), None).await.unwrap();
        let named = named(&mut store, LATEST).await;
        assert!(named.len() > 3);
        assert_eq!(named, parts(&mut store).await);
        let loaded = store.load(at(1_000)).await.unwrap();
        assert_eq!(loaded.source.as_deref(), Some(LATEST));
        assert_eq!(sorted(loaded.document.unwrap()), sorted(document));
    })
    .await;
}

#[tokio::test]
async fn a_write_sends_the_parts_that_changed_and_snapshots_share_the_others() {
    both(async |backend| {
        let mut store = splitting(backend);
        let mut engine = engine(1, 3);
        let mut scroll = scroll(Document::of(&engine));
        store.put(&mut scroll, None).await.unwrap();
        let (snapshot, all) = (keys::snapshot(at(200)), store.parts.sent);
        let first = named(&mut store, LATEST).await;

        let beat = engine.beat(at(300), &[thought(7, "two")], &pulse());
        let agents = engine.iter().filter(|(agent, _)| agent.as_str() == "agent-7");
        let agents = agents.map(|(agent, state)| (agent.clone(), std::sync::Arc::clone(state))).collect();
        assert!(beat.noted.len() <= 1);
        scroll.absorb(handoff::Parcel { meta: engine.meta().clone(), whole: false, agents, forgotten: Vec::new() });
        store.put(&mut scroll, None).await.unwrap();
        let second = named(&mut store, LATEST).await;
        assert_eq!((second.difference(&first).count(), first.difference(&second).count()), (1, 1));
        assert!(store.parts.sent * 2 < all, "{} of {all}", store.parts.sent);
        assert_eq!(state(&mut store, LATEST).await, sorted(Document::of(&engine)));
        assert_eq!(state(&mut store, &snapshot).await, sorted(large(1, 3)));
        assert_eq!(parts(&mut store).await, first.union(&second).cloned().collect());

        // A sign of life sends none.
        scroll.absorb(handoff::Parcel {
            meta: engine::MetaState { beat: 40, ..engine.meta().clone() },
            whole: false,
            agents: Vec::new(),
            forgotten: Vec::new(),
        });
        store.put(&mut scroll, None).await.unwrap();
        assert_eq!(named(&mut store, LATEST).await, second);
        assert_eq!(state(&mut store, LATEST).await.meta.beat, 40);

        // What is gone is written again.
        store.backend.remove(&[second.first().unwrap().clone()]).await.unwrap();
        store.put(&mut scroll, None).await.unwrap();
        assert!(named(&mut store, LATEST).await.is_disjoint(&second));
        assert_eq!(state(&mut store, LATEST).await.agents.len(), 20);
    })
    .await;
}

#[tokio::test]
async fn parts_go_with_the_last_head_that_names_them() {
    both(async |backend| {
        let mut store = splitting(backend);
        store.snapshots.keep_count = 1;
        let mut named_by = Vec::new();
        // With a snapshot, without one, without one; each of all agents.
        for beats in 1..=3 {
            store.put(&mut scroll(large(1, beats)), None).await.unwrap();
            named_by.push(named(&mut store, LATEST).await);
        }
        let first = keys::snapshot(at(0));
        assert_eq!(named(&mut store, &first).await, named_by[0]);
        assert_eq!(parts(&mut store).await, &named_by[0] | &named_by[2]);

        // What was kept aside keeps its parts, and so does a snapshot that somebody put in the place of the latest.
        assert!(store.backend.copy(LATEST, "meta:quarantine:by-hand").await.unwrap());
        assert!(store.backend.replace(LATEST, &first).await.unwrap());
        store.last_snapshot = None;
        store.put(&mut scroll(large(1, 4)), None).await.unwrap();
        assert_eq!(store.backend.snapshots().await.unwrap(), [keys::snapshot(at(300))], "the first one is too many");
        assert_eq!(parts(&mut store).await, &named_by[2] | &named(&mut store, LATEST).await);
        assert_eq!(state(&mut store, "meta:quarantine:by-hand").await, sorted(large(1, 3)));

        // A small state again: its snapshots are all that has parts, until they go.
        store.parts = Parts::new(usize::MAX);
        store.last_snapshot = None;
        store.backend.remove(&["meta:quarantine:by-hand".to_owned()]).await.unwrap();
        store.put(&mut scroll(large(1, 5)), None).await.unwrap();
        assert_eq!(parts(&mut store).await, BTreeSet::new());
    })
    .await;
}

#[tokio::test]
async fn parts_of_a_newer_epoch_and_what_are_none_stay() {
    both(async |backend| {
        let mut store = splitting(backend);
        for key in ["meta:part:2-1", "meta:part:x", "meta:part:0-9"] {
            store.backend.put_down(key, &[b"{}"]).await.unwrap();
        }
        store.put(&mut scroll(large(1, 1)), None).await.unwrap();
        let named = named(&mut store, LATEST).await;
        let others: Vec<_> = parts(&mut store).await.difference(&named).cloned().collect();
        assert_eq!(others, ["meta:part:2-1", "meta:part:x"]);
    })
    .await;
}

#[tokio::test]
async fn a_torn_state_is_kept_aside_and_the_snapshot_before_taken() {
    both(async |backend| {
        let mut store = splitting(backend);
        for beats in 1..=2 {
            store.put(&mut scroll(large(1, beats)), None).await.unwrap();
        }
        let torn = named(&mut store, LATEST).await;
        store.backend.remove(&[torn.last().unwrap().clone()]).await.unwrap();
        let loaded = store.load(at(60_000)).await.unwrap();
        assert_eq!(loaded.source, Some(keys::snapshot(at(0))));
        assert_eq!(sorted(loaded.document.unwrap()), sorted(large(1, 1)));
        let aside = keys::quarantine(LATEST, at(60_000));
        assert_eq!(loaded.quarantined, [aside.as_str()]);
        // The rest of its parts are never removed: somebody may want to look.
        store.lead(3);
        store.put(&mut scroll(large(3, 3)), None).await.unwrap();
        assert_eq!(parts(&mut store).await.intersection(&torn).count(), torn.len() - 1);
    })
    .await;
}

#[tokio::test]
async fn what_a_failed_write_left_is_removed_before_the_next() {
    let mut shelf = Shelf::default();
    shelf.parts_left = Some(3);
    let mut store = splitting(Backend::Memory(shelf));
    assert_eq!(store.put(&mut scroll(large(1, 1)), None).await, Err(Fault::OutOfMemory));
    if let Backend::Memory(shelf) = &mut store.backend {
        shelf.parts_left = None;
    }
    assert_eq!(parts(&mut store).await.len(), 3);
    store.put(&mut scroll(large(1, 2)), None).await.unwrap();
    assert_eq!(parts(&mut store).await, named(&mut store, LATEST).await);
}

#[tokio::test]
async fn parts_that_no_head_names_yet_go_by_themselves_and_named_ones_stay() {
    let server = Server::start();
    let mut store = splitting(server.backend().await);
    store.put(&mut scroll(large(1, 1)), None).await.unwrap();
    store.backend.put_down("meta:part:1-999", &[b"{}"]).await.unwrap();
    let client = redis::Client::open(server.config().url.expose()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for key in parts(&mut store).await {
        let left: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.unwrap();
        let lives = if key == "meta:part:1-999" { 1..=600_000 } else { -1..=-1 };
        assert!(lives.contains(&left), "{key}: {left}");
    }
}

#[tokio::test]
async fn a_head_in_any_form_keeps_its_parts() {
    let server = Server::start();
    let mut store = splitting(server.backend().await);
    store.put(&mut scroll(large(1, 1)), None).await.unwrap();
    let Held::Text(text) = store.backend.look(LATEST).await.unwrap() else { panic!("no text") };
    // As `jq -S` leaves it: what tells the parts comes late.
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let by_hand = serde_json::to_string_pretty(&value).unwrap();
    assert!(by_hand.find("\"parts\"").unwrap() > 512);
    let client = redis::Client::open(server.config().url.expose()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _: () = redis::cmd("MSET")
        .arg(&[("meta:quarantine:by-hand", by_hand.as_str()), ("meta:quarantine:other", "{}")])
        .query_async(&mut connection)
        .await
        .unwrap();
    let _: () = redis::cmd("RPUSH").arg("meta:quarantine:list").arg("x").query_async(&mut connection).await.unwrap();
    store.backend.remove(&[LATEST.to_owned(), keys::snapshot(at(0))]).await.unwrap();
    assert_eq!(store.sweep().await, Ok(0));
    assert_eq!(state(&mut store, "meta:quarantine:by-hand").await, sorted(large(1, 1)));
    store.backend.remove(&["meta:quarantine:by-hand".to_owned()]).await.unwrap();
    assert!(store.sweep().await.unwrap() > 3);
}
