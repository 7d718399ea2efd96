//! Which web pages may connect. Browsers send `Origin`; others need not, and a token is asked of all.

use http::HeaderMap;
use http::header::{HOST, ORIGIN};

use super::Refusal;

/// Lets a request through that has no `Origin`, the request's own host as its `Origin` (RFC 6454), or one of `allowed`.
/// A page without an origin of its own (`null`) must be listed as well.
///
/// # Errors
/// [`Refusal::ForeignOrigin`].
pub fn check(headers: &HeaderMap, allowed: &[String]) -> Result<(), Refusal> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let origin = origin.to_str().map_err(|_| Refusal::ForeignOrigin)?;
    if origins.next().is_some() {
        return Err(Refusal::ForeignOrigin);
    }
    let host = match headers.get(HOST).map(|host| host.to_str()) {
        Some(Ok(host)) => Some(host),
        _ => None,
    };
    let listed = allowed.iter().any(|known| is_same(known, origin));
    let own = host.is_some_and(|host| is_own(origin, host));
    if listed || own { Ok(()) } else { Err(Refusal::ForeignOrigin) }
}

/// Whether a text is an origin: `null`, or a scheme, a host and perhaps a port, with nothing behind.
pub fn is_well_formed(origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return origin == "null" };
    let (host, port) = split(authority);
    let good_scheme = scheme.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let good_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
    good_scheme && good_host && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Whether two origins are the same, default ports and letters' case apart.
fn is_same(one: &str, other: &str) -> bool {
    match (one.split_once("://"), other.split_once("://")) {
        (Some((scheme, authority)), Some((other_scheme, other_authority))) => {
            scheme.eq_ignore_ascii_case(other_scheme) && is_same_authority(scheme, authority, other_authority)
        }
        (None, None) => one == other,
        _ => false,
    }
}

/// Whether a page of this origin was served by this host. Which scheme it was served with is not known behind a proxy
/// that ends TLS: the page's is taken.
fn is_own(origin: &str, host: &str) -> bool {
    match origin.split_once("://") {
        Some((scheme, authority)) => default_port(scheme).is_some() && is_same_authority(scheme, authority, host),
        None => false,
    }
}

fn is_same_authority(scheme: &str, one: &str, other: &str) -> bool {
    let ((host, port), (other_host, other_port)) = (split(one), split(other));
    let port = port.or(default_port(scheme));
    let other_port = other_port.or(default_port(scheme));
    !host.is_empty() && host.eq_ignore_ascii_case(other_host) && port == other_port
}

/// Host and port; the colons within the brackets of an IPv6 address are none before a port.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        _ if scheme.eq_ignore_ascii_case("https") => Some("443"),
        _ if scheme.eq_ignore_ascii_case("http") => Some("80"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn checked(origin: &str, host: &str, allowed: &[&str]) -> bool {
        let headers = [(ORIGIN, origin), (HOST, host)];
        let headers = headers.map(|(name, value)| (name, HeaderValue::from_str(value).unwrap())).into_iter().collect();
        let allowed: Vec<String> = allowed.iter().map(|&origin| origin.to_owned()).collect();
        check(&headers, &allowed).is_ok()
    }

    #[test]
    fn the_pages_own_host_may_connect() {
        for (origin, host) in [
            ("http://localhost:8080", "localhost:8080"),
            ("https://Mind.Example.com", "mind.example.com"),
            ("https://mind.example.com", "mind.example.com:443"),
            ("http://mind.example.com:80", "mind.example.com"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("https://[::1]", "[::1]:443"),
        ] {
            assert!(checked(origin, host, &[]), "{origin} {host}");
        }
    }

    #[test]
    fn other_pages_may_not() {
        for (origin, host) in [
            ("https://evil.example", "mind.example.com"),
            ("https://mind.example.com.evil.example", "mind.example.com"),
            ("https://mind.example.com@evil.example", "mind.example.com"),
            ("https://xmind.example.com", "mind.example.com"),
            ("http://localhost:3000", "localhost:8080"),
            ("http://localhost", "localhost:8080"),
            ("https://mind.example.com", "mind.example.com:80"),
            ("file://", ""),
            ("ftp://mind.example.com", "mind.example.com"),
            ("mind.example.com", "mind.example.com"),
            ("null", "null"),
            ("", "mind.example.com"),
        ] {
            assert!(!checked(origin, host, &[]), "{origin} {host}");
        }
    }

    #[test]
    fn listed_pages_may() {
        let allowed = ["https://ops.example.com", "tauri://localhost", "null"];
        for origin in ["https://ops.example.com", "https://OPS.example.com:443", "tauri://localhost", "null"] {
            assert!(checked(origin, "mind.example.com", &allowed), "{origin}");
        }
        for origin in ["http://ops.example.com", "https://ops.example.com:8443", "https://ops.example.com.evil.example"]
        {
            assert!(!checked(origin, "mind.example.com", &allowed), "{origin}");
        }
    }

    #[test]
    fn without_an_origin_there_is_nothing_to_check_and_two_are_too_many() {
        assert_eq!(check(&HeaderMap::new(), &[]), Ok(()));
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("a"));
        headers.append(ORIGIN, HeaderValue::from_static("http://a"));
        assert_eq!(check(&headers, &[]), Ok(()));
        headers.append(ORIGIN, HeaderValue::from_static("http://b"));
        assert_eq!(check(&headers, &[]), Err(Refusal::ForeignOrigin));
    }

    #[test]
    fn the_list_holds_origins_only() {
        for good in ["https://ops.example.com", "http://localhost:3000", "http://[::1]:80", "tauri://localhost", "null"]
        {
            assert!(is_well_formed(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "https://",
            "ops.example.com",
            "https://a/",
            "https://a/b",
            "https://*.a",
            "https://a:b",
            "https://u@a",
        ] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_origin_gets_an_answer(origin in "[ -~]{0,40}", host in "[ -~]{0,40}") {
            let own = checked(&origin, &host, &[]);
            prop_assert!(!own || origin.to_lowercase().starts_with("http"));
        }
    }
}
