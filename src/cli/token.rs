//! `token`: mints a token with one of the configured symmetric keys.

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::{Claims, Keys, KeysError, MintError, Scope, mint};
use crate::config::{self, Config};
use crate::domain::Timestamp;
use crate::setting::duration;

/// What can be given on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Whom the token is for
    #[arg(long)]
    pub sub: String,
    /// What it allows: metacog.stream, metacog.observe, metrics.read, metacog.admin, metacog.private; several with
    /// spaces between, or by giving the option again
    #[arg(long, default_value = "metacog.stream", value_name = "SCOPE")]
    pub scope: Vec<String>,
    /// How long it is valid, such as 30m, 12h or 90d
    #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = lifetime)]
    pub ttl: Duration,
    /// Audience; the first of auth.audience when not given
    #[arg(long)]
    pub aud: Option<String>,
    /// Key to sign with; the newest symmetric one (the last in the configuration) when not given
    #[arg(long)]
    pub kid: Option<String>,
    /// Configuration file (TOML); variables CONSCIOUSNESS__SECTION__KEY win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Why no token was minted; exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// An option has a value that would make a token that is refused.
    #[error("--{option}: {problem}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The named key cannot sign.
    #[error("--kid: {0}")]
    Mint(#[from] MintError),
    /// All configured keys are public ones.
    #[error(
        "auth.keys: only public keys are configured, which check tokens but cannot sign them; mint tokens where the \
         private key is, or add a key with alg = \"HS256\" and a secret_file"
    )]
    OnlyPublicKeys,
}

/// The token, and what people should know of it.
#[derive(Debug)]
pub struct Minted {
    /// The JWT, for the standard output, alone.
    pub token: String,
    /// For the standard error, a line each.
    pub warnings: Vec<String>,
}

/// Mints a token that is good from `now` on.
///
/// # Errors
/// When the configuration or an option is wrong, or no key can sign.
pub fn run(args: &Args, env: impl IntoIterator<Item = (String, String)>, now: Timestamp) -> Result<Minted, Error> {
    let config = Config::load(args.config.as_deref(), env)?;
    let keys = Keys::load(&config.auth)?;
    let wrong = |option, problem: &str| Err(Error::Option { option, problem: problem.to_owned() });
    if !(1..=256).contains(&args.sub.len()) || args.sub.chars().any(char::is_control) {
        return wrong("sub", "must be 1 to 256 bytes, without control characters");
    }
    if args.ttl < Duration::from_secs(1) || args.ttl > config.auth.max_lifetime {
        let longest = duration::format(config.auth.max_lifetime);
        return wrong("ttl", &format!("must be from 1s to {longest} (auth.max_lifetime)"));
    }
    let scopes: Vec<&str> = args.scope.iter().flat_map(|words| words.split_whitespace()).collect();
    // RFC 6749, section 3.3.
    let is_word = |word: &&str| word.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
    if scopes.is_empty() || !scopes.iter().all(is_word) {
        return wrong("scope", "must be words of ASCII letters, digits and punctuation");
    }
    let key = match (keys.signing(args.kid.as_deref()), &args.kid) {
        (Some(key), _) => key,
        (None, Some(_)) => return wrong("kid", "is the kid of no configured key"),
        (None, None) => return Err(Error::OnlyPublicKeys),
    };
    let mut claims = Claims::new(&args.sub, scopes.join(" "), now, args.ttl);
    claims.aud = args.aud.clone().or_else(|| config.auth.audience.first().cloned());
    claims.iss = config.auth.issuer.first().cloned();
    let mut warnings = Vec::new();
    if !config.auth.audience.is_empty() && claims.aud.as_ref().is_some_and(|aud| !config.auth.audience.contains(aud)) {
        warnings.push("--aud is not on auth.audience: a daemon with this configuration refuses the token".to_owned());
    }
    if scopes.iter().any(|word| Scope::from_word(word).is_none()) {
        let known: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        warnings.push(format!("--scope: not every scope is known here; known are {}", known.join(", ")));
    }
    Ok(Minted { token: mint(key, &claims)?, warnings })
}

fn lifetime(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| format!("must be {}", duration::EXPECTED))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::auth::Authenticator;

    const SECRET: &str = "a-secret-of-more-than-32-bytes-for-tests";
    const NOW: Timestamp = Timestamp::from_nanos(1_763_942_048_000_000_000);

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Args {
        Cli::parse_from(["token"].into_iter().chain(line.split_whitespace())).args
    }

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| (format!("{}AUTH__{key}", config::PREFIX), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_minted_is_accepted() {
        let env = env(&[("SECRET", SECRET), ("AUDIENCE", "mind"), ("ISSUER", "https://id.example.com")]);
        let line = "--sub alice --scope metacog.stream --scope metacog.observe --ttl 12h";
        let minted = run(&args(line), env.clone(), NOW).unwrap();
        assert_eq!(minted.warnings, Vec::<String>::new());
        let config = Config::load(None, env).unwrap().auth;
        let authenticator = Authenticator::new(&config, Keys::load(&config).unwrap());
        let identity = authenticator.authenticate(&minted.token, NOW).unwrap();
        assert_eq!(&*identity.subject, "alice");
        assert_eq!(identity.scopes.to_string(), "metacog.stream metacog.observe");
        assert_eq!(identity.expires, NOW.plus(Duration::from_hours(12)));
        assert!(identity.jti.is_some());
    }

    #[test]
    fn two_tokens_are_never_the_same() {
        let mint = || run(&args("--sub alice"), env(&[("SECRET", SECRET)]), NOW).unwrap().token;
        assert_ne!(mint(), mint());
    }

    #[test]
    fn what_cannot_work_is_said() {
        let with_secret = env(&[("SECRET", SECRET)]);
        let public = format!(
            "[{{kid='a',alg='EdDSA',public_key_file='{}/tests/fixtures/keys/ed25519.public.pem'}}]",
            env!("CARGO_MANIFEST_DIR")
        );
        let only_public = env(&[("KEYS", &public)]);
        for (line, env, error) in [
            ("--sub alice", &Vec::new(), "auth.secret: no key is configured"),
            ("--sub alice", &only_public, "auth.keys: only public keys are configured"),
            ("--sub alice --kid a", &only_public, "--kid: this key is a public one"),
            ("--sub alice --kid b", &with_secret, "--kid: is the kid of no configured key"),
            ("--sub alice --ttl 400d", &with_secret, "--ttl: must be from 1s to 366d (auth.max_lifetime)"),
            ("--sub alice --scope \"", &with_secret, "--scope: must be words"),
        ] {
            let message = run(&args(line), env.clone(), NOW).unwrap_err().to_string();
            assert!(message.starts_with(error), "{message}");
        }
        assert!(Cli::try_parse_from(["token", "--sub", "alice", "--ttl", "soon"]).is_err());
    }

    #[test]
    fn unknown_scopes_and_audiences_are_pointed_out() {
        let env = env(&[("SECRET", SECRET), ("AUDIENCE", "mind")]);
        let minted = run(&args("--sub alice --scope metacog.streams --aud body"), env, NOW).unwrap();
        assert_eq!(minted.warnings.len(), 2);
    }
}
