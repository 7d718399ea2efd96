//! The runbook as text: sections, headings, blocks.

use crate::support::project;

/// The section whose blocks every drill runs first.
pub const SHARED: &str = "What you need";

#[derive(Debug, Default)]
pub struct Runbook {
    pub sections: Vec<Section>,
}

/// What stands under a `## ` heading.
#[derive(Debug, Default)]
pub struct Section {
    pub title: String,
    /// Its `### ` headings.
    pub headings: Vec<String>,
    pub blocks: Vec<Block>,
}

#[derive(Debug)]
pub struct Block {
    /// The `### ` heading it stands under; empty before the first.
    pub heading: String,
    pub text: String,
    /// Why it is not run.
    pub not_run: Option<String>,
}

impl Runbook {
    pub fn read() -> Self {
        Self::parse(&std::fs::read_to_string(project("RUNBOOK.md")).expect("there is a runbook"))
    }

    fn parse(text: &str) -> Self {
        let mut runbook = Self::default();
        let (mut heading, mut mark) = (String::new(), None);
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(title) = line.strip_prefix("## ") {
                runbook.sections.push(Section { title: title.to_owned(), ..Section::default() });
                heading.clear();
            } else if let Some(title) = line.strip_prefix("### ") {
                title.clone_into(&mut heading);
                let section = runbook.sections.last_mut().expect("headings stand in sections");
                section.headings.push(heading.clone());
            } else if let Some(language) = line.strip_prefix("```") {
                let block: String =
                    lines.by_ref().take_while(|line| *line != "```").flat_map(|line| [line, "\n"]).collect();
                assert!(
                    ["sh", "yaml", "toml", "json", "text"].contains(&language),
                    "a fence says ```{language}:\n{block}"
                );
                if language == "sh" {
                    let section = runbook.sections.last_mut().expect("blocks stand in sections");
                    section.blocks.push(Block { heading: heading.clone(), text: block, not_run: mark.take() });
                }
            }
            mark = line.strip_prefix("<!-- not run: ").map(|rest| {
                let reason = rest.strip_suffix(" -->").expect("the mark is closed");
                assert!(reason.len() > 5, "the mark says why: {line}");
                reason.to_owned()
            });
        }
        runbook
    }

    #[track_caller]
    pub fn section(&self, title: &str) -> &Section {
        let found = self.sections.iter().find(|section| section.title == title);
        found.unwrap_or_else(|| panic!("the runbook has no section \"{title}\""))
    }
}
