//! `revoke`: has tokens refused although they are signed and not expired.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::when::{self, When};
use super::{Failure, print, redis, runtime};
use crate::auth::audit::{Act, Row, Trail};
use crate::auth::revocation::{Entry, Register, Target};
use crate::config::Config;
use crate::domain::Timestamp;
use crate::link::Fault;

/// What can be given on the command line.
#[derive(Debug, Clone, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["jti", "sub", "before", "list"]))]
pub struct Args {
    /// Revoke the token with this jti, and its resume tickets
    #[arg(long, value_name = "JTI", conflicts_with_all = ["sub", "before", "list"])]
    pub jti: Option<String>,
    /// Revoke every token of this sub, those still to come included; with --before only those issued before
    #[arg(long, value_name = "SUB", conflicts_with = "list")]
    pub sub: Option<String>,
    /// Revoke the tokens that were issued before this moment (RFC 3339, a date in UTC, "now", or how long ago, as in 2h), or
    /// that don't say when they were issued: everybody's, or with --sub those of one
    #[arg(long, value_name = "TIME", value_parser = when::parse, conflicts_with = "list")]
    pub before: Option<When>,
    /// Undo the revocation that is named the same way
    #[arg(long, conflicts_with = "list")]
    pub undo: bool,
    /// List the revocations in force
    #[arg(long)]
    pub list: bool,
    /// Configuration file (TOML); CONSCIOUSNESS__SECTION__KEY variables win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Longest name of a token or a subject, in bytes, as tokens may have it.
const MAX_NAME: usize = 256;
/// How far in the future `--before` may lie, for clocks that differ.
const AHEAD: Duration = Duration::from_mins(5);

/// Revokes, undoes or lists. Daemons learn of it within a second.
///
/// # Errors
/// With exit code 2 when the configuration or an option is wrong, or no Redis is configured; with 1 when Redis cannot be
/// asked.
pub fn run(
    args: &Args,
    env: impl IntoIterator<Item = (String, String)>,
    out: &mut impl Write,
    now: Timestamp,
) -> Result<(), Failure> {
    let config = Config::load(args.config.as_deref(), env).map_err(Failure::usage)?;
    let redis = redis(
        &config,
        ": there is no Redis, through which daemons would learn of it; without one, replace the key that signed the token",
    )?;
    let mut register = Register::new(&redis);
    if args.list {
        return runtime()?.block_on(list(&mut register, out, now));
    }
    let (target, before) = target(args, now)?;
    // Until then a token that it is about might be accepted, were it not for this.
    let until = now.plus(config.auth.max_lifetime).plus(config.auth.leeway);
    let entry = Entry { at: now, until, before, undone: args.undo };
    let mut trail = Trail::new(&redis);
    runtime()?.block_on(async {
        let told = enter(&mut register, &target, entry, args).await?;
        print(out, &told)?;
        let row = row(&target, args.undo, now);
        // It holds, whether or not there is a row of it.
        if let Err(fault) = trail.append(&[row], 1).await {
            eprintln!("it was not put into the audit trail: redis: {fault}");
        }
        Ok(())
    })
}

fn target(args: &Args, now: Timestamp) -> Result<(Target, Option<Timestamp>), Failure> {
    for (option, name) in [("--jti", &args.jti), ("--sub", &args.sub)] {
        let good = |name: &String| (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control);
        if !name.as_ref().is_none_or(good) {
            return Err(Failure::usage(format!("{option}: must be 1 to {MAX_NAME} bytes, without control characters")));
        }
    }
    let before = args.before.map(|when| when.moment(now));
    if before.is_some_and(|before| before > now.plus(AHEAD)) {
        return Err(Failure::usage(
            "--before: lies in the future, so nobody could get a token that is good until then",
        ));
    }
    let target = match (&args.jti, &args.sub, before) {
        (Some(jti), _, _) => Target::Token(jti.clone()),
        (None, Some(sub), None) => Target::Subject(sub.clone()),
        (None, sub, Some(_)) => Target::IssuedBefore(sub.clone()),
        // The command line asks for one of them.
        (None, None, None) => return Err(Failure::usage("one of --jti, --sub, --before and --list is needed")),
    };
    Ok((target, before))
}

async fn enter(register: &mut Register, target: &Target, entry: Entry, args: &Args) -> Result<String, Failure> {
    let book = register.read().await.map_err(failed)?;
    let known = book.get(target).filter(|known| !known.undone && known.until > entry.at);
    if args.undo {
        if known.is_none() {
            return Err(Failure::run(format!("{target}: not revoked, so there is nothing to undo")));
        }
        register.enter(target, entry).await.map_err(failed)?;
        return Ok(format!("no longer revoked: {}", described(target, known.and_then(|known| known.before))));
    }
    // To revoke once more must not let anybody in again.
    let before = entry.before.max(known.and_then(|known| known.before));
    let entry = Entry { before, ..entry };
    let until = entry.until;
    if !register.enter(target, entry).await.map_err(failed)? {
        let most = Register::MOST;
        return Err(Failure::run(format!(
            "there are {most} revocations already: revoke with --before, or change the key"
        )));
    }
    Ok(format!("revoked until {until}: {}", described(target, before)))
}

async fn list(register: &mut Register, out: &mut impl Write, now: Timestamp) -> Result<(), Failure> {
    let mut book = register.read().await.map_err(failed)?;
    book.forget_until(now);
    if book.in_force().next().is_none() {
        return print(out, "nothing is revoked");
    }
    let (made, until) = ("REVOKED", "UNTIL");
    print(out, &format!("{made:24}  {until:24}  WHAT"))?;
    for (target, entry) in book.in_force() {
        print(out, &format!("{}  {}  {}", entry.at, entry.until, described(target, entry.before)))?;
    }
    Ok(())
}

fn described(target: &Target, before: Option<Timestamp>) -> String {
    match before {
        Some(before) => format!("{target}, issued before {before}"),
        None => target.to_string(),
    }
}

fn row(target: &Target, undo: bool, now: Timestamp) -> Row {
    let row = Row::new(if undo { Act::Undo } else { Act::Revoke }, now);
    match target {
        Target::Token(jti) => Row { jti: Some(jti.as_str().into()), ..row },
        Target::Subject(sub) | Target::IssuedBefore(Some(sub)) => Row { sub: Some(sub.as_str().into()), ..row },
        Target::IssuedBefore(None) => row,
    }
}

fn failed(fault: Fault) -> Failure {
    Failure::run(format!("redis: {fault}"))
}
