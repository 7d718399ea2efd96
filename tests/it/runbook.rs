//! The runbook's shell blocks, run to the letter.
//!
//! A block is fenced with `sh`. It belongs to the `## ` section that it stands in, and each section with blocks has a
//! drill: a line in [`drills!`] and a module beside this file. What cannot be run here has a line of its own right before
//! the fence, as in `<!-- not run: needs a cluster -->`.

mod alerts;
mod backup;
mod drill;
mod recovery;
mod restart;
mod text;

use self::text::{Runbook, SHARED};

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
}

#[test]
fn every_block_is_run_or_says_why_not() {
    let runbook = Runbook::read();
    for section in &runbook.sections {
        for block in section.blocks.iter().filter(|block| block.not_run.is_none()) {
            let run = section.title == SHARED || DRILLED.contains(&section.title.as_str());
            assert!(run, "no drill runs this block of \"{}\":\n{}", section.title, block.text);
        }
    }
    for title in DRILLED {
        let runs = runbook.section(title).blocks.iter().filter(|block| block.not_run.is_none()).count();
        assert!(runs > 0, "the drill of \"{title}\" has nothing to run");
    }
}
