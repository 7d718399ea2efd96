//! The report for people.

use std::io::{self, Write};

use crate::auth::Scope;
use crate::auth::audit::{Held, Report, Span};
use crate::domain::Timestamp;
use crate::setting::duration;

/// Characters of a name that are shown.
const WIDTH: usize = 48;

pub(super) fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let Span { since, until, expiring, unseen, .. } = report.span();
    writeln!(out, "from {since} to {until}: {} entries, {} tokens", report.rows(), report.tokens().count())?;
    for scope in Scope::ALL {
        let holders = report.holders(scope);
        // What the audit is about is told even where nobody held it.
        if holders.is_empty() && scope != Scope::Stream {
            continue;
        }
        let used = holders.iter().filter(|held| held.used.contains(scope)).count();
        writeln!(out, "\n{scope}: held by {} tokens, used by {used}", holders.len())?;
        tokens(&holders, Some(scope), out)?;
    }
    let soon = report.expiring();
    writeln!(out, "\ntokens that expire within {}: {}", duration::format(*expiring), soon.len())?;
    tokens(&soon, None, out)?;
    let quiet: Vec<_> = report.unseen().collect();
    writeln!(out, "\nsubjects not seen for {}: {}", duration::format(*unseen), quiet.len())?;
    let rows = quiet.iter().map(|(sub, last)| vec![shown(sub, WIDTH), moment(*last)]).collect();
    table(&["SUBJECT", "LAST SEEN"], rows, out)?;
    let refusals: Vec<_> = report.refusals().collect();
    writeln!(out, "\nrefused: {}", refusals.iter().map(|(_, _, count)| count).sum::<u64>())?;
    let row = |(reason, what, count): &(&str, crate::auth::audit::Act, u64)| {
        vec![shown(reason, WIDTH), what.as_str().to_owned(), count.to_string()]
    };
    table(&["REASON", "WHAT", "COUNT"], refusals.iter().map(row).collect(), out)
}

fn tokens(held: &[&Held], scope: Option<Scope>, out: &mut impl Write) -> io::Result<()> {
    let row = |held: &&Held| {
        let Held { sub, jti, kid, used, streams, requests, last, from, expires, .. } = *held;
        let name =
            |name: &Option<std::sync::Arc<str>>| name.as_deref().map_or_else(|| "-".to_owned(), |n| shown(n, WIDTH));
        let used =
            scope.map_or_else(|| used.to_string(), |scope| if used.contains(scope) { "yes" } else { "no" }.into());
        vec![
            shown(sub, WIDTH),
            name(jti),
            name(kid),
            if used.is_empty() { "-".to_owned() } else { used },
            streams.to_string(),
            requests.to_string(),
            moment(*last),
            from.map_or_else(|| "-".to_owned(), |from| from.to_string()),
            expires.map_or_else(|| "-".to_owned(), moment),
        ]
    };
    let head = ["SUBJECT", "TOKEN", "KEY", "USED", "STREAMS", "REQUESTS", "LAST SEEN", "FROM", "EXPIRES"];
    table(&head, held.iter().map(row).collect(), out)
}

fn table(head: &[&str], rows: Vec<Vec<String>>, out: &mut impl Write) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let lines: Vec<_> = std::iter::once(head).chain(rows).collect();
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    for line in &lines {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "  {}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// To the second.
fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}

/// A name that clients chose, so that it does nothing to a terminal: what is no plain character is escaped, and what is
/// long is cut.
pub(super) fn shown(name: &str, most: usize) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        // Quotes are plain here; what `escape_debug` takes for a mark of another character too.
        if matches!(c, '\'' | '"' | '\\') { text.push(c) } else { text.extend(c.escape_debug()) }
    }
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_nothing_to_a_terminal() {
        assert_eq!(shown("alice@example.com", 48), "alice@example.com");
        assert_eq!(shown("a\u{1b}[31mb\u{202e}c\u{7}", 48), "a\\u{1b}[31mb\\u{202e}c\\u{7}");
        assert_eq!(shown("żółw's \"x\"", 48), "żółw's \"x\"");
        assert_eq!(shown(&"x".repeat(60), 48).chars().count(), 48);
    }
}
