//! Floor 3: the only maker of what goes out.
//!
//! [`Sanitizer`] takes the private state apart field by field and makes [`PublicBeat`]s of it; [`PublicState`] applies
//! them and tells readers the whole state or the difference since the beat they last saw.

mod agents;
mod curve;
mod record;
mod sanitizer;
mod state;
#[cfg(test)]
pub(crate) mod testing;
mod view;
mod wire;

#[cfg(test)]
mod tests;

pub use curve::Curve;
pub use sanitizer::Sanitizer;
pub use state::{Everything, Position, PublicState, Select};
pub use view::{PublicBeat, Standing};
pub use wire::{Relayed, WireError};
