//! The report for people.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::html;
use super::report::Report;
use crate::cli::words::{evidence, lasted};

/// Rejected lines that are told one by one; of more, the number is told.
const REJECTED_SHOWN: usize = 10;

/// Writes the report as tables.
///
/// # Errors
/// When it cannot be written.
pub fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{} observations of {} agents", report.observations, report.agents.len())?;
    if report.duplicates > 0 {
        writeln!(out, "{} more were counted already (same id)", report.duplicates)?;
    }
    write_rejected(report, out)?;
    write_agents(report, out)?;
    write_insights(report, out)?;
    writeln!(out, "\n{}", html::verdict(report))
}

fn write_rejected(report: &Report, out: &mut impl Write) -> io::Result<()> {
    if report.rejected.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{} could not be read:", report.rejected.len())?;
    for rejected in report.rejected.iter().take(REJECTED_SHOWN) {
        let file = rejected.file.as_deref().map(|file| format!("{file}, ")).unwrap_or_default();
        writeln!(out, "  {file}line {}: {}", rejected.line, rejected.error)?;
    }
    let more = report.rejected.len().saturating_sub(REJECTED_SHOWN);
    if more > 0 { writeln!(out, "  and {more} more") } else { Ok(()) }
}

fn write_agents(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let header =
        ["agent", "status", "advice", "observations", "claims", "brier", "bias", "auroc2", "failed", "p95 ms", "loops"];
    let rows = report.agents.iter().map(|(agent, figures)| {
        let text = |path: &str| figures.get(path).and_then(Value::as_str).unwrap_or("-").to_owned();
        let loops = figures.get("stuck").and_then(Value::as_array).map_or(0, Vec::len);
        vec![
            agent.to_string(),
            text("status"),
            text("advice"),
            number(figures, "", "observations"),
            number(figures, "calibration", "n"),
            number(figures, "calibration", "brier"),
            number(figures, "calibration", "bias"),
            number(figures, "calibration", "auroc2"),
            number(figures, "load", "failed"),
            number(figures, "load", "p95_ms"),
            loops.to_string(),
        ]
    });
    writeln!(out)?;
    write_table(&header, &rows.collect::<Vec<_>>(), out)
}

/// A figure, short: counts whole, measures with three decimals, `-` for what is not known.
fn number(figures: &Map<String, Value>, group: &str, name: &str) -> String {
    let value = if group.is_empty() { figures.get(name) } else { figures.get(group).and_then(|group| group.get(name)) };
    match value {
        Some(value) if value.is_u64() => value.to_string(),
        Some(value) => value.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.3}")),
        None => "-".to_owned(),
    }
}

fn write_insights(report: &Report, out: &mut impl Write) -> io::Result<()> {
    if report.insights.is_empty() {
        return writeln!(out, "\nno insights");
    }
    let header = ["severity", "insight", "agent", "from", "lasted", "what was seen"];
    let rows = report.drawn.insights.iter().map(|told| {
        let lasted = told.until.map_or_else(|| "to the end".to_owned(), |until| lasted(until.since(told.since)));
        vec![
            told.severity.to_string(),
            told.kind.to_string(),
            told.agent.as_ref().map_or("-", |agent| agent.as_str()).to_owned(),
            told.since.to_string(),
            lasted,
            evidence(told.kind.as_str(), &told.evidence),
        ]
    });
    writeln!(out)?;
    write_table(&header, &rows.collect::<Vec<_>>(), out)
}

/// Columns as wide as their widest cell; the last one runs free.
fn write_table(header: &[&str], rows: &[Vec<String>], out: &mut impl Write) -> io::Result<()> {
    let head: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&head).chain(rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    for row in std::iter::once(&head).chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
