//! Where a client shows its token: the header `Authorization`, or, on a stream, a subprotocol, since browsers cannot
//! set headers there. Never the query string.

use std::fmt;

use http::HeaderMap;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};

use super::Refusal;

/// The subprotocol of the stream, the only one that is ever selected.
pub const PROTOCOL: &str = "metacog.v1";

/// What a client shows. `Debug` shows the kind only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credential<'a> {
    /// A JWT.
    Token(&'a str),
    /// A resume ticket.
    Ticket(&'a str),
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token",
            Self::Ticket(_) => "Ticket",
        })
    }
}

/// The one credential of a request for a stream.
///
/// # Errors
/// When there is none, more than one, one that cannot be read, or one in the query string.
pub fn from_headers<'a>(headers: &'a HeaderMap, query: Option<&str>) -> Result<Credential<'a>, Refusal> {
    if query.is_some_and(holds_token) {
        return Err(Refusal::TokenInQuery);
    }
    let header = authorization(headers)?;
    let offered = subprotocols(headers)?;
    match (header, offered) {
        (Some(_), Some(_)) => Err(Refusal::SeveralCredentials),
        (Some(token), None) => Ok(Credential::Token(token)),
        (None, Some(credential)) => Ok(credential),
        (None, None) => Err(Refusal::Missing),
    }
}

/// The token of any other request: subprotocols are for streams, tickets too.
///
/// # Errors
/// As [`from_headers`].
pub fn token<'a>(headers: &'a HeaderMap, query: Option<&str>) -> Result<&'a str, Refusal> {
    match from_headers(headers, query)? {
        Credential::Token(token) => Ok(token),
        Credential::Ticket(_) => Err(Refusal::TicketNotTaken),
    }
}

fn authorization(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::SeveralCredentials);
    }
    let value = value.to_str().map_err(|_| Refusal::BadCredentials)?.trim();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        // RFC 6750, section 3.1: another scheme is as if there were no credentials.
        return Ok(None);
    }
    let token = token.trim();
    if token.is_empty() || token.contains([' ', ',', '\t']) { Err(Refusal::BadCredentials) } else { Ok(Some(token)) }
}

fn subprotocols(headers: &HeaderMap) -> Result<Option<Credential<'_>>, Refusal> {
    let mut found = None;
    let mut speaks_ours = false;
    for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let value = value.to_str().map_err(|_| Refusal::BadCredentials)?;
        for offered in value.split(',').map(str::trim) {
            let credential = match offered.split_once('.') {
                _ if offered == PROTOCOL => {
                    speaks_ours = true;
                    continue;
                }
                Some(("bearer", token)) => Credential::Token(token),
                Some(("resume", ticket)) => Credential::Ticket(ticket),
                _ => continue,
            };
            if found.replace(credential).is_some() {
                return Err(Refusal::SeveralCredentials);
            }
        }
    }
    match found {
        Some(Credential::Token("") | Credential::Ticket("")) => Err(Refusal::BadCredentials),
        // The server must select one of what is offered, and it must not be the one with the token.
        Some(_) if !speaks_ours => Err(Refusal::NoSubprotocol),
        found => Ok(found),
    }
}

/// Whether a query string holds a token: by the parameter's name, or because its value has the shape of a JWT.
fn holds_token(query: &str) -> bool {
    const NAMES: [&str; 7] = ["access_token", "token", "jwt", "bearer", "authorization", "ticket", "resume"];
    query.split(['&', ';']).any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = percent_decoded(name);
        let value = percent_decoded(value);
        NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)) || value.split_whitespace().any(is_jwt_shaped)
    })
}

/// Three parts, the first of which begins like an encoded JSON object.
fn is_jwt_shaped(text: &str) -> bool {
    text.starts_with("eyJ") && text.split('.').count() == 3
}

fn percent_decoded(text: &str) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let mut bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        match (first, hex(rest.first()), hex(rest.get(1))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                bytes = rest.get(2..).unwrap_or_default();
            }
            (b'+', _, _) => decoded.push(b' '),
            _ => decoded.push(*first),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn bearer(value: &str) -> HeaderMap {
        headers(&[(AUTHORIZATION, value)])
    }

    fn offers(value: &str) -> HeaderMap {
        headers(&[(SEC_WEBSOCKET_PROTOCOL, value)])
    }

    #[test]
    fn tokens_come_in_the_header() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c "] {
            assert_eq!(from_headers(&bearer(value), Some("since=1:2")), Ok(Credential::Token("a.b.c")), "{value}");
        }
        for value in ["Basic dXNlcjpwYXNz", "Bearerish a.b.c", "token"] {
            assert_eq!(from_headers(&bearer(value), None), Err(Refusal::Missing), "{value}");
        }
        for value in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,Bearer b"] {
            assert_eq!(from_headers(&bearer(value), None), Err(Refusal::BadCredentials), "{value}");
        }
        assert_eq!(from_headers(&HeaderMap::new(), None), Err(Refusal::Missing));
    }

    #[test]
    fn tokens_and_tickets_come_as_subprotocols() {
        assert_eq!(from_headers(&offers("metacog.v1, bearer.a.b.c"), None), Ok(Credential::Token("a.b.c")));
        assert_eq!(from_headers(&offers("resume.p.s,metacog.v1"), None), Ok(Credential::Ticket("p.s")));
        let lines = headers(&[(SEC_WEBSOCKET_PROTOCOL, "metacog.v1"), (SEC_WEBSOCKET_PROTOCOL, "bearer.a.b.c")]);
        assert_eq!(from_headers(&lines, None), Ok(Credential::Token("a.b.c")));
        assert_eq!(from_headers(&offers("metacog.v1, chat"), None), Err(Refusal::Missing));
        assert_eq!(from_headers(&offers("bearer.a.b.c"), None), Err(Refusal::NoSubprotocol));
        assert_eq!(from_headers(&offers("metacog.v1, bearer."), None), Err(Refusal::BadCredentials));
        assert_eq!(token(&offers("metacog.v1, resume.p.s"), None), Err(Refusal::TicketNotTaken));
    }

    #[test]
    fn one_credential_is_enough() {
        let both = headers(&[(AUTHORIZATION, "Bearer a.b.c"), (SEC_WEBSOCKET_PROTOCOL, "metacog.v1, bearer.a.b.c")]);
        let twice = headers(&[(AUTHORIZATION, "Bearer a.b.c"), (AUTHORIZATION, "Bearer a.b.c")]);
        let mixed = offers("metacog.v1, bearer.a.b.c, resume.p.s");
        for headers in [both, twice, mixed] {
            assert_eq!(from_headers(&headers, None), Err(Refusal::SeveralCredentials));
        }
    }

    #[test]
    fn tokens_in_the_query_are_refused_even_beside_a_good_one() {
        for query in [
            "access_token=a.b.c",
            "since=1:2&token=x",
            "TOKEN=x",
            "access%5Ftoken=x",
            "jwt",
            "a=b;bearer=x",
            "Authorization=Bearer+x",
            "q=eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
            "q=Bearer%20eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
        ] {
            assert_eq!(from_headers(&bearer("Bearer a.b.c"), Some(query)), Err(Refusal::TokenInQuery), "{query}");
        }
        for query in ["", "since=3:1202", "tokens=5", "q=eyJ", "%", "%4", "a=%zz"] {
            assert!(from_headers(&bearer("Bearer a.b.c"), Some(query)).is_ok(), "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_headers_and_query_get_an_answer(value in "\\PC*", query in "\\PC*") {
            for name in [AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL] {
                let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) else { continue };
                let headers: HeaderMap = [(name, value)].into_iter().collect();
                let _ = from_headers(&headers, Some(&query));
            }
        }
    }
}
