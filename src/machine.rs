//! What the machine is: memory and cores, from the places where Linux tells; careful guesses elsewhere.

use std::{fs::read_to_string, path::Path};

use crate::config::ByteSize;

/// Assumed where the system does not tell.
const UNKNOWN_MEMORY: u64 = 8 << 30;

/// Memory that this process may use: the machine's, or the control group's if that is less.
fn memory() -> ByteSize {
    let machine = proc_field("/proc/meminfo", "MemTotal:").unwrap_or(UNKNOWN_MEMORY);
    let group = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .iter()
    .filter_map(|path| read_to_string(path).ok()?.trim().parse::<u64>().ok())
    .min();
    ByteSize(group.map_or(machine, |group| group.min(machine)))
}

/// Memory that a run takes unless told otherwise: a quarter, but not less than the bundled model is quick in.
pub fn default_memory_limit() -> ByteSize {
    const LEAST: u64 = 1 << 30;
    let memory = memory().0;
    ByteSize((memory / 4).max(LEAST.min(memory)))
}

/// Largest resident set of this process so far.
pub fn peak_rss_bytes() -> Option<u64> {
    proc_field("/proc/self/status", "VmHWM:")
}

/// False where the system has no NVIDIA driver, so that looking for its libraries is in vain.
pub fn may_have_nvidia_gpu() -> bool {
    // The second is the driver's place under Windows Subsystem for Linux.
    let devices = ["/dev/nvidiactl", "/dev/dxg"];
    !cfg!(target_os = "linux") || devices.iter().any(|path| Path::new(path).exists())
}

/// Cores that this process may use.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the processor is and can do, in the words of the system; `None` where it does not tell.
pub fn processor() -> Option<String> {
    const TELLING: [&str; 5] = ["vendor_id", "model name", "flags", "Features", "CPU part"];
    let text = read_to_string("/proc/cpuinfo").ok()?;
    let first = text.split("\n\n").next()?.lines();
    let telling = first.filter(|line| TELLING.iter().any(|name| line.starts_with(name)));
    Some(telling.collect::<Vec<_>>().join("\n")).filter(|told| !told.is_empty())
}

/// A line of the form `name   123 kB`, in bytes.
fn proc_field(path: &str, name: &str) -> Option<u64> {
    let text = read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}
