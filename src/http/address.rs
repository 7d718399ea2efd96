//! Where a request comes from, past the proxies that are trusted.

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::http::header::FORWARDED;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::edge::{Edge, Refusal};
use super::head::{Answer, Head};
use super::problem::Problem;
use crate::setting::Networks;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that a request comes from: an extension of every request that the listener takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The address of a request; `0.0.0.0` for one that came over no listener.
    pub fn of<B>(request: &axum::http::Request<B>) -> Self {
        Self::among(request.extensions())
    }

    /// The same, where the request was taken apart.
    pub(super) fn among(extensions: &axum::http::Extensions) -> Self {
        extensions.get().copied().unwrap_or(Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }
}

/// The header in which a trusted proxy says whom it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For` where it is there, else `Forwarded`.
    #[default]
    Auto,
    /// `X-Forwarded-For` alone.
    XForwardedFor,
    /// `Forwarded` (RFC 7239) alone.
    Forwarded,
}

/// What is believed of what is said about whom a request is for.
#[derive(Debug)]
pub(super) struct Forwarded {
    proxies: Networks,
    header: ForwardedHeader,
}

impl Forwarded {
    pub(super) fn new(config: &Config) -> Self {
        Self { proxies: config.trusted_proxies.clone(), header: config.forwarded_header }
    }

    /// Whether a peer is a proxy that is believed.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        self.proxies.contains(peer)
    }

    /// The client of a request: the peer, unless it is a trusted proxy. Then each address was written by the one to its
    /// right, so the right-most that is not trusted is the last that can be believed. What is no address ends the search:
    /// the one who wrote it is then as far as it goes.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return ClientAddress(client);
        }
        let standard = match self.header {
            ForwardedHeader::Auto => !headers.contains_key(X_FORWARDED_FOR),
            ForwardedHeader::XForwardedFor => false,
            ForwardedHeader::Forwarded => true,
        };
        let (name, read): (_, fn(&str) -> Option<IpAddr>) =
            if standard { (FORWARDED, element) } else { (X_FORWARDED_FOR, node) };
        let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
        // At every comma, in quotes or not: what trusted proxies write has none in quotes, and a quote that a client
        // opened must not swallow what they added.
        for item in lines.into_iter().rev().flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b',')) {
            let Some(address) = std::str::from_utf8(item).ok().and_then(read) else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        ClientAddress(client)
    }
}

/// One element of `Forwarded`, as in `for="[2001:db8::1]:4711";proto=https`.
fn element(text: &str) -> Option<IpAddr> {
    let mut pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let value = value.trim();
    node(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value))
}

/// An address, with or without brackets and port.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bracketed = || text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))?.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(bracketed).or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// The routes, as one connection reaches them: its requests carry their client's address, which may not be a denied one.
#[derive(Debug)]
pub(super) struct Addressed {
    pub inner: TowerToHyperService<Router>,
    pub peer: IpAddr,
    pub edge: Arc<Edge>,
    pub head: Arc<Head>,
}

impl Service<hyper::Request<Incoming>> for Addressed {
    type Response = axum::http::Response<Answer>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        self.head.complete();
        let head = Arc::clone(&self.head);
        let client = self.edge.forwarded.client(self.peer, request.headers());
        if self.edge.denies(client.0) {
            self.edge.count(Refusal::Denied);
            return Box::pin(ready(Ok(head.answering(Problem::denied().into_response()))));
        }
        request.extensions_mut().insert(client);
        let answer = self.inner.call(request);
        Box::pin(async move { Ok(head.answering(answer.await?)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: ForwardedHeader, peer: &str, headers: &[(&'static str, &str)]) -> String {
        let proxies = ["10.0.0.0/8", "2001:db8::/32"].map(|text| crate::setting::networks::parse(text).unwrap());
        let forwarded = Forwarded { proxies: proxies.into_iter().collect(), header };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        forwarded.client(peer.parse().unwrap(), &map).0.to_string()
    }

    #[test]
    fn strangers_are_not_believed() {
        for peer in ["192.0.2.1", "::ffff:192.0.2.1", "fe80::1"] {
            let headers = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")];
            assert_eq!(client(ForwardedHeader::Auto, peer, &headers), peer.trim_start_matches("::ffff:"));
        }
    }

    #[test]
    fn the_right_most_address_that_is_not_trusted_is_the_client() {
        let of = |lines: &[&str]| {
            let headers: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            client(ForwardedHeader::Auto, "::ffff:10.0.0.1", &headers)
        };
        for (lines, expected) in [
            (&["203.0.113.9"][..], "203.0.113.9"),
            (&["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
            (&["198.51.100.1, 203.0.113.9, 10.1.1.1,2001:db8::5"], "203.0.113.9"),
            (&["198.51.100.1", "203.0.113.9", "10.1.1.1"], "203.0.113.9"),
            (&["203.0.113.9:4711"], "203.0.113.9"),
            (&["[2001:db9::1]:80, [2001:db8::1]"], "2001:db9::1"),
            (&["::ffff:203.0.113.9"], "203.0.113.9"),
            // Only proxies, nothing, and what is no address.
            (&["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
            (&[], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&["203.0.113.9, unknown"], "10.0.0.1"),
            (&["203.0.113.9, x, 10.1.1.1"], "10.1.1.1"),
            (&["203.0.113.9, \"10.1.1.1"], "10.0.0.1"),
            (&["203.0.113.9,"], "10.0.0.1"),
            (&["\u{e9}"], "10.0.0.1"),
        ] {
            assert_eq!(of(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_standard_header_says_the_same() {
        let of = |value: &str| client(ForwardedHeader::Auto, "10.0.0.1", &[("forwarded", value)]);
        for (value, expected) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("For=\"203.0.113.9:80\";proto=https;by=10.0.0.1", "203.0.113.9"),
            ("proto=http; for=\"[2001:db9::1]:4711\" , for=10.1.1.1", "2001:db9::1"),
            ("for=198.51.100.1, for=203.0.113.9", "203.0.113.9"),
            ("for=\"198.51.100.1, for=203.0.113.9", "203.0.113.9"),
            ("for=203.0.113.9, for=_hidden", "10.0.0.1"),
            ("for=203.0.113.9, by=10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(of(value), expected, "{value}");
        }
    }

    #[test]
    fn only_the_header_that_the_proxy_writes_is_believed() {
        let both = [("x-forwarded-for", "203.0.113.1"), ("forwarded", "for=203.0.113.2")];
        for (header, expected) in [
            (ForwardedHeader::Auto, "203.0.113.1"),
            (ForwardedHeader::XForwardedFor, "203.0.113.1"),
            (ForwardedHeader::Forwarded, "203.0.113.2"),
        ] {
            assert_eq!(client(header, "10.0.0.1", &both), expected);
        }
        assert_eq!(client(ForwardedHeader::XForwardedFor, "10.0.0.1", &both[1..]), "10.0.0.1");
        assert_eq!(client(ForwardedHeader::Forwarded, "10.0.0.1", &both[..1]), "10.0.0.1");
    }
}
