use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::row::{Act, OK, Row};
use crate::auth::{Scope, Scopes};
use crate::domain::Timestamp;

/// Which part of the trail is reported on, and what is pointed out in it.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// From when on.
    pub since: Timestamp,
    /// Before when.
    pub until: Timestamp,
    /// The time now.
    pub now: Timestamp,
    /// Tokens that expire within this time are pointed out.
    pub expiring: Duration,
    /// Subjects that did nothing for this time are pointed out.
    pub unseen: Duration,
}

/// Who held what, and used it: made of the rows of a trail, from its beginning on, so that it can tell who went quiet.
#[derive(Debug)]
pub struct Report {
    span: Span,
    tokens: BTreeMap<(Arc<str>, Option<Arc<str>>), Held>,
    subjects: BTreeMap<Arc<str>, Timestamp>,
    refusals: BTreeMap<(String, Act), u64>,
    rows: u64,
}

/// A token that was shown, or several of one `sub` that have no `jti`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its `sub`.
    pub sub: Arc<str>,
    /// Its `jti`.
    pub jti: Option<Arc<str>>,
    /// The key that signed it.
    pub kid: Option<Arc<str>>,
    /// What it allows.
    pub scope: Scopes,
    /// What of that was made use of.
    pub used: Scopes,
    /// Streams opened and reopened.
    pub streams: u64,
    /// Requests answered.
    pub requests: u64,
    /// What was refused.
    pub refused: u64,
    /// When it was first shown.
    pub first: Timestamp,
    /// When it was last shown.
    pub last: Timestamp,
    /// From where that was.
    pub from: Option<IpAddr>,
    /// When it expires.
    pub expires: Option<Timestamp>,
}

impl Report {
    /// Of no rows yet.
    pub fn new(span: Span) -> Self {
        Self { span, tokens: BTreeMap::new(), subjects: BTreeMap::new(), refusals: BTreeMap::new(), rows: 0 }
    }

    /// Takes in a row.
    pub fn add(&mut self, row: &Row) {
        // These are done to somebody, not by.
        let did = !matches!(row.what, Act::Revoke | Act::Undo | Act::Cut);
        if let Some(sub) = row.sub.as_ref().filter(|_| did) {
            let last = self.subjects.entry(Arc::clone(sub)).or_insert(row.at);
            *last = row.at.max(*last);
        }
        if row.at < self.span.since || row.at >= self.span.until {
            return;
        }
        self.rows += 1;
        if row.outcome != OK && row.what != Act::Close {
            *self.refusals.entry((row.outcome.to_string(), row.what)).or_default() += row.count;
        }
        if let Some(sub) = row.sub.as_ref().filter(|_| did) {
            let held = self.tokens.entry((Arc::clone(sub), row.jti.clone()));
            held.or_insert_with(|| Held::of(sub, row)).add(row);
        }
    }

    /// The span that was reported on.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// How many rows of the trail lie in it.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Tokens that were shown, by `sub` and `jti`.
    pub fn tokens(&self) -> impl Iterator<Item = &Held> {
        self.tokens.values()
    }

    /// Tokens with a scope, those that used it first.
    pub fn holders(&self, scope: Scope) -> Vec<&Held> {
        let mut holders: Vec<_> = self.tokens().filter(|held| held.scope.contains(scope)).collect();
        holders.sort_by_key(|held| !held.used.contains(scope));
        holders
    }

    /// Whether a token is still valid, and not for long.
    pub fn expires_soon(&self, held: &Held) -> bool {
        let Span { now, expiring, .. } = self.span;
        held.expires.is_some_and(|expires| expires > now && expires <= now.plus(expiring))
    }

    /// Tokens that expire soon, the first to expire first.
    pub fn expiring(&self) -> Vec<&Held> {
        let mut expiring: Vec<_> = self.tokens().filter(|held| self.expires_soon(held)).collect();
        expiring.sort_by_key(|held| held.expires);
        expiring
    }

    /// Whether a subject did nothing for long.
    pub fn is_unseen(&self, last: Timestamp) -> bool {
        self.span.now.since(last) >= self.span.unseen
    }

    /// Subjects that did nothing for long, and when they last did something.
    pub fn unseen(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.subjects.iter().filter(|(_, last)| self.is_unseen(**last)).map(|(sub, last)| (&**sub, *last))
    }

    /// What was refused, by reason and what was asked for.
    pub fn refusals(&self) -> impl Iterator<Item = (&str, Act, u64)> {
        self.refusals.iter().map(|((reason, what), count)| (reason.as_str(), *what, *count))
    }
}

impl Held {
    fn of(sub: &Arc<str>, row: &Row) -> Self {
        Self {
            sub: Arc::clone(sub),
            jti: row.jti.clone(),
            kid: None,
            scope: Scopes::default(),
            used: Scopes::default(),
            streams: 0,
            requests: 0,
            refused: 0,
            first: row.at,
            last: row.at,
            from: None,
            expires: None,
        }
    }

    fn add(&mut self, row: &Row) {
        let ok = row.outcome == OK;
        match row.what {
            Act::Close => {}
            _ if !ok => self.refused += row.count,
            Act::Open | Act::Resume => self.streams += row.count,
            _ => self.requests += row.count,
        }
        // After a refresh a stream may have fewer scopes; all that were held count.
        self.scope = self.scope.iter().chain(row.scope.iter()).collect();
        if ok {
            self.used = self.used.iter().chain(row.used.iter()).collect();
        }
        self.first = self.first.min(row.at);
        if row.at >= self.last {
            self.last = row.at;
            self.from = row.from.or(self.from);
            self.kid = row.kid.clone().or_else(|| self.kid.take());
            self.expires = row.expires.or(self.expires);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Identity;

    const DAY: i64 = 86_400;

    fn day(days: i64) -> Timestamp {
        Timestamp::from_nanos(days * DAY * 1_000_000_000)
    }

    fn row(what: Act, sub: &str, jti: &str, days: i64) -> Row {
        let identity = Identity {
            subject: sub.into(),
            scopes: Scopes::from_words(["metacog.stream", "metrics.read"]),
            jti: Some(jti.into()),
            expires: day(days + 30),
            issued: None,
            kid: "k".into(),
        };
        Row::new(what, day(days)).by(&identity).from([192, 0, 2, 1].into())
    }

    #[test]
    fn holders_and_users_are_told_apart() {
        let span = Span {
            since: day(300),
            until: day(401),
            now: day(400),
            expiring: Duration::from_hours(14 * 24),
            unseen: Duration::from_hours(90 * 24),
        };
        let mut report = Report::new(span);
        for row in [
            row(Act::Open, "long-gone", "0", 100).with(Some(Scope::Stream)),
            row(Act::Open, "alice", "1", 350).with(Some(Scope::Stream)),
            row(Act::Close, "alice", "1", 351),
            row(Act::Open, "alice", "1", 352).ended("replayed").with(Some(Scope::Stream)),
            Row { count: 60, ..row(Act::Scrape, "prometheus", "2", 380) }.with(Some(Scope::MetricsRead)),
            row(Act::Open, "mallory", "3", 399).ended("revoked").with(Some(Scope::Stream)),
            row(Act::Revoke, "nobody", "4", 399),
            Row::new(Act::State, day(399)).ended("bad_signature"),
        ] {
            report.add(&row);
        }
        let holders: Vec<_> = report.holders(Scope::Stream).iter().map(|held| (&*held.sub, held.used)).collect();
        let (stream, metrics) = (Scopes::from_words(["metacog.stream"]), Scopes::from_words(["metrics.read"]));
        assert_eq!(holders, [("alice", stream), ("mallory", Scopes::default()), ("prometheus", metrics)]);
        let alice = report.tokens().find(|held| &*held.sub == "alice").unwrap();
        assert_eq!((alice.streams, alice.refused, alice.first, alice.last), (1, 1, day(350), day(352)));
        let expiring: Vec<_> = report.expiring().iter().map(|held| &*held.sub).collect();
        assert_eq!(expiring, ["prometheus"], "not alice's, which is over, nor mallory's, which is good for long");
        assert_eq!(report.unseen().collect::<Vec<_>>(), [("long-gone", day(100))]);
        let refusals: Vec<_> = report.refusals().collect();
        assert_eq!(refusals, [("bad_signature", Act::State, 1), ("replayed", Act::Open, 1), ("revoked", Act::Open, 1)]);
        assert_eq!(report.rows(), 7);
    }
}
