//! The machine, and what `/proc` tells of a process.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Prints what the figures depend on.
pub fn describe() {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("").trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    println!("{model}, {cores} cores, Linux {}, load before {load}", kernel.trim());
}

/// Lets this process and its children open as many files as they may, since each stream is one at either end.
pub fn raise_file_limit() {
    let pid = std::process::id().to_string();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let hard = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().nth(1));
    if let Some(hard) = hard {
        // Without it, many streams fail with an error that says so.
        let _ = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={hard}:{hard}")]).status();
    }
}

/// Moves the calling thread, and the threads that it starts from now on, to these CPUs (`0`, `0-1`).
pub fn pin_this_thread(cpus: &str) {
    let thread = fs::read_link("/proc/thread-self").unwrap();
    let thread = thread.file_name().unwrap().to_str().unwrap();
    // A figure of an unpinned run is noisier, not wrong.
    let _ = Command::new("taskset").args(["-p", "-c", cpus, thread]).stdout(Stdio::null()).status();
}

/// All CPUs, as [`pin_this_thread`] takes them.
pub fn all_cpus() -> String {
    format!("0-{}", fs::read_to_string("/proc/cpuinfo").unwrap().matches("processor\t").count() - 1)
}

/// A command that runs on this CPU, or on any.
pub fn command(program: &Path, cpu: Option<&str>) -> Command {
    match cpu {
        None => Command::new(program),
        Some(cpu) => {
            let mut command = Command::new("taskset");
            command.args(["-c", cpu]).arg(program);
            command
        }
    }
}

/// CPU time of a process so far, user and system, in nanoseconds; of one thread, where a name is given.
pub fn cpu_ns(pid: u32, thread: Option<&str>) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |path: std::path::PathBuf| {
        let name = fs::read_to_string(path.join("comm")).ok()?;
        if thread.is_some_and(|wanted| wanted != name.trim()) {
            return None;
        }
        fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.filter_map(|task| of(task.ok()?.path())).sum()
}

/// Resident memory of a process, KiB.
pub fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
