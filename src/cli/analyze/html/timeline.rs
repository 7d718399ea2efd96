//! When insights were open: a lane for each agent, over its activity.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::svg::At;
use super::text::{Clock, Escaped};
use crate::cli::analyze::report::{Report, Told};
use crate::cli::words::{evidence, grouped, lasted, spaced};
use crate::domain::{AgentId, Severity, Timestamp};

/// Lanes that are drawn; of more, the number is told.
const LANES: usize = 60;
const WIDTH: f64 = 1000.0;
const GUTTER: f64 = 170.0;
const ROW: f64 = 17.0;
const AXIS: f64 = 24.0;

/// From times to places.
struct Scale<'a>(&'a Clock);

impl Scale<'_> {
    fn x(&self, at: Timestamp) -> f64 {
        let whole = self.0.end().since(self.0.start()).as_secs_f64();
        let share = if whole > 0.0 { at.since(self.0.start()).as_secs_f64() / whole } else { 0.0 };
        GUTTER + (WIDTH - GUTTER - 8.0) * share.clamp(0.0, 1.0)
    }
}

/// Writes the section; nothing when no insight was opened.
pub fn write(page: &mut String, report: &Report, clock: &Clock) {
    let mut lanes: BTreeMap<&AgentId, Vec<&Told>> = BTreeMap::new();
    for told in &report.drawn.insights {
        if let Some(agent) = &told.agent {
            lanes.entry(agent).or_default().push(told);
        }
    }
    if lanes.is_empty() {
        return;
    }
    // The worst first.
    let mut ordered: Vec<_> = lanes.into_iter().collect();
    ordered.sort_by_key(|(_, insights)| std::cmp::Reverse(insights.iter().map(|told| told.severity).max()));
    let hidden = ordered.len().saturating_sub(LANES);
    ordered.truncate(LANES);
    let (mut drawn, mut y) = (String::new(), AXIS);
    for (agent, insights) in &ordered {
        y += lane(&mut drawn, report, clock, agent, insights, y);
    }
    page.push_str("<section>\n<h2>Timeline of insights</h2>\n<div class=\"wide\">\n");
    let _ = write!(
        page,
        "<svg class=\"timeline\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"Timeline of insights by agent\">",
        At(y + 2.0)
    );
    for tick in clock.ticks() {
        let x = At(Scale(clock).x(tick));
        let label = clock.short(tick);
        let _ = write!(
            page,
            "<path class=\"grid\" d=\"M{x} {AXIS}V{}\"/><text class=\"tick\" x=\"{x}\" y=\"14\" text-anchor=\"middle\">{}</text>",
            At(y),
            Escaped(&label)
        );
    }
    page.push_str(&drawn);
    page.push_str("</svg>\n</div>\n<p class=\"legend quiet\">");
    for severity in [Severity::Critical, Severity::Warning, Severity::Info] {
        let _ = write!(page, "<span class=\"chip {severity}\"></span> {severity} ");
    }
    page.push_str(
        "<span class=\"chip activity\"></span> activity of the agent. A bar with a tip was still open at the end.",
    );
    if hidden > 0 {
        let _ = write!(page, " {} more agents are in the table below.", grouped(hidden as u64));
    }
    page.push_str("</p>\n</section>\n");
}

/// Draws one lane at a height; returns its own height.
fn lane(drawn: &mut String, report: &Report, clock: &Clock, agent: &AgentId, insights: &[&Told], y: f64) -> f64 {
    let scale = Scale(clock);
    let rows = stack(insights, clock);
    let height = ROW * rows.iter().map(|row| row + 1).max().unwrap_or(1) as f64 + 8.0;
    let _ = write!(drawn, "<path class=\"rule\" d=\"M0 {0}H{WIDTH}\"/>", At(y));
    if let Some(activity) = report.drawn.activity.get(agent) {
        let most = activity.spans().map(|(.., count)| count).max().unwrap_or(1);
        let mut bars = String::new();
        for (from, to, count) in activity.spans() {
            let (left, right) = (scale.x(from), scale.x(to));
            let tall = (height - 4.0) * (f64::from(count) / f64::from(most)).sqrt();
            let (floor, top) = (At(y + height), At(y + height - tall));
            let _ = write!(bars, "M{} {floor}V{top}H{}V{floor}Z", At(left), At(right.max(left + 0.5)));
        }
        let _ = write!(drawn, "<path class=\"activity\" d=\"{bars}\"/>");
    }
    let label = Escaped(agent.as_str()).to_string();
    let short: String = agent.as_str().chars().take(26).collect();
    let short = if short.len() < agent.as_str().len() { format!("{}…", Escaped(&short)) } else { label.clone() };
    let _ = write!(drawn, "<text class=\"name\" x=\"4\" y=\"{}\">{short}<title>{label}</title></text>", At(y + 16.0));
    for (told, row) in insights.iter().zip(rows) {
        bar(drawn, &scale, clock, told, y + 4.0 + ROW * row as f64);
    }
    height
}

fn bar(drawn: &mut String, scale: &Scale<'_>, clock: &Clock, told: &Told, y: f64) {
    let (from, to) = (scale.x(told.since), scale.x(told.until.unwrap_or(clock.end())));
    let width = (to - from).max(4.0);
    let kind = spaced(told.kind.as_str());
    let open = told.until.is_none();
    let words = evidence(told.kind.as_str(), &told.evidence);
    let how_long = match told.until {
        Some(until) => format!("for {}", lasted(until.since(told.since))),
        None => "until the end".to_owned(),
    };
    let title = format!("{kind}, {}, from {} {how_long}: {words}", told.severity, clock.short(told.since));
    let _ = write!(
        drawn,
        "<g class=\"{}\"><title>{}</title><rect class=\"bar\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"3\"/>",
        told.severity,
        Escaped(&title),
        At(from),
        At(y),
        At(width),
        At(ROW - 3.0),
    );
    if open {
        let (tip, middle, low) = (At(from + width + 5.0), At(y + (ROW - 3.0) / 2.0), At(y + ROW - 3.0));
        let _ = write!(
            drawn,
            "<path class=\"bar\" d=\"M{} {}L{tip} {middle}L{0} {low}Z\"/>",
            At(from + width - 1.0),
            At(y)
        );
    }
    // Beside the bar where it does not fit in it: before it, where the plot ends.
    let room = kind.chars().count() as f64 * 6.4 + 8.0;
    let (x, anchor, class) = if room < width {
        (from + 5.0, "start", "in")
    } else if from + width + room < WIDTH {
        (from + width + 4.0, "start", "beside")
    } else {
        (from - 4.0, "end", "beside")
    };
    let _ = write!(
        drawn,
        "<text class=\"{class}\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text></g>",
        At(x),
        At(y + 10.5),
        Escaped(&kind)
    );
}

/// Which row of its lane each insight gets, so that neither bars nor their names lie on each other.
fn stack(insights: &[&Told], clock: &Clock) -> Vec<usize> {
    let scale = Scale(clock);
    let mut ends: Vec<f64> = Vec::new();
    let place = |told: &&Told| {
        let name = told.kind.as_str().chars().count() as f64 * 6.4 + 14.0;
        let from = scale.x(told.since);
        let end = scale.x(told.until.unwrap_or(clock.end())).max(from + 4.0);
        // A name before its bar takes room there.
        let from = if end - from < name && end + name >= WIDTH { from - name } else { from };
        let end = if end - from < name { end + name } else { end };
        match ends.iter().position(|taken| *taken <= from) {
            Some(row) => {
                if let Some(taken) = ends.get_mut(row) {
                    *taken = end;
                }
                row
            }
            None => {
                ends.push(end);
                ends.len() - 1
            }
        }
    };
    insights.iter().map(place).collect()
}
