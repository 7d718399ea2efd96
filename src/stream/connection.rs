//! One stream, from hello to close.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::abuse::Abuse;
use super::answers::Answers;
use super::backend::{Refreshing, Renewal, Session};
use super::close::Close;
use super::fanout::Repeated;
use super::filter::Filter;
use super::frame::{ErrorCode, Frame, Hello};
use super::hub::{Given, News};
use super::line::Signal;
use super::message::{self, Message};
use super::pace::Pace;
use super::registry::Place;
use super::service::{Settings, Streams};
use super::tally::Waits;
use super::wire::{Event, Fault, Incoming, Wire};

/// How long a new token's check may take.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);
/// How far what others see of the frames sent may be behind: where they look is memory that a frame need not fetch.
const COUNT_EVERY: Duration = Duration::from_millis(500);
/// Longest sleep: deadlines further away are looked at again then.
const FAR: Duration = Duration::from_secs(3_600);

/// The state of one stream.
///
/// At each turn ([`Connection::poll`]) it does what can be done now, and works out when something is due next. One frame
/// is in flight at most; what a client has still to be told of the public state is one number, the beat it was given last.
pub(super) struct Connection<S> {
    streams: Arc<Streams>,
    wire: Wire<S>,
    session: Session,
    place: Place,
    filter: Arc<Filter>,
    pace: Pace,
    /// What the client was given last; `None`: it is due a whole state.
    given: Option<Given>,
    /// The news that there are, and those up to which the client was told, needs not be told, or was given up.
    news: u64,
    told: u64,
    answers: Answers,
    /// Whether the frame in flight, or else the last one, is data.
    data_in_flight: bool,
    /// When the peer last took something, or had nothing to take.
    took: Instant,
    /// Whether held-back frames were given up since then.
    gave_up: bool,
    /// When a ping went out that no pong came for yet.
    pinged: Option<Instant>,
    next_ping: Instant,
    expires: Instant,
    drains: Option<Instant>,
    refreshing: Option<(Refreshing, Pin<Box<Sleep>>)>,
    abuse: Abuse,
    /// Whether a part of the message that is coming in was dropped, and so the message is.
    torn: bool,
    /// When its task looks after it next without being called.
    alarm: Instant,
    /// What the wire told while the task was not looking.
    fault: Option<Fault>,
    /// Frames sent since they were last added to what others see, and when that was.
    uncounted: u64,
    counted: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(streams: Arc<Streams>, wire: Wire<S>, session: Session, place: Place) -> Self {
        let now = Instant::now();
        let hub = Arc::clone(&streams.hub);
        let news = hub.news();
        let mut connection = Self {
            wire,
            place,
            filter: hub.filters().everybody(),
            pace: Pace::new(streams.settings.limits.frames_per_second, streams.settings.interval, now),
            given: session.since.and_then(|since| hub.given(since)),
            news: news.serial,
            told: news.serial.saturating_sub(1),
            answers: Answers::default(),
            // So that hello, which is an answer, goes first.
            data_in_flight: true,
            took: now,
            gave_up: false,
            pinged: None,
            next_ping: now + streams.settings.config.ping_interval,
            expires: now + session.expires.since(streams.backend.now()),
            drains: None,
            refreshing: None,
            abuse: Abuse::default(),
            torn: false,
            alarm: now,
            fault: None,
            uncounted: 0,
            counted: now,
            session,
            streams,
        };
        let Session { id, expires, .. } = &connection.session;
        connection.place.line.tally.begin(id, connection.streams.backend.now(), *expires);
        connection.hello();
        connection
    }

    /// Does all that can be done now. Ready when the alarm is to be set to another moment, or when the stream is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Instant, Fault>> {
        self.news = self.streams.hub.news().serial;
        loop {
            let now = Instant::now();
            if let Some(fault) = self.fault.take().or_else(|| self.overdue(now).map(Fault::Told)) {
                return Poll::Ready(Err(fault));
            }
            self.fill(now);
            let read = self.refreshing.is_none();
            let event = match self.wire.poll_event(cx, read) {
                Poll::Ready(event) => self.on_wire(event, now),
                Poll::Pending => match self.poll_refreshing(cx) {
                    Poll::Ready(result) => {
                        self.on_refreshed(result);
                        Ok(())
                    }
                    Poll::Pending => break,
                },
            };
            if let Err(fault) = event {
                return Poll::Ready(Err(fault));
            }
        }
        self.place.line.tally.waits_for(self.waits());
        let now = Instant::now();
        self.count(now);
        let alarm = self.next_deadline(now);
        if alarm == self.alarm {
            return Poll::Pending;
        }
        self.alarm = alarm;
        Poll::Ready(Ok(alarm))
    }

    /// Tells the client the news, where that needs nothing else: no turn of the stream's own task then. `false`: the task
    /// has to see to it.
    pub(super) fn hear(&mut self, news: News, now: Instant, shared: &mut Repeated) -> bool {
        self.news = self.news.max(news.serial);
        if self.wire.is_busy() {
            self.give_up_if_held_for_long(now);
        } else if self.wire.control_waits() || !self.answers.is_empty() {
            return false;
        } else if self.pace.on_beat_from().is_some_and(|from| now < from) {
            self.pace.wait(now);
        } else {
            if let Some(frame) = self.next_data(shared) {
                self.put(frame, true, now);
                let outcome = match self.wire.try_write(&mut Context::from_waker(Waker::noop())) {
                    Some(event) => self.on_wire(event, now),
                    None => Ok(()),
                };
                self.fault = outcome.err();
            }
            // The task is the one that waits for the socket. Without more to do, nothing is due sooner than it was.
            return !self.wire.is_busy() && self.fault.is_none() && !self.data_waits();
        }
        self.next_deadline(now) >= self.alarm
    }

    /// Ends the connection, and tells the client why where there is a reason to tell. Returns it.
    pub(super) async fn end(self, fault: Fault) -> Option<Close> {
        let close = match fault {
            Fault::Told(close) => Some(close),
            Fault::Gone => None,
        };
        let Settings { linger, config, .. } = &self.streams.settings;
        // A client that took nothing is told why when it does again, if that is soon: half a frame and the close wait for
        // it. It is no stream any more; any other keeps its place until its connection is gone.
        let slow = close == Some(Close::Slow);
        let linger = if slow && self.wire.is_busy() { config.stall_timeout.max(*linger) } else { *linger };
        let Self { wire, place, .. } = self;
        let _place = (!slow).then_some(place);
        wire.finish(close, linger).await;
        close
    }

    /// Whether the stream's time is over.
    fn overdue(&self, now: Instant) -> Option<Close> {
        let stall = self.streams.settings.config.stall_timeout;
        if self.drains.is_some_and(|at| now >= at) {
            return Some(Close::Restart);
        }
        if now >= self.expires {
            return Some(Close::Expired);
        }
        let stalled = self.wire.is_busy() && now >= self.took + stall;
        let silent = self.pinged.is_some_and(|at| now >= at + stall);
        (stalled || silent).then_some(Close::Slow)
    }

    /// Puts the next frame in flight when none is and one is due, and keeps the books for a client that holds it up.
    fn fill(&mut self, now: Instant) {
        if now >= self.next_ping {
            self.next_ping = now + self.streams.settings.config.ping_interval;
            if self.pinged.is_none() {
                self.wire.ping();
                self.pinged = Some(now);
            }
        }
        if self.pinged.is_some() && self.wire.control_waits() {
            // The peer's time for a pong starts when the ping is out.
            self.pinged = Some(now);
        }
        if self.wire.is_busy() {
            self.give_up_if_held_for_long(now);
            return;
        }
        if self.pace.any_from().is_some_and(|from| now < from) {
            return;
        }
        let data_may = self.pace.data_from().is_none_or(|from| now >= from);
        // Answers and data take turns where both wait, so that neither keeps the other from being sent.
        let data_first = !self.data_in_flight || self.answers.is_empty();
        if data_may
            && data_first
            && let Some(frame) = self.next_data(&mut Repeated::default())
        {
            return self.put(frame, true, now);
        }
        match self.answers.pop() {
            Some(answer) => self.put(answer, false, now),
            None => {
                if data_may && let Some(frame) = self.next_data(&mut Repeated::default()) {
                    self.put(frame, true, now);
                }
            }
        }
    }

    fn put(&mut self, frame: Frame, data: bool, now: Instant) {
        self.wire.put(frame.into_bytes());
        self.data_in_flight = data;
        self.took = now;
    }

    /// Whether the client has to be told something of the public state that it was not told yet.
    fn data_waits(&self) -> bool {
        self.told < self.news
    }

    fn next_data(&mut self, repeated: &mut Repeated) -> Option<Frame> {
        if !self.data_waits() {
            return None;
        }
        let held = (self.news - self.told).saturating_sub(1);
        self.told = self.news;
        let (frame, given) = repeated.next(&self.streams.hub, &self.filter, self.given)?;
        if self.given.is_some() && held > 0 {
            self.streams.metrics.ws_frames_merged_total.inc_by(held);
            self.place.line.tally.merged(held);
        }
        self.given = Some(given);
        Some(frame)
    }

    /// Gives up what is held back for a client that took nothing for long. It will be sent the whole state.
    fn give_up_if_held_for_long(&mut self, now: Instant) {
        if now >= self.took + self.streams.settings.config.merge_for && self.data_waits() {
            self.streams.metrics.ws_backpressure_drops_total.inc_by(self.news - self.told);
            self.place.line.tally.given_up(self.news - self.told);
            self.told = self.news;
            self.gave_up = true;
        }
    }

    /// When something is due without an event.
    fn next_deadline(&self, now: Instant) -> Instant {
        let config = &self.streams.settings.config;
        let mut wake = self.expires.min(self.next_ping);
        let mut at = |moment: Instant| wake = wake.min(moment);
        if let Some(drains) = self.drains {
            at(drains);
        }
        if let Some(pinged) = self.pinged {
            at(pinged + config.stall_timeout);
        }
        if self.wire.is_busy() {
            at(self.took + config.stall_timeout);
            // While given up already, each further one is counted as its news come.
            if now < self.took + config.merge_for && self.data_waits() {
                at(self.took + config.merge_for);
            }
        } else {
            if let Some(from) = self.pace.any_from().filter(|_| !self.answers.is_empty()) {
                at(from);
            }
            if let Some(from) = self.pace.data_from().filter(|_| self.data_waits()) {
                at(from);
            }
        }
        wake.min(now + FAR)
    }

    fn on_wire(&mut self, event: Event, now: Instant) -> Result<(), Fault> {
        match event {
            Event::Took { frame_done, was_blocked } => {
                self.took = now;
                if was_blocked && self.pinged.is_some() {
                    // It does take what stands before the ping.
                    self.pinged = Some(now);
                }
                if frame_done {
                    self.pace.sent(now, self.data_in_flight);
                    self.streams.metrics.ws_frames_sent_total.inc();
                    self.uncounted += 1;
                    if now >= self.counted + COUNT_EVERY {
                        self.count(now);
                    }
                    if std::mem::take(&mut self.gave_up) {
                        self.start_afresh();
                    }
                }
                Ok(())
            }
            Event::Received(incoming) => self.on_received(incoming, now),
            Event::Fault(fault) => Err(fault),
        }
    }

    fn count(&mut self, now: Instant) {
        self.place.line.tally.sent(std::mem::take(&mut self.uncounted));
        self.counted = now;
    }

    fn on_received(&mut self, incoming: Incoming, now: Instant) -> Result<(), Fault> {
        if matches!(incoming, Incoming::Pong) && self.pinged.take().is_some() {
            return Ok(());
        }
        if let Incoming::Parts(parts) = incoming {
            // Each part is a frame, and costs as much as one.
            for _ in 0..parts {
                if !self.place.limiter.admits() {
                    self.torn = true;
                    self.dropped(now)?;
                }
            }
            return Ok(());
        }
        let whole = matches!(incoming, Incoming::Text(_) | Incoming::Binary);
        let torn = whole && std::mem::take(&mut self.torn);
        if torn || !self.place.limiter.admits() {
            return self.dropped(now);
        }
        match incoming {
            Incoming::Binary => Err(Fault::Told(Close::Binary)),
            Incoming::Ping | Incoming::Pong | Incoming::Parts(_) => Ok(()),
            Incoming::Text(text) => match message::parse(&text, self.max_hz()).and_then(|message| self.obey(message)) {
                Ok(()) => Ok(()),
                Err(problem) => {
                    self.answer(Frame::error(ErrorCode::BadMessage, problem));
                    if self.abuse.malformed(now) { Err(Fault::Told(Close::Policy)) } else { Ok(()) }
                }
            },
        }
    }

    /// A frame of the client was over the rate.
    fn dropped(&mut self, now: Instant) -> Result<(), Fault> {
        self.streams.metrics.ws_rate_limit_drops_total.inc();
        self.place.line.tally.limited(1);
        if self.abuse.dropped(now) {
            return Err(Fault::Told(Close::Policy));
        }
        if self.abuse.may_complain(now) {
            self.answer(Frame::error(ErrorCode::RateLimited, "too many messages: what is over the limit is dropped"));
        }
        Ok(())
    }

    /// What the stream waits for, for those who ask.
    fn waits(&self) -> Waits {
        match self.wire.is_busy() {
            true => Waits::Client,
            false if self.data_waits() || !self.answers.is_empty() => Waits::Pace,
            false => Waits::News,
        }
    }

    fn max_hz(&self) -> f64 {
        f64::from(self.streams.settings.limits.frames_per_second)
    }

    fn obey(&mut self, message: Message<'_>) -> Result<(), &'static str> {
        match message {
            Message::Ping => self.answer(Frame::pong()),
            Message::Subscribe { agents, max_hz } => {
                let filters = self.streams.hub.filters();
                // Who only changes the rate knows the state still: a stream that was resumed stays a difference.
                let rate_alone = agents.is_none() && self.filter.id() == filters.everybody().id();
                let patterns = agents.as_ref().map_or(0, Vec::len);
                self.filter = match agents {
                    Some(patterns) => filters.of(patterns, self.streams.settings.limits.subscribe_patterns)?,
                    None => filters.everybody(),
                };
                self.place.line.tally.subscribed(patterns);
                self.pace.at_most(max_hz);
                if !rate_alone {
                    self.start_afresh();
                }
            }
            Message::Observe(_) if !self.session.may_observe => {
                self.streams.metrics.ws_scope_reject_total.inc();
                self.answer(Frame::error(ErrorCode::Forbidden, "observe needs the scope metacog.observe"));
            }
            Message::Observe(json) => {
                if let Err(problem) = self.streams.backend.observe(json) {
                    self.answer(Frame::error(ErrorCode::Rejected, &problem));
                }
            }
            Message::Auth(token) => {
                let check = self.streams.backend.refresh(&self.session, &self.place.holder, token);
                self.refreshing = Some((check, Box::pin(tokio::time::sleep(REFRESH_TIMEOUT))));
            }
        }
        Ok(())
    }

    /// The whole state is due, whether or not there are news.
    fn start_afresh(&mut self) {
        self.given = None;
        self.told = self.news.saturating_sub(1);
    }

    /// The outcome of a token's check; never ready when there is none.
    fn poll_refreshing(&mut self, cx: &mut Context<'_>) -> Poll<Result<Renewal, &'static str>> {
        let Some((check, timeout)) = &mut self.refreshing else { return Poll::Pending };
        if let Poll::Ready(result) = check.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        timeout.as_mut().poll(cx).map(|()| Err("the token could not be checked in time"))
    }

    fn on_refreshed(&mut self, result: Result<Renewal, &'static str>) {
        self.refreshing = None;
        match result {
            Ok(Renewal { token, issued, expires, scopes, may_observe, resume }) => {
                self.place.line.tally.expires_at(expires);
                self.place.renew(token, issued);
                self.expires = Instant::now() + expires.since(self.streams.backend.now());
                self.session = Session { expires, scopes, may_observe, resume, ..std::mem::take(&mut self.session) };
                self.hello();
            }
            Err(problem) => self.answer(Frame::error(ErrorCode::AuthFailed, problem)),
        }
    }

    /// Takes in what the stream is told from outside; to be polled then.
    pub(super) fn on_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Run => {}
            Signal::Cut(close) => self.fault = Some(Fault::Told(close)),
            Signal::Drain { at } => {
                self.drains = Some(at);
                let retry = at.saturating_duration_since(Instant::now());
                self.answer(Frame::draining(u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)));
            }
        }
    }

    fn hello(&mut self) {
        // The ticket is told once and not kept.
        let resume = std::mem::take(&mut self.session.resume);
        self.answer(Frame::hello(&Hello {
            session: &self.session.id,
            interval_ms: self.streams.settings.interval.as_secs_f64() * 1e3,
            max_hz: self.streams.settings.limits.frames_per_second,
            resume: &resume,
        }));
    }

    fn answer(&mut self, frame: Frame) {
        if !self.answers.push(frame) {
            self.streams.metrics.ws_backpressure_drops_total.inc();
            self.place.line.tally.given_up(1);
        }
    }
}

#[cfg(test)]
mod tests;
