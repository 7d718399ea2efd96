//! TLS on the listener.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What connections are answered with: this certificate, by TLS 1.2 or 1.3, for HTTP/1.1.
///
/// # Errors
/// Which file has what problem, in words that don't quote it.
pub(super) fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, (Wrong, String)> {
    let bytes =
        |wrong, path: &Path| std::fs::read(path).map_err(|error| (wrong, format!("cannot be read: {}", error.kind())));
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&bytes(Wrong::Certificate, certificate)?).collect();
    let chain = certificates.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| (Wrong::Certificate, "holds no certificate in PEM form".to_owned()))?;
    let private = PrivateKeyDer::from_pem_slice(&bytes(Wrong::Key, key)?);
    let private = private.map_err(|_| (Wrong::Key, "holds no private key in PEM form".to_owned()))?;
    let wrong = |problem: &str| (Wrong::Key, problem.to_owned());
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|_| wrong("cannot be used"))?;
    let config = builder.with_no_client_auth().with_single_cert(chain, private);
    let mut config = config.map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => wrong("is not the key of the certificate"),
        rustls::Error::InvalidCertificate(_) => (Wrong::Certificate, "holds no usable certificate".to_owned()),
        _ => wrong("holds no usable private key"),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Which of the two files is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    Certificate,
    Key,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
    }

    #[test]
    fn a_certificate_and_its_key_are_taken() {
        let read = |certificate: &str, key: &str| super::read(&fixture(certificate), &fixture(key)).map(|_| ());
        assert_eq!(read("tls/one.crt", "tls/one.key"), Ok(()));
        for (certificate, key, wrong, problem) in [
            ("tls/one.crt", "tls/two.key", Wrong::Key, "is not the key of the certificate"),
            ("tls/one.key", "tls/one.key", Wrong::Certificate, "holds no certificate in PEM form"),
            ("tls/one.crt", "tls/one.crt", Wrong::Key, "holds no private key in PEM form"),
            ("tls/none", "tls/one.key", Wrong::Certificate, "cannot be read: entity not found"),
            ("tls/one.crt", "keys/es256.public.pem", Wrong::Key, "holds no private key in PEM form"),
        ] {
            assert_eq!(read(certificate, key), Err((wrong, problem.to_owned())), "{certificate} {key}");
        }
    }
}
