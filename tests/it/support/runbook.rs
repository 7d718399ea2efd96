//! The runbook's shell blocks, run to the letter.

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;

use super::redis::project;
use super::wait::within;

/// The blocks of a section.
pub fn blocks(section: &str) -> Vec<String> {
    let text = std::fs::read_to_string(project("RUNBOOK.md")).expect("there is a runbook");
    let section = text.split(&format!("\n## {section}\n")).nth(1).expect("it has this section");
    let section = section.split("\n## ").next().unwrap_or_default();
    section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// Runs the blocks one after the other in one shell, with the binary under test in reach; what they said, or a panic.
pub async fn run(blocks: &[String], folder: &Path, variables: &[(&str, &str)]) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_consciousness-system"));
    let folder_of_binary = binary.parent().expect("it is in a folder");
    let mut script = String::from("set -euo pipefail\n");
    for (i, block) in blocks.iter().enumerate() {
        script.push_str(&format!("echo '=== block {i}'\n{block}"));
    }
    script.push_str("echo '=== end'\n");
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(&script).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    shell.env("PATH", format!("{}:/usr/bin:/bin", folder_of_binary.display())).envs(variables.iter().copied());
    let Output { status, stdout, stderr } = within("the runbook", shell.output()).await.expect("bash runs");
    let (out, error) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && out.ends_with("=== end\n"), "{out}\n{error}");
    out.into_owned()
}
