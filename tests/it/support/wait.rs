//! Waiting for what has to come, never longer than a limit.

use std::future::Future;
use std::time::Duration;

/// Long enough for a busy machine; what takes longer has failed.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The future's outcome, or a panic that names what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("waited {LIMIT:?} in vain for {what}"),
    }
}

/// Asks again and again until there is an answer.
pub async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    within(what, async {
        loop {
            pace.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    })
    .await
}
