//! What the operating system tells: of this process, of another one, of the machine.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// The unit of processor time in `/proc`, the same on every Linux that Rust runs on.
const TICKS_PER_SECOND: u32 = 100;

/// The processor time that this process has used, all threads together.
pub(crate) fn cpu_time() -> Result<Duration> {
    cpu_time_of(std::process::id())
}

/// The processor time that a process has used, all threads together.
pub(crate) fn cpu_time_of(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program, in parentheses, may hold spaces.
    let (_, fields) = text.rsplit_once(')').context("/proc/PID/stat names the program")?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || -> Result<u32> { Ok(fields.next().context("/proc/PID/stat has 17 fields")?.parse()?) };
    Ok(Duration::from_secs(1) * (ticks()? + ticks()?) / TICKS_PER_SECOND)
}

/// The resident memory of a process, in MB of 10^6 bytes.
pub(crate) fn resident_mb(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process has memory")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// Makes sure that this process, and those that it starts, may have so many files and sockets open.
pub(crate) fn ensure_open_files(wanted: u64) -> Result<()> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let most =
        line.and_then(|line| line.split_ascii_whitespace().next()).context("open files are limited")?;
    // Where there is no limit it is no number.
    let is_enough = most.parse::<u64>().is_ok_and(|most| most >= wanted) || most == "unlimited";
    ensure!(is_enough, "{most} files may be open, {wanted} are needed: raise `ulimit -n`");
    Ok(())
}

/// The machine, in one line: processors, and how busy it was.
pub(crate) fn machine() -> Result<String> {
    let processors = std::thread::available_parallelism()?;
    let cpu_information = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu_information
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split_once(':'))
        .map_or("unknown model", |(_, model)| model.trim());
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split_ascii_whitespace().next().unwrap_or("?");
    Ok(format!("{processors} processors ({model}), load average {load} at the start"))
}
