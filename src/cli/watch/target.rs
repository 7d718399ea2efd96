//! Where the daemon is, and as whom to ask.

use std::path::PathBuf;

use reqwest::Url;

use crate::cli::Failure;
use crate::setting::Secret;

/// A daemon's stream and the way to its token.
#[derive(Debug)]
pub struct Target {
    stream: Url,
    shown: String,
    source: Source,
}

/// Where the token comes from.
#[derive(Debug)]
enum Source {
    Given(Secret),
    File(PathBuf),
}

impl Target {
    /// Reads the options.
    ///
    /// # Errors
    /// With exit code 2 when the URL is none, or there is no token.
    pub fn new(url: &str, token: Option<String>, file: Option<PathBuf>) -> Result<Self, Failure> {
        let bad = |problem: &str| Failure::usage(format!("--url: {problem}"));
        let mut url: Url = url.parse().map_err(|_| bad("must be like http://127.0.0.1:8080"))?;
        let secure = match url.scheme() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => return Err(bad("must begin with http:// or https://")),
        };
        if url.query().is_some() {
            return Err(bad("must have no query; a token belongs into --token or --token-file"));
        }
        let linked = url.fragment().and_then(|fragment| fragment.strip_prefix("token=")).map(str::to_owned);
        url.set_fragment(None);
        let host = url.host_str().ok_or_else(|| bad("must name a host"))?.to_owned();
        let shown = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let path = format!("{}/v1/stream", url.path().trim_end_matches('/'));
        url.set_path(&path);
        // Among these schemes this does not fail.
        let _ = url.set_scheme(if secure { "wss" } else { "ws" });
        let source = match (file, linked.or(token).filter(|token| !token.trim().is_empty())) {
            (Some(file), _) => Source::File(file),
            (None, Some(token)) => Source::Given(Secret::new(token.trim())),
            (None, None) => {
                return Err(Failure::usage(
                    "a token with the scope metacog.stream is needed: --token, --token-file, or the variable \
                     CONSCIOUSNESS_TOKEN; `consciousness-system token --sub NAME` mints one",
                ));
            }
        };
        Ok(Self { stream: url, shown, source })
    }

    /// Host and port, for people.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The URL of the stream, going on after a beat where one is given as `EPOCH:BEAT`.
    pub fn stream(&self, since: Option<String>) -> String {
        let mut url = self.stream.clone();
        url.set_query(since.map(|since| format!("since={since}")).as_deref());
        url.into()
    }

    /// Whether the token may change while this runs.
    pub fn is_renewed(&self) -> bool {
        matches!(self.source, Source::File(_))
    }

    /// The token as it is now.
    ///
    /// # Errors
    /// When its file cannot be read or is empty.
    pub fn token(&self) -> Result<Secret, String> {
        match &self.source {
            Source::Given(token) => Ok(token.clone()),
            Source::File(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| format!("--token-file {}: {error}", path.display()))?;
                match text.trim() {
                    "" => Err(format!("--token-file {}: is empty", path.display())),
                    token => Ok(Secret::new(token)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, token: Option<&str>) -> Result<Target, String> {
        Target::new(url, token.map(str::to_owned), None).map_err(|failure| failure.to_string())
    }

    #[test]
    fn urls_lead_to_the_stream() {
        for (url, stream, shown) in [
            ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/stream", "127.0.0.1:8080"),
            ("https://mind.example.com/", "wss://mind.example.com/v1/stream", "mind.example.com"),
            ("https://example.com/mind/", "wss://example.com/mind/v1/stream", "example.com"),
            ("ws://[::1]:9", "ws://[::1]:9/v1/stream", "[::1]:9"),
        ] {
            let target = target(url, Some("t")).unwrap();
            assert_eq!((target.stream(None).as_str(), target.shown()), (stream, shown));
        }
        assert_eq!(target("http://a", Some("t")).unwrap().stream(Some("3:7".into())), "ws://a/v1/stream?since=3:7");
    }

    #[test]
    fn a_token_comes_from_the_link_before_the_variable_and_from_a_file_before_both() {
        let linked = target("http://a:1/#token=LINKED", Some("GIVEN")).unwrap();
        assert_eq!(linked.token().unwrap().expose(), "LINKED");
        assert!(!linked.stream(None).contains("LINKED") && !format!("{linked:?}").contains("LINKED"));
        assert_eq!(target("http://a", Some(" GIVEN\n")).unwrap().token().unwrap().expose(), "GIVEN");
        let file = tempfile::NamedTempFile::new().unwrap();
        let target = Target::new("http://a/#token=LINKED", None, Some(file.path().into())).unwrap();
        assert!(target.token().unwrap_err().ends_with("is empty"));
        std::fs::write(file.path(), "RENEWED\n").unwrap();
        assert_eq!(target.token().unwrap().expose(), "RENEWED");
    }

    #[test]
    fn what_cannot_work_is_said() {
        for (url, token, said) in [
            ("127.0.0.1:8080", Some("t"), "--url: must be"),
            ("ftp://a", Some("t"), "--url: must begin with"),
            ("http://a?token=x", Some("t"), "--url: must have no query"),
            ("http://a", None, "a token with the scope metacog.stream is needed"),
            ("http://a", Some(" "), "a token with the scope metacog.stream is needed"),
        ] {
            let message = target(url, token).unwrap_err();
            assert!(message.starts_with(said), "{message}");
        }
    }
}
