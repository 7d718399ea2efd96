//! Being woken before others.

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

/// Asks the operating system to run the calling thread as soon as it wakes (`SCHED_RR` at its lowest priority), before
/// all that is not real-time. Otherwise a thread that wakes on a busy machine waits until those that run have had their
/// slices, which takes milliseconds. Returns whether it agreed: it takes `CAP_SYS_NICE` or a limit on `RTPRIO` over 0.
pub fn prefer_this_thread() -> bool {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy).is_ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_the_system_did() {
        let policy = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // Behind the name, which may hold spaces, `policy` is the 39th field (proc_pid_stat(5)).
            stat.rsplit(") ").next().unwrap().split(' ').nth(38).unwrap().parse::<u32>().unwrap()
        };
        let thread = std::thread::spawn(move || (policy(), prefer_this_thread(), policy()));
        let (before, agreed, after) = thread.join().unwrap();
        const ROUND_ROBIN: u32 = 2;
        assert_eq!(before, 0);
        assert_eq!(after, if agreed { ROUND_ROBIN } else { 0 });
    }
}
