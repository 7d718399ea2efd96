use super::super::backend::{Head, Held, Over, Write, Written};
use super::super::keys::{EPOCH, LATEST};
use super::*;

/// What every place has to do.
async fn suite(mut backend: Backend) {
    let (old, own, newer) = (document(3, 1).to_json(), document(5, 2).to_json(), document(5, 3).to_json());
    let snapshot = keys::snapshot(at(0));
    assert_eq!(backend.look(LATEST).await, Ok(Held::Nothing));
    assert_eq!(backend.counter().await, Ok(0));

    // Epochs go up, past the counter and past what outlived it.
    assert_eq!(backend.next_epoch(0).await, Ok(1));
    assert_eq!(backend.next_epoch(4).await, Ok(5));
    assert_eq!(backend.counter().await, Ok(5));

    // What is there is replaced only by who wrote it, or loaded it.
    let reading = Reading::default();
    let pieces = [&old, &own, &newer].map(|document| [document.as_slice()]);
    let [old_text, own_text, newer_text] = pieces.each_ref();
    let write =
        |epoch, document, over, snapshot| Write { epoch, document, parts: &[], over, snapshot, reading: &reading };
    assert_eq!(backend.write(write(5, old_text, Over::Own, None)).await, Ok(Written::Created));
    assert_eq!(backend.write(write(5, own_text, Over::Own, None)).await, Ok(Written::Occupied));
    assert_eq!(backend.write(write(5, own_text, Over::OwnOr(2), None)).await, Ok(Written::Occupied));
    assert_eq!(backend.look(LATEST).await, Ok(Held::Text(old.clone())));
    assert_eq!(backend.write(write(5, own_text, Over::OwnOr(3), Some(&snapshot))).await, Ok(Written::Replaced));
    assert_eq!(backend.look(&snapshot).await, Ok(Held::Text(own.clone())));
    assert_eq!(backend.write(write(5, newer_text, Over::Own, None)).await, Ok(Written::Replaced));
    assert_eq!(backend.look(LATEST).await, Ok(Held::Text(newer.clone())));
    assert_eq!(backend.look(&snapshot).await, Ok(Held::Text(own.clone())), "a snapshot stays");

    // An older process is refused, and raises nothing.
    assert_eq!(backend.write(write(4, newer_text, Over::All, None)).await, Ok(Written::Fenced));
    assert_eq!(backend.counter().await, Ok(5));
    // The counter is raised to a writer's.
    assert_eq!(backend.write(write(1_763_942_048, newer_text, Over::All, None)).await, Ok(Written::Replaced));
    assert_eq!(backend.next_epoch(0).await, Ok(1_763_942_049));

    // A document in parts needs all of them, and changes nothing without.
    let parts = ["meta:part:9-1", "meta:part:9-2"].map(str::to_owned);
    let (meta, split) = (&document(9, 1).meta, Split { parts: [("9-1".to_owned(), 3), ("9-2".to_owned(), 3)].into() });
    let head = split.head(meta);
    let split_bytes = head.len() as u64;
    let in_parts = Write {
        epoch: 1_763_942_049,
        document: &[&head],
        parts: &parts,
        over: Over::All,
        snapshot: None,
        reading: &reading,
    };
    assert_eq!(backend.put_down(&parts[1], &[b"a", b"bc"]).await, Ok(()));
    assert_eq!(backend.write(in_parts).await, Ok(Written::Torn));
    assert_eq!(backend.look(LATEST).await, Ok(Held::Text(newer.clone())));
    assert_eq!(backend.put_down(&parts[0], &[b"", b"def"]).await, Ok(()));
    assert_eq!(
        backend.write(Write { snapshot: Some("meta:snapshot:in-parts"), ..in_parts }).await,
        Ok(Written::Replaced)
    );
    assert_eq!(backend.look(LATEST).await, Ok(Held::Text(head.clone())));
    assert_eq!(backend.look("meta:snapshot:in-parts").await, Ok(Held::Text(head)));
    assert_eq!(backend.look(&parts[1]).await, Ok(Held::Text(b"abc".to_vec())));
    let heads = ["meta:none", LATEST, &snapshot, EPOCH].map(str::to_owned);
    let (whole, seen) = (newer.len() as u64, backend.heads(&heads).await.unwrap());
    let bytes: Vec<_> = seen.iter().map(|head| head.bytes).collect();
    assert_eq!(bytes[..3], [0, split_bytes, own.len() as u64]);
    let parts: Vec<_> = seen.into_iter().map(|head| head.parts).collect();
    assert_eq!(parts, [Split::default(), split, Split::default(), Split::default()]);
    assert_eq!(backend.write(write(1_763_942_049, newer_text, Over::All, None)).await, Ok(Written::Replaced));
    assert_eq!(backend.heads(&heads[1..2]).await, Ok(vec![Head { bytes: whole, parts: Split::default() }]));
    assert_eq!(backend.remove(&["meta:snapshot:in-parts".to_owned()]).await, Ok(()));

    // What is kept aside is never overwritten.
    assert_eq!(backend.copy(LATEST, &snapshot).await, Ok(false));
    assert_eq!(backend.copy("meta:none", "meta:copy").await, Ok(false));
    assert_eq!(backend.copy(LATEST, "meta:quarantine:a").await, Ok(true));
    assert_eq!(backend.set_aside(LATEST, "meta:quarantine:a").await, Ok(false));
    assert_eq!(backend.look(LATEST).await, Ok(Held::Text(newer.clone())));
    assert_eq!(backend.set_aside(LATEST, "meta:quarantine:b").await, Ok(true));
    assert_eq!(backend.set_aside(LATEST, "meta:quarantine:c").await, Ok(false));
    assert_eq!(backend.look("meta:quarantine:b").await, Ok(Held::Text(newer.clone())));
    assert_eq!(backend.look(LATEST).await, Ok(Held::Nothing));
    assert_eq!(backend.replace(LATEST, "meta:quarantine:b").await, Ok(true));
    assert_eq!(backend.replace(LATEST, "meta:none").await, Ok(false));

    let mut names = backend.names("meta:quarantine:").await.unwrap();
    names.sort();
    assert_eq!(names, ["meta:quarantine:a", "meta:quarantine:b"]);
    assert_eq!(backend.snapshots().await, Ok(vec![snapshot.clone()]));
    assert_eq!(backend.remove(&[snapshot, "meta:none".to_owned()]).await, Ok(()));
    assert_eq!(backend.snapshots().await, Ok(vec![]));
    assert_eq!(backend.remove(&[]).await, Ok(()));
}

#[tokio::test]
async fn memory_does_what_the_store_needs() {
    suite(Backend::Memory(Shelf::default())).await;
}

#[tokio::test]
async fn redis_does_what_the_store_needs() {
    let server = Server::start();
    suite(server.backend().await).await;
}

#[tokio::test]
async fn many_names_are_found_once_each() {
    let server = Server::start();
    let mut backend = server.backend().await;
    let text = document(1, 1).to_json();
    for minute in 0..1500 {
        let name = keys::snapshot(at(minute * 60_000));
        let write = Write {
            epoch: 1,
            document: &[&text],
            parts: &[],
            over: Over::All,
            snapshot: Some(&name),
            reading: &Reading::default(),
        };
        backend.write(write).await.unwrap();
    }
    let names = backend.snapshots().await.unwrap();
    assert_eq!(names.len(), 1500);
    assert!(names.is_sorted_by(|a, b| a > b));
    backend.remove(&names[10..]).await.unwrap();
    assert_eq!(backend.snapshots().await.unwrap(), names[..10]);
}

#[tokio::test]
async fn a_counter_of_another_type_stops_nothing() {
    let server = Server::start();
    let mut backend = server.backend().await;
    let client = redis::Client::open(server.config().url.expose()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _: () = redis::cmd("RPUSH").arg(EPOCH).arg("x").query_async(&mut connection).await.unwrap();
    assert_eq!(backend.counter().await, Ok(0));
    assert_eq!(backend.next_epoch(6).await, Ok(7));
    let _: () = redis::cmd("SET").arg(EPOCH).arg("many").query_async(&mut connection).await.unwrap();
    let text = document(7, 1).to_json();
    let write = Write {
        epoch: 7,
        document: &[&text],
        parts: &[],
        over: Over::Own,
        snapshot: None,
        reading: &Reading::default(),
    };
    assert_eq!(backend.write(write).await, Ok(Written::Created));
    assert_eq!(backend.counter().await, Ok(7));
}
