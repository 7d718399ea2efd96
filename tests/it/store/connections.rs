//! The ways to a Redis.
