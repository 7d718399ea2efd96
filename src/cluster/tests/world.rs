//! Three pods and a Redis on simulated time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::clock::Clock;
use super::model::Model;
use crate::cluster::{Answer, Ask, Lease, Next, Settings};
use crate::sanitize::Position;

pub(super) const LIFE: Duration = Duration::from_secs(2);
pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const PODS: usize = 3;
/// Until when there are faults.
pub(super) const TROUBLE: Duration = Duration::from_secs(25);
/// From then on exactly one pod has to lead, and the same to the end.
pub(super) const SETTLED: Duration = Duration::from_secs(25 + 12);
pub(super) const END: Duration = Duration::from_secs(25 + 18);

/// What may go wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hazards {
    pub(super) settings: Settings,
    /// By how much a clock is fast or slow at most.
    pub(super) drift: f64,
    pub(super) faults: bool,
    /// Whether Redis may forget its last writes when it is started again.
    pub(super) forgets: bool,
}

impl Hazards {
    pub(super) fn all() -> Self {
        Self { settings: Settings::of_life(LIFE), drift: 0.045, faults: true, forgets: false }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// The pod's process looks what is to be done.
    Step(u64),
    /// The pod's heart beats.
    Beat(u64),
    Arrive {
        process: u64,
        connection: u64,
        id: u64,
        ask: Ask,
    },
    Answered {
        process: u64,
        id: u64,
        answer: Answer,
    },
    Write(Position),
    Frame(Position),
    Wake,
    Crash(Duration),
    Terminate(Duration),
    Start,
    Pause(Duration),
    CutOff(Duration),
    RedisDown(Duration, Duration),
    RedisPauses(Duration),
}

pub(super) struct Pod {
    clock: Clock,
    /// None while it is down.
    process: Option<Process>,
    asleep_until: Duration,
    cut_off_until: Duration,
}

pub(super) struct Process {
    number: u64,
    lease: Lease,
    /// The connection that it uses; one from before a restart of Redis is broken.
    connection: u64,
    beat: u64,
    /// The epoch in which it led last.
    led: u64,
    down_for: Duration,
}

pub(super) struct World {
    hazards: Hazards,
    pub(super) random: StdRng,
    pub(super) now: Duration,
    pub(super) events: BTreeMap<(Duration, u64), (usize, Event)>,
    serial: u64,
    pods: Vec<Pod>,
    redis: Model,
    redis_clock: Clock,
    /// What it was at which moments, while it may forget.
    past: Vec<(Duration, Model)>,
    down_until: Duration,
    frozen_until: Duration,
    connection: u64,
    /// Processes of a lower number ran when Redis last forgot something.
    forgot: u64,
    pub(super) epochs: HashMap<u64, u64>,
    newest: u64,
    /// Terms that were seen to be over.
    over: BTreeSet<(u64, u64)>,
    leading: BTreeSet<(u64, u64)>,
    written: Position,
    pub(super) changes: u64,
    /// Since when nobody leads, and the longest such time.
    idle_since: Option<Duration>,
    pub(super) longest_idle: Duration,
    leader: Option<(usize, u64)>,
    pub(super) trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, hazards: Hazards) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut clock = || Clock {
            ahead: MS * random.random_range(0..1_000_000),
            rate: 1.0 + random.random_range(-1.0..=1.0) * hazards.drift,
        };
        let redis_clock = clock();
        let pods = (0..PODS).map(|_| Pod {
            clock: clock(),
            process: None,
            asleep_until: Duration::ZERO,
            cut_off_until: Duration::ZERO,
        });
        let mut world = Self {
            hazards,
            now: Duration::ZERO,
            events: BTreeMap::new(),
            serial: 0,
            pods: pods.collect(),
            redis: Model::default(),
            redis_clock,
            past: Vec::new(),
            down_until: Duration::ZERO,
            frozen_until: Duration::ZERO,
            connection: 1,
            forgot: 0,
            epochs: HashMap::new(),
            newest: 0,
            over: BTreeSet::new(),
            leading: BTreeSet::new(),
            written: Position::default(),
            changes: 0,
            idle_since: None,
            longest_idle: Duration::ZERO,
            leader: None,
            trace: None,
            random,
        };
        for pod in 0..PODS {
            let at = MS * world.random.random_range(0..500);
            world.at(at, pod, Event::Start);
        }
        if hazards.faults {
            world.plan();
        }
        world
    }

    fn plan(&mut self) {
        for _ in 0..self.random.random_range(1..16) {
            let at = MS * self.random.random_range(500..20_000);
            let pod = self.random.random_range(0..PODS);
            let short = MS * self.random.random_range(1..1500);
            let long = MS * self.random.random_range(1..5000);
            let fault = match self.random.random_range(0..12) {
                0 | 1 => Event::Crash(long),
                2 | 3 => Event::Terminate(short),
                4..=6 => Event::Pause(long),
                7 | 8 => Event::CutOff(long),
                9 | 10 => Event::RedisPauses(short),
                _ if self.hazards.forgets => Event::RedisDown(long, MS * self.random.random_range(0..1500)),
                _ => Event::RedisDown(long, Duration::ZERO),
            };
            self.at(at, pod, fault);
        }
    }

    pub(super) fn at(&mut self, at: Duration, pod: usize, event: Event) {
        self.serial += 1;
        self.events.insert((at.max(self.now), self.serial), (pod, event));
    }

    fn troubled(&self) -> bool {
        self.hazards.faults && self.now < TROUBLE
    }

    /// How long a message is under way; `None`: it is lost.
    fn way(&mut self) -> Option<Duration> {
        let micros = Duration::from_micros(self.random.random_range(50..1500));
        if !self.troubled() {
            return Some(micros);
        }
        match self.random.random_range(0..100) {
            0..=2 => None,
            3..=9 => Some(MS * self.random.random_range(1..400)),
            10..=11 => Some(MS * self.random.random_range(1..4000)),
            _ => Some(micros),
        }
    }

    /// Runs to the end: how often the lease changed hands, or what went wrong.
    pub(super) fn run(&mut self) -> Result<u64, String> {
        while let Some(((at, _), (pod, event))) = self.events.pop_first() {
            if at >= END {
                break;
            }
            self.now = at;
            let asleep_until = self.pods[pod].asleep_until;
            let inside = matches!(
                event,
                Event::Step(_) | Event::Beat(_) | Event::Answered { .. } | Event::Frame(_) | Event::Wake
            );
            if inside && asleep_until > at {
                let jitter = Duration::from_nanos(self.random.random_range(0..1000));
                self.at(asleep_until + jitter, pod, event);
                continue;
            }
            if let Some(trace) = &mut self.trace {
                trace.push(format!("{at:?} pod-{pod} {event:?}"));
            }
            self.happen(pod, event)?;
            self.check()?;
        }
        Ok(self.changes)
    }

    pub(super) fn happen(&mut self, pod: usize, event: Event) -> Result<(), String> {
        let now = self.now;
        match event {
            Event::Start => self.start(pod),
            Event::Step(number) => {
                if self.is(pod, number) {
                    self.step(pod);
                }
            }
            Event::Beat(number) => {
                if self.is(pod, number) {
                    self.beat(pod)?;
                }
            }
            Event::Arrive { process, connection, id, ask } => self.arrive(pod, process, connection, id, ask),
            Event::Answered { process, id, answer } => {
                if self.is(pod, process) {
                    self.tell(pod, |lease, shown| lease.answer(shown, id, answer));
                }
            }
            Event::Write(beat) => self.write(pod, beat)?,
            Event::Frame(beat) => self.tell(pod, |lease, shown| lease.hear(shown, beat)),
            Event::Wake => self.tell(pod, Lease::wake),
            Event::Crash(down) => {
                if self.pods[pod].process.take().is_some() {
                    self.at(now + down, pod, Event::Start);
                }
            }
            Event::Terminate(down) => {
                if let Some(process) = &mut self.pods[pod].process {
                    process.down_for = down;
                }
                self.tell(pod, Lease::shut_down);
            }
            Event::Pause(long) => self.pods[pod].asleep_until = now + long,
            Event::CutOff(long) => self.pods[pod].cut_off_until = now + long,
            Event::RedisPauses(long) => self.frozen_until = now + long,
            Event::RedisDown(long, forgets) => {
                self.down_until = now + long;
                self.connection += 1;
                self.past.retain(|(at, _)| *at + forgets <= now);
                if !forgets.is_zero() {
                    self.forgot = self.serial;
                    self.redis = self.past.last().map_or_else(Model::default, |(_, past)| past.clone());
                    self.written = self.redis.stored.unwrap_or_default();
                }
            }
        }
        if self.hazards.forgets && self.past.last().is_none_or(|(_, last)| *last != self.redis) {
            self.past.push((now, self.redis.clone()));
        }
        Ok(())
    }

    pub(super) fn number(&self, pod: usize) -> u64 {
        self.pods[pod].process.as_ref().map_or(0, |process| process.number)
    }

    fn is(&self, pod: usize, number: u64) -> bool {
        self.pods[pod].process.as_ref().is_some_and(|process| process.number == number)
    }

    fn start(&mut self, pod: usize) {
        if self.pods[pod].process.is_some() {
            return;
        }
        self.serial += 1;
        let number = self.serial;
        let lease = Lease::new(self.hazards.settings);
        let connection = self.connection;
        let process = Process { number, lease, connection, beat: 0, led: 0, down_for: Duration::ZERO };
        self.pods[pod].process = Some(process);
        self.pods[pod].asleep_until = Duration::ZERO;
        self.at(self.now, pod, Event::Step(number));
        self.at(self.now, pod, Event::Beat(number));
    }

    /// Tells a pod's lease something, at the time that its clock shows.
    fn tell(&mut self, pod: usize, tell: impl FnOnce(&mut Lease, Duration)) {
        let shown = self.pods[pod].clock.shows(self.now);
        if let Some(process) = &mut self.pods[pod].process {
            tell(&mut process.lease, shown);
            self.step(pod);
        }
    }

    /// What a process does whenever it runs.
    fn step(&mut self, pod: usize) {
        let now = self.now;
        let clock = self.pods[pod].clock;
        let shown = clock.shows(now);
        let Some(process) = &mut self.pods[pod].process else { return };
        let number = process.number;
        match process.lease.poll(shown) {
            Next::Wait(until) => self.at(clock.when(until), pod, Event::Step(number)),
            Next::Await => {}
            Next::End => {
                let down = process.down_for;
                self.pods[pod].process = None;
                self.at(now + down, pod, Event::Start);
            }
            Next::Ask(request) => {
                let broken = process.connection != self.connection;
                process.connection = self.connection;
                let connection = self.connection;
                if broken || self.down_until > now {
                    let event = Event::Answered { process: number, id: request.id, answer: Answer::Unknown };
                    self.at(now + MS, pod, event);
                    return;
                }
                let timeout = clock.when(shown + LIFE / 3);
                self.at(timeout, pod, Event::Answered { process: number, id: request.id, answer: Answer::Unknown });
                let copies = if self.troubled() && self.random.random_range(0..50) == 0 { 2 } else { 1 };
                for _ in 0..copies {
                    if let Some(way) = self.way() {
                        let arrive = Event::Arrive { process: number, connection, id: request.id, ask: request.ask };
                        self.at(now + way, pod, arrive);
                    }
                }
            }
        }
    }

    /// A request is at the door of Redis.
    fn arrive(&mut self, pod: usize, process: u64, connection: u64, id: u64, ask: Ask) {
        let now = self.now;
        if connection != self.connection || self.down_until > now || self.pods[pod].cut_off_until > now {
            return;
        }
        if self.frozen_until > now {
            let jitter = Duration::from_nanos(self.random.random_range(0..1000));
            self.at(self.frozen_until + jitter, pod, Event::Arrive { process, connection, id, ask });
            return;
        }
        let shown = self.redis_clock.shows(now);
        let name = format!("pod-{pod} {process}");
        let answer = self.redis.carry_out(shown, self.hazards.settings.life, &name, ask);
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now:?} redis: {name} {ask:?} -> {answer:?}"));
        }
        if answer == Answer::Released {
            for other in 0..PODS {
                if let Some(way) = self.way().filter(|_| self.pods[other].cut_off_until <= now) {
                    self.at(now + way, other, Event::Wake);
                }
            }
        }
        if let Some(way) = self.way() {
            self.at(now + way, pod, Event::Answered { process, id, answer });
        }
    }

    /// The heart: looks at the time, and beats as leader or not.
    fn beat(&mut self, pod: usize) -> Result<(), String> {
        let now = self.now;
        let clock = self.pods[pod].clock;
        let shown = clock.shows(now);
        let Some(process) = &mut self.pods[pod].process else { return Ok(()) };
        let number = process.number;
        let mut sent = None;
        if let Some(term) = process.lease.term(shown) {
            if term.epoch < process.led {
                return Err(format!("pod-{pod} leads in epoch {} after {}", term.epoch, process.led));
            }
            process.led = term.epoch;
            process.beat += 1;
            let beat = Position { epoch: term.epoch, beat: process.beat };
            process.lease.hear(shown, beat);
            sent = Some(beat);
        }
        if let Some((beat, way)) = sent.and_then(|beat| Some((beat, self.way()?))) {
            self.at(now + way, pod, Event::Write(beat));
        }
        self.at(clock.when(shown + MS * 100), pod, Event::Beat(number));
        Ok(())
    }

    fn write(&mut self, pod: usize, beat: Position) -> Result<(), String> {
        let now = self.now;
        if self.down_until > now || self.pods[pod].cut_off_until > now || self.frozen_until > now {
            return Ok(());
        }
        if !self.redis.write(beat) {
            return Ok(());
        }
        if beat.epoch < self.written.epoch {
            return Err(format!("a write of epoch {} was taken after one of {}", beat.epoch, self.written.epoch));
        }
        self.written = beat;
        for other in (0..PODS).filter(|other| *other != pod) {
            if let Some(way) = self.way().filter(|_| self.pods[other].cut_off_until <= now) {
                self.at(now + way, other, Event::Frame(beat));
            }
        }
        Ok(())
    }

    /// What has to be true at every moment. Terms begin with events alone: no moment between two can be worse.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let now = self.now;
        let mut leaders = Vec::new();
        for (pod, place) in self.pods.iter().enumerate() {
            let Some(process) = &place.process else { continue };
            if let Some(term) = process.lease.term(place.clock.shows(now)) {
                leaders.push((pod, process.number, term.epoch));
            }
        }
        // Where Redis forgot a lease two may lead for a while. Fencing tells them apart by their epochs, unless one of
        // them was started after that and could not hear of the other.
        let epochs: BTreeSet<_> = leaders.iter().map(|&(_, _, epoch)| epoch).collect();
        let heard = leaders.iter().all(|&(_, number, _)| number < self.forgot);
        if leaders.len() > 1 && (!self.hazards.forgets || (epochs.len() < leaders.len() && heard)) {
            return Err(format!("more than one leads: {leaders:?}"));
        }
        let leading: BTreeSet<_> = leaders.iter().map(|&(_, number, epoch)| (number, epoch)).collect();
        self.over.extend(self.leading.difference(&leading));
        if let Some((number, epoch)) = leading.intersection(&self.over).next() {
            return Err(format!("process {number} leads again in epoch {epoch}, which was over"));
        }
        self.leading = leading;
        for &(pod, number, epoch) in &leaders {
            if self.epochs.get(&epoch) == Some(&number) {
                continue;
            }
            self.changes += 1;
            if !self.hazards.forgets && (self.epochs.contains_key(&epoch) || epoch <= self.newest) {
                return Err(format!("pod-{pod} begins to lead in epoch {epoch} after {}", self.newest));
            }
            self.epochs.insert(epoch, number);
            self.newest = self.newest.max(epoch);
        }
        match (leaders.is_empty(), self.idle_since) {
            (true, None) => self.idle_since = Some(now),
            (false, Some(since)) => {
                self.longest_idle = self.longest_idle.max(now - since);
                self.idle_since = None;
            }
            _ => {}
        }
        if now >= SETTLED {
            let now_leading: BTreeSet<_> = leaders.iter().map(|&(pod, _, epoch)| (pod, epoch)).collect();
            let leader = now_leading.first().copied().filter(|_| now_leading.len() == 1);
            if leader.is_none() || self.leader.is_some_and(|before| Some(before) != leader) {
                return Err(format!("all is well, and who leads is {now_leading:?} after {:?}", self.leader));
            }
            self.leader = leader;
        }
        Ok(())
    }
}
