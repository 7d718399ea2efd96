use super::super::backend::Held;
use super::super::keys::LATEST;
use super::super::scroll::Scroll;
use super::*;

/// A store that splits every state, some agents to a part.
fn splitting(backend: Backend) -> Store {
    let mut store = store_on(backend);
    store.parts = Parts::new(8 * 1024);
    store.lead(1);
    store
}

/// The state after so many beats of twenty agents.
fn large(epoch: u64, beats: u64) -> Document {
    let mut engine = Engine::new(engine::Config::default(), epoch);
    for beat in 0..beats {
        let observations: Vec<_> = (0..20).map(|agent| thought(agent, "one")).collect();
        engine.beat(at(beat as i64 * 100), &observations, &pulse());
    }
    Document::of(&engine)
}

async fn parts(store: &mut Store) -> Vec<String> {
    let mut names = store.backend.names(keys::PARTS).await.unwrap();
    names.sort_unstable();
    names
}

async fn head(store: &mut Store, key: &str) -> Split {
    let Held::Text(text) = store.backend.look(key).await.unwrap() else { panic!("{key} holds no text") };
    Split::read(&text).unwrap().expect("its agents are elsewhere").1
}

#[test]
fn each_agent_is_in_one_part() {
    let scroll = Scroll::of(large(7, 3));
    let whole = Document::parse(&scroll.pieces().concat()).unwrap();
    for bytes in [1, 1024, 2048, 1 << 20] {
        let parts: Vec<_> = scroll.parts("7-1", bytes).iter().map(|part| part.pieces().concat()).collect();
        let count = u32::try_from(parts.len()).unwrap();
        assert!(if bytes == 1 { count == 20 } else { bytes < 1 << 20 || count == 1 });
        let split = Split { id: "7-1".to_owned(), count, bytes: 0 };
        let agents = parts.iter().zip(0..).flat_map(|(text, part)| {
            let read = split.agents(part, text).unwrap();
            assert!(serde_json::from_slice::<serde_json::Value>(text).unwrap()["part"] == part);
            read
        });
        let agents = agents.collect();
        assert_eq!(sorted(Document { meta: whole.meta.clone(), agents }), sorted(whole.clone()));
    }
}

#[tokio::test]
async fn a_large_state_is_stored_in_parts_and_read_back() {
    both(async |backend| {
        let mut store = splitting(backend);
        let document = large(1, 3);
        store.put(&mut Scroll::of(document.clone()), None).await.unwrap();
        let split = head(&mut store, LATEST).await;
        let keys: Vec<_> = (0..split.count).map(|part| keys::part("1-1", part)).collect();
        assert!(keys.len() > 3 && split.id == "1-1");
        assert_eq!(sorted_names(keys), parts(&mut store).await);
        let loaded = store.load(at(1_000)).await.unwrap();
        assert_eq!(loaded.source.as_deref(), Some(LATEST));
        assert_eq!(sorted(loaded.document.unwrap()), sorted(document));
    })
    .await;
}

fn sorted_names(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

#[tokio::test]
async fn parts_go_with_the_last_head_that_names_them() {
    both(async |backend| {
        let mut store = splitting(backend);
        store.snapshots.keep_count = 1;
        // With a snapshot, without one, without one.
        for beats in 1..=3 {
            store.put(&mut Scroll::of(large(1, beats)), None).await.unwrap();
        }
        let first = keys::snapshot(at(0));
        assert_eq!(head(&mut store, &first).await.id, "1-1");
        assert_eq!(head(&mut store, LATEST).await.id, "1-3");
        let ids = |names: &[String]| {
            let mut ids: Vec<_> = names.iter().filter_map(|name| keys::id_of_part(name).map(str::to_owned)).collect();
            ids.dedup();
            ids
        };
        assert_eq!(ids(&parts(&mut store).await), ["1-1", "1-3"]);

        // What was kept aside keeps its parts, and so does a snapshot that somebody put in the place of the latest.
        assert!(store.backend.copy(LATEST, "meta:quarantine:by-hand").await.unwrap());
        assert!(store.backend.replace(LATEST, &first).await.unwrap());
        store.last_snapshot = None;
        store.put(&mut Scroll::of(large(1, 4)), None).await.unwrap();
        assert_eq!(store.backend.snapshots().await.unwrap(), [keys::snapshot(at(300))], "the first one is too many");
        assert_eq!(ids(&parts(&mut store).await), ["1-3", "1-4"]);
        let kept = store.backend.state("meta:quarantine:by-hand").await.unwrap();
        assert!(matches!(kept, load::Found::State(document, _) if sorted(*document.clone()) == sorted(large(1, 3))));

        // A small state again: its snapshots are all that has parts, until they go.
        store.parts = Parts::new(usize::MAX);
        store.last_snapshot = None;
        store.backend.remove(&["meta:quarantine:by-hand".to_owned()]).await.unwrap();
        store.put(&mut Scroll::of(large(1, 5)), None).await.unwrap();
        assert_eq!(parts(&mut store).await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn agents_that_did_not_change_are_not_written_again() {
    both(async |backend| {
        let mut store = splitting(backend);
        let document = large(1, 3);
        let mut scroll = Scroll::of(document.clone());
        store.put(&mut scroll, None).await.unwrap();
        let quiet = |beat: u64, agents: Vec<_>| {
            let meta = engine::MetaState { beat, ..document.meta.clone() };
            handoff::Parcel { meta, whole: false, agents, forgotten: Vec::new() }
        };
        scroll.absorb(quiet(40, Vec::new()));
        store.last_snapshot = None;
        store.put(&mut scroll, None).await.unwrap();
        assert_eq!(head(&mut store, LATEST).await.id, "1-1");
        assert!(parts(&mut store).await.iter().all(|name| name.contains(":1-1:")));
        let loaded = store.load(at(1_000)).await.unwrap().document.unwrap();
        assert_eq!((loaded.meta.beat, loaded.agents.len()), (40, 20));
        store.lead(1);

        // What is gone is written again, and so is what changed.
        store.backend.remove(&[keys::part("1-1", 2)]).await.unwrap();
        store.put(&mut scroll, None).await.unwrap();
        assert_eq!(head(&mut store, LATEST).await.id, "1-2");
        scroll.absorb(quiet(41, document.agents[..1].to_vec()));
        store.put(&mut scroll, None).await.unwrap();
        assert_eq!(head(&mut store, LATEST).await.id, "1-3");
    })
    .await;
}

#[tokio::test]
async fn parts_of_a_newer_epoch_and_what_are_none_stay() {
    both(async |backend| {
        let mut store = splitting(backend);
        for key in ["meta:part:2-1:0", "meta:part:x:0", "meta:part:0-9:0"] {
            store.backend.put_down(key, &[b"{}"]).await.unwrap();
        }
        store.put(&mut Scroll::of(large(1, 1)), None).await.unwrap();
        let others: Vec<_> = parts(&mut store).await.into_iter().filter(|name| !name.contains(":1-1:")).collect();
        assert_eq!(others, ["meta:part:2-1:0", "meta:part:x:0"]);
    })
    .await;
}

#[tokio::test]
async fn a_torn_state_is_kept_aside_and_the_snapshot_before_taken() {
    both(async |backend| {
        let mut store = splitting(backend);
        for beats in 1..=2 {
            store.put(&mut Scroll::of(large(1, beats)), None).await.unwrap();
        }
        store.backend.remove(&[keys::part("1-2", 1)]).await.unwrap();
        let loaded = store.load(at(60_000)).await.unwrap();
        assert_eq!(loaded.source, Some(keys::snapshot(at(0))));
        assert_eq!(sorted(loaded.document.unwrap()), sorted(large(1, 1)));
        let aside = keys::quarantine(LATEST, at(60_000));
        assert_eq!(loaded.quarantined, [aside.as_str()]);
        // The rest of its parts are never removed: somebody may want to look.
        store.lead(3);
        store.put(&mut Scroll::of(large(3, 3)), None).await.unwrap();
        assert_eq!(parts(&mut store).await.iter().filter(|name| name.contains(":1-2:")).count() as u32 + 1, {
            head(&mut store, &aside).await.count
        });
    })
    .await;
}

#[tokio::test]
async fn what_a_failed_write_left_is_removed_before_the_next() {
    let mut shelf = Shelf::default();
    shelf.parts_left = Some(3);
    let mut store = splitting(Backend::Memory(shelf));
    assert_eq!(store.put(&mut Scroll::of(large(1, 1)), None).await, Err(Fault::OutOfMemory));
    if let Backend::Memory(shelf) = &mut store.backend {
        shelf.parts_left = None;
    }
    assert_eq!(parts(&mut store).await.len(), 3);
    store.put(&mut Scroll::of(large(1, 2)), None).await.unwrap();
    assert!(parts(&mut store).await.iter().all(|name| name.contains(":1-2:")));
}

#[tokio::test]
async fn parts_that_no_head_names_yet_go_by_themselves_and_named_ones_stay() {
    let server = Server::start();
    let mut store = splitting(server.backend().await);
    store.put(&mut Scroll::of(large(1, 1)), None).await.unwrap();
    store.backend.put_down("meta:part:1-9:0", &[b"{}"]).await.unwrap();
    let client = redis::Client::open(server.config().url.expose()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for (key, lives) in [("meta:part:1-1:0", -1..=-1), ("meta:part:1-9:0", 1..=600_000)] {
        let left: i64 = redis::cmd("PTTL").arg(key).query_async(&mut connection).await.unwrap();
        assert!(lives.contains(&left), "{key}: {left}");
    }
}

#[tokio::test]
async fn a_head_in_any_form_keeps_its_parts() {
    let server = Server::start();
    let mut store = splitting(server.backend().await);
    store.put(&mut Scroll::of(large(1, 1)), None).await.unwrap();
    let Held::Text(text) = store.backend.look(LATEST).await.unwrap() else { panic!("no text") };
    // As `jq -S` leaves it: what tells the parts comes last.
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
    let state = store.backend.state("meta:quarantine:by-hand").await.unwrap();
    assert!(matches!(state, load::Found::State(document, _) if sorted(*document.clone()) == sorted(large(1, 1))));
    store.backend.remove(&["meta:quarantine:by-hand".to_owned()]).await.unwrap();
    assert!(store.sweep().await.unwrap() > 3);
}
