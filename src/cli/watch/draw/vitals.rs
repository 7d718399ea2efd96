//! The daemon itself: heart, analysis, store, leader.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{Scene, spark};
use crate::cli::watch::theme::{Role, Theme};
use crate::cli::words::{grouped, millis, percent, spaced};

/// Draws one line for each, or the heart alone where there is no room.
pub fn draw(frame: &mut Frame<'_>, area: Rect, scene: &Scene<'_>) {
    let lines = if scene.picture.is_known() {
        vec![heart(scene), analysis(scene), store(scene)]
    } else {
        vec![Line::styled(" waiting for the first frame", scene.theme.style(Role::Quiet))]
    };
    frame.render_widget(Paragraph::new(lines), area);
}

/// A line of figures: texts, each with its role.
struct Figures(Theme, Vec<Span<'static>>);

impl Figures {
    fn of(theme: Theme, name: &str) -> Self {
        Self(theme, vec![Span::styled(format!(" {name:<9}"), theme.style(Role::Head))])
    }

    fn add(mut self, role: Role, figure: Option<String>, unit: &str) -> Self {
        if let Some(figure) = figure {
            let space = if unit.is_empty() { "   " } else { " " };
            self.1.push(Span::styled(format!("{figure}{space}"), self.0.style(role)));
            if !unit.is_empty() {
                self.1.push(Span::styled(format!("{unit}   "), self.0.style(Role::Quiet)));
            }
        }
        self
    }

    fn line(self) -> Line<'static> {
        Line::from(self.1)
    }
}

fn when(bad: bool, role: Role) -> Role {
    if bad { role } else { Role::Strong }
}

fn whole(figure: Option<f64>) -> Option<String> {
    figure.map(|figure| grouped(figure.max(0.0) as u64))
}

fn heart(scene: &Scene<'_>) -> Line<'static> {
    let figure = |name: &str| scene.picture.figure(&format!("/heart/{name}"));
    let (interval, skew, continuity) = (figure("interval_ms"), figure("skew_ms"), figure("continuity"));
    let late = skew.zip(interval).is_some_and(|(skew, interval)| skew > interval);
    let skews = scene.picture.skews();
    // What is small beside the interval is noise.
    let notable = interval.unwrap_or(0.0) / 10.0;
    let skip = skews.len().saturating_sub(10);
    Figures::of(scene.theme, "heart")
        .add(Role::Strong, continuity.map(percent), "on time")
        .add(when(late, Role::Warning), skew.map(millis), &format!("late {}", spark(skews.skip(skip), notable)))
        .add(Role::Strong, whole(figure("missed")), "missed")
        .add(Role::Quiet, interval.map(|ms| format!("every {ms} ms")), "")
        .line()
}

fn analysis(scene: &Scene<'_>) -> Line<'static> {
    let figure = |name: &str| scene.picture.figure(&format!("/analysis/{name}"));
    let p95 = figure("p95_ms");
    let rate = figure("per_second").map(|rate| if rate < 10.0 { format!("{rate:.1}") } else { grouped(rate as u64) });
    Figures::of(scene.theme, "analysis")
        .add(Role::Strong, rate, "observations/s")
        .add(Role::Strong, whole(figure("observations")), "in all")
        .add(Role::Strong, figure("p50_ms").map(millis), "median")
        .add(when(p95.is_some_and(|ms| ms >= 500.0), Role::Critical), p95.map(millis), "p95")
        .line()
}

fn store(scene: &Scene<'_>) -> Line<'static> {
    let word = |path: &str| scene.picture.word(path).map(spaced);
    let breaker = word("/store/breaker");
    let open = breaker.as_deref().is_some_and(|breaker| breaker != "closed");
    // Without a store, nothing is behind it.
    let stored = open || scene.picture.word("/store/mode") != Some("memory");
    let lag = scene.picture.figure("/store/lag_beats").filter(|lag| *lag > 0.0 && stored);
    let cluster = word("/cluster/status");
    let mut figures = Figures::of(scene.theme, "store")
        .add(when(open, Role::Warning), word("/store/mode"), "")
        .add(Role::Warning, breaker.filter(|_| open), "breaker")
        .add(Role::Quiet, (!stored).then(|| "nothing outlives the daemon".to_owned()), "")
        .add(when(lag.is_some_and(|lag| lag > 50.0), Role::Warning), whole(lag), "beats behind");
    if let Some(status) = cluster {
        let role = if status == "degraded" { Role::Warning } else { Role::Good };
        figures.1.push(Span::styled("cluster  ", scene.theme.style(Role::Head)));
        figures = figures.add(role, Some(status), "").add(Role::Strong, word_as_is(scene, "/cluster/leader"), "leads");
    }
    figures.line()
}

fn word_as_is(scene: &Scene<'_>, path: &str) -> Option<String> {
    scene.picture.word(path).map(str::to_owned)
}
