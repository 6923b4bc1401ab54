//! Servers in Node that Belfry is measured against. Their folders are beside the benches' code.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::figures::is_quick;

/// Runs `script` in `folder` under `benches`, whose packages are installed there if need be.
pub fn node(folder: &str, script: &str) -> Result<Command> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(folder);
    if !folder.join("node_modules").is_dir() {
        ensure!(!is_quick(), "its packages are missing, and a test run fetches nothing; `cargo bench` installs them");
        let mut npm = Command::new("npm");
        let installed = npm.arg("ci").current_dir(&folder).stdout(Stdio::null()).status().context("npm is missing")?;
        ensure!(installed.success(), "its packages could not be installed");
    }
    let mut node = Command::new("node");
    node.arg(script).current_dir(&folder).env("NODE_ENV", "production");
    Ok(node)
}
