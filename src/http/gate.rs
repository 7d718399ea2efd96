//! Who is let in: the rooms of `auth` put together.

use std::sync::Arc;

use axum::http::{HeaderMap, Uri};

use super::intake::Intake;
use super::problem::Problem;
use super::services::Clock;
use crate::auth::credentials::{self, Credential};
use crate::auth::{Authenticator, Identity, Refusal, ReplayGuard, Scope, Scopes, Tickets, origin};
use crate::domain::Timestamp;
use crate::stream::{Backend, Holder, Refreshing, Renewal, Session};
use crate::telemetry::Metrics;

/// Checks who comes, and counts who is refused.
#[derive(Debug)]
pub struct Gate {
    /// Checks tokens.
    pub authenticator: Arc<Authenticator>,
    /// Lets a token open one stream.
    pub guard: Arc<ReplayGuard>,
    /// Reopens streams.
    pub tickets: Tickets,
    /// Web pages that may connect beside the daemon's own: `auth.allowed_origins`.
    pub allowed_origins: Vec<String>,
    /// Where refusals are counted.
    pub metrics: Metrics,
}

impl Gate {
    /// Who sends a request, if the token has one of these scopes.
    pub(super) fn identify(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        one_of: &[Scope],
        now: Timestamp,
    ) -> Result<Identity, Problem> {
        let token = credentials::token(headers, uri.query());
        let identity = token.and_then(|token| self.authenticator.authenticate(token, now));
        let allowed = identity.and_then(|identity| identity.require(one_of).map(|()| identity));
        allowed.map_err(|refusal| self.refused(refusal))
    }

    /// Who wants a stream. Looks at everything but whether the token opened one before; see [`Self::admit`].
    pub(super) fn visitor<'a>(
        &self,
        headers: &'a HeaderMap,
        uri: &Uri,
        now: Timestamp,
    ) -> Result<Visitor<'a>, Problem> {
        let check = || {
            let visitor = match credentials::from_headers(headers, uri.query())? {
                Credential::Ticket(ticket) => Visitor::Ticket(ticket),
                Credential::Token(token) => {
                    let identity = self.authenticator.authenticate(token, now)?;
                    identity.require(&[Scope::Stream])?;
                    Visitor::Token(identity)
                }
            };
            origin::check(headers, &self.allowed_origins)?;
            Ok(visitor)
        };
        check().map_err(|refusal| self.refused(refusal))
    }

    /// Uses up what the visitor showed. The identity is as yet good for a stream only after [`Self::admit`].
    pub(super) fn redeem(&self, visitor: Visitor<'_>, now: Timestamp) -> Result<(Identity, Admission), Problem> {
        match visitor {
            Visitor::Token(identity) => Ok((identity, Admission::Pending)),
            Visitor::Ticket(ticket) => {
                let redeemed = self.tickets.redeem(ticket, now);
                let allowed = redeemed.and_then(|identity| identity.require(&[Scope::Stream]).map(|()| identity));
                allowed.map(|identity| (identity, Admission::Done)).map_err(|refusal| self.refused(refusal))
            }
        }
    }

    /// Lets a token open its one stream.
    pub(super) fn admit(&self, identity: &Identity, admission: Admission, now: Timestamp) -> Result<(), Problem> {
        match admission {
            Admission::Done => Ok(()),
            Admission::Pending => self.guard.admit(identity, now).map_err(|refusal| self.refused(refusal)),
        }
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

    fn refused(&self, refusal: Refusal) -> Problem {
        self.count(refusal);
        refusal.into()
    }

    fn count(&self, refusal: Refusal) {
        self.metrics.auth_failures_total.with_label_values(&[refusal.reason()]).inc();
        if matches!(refusal, Refusal::InsufficientScope(_)) {
            self.metrics.ws_scope_reject_total.inc();
        }
    }

    fn renew(&self, scopes: &str, subject: &str, token: &str, now: Timestamp) -> Result<Renewal, &'static str> {
        let refused = |refusal: Refusal| {
            self.count(refusal);
            refusal.detail()
        };
        let identity = self.authenticator.authenticate(token, now).map_err(refused)?;
        identity.require(&[Scope::Stream]).map_err(refused)?;
        let jti = identity.jti.clone().ok_or(Refusal::MissingTokenId).map_err(refused)?;
        if *identity.subject != *subject {
            return Err("the token is of another sub");
        }
        if !identity.scopes.is_subset(Scopes::from_words(scopes.split(' '))) {
            return Err("the token has a scope that the stream does not have; open another one");
        }
        Ok(Renewal {
            token: jti,
            expires: identity.expires,
            scopes: identity.scopes.to_string().into(),
            may_observe: identity.allows(Scope::Observe),
            resume: self.tickets.issue(&identity, now),
        })
    }
}

/// Who wants a stream, and with what.
pub(super) enum Visitor<'a> {
    /// With a token that is good, unless it was used.
    Token(Identity),
    /// With a ticket, not looked at yet.
    Ticket(&'a str),
}

/// Whether a token has still to be checked for replay.
#[derive(Debug, Clone, Copy)]
pub(super) enum Admission {
    Pending,
    Done,
}

/// The rest of the house, as streams see it.
pub(super) struct StreamBackend {
    pub gate: Arc<Gate>,
    pub intake: Arc<Intake>,
    pub clock: Clock,
}

impl Backend for StreamBackend {
    fn refresh(&self, session: &Session, holder: &Holder, token: String) -> Refreshing {
        let renewal = self.gate.renew(&session.scopes, &holder.subject, &token, self.now());
        Box::pin(std::future::ready(renewal))
    }

    fn observe(&self, json: &str) -> Result<(), String> {
        self.intake.observe(json, self.now())
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
