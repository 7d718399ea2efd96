//! What befalls the pods, drawn from a seed.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const MS: Duration = Duration::from_millis(1);

/// What kind of Redis there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One that is empty when it is started again.
    Forgetful,
    /// One that loses nothing by being killed.
    Durable,
    /// One of two, watched by three sentinels.
    Sentinel,
}

/// Which pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Who leads at the time.
    Leader,
    /// The first other one.
    Second,
    /// The next.
    Third,
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Connections are reset, and new ones too.
    Reset,
    /// Nothing is carried until it heals; what was sent comes late.
    Hole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`.
    Kill(Who),
    /// SIGTERM.
    Terminate(Who),
    /// SIGSTOP, until all is healed.
    Freeze(Who),
    /// No way to Redis, until all is healed.
    Part(Who, Cut),
    /// Each pod in turn is ended by SIGTERM and started again.
    Roll,
    /// `kill -9`, started again when all is healed.
    KillRedis,
    /// SIGSTOP, until all is healed.
    FreezeRedis,
    /// The sentinels are told to change masters.
    Switch,
    /// Nothing, for long enough that what was acknowledged is folded.
    Rest,
    /// What was killed is started again, whatever else is wrong.
    Raise,
}

/// Faults that come together, in this order, and are healed together.
#[derive(Debug, Clone)]
pub struct Episode {
    pub quiet: Duration,
    pub faults: Vec<Fault>,
    pub hold: Duration,
}

#[derive(Debug, Clone)]
pub struct Schedule {
    pub seed: u64,
    pub kind: Kind,
    pub episodes: Vec<Episode>,
}

impl Schedule {
    pub fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let kind = [Kind::Durable, Kind::Sentinel, Kind::Forgetful][usize::try_from(seed % 3).unwrap()];
        // The first is the plain thing that the kind is there for.
        let first = match kind {
            Kind::Durable => vec![Fault::Kill(Who::Leader)],
            Kind::Sentinel => vec![Fault::KillRedis],
            Kind::Forgetful => vec![Fault::KillRedis],
        };
        let more = random.random_range(2..=4);
        let drawn: Vec<_> = (0..more).map(|_| draw(kind, &mut random)).collect();
        let episodes = std::iter::once(first).chain(drawn).map(|faults| Episode {
            quiet: MS * random.random_range(300..1200),
            faults,
            hold: MS * random.random_range(300..4500),
        });
        Self { seed, kind, episodes: episodes.collect() }
    }
}

/// Faults that may come together; see the rule in `main.rs`.
fn draw(kind: Kind, random: &mut StdRng) -> Vec<Fault> {
    let who = |random: &mut StdRng| [Who::Leader, Who::Leader, Who::Second, Who::Third][random.random_range(0..4)];
    let redis = match random.random_range(0..3) {
        0 if kind == Kind::Sentinel => Fault::Switch,
        0 | 1 => Fault::KillRedis,
        _ => Fault::FreezeRedis,
    };
    let cut = if random.random() { Cut::Reset } else { Cut::Hole };
    match random.random_range(0..16) {
        0 | 1 => vec![Fault::Kill(who(random))],
        2 => vec![Fault::Kill(Who::Leader), Fault::Kill(Who::Second)],
        3 => vec![Fault::Freeze(who(random))],
        4 => vec![Fault::Freeze(Who::Leader), Fault::Kill(Who::Second)],
        5 => vec![Fault::Freeze(Who::Leader), Fault::Freeze(Who::Third)],
        6 => vec![Fault::Terminate(Who::Leader), Fault::Freeze(Who::Second)],
        7 | 8 => vec![Fault::Roll],
        // The sentinels tell where Redis is: there is no proxy to cut.
        9 | 10 if kind != Kind::Sentinel => vec![Fault::Part(who(random), cut)],
        11 if kind != Kind::Sentinel => vec![Fault::Part(Who::Leader, cut), Fault::Kill(Who::Second)],
        12 if kind == Kind::Durable => vec![Fault::FreezeRedis, Fault::Freeze(who(random))],
        // It finds no Redis, and is alone from its start.
        13 | 14 => vec![Fault::Kill(Who::Second), Fault::Rest, redis, Fault::Raise],
        _ => vec![redis],
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schedule of seed {}, {:?} Redis:", self.seed, self.kind)?;
        for (number, Episode { quiet, faults, hold }) in self.episodes.iter().enumerate() {
            write!(f, "\n  {}. after {quiet:?} {faults:?} for {hold:?}", number + 1)?;
        }
        Ok(())
    }
}
