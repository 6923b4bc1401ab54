//! What a process takes of the machine's memory.

use anyhow::{Context, Result};

pub fn resident_bytes(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a strange status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
}
