//! The report as a page for a browser: one file, with no script and nothing from elsewhere, to attach to a ticket.
//!
//! It holds numbers and names alone: no texts, arguments or results of observations, since the report has none.

mod calibration;
mod svg;
mod tables;
mod text;
mod timeline;

use std::fmt::Write as _;

use self::text::{Clock, Escaped};
use super::report::Report;
use crate::cli::words::{grouped, lasted, spaced};
use crate::domain::{InsightKind, Severity};

const STYLE: &str = include_str!("report.css");

/// The page for a report on these files.
pub fn page(report: &Report, files: &[String]) -> String {
    let title = match files {
        [file] => file.clone(),
        files => format!("{} recordings", files.len()),
    };
    let clock = Clock::new(report.drawn.span);
    let mut page = String::with_capacity(64 << 10);
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{} – analysis</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<main>\n",
        Escaped(&title)
    );
    header(&mut page, report, &title, files, &clock);
    timeline::write(&mut page, report, &clock);
    tables::insights(&mut page, report, &clock);
    tables::agents(&mut page, report);
    calibration::write(&mut page, report);
    tables::loops(&mut page, report);
    tables::drift(&mut page, report);
    tables::rejected(&mut page, report);
    footer(&mut page);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn header(page: &mut String, report: &Report, title: &str, files: &[String], clock: &Clock) {
    let _ =
        write!(page, "<header>\n<h1>{}</h1>\n<p class=\"lead\">{}</p>\n", Escaped(title), Escaped(&verdict(report)));
    if files.len() > 1 {
        let names: Vec<_> = files.iter().map(|file| Escaped(file).to_string()).collect();
        let _ = writeln!(page, "<p class=\"quiet\">{}</p>", names.join(", "));
    }
    page.push_str("<dl class=\"tiles\">\n");
    let mut tile = |name: &str, figure: String, more: String, class: &str| {
        let _ = writeln!(
            page,
            "<div class=\"{class}\"><dt>{name}</dt><dd>{}</dd><dd class=\"quiet\">{}</dd></div>",
            Escaped(&figure),
            Escaped(&more)
        );
    };
    let duplicates = match report.duplicates {
        0 => String::new(),
        n => format!("{} more were counted already", grouped(n)),
    };
    tile("observations", grouped(report.observations), duplicates, "");
    tile("agents", grouped(report.agents.len() as u64), String::new(), "");
    if let Some((first, last)) = report.drawn.span {
        tile("recorded time", lasted(last.since(first)), clock.range(), "");
    }
    for severity in [Severity::Critical, Severity::Warning, Severity::Info] {
        let these = report.drawn.insights.iter().filter(|insight| insight.severity == severity);
        let count = these.clone().count();
        if count > 0 {
            let kinds: Vec<_> = InsightKind::ALL
                .iter()
                .filter(|kind| these.clone().any(|insight| insight.kind == **kind))
                .map(|kind| spaced(kind.as_str()))
                .collect();
            tile(severity.as_str(), grouped(count as u64), kinds.join(", "), severity.as_str());
        }
    }
    if !report.rejected.is_empty() {
        tile("not readable", grouped(report.rejected.len() as u64), "lines or records".to_owned(), "warning");
    }
    page.push_str("</dl>\n</header>\n");
}

/// What came out, in a sentence.
pub fn verdict(report: &Report) -> String {
    let bad = |kind: InsightKind| {
        let of_kind = report.drawn.insights.iter().filter(|insight| insight.kind == kind);
        let concerned = of_kind.filter(|insight| insight.severity > Severity::Info);
        concerned.filter_map(|insight| insight.agent.as_ref()).collect::<std::collections::BTreeSet<_>>()
    };
    let causes: Vec<String> = InsightKind::ALL
        .iter()
        .map(|kind| (kind, bad(*kind)))
        .filter(|(_, agents)| !agents.is_empty())
        .map(|(kind, agents)| {
            let names: Vec<_> = agents.iter().take(3).map(|agent| agent.as_str()).collect();
            let more = agents.len() - names.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}: {}{more}", spaced(kind.as_str()), names.join(", "))
        })
        .collect();
    match (causes.is_empty(), report.drawn.insights.is_empty()) {
        (true, true) => "All is as expected: no insight was opened.".to_owned(),
        (true, false) => "Nothing needs looking at: the insights are for information.".to_owned(),
        (false, _) => format!("To be looked at – {}.", causes.join("; ")),
    }
}

fn footer(page: &mut String) {
    page.push_str(
        "<section>\n<details>\n<summary>How to read this</summary>\n<dl class=\"words\">\n\
         <div><dt>Brier score</dt><dd>mean squared distance of confidence from outcome; lower is better, 0.25 is a \
         coin's</dd></div>\n\
         <div><dt>ECE</dt><dd>how far confidence and success are apart, bin by bin, on average</dd></div>\n\
         <div><dt>bias</dt><dd>mean confidence less the share right; above zero: surer than it is right</dd></div>\n\
         <div><dt>type-2 AUROC</dt><dd>how often a right claim was made with more confidence than a wrong one; 0.5 tells \
         nothing, 1 all</dd></div>\n\
         <div><dt>d′, meta-d′, M-ratio</dt><dd>what the agent can tell apart, what its confidence shows of that, and their \
         ratio; below 1 it knows more than it shows</dd></div>\n\
         <div><dt>loop</dt><dd>the same action and result four times, the same error three times, a cycle three times, the \
         same message three times, or the same failure with other steps between</dd></div>\n\
         <div><dt>drift</dt><dd>a lasting change of level in confidence, accuracy, latency or errors</dd></div>\n\
         </dl>\n</details>\n",
    );
    let _ = write!(
        page,
        "<p class=\"quiet\">Made by consciousness-system {} with <code>analyze --html</code>. Numbers and names alone: no \
         text, argument or result of an observation is in this file.</p>\n</section>\n",
        env!("CARGO_PKG_VERSION")
    );
}
