//! The protocol step by step, in a real Redis, and over thousands of schedules of faults.

mod clock;
mod model;
mod real;
mod simulation;
mod steps;
mod world;
