//! File and environment into one configuration, with the place of every mistake.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::Config;

/// What the names of variables that configure begin with.
pub const PREFIX: &str = "CONSCIOUSNESS__";

/// All that is wrong with a configuration. Shown as one line a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Never empty.
    pub problems: Vec<Problem>,
}

/// One mistake. Its text never quotes a value, since that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, as in `heart.interval`; empty where the file as a whole is meant.
    pub key: String,
    /// What is wrong with its value.
    pub problem: String,
    /// The file or variable it came from.
    pub source: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{} ({})", self.problem, self.source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The variables of this process that configure it.
pub fn environment() -> Vec<(String, String)> {
    // Not `vars()`, which panics at a variable of somebody else's that is not UTF-8.
    let ours = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
        Some((name, value.to_string_lossy().into_owned()))
    };
    let mut variables: Vec<_> = std::env::vars_os().filter_map(ours).collect();
    variables.sort();
    variables
}

pub(super) fn load(path: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Result<Config, Error> {
    let mut tree = Tree::default();
    if let Some(path) = path {
        tree.add_file(path);
    }
    tree.add_variables(env);
    tree.finish()
}

pub(super) fn parse(
    text: &str,
    source: &str,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Error> {
    let mut tree = Tree::default();
    tree.add_text(text, source);
    tree.add_variables(env);
    tree.finish()
}

/// Values that have the right type, where they came from, and what was wrong with the others.
#[derive(Default)]
struct Tree {
    values: Table,
    sources: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Tree {
    fn add_file(&mut self, path: &Path) {
        let source = format!("file {}", path.display());
        match std::fs::read_to_string(path) {
            Ok(text) => self.add_text(&text, &source),
            Err(error) => self.report("", format!("cannot be read: {}", error.kind()), &source),
        }
    }

    fn add_text(&mut self, text: &str, source: &str) {
        match text.parse::<Table>() {
            Ok(table) => self.add_table(&mut Vec::new(), table, source),
            Err(error) => {
                // Not the error's `Display`, which shows the line, and so the value.
                let at = error.span().map(|span| text[..text.floor_char_boundary(span.start)].lines().count().max(1));
                let problem = match at {
                    Some(line) => format!("is not TOML: line {line}: {}", one_line(error.message())),
                    None => format!("is not TOML: {}", one_line(error.message())),
                };
                self.report("", problem, source);
            }
        }
    }

    fn add_variables(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in variables {
            if let Some(key) = name.strip_prefix(PREFIX) {
                self.add_variable(key, &name, &value);
            }
        }
    }

    fn add_table(&mut self, path: &mut Vec<String>, table: Table, source: &str) {
        for (key, value) in table {
            path.push(key);
            match value {
                // An empty table is taken as a value, so that the name of an unknown section is noticed.
                Value::Table(inner) if !inner.is_empty() => self.add_table(path, inner, source),
                value => match fits(path, &value) {
                    Ok(()) => self.insert(path, value, source),
                    Err((key, problem)) => self.report(&key, problem, source),
                },
            }
            path.pop();
        }
    }

    fn add_variable(&mut self, key: &str, name: &str, raw: &str) {
        let source = format!("variable {name}");
        let path: Vec<String> = key.split("__").map(str::to_lowercase).collect();
        if path.len() < 2 || path.iter().any(String::is_empty) {
            return self.report(&path.join("."), format!("is not of the form {PREFIX}SECTION__KEY"), &source);
        }
        if raw.contains(char::REPLACEMENT_CHARACTER) {
            return self.report(&path.join("."), "is not UTF-8", &source);
        }
        // A list first, since a key that takes one text or a list would take the brackets for a text.
        if raw.trim_start().starts_with('[') {
            let list = toml::de::ValueDeserializer::parse(raw).and_then(Value::deserialize);
            if let Some(list) = list.ok().filter(|list| fits(&path, list).is_ok()) {
                return self.insert(&path, list, &source);
            }
        }
        // Then text: a secret or an address that happens to be a number must stay as it was written.
        let text = Value::String(raw.to_owned());
        let as_text = match fits(&path, &text) {
            Ok(()) => return self.insert(&path, text, &source),
            Err(error) => error,
        };
        let parsed = toml::de::ValueDeserializer::parse(raw).and_then(Value::deserialize);
        match parsed.map_err(|_| as_text).and_then(|value| fits(&path, &value).map(|()| value)) {
            Ok(value) => self.insert(&path, value, &source),
            Err((key, problem)) => self.report(&key, problem, &source),
        }
    }

    fn insert(&mut self, path: &[String], value: Value, source: &str) {
        insert(&mut self.values, path, value);
        self.sources.insert(path.join("."), source.to_owned());
    }

    fn report(&mut self, key: &str, problem: impl Into<String>, source: &str) {
        // A key in quotes may hold anything, a line break too.
        let key = key.replace(char::is_control, "?");
        self.problems.push(Problem { key, problem: problem.into(), source: source.to_owned() });
    }

    fn finish(mut self) -> Result<Config, Error> {
        let config = match Config::deserialize(Value::Table(std::mem::take(&mut self.values))) {
            Ok(config) => config,
            Err(error) => {
                self.report("", one_line(error.message()), "all sources together");
                return Err(Error { problems: self.problems });
            }
        };
        for (key, problem) in config.check().into_pairs() {
            let plain = key.split('[').next().unwrap_or_default();
            let source = self.sources.get(plain).cloned().unwrap_or_else(|| "by default".to_owned());
            self.problems.push(Problem { key, problem, source });
        }
        if self.problems.is_empty() { Ok(config) } else { Err(Error { problems: self.problems }) }
    }
}

fn insert(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [section, rest @ ..] => {
            let inner = table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// Whether one value alone, over the defaults, has a known key and the right type; else the key and the problem.
fn fits(path: &[String], value: &Value) -> Result<(), (String, String)> {
    let mut alone = Table::new();
    insert(&mut alone, path, value.clone());
    match serde_path_to_error::deserialize::<_, Config>(Value::Table(alone)) {
        Ok(_) => Ok(()),
        Err(error) => {
            let inner = error.path().to_string();
            let outer = path.join(".");
            // Within a list the path says which item; elsewhere ours says more, since serde stops at an unknown key.
            let key = if inner.starts_with(&outer) { inner } else { outer };
            Err((key, problem(error.inner().message())))
        }
    }
}

/// What serde says, without the value that it quotes: `invalid type: string "hunter2", expected u16`.
fn problem(message: &str) -> String {
    let message = one_line(message);
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| match expected {
        "u16" | "u32" | "u64" | "usize" => "a whole number, not negative",
        "i64" | "i128" => "a whole number",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "string only" => "text in quotes",
        other if other.starts_with("struct ") => "a table",
        "socket address" => "an address and port such as \"127.0.0.1:8080\"",
        other => other,
    });
    match (message.starts_with("unknown field"), expected) {
        (true, Some(expected)) => format!("unknown key, expected {expected}"),
        (true, None) => "unknown key".to_owned(),
        (false, Some(expected)) => format!("must be {expected}"),
        // Our own and the standard library's texts, which quote nothing.
        (false, None) if message == "invalid socket address syntax" => {
            "must be an address and port such as \"127.0.0.1:8080\"".to_owned()
        }
        (false, None) if !message.starts_with("invalid ") => message,
        (false, None) => "has the wrong type".to_owned(),
    }
}

fn one_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim().to_owned()
}
