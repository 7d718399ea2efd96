//! Where Redis is, and how a connection to it is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError, TlsCertificates, Value,
};
use tokio::time::timeout;

use super::config::Config;
use super::fault::Fault;
use super::link::Link;
use super::sentinels::{self, Leading, Login, Sentinels};
use crate::setting::Secret;

/// Why the settings of Redis cannot be used. No text quotes a value but the name of a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is none.
    #[error("redis.url: {0}")]
    Url(&'static str),
    /// A file cannot be read.
    #[error("{key}: {} cannot be read: {kind}", path.display())]
    File {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        kind: std::io::ErrorKind,
    },
    /// The file holds no certificates.
    #[error("redis.tls_ca_file: {} holds no certificates in PEM form", .0.display())]
    Certificates(PathBuf),
}

/// Where Redis is. Clones hear of it together where another server leads.
#[derive(Debug, Clone)]
pub struct Endpoint {
    target: Target,
    password: Secret,
    password_file: PathBuf,
    certificates: Option<TlsCertificates>,
    connect_timeout: Duration,
    response_timeout: Duration,
    value_bytes: usize,
}

/// A connection, and to which server it is where sentinels told that.
#[derive(Debug, Clone)]
pub(super) struct Connected {
    pub(super) connection: MultiplexedConnection,
    leading: Option<Leading>,
}

/// What a URL names.
#[derive(Debug, Clone)]
enum Target {
    /// One server.
    Server(ConnectionInfo),
    /// The server that leads, as sentinels tell.
    Sentinel { sentinels: Sentinels, redis: RedisConnectionInfo },
}

const EXPECTED: &str = "must be redis://[[user]:password@]host[:port][/db], rediss:// likewise for TLS, \
                        redis+unix:///path[?db=&user=&pass=], or redis+sentinel://host[:port][,host[:port]...]/service[/db]";

impl Endpoint {
    /// Reads what the settings name.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(config: &Config) -> Result<Self, Error> {
        let target = parse(config.url.expose())?;
        let certificates = match config.tls_ca_file.as_path() {
            path if path.as_os_str().is_empty() => None,
            path => Some(TlsCertificates { client_tls: None, root_cert: Some(certificates(path)?) }),
        };
        let endpoint = Self {
            target,
            password: config.password.clone(),
            password_file: config.password_file.clone(),
            certificates,
            connect_timeout: config.connect_timeout,
            response_timeout: config.response_timeout,
            value_bytes: config.value_bytes,
        };
        endpoint.password()?;
        Ok(endpoint)
    }

    /// A link that connects when it is first used.
    pub fn link(&self) -> Link {
        self.link_within(self.response_timeout)
    }

    /// The same where answers may take so much more than is configured.
    pub fn patient_link(&self, more: Duration) -> Link {
        self.link_within(self.response_timeout + more)
    }

    /// The same where answers may take so long.
    pub fn link_within(&self, response_timeout: Duration) -> Link {
        Link::new(self.clone(), response_timeout)
    }

    /// Size in bytes over which a state is stored in parts.
    pub fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// Longest time for a call: a connection to be made, and an answer.
    pub(super) fn patience(&self) -> Duration {
        self.connect_timeout + self.response_timeout
    }

    /// Makes a connection. The password's file is read anew each time, so that a password can be changed.
    ///
    /// # Errors
    /// Why none can be made.
    pub(super) async fn connect(&self) -> Result<Connected, Fault> {
        let password = self.password().map_err(|_| Fault::Denied)?;
        let (info, login, leading) = match &self.target {
            Target::Server(info) => (info.clone(), info.redis_settings(), None),
            Target::Sentinel { sentinels, redis } => {
                let leading = sentinels.leading(self.certificates.as_ref(), self.connect_timeout).await?;
                let info = leading.info(sentinels.tls).map_err(|error| Fault::connecting(&error))?;
                (info, redis, Some(leading))
            }
        };
        let info = info.set_redis_settings(with_password(login.clone(), password.as_ref()));
        let connecting = async {
            // Answers are waited for by the caller, as long as befits the command.
            let options = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(self.connect_timeout))
                .set_response_timeout(None);
            let client = sentinels::open(info, self.certificates.as_ref())?;
            let mut connection = client.get_multiplexed_async_connection_with_config(&options).await?;
            let leads = leading.is_none() || leads(&mut connection).await?;
            Ok(leads.then_some(connection))
        };
        let connected = timeout(self.connect_timeout, connecting).await.map_err(|_| Fault::Timeout)?;
        let connection = connected.map_err(|error: RedisError| Fault::connecting(&error))?;
        Ok(Connected { connection: connection.ok_or(Fault::ReadOnly)?, leading })
    }

    /// Makes sure of which server leads, as most sentinels have it; there is nothing to ask where there are none.
    ///
    /// # Errors
    /// When not so many answer.
    pub(super) async fn confirm(&self, within: Duration) -> Result<(), Fault> {
        if let Target::Sentinel { sentinels, .. } = &self.target {
            sentinels.agree(self.certificates.as_ref(), within).await?;
        }
        Ok(())
    }

    /// Whether a connection is to a server that leads no more, as far as that was heard.
    pub(super) fn left(&self, connected: &Connected) -> bool {
        match (&self.target, &connected.leading) {
            (Target::Sentinel { sentinels, .. }, Some(leading)) => sentinels.left(leading),
            _ => false,
        }
    }

    fn password(&self) -> Result<Option<Secret>, Error> {
        if self.password_file.as_os_str().is_empty() {
            return Ok(Some(self.password.clone()).filter(|password| !password.is_empty()));
        }
        let text = std::fs::read_to_string(&self.password_file).map_err(|error| Error::File {
            key: "redis.password_file",
            path: self.password_file.clone(),
            kind: error.kind(),
        })?;
        let password = text.strip_suffix('\n').unwrap_or(&text);
        Ok(Some(Secret::new(password.strip_suffix('\r').unwrap_or(password))))
    }
}

/// Whether a URL can be used; else what it must be.
pub(super) fn check(url: &str) -> Result<(), &'static str> {
    parse(url).map(|_| ()).map_err(|_| EXPECTED)
}

/// Whether a server says that it leads. One whose user may not ask that refuses to be written to where it does not.
async fn leads(connection: &mut MultiplexedConnection) -> Result<bool, RedisError> {
    match redis::cmd("ROLE").query_async::<Vec<Value>>(connection).await {
        Ok(role) => Ok(role.first().is_none_or(|role| *role == Value::BulkString(b"master".to_vec()))),
        Err(error) if Fault::from(&error) == Fault::Denied => Ok(true),
        Err(error) => Err(error),
    }
}

fn with_password(login: RedisConnectionInfo, password: Option<&Secret>) -> RedisConnectionInfo {
    match password {
        Some(password) => login.set_password(password.expose()),
        None => login,
    }
}

fn certificates(path: &Path) -> Result<Vec<u8>, Error> {
    let pem = std::fs::read(path).map_err(|error| Error::File {
        key: "redis.tls_ca_file",
        path: path.to_owned(),
        kind: error.kind(),
    })?;
    let begins = pem.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----");
    if begins { Ok(pem) } else { Err(Error::Certificates(path.to_owned())) }
}

fn parse(url: &str) -> Result<Target, Error> {
    let info = |url: &str| url.into_connection_info().map_err(|_| Error::Url(EXPECTED));
    let (rest, tls) = match (url.strip_prefix("redis+sentinel://"), url.strip_prefix("rediss+sentinel://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => return Ok(Target::Server(info(url)?)),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (hosts, path) = rest.split_once('/').ok_or(Error::Url(EXPECTED))?;
    let (service, db) = path.split_once('/').unwrap_or((path, ""));
    if hosts.is_empty() || service.is_empty() {
        return Err(Error::Url(EXPECTED));
    }
    let scheme = if tls { "rediss" } else { "redis" };
    let address = |host: &str| {
        let port = if host.ends_with(']') || !host.contains(':') { ":26379" } else { "" };
        Ok(info(&format!("{scheme}://{host}{port}"))?.addr().clone())
    };
    let sentinels = hosts.split(',').map(address).collect::<Result<_, Error>>()?;
    // The driver decodes name, password and number where it finds them in a URL of one server.
    let redis = info(&format!("redis://{user}@host/{db}"))?.redis_settings().clone();
    let asked = query.split('&').filter_map(|pair| pair.split_once('=')).try_fold(Login::default(), |login, pair| {
        let value = info(&format!("redis://{}@host", pair.1))?.redis_settings().username().map(str::to_owned);
        match pair.0 {
            "sentinel_user" => Ok(Login { user: value, ..login }),
            "sentinel_pass" => Ok(Login { password: value.map(Secret::new), ..login }),
            _ => Err(Error::Url(EXPECTED)),
        }
    });
    let (service, told) = (service.to_owned(), Arc::default());
    Ok(Target::Sentinel { sentinels: Sentinels { addresses: sentinels, service, tls, login: asked?, told }, redis })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::SecretUrl;

    fn sentinel(url: &str) -> (Vec<String>, String, bool, RedisConnectionInfo, Login) {
        match parse(url).unwrap() {
            Target::Sentinel { sentinels: Sentinels { addresses, service, tls, login, .. }, redis } => {
                (addresses.iter().map(ToString::to_string).collect(), service, tls, redis, login)
            }
            Target::Server(_) => panic!("sentinels were expected"),
        }
    }

    #[test]
    fn sentinels_are_read_from_a_url() {
        let (sentinels, service, tls, redis, login) = sentinel("redis+sentinel://a,b:26380,[::1]/mymaster");
        assert_eq!(sentinels, ["a:26379", "b:26380", "::1:26379"]);
        assert_eq!((service.as_str(), tls, redis.db(), redis.username()), ("mymaster", false, 0, None));
        assert!(login.user.is_none() && login.password.is_none());

        let url = "rediss+sentinel://app:p%40ss@a/main/3?sentinel_user=watch&sentinel_pass=w%2Ford";
        let (_, _, tls, redis, login) = sentinel(url);
        assert_eq!((tls, redis.db(), redis.username(), redis.password()), (true, 3, Some("app"), Some("p@ss")));
        assert_eq!(login.user.as_deref(), Some("watch"));
        assert_eq!(login.password.unwrap().expose(), "w/ord");
        assert!(!SecretUrl::new(url).masked().contains("p%40ss") && !SecretUrl::new(url).masked().contains("w%2Ford"));
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_quoted() {
        for url in [
            "http://host",
            "redis://host/notanumber",
            "redis+sentinel://host",
            "redis+sentinel:///service",
            "redis+sentinel://host/service?pass=hunter2",
            "redis+sentinel://host:port/service",
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.starts_with("redis.url: must be redis://") && !error.contains("hunter2"), "{url}: {error}");
        }
        for url in ["redis://:secret@host:6380/2", "rediss://user:secret@host", "redis+unix:///run/redis.sock?db=1"] {
            assert!(check(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_password_in_a_file_wins_and_loses_its_newline() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from file\n").unwrap();
        let config = Config {
            url: SecretUrl::new("redis://:from-url@host"),
            password_file: file.path().to_owned(),
            ..Config::default()
        };
        assert_eq!(Endpoint::new(&config).unwrap().password().unwrap().unwrap().expose(), "from file");
        let missing = Config { password_file: "/nonexistent/password".into(), ..config };
        assert_eq!(
            Endpoint::new(&missing).unwrap_err().to_string(),
            "redis.password_file: /nonexistent/password cannot be read: entity not found"
        );
    }
}
