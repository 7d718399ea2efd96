//! The service manager that started the daemon, where one did (`sd_notify(3)`): it is told how far the daemon is, and
//! fed that it lives.

use std::time::Duration;

use sd_notify::NotifyState;

/// Tells that the daemon takes traffic.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("beating")]);
}

/// Tells that keys and log filter are read again; [`ready`] tells that they are.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager is not told of the reload"),
    }
}

/// Tells that the daemon drains.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// How often the manager wants to hear that the daemon lives: twice within the time after which it takes it for dead.
/// `None` where it does not ask.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|pace| !pace.is_zero())
}

/// Calls `feed` at this pace for as long as the heart beats, whatever else goes on: a daemon without a heart is to be
/// started anew.
pub(super) async fn watch(pace: Duration, has_stopped: impl Fn() -> bool, feed: impl Fn()) {
    let mut tick = tokio::time::interval(pace);
    loop {
        tick.tick().await;
        if has_stopped() {
            tracing::error!("the heart has stopped: the service manager is not told that all is well");
        } else {
            feed();
        }
    }
}

/// Tells the manager that the daemon lives.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_while_the_heart_beats() {
        let (stopped, fed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (heart, food) = (Arc::clone(&stopped), Arc::clone(&fed));
        let watching = tokio::spawn(watch(
            Duration::from_secs(5),
            move || heart.load(Ordering::SeqCst),
            move || {
                food.fetch_add(1, Ordering::SeqCst);
            },
        ));
        tokio::time::sleep(Duration::from_secs(16)).await;
        assert_eq!(fed.load(Ordering::SeqCst), 4);
        stopped.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(fed.load(Ordering::SeqCst), 4);
        stopped.store(false, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(fed.load(Ordering::SeqCst), 6);
        watching.abort();
    }
}
