//! The Grafana dashboard asks for what there is: every query of it is put to a Prometheus that scrapes a live daemon.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Daemon, Redis, connect, eventually, free_port, project, token, within};

const DASHBOARD: &str = "deploy/grafana/dashboards/consciousness-system.json";

/// A query: the panel that asks it, and what it asks with the dashboard's variables filled in.
#[derive(Debug)]
struct Query {
    panel: String,
    expr: String,
}

fn dashboard() -> Value {
    let text = std::fs::read_to_string(project(DASHBOARD)).expect("the dashboard is there");
    serde_json::from_str(&text).expect("it is JSON")
}

fn queries(dashboard: &Value) -> Vec<Query> {
    let mut queries = Vec::new();
    let mut add = |panel: &Value, expr: &Value| {
        let mut expr = expr.as_str().expect("a query").to_owned();
        for (variable, value) in [
            ("$job", ".+"),
            ("$instance", ".+"),
            ("$__rate_interval", "20s"),
            ("$__range", "1m"),
            ("30d:30m", "1m:1s"),
            (":1m]", ":1s]"),
        ] {
            expr = expr.replace(variable, value);
        }
        assert!(!expr.contains('$'), "{expr}: an unknown variable");
        queries.push(Query { panel: panel.as_str().expect("a title").to_owned(), expr });
    };
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            add(&panel["title"], &target["expr"]);
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        if annotation["expr"].is_string() {
            add(&annotation["name"], &annotation["expr"]);
        }
    }
    assert!(queries.len() > 40, "{}", queries.len());
    queries
}

/// The names of the series that a query selects: each has its matchers behind it.
fn selected(expr: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let before = expr.match_indices('{').map(|(at, _)| expr[..at].rsplit(|c| !is_name(c)).next().unwrap().to_owned());
    let names: BTreeSet<String> = before.collect();
    assert!(!names.is_empty() && !names.contains(""), "{expr}: what does it select?");
    names
}

#[test]
fn panels_are_complete_and_do_not_lie_on_each_other() {
    let dashboard = dashboard();
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id is another's, too");
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        assert!(at("x") + at("w") <= 24, "{title}");
        for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(taken.insert((x, y)), "{title} lies on another panel");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 15), "{title} is not explained");
        let mut letters = BTreeSet::new();
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            assert!(letters.insert(target["refId"].as_str().unwrap().to_owned()), "{title}");
            // All of them heed the variables.
            let expr = target["expr"].as_str().unwrap();
            let filtered = r#"job=~"$job", instance=~"$instance""#;
            assert_eq!(expr.matches('{').count(), expr.matches(filtered).count(), "{title}: {expr}");
        }
    }
    for wanted in [
        "Error budget: continuity",
        "Analysis latency",
        "Skew",
        "Drops against traffic",
        "Connections by pod",
        "Breakers",
        "Leader changes",
        "Observations",
        "Open insights by kind",
        "Age of keys",
    ] {
        assert!(dashboard["panels"].as_array().unwrap().iter().any(|panel| panel["title"] == wanted), "{wanted}");
    }
}

/// Prometheus' own tool reads every query.
#[tokio::test]
async fn promtool_reads_every_query() {
    let rules: Vec<_> = queries(&dashboard())
        .iter()
        .enumerate()
        .map(|(i, query)| json!({"record": format!("panel:{i}"), "expr": query.expr}))
        .collect();
    let file = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
    // JSON is YAML.
    std::fs::write(file.path(), json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string()).unwrap();
    let mut promtool = Command::new("promtool");
    let output =
        within("promtool", promtool.args(["check", "rules"]).arg(file.path()).output()).await.expect("promtool runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn every_panel_shows_something_of_a_live_daemon() {
    let redis = Redis::start().await;
    let daemon = Daemon::start(&[("redis__url", &redis.url()), ("stream__ping_interval", "10m")]).await;
    let queries = queries(&dashboard());
    let text = daemon.metrics().await;
    let exported: BTreeSet<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect();
    for query in &queries {
        for name in selected(&query.expr) {
            assert!(exported.contains(name.as_str()), "{}: {name} is not exported", query.panel);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _prometheus = prometheus(folder.path(), port, &daemon);
    let _stream = connect(&daemon, &token("dashboard", "metacog.stream")).await;
    let http = &daemon.http;
    for query in &queries {
        // Something happens all the time, so that what only shows rises does.
        eventually(&format!("{}: {}", query.panel, query.expr), || async {
            happen(&daemon).await;
            let url = format!("http://127.0.0.1:{port}/api/v1/query");
            let url = reqwest::Url::parse_with_params(&url, [("query", &query.expr)]).unwrap();
            let answer = http.get(url).send().await.ok()?;
            let answer: Value = answer.json().await.ok()?;
            assert_ne!(answer["status"], "error", "{query:?}: {answer}");
            // Restarts are the one thing that there is none of.
            let shown = answer["data"]["result"].as_array().is_some_and(|series| !series.is_empty());
            (shown || (query.panel == "Restarts" && answer["status"] == "success")).then_some(())
        })
        .await;
    }
}

/// Something of each kind that is counted.
async fn happen(daemon: &Daemon) {
    let step =
        |n: usize| json!({"agent": "a", "kind": "message", "role": "agent", "text": "same", "session": "s", "x": n});
    let mut some: Vec<Value> = (0..4).map(step).collect();
    some.push(json!({"agent": "a", "kind": "nonsense"}));
    daemon.observe(&Value::Array(some)).await;
    daemon.get("/v1/state").await;
    daemon.get_as("metrics.read", "/v1/state").await;
}

/// A Prometheus that scrapes the daemon, ended with the test.
fn prometheus(folder: &Path, port: u16, daemon: &Daemon) -> tokio::process::Child {
    let secret = folder.join("token");
    std::fs::write(&secret, token("prometheus", "metrics.read")).unwrap();
    let config = json!({"global": {"scrape_interval": "1s"}, "scrape_configs": [{
        "job_name": "consciousness-system",
        "authorization": {"credentials_file": secret},
        "static_configs": [{"targets": [daemon.address.to_string()]}],
    }]});
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("prometheus runs")
}
