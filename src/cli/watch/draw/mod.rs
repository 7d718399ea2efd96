//! From picture and board to the cells of a terminal.

mod agent;
mod agents;
mod help;
mod insights;
mod vitals;

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders};

use super::board::{Board, View};
use super::picture::Picture;
use super::theme::{Role, Theme};

/// How the stream is.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    /// A connection is being made.
    Connecting,
    /// Frames come; the last one so long ago.
    Live {
        /// How long ago.
        quiet: Duration,
        /// Whether that is longer than it should be.
        late: bool,
    },
    /// It was cut off; the next try is due in so long.
    Waiting {
        /// Why.
        why: String,
        /// How long.
        left: Duration,
    },
}

/// All that is drawn.
#[derive(Debug)]
pub struct Scene<'a> {
    /// What is known of the daemon.
    pub picture: &'a Picture,
    /// What the person sees and does.
    pub board: &'a mut Board,
    /// How the stream is.
    pub status: &'a Status,
    /// Host and port of the daemon.
    pub shown: &'a str,
    /// Something that the daemon said, while it is news.
    pub remark: Option<&'a str>,
    /// Colours or none.
    pub theme: Theme,
}

/// Draws the screen.
pub fn draw(frame: &mut Frame<'_>, scene: &mut Scene<'_>) {
    let area = frame.area();
    let vitals = if area.height >= 14 { 3 } else { 1 };
    let [bar, vital, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(vitals),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(top(scene, bar.width), bar);
    vitals::draw(frame, vital, scene);
    match scene.board.view.clone() {
        View::Help => help::draw(frame, body, scene.theme),
        View::Agent(agent, scrolled) => agent::draw(frame, body, scene, &agent, scrolled),
        View::Lists => lists(frame, body, scene),
    }
    frame.render_widget(bottom(scene), foot);
}

fn lists(frame: &mut Frame<'_>, area: Rect, scene: &mut Scene<'_>) {
    let open = scene.board.insights(scene.picture).len();
    // A third for insights, where there are so many.
    let most = usize::from(area.height / 3).max(3);
    let height = u16::try_from((open + 1).clamp(2, most)).unwrap_or(3);
    let [above, below] = Layout::vertical([Constraint::Min(2), Constraint::Length(height)]).areas(area);
    agents::draw(frame, above, scene);
    insights::draw(frame, below, scene);
}

fn top(scene: &Scene<'_>, width: u16) -> Line<'static> {
    let style = |role| scene.theme.style(role);
    let Scene { picture, board, status, shown, .. } = scene;
    let (mark, told) = match status {
        Status::Connecting => ('○', "connecting".to_owned()),
        Status::Live { quiet, late: true } => ('○', format!("nothing new for {} s", quiet.as_secs())),
        Status::Live { .. } if board.paused => ('‖', "paused".to_owned()),
        Status::Live { .. } => ('●', "live".to_owned()),
        Status::Waiting { left, .. } => ('○', format!("cut off, next try in {} s", left.as_secs_f64().ceil())),
    };
    let left = format!(" consciousness-system  {shown}");
    let position = picture.position;
    let live = matches!(status, Status::Live { late: false, .. });
    let beat = match live && picture.is_known() {
        true => format!("beat {}:{}  ", position.epoch, position.beat),
        false => String::new(),
    };
    let right = format!("{beat}{mark} {told} ");
    let gap = usize::from(width).saturating_sub(left.chars().count() + right.chars().count()).max(1);
    Line::from(vec![Span::raw(left), Span::raw(" ".repeat(gap)), Span::raw(right)]).style(style(Role::Bar))
}

fn bottom(scene: &Scene<'_>) -> Line<'static> {
    let style = |role| scene.theme.style(role);
    let Scene { board, status, remark, .. } = scene;
    if board.typing {
        let hint = Span::styled("   Enter keeps it, Esc clears it", style(Role::Quiet));
        return Line::from(vec![Span::raw(format!(" filter: {}█", board.filter)), hint]);
    }
    if let Status::Waiting { why, .. } = status {
        return Line::styled(format!(" {why}"), style(Role::Warning));
    }
    if let Some(remark) = remark {
        return Line::styled(format!(" {remark}"), style(Role::Warning));
    }
    let keys: &[(&str, &str)] = match board.view {
        View::Lists => &[
            ("?", "help"),
            ("/", "filter"),
            ("s", "sort"),
            ("Tab", "insights"),
            ("Enter", "detail"),
            ("Space", "pause"),
            ("q", "quit"),
        ],
        View::Agent(..) => &[("Esc", "back"), ("↑↓", "scroll"), ("?", "help"), ("q", "quit")],
        View::Help => &[("Esc", "back"), ("q", "quit")],
    };
    let shown = keys.iter().flat_map(|(key, does)| {
        [Span::styled(format!(" {key} "), style(Role::Strong)), Span::styled(format!("{does} "), style(Role::Quiet))]
    });
    Line::from_iter(shown)
}

/// A part of the screen under a heading; returns what is left for its content.
fn under(frame: &mut Frame<'_>, area: Rect, heading: Line<'static>, theme: Theme) -> Rect {
    let block = Block::new().borders(Borders::TOP).border_style(theme.style(Role::Quiet)).title(heading);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    inner
}

/// Blocks of height for numbers, the largest the highest unless it is less than `least`; a blank for zero.
fn spark(values: impl Iterator<Item = f64> + Clone, least: f64) -> String {
    let largest = values.clone().fold(least, f64::max);
    let block = |value: f64| match value {
        value if value <= 0.0 || largest <= 0.0 => ' ',
        value => ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][((value / largest * 8.0).ceil() as usize).clamp(1, 8) - 1],
    };
    values.map(block).collect()
}

/// A text in so many cells: cut off with an ellipsis, or filled up.
fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return format!("{text:<width$}");
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    if width == 0 { kept } else { format!("{kept}…") }
}

/// The first line of a list on the screen, so that the cursor is on it and no line is moved without need.
fn top_for(top: usize, cursor: usize, page: usize, count: usize) -> usize {
    let top = top.min(cursor).max((cursor + 1).saturating_sub(page));
    top.min(count.saturating_sub(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparks_and_texts_fit() {
        assert_eq!(spark([0.0, 1.0, 4.0, 8.0].into_iter(), 0.0), " ▁▄█");
        assert_eq!(spark([0.0, 0.0].into_iter(), 0.0), "  ");
        assert_eq!(spark([0.1, 0.3].into_iter(), 8.0), "▁▁");
        assert_eq!(
            (fitted("abc", 5), fitted("abcdef", 4), fitted("a", 0)),
            ("abc  ".into(), "abc…".into(), String::new())
        );
    }

    #[test]
    fn the_cursor_stays_on_the_screen() {
        assert_eq!(top_for(0, 3, 10, 50), 0);
        assert_eq!(top_for(0, 12, 10, 50), 3);
        assert_eq!(top_for(20, 12, 10, 50), 12);
        assert_eq!(top_for(45, 49, 10, 50), 40);
        assert_eq!(top_for(3, 0, 10, 2), 0);
    }
}
