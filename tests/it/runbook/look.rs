//! Sections that only look at a daemon that is well.

/// What is in use.
pub mod capacity {
    use crate::runbook::drill::Drill;
    use crate::support::Redis;

    pub async fn run(section: &'static str) {
        let redis = Redis::start().await;
        let outcome = Drill::new(section, &redis).run().await;
        outcome.says(&[
            "ws_connections 0",
            "process_open_fds ",
            "agents = 100000",
            "streams = 20000",
            "used_memory_human",
        ]);
    }
}

/// How the objectives stand.
pub mod objectives {
    use crate::runbook::drill::Drill;
    use crate::support::Redis;

    pub async fn run(section: &'static str) {
        let redis = Redis::start().await;
        let outcome = Drill::new(section, &redis).run().await;
        outcome.says(&["\"continuity\":", "heartbeat_state_due_total ", "heartbeat_state_made_total "]);
    }
}
