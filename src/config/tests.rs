use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use toml::{Table, Value};

use super::*;

fn from_env(pairs: &[(&str, &str)]) -> Result<Config, Error> {
    Config::load(None, pairs.iter().map(|(key, value)| (format!("{PREFIX}{key}"), (*value).to_owned())))
}

fn from_text(text: &str) -> Result<Config, Error> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Config::load(Some(file.path()), [])
}

fn keys_of(table: &Table) -> Vec<String> {
    let nested = |(key, value): (&String, &Value)| match value {
        Value::Table(inner) => keys_of(inner).into_iter().map(|rest| format!("{key}.{rest}")).collect(),
        _ => vec![key.clone()],
    };
    table.iter().flat_map(nested).collect()
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    assert_eq!(from_text(DEFAULT_TOML).unwrap(), Config::default());
    let documented = keys_of(&DEFAULT_TOML.parse().unwrap());
    let existing = keys_of(&Config::default().to_toml().parse().unwrap());
    assert_eq!(documented.len(), existing.len());
    for key in existing {
        assert!(documented.contains(&key), "{key} is not in config/default.toml");
    }
}

#[test]
fn every_documented_key_has_a_comment() {
    let mut before = "";
    for line in DEFAULT_TOML.lines() {
        if !line.starts_with('#') && line.contains('=') {
            assert!(before.starts_with('#'), "{line}");
        }
        before = line;
    }
}

#[test]
fn variables_win_over_the_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[heart]\ninterval = \"50ms\"\nbudget = 0.25\n").unwrap();
    let env = [("CONSCIOUSNESS__HEART__INTERVAL".to_owned(), "20ms".to_owned())];
    let config = Config::load(Some(file.path()), env).unwrap();
    assert_eq!((config.heart.interval, config.heart.budget), (Duration::from_millis(20), 0.25));
}

#[test]
fn variables_take_the_type_of_their_key() {
    let digits = "12345678901234567890123456789012";
    let config = from_env(&[
        ("SERVER__LISTEN", "127.0.0.1:9000"),
        ("SERVER__MAX_CONNECTIONS", "12"),
        ("HEART__BUDGET", "0.25"),
        ("AUTH__SECRET", digits),
        ("REDIS__PASSWORD", "true"),
        ("AUTH__AUDIENCE", "mind"),
        ("AUTH__ISSUER", "[\"a\", \"b\"]"),
        ("AUTH__ALLOWED_ORIGINS", "https://a.example, https://b.example"),
        ("AUTH__KEYS", "[{kid = \"one\", alg = \"HS512\", secret_file = \"/run/one\"}]"),
        ("LOG__FORMAT", "pretty"),
        ("SNAPSHOT__INTERVAL", "1m 30s"),
    ])
    .unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:9000");
    assert_eq!((config.server.max_connections, config.heart.budget), (12, 0.25));
    assert_eq!((config.auth.secret.expose(), config.redis.password.expose()), (digits, "true"));
    assert_eq!((config.auth.audience, config.auth.issuer), (vec!["mind".to_owned()], vec!["a".into(), "b".into()]));
    assert_eq!(config.auth.allowed_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(config.auth.keys[0].kid, "one");
    assert_eq!(config.log.format, telemetry::LogFormat::Pretty);
    assert_eq!(config.snapshot.interval, Duration::from_secs(90));
}

#[test]
fn a_secret_in_brackets_stays_text() {
    let secret = "[\"looks like a list, but is a secret of its own\"]";
    assert_eq!(from_env(&[("AUTH__SECRET", secret)]).unwrap().auth.secret.expose(), secret);
}

#[test]
fn a_wrong_variable_is_one_line_that_names_it() {
    for (key, value, line) in [
        ("HEART__INTERVAL", "1ms", "heart.interval: must be from 5ms to 10s"),
        (
            "HEART__INTERVAL",
            "100",
            "heart.interval: must be a duration such as \"100ms\", \"25s\", \"1h 30m\" or \"7d\"",
        ),
        ("HEART__BUDGET", "NaN", "heart.budget: must be a number"),
        ("HEART__BUDGET", "nan", "heart.budget: must be from 0.05 to 0.95"),
        ("HEART__INTERVALL", "1s", "heart.intervall: unknown key, expected one of `interval`, `budget`, `realtime`"),
        ("SERVER__LISTEN", "8080", "server.listen: must be an address and port such as"),
        ("LIMITS__QUEUE", "-5", "limits.queue: must be a whole number, not negative"),
        ("LIMITS__QUEUE", "many", "limits.queue: must be a whole number, not negative"),
        ("LIMITS__BURST", "4294967296", "limits.burst: must be a whole number, not negative"),
        ("LOG__FORMAT", "xml", "log.format: must be one of `auto`, `json`, `pretty`"),
        ("LOG__FILTER", "a=b=c", "log.filter: must be a filter such as"),
        ("AUTH__SECRET", "short", "auth.secret: must be at least 32 bytes long"),
        ("AUTH__ALLOWED_ORIGINS", "*", "auth.allowed_origins[0]: must be an origin"),
        ("AUTH__KEYS", "[{kid='a',alg='none',secret_file='x'}]", "auth.keys[0].alg: must be one of `HS256`, "),
        ("AUTH__KEYS", "[{kid='a',alg='ES256',secret_file='x'}]", "auth.keys[0].public_key_file: is needed for ES256"),
        ("SHUTDOWN__DRAIN", "26s", "shutdown.drain: must not be longer than shutdown.grace"),
        ("SHUTDOWN", "5s", "shutdown: is not of the form CONSCIOUSNESS__SECTION__KEY"),
        ("", "5s", "is not of the form"),
    ] {
        let message = from_env(&[(key, value)]).unwrap_err().to_string();
        let first = message.lines().next().unwrap();
        assert!(first.contains(line), "{message}");
        assert!(first.ends_with(&format!("(variable {PREFIX}{key})")), "{message}");
    }
}

#[test]
fn a_wrong_file_is_told_with_all_its_mistakes() {
    let error = from_text("[server]\nlisten = 8080\nport = 1\n[nowhere]\n[heart]\ninterval = \"1h\"\n").unwrap_err();
    let keys: Vec<_> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
    // Wrong types are noticed before values out of range.
    assert_eq!(keys, ["nowhere", "server.listen", "server.port", "heart.interval"]);
    assert!(error.problems.iter().all(|problem| problem.source.starts_with("file ")));
    assert_eq!(error.to_string().lines().count(), 4);

    let types = from_text("auth = 'hunter2'\n[log]\nformat = 1\n\"two\\nlines\" = 1\n[redis]\nurl = 1")
        .unwrap_err()
        .to_string();
    let starts =
        ["auth: must be a table", "log.format: must be text", "log.two?lines: unknown key", "redis.url: must be text"];
    assert!(types.lines().zip(starts).all(|(line, start)| line.starts_with(start)), "{types}");
    assert_eq!(types.lines().count(), 4);

    let broken = from_text("[server]\nlisten = \"0.0.0.0:1\"\nsecret = 'hunter2\n").unwrap_err().to_string();
    assert!(broken.contains("is not TOML: line 3: ") && !broken.contains("hunter2"), "{broken}");

    let missing = Config::load(Some(Path::new("/nonexistent.toml")), []).unwrap_err().to_string();
    assert_eq!(missing, "cannot be read: entity not found (file /nonexistent.toml)");
}

#[test]
fn variables_of_others_are_not_looked_at() {
    let others = [("CONSCIOUSNESS_CONFIG", "x"), ("PATH", "x"), ("consciousness__heart__interval", "x")];
    let others = others.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(Config::load(None, others).unwrap(), Config::default());
}

#[test]
fn what_is_shown_reads_back_where_nothing_is_secret() {
    let config = from_env(&[("AUTH__AUDIENCE", "a,b"), ("HEART__INTERVAL", "1s 5ms")]).unwrap();
    assert_eq!(from_text(&config.to_toml()).unwrap(), config);
}

proptest! {
    #[test]
    fn no_error_quotes_a_value(value in "[A-Z]{12,40}", i in 0usize..100, in_file: bool) {
        let keys = keys_of(&Config::default().to_toml().parse().unwrap());
        let key = &keys[i % keys.len()];
        let (section, name) = key.split_once('.').unwrap();
        let result = if in_file {
            from_text(&format!("{section}.{name} = \"{value}\"\n{section}.x{name} = \"{value}\"\n"))
        } else {
            from_env(&[(&format!("{section}__{name}").to_uppercase(), &value), (&section.to_uppercase(), &value)])
        };
        let shown = result.unwrap_err();
        prop_assert!(!shown.to_string().contains(&value), "{}", shown);
        prop_assert!(shown.problems.iter().all(|problem| !problem.to_string().contains('\n')));
    }
}
