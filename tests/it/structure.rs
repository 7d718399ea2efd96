//! The house rules that the compiler does not hold.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by floor, from the ground up; rooms of one floor don't know each other. The last ones are leaves: they know
/// the domain, the breaker and each other, and every floor from the adapters on may use them.
const FLOORS: [&[&str]; 7] = [
    &["domain"],
    &["analyze", "breaker"],
    &["engine"],
    &["sanitize"],
    &["ingest", "heartbeat", "auth", "store", "stream", "cluster"],
    &["http"],
    &["config", "app", "cli"],
];
const LEAVES: [&str; 4] = ["telemetry", "setting", "clock", "link"];
const PURE: [&str; 5] = ["domain", "analyze", "breaker", "engine", "sanitize"];

struct Source {
    path: PathBuf,
    room: String,
    /// Without comments and without what follows the tests' module.
    code: String,
    lines: usize,
    head: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                let inside = path.strip_prefix(&root).expect("it is in src");
                let room = inside.components().next().expect("it has a name").as_os_str().to_string_lossy();
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
                let code =
                    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
                let head = text.lines().take(8).collect::<Vec<_>>().join("\n");
                let (room, lines) = (room.trim_end_matches(".rs").to_owned(), text.lines().count());
                sources.push(Source { path: inside.to_owned(), room, code, lines, head });
            }
        }
    }
    assert!(sources.len() > 30, "the sources were found");
    sources
}

fn is_test(source: &Source) -> bool {
    source
        .path
        .components()
        .any(|part| ["tests", "tests.rs", "testing.rs", "naive.rs"].iter().any(|t| part.as_os_str() == *t))
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn each_floor_uses_only_what_is_below() {
    for source in sources().iter().filter(|source| !is_test(source)) {
        if ["main", "lib", "build"].contains(&source.room.as_str()) {
            continue;
        }
        let own = floor(&source.room);
        assert!(own.is_some() || LEAVES.contains(&source.room.as_str()), "{} is in no floor", source.path.display());
        let rooms = source.code.split("crate::").skip(1).flat_map(|after| {
            let list = after.strip_prefix('{').map(|inner| inner.split('}').next().unwrap_or_default());
            let names: Vec<String> = match list {
                Some(list) => list.split(',').map(|item| item.trim().to_owned()).collect(),
                None => vec![after.to_owned()],
            };
            names
        });
        for name in rooms {
            let used: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let used = used.as_str();
            let place = source.path.display();
            match (own, floor(used)) {
                (_, None) if !LEAVES.contains(&used) => {}
                _ if used == source.room => {}
                (Some(own), None) => assert!(own >= 4, "{place}: the pure floors know no {used}"),
                (None, None) => {}
                (None, Some(other)) => assert!(other == 0 || used == "breaker", "{place}: a leaf knows no {used}"),
                // The top floor is one: composition.
                (Some(6), Some(6)) => {}
                (Some(own), Some(other)) => assert!(other < own, "{place}: {} may not know {used}", source.room),
            }
        }
    }
}

#[test]
fn pure_rooms_know_no_world() {
    let words =
        ["Instant", "SystemTime", "rand::", "tokio", "std::fs", "std::net", "std::env", "std::thread", "tracing"];
    for source in sources().iter().filter(|source| PURE.contains(&source.room.as_str()) && !is_test(source)) {
        for word in words {
            assert!(!source.code.contains(word), "{}: {word}", source.path.display());
        }
    }
}

#[test]
fn the_public_view_holds_no_text() {
    for source in sources().iter().filter(|source| source.room == "sanitize" && !is_test(source)) {
        for word in ["String", "Box<str>", "Arc<str>", "Cow<", "format!", "Text"] {
            assert!(!source.code.contains(word), "{}: {word}", source.path.display());
        }
    }
}

#[test]
fn files_stay_short() {
    for source in sources() {
        let reasoned = source.head.contains("Long because");
        assert!(source.lines <= 500 || reasoned, "{}: {} lines", source.path.display(), source.lines);
    }
}
