//! Floor 4: who somebody is, and what they may do.
//!
//! A client shows a token ([`credentials`]); the [`Authenticator`] checks its signature with one of the configured
//! [`Keys`] and its claims against the time that is handed in, and names an [`Identity`] or a [`Refusal`]. The
//! [`ReplayGuard`] lets a token open one stream; [`Tickets`] reopen it; [`Revocations`] end what was granted before its
//! time; the trail of all that is in [`audit`]. No refusal quotes anything of a token.

mod algorithm;
pub mod audit;
mod authenticator;
mod claims;
mod config;
pub mod credentials;
mod folder;
mod jwks;
mod key;
mod keys;
mod mint;
mod object;
pub mod origin;
mod refusal;
mod replay;
pub mod revocation;
mod scope;
#[cfg(test)]
mod tests;
mod ticket;

pub use algorithm::Algorithm;
pub use authenticator::{Authenticator, Identity, MAX_TOKEN};
pub use config::{Config, KeyConfig, ReplayOnOutage};
pub use key::{Key, MIN_SECRET};
pub use keys::{Keys, KeysError};
pub use mint::{Claims, MintError, mint};
pub use refusal::Refusal;
pub use replay::ReplayGuard;
pub use revocation::{Revocations, Watch};
pub use scope::{Scope, Scopes};
pub use ticket::{TicketId, Tickets};
