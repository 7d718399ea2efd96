//! The report as one table for spreadsheets (RFC 4180).

use std::io::{self, Write};

use crate::auth::audit::{Held, Report};
use crate::auth::{Scope, Scopes};

const COLUMNS: [&str; 16] = [
    "sub",
    "jti",
    "kid",
    "scope",
    "used",
    "held_metacog_stream",
    "used_metacog_stream",
    "streams",
    "requests",
    "refused",
    "first_seen",
    "last_seen",
    "last_address",
    "expires",
    "expires_soon",
    "unseen",
];

pub(super) fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    write(out, &COLUMNS.map(str::to_owned))?;
    let unseen: Vec<_> = report.unseen().collect();
    for held in report.tokens() {
        let Held { sub, jti, kid, scope, used, streams, requests, refused, first, last, from, expires } = held;
        let has = |scopes: &Scopes| scopes.contains(Scope::Stream).to_string();
        let text = |name: &Option<std::sync::Arc<str>>| name.as_deref().unwrap_or_default().to_owned();
        write(
            out,
            &[
                sub.to_string(),
                text(jti),
                text(kid),
                scope.to_string(),
                used.to_string(),
                has(scope),
                has(used),
                streams.to_string(),
                requests.to_string(),
                refused.to_string(),
                first.to_string(),
                last.to_string(),
                from.map(|from| from.to_string()).unwrap_or_default(),
                expires.map(|at| at.to_string()).unwrap_or_default(),
                report.expires_soon(held).to_string(),
                unseen.iter().any(|(name, _)| *name == &**sub).to_string(),
            ],
        )?;
    }
    for (sub, last) in unseen.iter().filter(|(sub, _)| !report.tokens().any(|held| &*held.sub == *sub)) {
        let mut fields = COLUMNS.map(|_| String::new());
        (fields[0], fields[11], fields[15]) = ((*sub).to_owned(), last.to_string(), true.to_string());
        write(out, &fields)?;
    }
    Ok(())
}

fn write(out: &mut impl Write, fields: &[String; COLUMNS.len()]) -> io::Result<()> {
    let fields: Vec<_> = fields.iter().map(|field| escaped(field)).collect();
    write!(out, "{}\r\n", fields.join(","))
}

/// A field that a spreadsheet takes for text: where it would take it for a formula, with an apostrophe before.
fn escaped(field: &str) -> String {
    let formula =
        field.trim_start().starts_with(['=', '+', '-', '@', '|', '%', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
    let field = super::table::shown(field, usize::MAX);
    let field = if formula { format!("'{field}") } else { field };
    if field.contains(['"', ',', ';', '\r', '\n', '\'']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_is_a_formula_or_ends_early() {
        for (field, expected) in [
            ("alice", "alice"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=HYPERLINK(\"http://x\")", "\"'=HYPERLINK(\"\"http://x\"\")\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            (" =1", "\"' =1\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("a\tb\r\nc", "a\\tb\\r\\nc"),
            ("\u{202e}evil", "\\u{202e}evil"),
            ("2025-11-23T23:54:08.123Z", "2025-11-23T23:54:08.123Z"),
        ] {
            assert_eq!(escaped(field), expected);
        }
    }
}
