//! One agent in detail.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};
use serde_json::Value;

use super::agents::mark;
use super::insights::told;
use super::{Scene, spark, under};
use crate::cli::watch::board::Open;
use crate::cli::watch::picture::Picture;
use crate::cli::watch::rows::weight;
use crate::cli::watch::theme::{Role, Theme};
use crate::cli::words::{grouped, lasted, millis, percent, remedy, spaced};

/// How a figure is shown.
#[derive(Clone, Copy)]
enum Shape {
    Count,
    Fraction,
    Signed,
    Share,
    Millis,
    Seconds,
    Measure,
}

type Figure = (&'static str, &'static str, Shape);

const CALIBRATION: [Figure; 8] = [
    ("n", "claims in the window", Shape::Count),
    ("brier", "Brier score", Shape::Fraction),
    ("ece", "calibration error (ECE)", Shape::Fraction),
    ("bias", "bias", Shape::Signed),
    ("auroc2", "type-2 AUROC", Shape::Fraction),
    ("d", "d′", Shape::Fraction),
    ("meta_d", "meta-d′", Shape::Fraction),
    ("m_ratio", "M-ratio", Shape::Fraction),
];
const DRIFT: [Figure; 5] = [
    ("confidence", "confidence", Shape::Fraction),
    ("accuracy", "share right", Shape::Share),
    ("latency_ms", "latency", Shape::Millis),
    ("errors", "share failed", Shape::Share),
    ("detections", "changes of level", Shape::Count),
];
const LOAD: [Figure; 12] = [
    ("results", "results", Shape::Count),
    ("failed", "failed", Shape::Count),
    ("in_a_row", "failures in a row", Shape::Count),
    ("p50_ms", "latency, median", Shape::Millis),
    ("p95_ms", "latency, p95", Shape::Millis),
    ("p99_ms", "latency, p99", Shape::Millis),
    ("tokens_per_minute", "tokens a minute", Shape::Count),
    ("input_tokens", "tokens in", Shape::Count),
    ("output_tokens", "tokens out", Shape::Count),
    ("context_fill", "context in use", Shape::Share),
    ("cost", "cost", Shape::Measure),
    ("cost_per_hour", "cost an hour", Shape::Measure),
];
const PROGRESS: [Figure; 5] = [
    ("done", "done", Shape::Measure),
    ("total", "of", Shape::Measure),
    ("fraction", "share done", Shape::Share),
    ("per_minute", "a minute", Shape::Measure),
    ("eta_s", "to go", Shape::Seconds),
];

/// Draws the agent, scrolled by so many lines.
pub fn draw(frame: &mut Frame<'_>, area: Rect, scene: &Scene<'_>, name: &str, scrolled: u16) {
    let theme = scene.theme;
    let heading = Line::from(vec![Span::styled(format!(" {name} "), theme.style(Role::Head))]);
    let area = under(frame, area, heading, theme);
    let Some(agent) = scene.picture.agent(name) else {
        let gone = "   this agent is not in the state, or not any more";
        return frame.render_widget(Paragraph::new(gone).style(theme.style(Role::Quiet)), area);
    };
    let mut lines = vec![summary(name, agent, scene.picture, theme), Line::default()];
    let its = scene.picture.insights().map(|(id, insight)| Open { id, insight });
    let mut any = false;
    for open in its.filter(|open| open.word("agent") == name) {
        any = true;
        lines.extend(insight(&open, scene.picture.age(open.word("since")), theme));
    }
    if any {
        lines.push(Line::default());
    }
    lines.extend(figures(agent, usize::from(area.width), theme));
    let longest = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let scrolled = scrolled.min(longest.saturating_sub(area.height));
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).scroll((scrolled, 0)), area);
}

fn summary(name: &str, agent: &Value, picture: &Picture, theme: Theme) -> Line<'static> {
    let word = |key: &str| agent[key].as_str().unwrap_or("-").to_owned();
    let counts = picture.activity(name, Picture::BUCKETS).into_iter().map(f64::from);
    let quiet = theme.style(Role::Quiet);
    Line::from(vec![
        Span::styled(format!("   {}", word("status")), theme.style(Theme::role(&word("status")))),
        Span::styled("   advice ", quiet),
        Span::styled(word("advice"), theme.style(Theme::role(&word("advice")))),
        Span::styled(format!("   {}", grouped(agent["observations"].as_u64().unwrap_or(0))), theme.style(Role::Strong)),
        Span::styled(" observations   ", quiet),
        Span::raw(format!("{:.1}/s ", picture.rate(name))),
        Span::styled(spark(counts, 0.0).trim_start().to_owned(), quiet),
    ])
}

fn insight(open: &Open<'_>, age: Option<Duration>, theme: Theme) -> [Line<'static>; 2] {
    let (mark, role) = mark(weight(open.word("severity")));
    let age = age.map(|age| format!(" for {}", lasted(age))).unwrap_or_default();
    let head = Span::styled(format!("{mark} {}", spaced(open.word("kind"))), theme.style(role));
    let evidence = Span::raw(format!("{age}: {}", told(open)));
    let todo = Span::styled(format!("   {}", remedy(open.word("kind"))), theme.style(Role::Quiet));
    [Line::from(vec![head, evidence]), Line::from(todo)]
}

/// The groups of figures, in two columns where there is room for them.
fn figures(agent: &Value, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut left = group(agent, "calibration", &CALIBRATION, theme);
    left.extend(looped(agent, theme));
    left.extend(group(agent, "drift", &DRIFT, theme));
    let mut right = group(agent, "load", &LOAD, theme);
    right.extend(group(agent, "progress", &PROGRESS, theme));
    if width < 76 {
        left.append(&mut right);
        return left;
    }
    let half = width / 2;
    let rows = left.len().max(right.len());
    let (mut left, mut right) = (left.into_iter(), right.into_iter());
    let join = |_| {
        let mut line = left.next().unwrap_or_default();
        let gap = half.saturating_sub(line.width());
        line.push_span(Span::raw(" ".repeat(gap)));
        line.spans.extend(right.next().unwrap_or_default().spans);
        line
    };
    (0..rows).map(join).collect()
}

fn group(agent: &Value, name: &str, known: &[Figure], theme: Theme) -> Vec<Line<'static>> {
    let Some(told) = agent[name].as_object().filter(|told| !told.is_empty()) else { return Vec::new() };
    let mut lines = vec![Line::styled(format!("   {name}"), theme.style(Role::Head))];
    let line = |label: &str, value: String| {
        Line::from(vec![
            Span::styled(format!("   {label:<24}"), theme.style(Role::Quiet)),
            Span::raw(format!("{value:>10}")),
        ])
    };
    let figures = known.iter().filter_map(|(key, label, shape)| Some((label, *shape, told.get(*key)?.as_f64()?)));
    lines.extend(figures.map(|(label, shape, figure)| line(label, shown(figure, shape))));
    // What a newer daemon tells.
    let unknown = told.iter().filter(|(key, _)| known.iter().all(|(known, ..)| known != key));
    lines.extend(unknown.map(|(key, value)| line(&spaced(key), value.to_string())));
    lines.push(Line::default());
    lines
}

fn looped(agent: &Value, theme: Theme) -> Vec<Line<'static>> {
    let Some(pattern) = agent["loop"]["pattern"].as_str() else { return Vec::new() };
    let repeats = agent["loop"]["repeats"].as_u64().unwrap_or(0);
    vec![
        Line::styled("   loop", theme.style(Role::Head)),
        Line::styled(format!("   {} ×{repeats}", spaced(pattern)), theme.style(Role::Critical)),
        Line::default(),
    ]
}

fn shown(figure: f64, shape: Shape) -> String {
    match shape {
        Shape::Count => grouped(figure.max(0.0).round() as u64),
        Shape::Fraction => format!("{figure:.3}"),
        Shape::Signed => format!("{figure:+.3}"),
        Shape::Share => percent(figure),
        Shape::Millis => millis(figure),
        Shape::Seconds => lasted(Duration::try_from_secs_f64(figure).unwrap_or_default()),
        Shape::Measure => format!("{}", (figure * 100.0).round() / 100.0),
    }
}
