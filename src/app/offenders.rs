//! Which client is it?

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::stream::Registry;

/// Clients told of at a time.
const MOST: usize = 5;

/// Tells the log now and then for which clients frames were dropped, if for any: the one place where it shows a `sub` and
/// an address unasked.
pub(super) async fn report(registry: Arc<Registry>, every: Duration) -> Infallible {
    let mut tick = tokio::time::interval(every);
    tick.tick().await;
    loop {
        tick.tick().await;
        let worst = registry.offenders(MOST);
        // Texts and numbers always have a JSON form.
        if let (false, Ok(clients)) = (worst.is_empty(), serde_json::to_string(&worst)) {
            tracing::warn!(clients, "frames were dropped for these clients");
        }
    }
}
