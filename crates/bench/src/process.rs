//! Child processes: started in their own process group, measured through `/proc`, and stopped with their owner.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Clock ticks a second in `/proc/<pid>/stat`: `USER_HZ`, which Linux fixes at 100 for programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// A child process that is killed when its owner is dropped.
pub struct ChildProcess {
    child: Child,
    name: &'static str,
}

impl ChildProcess {
    /// Starts the command in its own process group, so that Ctrl-C reaches only the benchmark, which then stops its
    /// children in order.
    pub fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let child = command.process_group(0).spawn().with_context(|| format!("{name} does not start"))?;
        Ok(Self { child, name })
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns an error if the process has exited.
    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("{} exited with {status}", self.name),
        }
    }

    /// Sends SIGTERM and waits for the exit; kills the process after `timeout`.
    pub fn stop(mut self, timeout: Duration) -> Result<()> {
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        anyhow::bail!("{} did not exit within {timeout:?}", self.name)
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It fails only if the process has already exited.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // A drop may run during another error's unwinding and has no way to report this one.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor seconds, user and system, of a process and its reaped children.
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

/// Peak resident memory in MiB since [`reset_memory_peak`].
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
