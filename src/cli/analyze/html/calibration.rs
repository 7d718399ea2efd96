//! How well each agent's confidence is worth its name: the reliability diagram and the type-2 ROC curve.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::svg::{At, Plot};
use super::text::Escaped;
use crate::cli::analyze::curves::{Curves, Reliability};
use crate::cli::analyze::report::Report;
use crate::cli::words::grouped;
use crate::domain::AgentId;

/// Agents whose charts are drawn; of more, the number is told.
const SHOWN: usize = 48;

const PLOT: Plot = Plot { x: 52.0, y: 10.0, size: 220.0 };
/// Height of the histogram under the reliability diagram.
const HISTOGRAM: f64 = 34.0;

/// Writes the section; nothing when no agent made claims enough.
pub fn write(page: &mut String, report: &Report) {
    let mut curves: Vec<_> = report.drawn.curves.iter().collect();
    if curves.is_empty() {
        return;
    }
    // The worst calibrated first.
    let ece = |agent: &AgentId| figure(report, agent, "ece").unwrap_or(0.0);
    curves.sort_by(|(a, _), (b, _)| ece(b).total_cmp(&ece(a)));
    page.push_str("<section>\n<h2>Calibration</h2>\n<div class=\"cards\">\n");
    for (agent, curves) in curves.iter().take(SHOWN) {
        card(page, report, agent, curves);
    }
    page.push_str("</div>\n");
    if let Some(more) = curves.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(page, "<p class=\"quiet\">{} more agents are in the table above.</p>", grouped(more as u64));
    }
    page.push_str("</section>\n");
}

fn group<'a>(report: &'a Report, agent: &AgentId) -> Option<&'a Map<String, Value>> {
    report.agents.get(agent)?.get("calibration")?.as_object()
}

fn figure(report: &Report, agent: &AgentId, name: &str) -> Option<f64> {
    group(report, agent)?.get(name)?.as_f64()
}

fn card(page: &mut String, report: &Report, agent: &AgentId, curves: &Curves) {
    let name = Escaped(agent.as_str());
    let _ = write!(page, "<article class=\"card\" id=\"calibration-{name}\">\n<h3>{name}</h3>\n");
    let _ = writeln!(page, "<p>{}</p>", Escaped(&verdict(report, agent)));
    page.push_str("<div class=\"charts\">\n<figure>");
    page.push_str(&diagram(&curves.reliability));
    page.push_str(
        "<figcaption>Reliability: of what it said with some confidence, how much was right</figcaption></figure>\n",
    );
    if !curves.roc.is_empty() {
        page.push_str("<figure>");
        page.push_str(&roc(curves, figure(report, agent, "auroc2")));
        page.push_str("<figcaption>Type-2 ROC: how well confidence tells right from wrong</figcaption></figure>\n");
    }
    figures(page, report, agent);
    page.push_str("</div>\n</article>\n");
}

/// What the figures say.
fn verdict(report: &Report, agent: &AgentId) -> String {
    let interval = |name: &str| {
        let ends = group(report, agent)?.get("intervals")?.get(name)?.as_array()?;
        Some((ends.first()?.as_f64()?, ends.get(1)?.as_f64()?))
    };
    let claims = figure(report, agent, "n").unwrap_or(0.0);
    let points = |value: f64| (value.abs() * 100.0).round();
    let first = match (figure(report, agent, "bias"), interval("bias")) {
        (Some(bias), Some((low, _))) if low > 0.0 => format!("is surer than it is right, by {} points", points(bias)),
        (Some(bias), Some((_, high))) if high < 0.0 => {
            format!("is less sure than it is right, by {} points", points(bias))
        }
        _ => "is neither clearly too sure nor too unsure".to_owned(),
    };
    let second = match (figure(report, agent, "auroc2"), interval("auroc2")) {
        (Some(_), Some((low, _))) if low <= 0.5 => "; its confidence does not clearly tell right from wrong",
        (Some(area), _) if area >= 0.75 => "; its confidence tells right from wrong well",
        (Some(_), _) => "; its confidence tells right from wrong a little",
        _ => "",
    };
    format!("Over {} claims it {first}{second}.", grouped(claims.max(0.0) as u64))
}

fn diagram(bins: &[Reliability]) -> String {
    let (bottom, most) = (PLOT.y + PLOT.size, bins.iter().map(|bin| bin.claims).max().unwrap_or(1));
    let base = bottom + 46.0 + HISTOGRAM;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Reliability diagram\">{}\
         <path class=\"diagonal\" d=\"M{} {}L{} {}\"/>",
        At(PLOT.x + PLOT.size + 12.0),
        At(base + 16.0),
        PLOT.axes("confidence", "share right"),
        PLOT.right(0.0),
        PLOT.up(0.0),
        PLOT.right(1.0),
        PLOT.up(1.0),
    );
    for it in bins {
        let from = it.bin as f64 / 10.0;
        let (left, right) = (PLOT.right(from), PLOT.right(from + 0.1));
        let (x, y) = (PLOT.right(it.confidence), PLOT.up(it.right));
        let side = if it.confidence > it.right { "over" } else { "under" };
        let title = format!(
            "{} claims with confidence {from:.1} to {:.1}, {:.2} on average: {:.0} % right (95 %: {:.0} to {:.0})",
            grouped(u64::from(it.claims)),
            from + 0.1,
            it.confidence,
            it.right * 100.0,
            it.low * 100.0,
            it.high * 100.0
        );
        let tall = HISTOGRAM * f64::from(it.claims) / f64::from(most);
        let _ = write!(
            svg,
            "<g><title>{}</title><rect class=\"share\" x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{}\"/>\
             <path class=\"gap {side}\" d=\"M{x} {}V{y}\"/><path class=\"interval\" d=\"M{x} {}V{}\"/>\
             <circle class=\"dot\" cx=\"{x}\" cy=\"{y}\" r=\"3.5\"/>\
             <rect class=\"histogram\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\
             <text class=\"count\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
            Escaped(&title),
            At(left.0 + 1.0),
            At(right.0 - left.0 - 2.0),
            At(bottom - y.0),
            PLOT.up(it.confidence),
            PLOT.up(it.low),
            PLOT.up(it.high),
            At(left.0 + 1.0),
            At(base - tall.max(1.0)),
            At(right.0 - left.0 - 2.0),
            At(tall.max(1.0)),
            At((left.0 + right.0) / 2.0),
            At(base + 12.0),
            it.claims,
        );
    }
    let _ = write!(
        svg,
        "<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"end\">claims</text></svg>",
        At(PLOT.x - 6.0),
        At(base + 12.0)
    );
    svg
}

fn roc(curves: &Curves, area: Option<f64>) -> String {
    let mut line = String::new();
    for (i, point) in curves.roc.iter().enumerate() {
        let _ = write!(
            line,
            "{}{} {}",
            if i == 0 { "M" } else { "L" },
            PLOT.right(point.false_alarms),
            PLOT.up(point.hits)
        );
    }
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Type-2 ROC curve\">{}\
         <path class=\"area\" d=\"{line}V{bottom}H{left}Z\"/><path class=\"diagonal\" d=\"M{left} {bottom}L{} {}\"/>\
         <path class=\"curve\" d=\"{line}\"/>",
        At(PLOT.x + PLOT.size + 12.0),
        At(PLOT.y + PLOT.size + 62.0 + HISTOGRAM),
        PLOT.axes("wrong claims at least as sure", "right claims at least as sure"),
        PLOT.right(1.0),
        PLOT.up(1.0),
        bottom = PLOT.up(0.0),
        left = PLOT.right(0.0),
    );
    // Of many, dots say nothing.
    if curves.roc.len() <= 24 {
        for point in curves.roc.iter().filter(|point| point.confidence.is_finite()) {
            let _ = write!(
                svg,
                "<circle class=\"dot\" cx=\"{}\" cy=\"{}\" r=\"3\"><title>confidence from {:.2} on: {:.0} % of the right and \
                 {:.0} % of the wrong claims</title></circle>",
                PLOT.right(point.false_alarms),
                PLOT.up(point.hits),
                point.confidence,
                point.hits * 100.0,
                point.false_alarms * 100.0
            );
        }
    }
    if let Some(area) = area {
        let _ = write!(
            svg,
            "<text class=\"big\" x=\"{}\" y=\"{}\" text-anchor=\"end\">AUROC {area:.2}</text>",
            PLOT.right(0.96),
            At(PLOT.y + PLOT.size - 12.0)
        );
    }
    svg + "</svg>"
}

fn figures(page: &mut String, report: &Report, agent: &AgentId) {
    let Some(told) = group(report, agent) else { return };
    let rows = [
        ("n", "claims"),
        ("brier", "Brier score"),
        ("ece", "ECE"),
        ("bias", "bias"),
        ("auroc2", "type-2 AUROC"),
        ("d", "d′"),
        ("meta_d", "meta-d′"),
        ("m_ratio", "M-ratio"),
        ("waiting", "without a verdict"),
    ];
    page.push_str("<table class=\"figures\"><tbody>\n");
    for (key, name) in rows {
        let Some(value) = told.get(key).filter(|value| key != "waiting" || value.as_u64() != Some(0)) else { continue };
        let shown = match value.as_u64() {
            Some(count) => grouped(count),
            None => value.as_f64().map(|value| format!("{value:.3}")).unwrap_or_default(),
        };
        let ends = told.get("intervals").and_then(|all| all.get(key)?.as_array());
        let ends: Vec<_> =
            ends.into_iter().flatten().filter_map(Value::as_f64).map(|end| format!("{end:.2}")).collect();
        let interval = if ends.is_empty() { String::new() } else { ends.join(" to ") };
        let _ = writeln!(page, "<tr><th>{name}</th><td>{shown}</td><td class=\"quiet\">{interval}</td></tr>");
    }
    page.push_str("</tbody></table>\n");
}
