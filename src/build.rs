//! The build script: tells the program which commit it is built from.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-env-changed=CONSCIOUSNESS_COMMIT");
    // What a build without the repository says, such as a container's, goes before what is found.
    let given = std::env::var_os("CONSCIOUSNESS_COMMIT").and_then(|commit| commit.into_string().ok());
    let commit = given.filter(|commit| !commit.is_empty()).or_else(found).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=CONSCIOUSNESS_COMMIT={commit}");
}

/// The commit that is checked out, where this very directory is a repository: sources that were unpacked into another
/// project's are not of its commit.
fn found() -> Option<String> {
    let root = git(&["rev-parse", "--show-toplevel"])?;
    let here = Path::new(".").canonicalize().ok()?;
    if Path::new(&root).canonicalize().ok()? != here {
        return None;
    }
    // Both change with each commit and each checkout.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
