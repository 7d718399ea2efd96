//! Floor 4: one heart among many pods.
//!
//! [`Lease`] is the protocol by which one pod leads: pure, told the time and what Redis answered, and simulated over
//! thousands of schedules of faults beside it. [`Registrar`] carries its requests out, each one a script, on a
//! connection of its own.

mod lease;
mod registrar;
#[cfg(test)]
mod tests;

pub use lease::{Answer, Ask, Lease, Loss, Next, Request, Settings, Term};
pub use registrar::Registrar;
