//! Insights, agents, loops, changes of level, and what could not be read.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::svg::At;
use super::text::{Clock, Escaped};
use crate::cli::analyze::report::{Rejected, Report};
use crate::cli::words::{evidence, grouped, lasted, millis, percent, remedy, spaced};
use crate::domain::AgentId;

/// Rows of a table of findings; of more, the number is told.
const ROWS: usize = 500;

fn more(page: &mut String, all: usize) {
    if let Some(more) = all.checked_sub(ROWS).filter(|more| *more > 0) {
        let _ = writeln!(
            page,
            "<p class=\"quiet\">… and {} more, in <code>analyze --json</code>.</p>",
            grouped(more as u64)
        );
    }
}

fn begin(page: &mut String, title: &str, heads: &[&str]) {
    let _ = write!(page, "<section>\n<h2>{title}</h2>\n<div class=\"wide\">\n<table>\n<thead><tr>");
    for head in heads {
        let (class, head) = match head.strip_prefix('#') {
            Some(head) => (" class=\"number\"", head),
            None => ("", *head),
        };
        let _ = write!(page, "<th{class}>{head}</th>");
    }
    page.push_str("</tr></thead>\n<tbody>\n");
}

fn end(page: &mut String, all: usize) {
    page.push_str("</tbody>\n</table>\n</div>\n");
    more(page, all);
    page.push_str("</section>\n");
}

/// The insights, by the time they opened.
pub fn insights(page: &mut String, report: &Report, clock: &Clock) {
    let all = &report.drawn.insights;
    if all.is_empty() {
        return;
    }
    begin(page, "Insights", &["", "insight", "agent", "from", "#lasted", "what was seen", "what to do"]);
    for told in all.iter().take(ROWS) {
        let (kind, severity) = (told.kind.as_str(), told.severity.as_str());
        let how_long = told.until.map_or_else(|| "to the end".to_owned(), |until| lasted(until.since(told.since)));
        let agent = told.agent.as_ref().map_or("the daemon", AgentId::as_str);
        let _ = writeln!(
            page,
            "<tr><td><span class=\"badge {severity}\">{severity}</span></td><td>{}</td><td class=\"name\">{}</td>\
             <td title=\"{}\" class=\"time\">{}</td><td class=\"number\">{}</td><td>{}</td><td class=\"quiet\">{}</td></tr>",
            Escaped(&spaced(kind)),
            Escaped(agent),
            told.since,
            Escaped(&clock.short(told.since)),
            Escaped(&how_long),
            Escaped(&evidence(kind, &told.evidence)),
            Escaped(remedy(kind)),
        );
    }
    end(page, all.len());
}

/// All agents: by name, those with insights first.
pub fn agents(page: &mut String, report: &Report) {
    let insights =
        |agent: &AgentId| report.drawn.insights.iter().filter(|told| told.agent.as_ref() == Some(agent)).count();
    let mut all: Vec<_> = report.agents.iter().map(|(agent, figures)| (agent, figures, insights(agent))).collect();
    all.sort_by_key(|(.., count)| *count == 0);
    let rows: Vec<_> = all.iter().map(|(_, figures, count)| cells(figures, *count)).collect();
    // A column in which nobody has anything is left out.
    let shown: Vec<usize> = (0..FIGURES.len()).filter(|i| rows.iter().any(|row| row[*i].is_some())).collect();
    let mut heads = vec!["agent", "status", "advice", "#observations", "activity"];
    heads.extend(shown.iter().map(|i| FIGURES[*i]));
    begin(page, "Agents", &heads);
    for ((agent, figures, _), cells) in all.iter().zip(&rows) {
        row(page, report, agent, figures);
        for i in &shown {
            let _ = write!(page, "<td class=\"number\">{}</td>", cells[*i].as_deref().unwrap_or_default());
        }
        page.push_str("</tr>\n");
    }
    end(page, 0);
}

/// Columns of the table of agents, where anybody has such a figure.
const FIGURES: [&str; 15] = [
    "#claims",
    "#Brier",
    "#ECE",
    "#bias",
    "#AUROC",
    "#M-ratio",
    "#failed",
    "#median",
    "#p95",
    "#p99",
    "#tokens",
    "#cost",
    "#done",
    "#loops",
    "#insights",
];

fn cells(figures: &Map<String, Value>, insights: usize) -> [Option<String>; FIGURES.len()] {
    let figure = |group: &str, name: &str| figures.get(group)?.get(name)?.as_f64();
    let fraction = |name: &str| figure("calibration", name).map(|value| format!("{value:.2}"));
    let count = |group: &str, name: &str| figures.get(group)?.get(name)?.as_u64();
    let time = |name: &str| figure("load", name).map(millis);
    let failed = count("load", "results").map(|results| {
        let failed = count("load", "failed").unwrap_or(0);
        format!("{} of {}", grouped(failed), grouped(results))
    });
    let tokens = match (count("load", "input_tokens"), count("load", "output_tokens")) {
        (None, None) => None,
        (input, output) => Some(grouped(input.unwrap_or(0) + output.unwrap_or(0))),
    };
    let loops = figures.get("stuck").and_then(Value::as_array).map_or(0, Vec::len);
    [
        count("calibration", "n").filter(|n| *n > 0).map(grouped),
        fraction("brier"),
        fraction("ece"),
        figure("calibration", "bias").map(|bias| format!("{bias:+.2}")),
        fraction("auroc2"),
        fraction("m_ratio"),
        failed,
        time("p50_ms"),
        time("p95_ms"),
        time("p99_ms"),
        tokens,
        figure("load", "cost").map(|cost| format!("{cost:.2}")),
        figure("progress", "fraction").map(percent),
        (loops > 0).then(|| grouped(loops as u64)),
        (insights > 0).then(|| grouped(insights as u64)),
    ]
}

fn row(page: &mut String, report: &Report, agent: &AgentId, figures: &Map<String, Value>) {
    let word = |name: &str| figures.get(name).and_then(Value::as_str).unwrap_or("–");
    let name = Escaped(agent.as_str());
    let linked = report.drawn.curves.contains_key(agent);
    let shown = if linked { format!("<a href=\"#calibration-{name}\">{name}</a>") } else { name.to_string() };
    let (status, advice) = (word("status"), word("advice"));
    let _ = write!(
        page,
        "<tr><td class=\"name\">{shown}</td><td><span class=\"word {0}\">{0}</span></td>\
         <td><span class=\"word {1}\">{1}</span></td><td class=\"number\">{2}</td><td>{3}</td>",
        Escaped(status),
        Escaped(advice),
        grouped(figures.get("observations").and_then(Value::as_u64).unwrap_or(0)),
        spark(report, agent),
    );
}

/// When the agent was active, over the recording's time.
fn spark(report: &Report, agent: &AgentId) -> String {
    let (Some((first, last)), Some(activity)) = (report.drawn.span, report.drawn.activity.get(agent)) else {
        return String::new();
    };
    let whole = last.since(first).as_secs_f64().max(1e-9);
    let most = activity.spans().map(|(.., count)| count).max().unwrap_or(1);
    let x = |at: crate::domain::Timestamp| 100.0 * (at.since(first).as_secs_f64() / whole).min(1.0);
    let mut bars = String::new();
    for (from, to, count) in activity.spans() {
        let tall = 18.0 * (f64::from(count) / f64::from(most)).sqrt();
        let (left, right) = (x(from).min(99.2), x(to));
        let _ = write!(bars, "M{} 20V{}H{}V20Z", At(left), At(20.0 - tall), At(right.max(left + 0.8)));
    }
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 100 20\" aria-hidden=\"true\"><path class=\"activity\" d=\"{bars}\"/></svg>"
    )
}

/// Every loop's first detection.
pub fn loops(page: &mut String, report: &Report) {
    let all: Vec<(&AgentId, &Map<String, Value>)> = report
        .agents
        .iter()
        .filter_map(|(agent, figures)| Some((agent, figures.get("stuck")?.as_array()?)))
        .flat_map(|(agent, loops)| loops.iter().filter_map(move |it| Some((agent, it.as_object()?))))
        .collect();
    if all.is_empty() {
        return;
    }
    begin(page, "Loops", &["agent", "session", "what was repeated", "#seen at observation"]);
    for (agent, it) in all.iter().take(ROWS) {
        let session = it.get("session").and_then(Value::as_str).unwrap_or("–");
        let observation = it.get("observation").and_then(Value::as_u64).unwrap_or(0);
        let _ = writeln!(
            page,
            "<tr><td class=\"name\">{}</td><td class=\"name\">{}</td><td>{}</td><td class=\"number\">{}</td></tr>",
            Escaped(agent.as_str()),
            Escaped(session),
            Escaped(&evidence("stuck", it)),
            grouped(observation)
        );
    }
    end(page, all.len());
}

/// Changes of level, by agent and series.
pub fn drift(page: &mut String, report: &Report) {
    let unit = |series: &str| match series {
        "confidence" => "claim",
        "accuracy" => "verdict",
        _ => "result",
    };
    let of = |(agent, figures): (_, &Map<String, Value>)| {
        let told = figures.get("drift").and_then(Value::as_object).cloned().unwrap_or_default();
        told.into_iter().filter_map(move |(series, at)| {
            let at = at.as_array().filter(|at| !at.is_empty())?.clone();
            Some((agent, series, at))
        })
    };
    let all: Vec<_> = report.agents.iter().flat_map(of).collect();
    if all.is_empty() {
        return;
    }
    begin(page, "Changes of level", &["agent", "series", "#changes", "noticed at (counted from 0)"]);
    for (agent, series, at) in all.iter().take(ROWS) {
        let mut places: Vec<_> = at.iter().filter_map(Value::as_u64).take(20).map(grouped).collect();
        if at.len() > places.len() {
            places.push("…".to_owned());
        }
        let agent: &AgentId = agent;
        let _ = writeln!(
            page,
            "<tr><td class=\"name\">{}</td><td>{}</td><td class=\"number\">{}</td><td>{} {}</td></tr>",
            Escaped(agent.as_str()),
            Escaped(series),
            at.len(),
            unit(series),
            Escaped(&places.join(", "))
        );
    }
    end(page, all.len());
}

/// Lines that could not be read.
pub fn rejected(page: &mut String, report: &Report) {
    if report.rejected.is_empty() {
        return;
    }
    begin(page, "Not readable", &["where", "why"]);
    for Rejected { file, line, error } in report.rejected.iter().take(ROWS) {
        let file = file.as_deref().map(|file| format!("{file}, ")).unwrap_or_default();
        let place = format!("{file}line {}", grouped(*line as u64));
        let _ = writeln!(page, "<tr><td>{}</td><td>{}</td></tr>", Escaped(&place), Escaped(error));
    }
    end(page, report.rejected.len());
}
