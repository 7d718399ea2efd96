//! Replays the committed corpora of the fuzz targets, so that what a fuzzer once found stays found.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a target fails")]

#[path = "fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::path::Path;

fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{name} has a corpus");
    for file in files {
        // Told only when the test fails, and then the last one is the one.
        println!("{}", file.display());
        target(&fs::read(file).unwrap());
    }
}

macro_rules! replays {
    ($($target:ident)*) => { $(
        #[test]
        fn $target() {
            replay(stringify!($target), fuzz::$target);
        }
    )* };
}

replays!(native otlp token stream state config leak);
