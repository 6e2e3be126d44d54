//! What this process has used so far, as the kernel says.

use std::fs::read_to_string;

/// CPU time of the calling thread in milliseconds. Clients have one thread.
pub fn cpu_millis() -> f64 {
    let text = read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

/// Resident memory in MiB.
pub fn resident_mib() -> f64 {
    let text = read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
