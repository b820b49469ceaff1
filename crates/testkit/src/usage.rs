//! Processor time and memory of a process, read from Linux's `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// Clock ticks a second in `/proc/<pid>/stat`: `USER_HZ`, which Linux fixes at 100 for programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor seconds, user and system, of a process and its reaped children.
///
/// # Errors
/// If there is no such process.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    parse_cpu_seconds(&stat).with_context(|| format!("cannot parse /proc/{pid}/stat"))
}

fn parse_cpu_seconds(stat: &str) -> Option<f64> {
    // The second field is the program's name in parentheses, which may itself contain parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse().ok()).collect();
    (ticks.len() == 4).then(|| ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// Peak resident memory in MiB since the start or [`reset_memory_peak`].
///
/// # Errors
/// If there is no such process.
pub fn memory_peak_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is gone"))?;
    parse_memory_peak_mib(&status).with_context(|| format!("cannot parse /proc/{pid}/status"))
}

fn parse_memory_peak_mib(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// Resets the peak, so that each measurement has its own.
///
/// # Errors
/// If there is no such process, or it belongs to another user.
pub fn reset_memory_peak(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").with_context(|| format!("the memory peak of process {pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_the_times_of_a_process_with_a_parenthesis_in_its_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 20 10 20 0 4 0 100 0 0";
        assert_eq!(parse_cpu_seconds(stat), Some(3.3));
        assert_eq!(parse_cpu_seconds("7 (x) S 1 2"), None);
    }

    #[test]
    fn reads_the_memory_peak_in_mib() {
        assert_eq!(parse_memory_peak_mib("VmPeak:\t 9 kB\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n"), Some(2.0));
        assert_eq!(parse_memory_peak_mib("VmPeak:\t 9 kB\n"), None);
    }

    #[test]
    fn sees_this_process() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).expect("this process exists") >= 0.0);
        assert!(memory_peak_mib(pid).expect("this process exists") > 0.0);
    }
}
