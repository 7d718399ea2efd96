//! Who leads: the protocol as a state machine. It is told the time and what Redis answered, and says what to do next.
//!
//! What makes it safe:
//! - A term is over, by the pod's own clock, before Redis can have let the lease end: its life is counted from before the
//!   request that won or renewed it was sent, less a margin for clocks that do not go equally fast. [`Lease::term`] looks
//!   at the time, so a pod that was asleep finds that it no longer leads before it does anything else.
//! - What is not known to have failed may have succeeded. Each try to acquire has a number, which stands in the lease: a
//!   lease that was won without the answer having come is recognised as one's own, and a try that is carried out late,
//!   or twice, takes nothing from a later one.
//! - Each term has an epoch of its own, past all that this pod ever heard of.
//!
//! What lets the right pod lead when Redis comes back, perhaps with its last writes forgotten: all look first. Where the
//! lease is free, whoever led last waits half a life: one that leads now would have renewed by then, or taken the lease
//! anew. The others wait a whole life, when whatever term there was is over, or longer where Redis holds an older state
//! than they have heard of.

use std::time::Duration;

use crate::sanitize::Position;

/// How long things last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Life of the lease in Redis from the moment when it is taken or renewed there.
    pub life: Duration,
    /// How much earlier than that a leader stops, counted from before it asked. It covers by how much its clock may be
    /// slower than that of Redis.
    pub margin: Duration,
    /// How long others hold back when Redis comes back with a state older than what they have heard of.
    pub grace: Duration,
}

impl Settings {
    /// What befits a lease of this life: a margin of a tenth, a grace of two lives.
    pub fn of_life(life: Duration) -> Self {
        Self { life, margin: life / 10, grace: life * 2 }
    }

    /// Between two renewals.
    fn renewal(&self) -> Duration {
        self.life / 3
    }

    /// After a request that was not answered.
    fn pause(&self) -> Duration {
        self.life / 20
    }
}

/// A time of leading. Moments are durations since any fixed one, on a clock that does not go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// The fencing number.
    pub epoch: u64,
    /// When it is over unless renewed.
    pub until: Duration,
}

impl Term {
    /// Whether it still lasts.
    pub fn lasts(&self, now: Duration) -> bool {
        now < self.until
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Ask Redis this, and tell [`Lease::answer`] what came of it.
    Ask(Request),
    /// Nothing before this moment, unless something else happens.
    Wait(Duration),
    /// Nothing before the answer to what was asked.
    Await,
    /// Nothing any more: the lease is released.
    End,
}

/// A question to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Told again with the answer.
    pub id: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What Redis is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Who has the lease, and how new the stored state is.
    Look,
    /// To have it, if nobody has, in an epoch past `known` and past that of the stored state. A lease that an earlier
    /// try of this process won is taken over.
    Acquire {
        /// Counts the tries of this process.
        attempt: u64,
        /// An epoch that was heard of.
        known: u64,
    },
    /// To have it for another life.
    Renew {
        /// The try that won it.
        attempt: u64,
        /// The epoch that it was won with.
        epoch: u64,
    },
    /// To have it no more, whichever try up to this one won it.
    Release {
        /// The last try.
        attempt: u64,
    },
}

/// What Redis says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To `Acquire`: it is yours, with this epoch.
    Granted {
        /// The fencing number.
        epoch: u64,
    },
    /// To `Look` and `Acquire`: another pod has it.
    Held {
        /// The instance's name.
        by: String,
        /// For so long, unless renewed.
        left: Duration,
    },
    /// To `Look`, and to a try that is not newer than the one that won: it is this process's own.
    Own,
    /// To `Look`: nobody has it.
    Free {
        /// Where the stored state stands.
        stored: Option<Position>,
    },
    /// To `Renew`: it is yours for another life.
    Renewed,
    /// To `Renew`: it is not yours.
    Gone,
    /// To `Renew`: a newer epoch was taken.
    Fenced,
    /// To `Release`: it is not yours, or no more.
    Released,
    /// No answer: it may have been carried out, or may yet be.
    Unknown,
}

/// Why a term ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It was not renewed in time.
    Lapsed,
    /// Redis no longer knew of it.
    Gone,
    /// A newer epoch was heard of.
    Superseded,
    /// The pod gave it up.
    Resigned,
}

impl Loss {
    /// The word for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lapsed => "lapsed",
            Self::Gone => "gone",
            Self::Superseded => "superseded",
            Self::Resigned => "resigned",
        }
    }
}

/// One pod's part in the protocol.
#[derive(Debug, Clone)]
pub struct Lease {
    settings: Settings,
    term: Option<Term>,
    /// When the term is to be renewed.
    renew_at: Duration,
    /// When the lease is next asked for, while there is no term.
    try_at: Duration,
    /// The question that has no answer yet, and when it was asked.
    asked: Option<(Request, Duration)>,
    requests: u64,
    attempts: u64,
    /// Whether Redis may hold the lease for this process.
    may_hold: bool,
    /// Whether Redis was away and has not been looked at since.
    away: bool,
    /// Whether another pod's lease is what is waited for.
    held: bool,
    /// Whether the lease was said to be free while a question was under way.
    woken: bool,
    ending: bool,
    /// The newest beat heard of, with the newest epoch.
    known: Position,
    /// The last epoch in which this pod led.
    led: Option<u64>,
    holder: Option<String>,
    loss: Option<Loss>,
}

impl Lease {
    /// Least time between two tries.
    const LEAST: Duration = Duration::from_millis(5);

    /// A pod that wants to lead, and never did.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            term: None,
            renew_at: Duration::ZERO,
            try_at: Duration::ZERO,
            asked: None,
            requests: 0,
            attempts: 0,
            may_hold: false,
            away: false,
            held: false,
            woken: false,
            ending: false,
            known: Position::default(),
            led: None,
            holder: None,
            loss: None,
        }
    }

    /// The term, while it lasts. Whoever acts as leader looks at this right before.
    pub fn term(&self, now: Duration) -> Option<Term> {
        self.term.filter(|term| term.lasts(now))
    }

    /// Why the last term ended; `None` before that, and since another began.
    pub fn loss(&self) -> Option<Loss> {
        self.loss
    }

    /// The instance that was last said to have the lease, other than this one.
    pub fn holder(&self) -> Option<&str> {
        self.holder.as_deref()
    }

    /// Whether this pod led in the newest epoch that it has heard of.
    pub fn led_last(&self) -> bool {
        self.led.is_some_and(|led| led >= self.known.epoch)
    }

    /// What to do next.
    pub fn poll(&mut self, now: Duration) -> Next {
        self.lapse(now);
        if self.asked.is_some() {
            return Next::Await;
        }
        if self.ending {
            self.term = None;
            return if self.may_hold { self.ask(now, Ask::Release { attempt: self.attempts }) } else { Next::End };
        }
        if let Some(term) = self.term {
            if now < self.renew_at {
                return Next::Wait(self.renew_at.min(term.until));
            }
            return self.ask(now, Ask::Renew { attempt: self.attempts, epoch: term.epoch });
        }
        if now < self.try_at {
            return Next::Wait(self.try_at);
        }
        if self.away {
            return self.ask(now, Ask::Look);
        }
        self.attempts += 1;
        self.may_hold = true;
        self.ask(now, Ask::Acquire { attempt: self.attempts, known: self.known.epoch })
    }

    /// Takes in what came of a request. An answer to another than the last one changes nothing.
    pub fn answer(&mut self, now: Duration, id: u64, answer: Answer) {
        self.lapse(now);
        let Some((_, sent)) = self.asked.take_if(|(asked, _)| asked.id == id) else { return };
        let woken = std::mem::take(&mut self.woken);
        self.away = answer == Answer::Unknown;
        self.held = matches!(answer, Answer::Held { .. });
        match answer {
            Answer::Granted { epoch } => self.granted(now, sent, epoch),
            Answer::Held { by, left } => {
                self.may_hold = false;
                self.holder = Some(by);
                self.try_at = now + if woken { Self::LEAST } else { left + Self::LEAST };
            }
            Answer::Own => {
                self.may_hold = true;
                self.try_at = now + Self::LEAST;
            }
            Answer::Free { stored } => {
                self.may_hold = false;
                let behind = stored.is_none_or(|stored| stored < self.known) && self.known != Position::default();
                let Settings { life, grace, .. } = self.settings;
                let wait = match behind {
                    _ if self.led_last() => life / 2,
                    true => grace.max(life),
                    false => life,
                };
                self.try_at = now + wait;
            }
            Answer::Renewed => {
                // One that comes too late renews nothing: whoever looked at the time has stopped already.
                let lasting = self.lasting();
                if let Some(term) = &mut self.term {
                    term.until = term.until.max(sent + lasting);
                    self.renew_at = sent + self.settings.renewal();
                }
            }
            Answer::Gone => {
                self.may_hold = false;
                self.end(now, Loss::Gone);
            }
            Answer::Fenced => self.end(now, Loss::Superseded),
            Answer::Released => self.may_hold = false,
            Answer::Unknown => {
                let again = now + self.settings.pause();
                self.renew_at = self.renew_at.max(again);
                self.try_at = again;
                // Nobody can be asked to release it again and again: it ends by itself.
                self.may_hold &= !self.ending;
            }
        }
    }

    /// Somebody released the lease: it may be free.
    pub fn wake(&mut self, now: Duration) {
        if self.asked.is_some() {
            self.woken = true;
        } else if self.held {
            // Not while it holds back for the last leader's sake.
            self.try_at = self.try_at.min(now);
        }
    }

    /// A beat was heard of, from Redis or from another pod. Where it is of a newer epoch than this pod's, its term is over.
    pub fn hear(&mut self, now: Duration, beat: Position) {
        self.known = self.known.max(beat);
        if self.term.is_some_and(|term| term.epoch < beat.epoch) {
            self.end(now, Loss::Superseded);
        }
    }

    /// Gives up leading in this epoch, if it still does, and asks for the lease anew: because a write was refused, or
    /// because somebody looked at the time and found the term over before its renewal was known.
    pub fn resign(&mut self, now: Duration, epoch: u64) {
        if self.term.is_some_and(|term| term.epoch == epoch) {
            self.end(now, Loss::Resigned);
        }
    }

    /// Ends: leads no more, and releases the lease if it is still this pod's.
    pub fn shut_down(&mut self, now: Duration) {
        self.ending = true;
        if self.term.is_some() {
            self.end(now, Loss::Resigned);
        }
    }

    fn granted(&mut self, now: Duration, sent: Duration, epoch: u64) {
        self.holder = None;
        let term = Term { epoch, until: sent + self.lasting() };
        if self.ending {
            return;
        }
        // Too late to begin with, or a newer epoch was heard of meanwhile: try again.
        if !term.lasts(now) || epoch <= self.known.epoch {
            self.try_at = now + Self::LEAST;
            return;
        }
        self.known = Position { epoch, beat: 0 };
        self.led = Some(epoch);
        self.loss = None;
        self.renew_at = sent + self.settings.renewal();
        self.term = Some(term);
    }

    fn lasting(&self) -> Duration {
        self.settings.life.saturating_sub(self.settings.margin)
    }

    fn lapse(&mut self, now: Duration) {
        if self.term.is_some_and(|term| !term.lasts(now)) {
            self.end(now, Loss::Lapsed);
        }
    }

    fn end(&mut self, now: Duration, loss: Loss) {
        if self.term.take().is_some() {
            self.loss = Some(loss);
            self.try_at = now;
        }
    }

    fn ask(&mut self, now: Duration, ask: Ask) -> Next {
        self.requests += 1;
        let request = Request { id: self.requests, ask };
        self.asked = Some((request, now));
        Next::Ask(request)
    }
}
