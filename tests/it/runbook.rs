//! The runbook's shell blocks, run to the letter.
//!
//! A block is fenced with `sh`. It belongs to the `## ` section that it stands in, and each section with blocks has a
//! drill: a line in [`drills!`] and a module beside this file. What cannot be run here has a line of its own right before
//! the fence, as in `<!-- not run: needs a cluster -->`.

mod alerts;
mod backup;
mod drill;
mod look;
mod recovery;
mod restart;
mod text;

use std::path::Path;

use self::look::{capacity, objectives};
use self::text::{Runbook, SHARED};
use crate::support::project;

macro_rules! drills {
    ($($name:ident: $section:literal,)*) => {
        const DRILLED: &[&str] = &[$($section),*];
        $(#[tokio::test]
        async fn $name() {
            self::$name::run($section).await;
        })*
    };
}

drills! {
    alerts: "Alerts",
    recovery: "Recovery",
    restart: "Rolling restart",
    backup: "Backup and restore",
    capacity: "Capacity",
    objectives: "SLOs and error budgets",
}

/// Sections whose blocks are run by a test that needs more of its own.
const ELSEWHERE: &[(&str, &str)] = &[
    ("Key rotation", "tests/it/keys.rs"),
    ("Revoke a token", "tests/it/access/runbook.rs"),
    ("Scope audit", "tests/it/access/runbook.rs"),
    ("Which client is it?", "tests/it/streams.rs"),
    ("Blocking an address", "tests/it/streams.rs"),
];

#[test]
fn every_block_is_run_or_says_why_not() {
    let runbook = Runbook::read();
    for section in &runbook.sections {
        for block in section.blocks.iter().filter(|block| block.not_run.is_none()) {
            let title = section.title.as_str();
            let elsewhere = ELSEWHERE.iter().any(|(of, _)| *of == title);
            let run = title == SHARED || DRILLED.contains(&title) || elsewhere;
            assert!(run, "no drill runs this block of \"{}\":\n{}", section.title, block.text);
        }
    }
    for (title, file) in ELSEWHERE {
        let test = std::fs::read_to_string(project(file)).expect("the test is there");
        assert!(test.contains(&format!("\"{title}\"")), "{file} does not run \"{title}\"");
    }
    for title in DRILLED {
        let runs = runbook.section(title).blocks.iter().filter(|block| block.not_run.is_none()).count();
        assert!(runs > 0, "the drill of \"{title}\" has nothing to run");
    }
}

/// The alerts of the rule file, with the anchors that they link to.
fn linked() -> Vec<(String, String)> {
    let rules = std::fs::read_to_string(project("deploy/prometheus/rules.yaml")).expect("there are rules");
    let alerts = rules.split("- alert: ").skip(1).map(|rule| {
        let link = rule.lines().find(|line| line.trim().starts_with("runbook_url:")).expect("it links to the runbook");
        let anchor = link.rsplit('#').next().unwrap_or_default().trim_end_matches('\'');
        (rule.lines().next().unwrap_or_default().to_owned(), anchor.to_owned())
    });
    alerts.collect()
}

#[test]
fn each_alert_has_its_part_and_each_part_its_alert() {
    let runbook = Runbook::read();
    let parts = &runbook.section("Alerts").headings;
    let alerts = linked();
    assert!(alerts.len() >= 12, "{alerts:?}");
    for (name, anchor) in &alerts {
        assert!(parts.iter().any(|part| part.to_lowercase() == *anchor), "{name}: #{anchor} is not there");
    }
    for part in parts.iter().filter(|part| *part != "Is it well?") {
        assert!(alerts.iter().any(|(_, anchor)| part.to_lowercase() == *anchor), "no alert links to {part}");
    }
}

#[test]
fn what_the_threat_model_names_is_there() {
    let text = std::fs::read_to_string(project("RUNBOOK.md")).expect("there is a runbook");
    let section = text.split("\n## Threat model\n").nth(1).expect("it has a threat model");
    let rows: Vec<Vec<&str>> = section
        .split("\n## ")
        .next()
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(rows.len() > 15, "{}", rows.len());
    let mut sources = String::new();
    for folder in ["tests/it", "src"] {
        gather(&project(folder), &mut sources);
    }
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    for row in &rows[1..] {
        assert_eq!(row.len(), 4, "{row:?}");
        let tests = quoted(row[2]);
        assert!(!tests.is_empty(), "no test proves: {}", row[0]);
        for test in tests {
            let there =
                if test.contains('/') { project(&test).exists() } else { sources.contains(&format!("fn {test}(")) };
            assert!(there, "{test} does not exist: {}", row[0]);
        }
        for metric in quoted(row[3]) {
            let name = metric.split('{').next().unwrap_or_default().to_owned();
            // The process collector declares its own.
            let there = name.starts_with("process_") || sources.contains(&format!("    {name}: "));
            assert!(there, "{name} is no metric: {}", row[0]);
        }
    }
}

fn gather(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).expect("sources can be read") {
        let path = entry.expect("sources can be read").path();
        if path.is_dir() {
            gather(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&std::fs::read_to_string(path).expect("sources are UTF-8"));
        }
    }
}
