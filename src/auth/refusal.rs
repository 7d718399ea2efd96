use http::StatusCode;

use super::Scope;

/// Why somebody is not let in. Its texts are fixed: they quote nothing of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.detail())]
pub enum Refusal {
    /// No credentials, or of a kind that is not known here.
    Missing,
    /// An `Authorization` header or subprotocol that cannot be read.
    BadCredentials,
    /// More than one token or ticket.
    SeveralCredentials,
    /// A token in the query string.
    TokenInQuery,
    /// A token or ticket offered without the subprotocol `metacog.v1`.
    NoSubprotocol,
    /// A resume ticket where only a token is taken.
    TicketNotTaken,
    /// Longer than [`super::MAX_TOKEN`].
    TooLarge,
    /// Not a JWT.
    Malformed,
    /// A claim or header parameter stands twice.
    Duplicate,
    /// A header parameter that brings its own key (`jwk`, `jku`, `x5u`, `x5c`).
    KeyInHeader,
    /// A critical extension (`crit`); none is known here.
    Critical,
    /// No key of this `kid`, or no `kid` where there are several keys.
    UnknownKey,
    /// Not the key's algorithm.
    WrongAlgorithm,
    /// The signature is not the key's.
    BadSignature,
    /// No `exp`.
    MissingExpiry,
    /// `exp`, `nbf` or `iat` is no time of our age.
    BadTime,
    /// Its time is over.
    Expired,
    /// Its time has not come (`nbf`).
    NotYetValid,
    /// It was issued in the future (`iat`).
    IssuedInFuture,
    /// Good for longer than is accepted.
    LifetimeTooLong,
    /// `sub` is missing, empty, too long or holds control characters.
    BadSubject,
    /// `scope` is missing or neither a text nor a list of texts.
    BadScope,
    /// `jti` is not a text of acceptable length.
    BadTokenId,
    /// `aud` names none of the accepted audiences.
    WrongAudience,
    /// `iss` is none of the accepted issuers.
    WrongIssuer,
    /// No `jti`, which a stream needs.
    MissingTokenId,
    /// The token has opened a stream before, or the ticket has reopened one.
    Replayed,
    /// The replay guard is full of tokens that are still valid.
    GuardFull,
    /// Redis is away, and no stream is opened while it is.
    GuardAway,
    /// The token, its `sub`, or all tokens of its time were revoked.
    Revoked,
    /// Not a ticket of ours.
    BadTicket,
    /// The token does not allow this.
    InsufficientScope(Scope),
    /// A web page of another origin.
    ForeignOrigin,
}

/// Status, error code of RFC 6750, reason, detail.
type Row = (u16, Option<&'static str>, &'static str, &'static str);

const INVALID_REQUEST: Option<&str> = Some("invalid_request");
const INVALID_TOKEN: Option<&str> = Some("invalid_token");

impl Refusal {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 33] = [
        Self::Missing,
        Self::BadCredentials,
        Self::SeveralCredentials,
        Self::TokenInQuery,
        Self::NoSubprotocol,
        Self::TicketNotTaken,
        Self::TooLarge,
        Self::Malformed,
        Self::Duplicate,
        Self::KeyInHeader,
        Self::Critical,
        Self::UnknownKey,
        Self::WrongAlgorithm,
        Self::BadSignature,
        Self::MissingExpiry,
        Self::BadTime,
        Self::Expired,
        Self::NotYetValid,
        Self::IssuedInFuture,
        Self::LifetimeTooLong,
        Self::BadSubject,
        Self::BadScope,
        Self::BadTokenId,
        Self::WrongAudience,
        Self::WrongIssuer,
        Self::MissingTokenId,
        Self::Replayed,
        Self::GuardFull,
        Self::GuardAway,
        Self::Revoked,
        Self::BadTicket,
        Self::InsufficientScope(Scope::Stream),
        Self::ForeignOrigin,
    ];

    /// A short name, for the label of a metric.
    pub const fn reason(self) -> &'static str {
        self.row().2
    }

    /// The error code of RFC 6750, section 3.1; none where no credentials were given or they are not what is wrong.
    pub const fn error(self) -> Option<&'static str> {
        self.row().1
    }

    /// 400, 401 or 403; 503 when the replay guard is full, or is needed and away.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::UNAUTHORIZED)
    }

    /// What is wrong, for people.
    pub const fn detail(self) -> &'static str {
        self.row().3
    }

    /// The value of the header `WWW-Authenticate`, for answers 401 and 403 (and 400, where RFC 6750 allows it).
    pub fn www_authenticate(self) -> String {
        let mut value = "Bearer realm=\"consciousness-system\"".to_owned();
        if let Some(error) = self.error() {
            value += &format!(", error=\"{error}\", error_description=\"{}\"", self.detail());
        }
        if let Self::InsufficientScope(scope) = self {
            value += &format!(", scope=\"{scope}\"");
        }
        value
    }

    const fn row(self) -> Row {
        match self {
            Self::Missing => (401, None, "missing", "a bearer token is needed"),
            Self::BadCredentials => (
                400,
                INVALID_REQUEST,
                "bad_credentials",
                "the credentials cannot be read; send one header: Authorization: Bearer, and the token",
            ),
            Self::SeveralCredentials => {
                (400, INVALID_REQUEST, "several_credentials", "send one token or ticket, in one way")
            }
            Self::TokenInQuery => (
                400,
                INVALID_REQUEST,
                "token_in_query",
                "a token in a URL ends up in logs and histories; send it in the header Authorization or as a subprotocol, \
                 and replace this one",
            ),
            Self::NoSubprotocol => {
                (400, INVALID_REQUEST, "no_subprotocol", "offer the subprotocol metacog.v1 beside the token")
            }
            Self::TicketNotTaken => {
                (400, INVALID_REQUEST, "ticket_not_taken", "a resume ticket only reopens a stream; send a token")
            }
            Self::TooLarge => (401, INVALID_TOKEN, "too_large", "the token is too long"),
            Self::Malformed => (401, INVALID_TOKEN, "malformed", "the token is not a well-formed JWT"),
            Self::Duplicate => (401, INVALID_TOKEN, "duplicate", "a name stands twice in the token"),
            Self::KeyInHeader => (401, INVALID_TOKEN, "key_in_header", "the token brings a key of its own"),
            Self::Critical => {
                (401, INVALID_TOKEN, "critical", "the token has a critical extension; none is known here")
            }
            Self::UnknownKey => {
                (401, INVALID_TOKEN, "unknown_key", "the token is signed by a key that is not known here")
            }
            Self::WrongAlgorithm => {
                (401, INVALID_TOKEN, "wrong_algorithm", "the token does not use its key's algorithm")
            }
            Self::BadSignature => (401, INVALID_TOKEN, "bad_signature", "the signature of the token is wrong"),
            Self::MissingExpiry => (401, INVALID_TOKEN, "missing_expiry", "the token has no exp"),
            Self::BadTime => {
                (401, INVALID_TOKEN, "bad_time", "exp, nbf or iat is not a sensible number of seconds since 1970")
            }
            Self::Expired => (401, INVALID_TOKEN, "expired", "the token has expired"),
            Self::NotYetValid => (401, INVALID_TOKEN, "not_yet_valid", "the token is not valid yet"),
            Self::IssuedInFuture => (401, INVALID_TOKEN, "issued_in_future", "the token was issued in the future"),
            Self::LifetimeTooLong => {
                (401, INVALID_TOKEN, "lifetime_too_long", "the token is valid for longer than is accepted here")
            }
            Self::BadSubject => (401, INVALID_TOKEN, "bad_subject", "the token needs a sub of 1 to 256 bytes"),
            Self::BadScope => {
                (401, INVALID_TOKEN, "bad_scope", "the token needs a scope: words with spaces between, or a list")
            }
            Self::BadTokenId => {
                (401, INVALID_TOKEN, "bad_token_id", "the jti of the token must be a text of 1 to 256 bytes")
            }
            Self::WrongAudience => (401, INVALID_TOKEN, "wrong_audience", "the token is not meant for this service"),
            Self::WrongIssuer => (401, INVALID_TOKEN, "wrong_issuer", "the issuer of the token is not accepted here"),
            Self::MissingTokenId => (401, INVALID_TOKEN, "missing_token_id", "a stream needs a token with a jti"),
            Self::Replayed => (401, INVALID_TOKEN, "replayed", "this was used before, and is good for one stream only"),
            Self::GuardFull => (503, None, "guard_full", "too many tokens are in use; try again later"),
            Self::GuardAway => {
                (503, None, "guard_away", "whether this was used before cannot be looked up now; try again later")
            }
            Self::Revoked => (401, INVALID_TOKEN, "revoked", "the token was revoked"),
            Self::BadTicket => {
                (401, INVALID_TOKEN, "bad_ticket", "the resume ticket is not valid; connect with a token")
            }
            Self::InsufficientScope(_) => {
                (403, Some("insufficient_scope"), "insufficient_scope", "the token lacks the scope that this needs")
            }
            Self::ForeignOrigin => {
                (403, None, "foreign_origin", "pages of this origin may not connect; see auth.allowed_origins")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn reasons_are_distinct_label_values() {
        let reasons: HashSet<_> = Refusal::ALL.iter().map(|refusal| refusal.reason()).collect();
        assert_eq!(reasons.len(), Refusal::ALL.len());
        assert!(reasons.iter().all(|reason| reason.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }

    #[test]
    fn codes_and_statuses_agree_as_rfc_6750_says() {
        for refusal in Refusal::ALL {
            let expected = match refusal.error() {
                Some("invalid_request") => 400,
                Some("invalid_token") => 401,
                Some("insufficient_scope") => 403,
                Some(other) => panic!("{other} is no code of RFC 6750"),
                None => continue,
            };
            assert_eq!(refusal.status().as_u16(), expected, "{refusal:?}");
        }
        assert_eq!(Refusal::Missing.status().as_u16(), 401);
        assert_eq!(Refusal::ForeignOrigin.status().as_u16(), 403);
    }

    #[test]
    fn the_header_value_is_well_formed() {
        for refusal in Refusal::ALL {
            // The alphabet of error_description, RFC 6750, section 3.
            assert!(
                refusal.detail().bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)),
                "{refusal:?}"
            );
            assert!(http::HeaderValue::from_str(&refusal.www_authenticate()).is_ok());
        }
        assert_eq!(Refusal::Missing.www_authenticate(), "Bearer realm=\"consciousness-system\"");
        let scope = Refusal::InsufficientScope(Scope::MetricsRead).www_authenticate();
        assert!(scope.contains("error=\"insufficient_scope\"") && scope.ends_with("scope=\"metrics.read\""), "{scope}");
    }
}
