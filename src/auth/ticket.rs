use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::key::TicketKey;
use super::replay::Sort;
use super::{Authenticator, Identity, KeysError, MAX_TOKEN, Refusal, ReplayGuard, Scopes};
use crate::domain::Timestamp;

/// Resume tickets: each reopens a stream once, with what the token allowed and no longer than the token.
///
/// A ticket is two parts of base64url with a dot between, so that it can stand in `Sec-WebSocket-Protocol`: what it
/// says, and its HMAC under a key that is derived for nothing else.
#[derive(Debug)]
pub struct Tickets {
    authenticator: Arc<Authenticator>,
    guard: Arc<ReplayGuard>,
    /// Signs where no secret is configured at all; good on this pod only.
    fallback: TicketKey,
}

/// What a ticket says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    id: String,
    sub: Arc<str>,
    scope: String,
    jti: Option<Arc<str>>,
    kid: Arc<str>,
    /// Nanoseconds since 1970.
    expires: Timestamp,
    /// When the token was issued, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued: Option<Timestamp>,
}

impl Tickets {
    /// Tickets that are signed with the authenticator's keys, as they are in force at the time, and used up in `guard`.
    ///
    /// # Errors
    /// [`KeysError::Backend`].
    pub fn new(authenticator: Arc<Authenticator>, guard: Arc<ReplayGuard>) -> Result<Self, KeysError> {
        let secret: [u8; 48] = rand::random();
        let fallback = TicketKey::derive(&secret).map_err(|_| KeysError::Backend)?;
        Ok(Self { authenticator, guard, fallback })
    }

    /// A ticket for whom this is, or an empty text, which is no ticket, when its token has expired.
    pub fn issue(&self, identity: &Identity, now: Timestamp) -> String {
        if now >= identity.expires {
            return String::new();
        }
        let id: [u8; 16] = rand::random();
        let content = Content {
            id: URL_SAFE_NO_PAD.encode(id),
            sub: identity.subject.clone(),
            scope: identity.scopes.to_string(),
            jti: identity.jti.clone(),
            kid: identity.kid.clone(),
            expires: identity.expires,
            issued: identity.issued,
        };
        let json = serde_json::to_vec(&content).unwrap_or_default();
        let payload = URL_SAFE_NO_PAD.encode(json);
        let keys = self.authenticator.keys();
        let key = keys.ticket(&identity.kid).unwrap_or(&self.fallback);
        key.sign(payload.as_bytes()).map(|signature| format!("{payload}.{signature}")).unwrap_or_default()
    }

    /// Whom a ticket was issued to, if its time is not over and the key of its token is still in force. It is as yet good
    /// for a stream only after [`Self::redeem`]; revocation is for the caller to look at, as with a token.
    ///
    /// # Errors
    /// [`Refusal::BadTicket`], [`Refusal::UnknownKey`], [`Refusal::Expired`].
    pub fn check(&self, ticket: &str, now: Timestamp) -> Result<(Identity, TicketId), Refusal> {
        if ticket.len() > MAX_TOKEN {
            return Err(Refusal::BadTicket);
        }
        let (payload, signature) = ticket.split_once('.').ok_or(Refusal::BadTicket)?;
        let keys = self.authenticator.keys();
        let mut known = keys.tickets().chain([&self.fallback]);
        if !known.any(|key| key.verify(payload.as_bytes(), signature)) {
            return Err(Refusal::BadTicket);
        }
        let json = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Refusal::BadTicket)?;
        let Content { id, sub, scope, jti, kid, expires, issued } =
            serde_json::from_slice(&json).map_err(|_| Refusal::BadTicket)?;
        if keys.get(&kid).is_none() {
            return Err(Refusal::UnknownKey);
        }
        if now >= expires {
            return Err(Refusal::Expired);
        }
        let scopes = Scopes::from_words(scope.split(' '));
        Ok((Identity { subject: sub, scopes, jti, expires, issued, kid }, TicketId(id)))
    }

    /// Uses a ticket up, on all pods.
    ///
    /// # Errors
    /// [`Refusal::Replayed`], [`Refusal::GuardFull`], [`Refusal::GuardAway`]; [`Refusal::Expired`].
    pub async fn redeem(&self, id: &TicketId, identity: &Identity, now: Timestamp) -> Result<(), Refusal> {
        self.guard.consume(Sort::Ticket, &id.0, identity.expires, now).await
    }
}

/// What a ticket is called, to be used up once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketId(String);

impl TicketId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
