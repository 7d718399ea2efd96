//! Compressed bodies, inflated up to a limit.

use std::borrow::Cow;
use std::io::{self, Read};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::Error;

/// The body behind a `Content-Encoding`: `gzip` (also `x-gzip`), `deflate`, `identity`, or none.
///
/// Inflating stops one byte past `limit`, and no more memory than that is ever asked for, whatever the body promises.
///
/// # Errors
/// [`Error::Encoding`] for any other encoding, [`Error::TooLarge`] past the limit, [`Error::Compressed`] for a broken or
/// truncated body.
pub fn inflate<'a>(encoding: Option<&str>, bytes: &'a [u8], limit: usize) -> Result<Cow<'a, [u8]>, Error> {
    let encoding = encoding.map(|name| name.trim().to_ascii_lowercase()).unwrap_or_default();
    match encoding.as_str() {
        "" | "identity" if bytes.len() > limit => Err(Error::TooLarge { limit }),
        "" | "identity" => Ok(Cow::Borrowed(bytes)),
        "gzip" | "x-gzip" => read("gzip", || MultiGzDecoder::new(bytes), bytes.len(), limit),
        // The standard means the zlib format by this name, but senders of bare deflate data are common.
        "deflate" if has_zlib_header(bytes) => read("deflate", || ZlibDecoder::new(bytes), bytes.len(), limit),
        "deflate" => read("deflate", || DeflateDecoder::new(bytes), bytes.len(), limit),
        _ => Err(Error::Encoding),
    }
}

/// RFC 1950: method 8 in the low half of the first byte, and the first two bytes a multiple of 31.
fn has_zlib_header(bytes: &[u8]) -> bool {
    matches!(bytes, [cmf, flg, ..] if cmf & 0x0f == 8 && u16::from_be_bytes([*cmf, *flg]) % 31 == 0)
}

/// Bodies that inflate to more than this are measured before room is made for them: what is too large costs no memory,
/// and what is not is not moved from room to room.
const MEASURED_FROM: usize = 1 << 20;

fn read<R: Read>(
    encoding: &'static str,
    begin: impl Fn() -> R,
    compressed: usize,
    limit: usize,
) -> Result<Cow<'static, [u8]>, Error> {
    let broken = |_| Error::Compressed { encoding };
    let most = MEASURED_FROM.min(limit.saturating_add(1));
    let mut out = Vec::with_capacity(compressed.saturating_mul(4).clamp(1024, most.max(1024)));
    let mut source = begin();
    source.by_ref().take(most as u64).read_to_end(&mut out).map_err(broken)?;
    if out.len() == MEASURED_FROM {
        let beyond = limit.saturating_add(1).saturating_sub(out.len());
        let rest = io::copy(&mut source.take(beyond as u64), &mut io::sink()).map_err(broken)?;
        let whole = out.len().saturating_add(usize::try_from(rest).unwrap_or(usize::MAX));
        if rest > 0 && whole <= limit {
            out = vec![0; whole];
            begin().read_exact(&mut out).map_err(broken)?;
        } else if whole > limit {
            return Err(Error::TooLarge { limit });
        }
    }
    if out.len() > limit { Err(Error::TooLarge { limit }) } else { Ok(Cow::Owned(out)) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn known_encodings_are_inflated() {
        let body = b"some body, some body, some body".repeat(100);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&body).unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        bare.write_all(&body).unwrap();
        let (zlib, bare) = (zlib.finish().unwrap(), bare.finish().unwrap());
        for (encoding, bytes) in [
            (None, &body),
            (Some("identity"), &body),
            (Some(" GZip "), &gzip(&body)),
            (Some("x-gzip"), &gzip(&body)),
            (Some("deflate"), &zlib),
            (Some("deflate"), &bare),
        ] {
            assert_eq!(inflate(encoding, bytes, body.len()).as_deref(), Ok(body.as_slice()), "{encoding:?}");
            assert_eq!(inflate(encoding, bytes, body.len() - 1), Err(Error::TooLarge { limit: body.len() - 1 }));
        }
        assert_eq!(inflate(Some("gzip"), &gzip(b""), 0).as_deref(), Ok(&[][..]));
    }

    #[test]
    fn unknown_encodings_and_broken_bodies_are_errors() {
        assert_eq!(inflate(Some("br"), b"", 10), Err(Error::Encoding));
        assert_eq!(inflate(Some("gzip, gzip"), b"", 10), Err(Error::Encoding));
        assert_eq!(inflate(Some("gzip"), b"no gzip", 10), Err(Error::Compressed { encoding: "gzip" }));
        let whole = gzip(&b"text".repeat(50));
        assert_eq!(inflate(Some("gzip"), &whole[..whole.len() - 9], 1000), Err(Error::Compressed { encoding: "gzip" }));
    }

    #[test]
    fn large_bodies_come_whole_up_to_the_limit() {
        for size in [MEASURED_FROM - 1, MEASURED_FROM, MEASURED_FROM + 1, 3 * MEASURED_FROM] {
            let body: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let packed = gzip(&body);
            assert_eq!(inflate(Some("gzip"), &packed, size).as_deref(), Ok(&body[..]));
            assert_eq!(inflate(Some("gzip"), &packed, size - 1), Err(Error::TooLarge { limit: size - 1 }));
            let torn = &packed[..packed.len() - 1];
            assert_eq!(inflate(Some("gzip"), torn, size), Err(Error::Compressed { encoding: "gzip" }));
        }
    }

    #[test]
    fn a_bomb_costs_no_more_than_the_limit() {
        struct Endless<'a>(&'a Cell<usize>);
        impl Read for Endless<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.set(self.0.get() + buffer.len());
                Ok(buffer.len())
            }
        }
        let limit = 3_000_000;
        let asked = Cell::new(0);
        assert_eq!(read("gzip", || Endless(&asked), 100, limit), Err(Error::TooLarge { limit }));
        assert_eq!(asked.get(), limit + 1);

        // Forty bombs in a row: several members are one body.
        let bomb = gzip(&vec![0; 1 << 20]).repeat(40);
        assert!(bomb.len() < 60_000);
        assert_eq!(inflate(Some("gzip"), &bomb, limit), Err(Error::TooLarge { limit }));
    }

    proptest! {
        #[test]
        fn total_on_random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), encoding in 0..4usize) {
            let encoding = ["gzip", "deflate", "identity", "zstd"][encoding];
            if let Ok(body) = inflate(Some(encoding), &bytes, 64) {
                prop_assert!(body.len() <= 64);
            }
        }
    }
}
