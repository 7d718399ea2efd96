//! Floor 1: the analyzers, one file each.
//!
//! Each is incremental: a bounded cost per observation and bounded memory per agent, whatever the history. Each is
//! plain data that serialises whole, so that a restored engine goes on as if it had only blinked. None knows a clock:
//! times come with the observations and with the calls. Each judges its own kinds of insights through
//! [`crate::domain::Assessment`]; opening, updating and resolving them is the engine's.

pub mod calibration;
pub mod drift;
pub mod errors;
pub(crate) mod index;
pub mod load;
pub mod metad;
pub mod progress;
pub mod silence;
pub mod stuck;
pub mod vitals;
