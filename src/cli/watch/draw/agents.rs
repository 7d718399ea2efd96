//! The table of agents.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{Scene, Status, fitted, spark, top_for, under};
use crate::cli::watch::board::Focus;
use crate::cli::watch::picture::Picture;
use crate::cli::watch::rows::{Row, Sort};
use crate::cli::watch::theme::{Role, Theme};
use crate::cli::words::{grouped, millis};

/// A column: its heading, its width, the width of the terminal from which on it is shown, and its cells.
struct Column {
    title: &'static str,
    width: usize,
    from: u16,
    /// By what the agents are sorted when the column says so.
    sort: Option<Sort>,
    left: bool,
    cell: fn(&Row<'_>, &Picture) -> (String, Role),
}

const fn right(
    title: &'static str,
    width: usize,
    from: u16,
    sort: Option<Sort>,
    cell: fn(&Row<'_>, &Picture) -> (String, Role),
) -> Column {
    Column { title, width, from, sort, left: false, cell }
}

const COLUMNS: [Column; 15] = [
    Column {
        title: "status",
        width: 11,
        from: 0,
        sort: Some(Sort::Urgency),
        left: true,
        cell: |row, _| word(row, "/status"),
    },
    Column { title: "advice", width: 8, from: 56, sort: None, left: true, cell: |row, _| word(row, "/advice") },
    right("observed", 9, 46, Some(Sort::Observations), |row, _| count(row.figure("/observations"))),
    Column {
        title: "activity",
        width: 8,
        from: 66,
        sort: Some(Sort::Activity),
        left: true,
        cell: |row, picture| {
            let counts = picture.activity(row.name, 8);
            (spark(counts.into_iter().map(f64::from), 0.0), Role::Quiet)
        },
    },
    right("claims", 6, 96, None, |row, _| count(row.figure("/calibration/n"))),
    right("brier", 5, 104, None, |row, _| fraction(row.figure("/calibration/brier"))),
    right("bias", 5, 74, Some(Sort::Bias), |row, _| {
        let bias = row.figure("/calibration/bias");
        let role = if bias.is_some_and(|bias| bias.abs() >= 0.1) { Role::Warning } else { Role::Strong };
        (bias.map(|bias| format!("{bias:+.2}")).unwrap_or_default(), role)
    }),
    right("auroc2", 6, 80, Some(Sort::Auroc2), |row, _| fraction(row.figure("/calibration/auroc2"))),
    right("m-ratio", 7, 112, None, |row, _| fraction(row.figure("/calibration/m_ratio"))),
    right("p95", 7, 80, Some(Sort::Latency), |row, _| {
        (row.figure("/load/p95_ms").map(millis).unwrap_or_default(), Role::Strong)
    }),
    right("failed", 6, 120, None, |row, _| count(row.figure("/load/failed"))),
    right("tokens/min", 10, 132, None, |row, _| count(row.figure("/load/tokens_per_minute"))),
    right("context", 7, 140, None, |row, _| share(row.figure("/load/context_fill"))),
    right("done", 5, 146, None, |row, _| share(row.figure("/progress/fraction"))),
    Column {
        title: "loop",
        width: 24,
        from: 176,
        sort: None,
        left: true,
        cell: |row, _| {
            let repeats = row.figure("/loop/repeats").map(|repeats| format!(" ×{repeats}")).unwrap_or_default();
            let pattern = row.word("/loop/pattern").map(|pattern| pattern.replace('_', " "));
            (pattern.map(|pattern| pattern + &repeats).unwrap_or_default(), Role::Warning)
        },
    },
];

fn word(row: &Row<'_>, path: &str) -> (String, Role) {
    let word = row.word(path).unwrap_or_default();
    (word.to_owned(), if word == "continue" { Role::Quiet } else { Theme::role(word) })
}

fn count(figure: Option<f64>) -> (String, Role) {
    (figure.map(|figure| grouped(figure.max(0.0) as u64)).unwrap_or_default(), Role::Strong)
}

fn fraction(figure: Option<f64>) -> (String, Role) {
    (figure.map(|figure| format!("{figure:.2}")).unwrap_or_default(), Role::Strong)
}

fn share(figure: Option<f64>) -> (String, Role) {
    (figure.map(|figure| format!("{:.0} %", figure * 100.0)).unwrap_or_default(), Role::Strong)
}

/// Draws heading, titles and as many agents as fit.
pub fn draw(frame: &mut Frame<'_>, area: Rect, scene: &mut Scene<'_>) {
    let (theme, picture) = (scene.theme, scene.picture);
    let rows = scene.board.rows(picture);
    let area = under(frame, area, heading(scene, rows.len()), theme);
    let page = usize::from(area.height.saturating_sub(1));
    let cursor = scene.board.agent_cursor(&rows);
    let top = top_for(scene.board.tops.0, cursor, page, rows.len());
    let columns: Vec<&Column> = COLUMNS.iter().filter(|column| area.width >= column.from).collect();
    let taken: usize = columns.iter().map(|column| column.width + 1).sum();
    let longest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let name = usize::from(area.width).saturating_sub(taken + 4).clamp(8, longest.clamp(12, 48));
    let mut lines = vec![titles(&columns, name, scene)];
    for (i, row) in rows.iter().enumerate().skip(top).take(page) {
        let under_cursor = i == cursor && scene.board.focus == Focus::Agents;
        lines.push(line(row, &columns, name, picture, theme, under_cursor, area.width));
    }
    if rows.is_empty() {
        let why = match (&scene.status, picture.is_known(), scene.board.filter.is_empty()) {
            (Status::Connecting | Status::Waiting { .. }, false, _) | (_, false, _) => "",
            (_, true, true) => "   no agent has sent anything yet",
            (_, true, false) => "   no agent passes the filter; Esc clears it",
        };
        lines.push(Line::styled(why, theme.style(Role::Quiet)));
    }
    frame.render_widget(Paragraph::new(lines), area);
    scene.board.tops.0 = top;
    if scene.board.focus == Focus::Agents {
        scene.board.page = page;
    }
}

fn heading(scene: &Scene<'_>, shown: usize) -> Line<'static> {
    let all = scene.picture.agents().count();
    let board = &scene.board;
    let count = if shown == all { grouped(all as u64) } else { format!("{shown} of {}", grouped(all as u64)) };
    let order = if board.reversed { ", reversed" } else { "" };
    let mut spans = vec![
        Span::styled(" agents ", scene.theme.style(Role::Head)),
        Span::styled(format!("{count} by {}{order} ", board.sort.name()), scene.theme.style(Role::Quiet)),
    ];
    if !board.filter.is_empty() && !board.typing {
        spans.push(Span::styled(format!(" filter: {} ", board.filter), scene.theme.style(Role::Warning)));
    }
    Line::from(spans)
}

fn titles(columns: &[&Column], name: usize, scene: &Scene<'_>) -> Line<'static> {
    let title = |text: &str, width: usize, left: bool, sorted: bool| {
        let text = if left { format!("{text:<width$} ") } else { format!("{text:>width$} ") };
        let style = scene.theme.style(Role::Quiet);
        Span::styled(text, if sorted { style.add_modifier(ratatui::style::Modifier::UNDERLINED) } else { style })
    };
    let sort = scene.board.sort;
    let mut spans = vec![title("", 2, true, false), title("name", name, true, sort == Sort::Name)];
    spans.extend(columns.iter().map(|it| title(it.title, it.width, it.left, it.sort == Some(sort))));
    Line::from(spans)
}

fn line(
    row: &Row<'_>,
    columns: &[&Column],
    name: usize,
    picture: &Picture,
    theme: Theme,
    under_cursor: bool,
    width: u16,
) -> Line<'static> {
    let (mark, role) = mark(row.severity);
    let mut spans = vec![
        Span::styled(format!("{mark} "), theme.style(role)),
        Span::styled(format!("{} ", fitted(row.name, name)), theme.style(Role::Strong)),
    ];
    for column in columns {
        let (text, role) = (column.cell)(row, picture);
        let text = fitted(&text, column.width.max(text.chars().count().min(column.width)));
        let text = if column.left { text } else { format!("{:>1$}", text.trim_end(), column.width) };
        spans.push(Span::styled(format!("{text} "), theme.style(role)));
    }
    if !under_cursor {
        return Line::from(spans);
    }
    // One style for all of it, so that the bar has no holes.
    let text: String = spans.iter().map(|span| span.content.as_ref()).collect();
    Line::styled(fitted(&text, usize::from(width)), theme.style(Role::Cursor))
}

/// How bad it is, to be seen without colours, too.
pub fn mark(severity: u8) -> (&'static str, Role) {
    match severity {
        3 => ("!!", Role::Critical),
        2 => (" !", Role::Warning),
        1 => (" ·", Role::Quiet),
        _ => ("  ", Role::Quiet),
    }
}
