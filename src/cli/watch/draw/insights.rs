//! The open insights, with their evidence in words.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use serde_json::Map;

use super::agents::mark;
use super::{Scene, fitted, top_for, under};
use crate::cli::watch::board::{Focus, Open};
use crate::cli::watch::rows::weight;
use crate::cli::watch::theme::{Role, Theme};
use crate::cli::words;

/// Draws as many as fit.
pub fn draw(frame: &mut Frame<'_>, area: Rect, scene: &mut Scene<'_>) {
    let (theme, picture) = (scene.theme, scene.picture);
    let insights = scene.board.insights(picture);
    let bad = insights.iter().filter(|open| open.word("severity") == "critical").count();
    let mut heading = vec![
        Span::styled(" insights ", theme.style(Role::Head)),
        Span::styled(format!("{} open ", insights.len()), theme.style(Role::Quiet)),
    ];
    if bad > 0 {
        heading.push(Span::styled(format!(" {bad} critical "), theme.style(Role::Critical)));
    }
    let area = under(frame, area, Line::from(heading), theme);
    let page = usize::from(area.height);
    let cursor = scene.board.insight_cursor(&insights);
    let top = top_for(scene.board.tops.1, cursor, page, insights.len());
    let widest = |key: &str, most: usize| {
        let texts = insights.iter().map(|open| who(open, key).chars().count());
        texts.max().unwrap_or(0).min(most)
    };
    let widths = (widest("kind", 16), widest("agent", usize::from(area.width / 4)));
    let mut lines = Vec::new();
    for (i, open) in insights.iter().enumerate().skip(top).take(page) {
        let age = picture.age(open.word("since"));
        let under_cursor = i == cursor && scene.board.focus == Focus::Insights;
        lines.push(line(open, age, widths, usize::from(area.width), theme, under_cursor));
    }
    if insights.is_empty() && picture.is_known() {
        lines.push(Line::styled("   all is as expected", theme.style(Role::Quiet)));
    }
    frame.render_widget(Paragraph::new(lines), area);
    scene.board.tops.1 = top;
    if scene.board.focus == Focus::Insights {
        scene.board.page = page;
    }
}

/// A word of an insight for its column.
fn who(open: &Open<'_>, key: &str) -> String {
    match open.word(key) {
        "" => "the daemon".to_owned(),
        word if key == "kind" => words::spaced(word),
        word => word.to_owned(),
    }
}

fn line(
    open: &Open<'_>,
    age: Option<Duration>,
    (kind, agent): (usize, usize),
    width: usize,
    theme: Theme,
    under_cursor: bool,
) -> Line<'static> {
    let (mark, role) = mark(weight(open.word("severity")));
    let age = age.map(aged).unwrap_or_default();
    let rest = width.saturating_sub(mark.len() + kind + agent + 3 + 8);
    let spans = vec![
        Span::styled(format!("{mark} "), theme.style(role)),
        Span::styled(format!("{} ", fitted(&who(open, "kind"), kind)), theme.style(role)),
        Span::styled(format!("{} ", fitted(&who(open, "agent"), agent)), theme.style(Role::Strong)),
        Span::raw(fitted(&told(open), rest)),
        Span::styled(format!("{age:>8}"), theme.style(Role::Quiet)),
    ];
    if !under_cursor {
        return Line::from(spans);
    }
    let text: String = spans.iter().map(|span| span.content.as_ref()).collect();
    Line::styled(fitted(&text, width), theme.style(Role::Cursor))
}

/// An insight's evidence in words.
pub fn told(open: &Open<'_>) -> String {
    let none = Map::new();
    words::evidence(open.word("kind"), open.insight["evidence"].as_object().unwrap_or(&none))
}

/// An age in its largest unit: "12 s", "3 min".
fn aged(age: Duration) -> String {
    match age.as_secs() {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..172_800 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}
