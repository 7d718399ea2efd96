//! Many pods, one heart, proved from outside: three daemon processes on a real Redis (in some runs three real sentinels
//! and a replica), behind a load balancer, with dashboards and producers, under a seeded schedule of faults. A checker
//! looks at all that was seen.
//!
//! `cargo test --test cluster` runs a few seeds, `CONSCIOUSNESS_CLUSTER_SEEDS=100` as many, `CONSCIOUSNESS_CLUSTER_SEED=7`
//! that one; together as many from there on.
//!
//! What may be lost, and so is not done to what is counted:
//! - What a pod acknowledges while it cannot reach Redis lies in its memory alone. So a pod that is cut off from Redis, or
//!   any pod while Redis is away, is not killed or ended before all has settled again. On a busy machine a pod may find
//!   Redis away at any time. It says so, and is then not killed; where it said so at the very last, what is missing is
//!   excused, and the summary says that.
//! - A Redis that comes back empty, or a replica that takes over with the last writes missing, is healed from the memory
//!   of the pods. So none of them is killed or frozen meanwhile.
//!
//! All else counts to the last observation: what was acknowledged is counted once; what was sent without an answer (and
//! without an `id`, so that it was not sent again) once or not at all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::large_futures,
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "a test that cannot go on panics; it prints, reads the clock and spawns as any program does"
)]

mod balancer;
mod dashboard;
mod gate;
mod history;
mod producer;
mod run;
mod schedule;
mod servers;
#[path = "../it/support/mod.rs"]
mod support;
mod verdict;
mod world;

use schedule::Schedule;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Seeds that CI runs: a forgetful Redis, one that keeps what it was told, and sentinels.
const FEW: u64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_befalls_them_pods_are_one_heart() {
    let (first, many) = (number("CONSCIOUSNESS_CLUSTER_SEED"), number("CONSCIOUSNESS_CLUSTER_SEEDS"));
    let most = many.unwrap_or(if first.is_some() { 1 } else { FEW });
    let seeds = first.unwrap_or(0)..first.unwrap_or(0) + most;
    let mut failed = Vec::new();
    for seed in seeds.clone() {
        let schedule = Schedule::new(seed);
        let (summary, wrongs) = run::run(&schedule).await;
        println!("seed {seed}: {summary}");
        if !wrongs.is_empty() {
            println!("{schedule}\n{}", wrongs.join("\n"));
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "these seeds failed: {failed:?}");
}
