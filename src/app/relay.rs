//! Beats on their way to the streams: from the heart, or from the pod that leads; and on to the other pods.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::sleep;

use super::heart::FromHeart;
use super::role::{Duty, Role};
use crate::cluster::{FrameReader, FrameWriter, Notice, Sent, Tenure, Wish, Wishes};
use crate::domain::Timestamp;
use crate::sanitize::{Position, Relayed};
use crate::stream::Hub;
use crate::telemetry::Metrics;

/// Beats between the tasks here; beyond that they are merged.
pub(super) const BEATS_AHEAD: usize = 16;
/// Between two tries to reach Redis, and between two wishes for a whole state.
const PAUSE: Duration = Duration::from_millis(200);

/// How far beats that a pod makes up stand off from those of the pod that leads, so that no pod takes one for the other:
/// three years at the default interval.
const APART: u64 = 1_000_000_000;

/// Has the hub show the beats of the only heart there is.
pub(super) async fn show(hub: Arc<Hub>, mut heart: mpsc::Receiver<FromHeart>) {
    while let Some(told) = heart.recv().await {
        if let FromHeart::Beat(beat) = told {
            publish(&hub, beat);
        }
    }
}

fn publish(hub: &Hub, relayed: Relayed) {
    match relayed.after {
        Some(_) => hub.publish(relayed.beat),
        None => hub.publish_whole(relayed.beat),
    }
}

/// What others want, and how they say so.
#[derive(Debug, Clone, Default)]
pub(super) struct Wants {
    /// Another pod wants a whole state.
    of_others: Arc<AtomicBool>,
    /// This pod wants one, or a new epoch.
    own: Arc<Notify>,
    epoch: Arc<AtomicBool>,
}

/// The one who says what the hub shows.
pub(super) struct Relay {
    pub(super) hub: Arc<Hub>,
    pub(super) heart: mpsc::Receiver<FromHeart>,
    pub(super) notices: mpsc::Receiver<Vec<Notice>>,
    pub(super) role: watch::Receiver<Role>,
    pub(super) telling: mpsc::Sender<Relayed>,
    pub(super) wants: Wants,
    pub(super) tenure: Tenure,
    pub(super) metrics: Metrics,
    /// The leader's beat that the hub shows; `None`: it shows something else.
    pub(super) synced: Option<Position>,
    /// Whether the hub shows a beat that this pod made up.
    pub(super) made_up: bool,
    /// What the other pods were not told yet.
    pub(super) held: Option<Relayed>,
}

impl Relay {
    /// Relays until the heart is gone.
    pub(super) async fn run(mut self) {
        self.wants.own.notify_one();
        loop {
            tokio::select! {
                biased;
                told = self.heart.recv() => match told {
                    Some(FromHeart::Beat(beat)) => self.own(beat),
                    Some(FromHeart::Idle(now)) => self.idle(now),
                    None => return,
                },
                Ok(()) = self.role.changed() => {
                    let duty = self.role.borrow_and_update().duty;
                    self.hub.stand_apart(matches!(duty, Duty::Degraded | Duty::Alone));
                }
                Some(notices) = self.notices.recv() => {
                    for notice in notices {
                        match notice {
                            Notice::Released => self.tenure.wake(),
                            Notice::Beat(beat) => self.follow(beat),
                        }
                    }
                }
            }
            if let Some(position) = self.hub.position() {
                self.metrics.cluster_epoch.set(i64::try_from(position.epoch).unwrap_or(i64::MAX));
            }
        }
    }

    /// A beat of this pod's heart, which leads nothing.
    fn idle(&mut self, now: Timestamp) {
        let role = self.role.borrow();
        if role.duty == Duty::Degraded {
            self.synced = None;
            let later = if std::mem::replace(&mut self.made_up, true) { 1 } else { APART };
            self.hub.publish_idle(later, now, &role.standing());
        }
    }

    /// A beat of this pod's heart, with what it leads.
    fn own(&mut self, mut relayed: Relayed) {
        let mut role = self.role.borrow().clone();
        if !role.duty.has_engine() {
            return;
        }
        // It may have slept past its term, and this is the first to wake.
        if matches!(role.duty, Duty::Leads(_)) && self.tenure.term().is_none() {
            role.duty = Duty::Alone;
        }
        (self.synced, self.made_up) = (None, false);
        relayed.beat.stand(&role.standing());
        let tell = (role.duty == Duty::Leads(relayed.beat.position().epoch)).then(|| relayed.clone());
        publish(&self.hub, relayed);
        match tell {
            Some(relayed) => self.tell(relayed),
            None => self.held = None,
        }
    }

    fn tell(&mut self, relayed: Relayed) {
        let epoch = relayed.beat.position().epoch;
        let wanted = self.wants.of_others.swap(false, Ordering::AcqRel);
        // All of it is copied for that, so it is not asked for in vain.
        let whole = wanted.then(|| self.hub.whole_beat()).flatten();
        let relayed = match (whole, self.held.take()) {
            (Some(beat), _) => Relayed { after: None, beat },
            (None, Some(mut earlier)) if relayed.after.is_some() && earlier.beat.position().epoch == epoch => {
                earlier.beat.absorb(relayed.beat);
                earlier
            }
            (None, _) => relayed,
        };
        if let Err(mpsc::error::TrySendError::Full(relayed)) = self.telling.try_send(relayed) {
            self.held = Some(relayed);
        }
    }

    /// A beat of the pod that leads.
    fn follow(&mut self, Relayed { after, beat }: Relayed) {
        let position = beat.position();
        self.tenure.hear(position);
        if self.role.borrow().duty.has_engine() {
            return;
        }
        if let Some(shown) = self.hub.position().filter(|shown| position <= *shown) {
            if self.made_up && shown.epoch == position.epoch {
                self.wants.epoch.store(true, Ordering::Release);
                self.wants.own.notify_one();
            }
            return;
        }
        match after {
            None => self.hub.publish_whole(beat),
            Some(after) if self.synced == Some(Position { beat: after, ..position }) => self.hub.publish(beat),
            Some(_) => {
                tracing::debug!(
                    epoch = position.epoch,
                    beat = position.beat,
                    "beats are missing: a whole state is wanted"
                );
                self.wants.own.notify_one();
                return;
            }
        }
        (self.synced, self.made_up) = (Some(position), false);
    }
}

/// Tells the other pods what they are to be told.
pub(super) async fn tell(mut writer: FrameWriter, mut beats: mpsc::Receiver<Relayed>, wants: Wants, tenure: Tenure) {
    while let Some(relayed) = beats.recv().await {
        let position = relayed.beat.position();
        match writer.send(&relayed).await {
            Ok(Sent::Sent) => {}
            Ok(Sent::Wished(Wish::Whole)) => wants.of_others.store(true, Ordering::Release),
            // It is given the next one at once.
            Ok(Sent::Wished(Wish::Epoch) | Sent::Fenced) => tenure.resign(position.epoch),
            Err(fault) => {
                tracing::debug!(fault = fault.as_str(), beat = position.beat, "the other pods may lack a beat");
                // Whether they got it is not known, so the next one would not do.
                wants.of_others.store(true, Ordering::Release);
            }
        }
    }
}

/// Reads what the pod that leads tells, while that is another one.
pub(super) async fn read(
    mut reader: FrameReader,
    notices: mpsc::Sender<Vec<Notice>>,
    mut role: watch::Receiver<Role>,
    tenure: Tenure,
) {
    loop {
        let leads = matches!(role.borrow_and_update().duty, Duty::Leads(_));
        if leads {
            reader.skip();
            if role.changed().await.is_err() {
                return;
            }
            continue;
        }
        let read = tokio::select! {
            read = reader.next() => read,
            changed = role.changed() => match changed {
                // Whoever goes on reading loses nothing.
                Ok(()) if !matches!(role.borrow().duty, Duty::Leads(_)) => reader.next().await,
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        match read {
            Ok(some) => {
                tenure.contact();
                if !some.is_empty() && notices.send(some).await.is_err() {
                    return;
                }
            }
            Err(fault) => {
                tracing::debug!(fault = fault.as_str(), "beats of the other pods cannot be read");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Asks whoever leads for what this pod wants.
pub(super) async fn ask(mut wishes: Wishes, wants: Wants) {
    loop {
        wants.own.notified().await;
        let wish = if wants.epoch.swap(false, Ordering::AcqRel) { Wish::Epoch } else { Wish::Whole };
        if wishes.tell(wish).await.is_err() {
            wants.own.notify_one();
        }
        sleep(PAUSE).await;
    }
}
