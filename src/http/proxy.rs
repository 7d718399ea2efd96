//! The PROXY protocol, version 2: a proxy that passes bytes on says first whom it does it for.

use std::net::IpAddr;

use ppp::v2::{Addresses, Command, Header, PROTOCOL_PREFIX};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes before the addresses: the signature, version and command, family, and the length of what follows.
const FIXED: usize = 16;
/// Longest header that is read; addresses take 36 bytes, and what proxies add are some hundreds.
const MAX: usize = 4 * 1024;

/// Reads the header, and nothing of what follows it. Whom the connection is for; `None` where it is the proxy's own, as
/// its health checks are.
///
/// # Errors
/// When what comes is no such header, or the connection ends.
pub(super) async fn read(socket: &mut (impl AsyncRead + Unpin)) -> Result<Option<IpAddr>, BadHeader> {
    let mut bytes = vec![0; FIXED];
    socket.read_exact(&mut bytes).await.map_err(|_| BadHeader)?;
    if !bytes.starts_with(PROTOCOL_PREFIX) {
        return Err(BadHeader);
    }
    let rest = usize::from(u16::from_be_bytes([bytes[FIXED - 2], bytes[FIXED - 1]]));
    if FIXED + rest > MAX {
        return Err(BadHeader);
    }
    bytes.resize(FIXED + rest, 0);
    socket.read_exact(&mut bytes[FIXED..]).await.map_err(|_| BadHeader)?;
    let header = Header::try_from(&bytes[..]).map_err(|_| BadHeader)?;
    Ok(match (header.command, header.addresses) {
        (Command::Proxy, Addresses::IPv4(addresses)) => Some(IpAddr::from(addresses.source_address)),
        (Command::Proxy, Addresses::IPv6(addresses)) => Some(IpAddr::from(addresses.source_address).to_canonical()),
        _ => None,
    })
}

/// What came is no header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadHeader;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version_command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [PROTOCOL_PREFIX, &[version_command, family], &length, addresses].concat()
    }

    async fn of(bytes: &[u8]) -> (Result<Option<IpAddr>, BadHeader>, Vec<u8>) {
        let mut rest = bytes;
        let read = read(&mut rest).await;
        (read, rest.to_vec())
    }

    #[tokio::test]
    async fn a_header_tells_the_client_and_ends_before_the_rest() {
        let v4 = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::9".parse::<std::net::Ipv6Addr>().unwrap().octets());
        // A TLV of no kind that is known, behind the addresses.
        let extended = [&v4[..], &[0xe0, 0, 3, 1, 2, 3]].concat();
        for (bytes, expected) in [
            (header(0x21, 0x11, &v4), Some("203.0.113.9")),
            (header(0x21, 0x11, &extended), Some("203.0.113.9")),
            (header(0x21, 0x21, &v6), Some("2001:db8::9")),
            (header(0x20, 0x00, &[]), None),
            (header(0x20, 0x11, &v4), None),
            (header(0x21, 0x00, &[]), None),
        ] {
            let (read, rest) = of(&[&bytes[..], b"GET /"].concat()).await;
            assert_eq!(read, Ok(expected.map(|text| text.parse().unwrap())), "{bytes:?}");
            assert_eq!(rest, b"GET /");
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let v4 = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        let good = header(0x21, 0x11, &v4);
        for bytes in [
            b"".to_vec(),
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 4660 80\r\n".to_vec(),
            good[..20].to_vec(),
            header(0x11, 0x11, &v4),
            header(0x2f, 0x11, &v4),
            header(0x21, 0x11, &v4[..8]),
            header(0x21, 0x77, &v4),
            header(0x21, 0x11, &[0; 5_000]),
        ] {
            assert_eq!(of(&bytes).await.0, Err(BadHeader), "{bytes:?}");
        }
    }
}
