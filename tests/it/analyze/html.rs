//! The report as a page.

use std::path::Path;

use serde_json::{Value, json};

use super::{fixture_path, lines, run};

/// The page that `analyze --html` writes about a recording.
fn page(recording: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.html");
    let output = run("", &[recording.to_str().unwrap(), "--html", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(file).unwrap()
}

/// Checks that tags close in order, and returns how often each was opened.
#[track_caller]
fn tags(page: &str) -> std::collections::BTreeMap<String, usize> {
    const VOID: [&str; 1] = ["meta"];
    let (mut open, mut counts) = (Vec::new(), std::collections::BTreeMap::new());
    let body = page.strip_prefix("<!doctype html>\n").expect("it says what it is");
    for part in body.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("a tag without an end: {part}"));
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap().to_owned();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else {
            *counts.entry(name.clone()).or_default() += 1;
            if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    counts
}

#[test]
fn a_recorded_loop_is_on_the_page() {
    // The recording is gzipped, and read as it is.
    let page = page(&fixture_path("stuck/airline-stuck.ndjson.gz"));
    let tags = tags(&page);
    assert!(tags["svg"] >= 2 && tags["h2"] >= 3, "{tags:?}");
    for text in [
        "airline-2",
        "Timeline of insights",
        "61",
        "task-9-trial-2",
        "went round the same 2 steps 3 times",
        "stop it, or tell it",
    ] {
        assert!(page.contains(text), "{text}");
    }
    // Texts, arguments and results of observations are not.
    for text in ["gift card", "customer support", "user_id"] {
        assert!(!page.contains(text), "{text}");
    }
}

#[test]
fn claims_make_a_reliability_diagram_and_a_curve() {
    let csv = std::fs::read_to_string(fixture_path("calibration/verbal5.csv")).unwrap();
    let claims = csv.lines().skip(1).enumerate().map(|(i, line)| {
        let (confidence, correct) = line.split_once(',').unwrap();
        let confidence: f64 = confidence.parse().unwrap();
        json!({"kind": "claim", "claim_id": i.to_string(), "confidence": confidence, "correct": correct == "1"})
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("claims.ndjson");
    std::fs::write(&file, lines("forecaster", claims)).unwrap();
    let page = page(&file);
    let tags = tags(&page);
    for text in
        ["Reliability diagram", "Type-2 ROC curve", "AUROC 0.", "class=\"interval\"", "the recording tells no times"]
    {
        assert!(page.contains(text), "{text}");
    }
    assert!(tags["circle"] >= 5, "{tags:?}");
    assert!(!page.contains("NaN") && !page.contains(">inf"));
}

/// Names in a recording, of a file and in what is wrong with a line are text on the page, never markup; nothing comes
/// from elsewhere and nothing runs.
#[test]
fn nothing_of_a_recording_is_markup() {
    let evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&\u{1b}[31m";
    let step = |i: usize| {
        let action = json!({"session": evil, "kind": "action", "tool": evil, "arguments": {"q": evil}, "call_id": i});
        [action, json!({"session": evil, "kind": "result", "call_id": i, "ok": true, "text": evil})]
    };
    let mut recording = lines("a.b:c/d@e-f", (0..4).flat_map(step));
    recording += &format!("{}\n", json!({"agent": evil, "kind": evil}));
    recording += &format!("{evil}\n");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("<b>&\"x.ndjson");
    std::fs::write(&file, recording).unwrap();
    let page = page(&file);
    let tags = tags(&page);
    assert!(["script", "img", "b", "link", "iframe"].iter().all(|tag| !tags.contains_key(*tag)), "{tags:?}");
    assert!(page.contains("&lt;b&gt;&amp;&quot;x.ndjson") && page.contains("&lt;script&gt;alert(1)"), "told as text");
    assert!(!page.contains('\u{1b}'));
    // Every attribute's name is one of ours.
    for part in page.split('<').skip(1) {
        assert!(!part.split_once('>').unwrap().0.contains("onerror"), "{part}");
    }
    for word in ["http://", "https://", "url(", "@import", "javascript:"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn a_page_is_written_beside_json_and_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.html");
    let input = fixture_path("stuck/airline-stuck.ndjson.gz");
    let (input, path) = (input.to_str().unwrap(), file.to_str().unwrap());
    let output = run("", &[input, "--json", "--fail-on", "stuck", "--html", path]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["observations"], 61);
    assert!(file.exists(), "what failed is worth looking at");
    let nowhere = run("", &[input, "--html", "/no/such/folder/out.html"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("/no/such/folder/out.html cannot be written"));
}
