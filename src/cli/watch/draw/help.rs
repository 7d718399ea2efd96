//! The keys, and what the columns mean.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::under;
use crate::cli::watch::theme::{Role, Theme};

const KEYS: [(&str, &str); 9] = [
    ("↑ ↓  j k  PgUp PgDn  g G", "move"),
    ("Tab", "from agents to insights and back"),
    ("Enter", "one agent in detail; Esc goes back"),
    ("/", "filter by name, status, advice; plan-* by name"),
    ("s  S", "sort by the next, the previous column"),
    ("r", "turn the order round"),
    ("Space", "hold the picture still; the stream goes on"),
    ("Esc", "back; in the lists: clear the filter"),
    ("q", "quit"),
];

const COLUMNS: [(&str, &str); 8] = [
    ("!!  !", "the worst open insight is critical, a warning"),
    ("advice", "what an agent that asks is told: continue, verify, escalate, stop"),
    ("activity", "observations in the last 40 s, 5 s each"),
    ("bias", "mean confidence less share right: above 0 it is surer than right"),
    ("auroc2", "how well confidence tells right from wrong: 0.5 not at all, 1 wholly"),
    ("m-ratio", "how much of what it knows its confidence shows: 1 is all"),
    ("p95", "one call in twenty takes longer"),
    ("on time", "beats on time among beats due; the objective is 99.9 %"),
];

/// Draws the help.
pub fn draw(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let heading = Line::styled(" help ", theme.style(Role::Head));
    let area = under(frame, area, heading, theme);
    let pair = |width: usize, (name, means): &(&str, &'static str)| {
        Line::from(vec![Span::styled(format!("  {name:<width$}  "), theme.style(Role::Strong)), Span::raw(*means)])
    };
    let mut lines: Vec<Line<'_>> = KEYS.iter().map(|entry| pair(24, entry)).collect();
    lines.push(Line::default());
    lines.extend(COLUMNS.iter().map(|entry| pair(8, entry)));
    frame.render_widget(Paragraph::new(lines), area);
}
