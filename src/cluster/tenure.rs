//! The lease, kept: what the protocol wants to know is asked, and who needs to know is told.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::lease::{Answer, Lease, Loss, Next, Term};
use super::registrar::Registrar;
use crate::link::Fault;
use crate::sanitize::Position;

/// The lease as it stands. Moments are as [`Tenure::elapsed`] tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// The pod's own term. Whether it lasts is for who acts to look at.
    pub term: Option<Term>,
    /// The other instance that has the lease, as far as that is known.
    pub holder: Option<String>,
    /// Why the last term ended.
    pub loss: Option<Loss>,
    /// Whether nothing will be asked any more.
    pub ended: bool,
}

/// A handle on the lease; clones are handles on the same.
#[derive(Debug, Clone)]
pub struct Tenure(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    origin: Instant,
    lease: Mutex<Lease>,
    nudged: Notify,
    view: watch::Sender<View>,
    /// When Redis last answered anybody here.
    contact: Mutex<Duration>,
    /// When a beat was last heard of, and the newest one.
    heard: Mutex<(Duration, Position)>,
}

/// Keeps the lease.
#[derive(Debug)]
pub struct Keeper {
    tenure: Tenure,
    registrar: Registrar,
}

impl Tenure {
    /// A lease that is not asked for yet, and who keeps it.
    pub fn new(lease: Lease, registrar: Registrar) -> (Self, Keeper) {
        let shared = Shared {
            origin: Instant::now(),
            lease: Mutex::new(lease),
            nudged: Notify::new(),
            view: watch::Sender::default(),
            contact: Mutex::default(),
            heard: Mutex::default(),
        };
        let tenure = Self(Arc::new(shared));
        (tenure.clone(), Keeper { tenure, registrar })
    }

    /// Time since this was made.
    pub fn elapsed(&self) -> Duration {
        self.0.origin.elapsed()
    }

    /// The moment as the runtime's clock has it.
    pub fn instant(&self, moment: Duration) -> Instant {
        self.0.origin + moment
    }

    /// The term, if it lasts now.
    pub fn term(&self) -> Option<Term> {
        self.0.lease.lock().term(self.elapsed())
    }

    /// The lease as it stands, and what becomes of it.
    pub fn view(&self) -> watch::Receiver<View> {
        self.0.view.subscribe()
    }

    /// A beat of the pod that leads was heard of.
    pub fn hear(&self, beat: Position) {
        self.0.lease.lock().hear(self.elapsed(), beat);
        {
            let mut heard = self.0.heard.lock();
            *heard = (self.elapsed(), heard.1.max(beat));
        }
        self.contact();
    }

    /// The newest beat heard of.
    pub fn last_heard(&self) -> Position {
        self.0.heard.lock().1
    }

    /// How long no beat was heard of.
    pub fn unheard(&self) -> Duration {
        self.elapsed().saturating_sub(self.0.heard.lock().0)
    }

    /// The lease was released by who had it.
    pub fn wake(&self) {
        self.0.lease.lock().wake(self.elapsed());
        self.0.nudged.notify_one();
    }

    /// This pod cannot lead in this epoch, or may not.
    pub fn resign(&self, epoch: u64) {
        self.0.lease.lock().resign(self.elapsed(), epoch);
        self.0.nudged.notify_one();
    }

    /// Leads no more, and gives the lease back.
    pub fn shut_down(&self) {
        self.0.lease.lock().shut_down(self.elapsed());
        self.0.nudged.notify_one();
    }

    /// Redis has just answered.
    pub fn contact(&self) {
        *self.0.contact.lock() = self.elapsed();
    }

    /// How long Redis has not answered.
    pub fn silence(&self) -> Duration {
        self.elapsed().saturating_sub(*self.0.contact.lock())
    }

    fn tell(&self, ended: bool) {
        let view = {
            let lease = self.0.lease.lock();
            View {
                term: lease.term(self.elapsed()),
                holder: lease.holder().map(str::to_owned),
                loss: lease.loss(),
                ended,
            }
        };
        self.0.view.send_if_modified(|told| {
            let modified = *told != view;
            *told = view;
            modified
        });
    }
}

impl Keeper {
    /// Keeps the lease until it is given back.
    pub async fn run(mut self) {
        let tenure = self.tenure.clone();
        let mut told = None::<Fault>;
        loop {
            let next = tenure.0.lease.lock().poll(tenure.elapsed());
            tenure.tell(matches!(next, Next::End));
            match next {
                Next::Ask(request) => {
                    let answered = self.registrar.ask(request.ask).await;
                    match &answered {
                        Ok(_) => {
                            tenure.contact();
                            told = None;
                        }
                        Err(fault) => {
                            if told != Some(*fault) {
                                tracing::debug!(fault = fault.as_str(), "the lease cannot be asked for");
                            }
                            told = Some(*fault);
                        }
                    }
                    let answer = answered.unwrap_or(Answer::Unknown);
                    tenure.0.lease.lock().answer(tenure.elapsed(), request.id, answer);
                }
                Next::Wait(until) => {
                    tokio::select! {
                        () = sleep(until.saturating_sub(tenure.elapsed())) => {}
                        () = tenure.0.nudged.notified() => {}
                    }
                }
                // Whoever asks waits for the answer.
                Next::Await => tenure.0.nudged.notified().await,
                Next::End => return,
            }
        }
    }
}
