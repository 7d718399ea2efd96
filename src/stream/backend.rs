//! What a stream needs of other rooms, handed in.

use std::pin::Pin;
use std::sync::Arc;

use super::registry::Holder;
use crate::domain::Timestamp;
use crate::sanitize::Position;

/// A stream's rights, as its token gives them.
#[derive(Clone, Default)]
pub struct Session {
    /// Its name, told to the client; the same for the stream's whole life.
    pub id: String,
    /// When the token's time is over.
    pub expires: Timestamp,
    /// The token's scopes, with spaces between.
    pub scopes: Arc<str>,
    /// Whether the client may send observations.
    pub may_observe: bool,
    /// A ticket to reopen the stream with; empty: none.
    pub resume: String,
    /// The beat that the client knows the state of already.
    pub since: Option<Position>,
}

/// What a new token changes.
#[derive(Clone)]
pub struct Renewal {
    /// The token's `jti`.
    pub token: Arc<str>,
    /// When it was issued, where it says so.
    pub issued: Option<Timestamp>,
    /// When its time is over.
    pub expires: Timestamp,
    /// Its scopes, with spaces between.
    pub scopes: Arc<str>,
    /// Whether the client may send observations from now on.
    pub may_observe: bool,
    /// A new ticket to reopen the stream with.
    pub resume: String,
}

/// A check of a new token under way.
pub type Refreshing = Pin<Box<dyn Future<Output = Result<Renewal, &'static str>> + Send>>;

/// The rest of the house, as streams see it.
pub trait Backend: Send + Sync {
    /// Checks a new token for a stream: of the same `sub`, and with no scope that the stream did not have. The error is
    /// told to the client.
    fn refresh(&self, session: &Session, holder: &Holder, token: String) -> Refreshing;

    /// Takes in an observation.
    ///
    /// # Errors
    /// What is wrong with it, for the client; quotes nothing of it.
    fn observe(&self, json: &str) -> Result<(), String>;

    /// The time.
    fn now(&self) -> Timestamp;
}
