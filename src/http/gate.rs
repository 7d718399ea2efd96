//! Who is let in: the rooms of `auth` put together.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, Uri, request};

use super::address::ClientAddress;
use super::intake::Intake;
use super::problem::Problem;
use super::services::Clock;
use crate::auth::audit::{Act, Audit, Row};
use crate::auth::credentials::{self, Credential};
use crate::auth::{
    Authenticator, Identity, Refusal, ReplayGuard, Revocations, Scope, Scopes, TicketId, Tickets, origin,
};
use crate::domain::Timestamp;
use crate::stream::{Backend, Close, Holder, Refreshing, Renewal, Session};
use crate::telemetry::Metrics;

/// Checks who comes, counts who is refused, and tells the audit trail of all.
#[derive(Debug)]
pub struct Gate {
    /// Checks tokens.
    pub authenticator: Arc<Authenticator>,
    /// Lets a token open one stream.
    pub guard: Arc<ReplayGuard>,
    /// Reopens streams.
    pub tickets: Tickets,
    /// What is refused although it is signed.
    pub revocations: Revocations,
    /// Where all that is told.
    pub audit: Audit,
    /// Web pages that may connect beside the daemon's own: `auth.allowed_origins`.
    pub allowed_origins: Vec<String>,
    /// Where refusals are counted.
    pub metrics: Metrics,
}

/// Of a request, what the gate looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    headers: &'a HeaderMap,
    uri: &'a Uri,
    from: IpAddr,
}

impl<'a> From<&'a Request> for Asked<'a> {
    fn from(request: &'a Request) -> Self {
        Self { headers: request.headers(), uri: request.uri(), from: ClientAddress::of(request).0 }
    }
}

impl<'a> From<&'a request::Parts> for Asked<'a> {
    fn from(parts: &'a request::Parts) -> Self {
        Self { headers: &parts.headers, uri: &parts.uri, from: ClientAddress::among(&parts.extensions).0 }
    }
}

/// Who wants a stream, and with what.
pub(super) struct Visitor {
    pub identity: Identity,
    pub from: IpAddr,
    pass: Pass,
}

/// What is used up when a stream opens.
enum Pass {
    Token,
    Ticket(TicketId),
}

impl Visitor {
    /// What their token or ticket is called; `None`: a token without a name, which opens nothing.
    pub(super) fn pass(&self) -> Option<String> {
        match &self.pass {
            Pass::Token => self.identity.jti.as_ref().map(|jti| format!("token {jti}")),
            Pass::Ticket(id) => Some(format!("ticket {}", id.as_str())),
        }
    }

    /// The beginning of a row of the audit trail.
    fn row(&self, now: Timestamp) -> Row {
        let act = match self.pass {
            Pass::Token => Act::Open,
            Pass::Ticket(_) => Act::Resume,
        };
        Row::new(act, now).from(self.from).by(&self.identity).with(Some(Scope::Stream))
    }
}

impl Gate {
    /// Who sends a request, if the token has one of these scopes.
    pub(super) fn identify<'a>(
        &self,
        asked: impl Into<Asked<'a>>,
        act: Act,
        one_of: &[Scope],
        now: Timestamp,
    ) -> Result<Identity, Problem> {
        let asked = asked.into();
        let row = Row::new(act, now).from(asked.from);
        let token = credentials::token(asked.headers, asked.uri.query());
        let identity = match token.and_then(|token| self.authenticator.authenticate(token, now)) {
            Ok(identity) => identity,
            Err(refusal) => return Err(self.refused(row, refusal)),
        };
        let row = row.by(&identity).with(one_of.iter().copied().find(|&scope| identity.allows(scope)));
        if let Err(refusal) = self.stands(&identity, one_of) {
            return Err(self.refused(row, refusal));
        }
        self.audit.count(row);
        Ok(identity)
    }

    /// Who wants a stream. Looks at everything but whether what was shown was used before; see [`Self::admit`].
    pub(super) fn visitor(&self, asked: Asked<'_>, now: Timestamp) -> Result<Visitor, Problem> {
        let Asked { headers, uri, from } = asked;
        let shown = || match credentials::from_headers(headers, uri.query())? {
            Credential::Ticket(ticket) => {
                let (identity, id) = self.tickets.check(ticket, now)?;
                Ok(Visitor { identity, from, pass: Pass::Ticket(id) })
            }
            Credential::Token(token) => {
                let identity = self.authenticator.authenticate(token, now)?;
                Ok(Visitor { identity, from, pass: Pass::Token })
            }
        };
        let visitor = shown().map_err(|refusal| self.refused(Row::new(Act::Open, now).from(from), refusal))?;
        let stands = self.stands(&visitor.identity, &[Scope::Stream]);
        let stands = stands.and_then(|()| origin::check(headers, &self.allowed_origins));
        stands.map_err(|refusal| self.refused(visitor.row(now), refusal))?;
        Ok(visitor)
    }

    /// Uses up what the visitor showed. Their stream has its place by now: what is revoked from now on reaches it there.
    pub(super) async fn admit(&self, visitor: &Visitor, now: Timestamp) -> Result<(), Problem> {
        let Visitor { identity, pass, .. } = visitor;
        let admitted = match self.stands(identity, &[Scope::Stream]) {
            Ok(()) => match pass {
                Pass::Token => self.guard.admit(identity, now).await,
                Pass::Ticket(id) => self.tickets.redeem(id, identity, now).await,
            },
            refused => refused,
        };
        admitted.map_err(|refusal| self.refused(visitor.row(now), refusal))?;
        self.audit.tell(visitor.row(now));
        Ok(())
    }

    /// Refuses a visitor whose token or ticket opens another stream right now.
    pub(super) fn replayed(&self, visitor: &Visitor, now: Timestamp) -> Problem {
        self.refused(visitor.row(now), Refusal::Replayed)
    }

    /// Takes note of a visitor for whom there is no place.
    pub(super) fn turned_away(&self, visitor: &Visitor, why: &'static str, now: Timestamp) {
        self.audit.count(visitor.row(now).ended(why));
    }

    /// Takes note of a stream that ended.
    pub(super) fn left(&self, visitor: &Visitor, close: Option<Close>, now: Timestamp) {
        let row = Row::new(Act::Close, now).from(visitor.from).by(&visitor.identity);
        self.audit.tell(Row { code: close.map(Close::code), ..row });
    }

    /// Takes note of a stream that an administrator cut off.
    pub(super) fn cut(&self, asked: Asked<'_>, by: &Identity, holder: &Holder, now: Timestamp) {
        let row = Row::new(Act::Cut, now).from(asked.from);
        let (sub, jti) = (Some(Arc::clone(&holder.subject)), Some(Arc::clone(&holder.token)));
        self.audit.tell(Row { sub, jti, by: Some(Arc::clone(&by.subject)), ..row });
    }

    /// Whether somebody whose token is good is let in.
    fn stands(&self, identity: &Identity, one_of: &[Scope]) -> Result<(), Refusal> {
        if self.revocations.cover(identity) {
            return Err(Refusal::Revoked);
        }
        identity.require(one_of)
    }

    /// The rights of a stream of this identity.
    pub(super) fn session(&self, identity: &Identity, now: Timestamp) -> Session {
        Session {
            id: format!("{:032x}", rand::random::<u128>()),
            expires: identity.expires,
            scopes: identity.scopes.to_string().into(),
            may_observe: identity.allows(Scope::Observe),
            resume: self.tickets.issue(identity, now),
            since: None,
        }
    }

    fn refused(&self, row: Row, refusal: Refusal) -> Problem {
        self.count(row, refusal);
        refusal.into()
    }

    fn count(&self, row: Row, refusal: Refusal) {
        self.audit.count(row.ended(refusal.reason()));
        self.metrics.auth_failures_total.with_label_values(&[refusal.reason()]).inc();
        if matches!(refusal, Refusal::InsufficientScope(_)) {
            self.metrics.ws_scope_reject_total.inc();
        }
    }

    fn renew(&self, scopes: &str, holder: &Holder, token: &str, now: Timestamp) -> Result<Renewal, &'static str> {
        let row = Row::new(Act::Refresh, now).from(holder.address);
        let refused = |row: &Row, refusal: Refusal| {
            self.count(row.clone(), refusal);
            refusal.detail()
        };
        let identity = self.authenticator.authenticate(token, now).map_err(|refusal| refused(&row, refusal))?;
        let row = row.by(&identity).with(Some(Scope::Stream));
        self.stands(&identity, &[Scope::Stream]).map_err(|refusal| refused(&row, refusal))?;
        let jti = identity.jti.clone().ok_or_else(|| refused(&row, Refusal::MissingTokenId))?;
        if identity.subject != holder.subject {
            self.audit.count(row.ended("another_sub"));
            return Err("the token is of another sub");
        }
        if !identity.scopes.is_subset(Scopes::from_words(scopes.split(' '))) {
            self.audit.count(row.ended("wider_scope"));
            return Err("the token has a scope that the stream does not have; open another one");
        }
        self.audit.tell(row);
        Ok(Renewal {
            token: jti,
            issued: identity.issued,
            expires: identity.expires,
            scopes: identity.scopes.to_string().into(),
            may_observe: identity.allows(Scope::Observe),
            resume: self.tickets.issue(&identity, now),
        })
    }
}

/// The rest of the house, as streams see it.
pub(super) struct StreamBackend {
    pub gate: Arc<Gate>,
    pub intake: Arc<Intake>,
    pub clock: Clock,
}

impl Backend for StreamBackend {
    fn refresh(&self, session: &Session, holder: &Holder, token: String) -> Refreshing {
        let renewal = self.gate.renew(&session.scopes, holder, &token, self.now());
        Box::pin(std::future::ready(renewal))
    }

    fn observe(&self, json: &str) -> Result<(), String> {
        self.intake.observe(json, self.now())
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
